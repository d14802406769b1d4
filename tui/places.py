"""Going about in the dashboard: which view stands on the screen, the places visited, the filter and the command line.

Views are imported when they are first visited: the overview alone decides how soon there is something to see.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from textual.app import App
from textual.widgets import Input

from tui.link import Link
from tui.location import WINDOWS, History, Location
from tui.widgets.chrome import Prompt

if TYPE_CHECKING:
    from tui.notices import Toasts
    from tui.pulse import Pulse
    from tui.screens.view import View

MOUNTS_S = 0.005
"""Between looks whether a new view is there: on a busy machine a refresh can come before it."""
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


class Places(App[int]):
    """The part of the app that knows where the user is. What is said and asked is in `tui.speaking`, all else in `tui.app`."""

    history: History
    link: Link
    pulse: Pulse
    toasts: Toasts

    if TYPE_CHECKING:  # what the other half gives

        def redraw_chrome(self) -> None: ...

        def sign_in_again(self) -> None: ...

        def say(self, text: str, kind: str = "information") -> None: ...

    def __init__(self, ansi_color: bool | None) -> None:
        super().__init__(ansi_color=ansi_color)
        self.views: dict[str, View] = {}
        self.is_moving = False
        """Between the asking for a place and its having the focus."""
        self.window = "15m"
        self.typed_filter = ""
        """The filter that was typed here: the first `esc` clears it. One that came with the place goes when the place does."""

    @property
    def view(self) -> View | None:
        return self.views.get(self.history.here.screen)

    # Going places

    def go(self, place: Location) -> None:
        self.history.go(place)
        self.show_place()

    def show_place(self) -> None:
        place = self.history.here
        view = self.view_for(place.screen)
        for other in self.views.values():
            if other is not view and other.display:
                other.display = False
                other.leave()
        view.display = True
        self.pulse.visited(view)
        self.is_moving = True
        self.call_after_refresh(self._arrive, view, place)
        self.redraw_chrome()

    def _arrive(self, view: View, place: Location) -> None:
        if view is not self.view:
            return  # the user has gone on
        if not view.is_mounted:
            self.set_timer(MOUNTS_S, lambda: self._arrive(view, place))
            return
        self.is_moving = False
        view.visit(place)

    def view_for(self, name: str) -> View:
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
        if self.toasts.dismiss():
            return
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

    def action_last(self) -> None:
        if self.history.last() is not None:
            self.show_place()

    def action_focus_next(self) -> None:
        """Textual's screens take tab for themselves, below the app's own keys."""
        self.action_next_panel(1)

    def action_focus_previous(self) -> None:
        self.action_next_panel(-1)

    def action_next_panel(self, step: int) -> None:
        if self.view is not None:
            self.view.next_panel(step)

    def action_window(self, step: int) -> None:
        at = WINDOWS.index(self.window)
        self.window = WINDOWS[max(0, min(len(WINDOWS) - 1, at + step))]
        self.action_refresh_now()

    def action_refresh_now(self) -> None:
        self.link.next_try = 0.0
        if self.link.state == "signed_out":
            self.sign_in_again()
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
