"""Short messages to the user: at most three above the status lines, each for as long as it takes to read, and a history of all.

An error stays until `esc` (or a click) takes it away. None stands over the row or the field that is worked on: then they go up under the tabs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from textual import events

from tui.widgets.chrome import notice_line
from tui.widgets.line import Line, ends
from tui.widgets.panel import Painted, Panel

SHOWN_S = {"information": 4.0, "warning": 8.0, "error": math.inf}
MOST = 3
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


@dataclass(slots=True)
class Toast:
    text: str
    kind: str
    until: float
    count: int = 1

    @property
    def is_error(self) -> bool:
        return self.kind == "error"


class Toasts(Painted):
    """Draws the newest three, one of them an error as long as there is one."""

    def __init__(self) -> None:
        super().__init__(id="toasts")
        self.standing: list[Toast] = []
        self.shown: list[Toast] = []
        self.y = 0

    def show(self, text: str, kind: str) -> None:
        until = time.monotonic() + SHOWN_S.get(kind, 4.0)
        same = next((one for one in self.standing if (one.text, one.kind) == (text, kind)), None)
        if same is not None:
            same.until, same.count = until, same.count + 1
        else:
            self.standing.append(Toast(text, kind, until))
            for one in [one for one in self.standing if one.is_error][:-MOST]:
                self.standing.remove(one)
        self._arrange()

    def expire(self) -> None:
        self._keep([one for one in self.standing if one.until > time.monotonic()])
        self.make_way()

    def dismiss(self) -> bool:
        """Takes the errors away; whether there was one."""
        return self._keep([one for one in self.standing if not one.is_error])

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self._keep([])

    def _keep(self, standing: list[Toast]) -> bool:
        if len(standing) == len(self.standing):
            return False
        self.standing = standing
        self._arrange()
        return True

    def _arrange(self) -> None:
        self.shown = _newest(self.standing)
        self.display = bool(self.shown)
        self.styles.height = max(1, len(self.shown))
        self.make_way()
        self.repaint()

    def make_way(self) -> None:
        """Called whenever what is worked on has moved."""
        if self.shown:
            body = self.app.query_one("#body").region
            below, above, height = body.bottom - len(self.shown), body.y, len(self.shown)
            busy = self._worked_on()
            in_the_way = below < busy.stop and busy.start < below + height
            y = above if in_the_way and above + height <= busy.start else below
            if y != self.y:
                self.y = y
                self.styles.offset = (0, y)

    def _worked_on(self) -> range:
        """The lines of the screen that must stay in sight: the row under the cursor, or the whole of a field."""
        focused = self.screen.focused
        if focused is None:
            return range(0)
        top = focused.region.y
        if not isinstance(focused, Panel):
            return range(top, focused.region.bottom)
        return range(0) if focused.cursor_y is None else range(top + focused.cursor_y, top + focused.cursor_y + 1)

    def row(self, y: int, width: int) -> tuple[Line, Any]:
        if y >= len(self.shown):
            return [], None
        one = self.shown[y]
        is_last_error = one.is_error and not any(other.is_error for other in self.shown[y + 1 :])
        back = self.optyx.keymap_table.first_sign("app.back")
        key: Line = [(back, "key"), (" dismiss ", "dim")] if is_last_error else []
        line = ends(notice_line(one.text + (f"  ×{one.count}" if one.count > 1 else ""), one.kind), key, width)
        return [(text, style or "field") for text, style in line], None


def _newest(standing: Sequence[Toast]) -> list[Toast]:
    shown = list(standing[-MOST:])
    errors = [one for one in standing if one.is_error]
    return shown if not errors or errors[-1] in shown else [errors[-1], *shown[1:]]
