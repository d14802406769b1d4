"""What lists of both kinds, tables and the tail, do with their columns: which fit, which are hidden, wide mode, by which one sorts.

Columns have fixed priorities: when the terminal is narrow the last ones go, always the same ones, and no column jumps. In wide mode (`v`)
none goes: all have their room, also those that are shown nowhere else, the first stays, and the others move past it with ← and →.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tui.chosen import left_out
from tui.widgets.bound import bindings
from tui.widgets.line import Align, Line, Span
from tui.widgets.panel import Panel

T = TypeVar("T")
GAP = 1
FEW, MOST_GROWTH, WIDE_GROWTH = 4, 24, 32
"""A list of few columns takes the whole width; one of many keeps together, so that the eye can follow a row."""


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """`draw` gives a cell as a span or a line; `value` what the column is sorted by. A higher `priority` goes first when narrow."""

    title: str
    width: int
    draw: Callable[[T], Span | Line]
    value: Callable[[T], Any] | None = None
    align: Align = "left"
    priority: int = 1
    grow: bool = False
    wide: bool = False
    """Only in wide mode."""


def fitting(columns: Sequence[Column[T]], width: int) -> list[tuple[Column[T], int]]:
    """The columns that fit, each with its width: the least important ones go; what is left over widens the growing ones."""
    chosen = list(columns)
    while len(chosen) > 1 and sum(column.width + GAP for column in chosen) - GAP > width:
        last = max(range(len(chosen)), key=lambda index: (chosen[index].priority, index))
        del chosen[last]
    spare = width - sum(column.width + GAP for column in chosen) + GAP
    growing = [column for column in chosen if column.grow]
    widths: list[tuple[Column[T], int]] = []
    for column in chosen:
        extra = (
            (spare if len(chosen) <= FEW else min(spare, MOST_GROWTH)) // len(growing)
            if column.grow and spare > 0
            else 0
        )
        widths.append((column, column.width + extra))
    return widths


def unrolled(columns: Sequence[Column[T]], width: int, past: int) -> list[tuple[Column[T], int]]:
    """Wide mode: the first column and those after the first `past` others, as far as there is room; the last one may be cut."""
    shown: list[tuple[Column[T], int]] = []
    for column in [*columns[:1], *columns[1 + past :]]:
        room = min(width, max(column.width, WIDE_GROWTH if column.grow else 0))
        if room <= 0:
            break
        shown.append((column, room))
        width -= room + GAP
    return shown


class Columned(Panel, Generic[T]):
    """`columns` may be another list later; what is hidden is known by its title. Subclasses `put_in_order` their rows by the sorted column."""

    BINDINGS = bindings("columns")

    if TYPE_CHECKING:

        def put_in_order(self) -> None:
            """Shows the rows by the sorted column: each kind of list holds them its own way."""

    def __init__(
        self, columns: Sequence[Column[T]], title: str, aside: str, *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(title, aside, id=id, classes=classes)
        self.columns = list(columns)
        self.hidden = left_out(id) if id else set()
        self.is_wide = False
        self.sorts_by_s = True
        self.past = 0
        self.sort_column = -1
        self.sort_reverse = False
        self._fitted: list[tuple[Column[T], int]] = []
        self._fitted_for: tuple[object, ...] = ()

    def in_order(self, rows: Iterable[T]) -> list[T]:
        """The rows by the sorted column, or as they come where there is none."""
        value = self.columns[self.sort_column].value if 0 <= self.sort_column < len(self.columns) else None
        if value is None:
            return list(rows)
        return sorted(rows, key=lambda row: sortable(value(row)), reverse=self.sort_reverse)

    def shown_columns(self, width: int) -> list[tuple[Column[T], int]]:
        asked = (width, tuple(self.columns), frozenset(self.hidden), self.is_wide, self.past)
        if asked != self._fitted_for:
            self._fitted_for = asked
            chosen = self.left_with(self.hidden) or self.columns[:1]
            self._fitted = unrolled(chosen, width, self.past) if self.is_wide else fitting(chosen, width)
        return self._fitted

    def left_with(self, hidden: Container[str]) -> list[Column[T]]:
        """The columns there are without these."""
        return [one for one in self.columns if one.title not in hidden and (self.is_wide or not one.wide)]

    def sorted_title(self, column: Column[T]) -> str:
        is_sorted = 0 <= self.sort_column < len(self.columns) and self.columns[self.sort_column] is column
        return column.title + (("▾" if self.sort_reverse else "▴") if is_sorted else "")

    def action_wide(self) -> None:
        self.is_wide, self.past = not self.is_wide, 0
        self.repaint()
        self.optyx.say("Every column; ← → move across, v ends it." if self.is_wide else "The columns that fit.")

    def action_across(self, by: int) -> None:
        chosen = sum(column.title not in self.hidden for column in self.columns)
        self.past = max(0, min(self.past + by, chosen - 2))
        self.repaint()

    def action_sort(self) -> None:
        """By the next column in sight; after the last one, as the gateway gave them."""
        shown = {column.title for column, _ in self.shown_columns(self.inner_width)}
        places = [at for at, column in enumerate(self.columns) if column.value is not None and column.title in shown]
        self.sort_column = next((place for place in places if place > self.sort_column), -1)
        self.sort_reverse = False
        self.put_in_order()

    def action_reverse(self) -> None:
        """The other way round. Where the view has `s` for itself, the next column comes after that."""
        if self.sort_column < 0 or (self.sort_reverse and not self.sorts_by_s):
            self.action_sort()
        else:
            self.sort_reverse = not self.sort_reverse
            self.put_in_order()

    def sort_by(self, index: int) -> None:
        """By this column, the highest first; again: the lowest first."""
        if self.columns[index].value is not None:
            self.sort_reverse = not (self.sort_column == index and self.sort_reverse)
            self.sort_column = index
            self.put_in_order()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "sort":
            return self.sorts_by_s
        return self.is_wide or action != "across"


def cell_text(cell: Span | Line) -> str:
    return cell[0] if isinstance(cell, tuple) else "".join(text for text, _ in cell)


def sortable(value: Any) -> tuple[int, Any]:
    """None sorts before everything; words without regard to case."""
    if value is None:
        return (0, 0)
    return (1, value.casefold() if isinstance(value, str) else value)
