"""`C`: which columns a list shows, now and in later sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual import events

from tui.chosen import leave_out
from tui.widgets.columned import Columned
from tui.widgets.dialogs import Dialog
from tui.widgets.line import Line

if TYPE_CHECKING:
    from tui.app import OptyxApp


class ColumnChoice(Dialog):
    """Space shows or hides, s sorts by it; the last column left can't be hidden."""

    WIDTH = 52
    KEYS = (("↑↓", "choose"), ("space", "show or hide"), ("esc", "done"))

    def __init__(self, table: Columned[Any]) -> None:
        super().__init__("Columns")
        self.table = table

    def line_at(self) -> int:
        return 1 + self.at

    def lines(self) -> list[Line]:
        lines: list[Line] = [[]]
        for index, column in enumerate(self.table.columns):
            box = "[ ] " if column.title in self.table.hidden else "[x] "
            lines.append(
                [
                    (">" if index == self.at else " ", "accent"),
                    (box, "key"),
                    (self.table.sorted_title(column), "strong" if index == self.at else ""),
                    ("   in wide mode" if column.wide else "", "dim"),
                ]
            )
        foot: Line = [
            ("space", "key"),
            (" show or hide  ", "dim"),
            ("s", "key"),
            (" sort  ", "dim"),
            ("esc", "key"),
            (" done", "dim"),
        ]
        return [*lines, [], foot]

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        if event.key in ("up", "k", "down", "j"):
            self.step(1 if event.key in ("down", "j") else -1, len(self.table.columns))
        elif event.key == "space":
            hidden = self.table.hidden ^ {self.table.columns[self.at].title}
            if self.table.left_with(hidden):
                self.table.hidden = hidden
                self.table.repaint()
        elif event.key == "s":
            self.table.sort_by(self.at)
        else:
            self.dismiss(None)
            return
        self.draw()


def choose_columns(app: OptyxApp) -> None:
    table = app.focused
    if not isinstance(table, Columned) and app.view is not None:
        table = next(iter(app.view.query(Columned)), None)
    if isinstance(table, Columned):
        before = table.hidden
        app.push_screen(ColumnChoice(table), lambda _: _keep(app, table, before))
    else:
        app.say("No columns to choose here.", "warning")


def _keep(app: OptyxApp, table: Columned[Any], before: set[str]) -> None:
    if table.hidden == before or table.id is None:
        return
    try:
        leave_out(table.id, table.hidden)
    except OSError as error:
        app.say(f"The choice holds for this session alone: {error.filename}: {error.strerror}.", "warning")
