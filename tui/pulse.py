"""Once a second: the clock, the ages of what is shown, and whatever is due to be asked again. Less while nobody looks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.screen import ModalScreen

from tui.widgets.panel import Painted

if TYPE_CHECKING:
    from tui.app import OptyxApp
    from tui.screens.view import View

UNWATCHED_S = 10
QUIET_S = 8.0
"""After so long without an answer the gateway is asked whether it is there, so that a view that never asks is not called stale."""
UNANSWERED_S = 2.0
"""And after so long where something has been asked and not answered: it may be a long question, or a gateway that stands still."""
SLEPT_S = 30.0
"""After so long between two beats this machine has slept, this program was stopped, or the clock was set."""


class Pulse:
    def __init__(self, app: OptyxApp) -> None:
        self._app = app
        self._next_load = 0.0
        self._last_beat = time.time(), time.monotonic()
        self.is_watched = True
        """False while another window has the focus: then less is asked and drawn."""
        self.old_s: float | None = None
        """How old the view in sight is, where it is older than it should be."""

    def visited(self, view: View) -> None:
        """A view that comes into sight asks by itself: the next time is one period later."""
        self._next_load = time.monotonic() + (view.every_s or 0)
        self.old_s = self._app.link.stale_s

    def start(self) -> None:
        self._timer = self._app.set_interval(1.0, self.beat)

    def watch(self, is_watched: bool) -> None:
        self.is_watched = is_watched
        self._timer.stop()
        self._timer = self._app.set_interval(1.0 if is_watched else UNWATCHED_S, self.beat)
        if is_watched:
            self._next_load = 0.0
            self.beat()

    def beat(self) -> None:
        app = self._app
        if not app.toasts.is_attached:
            return  # the app is ending, its widgets are gone
        app.toasts.expire()
        self._wake()
        view = app.view
        if app.link.state == "no_credentials" or view is None:
            app.redraw_chrome()
            return
        if isinstance(app.screen, ModalScreen):
            is_due = app.link.state == "offline" and time.monotonic() >= app.link.next_try
            self._greet(is_due)
            app.redraw_chrome()
            return
        self.age(view)
        if self._ask_again(view) and app.link.state == "live":
            return  # the frame is drawn with the answer, in one go
        self._greet()
        app.redraw_chrome()

    def _wake(self) -> None:
        """After a sleep the connections may be dead, and what is shown is older than the clock of the elapsed says: that one slept too."""
        now, before = (time.time(), time.monotonic()), self._last_beat
        self._last_beat = now
        if now[0] - before[0] > SLEPT_S:
            self._next_load = 0.0
            uncounted_s = max(0.0, now[0] - before[0] - (now[1] - before[1]))
            self._app.link.woke(uncounted_s)
            for view in self._app.views.values():
                view.woke(uncounted_s)

    def _greet(self, is_due: bool = False) -> None:
        """Asks whether the gateway is there, when nothing else has asked for a while."""
        app = self._app
        waits = app.view is not None and bool(app.view.waiting)
        quiet_s = UNANSWERED_S if waits else QUIET_S
        if app.link.greeted_at is None and (is_due or (app.link.state == "live" and app.link.age_s > quiet_s)):
            app.greet()

    def age(self, view: View) -> None:
        """Says on every panel how old it is, once that is worth saying, and dims it; takes both back when there is an answer again."""
        old_s, was_old = view.old_s(), self.old_s is not None
        self.old_s = old_s
        if old_s is not None or was_old:
            for painted in view.query(Painted):
                painted.changed()

    def _ask_again(self, view: View) -> bool:
        """Whether the view asks now."""
        link, now = self._app.link, time.monotonic()
        if view.waiting:
            return False
        if link.state in ("offline", "signed_out", "stale"):
            if now < link.next_try:
                return False
            link.next_try = now + (10.0 if link.state == "signed_out" else 1.0)
        elif view.every_s is None or now < self._next_load:
            return False
        else:
            self._next_load = now + (view.every_s if self.is_watched else max(view.every_s, UNWATCHED_S)) - 0.5
        view.load()
        return True
