"""The dashboard's app: the frame around the views, where the user is, and what every view may ask of it.

Views are imported when they are first visited: the overview alone decides how soon there is something to see.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.driver import Driver
from textual.screen import ModalScreen
from textual.widgets import Input

from tui import clock
from tui.driver import light
from tui.keys import BY_ID, SCREENS, KeymapError, read_keymap
from tui.launch import LEAST, Options, has_utf8, refuse
from tui.link import Link
from tui.location import WINDOWS, History, Location
from tui.messages import Arrived, Failed, LinkChanged
from tui.notices import Notices, Toasts
from tui.themes import DEFAULT, NAMES, Palette, textual_theme
from tui.widgets.bound import bindings
from tui.widgets.chrome import Banner, Prompt, Tabs, keys_line, notice_line, tabs_line, top_line
from tui.widgets.dialogs import Confirm, Menu, Reading
from tui.widgets.line import Line, fit, visible
from tui.widgets.marks import Glyphs
from tui.widgets.panel import Bar, Painted, Panel

if TYPE_CHECKING:
    from tui.calls import Client
    from tui.screens.view import View

VIEWS = {
    "overview": "tui.screens.overview:Overview",
    "logs": "tui.screens.logs:Logs",
    "detail": "tui.screens.detail:Detail",
    "projects": "tui.screens.projects:Projects",
    "keys": "tui.screens.keys:Keys",
    "settings": "tui.screens.settings:Settings",
    "providers": "tui.screens.providers:Providers",
    "limits": "tui.screens.limits:Limits",
    "playground": "tui.screens.playground:Playground",
    "audit": "tui.screens.audit:Audit",
    "models": "tui.screens.models:Models",
    "usage": "tui.screens.usage:Usage",
    "connect": "tui.screens.connect:Connect",
}
TAB_OF = {"detail": "logs", "settings": "projects", "models": "providers", "usage": "limits"}
UNDO_S = 30.0
LONGEST_HOLD_S, SETTLES_S = 0.4, 0.02
UNWATCHED_S = 10
QUIET_S = 8.0
"""After so long without an answer the gateway is asked whether it is there, so that a view that never asks is not called stale."""


class OptyxApp(App[int]):
    """`connect` makes a client for a thread; None when there are no credentials: then the connect screen explains."""

    CSS_PATH = "optyx.tcss"
    ENABLE_COMMAND_PALETTE = False
    TITLE = "optyx"
    BINDINGS = [*bindings("app"), Binding("ctrl+c", "interrupt", show=False, priority=True)]

    def __init__(
        self,
        connect: Callable[[], Client] | None,
        *,
        context: str = "gateway",
        url: str = "",
        start: Location | None = None,
        theme: str = DEFAULT,
        readonly: bool = False,
        guarded: bool = False,
        why_not: str = "",
    ) -> None:
        theme = "mono" if os.environ.get("NO_COLOR") else theme
        super().__init__(ansi_color=True if theme in ("mono", "ansi") else None)
        self.palette = Palette(theme)
        self.optyx_theme = theme
        for name in NAMES:
            self.register_theme(textual_theme(name))
        self.theme = theme
        self.keymap_table = read_keymap()
        self.context, self.url, self.guarded, self.why_not = context, url, guarded, why_not
        self.readonly = readonly
        self.link = Link(connect or _no_client, self.post_message, "connecting" if connect else "no_credentials")
        self.history = History(start or Location("overview" if connect else "connect"))
        self.window = "15m"
        self.mouse_on = not (os.environ.get("SSH_TTY") or os.environ.get("TMUX"))
        self.secrets_open = 0
        self.notices = Notices()
        self.views: dict[str, View] = {}
        self.is_too_small = False
        self.undoable: tuple[list[str], str, float] | None = None
        self.interrupted_at = 0.0
        self.greeting = False
        self._held = contextlib.ExitStack()
        self.is_shown = False
        self.is_watched = True
        """False while another window has the focus: then less is asked and drawn."""
        self.next_context = ""
        """Set by `:ctx NAME`: where to go when this app has ended."""
        self.typed_filter = ""
        """The filter that was typed here: the first `esc` clears it. One that came with the place goes when the place does."""
        self.urgent = 0
        self.title_shown = ""
        self.project_names: list[str] = []
        self.gateway_version = ""
        self.role = ""
        """What the token may do; empty until the gateway has said it."""
        self._next_load = 0.0
        self.ticks = 0

    def get_driver_class(self) -> type[Driver]:
        base = super().get_driver_class()
        return light(base) if os.name == "posix" else base

    @property
    def may_write(self) -> bool:
        return not self.readonly and self.role != "viewer"

    # The frame

    def compose(self) -> ComposeResult:
        yield Bar(id="top")
        yield Tabs(id="tabs")
        yield Banner()
        yield Container(id="body")
        yield Bar(id="status")
        yield Prompt(self._completions)
        yield Bar(id="keys")
        yield Toasts()

    def on_mount(self) -> None:
        if self.link.state == "connecting" and not self.is_headless:
            self._held.enter_context(self.batch_update())
            self.set_timer(LONGEST_HOLD_S, self.show_first)
        if self.keymap_table.overrides:
            self.set_keymap(self.keymap_table.overrides)
        self.show_place()
        self.set_interval(1.0, self._tick)
        self._title()
        if self.link.state == "connecting":
            self.greet()

    def on_app_blur(self) -> None:
        self.is_watched = False

    def on_app_focus(self) -> None:
        self.is_watched = True
        self._next_load = 0.0
        self._tick()

    def _tick(self) -> None:
        """Once a second: the clock, the states' ages, and whatever is due to be asked again."""
        if not self.query(Toasts):
            return  # the app is ending, its widgets are gone
        self.ticks += 1
        if not self.is_watched and self.ticks % UNWATCHED_S:
            return
        self.redraw_chrome()
        self.query_one(Toasts).expire()
        view = self.view
        if self.link.state == "no_credentials" or view is None or isinstance(self.screen, ModalScreen):
            return
        now = time.monotonic()
        if self.link.stale_s is not None or view.was_stale:
            view.was_stale = self.link.stale_s is not None
            for panel in view.query(Panel):
                panel.changed()
        if self.link.state == "live" and self.link.age_s > QUIET_S and not self.greeting:
            self.greet()
        if self.link.state in ("offline", "signed_out"):
            if now >= self.link.next_try and not view.waiting:
                self.link.next_try = now + (10.0 if self.link.state == "signed_out" else 1.0)
                view.load()
        elif view.every_s is not None and not view.waiting and now >= self._next_load:
            self._next_load = now + (view.every_s if self.is_watched else max(view.every_s, UNWATCHED_S)) - 0.5
            view.load()

    def redraw_chrome(self) -> None:
        if not self.is_running or not self.size:
            return
        if self.is_too_small:
            needs = fit(f"needs {LEAST[0]}×{LEAST[1]}, has {self.size.width}×{self.size.height}", self.size.width)
            self.query_one("#status", Bar).set_line([(needs, "warn")])
            return
        width = self.size.width
        place = self.history.here
        self.query_one("#top", Bar).set_line(
            top_line(
                place.crumbs(self.context),
                self.link.said(),
                clock.moment(),
                width,
                guarded=self.guarded,
                rights="read-only" if self.readonly else "viewer: no changes" if not self.may_write else "",
            )
        )
        self.query_one("#tabs", Bar).set_line(tabs_line(TAB_OF.get(place.screen, place.screen), width))
        self.query_one(Banner).set_lines(self._banner())
        self.query_one("#status", Bar).set_line(self._status(width))
        scopes = (place.screen, "app")
        self.query_one("#keys", Bar).set_line(
            keys_line(self.keymap_table.footer(scopes, may_write=self.may_write), width)
        )

    def _banner(self) -> list[Line]:
        link = self.link
        if link.state == "offline":
            wait = max(0, round(link.next_try - time.monotonic()))
            age = f"Showing data {int(link.age_s)} s old. " if link.last_answer else ""
            return [
                [(f" ✖ Lost the gateway: {link.reason}", "banner")],
                [
                    (
                        f"   {age}Next try in {wait} s.  ^r now   :doctor why   changes are held until it answers",
                        "banner",
                    )
                ],
            ]
        if link.state == "signed_out":
            return [
                [(f" ✖ The gateway does not take this admin token ({self.url}).", "banner")],
                [("   optyx login signs in again.", "banner")],
            ]
        return []

    def _status(self, width: int) -> Line:
        undo = self.undo_left()
        view = self.view
        line: Line = [(" ", ""), *(view.status() if view is not None and view.is_mounted else [])]
        if undo and self.undoable:
            line += [("   ", ""), ("Undo: ", "accent"), (f"{self.undoable[1]} (u, {undo} s)", "")]
        return line

    def show_first(self) -> None:
        """The launcher's frame stands until there is something to see: one whole picture, not three that follow each other."""
        if not self.is_shown:
            self.is_shown = True
            self.set_timer(SETTLES_S, self._release)

    def _release(self) -> None:
        self._held.close()
        self.query_one("#status").refresh()  # wakes the screen, which paints all that is due

    def greet(self) -> None:
        """Asks whose token this is: once at the start, and again when nothing else has been asked for a while."""
        self.greeting = True
        self.link.ask(self, "whoami", lambda client: client.whoami())

    def on_arrived(self, message: Arrived) -> None:
        """The role decides which keys the footer offers."""
        self.greeting = False
        self.role, self.gateway_version = message.data.role, message.data.version
        self.redraw_chrome()

    def on_failed(self, message: Failed) -> None:
        """Nothing hangs on it: the gateway refuses what the role may not do, and says so."""
        self.greeting = False

    def _title(self) -> None:
        """The terminal's title: the context, and how many things are urgent."""
        if self.is_headless or self._driver is None:
            return
        title = visible(f"optyx {self.context}" + (f" ✖{self.urgent}" if self.urgent else ""))
        if title != self.title_shown:
            self.title_shown = title
            self._driver.write(f"\x1b]2;{title}\x07")

    def set_urgent(self, count: int) -> None:
        self.urgent = count
        self._title()

    @property
    def view(self) -> View | None:
        return self.views.get(self.history.here.screen)

    # Going places

    def go(self, place: Location) -> None:
        self.history.go(place)
        self.show_place()

    def show_place(self) -> None:
        place = self.history.here
        view = self._view_for(place.screen)
        for other in self.views.values():
            if other is not view and other.display:
                other.display = False
                other.leave()
        view.display = True
        self._next_load = time.monotonic() + (view.every_s or 0)
        self.call_after_refresh(view.visit, place)
        self.redraw_chrome()

    def _view_for(self, name: str) -> View:
        view = self.views.get(name)
        if view is None:
            module, _, cls = VIEWS[name].partition(":")
            view = getattr(importlib.import_module(module), cls)()
            assert view is not None
            self.views[name] = view
            self.query_one("#body").mount(view)
        return view

    def action_screen(self, name: str) -> None:
        here = self.history.here
        keeps = name in ("logs", "keys", "limits", "playground") and here.screen in (
            "projects",
            "keys",
            "settings",
            "logs",
        )
        self.go(
            Location(name, project=here.project if keeps else "", filter=here.filter if name == here.screen else "")
        )

    async def action_back(self) -> None:
        if isinstance(self.focused, Input) and self.view is not None:
            self.view.focus_first()
            return
        view = self.view
        if view is not None and view.back():
            return
        here = self.history.here
        if here.filter and here.filter == self.typed_filter and here.screen != "detail":
            self.filter_by("")
        elif self.history.back() is not None:
            self.show_place()

    def action_history(self, step: int) -> None:
        if (self.history.back() if step < 0 else self.history.forward()) is None:
            self.say(
                "There is no place before this one." if step < 0 else "There is no place after this one.", "warning"
            )
        else:
            self.show_place()

    def action_export(self) -> None:
        from tui.screens.exporting import ask_export

        if getattr(self.view, "records", None) is None:
            self.say("This view has no list to write.", "warning")
        else:
            ask_export(self, self.history.here.screen)

    def action_last(self) -> None:
        if self.history.last() is not None:
            self.show_place()

    def action_next_panel(self, step: int) -> None:
        if self.view is None or self.view.next_panel(step):
            return
        panels = self.view.panels()
        if panels:
            at = next((index for index, panel in enumerate(panels) if panel.has_focus), -1 if step > 0 else 0)
            panels[(at + step) % len(panels)].focus()

    def action_window(self, step: int) -> None:
        at = WINDOWS.index(self.window)
        self.window = WINDOWS[max(0, min(len(WINDOWS) - 1, at + step))]
        self.action_refresh_now()

    def action_refresh_now(self) -> None:
        self.link.next_try = 0.0
        if self.view is not None:
            self.view.load()

    # Filter and commands

    def action_filter(self) -> None:
        self.query_one(Prompt).open("/", self.history.here.filter)

    def action_command(self) -> None:
        self.query_one(Prompt).open(":")

    def on_prompt_typed(self, message: Prompt.Typed) -> None:
        if self.view is not None:
            self.view.set_filter(message.text)

    def on_prompt_sent(self, message: Prompt.Sent) -> None:
        if self.view is not None:
            self.view.focus_first()
        if message.kind == "/":
            self.filter_by(message.text)
        else:
            from tui.command_bar import obey

            obey(self, message.text)

    def on_prompt_left(self) -> None:
        if self.view is not None:
            self.view.set_filter(self.history.here.filter)
            self.view.focus_first()

    def filter_by(self, text: str) -> None:
        self.typed_filter = text.strip()
        self.history.amend(self.history.here.with_filter(text))
        if self.view is not None:
            self.view.place = self.history.here
            self.view.set_filter(self.history.here.filter)
            self.view.load()
        self.redraw_chrome()

    def _completions(self, text: str) -> list[str]:
        from tui.command_bar import completions

        return completions(self, text, self.query_one(Prompt).kind)

    # Saying

    def say(self, text: str, kind: str = "information") -> None:
        """One line for the user; kept in the history of notices."""
        self.notices.add(text, kind, clock.moment())
        if self.is_running:
            self.query_one(Toasts).show(text, kind)

    def described(self, error: Exception) -> str:
        """What failed, the code, what to do next: never a traceback."""
        from tui.wire import GatewayError

        if isinstance(error, GatewayError):
            code = f" ({error.code})" if error.code else ""
            return f"{error}{code}"
        return str(error) or type(error).__name__

    def action_notices(self) -> None:
        lines: list[Line] = []
        for at, text, kind, count in self.notices.newest():
            times = f"  ×{count}" if count > 1 else ""
            lines.append([(f"{at:%H:%M:%S} ", "dim"), *notice_line(text + times, kind, 84)])
        self.push_screen(Reading("What was said", lines or [[("Nothing yet.", "dim")]]))

    # Undo

    def offer_undo(self, audit_ids: str | list[str] | None, text: str) -> None:
        """For 30 s `u` takes these changes back, the last one first."""
        if audit_ids:
            self.undoable = ([audit_ids] if isinstance(audit_ids, str) else audit_ids, text, time.monotonic() + UNDO_S)
        self.redraw_chrome()

    def undo_left(self) -> int:
        if self.undoable is None:
            return 0
        left = self.undoable[2] - time.monotonic()
        if left <= 0:
            self.undoable = None
        return max(0, int(left))

    def action_undo(self) -> None:
        if not self.undo_left() or self.undoable is None:
            self.say("Nothing to undo: the last change is older than 30 s, or can't be undone.", "warning")
            return
        audit_ids, text, _ = self.undoable
        self.undoable = None
        from tui.link import Held

        def undo(client: Client) -> Any:
            return [client.undo(audit_id) for audit_id in reversed(audit_ids)]

        if self.readonly or self.view is None:
            self.say(str(Held("Held: this session is read-only.")), "warning")
            return
        self.view.arrived_undo = lambda data: self._undone(text)  # type: ignore[attr-defined]
        self.view.change("undo", undo)

    def _undone(self, text: str) -> None:
        self.say(f"Undone: {text}.")
        self.action_refresh_now()

    # Menus

    def action_copy_menu(self) -> None:
        view = self.view
        entries = view.copies() if view else []
        entries = [(label, text) for label, text in entries if text]
        if not entries:
            self.say("Nothing to copy here.", "warning")
            return

        def chosen(index: int | None) -> None:
            if index is not None:
                self.copy_out(entries[index][1], entries[index][0])

        self.push_screen(Menu("Copy", [(label, " ".join(text.split())) for label, text in entries]), chosen)

    def copy_out(self, text: str, what: str) -> str:
        from tui.clipboard import NotCopied, copy

        try:
            said = copy(text, write_terminal=self._write_terminal)
        except NotCopied as problem:
            said = str(problem)
            self.say(f"{what} was not copied: {said}.", "error")
        else:
            self.say(f"{what}: {said}.")
        return said

    def _write_terminal(self, data: str) -> None:
        if self._driver is not None:
            self._driver.write(data)
            self._driver.flush()

    def action_palette(self) -> None:
        from tui.screens.palette import CommandPalette

        self.push_screen(CommandPalette())

    def action_help(self) -> None:
        from tui.screens.help import help_for

        self.push_screen(help_for(self))

    def action_toggle_times(self) -> None:
        clock.show_absolute(not clock.shows_absolute())
        self.say("Times are absolute (UTC)." if clock.shows_absolute() else "Times are relative.")
        for painted in self.query(Painted):
            painted.repaint()

    def action_columns(self) -> None:
        from tui.screens.columns import choose_columns

        choose_columns(self)

    def action_toggle_mouse(self) -> None:
        self.mouse_on = not self.mouse_on
        driver: Any = self._driver
        if driver is not None:
            (driver._enable_mouse_support if self.mouse_on else driver._disable_mouse_support)()
        self.say("Mouse on." if self.mouse_on else "Mouse off: the terminal selects text.")

    def use_theme(self, name: str) -> None:
        self.palette = Palette(name)
        self.optyx_theme = name
        self.ansi_color = True if name in ("mono", "ansi") else None
        self.theme = name
        for painted in self.query(Painted):
            painted.repaint()
        self.redraw_chrome()

    def confirm(self, question: str, effect: list[str], verb: str, then: Callable[[], None]) -> None:
        """Asks, and does it only on a deliberate `Y`."""

        def answered(yes: bool | None) -> None:
            if yes:
                then()
            else:
                self.say("Cancelled: nothing was changed.")

        self.push_screen(Confirm(question, effect, verb, guard=self.context if self.guarded else ""), answered)

    # Leaving

    def action_leave(self) -> None:
        if self.history.at and self.history.here.screen not in {name for name, _, _ in SCREENS}:
            self.call_later(self.run_action, "back")
            return
        if self.history.here.screen in {name for name, _, _ in SCREENS} or self.history.here.screen == "connect":
            unsaved = [view for view in self.views.values() if view.has_unsaved()]
            if unsaved:
                self.confirm(
                    "Quit with unsaved changes?",
                    ["What you changed in the form is lost."],
                    "quit",
                    lambda: self.exit(0),
                )
            else:
                self.exit(0)

    def switch_context(self, name: str) -> None:
        """Ends this session and begins one with another gateway; asks when something would be lost."""

        def leave() -> None:
            self.next_context = name
            self.exit(0)

        if any(view.has_unsaved() for view in self.views.values()):
            self.confirm(f"Go to {name} with unsaved changes?", ["What you changed in the form is lost."], "go", leave)
        else:
            leave()

    def action_interrupt(self) -> None:
        now = time.monotonic()
        if now - self.interrupted_at < 2.0:
            self.exit(0)
        self.interrupted_at = now
        self.say("ctrl+c again quits.", "warning")

    def action_quit_at_once(self) -> None:
        self.exit(0)

    def on_unmount(self) -> None:
        self.link.close()

    def _fatal_error(self) -> None:
        """What went wrong goes to a file without the values of variables: a key may be among them."""
        self.bell()
        path = crash_file(self._exception)
        self._exit_renderables.append(
            f"optyx-tui ended by a mistake of its own: {type(self._exception).__name__}. See {path}"
        )
        self._close_messages_no_wait()

    # The terminal

    def on_link_changed(self, message: LinkChanged) -> None:
        self.redraw_chrome()

    def on_tabs_chosen(self, message: Tabs.Chosen) -> None:
        self.action_screen(message.name)

    def on_resize(self, event: events.Resize) -> None:
        self.is_too_small = event.size.width < LEAST[0] or event.size.height < LEAST[1]
        self.query_one("#body").display = not self.is_too_small
        self.call_after_refresh(self.redraw_chrome)

    def tooltip(self, action_id: str) -> str:
        return BY_ID[action_id].tooltip


