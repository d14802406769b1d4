"""The dashboard's app: what every view may ask of it. The views are in `screens/`, going about among them in `places`, saying and asking in
`speaking`, the frame around them in `frame`, what happens once a second in `pulse`."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.driver import Driver

from tui import clock, frame
from tui.canvas import Canvas
from tui.crash import crash_file
from tui.driver import light, press
from tui.keys import BY_ID, SCREENS, Action, read_keymap
from tui.launch import LEAST
from tui.link import Link
from tui.location import History, Location
from tui.messages import Arrived, Failed, LinkChanged
from tui.pulse import Pulse
from tui.speaking import Speaking
from tui.themes import DEFAULT, NAMES, Palette, textual_theme
from tui.typeahead import TypeAhead
from tui.undo import Undo
from tui.widgets.bound import bindings
from tui.widgets.chrome import Banner, Prompt, Tabs
from tui.widgets.dialogs import Menu
from tui.widgets.panel import Bar, Painted

if TYPE_CHECKING:
    from tui.calls import Client
    from tui.remembered import Remembered

T = TypeVar("T")
LONGEST_HOLD_S = 0.4
HOPELESS = (30, 8)
"""Columns and lines below which nothing but a word is shown."""


class OptyxApp(Speaking):
    """`connect` makes a client for a thread; None when there are no credentials: then the connect screen explains."""

    CSS_PATH = "optyx.tcss"
    ENABLE_COMMAND_PALETTE = False
    TITLE = "optyx"
    BINDINGS = [
        *bindings("app"),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        Binding(
            "ctrl+z", "suspend_process", show=False, priority=True
        ),  # what it means in a terminal, and never another
    ]

    def __init__(
        self,
        connect: Callable[[], Client] | None,
        *,
        context: str = "gateway",
        url: str = "",
        start: Location | None = None,
        theme: str = DEFAULT,
        readonly: bool = False,
        context_readonly: bool = False,
        guarded: bool = False,
        why_not: str = "",
        early_keys: str = "",
        remembered: Remembered | None = None,
        sign_in: Callable[[], Callable[[], Client] | None] | None = None,
    ) -> None:
        """`sign_in` looks for credentials anew."""
        self.early_keys = early_keys
        """What was typed while there was nobody yet to take it."""
        theme = "mono" if os.environ.get("NO_COLOR") else theme
        super().__init__(True if theme in ("mono", "ansi") else None, context=context, guarded=guarded)
        self.palette = Palette(theme)
        self.optyx_theme = theme
        for name in NAMES:
            self.register_theme(textual_theme(name))
        self.theme = theme
        self.keymap_table = read_keymap()
        self.url, self.why_not = url, why_not
        self.readonly = readonly
        self.context_readonly = context_readonly
        """The context itself is marked so: no session lifts that."""
        self.remembered = remembered
        self.link = Link(connect or _no_client, self.post_message, "connecting" if connect else "no_credentials")
        self.history = History(start or Location("overview" if connect else "connect"))
        self.mouse_on = not (os.environ.get("SSH_TTY") or os.environ.get("TMUX"))
        self.secrets_open = 0
        self.is_too_small = self.is_hopeless = False
        self.undo = Undo()
        self.pulse = Pulse(self)
        self.interrupted_at = 0.0
        self.sign_in = sign_in
        self.was_away = False
        self.typeahead = TypeAhead(self, super().on_event)
        self.next_context = ""
        """Set by `:ctx NAME`: where to go when this app has ended."""
        self.urgent = 0
        self.title_shown = ""
        self.project_names: list[str] = []
        self.gateway_version = ""
        self.role = ""
        """What the token may do; empty until the gateway has said it."""

    def get_driver_class(self) -> type[Driver]:
        base = super().get_driver_class()
        return light(base) if os.name == "posix" else base

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            await self.typeahead.take(event)
        else:
            await super().on_event(event)

    @property
    def may_write(self) -> bool:
        return not self.readonly and self.role != "viewer"

    def offers(self, action: Action) -> bool:
        """Whether it would do something now: what it needs is there, and this session may."""
        view = self.view
        if view is None or (action.writes and not self.may_write):
            return False
        if action.scope == "app":
            return action.name != "filter" or view.filters
        return view.is_mounted and view.offers(action.name)

    # The frame

    def compose(self) -> ComposeResult:
        yield Bar(id="top")
        yield Tabs(id="tabs")
        yield Banner()
        yield Container(id="body")
        yield Bar(id="status")
        yield Prompt(self._completions)
        yield Bar(id="keys")
        yield self.toasts

    def on_mount(self) -> None:
        if self.canvas.is_held:
            self.set_timer(LONGEST_HOLD_S, self._release)
        if self.keymap_table.overrides:
            self.set_keymap(self.keymap_table.overrides)
        if not self.is_headless:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit, 128 + signal.SIGTERM)
        self.app_resume_signal.subscribe(self, self.come_back)
        self.show_place()
        self.pulse.start()
        self._title()
        if self.link.state == "connecting":
            self.greet()

    def come_back(self, _: object = None) -> None:
        """From the shell: the terminal shows another picture now, and what this one says is as old as the pause was long."""
        self.canvas.paint_all()
        self.pulse.watch(True)

    def on_app_blur(self) -> None:
        self.pulse.watch(False)

    def on_app_focus(self) -> None:
        self.pulse.watch(True)

    def work_moved(self) -> None:
        """Another panel, row or field is worked on: other keys do something there, and what was said makes way."""
        if self.is_running and self.size and not self.is_moving:
            frame.draw_keys(self)
            self.toasts.make_way()

    def redraw_chrome(self) -> None:
        if self.is_running and self.size:
            frame.draw(self)

    def get_default_screen(self) -> Canvas:
        self.canvas = Canvas(is_held=self.link.state == "connecting" and not self.is_headless)
        return self.canvas

    def show_first(self) -> None:
        """The launcher's frame stands until there is something to see: one whole picture, not three that follow each other."""
        if self.canvas.is_held:
            self.call_after_refresh(self._release)
        if self._driver is not None and self.early_keys:
            self.call_after_refresh(press, self._driver, self.early_keys)
            self.early_keys = ""

    def _release(self) -> None:
        self.canvas.release()

    def greet(self) -> None:
        """Asks whose token this is: once at the start, and again when nothing else has been asked for a while."""
        self.link.greeted_at = time.monotonic()
        self.link.ask(self, "whoami", lambda client: client.whoami())

    def on_arrived(self, message: Arrived) -> None:
        """The role decides which keys the footer offers."""
        self.link.greeted_at = None
        self.role, self.gateway_version = message.data.role, message.data.version
        self.redraw_chrome()

    def sign_in_again(self) -> None:
        """With what `optyx login` has left meanwhile."""
        connect = self.sign_in() if self.sign_in is not None else None
        if connect is not None:
            self.link.begin_anew(connect)
            for view in self.views.values():
                view.woke(0.0)

    def on_failed(self, message: Failed) -> None:
        """Nothing hangs on it: the gateway refuses what the role may not do, and says so."""
        self.link.greeted_at = None

    def _title(self) -> None:
        if self.is_headless or self._driver is None:
            return
        title = frame.title(self)
        if title != self.title_shown:
            self.title_shown = title
            self._driver.write(f"\x1b]2;{title}\x07")

    def set_urgent(self, count: int) -> None:
        self.urgent = count
        self._title()

    # Commands

    def on_prompt_sent(self, message: Prompt.Sent) -> None:
        if self.view is not None:
            self.view.focus_first()
        if message.kind == "/":
            self.filter_by(message.text)
        else:
            from tui.command_bar import obey

            obey(self, message.text)

    def _completions(self, text: str) -> list[str]:
        from tui.command_bar import completions

        return completions(self, text, self.query_one(Prompt).kind)

    # Taking back and taking along

    def offer_undo(self, audit_ids: str | list[str] | None, text: str) -> None:
        """For 30 seconds `u` takes these changes back."""
        if audit_ids:
            self.undo.offer([audit_ids] if isinstance(audit_ids, str) else audit_ids, text)
        self.redraw_chrome()

    def action_undo(self) -> None:
        self.undo.run(self)

    def action_export(self) -> None:
        from tui.screens.exporting import ask_export

        if getattr(self.view, "records", None) is None:
            self.say("This view has no list to write.", "warning")
        else:
            ask_export(self, self.history.here.screen)

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

    def copy_out(self, text: str, what: str) -> None:
        from tui.copying import copy_out

        copy_out(self, text, what)

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

    def hand_over(self, work: Callable[[], T]) -> T:
        """Gives the terminal to a program of the user's. Raises what `work` raises, with the terminal back: Textual would not take it back."""
        failure: Exception | None = None
        with self.suspend():
            try:
                return work()
            except Exception as error:
                failure = error
        raise failure

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
        """A gateway that is back may be another version of itself, and the role another."""
        was_away, self.was_away = self.was_away, self.link.state not in ("live", "connecting")
        if was_away and not self.was_away:
            self.greet()
        self.redraw_chrome()

    def on_tabs_chosen(self, message: Tabs.Chosen) -> None:
        self.action_screen(message.name)

    def on_resize(self, event: events.Resize) -> None:
        """With less room than it needs, what is worked on keeps it: of the frame only the status line stays."""
        width, height = event.size
        self.is_too_small = width < LEAST[0] or height < LEAST[1]
        for name in ("#top", "#tabs", "#keys"):
            self.query_one(name).display = not self.is_too_small
        self.is_hopeless = width < HOPELESS[0] or height < HOPELESS[1]
        self.query_one("#body").styles.height = 0 if self.is_hopeless else "1fr"  # hidden, it would lose the focus
        self.call_after_refresh(self.redraw_chrome)
        self.call_after_refresh(self.toasts.make_way)

    def tooltip(self, action_id: str) -> str:
        return BY_ID[action_id].tooltip


def _no_client() -> Client:
    raise RuntimeError("there are no credentials to connect with")
