"""`GridTable`: the list of every screen. Draws only what is seen; the cursor follows the row's key, not its place.

Rows can be sorted by any column, marked, and filtered by typed words. 2,000 rows load at once; the live tail has a widget of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from rich.style import Style
from textual import events
from textual.message import Message

from tui.widgets.bound import bindings
from tui.widgets.columned import Column, Columned, cell_text
from tui.widgets.line import Line, fit, fit_line

T = TypeVar("T")


class GridTable(Columned[T]):
    """A framed table with a cursor. Posts `Opened` on enter and `Moved` when another row is under the cursor."""

    BINDINGS = bindings("list", "table")

    class Moved(Message):
        def __init__(self, grid: GridTable[Any]) -> None:
            self.grid = grid
            super().__init__()

    class Opened(Moved):
        pass

    def __init__(
        self,
        columns: Sequence[Column[T]],
        key: Callable[[T], str],
        *,
        title: str = "",
        aside: str = "",
        id: str | None = None,
        classes: str | None = None,
        text: Callable[[T], str] | None = None,
        markable: bool = False,
        sorts_by_s: bool = True,
    ) -> None:
        super().__init__(columns, title, aside, id=id, classes=classes)
        self.markable, self.sorts_by_s = markable, sorts_by_s
        self.key_of = key
        self.text_of = text or (lambda row: " ".join(cell_text(column.draw(row)) for column in self.columns))
        self.all_rows: list[T] = []
        self.rows: list[T] = []
        self.cursor = 0
        self.top = 0
        self.marked: set[str] = set()
        self.words = ""
        self.empty: list[Line] = [[("Nothing here yet.", "dim")]]
        self.is_loaded = False
        self.wait_lines: list[Line] = []

    # What is shown

    def set_rows(self, rows: Sequence[T], title: str | None = None, aside: str | None = None) -> None:
        """New rows; the cursor stays on the row with the same key, else on the same line."""
        self.title_text = self.title_text if title is None else title
        self.aside = self.aside if aside is None else aside
        held = self.current_key
        self.is_loaded = True
        self.all_rows = list(rows)
        self._arrange(held)

    def set_words(self, words: str) -> None:
        self.words = words
        self._arrange(self.current_key)

    def _arrange(self, held: str | None) -> None:
        rows = self.all_rows
        if self.words.strip():
            wanted = self.words.casefold().split()
            rows = [row for row in rows if _has_words(self.text_of(row).casefold(), wanted)]
        self.rows = self.in_order(rows)
        if held is not None:
            for index, row in enumerate(self.rows):
                if self.key_of(row) == held:
                    self.cursor = index
                    break
        self.cursor = max(0, min(self.cursor, len(self.rows) - 1))
        self.marked &= {self.key_of(row) for row in self.all_rows}
        self._keep_in_view()
        self.changed()
        if self.current_key != held:
            self.post_message(self.Moved(self))

    @property
    def current(self) -> T | None:
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None

    @property
    def current_key(self) -> str | None:
        row = self.current
        return None if row is None else self.key_of(row)

    def chosen(self) -> list[T]:
        """The marked rows, or else the one under the cursor."""
        marked = [row for row in self.all_rows if self.key_of(row) in self.marked]
        if marked:
            return marked
        return [] if self.current is None else [self.current]

    def select(self, key: str) -> bool:
        for index, row in enumerate(self.rows):
            if self.key_of(row) == key:
                self.move_to(index)
                return True
        return False

    # Drawing

    @property
    def cursor_y(self) -> int | None:
        return 2 + self.cursor - self.top if self.rows else None

    @property
    def list_height(self) -> int:
        return max(0, self.inner_height - 1)

    def row(self, y: int, width: int) -> tuple[Line, Style | None]:
        line, overlay = super().row(y, width)
        index = y - 2 + self.top
        if y >= 2 and y < self.outer_size.height - 1 and index < len(self.rows):
            if index == self.cursor and self.has_focus:
                line = [line[0], (">", "cursor"), *line[2:]]
            elif self.key_of(self.rows[index]) in self.marked:
                line = [line[0], ("*", "mark"), *line[2:]]
        return line, overlay

    def content(self, y: int, width: int) -> tuple[Line, Style | None]:
        if not self.rows:
            lines = self.empty if self.is_loaded else self.wait_lines
            return (lines[y] if y < len(lines) else []), None
        if y == 0:
            return self._head(width), None
        index = y - 1 + self.top
        if index >= len(self.rows):
            return [], None
        line: Line = []
        row = self.rows[index]
        for column, room in self.shown_columns(width):
            if line:
                line.append((" ", ""))
            cell = column.draw(row)
            if isinstance(cell, tuple):
                line.append((fit(cell[0], room, column.align), cell[1]))
            else:
                line += fit_line(cell, room)
        selected = index == self.cursor and self.has_focus
        return line, (self.palette["cursor"] if selected else None)

    def _head(self, width: int) -> Line:
        line: Line = []
        for column, room in self.shown_columns(width):
            if line:
                line.append((" ", ""))
            line.append((fit(self.sorted_title(column), room, column.align), "head"))
        return line

    # Moving

    def move_to(self, index: int) -> None:
        index = max(0, min(index, len(self.rows) - 1))
        if index == self.cursor:
            return
        self.cursor = index
        self._keep_in_view()
        self.changed()
        self.post_message(self.Moved(self))

    def _keep_in_view(self) -> None:
        height = max(1, self.list_height)
        if self.cursor < self.top:
            self.top = self.cursor
        elif self.cursor >= self.top + height:
            self.top = self.cursor - height + 1
        self.top = max(0, min(self.top, max(0, len(self.rows) - height)))

    def on_resize(self, event: events.Resize) -> None:
        self._keep_in_view()
        self.changed()

    def action_move(self, by: int) -> None:
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.move_to(self.cursor + by * max(1, self.list_height - 1))

    def action_edge(self, end: int) -> None:
        self.move_to(len(self.rows) - 1 if end else 0)

    def action_open(self) -> None:
        if self.current is not None:
            self.post_message(self.Opened(self))

    def action_mark(self) -> None:
        key = self.current_key
        if key is not None:
            self.marked ^= {key}
            self.changed()
            self.move_to(self.cursor + 1)

    def action_mark_all(self) -> None:
        keys = {self.key_of(row) for row in self.rows}
        self.marked = set() if keys <= self.marked else self.marked | keys
        self.changed()

    def put_in_order(self) -> None:
        self._arrange(self.current_key)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("mark", "mark_all"):
            return self.markable
        return super().check_action(action, parameters)

    def on_click(self, event: events.Click) -> None:
        index = event.y - 2 + self.top
        if 0 <= index < len(self.rows):
            if index == self.cursor:
                self.action_open()
            else:
                self.move_to(index)


def _has_words(text: str, wanted: list[str]) -> bool:
    return all(word[1:] not in text if word.startswith("-") and len(word) > 1 else word in text for word in wanted)
