"""A form inside a panel: lines to switch, to choose and to type in, with the mistake under the line it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rich.style import Style
from textual import events
from textual.message import Message

from tui.widgets.form import TextKeys, choices_line
from tui.widgets.line import Line, fit
from tui.widgets.panel import Panel

WIDEST_LABEL = 18


@dataclass(slots=True)
class Item:
    """`head`: a title. `choice`: one of `choices`. `check`: on or off, drawn as a box. `text`: typed."""

    kind: Literal["head", "choice", "check", "text"]
    name: str
    label: str
    value: Any = ""
    choices: Sequence[str] = ()
    note: str = ""
    secret: bool = False
    hidden: bool = False
    """Not drawn and not reached; it keeps its value."""
    keys: TextKeys = field(default_factory=TextKeys)


class EditorPanel(Panel):
    """Posts `Edited` whenever a value changed. Letters type on a text line and are the view's own elsewhere."""

    class Edited(Message):
        pass

    shows_age = False

    def __init__(self, title: str = "", *, id: str | None = None) -> None:
        super().__init__(title, id=id)
        self.items: list[Item] = []
        self.originals: dict[str, Any] = {}
        self.mistakes: dict[str, str] = {}
        self.at = 0
        self.top = 0

    def set_items(self, items: list[Item], *, keep_place: bool = False) -> None:
        name = self.current.name if keep_place and self.current else ""
        self.items = items
        for item in items:
            item.keys = TextKeys(item.value) if item.kind == "text" else item.keys
        self.originals = {item.name: item.value for item in items}
        self.at = next((index for index, item in enumerate(items) if item.name == name and item.kind != "head"), 0)
        if self.items and self.items[self.at].kind == "head":
            self._step(1)
        self.repaint()

    @property
    def current(self) -> Item | None:
        return self.items[self.at] if self.at < len(self.items) else None

    def value(self, name: str) -> Any:
        return next(item.value for item in self.items if item.name == name)

    def set_value(self, name: str, value: Any) -> None:
        for item in self.items:
            if item.name == name:
                item.value = value
                item.keys = TextKeys(value) if item.kind == "text" else item.keys
        self.changed()
        self.post_message(self.Edited())

    def reset_current(self) -> None:
        if self.current is not None:
            self.set_value(self.current.name, self.originals[self.current.name])

    def set_mistakes(self, mistakes: dict[str, str]) -> None:
        self.mistakes = mistakes
        self.changed()

    def go_to(self, name: str) -> None:
        for index, item in enumerate(self.items):
            if item.name == name:
                self.at = index
                self.changed()

    # Drawing

    @property
    def label_width(self) -> int:
        return min(
            WIDEST_LABEL,
            max((len(item.label) for item in self.items if item.kind not in ("head", "check")), default=0) + 2,
        )

    def _rows(self) -> list[tuple[int, str]]:
        """(item, part) of every line: its own, and one more for a mistake."""
        rows: list[tuple[int, str]] = []
        for index, item in enumerate(self.items):
            if item.hidden:
                continue
            rows.append((index, "line"))
            if item.name in self.mistakes:
                rows.append((index, "mistake"))
        return rows

    @property
    def cursor_y(self) -> int:
        return 1 + self._here(self._rows()) - self.top

    def _here(self, rows: list[tuple[int, str]]) -> int:
        return next((index for index, row in enumerate(rows) if row == (self.at, "line")), 0)

    def content(self, y: int, width: int) -> tuple[Line, Style | None]:
        rows = self._rows()
        height = self.inner_height
        here = self._here(rows)
        if here < self.top:
            self.top = max(0, here - 1)
        elif here >= self.top + height - 1:
            self.top = here - height + 2
        self.top = max(0, min(self.top, max(0, len(rows) - height)))
        if y + self.top >= len(rows):
            return [], None
        index, part = rows[y + self.top]
        item = self.items[index]
        if part == "mistake":
            return [(" " * 3, ""), (f"✖ {self.mistakes[item.name]}", "bad")], None
        return self._item_line(index, item, width), None

    def _item_line(self, index: int, item: Item, width: int) -> Line:
        if item.kind == "head":
            return [(item.label, "head")]
        here = index == self.at and self.has_focus
        mark: Line = [(">" if here else " ", "accent")]
        moved = item.value != self.originals.get(item.name)
        tail: Line = [("  changed", "warn")] if moved else [(f"  {item.note}", "dim")] if item.note else []
        if item.kind == "check":
            box = "[x] " if item.value else "[ ] "
            return [
                *mark,
                ("  ", ""),
                (box, "tab" if here else "key"),
                (fit(item.label, 28), "strong" if here else ""),
                *tail,
            ]
        room_of_label = self.label_width
        label: Line = [*mark, (fit(item.label, room_of_label), "strong" if here else "")]
        if item.kind == "choice":
            return [*label, *choices_line(item.choices, item.value, here, width - room_of_label - 1), *tail]
        room = width - room_of_label - 1 - (10 if moved else 0)
        if not item.value and item.note and not here:
            return [*label, (fit(item.note, max(8, width - room_of_label - 1)), "dim")]
        return [*label, *item.keys.drawn(max(8, room), here, item.secret), *([("  changed", "warn")] if moved else [])]

    def hide(self, *names: str) -> None:
        """Hides these items and shows all others."""
        for item in self.items:
            item.hidden = item.name in names
        self.repaint()

    # Keys

    def _step(self, by: int) -> None:
        at = self.at + by
        while 0 <= at < len(self.items) and (self.items[at].kind == "head" or self.items[at].hidden):
            at += by
        if 0 <= at < len(self.items):
            self.at = at

    def check_consume_key(self, key: str, character: str | None = None) -> bool:
        """Whether this key types, rather than doing what the view or the app binds it to."""
        return (
            self.current is not None
            and self.current.kind == "text"
            and character is not None
            and character.isprintable()
        )

    def on_key(self, event: events.Key) -> None:
        item = self.current
        if item is None:
            return
        if event.key in ("up", "down"):
            self._step(1 if event.key == "down" else -1)
        elif (
            item.kind == "text"
            and event.key not in ("tab", "shift+tab", "escape", "enter")
            and not event.key.startswith(("ctrl+s", "ctrl+e", "ctrl+r", "ctrl+p", "f"))
        ):
            if not item.keys.press(event):
                return
            self._set(item, item.keys.text)
        elif item.kind == "text" and event.key == "enter":
            self._step(1)
        elif item.kind == "choice" and event.key in ("left", "right", "space", "enter"):
            at = item.choices.index(item.value) if item.value in item.choices else 0
            self._set(item, item.choices[(at + (-1 if event.key == "left" else 1)) % len(item.choices)])
        elif item.kind == "check" and event.key in ("space", "enter"):
            self._set(item, not item.value)
        elif event.key in ("j", "k"):
            self._step(1 if event.key == "j" else -1)
        else:
            return
        event.stop()
        event.prevent_default()
        self.changed()

    def on_paste(self, event: events.Paste) -> None:
        item = self.current
        if item is not None and item.kind == "text":
            event.stop()
            item.keys.insert(event.text.strip())
            self._set(item, item.keys.text)
            self.changed()

    def _set(self, item: Item, value: Any) -> None:
        if value != item.value:
            item.value = value
            self.post_message(self.Edited())
