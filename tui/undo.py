"""Taking a change back: for 30 seconds `u` undoes the last one, on the gateway."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tui.screens.view import ASKED

if TYPE_CHECKING:
    from tui.app import OptyxApp
    from tui.calls import Client

UNDO_S = 30.0


class Undo:
    """What can be taken back now; the last change replaces the one before."""

    def __init__(self) -> None:
        self._audit_ids: list[str] = []
        self.text = ""
        self._until = 0.0

    def offer(self, audit_ids: list[str], text: str) -> None:
        self._audit_ids, self.text, self._until = audit_ids, text, time.monotonic() + UNDO_S

    @property
    def left_s(self) -> int:
        """Whole seconds for which it is still offered; 0 when there is nothing to undo."""
        left = self._until - time.monotonic() if self._audit_ids else 0.0
        if left <= 0:
            self._audit_ids = []
        return max(0, int(left))

    def run(self, app: OptyxApp) -> None:
        """Takes these changes back, the last one first."""
        if not self.left_s:
            app.say("Nothing to undo: the last change is older than 30 s, or can't be undone.", "warning")
        elif app.guarded:
            app.confirm(f"Undo: {self.text}?", [], "undo", lambda: self._send(app))
        else:
            self._send(app)

    def _send(self, app: OptyxApp) -> None:
        audit_ids, self._audit_ids = self._audit_ids, []

        def undo(client: Client) -> Any:
            return [client.undo(audit_id) for audit_id in reversed(audit_ids)]

        def undone(_: Any) -> None:
            app.say(f"Undone: {self.text}.")
            app.action_refresh_now()

        def refused(error: Exception) -> None:
            app.say(f"Could not undo: {self.text}. {app.described(error)}", "error")

        if app.view is not None:
            app.view.arrived_undo = undone  # type: ignore[attr-defined]
            app.view.failed_undo = refused  # type: ignore[attr-defined]
            app.view.change("undo", undo, ASKED)
