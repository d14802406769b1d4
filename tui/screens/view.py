"""The base of the main views: how they ask, how they are refreshed, what they offer to copy, filter and undo."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec
from textual import events
from textual.containers import Vertical
from textual.widget import Widget

from tui.link import STALE_AFTER_S, Held
from tui.location import Location
from tui.messages import Arrived, Failed
from tui.widgets.line import Line

if TYPE_CHECKING:
    from tui.app import OptyxApp
    from tui.calls import Client


ASKED = ""


class View(Vertical):
    """A view keeps its widgets while another is shown. `load` is called on a visit and then every `every_s` seconds.

    `arrived_<what>` and `failed_<what>` are called with what `ask(what, …)` brought.
    """

    scope = "app"
    about: Mapping[str, str] = {}
    """What each panel that can have the focus shows, by its id; a view of one panel says it in its docstring."""
    every_s: float | None = None
    DEFAULT_CSS = """
    View { height: 1fr; width: 1fr; display: none; }
    View.turns .away { display: none !important; }
    View.turns .here { display: block !important; width: 1fr !important; height: 1fr !important; min-height: 0 !important; }
    View .hidden { display: none !important; }
    """

    def __init__(self) -> None:
        super().__init__(id=f"view-{self.scope}")
        self.place = Location(self.scope)
        self.tickets: dict[str, int] = {}
        self.waiting: set[str] = set()
        self.answered_at = 0.0
        self.problem: str = ""

    @property
    def optyx(self) -> OptyxApp:
        return cast("OptyxApp", self.app)

    # What a view is made of: subclasses override these

    def visit(self, place: Location) -> None:
        """Comes into view at this place, with its filter and object."""
        self.place = place
        self.load()
        self.focus_first()

    def leave(self) -> None:
        """Goes out of view."""

    def load(self) -> None:
        """Asks for everything it shows."""

    def status(self) -> Line:
        return []

    def copies(self) -> list[tuple[str, str]]:
        """(label, text) of what `y` offers."""
        return []

    def cli_names(self) -> dict[str, str]:
        """What the CLI forms of this view's actions stand for: `{project}`, `{key}`, `{id}`, `{provider}`, `{scope}`."""
        return {"project": self.place.project}

    def set_filter(self, text: str) -> None:
        """The text of `/` while it is typed."""

    @property
    def filters(self) -> bool:
        """Whether `/` does something here."""
        return type(self).set_filter is not View.set_filter

    def offers(self, action: str) -> bool:
        """Whether this action of its own, named without its scope, finds something to work on now."""
        return True

    def help_lines(self) -> list[str]:
        """What the focused panel shows, and the view, in sentences."""
        focused = self.screen.focused
        panel = self.about.get(focused.id or "") if focused is not None else None
        return [*([panel] if panel else []), *(" ".join(part.split()) for part in (self.__doc__ or "").split("\n\n"))]

    def has_unsaved(self) -> bool:
        return False

    def back(self) -> bool:
        """Whether it had something of its own to close first."""
        return False

    def on_mount(self) -> None:
        self.fit_in()

    def on_resize(self) -> None:
        self.fit_in()

    def fit_in(self) -> None:
        """What depends on the size of the terminal. `compact`: no room for the side panels; `turns`: none but for one panel."""
        self.set_class(self.app.size.width < 100 or self.app.size.height < 30, "compact")
        self._make_room(self.screen.focused)

    def takes_turns(self) -> bool:
        """Whether there is room for one panel only: for that with the focus."""
        return self.optyx.is_too_small

    def _draw(self) -> None:
        """Makes the lines of its text panels, out of what is known and their widths."""

    def on_text_panel_resized(self) -> None:
        if self.is_mounted:
            self._draw()

    # Asking

    def ask(self, what: str, ask: Callable[[Client], Any]) -> None:
        """One request of a kind at a time: while one is out, a further one of `every_s` is not sent."""
        ticket = self.tickets[what] = self.tickets.get(what, 0) + 1
        self.waiting.add(what)
        self.optyx.link.ask(self, what, ask, ticket)

    def change(self, what: str, ask: Callable[[Client], Any], unasked: str) -> None:
        """A change; its answer comes as `arrived_<what>`. Nothing is sent in a read-only session.

        `unasked`: the question that a protected context puts before it, or ASKED where the user has just answered one.
        """
        if self.optyx.readonly:
            self.optyx.say("Held: this session is read-only. Not sent.", "warning")
            return

        def send() -> None:
            ticket = self.tickets[what] = self.tickets.get(what, 0) + 1
            self.optyx.link.change(self, what, ask, ticket)

        if unasked and self.optyx.guarded:
            self.optyx.confirm(unasked, [], "go on", send)
        else:
            send()

    def forget(self, what: str) -> None:
        """An answer of this kind that is still to come is no longer wanted."""
        self.tickets[what] = self.tickets.get(what, 0) + 1
        self.waiting.discard(what)

    def in_parts(self, more: Callable[[Client], Iterator[Any]]) -> Callable[[Client], Any]:
        """For an answer that comes in parts: each goes to `arrived_part` as it comes, the last is also the whole answer."""
        ticket = self.tickets["part"] = self.tickets.get("part", 0) + 1

        def take(client: Client) -> Any:
            part = None
            for part in more(client):
                self.post_message(Arrived("part", part, ticket))
            return part

        return take

    def on_arrived(self, message: Arrived) -> None:
        message.stop()
        if message.ticket != self.tickets.get(message.what):
            return
        self.waiting.discard(message.what)
        self.problem = ""
        self.answered_at = time.monotonic()
        getattr(self, f"arrived_{message.what}")(message.data)
        if self.optyx.pulse.old_s is not None:
            self.optyx.pulse.age(self)
        self.optyx.show_first()
        self.optyx.redraw_chrome()

    def on_failed(self, message: Failed) -> None:
        message.stop()
        if message.ticket != self.tickets.get(message.what):
            return
        self.waiting.discard(message.what)
        self.optyx.show_first()
        handler = getattr(self, f"failed_{message.what}", None)
        if handler is not None:
            handler(message.error)
        else:
            self.failed(message.what, message.error)
        self.optyx.redraw_chrome()

    def failed(self, what: str, error: Exception) -> None:
        """Says it once: a refresh that fails again and again does not fill the screen."""
        said = self.optyx.described(error)
        if isinstance(error, Held) or said != self.problem:
            self.problem = said
            if self.optyx.link.state == "live" or isinstance(error, Held):
                self.optyx.say(said, "error" if not isinstance(error, Held) else "warning")

    def woke(self, uncounted_s: float) -> None:
        """After a sleep (see `Link.woke`), or with new credentials: what it keeps open is opened anew."""
        if self.answered_at:
            self.answered_at -= uncounted_s

    def old_s(self) -> float | None:
        """The age of what it shows, once the gateway is away or answers others but not this view; None while it is fresh enough."""
        link = self.optyx.link
        if not self.answered_at or self.every_s is None:
            return link.stale_s
        age = time.monotonic() - self.answered_at
        return age if link.stale_s is not None or age > STALE_AFTER_S + self.every_s else None

    # Helping

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self._make_room(event.widget)
        self.optyx.work_moved()

    def turn_to(self, panel: Widget) -> None:
        """Gives a panel the focus, and the room where panels take turns."""
        self._make_room(panel)
        panel.focus()

    def _make_room(self, focused: Widget | None) -> None:
        """Where panels take turns, for the one with the focus."""
        self.set_class(self.takes_turns(), "turns")
        if self.has_class("turns"):
            here = focused if focused in self._parts() else self._first()
            for part in self.query("Panel, TextArea, Horizontal, Vertical"):
                part.set_class(part not in here.ancestors_with_self, "away")
                part.set_class(part in here.ancestors_with_self, "here")

    def next_panel(self, step: int) -> None:
        parts = self._parts()
        at = next((index for index, part in enumerate(parts) if part.has_focus), -1 if step > 0 else 0)
        self.turn_to(parts[(at + step) % len(parts)])

    def keep_focus(self) -> None:
        """Called when panels were hidden: with that which had the focus it would be gone."""
        focused = self.screen.focused
        if focused is not None and self in focused.ancestors and focused not in self._parts():
            self.focus_first()

    def focus_first(self) -> None:
        self._first().focus()

    def _first(self) -> Widget:
        """The first panel, or that which has the room where they take turns."""
        parts = self._parts()
        return next((one for one in parts if self.has_class("turns") and one.has_class("here")), parts[0])

    def _parts(self) -> list[Widget]:
        """What `tab` goes through."""
        parts = [part for part in self.query("Panel, TextArea").results(Widget) if part.can_focus]
        return [part for part in parts if not any(one.has_class("hidden") for one in part.ancestors_with_self)]


def as_json(value: Any) -> str:
    """A record as people copy it."""
    return json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False)
