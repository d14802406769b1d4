"""Short messages to the user: at most three above the status lines, each for as long as it takes to read, and a history of all."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from tui.widgets.chrome import notice_line
from tui.widgets.line import Line
from tui.widgets.panel import Painted

SHOWN_S = {"information": 4.0, "warning": 8.0, "error": 30.0}
KEPT = 200


class Notices:
    """All that was said, the same text in a row counted and not repeated."""

    def __init__(self) -> None:
        self.said: list[tuple[datetime, str, str, int]] = []

    def add(self, text: str, kind: str, at: datetime) -> None:
        if self.said and self.said[-1][1] == text:
            self.said[-1] = (at, text, kind, self.said[-1][3] + 1)
        else:
            self.said.append((at, text, kind, 1))
            del self.said[:-KEPT]

    def newest(self) -> list[tuple[datetime, str, str, int]]:
        return list(reversed(self.said))


class Toasts(Painted):
    """Draws the newest three; never over the two lines at the bottom."""

    def __init__(self) -> None:
        super().__init__(id="toasts")
        self.shown: list[tuple[str, str, float, int]] = []

    def show(self, text: str, kind: str) -> None:
        until = time.monotonic() + SHOWN_S.get(kind, 4.0)
        for index, (other, _, _, count) in enumerate(self.shown):
            if other == text:
                self.shown[index] = (text, kind, until, count + 1)
                break
        else:
            self.shown = [*self.shown, (text, kind, until, 1)][-3:]
        self._arrange()

    def expire(self) -> None:
        now = time.monotonic()
        left = [one for one in self.shown if one[2] > now]
        if len(left) != len(self.shown):
            self.shown = left
            self._arrange()

    def _arrange(self) -> None:
        self.display = bool(self.shown)
        self.styles.height = max(1, len(self.shown))
        self.repaint()

    def row(self, y: int, width: int) -> tuple[Line, Any]:
        if y >= len(self.shown):
            return [], None
        text, kind, _, count = self.shown[y]
        return [
            (name_text, style or "field")
            for name_text, style in notice_line(text + (f"  ×{count}" if count > 1 else ""), kind, width)
        ], None
