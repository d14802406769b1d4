"""Two people saved: what it was, what they made of it, what you wanted, field by field."""

from __future__ import annotations

from typing import Any

from textual import events

from tui.widgets.dialogs import Dialog
from tui.widgets.line import Line, fit


class Conflict(Dialog):
    """Answers the fields to save on top of theirs; an empty answer takes all of theirs; None goes back to the form."""

    WIDTH = 110
    KEYS = (("space", "yours or theirs"), ("^s", "save so"), ("esc", "back to the form"))

    def __init__(self, base: dict[str, Any], theirs: dict[str, Any], mine: dict[str, Any]) -> None:
        super().__init__("The settings changed meanwhile")
        self.base, self.theirs, self.mine = base, theirs, mine
        self.names = list(mine)
        self.keep_mine = dict.fromkeys(self.names, True)

    def line_at(self) -> int:
        return 4 + self.at

    def lines(self) -> list[Line]:
        width = self.text_width()
        column = (width - 30) // 3
        by = self.theirs.get("updated_by") or "somebody"
        lines: list[Line] = [
            [],
            [
                (
                    f"{by} saved version {self.theirs.get('version')} while you edited. Nothing is lost: choose for each field.",
                    "",
                )
            ],
            [],
            [
                (fit("  FIELD", 18), "head"),
                *((fit(name, column), "head") for name in ("BASE", f"THEIRS ({by})", "YOURS")),
                ("SAVES", "head"),
            ],
        ]
        for index, name in enumerate(self.names):
            yours = self.keep_mine[name]
            lines.append(
                [
                    (">" if index == self.at else " ", "accent"),
                    (fit(f" {name}", 17), "strong"),
                    (fit(str(self.base.get(name)), column - 1) + " ", "dim"),
                    (fit(str(self.theirs.get(name)), column - 1) + " ", "" if yours else "strong"),
                    (fit(str(self.mine[name]), column - 1) + " ", "strong" if yours else ""),
                    ("yours" if yours else "theirs", "accent"),
                ]
            )
        foot: Line = [
            ("space", "key"),
            (" yours or theirs   ", ""),
            ("^s", "key"),
            (" save so   ", ""),
            ("esc", "key"),
            (" back to the form", ""),
        ]
        return [*lines, [], foot, []]

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self.dismiss(None)
        elif event.key == "ctrl+s":
            self.dismiss({name: self.mine[name] for name in self.names if self.keep_mine[name]})
        elif event.key in ("up", "k", "down", "j"):
            self.step(1 if event.key in ("down", "j") else -1, len(self.names))
        elif event.key == "space":
            name = self.names[self.at]
            self.keep_mine[name] = not self.keep_mine[name]
            self.draw()
