"""A form in a dialog: a few labelled fields, checked while typing, with the mistake under the field it is in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from textual import events

from tui.widgets.dialogs import Dialog
from tui.widgets.line import Line, fit, wrapped


@dataclass(slots=True)
class Field:
    """`check` says what is wrong with a text, or nothing. `choices` are walked with left and right. `secret` is never drawn."""

    name: str
    label: str
    value: str = ""
    hint: str = ""
    check: Callable[[str], str] | None = None
    choices: Sequence[str] = ()
    secret: bool = False

    def mistake(self) -> str:
        return self.check(self.value.strip()) if self.check else ""


class TextKeys:
    """Editing one line of text with the usual keys."""

    def __init__(self, text: str = "") -> None:
        self.text, self.at = text, len(text)

    def press(self, event: events.Key) -> bool:
        """Whether the key was one of editing."""
        key = event.key
        if key == "backspace" and self.at:
            self.text, self.at = self.text[: self.at - 1] + self.text[self.at :], self.at - 1
        elif key == "delete":
            self.text = self.text[: self.at] + self.text[self.at + 1 :]
        elif key in ("left", "right"):
            self.at = max(0, min(len(self.text), self.at + (1 if key == "right" else -1)))
        elif key in ("home", "end"):
            self.at = 0 if key == "home" else len(self.text)
        elif key == "ctrl+u":
            self.text, self.at = self.text[self.at :], 0
        elif key == "ctrl+w":
            kept = self.text[: self.at].rstrip().rpartition(" ")[0]
            self.text, self.at = kept + self.text[self.at :], len(kept)
        elif event.character and event.is_printable:
            self.insert(event.character)
        else:
            return key == "backspace"
        return True

    def insert(self, text: str) -> None:
        clean = "".join(character for character in text if character.isprintable())
        self.text, self.at = self.text[: self.at] + clean + self.text[self.at :], self.at + len(clean)

    def drawn(self, width: int, focused: bool, hidden: bool = False) -> Line:
        """The text in a field of this width, with a cursor; scrolled so that the cursor is seen."""
        text = "•" * len(self.text) if hidden else self.text
        start = max(0, self.at - width + 1)
        shown = fit(text[start : start + width], width)
        if not focused:
            return [(shown, "field")]
        place = self.at - start
        return [(shown[:place], "field"), (shown[place : place + 1] or " ", "tab"), (shown[place + 1 :], "field")]


def choices_line(choices: Sequence[str], value: str, here: bool, width: int) -> Line:
    """All choices with the chosen one in brackets; where they don't fit, the chosen one between arrows and its number."""
    style = "tab" if here else "strong"
    if sum(cell_len(choice) + 2 for choice in choices) <= width:
        return [(f"[{one}]", style) if one == value else (f" {one} ", "dim") for one in choices]
    place = f"  {list(choices).index(value) + 1} of {len(choices)}" if value in choices else ""
    return [
        ("◂ ", "key"),
        (fit(value, min(cell_len(value), max(1, width - 4 - len(place)))), style),
        (" ▸", "key"),
        (place, "dim"),
    ]


class Form(Dialog):
    """Answers the stripped texts by field name, or None when cancelled. enter goes on and sends at the end; ^s sends at once."""

    KEYS = (("^s", "send"), ("tab", "next"), ("enter", "next, at the end send"), ("←→", "choose"), ("esc", "cancel"))

    def __init__(
        self, title: str, fields: Sequence[Field], verb: str, notes: Sequence[str] = (), *, at: int = 0
    ) -> None:
        """`at`: the field to begin with."""
        super().__init__(title)
        self.at = at
        self.fields, self.verb, self.notes = list(fields), verb, notes
        self.editors = [TextKeys(field.value) for field in self.fields]
        self.complained = False

    def line_at(self) -> int:
        return next(index for index, line in enumerate(self.lines()) if line and line[0][0] == ">")

    def lines(self) -> list[Line]:
        width = self.text_width()
        label_width = max(len(field.label) for field in self.fields) + 2
        lines: list[Line] = [[]]
        for sentence in self.notes:
            lines += wrapped(sentence, width, "dim")
        if self.notes:
            lines.append([])
        for index, (field, editor) in enumerate(zip(self.fields, self.editors, strict=True)):
            here = index == self.at
            marker: Line = [(">" if here else " ", "accent"), (fit(field.label, label_width), "strong" if here else "")]
            lines.append([*marker, *self._drawn_field(field, editor, width - label_width - 2, here)])
            mistake = field.mistake()
            if mistake and (self.complained or (editor.text and not here)):
                lines.append([(" " * (label_width + 1), ""), (f"✖ {mistake}", "bad")])
            elif here and field.hint:
                lines.append([(" " * (label_width + 1), ""), (fit(field.hint, width - label_width - 1), "dim")])
        keys: Line = [("[^s]", "key"), (f" {self.verb}   ", ""), ("[tab]", "key"), (" next   ", "")]
        return [*lines, [], [*keys, ("[esc]", "key"), (" cancel", "")], []]

    def _drawn_field(self, field: Field, editor: TextKeys, width: int, here: bool) -> Line:
        if not field.choices:
            return editor.drawn(width, here, field.secret)
        return choices_line(field.choices, field.value, here, width)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        field, editor = self.fields[self.at], self.editors[self.at]
        if event.key == "escape":
            self.dismiss(None)
            return
        if event.key == "ctrl+s" or (event.key == "enter" and self.at == len(self.fields) - 1):
            self._send()
            return
        if event.key in ("tab", "down", "enter"):
            self.at = (self.at + 1) % len(self.fields)
        elif event.key in ("shift+tab", "up"):
            self.at = (self.at - 1) % len(self.fields)
        elif field.choices:
            self._choose(field, event.key)
        else:
            editor.press(event)
            field.value = editor.text
        self.draw()

    def _choose(self, field: Field, key: str) -> None:
        step = {"left": -1, "right": 1, "space": 1, "h": -1, "l": 1}.get(key)
        if step is not None:
            at = field.choices.index(field.value) if field.value in field.choices else 0
            field.value = field.choices[(at + step) % len(field.choices)]

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        field, editor = self.fields[self.at], self.editors[self.at]
        if not field.choices:
            editor.insert(event.text.strip())
            field.value = editor.text
            self.draw()

    def _send(self) -> None:
        for index, field in enumerate(self.fields):
            if field.mistake():
                self.at, self.complained = index, True
                self.draw()
                return
        answers: dict[str, Any] = {field.name: field.value.strip() for field in self.fields}
        self.dismiss(answers)