def crash_file(error: BaseException | None) -> Path:
    """Writes the traceback (0600), and says where."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    path = Path(base) / "optyx" / "tui.log"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
        file.write(f"{clock.moment():%Y-%m-%dT%H:%M:%SZ}\n")
        file.writelines(traceback.format_exception(error) if error else [])
    return path


def _no_client() -> Client:
    raise RuntimeError("there are no credentials to connect with")


def run(options: Options) -> int:
    """Called by the launcher when the terminal is known to be fit. Another context is another app in the same process."""
    while True:
        app = app_for(options)
        status = app.run(mouse=app.mouse_on) or 0
        if not app.next_context:
            return status
        options.context, options.screen, options.filter = app.next_context, "overview", ""


def app_for(options: Options) -> OptyxApp:
    from tui.session import session_for

    Glyphs.ascii = not has_utf8()
    session = session_for(options)
    theme = options.theme or os.environ.get("OPTYX_THEME") or session.theme or DEFAULT
    if theme not in NAMES:
        refuse(f"there is no theme {theme!r}; they are {', '.join(NAMES)}")
    try:
        return OptyxApp(
            session.connect,
            context=session.context,
            url=session.url,
            start=Location(options.screen, filter=options.filter) if session.connect else None,
            theme=theme,
            readonly=options.readonly or session.readonly,
            guarded=session.guarded,
            why_not=session.why_not,
        )
    except KeymapError as error:
        refuse(str(error))
