"""`LogView`: the live tail, of which only the visible lines are ever drawn.

While it follows, new rows arrive at the bottom. A move up pauses it: rows on screen then stand still and are counted as `+N`, until
`G` or `end` takes the tail up again. Rows come in batches, at most one a flush of the screen (10 Hz, slower over SSH).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.style import Style
from textual import events
from textual.message import Message

from tui.widgets.bound import bindings
from tui.widgets.columned import Column, Columned
from tui.widgets.line import Line, fit, fit_line
from tui.widgets.ring import CAPACITY, Ring

T = TypeVar("T")


class LogView(Columned[T]):
    """Numbers are those of `Ring`. While a column sorts, `ring` is a sorted copy of what was loaded then, and `live` takes what comes."""

    BINDINGS = bindings("list")

    class Moved(Message):
        pass

    class Opened(Message):
        pass

    class AtTop(Message):
        """Somebody wants to go above the first row."""

    class Paused(Message):
        """It began or ceased to follow."""

    def __init__(
        self,
        columns: Sequence[Column[T]],
        *,
        title: str = "Requests",
        capacity: int = CAPACITY,
        id: str | None = None,
        across: Callable[[T], Line | None] | None = None,
    ) -> None:
        """`across`: of a row that is no row of columns, what stands there over all of them."""
        super().__init__(columns, title, "", id=id)
        self.across = across
        self.ring: Ring[T] = Ring(capacity)
        self.live: Ring[T] | None = None
        self.cursor = 0
        self.bottom = 0
        """One past the number of the last row on screen."""
        self.following = True
        self.waiting = 0
        self.empty: list[Line] = []

    def add(self, rows: Sequence[T]) -> None:
        if not rows:
            return
        if self.live is not None:
            self.live.extend(rows)
            self.waiting += len(rows)
            return
        self.ring.extend(rows)
        if self.following:
            self.bottom = self.ring.added
            self.cursor = self.ring.added - 1
            self.post_message(self.Moved())
        else:
            self.waiting += len(rows)
            self.cursor = max(self.cursor, self.ring.first)
            self.bottom = max(self.bottom, min(self.ring.added, self.ring.first + self.list_height))
        self.changed()

    def prepend(self, rows: Sequence[T]) -> None:
        """Older rows above the first; what is on screen stays where it is."""
        if not rows:
            return
        self.pause()
        shift = self.ring.prepend(rows)
        self.cursor += shift
        self.bottom += shift
        self.changed()

    def replace(self, rows: Sequence[T]) -> None:
        """Other rows altogether (another filter); follows again."""
        self._unsort()
        self.ring.clear()
        self.ring.extend(rows)
        self.follow()

    def put_in_order(self) -> None:
        """By the column the highest first or last; without one, as they came. None of it while rows run by."""
        if self.sort_column < 0:
            self.follow()
            return
        self.pause()
        live = self.live = self.live or self.ring
        rows = self.in_order(live[number] for number in range(live.first, live.added))
        self.ring = Ring(live.capacity)
        self.ring.extend(rows)
        self.cursor, self.bottom = 0, min(len(rows), self.list_height)
        self.repaint()
        self.post_message(self.Moved())

    def _unsort(self) -> None:
        if self.live is not None:
            self.ring, self.live, self.sort_column = self.live, None, -1

    def follow(self) -> None:
        was_following = self.following
        self._unsort()
        self.following = True
        self.waiting = 0
        self.bottom = self.ring.added
        self.cursor = max(self.ring.first, self.ring.added - 1)
        self.changed()
        self.post_message(self.Moved())
        if not was_following:
            self.post_message(self.Paused())

    def pause(self) -> None:
        if self.following:
            self.following = False
            self.waiting = 0
            self.post_message(self.Paused())

    @property
    def current(self) -> T | None:
        return self.ring[self.cursor] if self.ring.first <= self.cursor < self.ring.added else None

    @property
    def list_height(self) -> int:
        return max(1, self.inner_height - 1)

    @property
    def cursor_y(self) -> int | None:
        return 2 + self.cursor - self.top if len(self.ring) else None

    @property
    def top(self) -> int:
        return max(self.ring.first, self.bottom - self.list_height)

    def set_columns(self, columns: Sequence[Column[T]]) -> None:
        if list(columns) != self.columns:
            if self.sort_column >= 0:
                self.follow()
            self.columns = list(columns)
            self.repaint()

    def row(self, y: int, width: int) -> tuple[Line, Style | None]:
        line, overlay = super().row(y, width)
        if (
            len(self.ring)
            and 2 <= y < self.outer_size.height - 1
            and self.top + y - 2 == self.cursor
            and self.cursor < self.bottom
        ):
            line = [line[0], (">", "cursor" if self.has_focus else "accent"), *line[2:]]
        return line, overlay

    def content(self, y: int, width: int) -> tuple[Line, Style | None]:
        if not len(self.ring):
            return (self.empty[y] if y < len(self.empty) else []), None
        columns = self.shown_columns(width)
        line: Line = []
        if y == 0:
            for column, room in columns:
                line += [(" ", "")] if line else []
                line.append((fit(self.sorted_title(column), room, column.align), "head"))
            return line, None
        number = self.top + y - 1
        if number >= min(self.bottom, self.ring.added):
            return [], None
        row = self.ring[number]
        line = (self.across and self.across(row)) or self._in_columns(row, columns)
        selected = number == self.cursor and self.has_focus
        return line, (self.palette["cursor"] if selected else None)

    def _in_columns(self, row: T, columns: Sequence[tuple[Column[T], int]]) -> Line:
        line: Line = []
        for column, room in columns:
            line += [(" ", "")] if line else []
            cell = column.draw(row)
            if isinstance(cell, tuple):
                line.append((fit(cell[0], room, column.align), cell[1]))
            else:
                line += fit_line(cell, room)
        return line

    def move_to(self, number: int) -> None:
        if not len(self.ring):
            return
        if number < self.ring.first and self.live is None:
            self.post_message(self.AtTop())
        number = max(self.ring.first, min(number, self.ring.added - 1))
        if self.following and number < self.ring.added - 1:
            self.pause()
        if number == self.cursor:
            return
        top = self.top
        self.cursor = number
        if number < top:
            self.bottom = min(self.ring.added, number + self.list_height)
        elif number >= self.bottom:
            self.bottom = number + 1
        self.changed()
        self.post_message(self.Moved())

    def seek(self, wanted: Callable[[T], bool], step: int) -> bool:
        """To the next row from here that is wanted; False where there is none among the loaded."""
        number = self.cursor + step
        while self.ring.first <= number < self.ring.added:
            if wanted(self.ring[number]):
                self.move_to(number)
                return True
            number += step
        return False

    def on_resize(self, event: events.Resize) -> None:
        self.bottom = self.ring.added if self.following else max(self.bottom, min(self.ring.added, self.list_height))
        if self.cursor < self.top:
            self.bottom = min(self.ring.added, self.cursor + self.list_height)
        self.changed()

    def action_move(self, by: int) -> None:
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.move_to(self.cursor + by * max(1, self.list_height - 1))

    def action_edge(self, end: int) -> None:
        if end:
            self.follow()
        else:
            self.move_to(self.ring.first)

    def action_open(self) -> None:
        if self.current is not None:
            self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        if event.y >= 2:
            self.move_to(self.top + event.y - 2)
