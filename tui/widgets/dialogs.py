"""Dialogs: yes or no, a name to type, a form of a few fields, a menu. What can't be taken back is never one key away.

One rule everywhere: the confirming key is `Y`, never the key that opened the dialog and never enter; it counts only after 400 ms without
any key, so that text typed or pasted into the wrong window can't confirm; every other key cancels.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Size
from textual.screen import ModalScreen

from tui.widgets.line import Line, fit, wrapped
from tui.widgets.panel import Panel

if TYPE_CHECKING:
    from tui.app import OptyxApp

ARMED_AFTER_S = 0.4


class DialogPanel(Panel):
    """A framed box as high as its lines."""

    DEFAULT_CSS = "DialogPanel { height: auto; width: 1fr; }"
    shows_age = False

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self.lines: list[Line] = []

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self.lines) + 2

    def content(self, y: int, width: int) -> tuple[Line, Any]:
        return (self.lines[y] if y < len(self.lines) else []), None

    def set_lines(self, lines: list[Line], at: int = 0) -> None:
        """`at`: the line that is worked on. Where not all fit, the empty ones go first, then those far from it."""
        room = max(1, self.app.size.height - 2)
        if len(lines) > room:
            at -= lines[:at].count([])
            lines = [line for line in lines if line]
            top = max(0, min(at - room // 2, len(lines) - room))
            lines = lines[top : top + room]
        is_as_high = len(lines) == len(self.lines)
        self.lines = lines
        if not is_as_high:
            self.refresh(layout=True)
        self.repaint()


class Dialog(ModalScreen[Any]):
    """A box of lines in the middle of the screen, as wide as asked for and as fits."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 0%; }
    Dialog > Vertical { width: 76; max-width: 100%; height: auto; max-height: 100%; }
    """
    WIDTH = 76
    KEYS: tuple[tuple[str, str], ...] = (("esc", "cancel"),)
    """What the footer offers while it is open: the keys of the view beneath do nothing then."""
    SAID = ""
    """What the status line says."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.dialog_title = title
        self.at = 0
        """Which of its choices or fields is worked on."""

    @property
    def optyx(self) -> OptyxApp:
        return cast("OptyxApp", self.app)

    def compose(self) -> ComposeResult:
        with Vertical():
            yield DialogPanel(self.dialog_title)

    def on_mount(self) -> None:
        self.query_one(DialogPanel).focus()
        self.fit_in()

    def on_resize(self) -> None:
        if self.is_mounted:
            self.fit_in()

    def fit_in(self) -> None:
        self.query_one(Vertical).styles.width = min(self.WIDTH, self.app.size.width)
        self.draw()
        self.optyx.redraw_chrome()

    def on_unmount(self) -> None:
        self.optyx.redraw_chrome()

    def text_width(self) -> int:
        return min(self.WIDTH, self.app.size.width) - 6

    def lines(self) -> list[Line]:
        """What stands in it now."""
        return []

    def line_at(self) -> int:
        """The line that must be in sight."""
        return 0

    def draw(self) -> None:
        self.query_one(DialogPanel).set_lines(self.lines(), self.line_at())

    def step(self, by: int, count: int) -> None:
        """To the next or previous of so many choices, round and round."""
        self.at = (self.at + by) % max(1, count)
        self.draw()


def _asked(question: str, effect: Sequence[str], guard: str, width: int) -> list[Line]:
    """What a confirmation is about. `guard`: the name of the protected context that it would change something through."""
    lines: list[Line] = [[], *wrapped(question, width, "strong"), *([[]] if effect else [])]
    for sentence in effect:
        lines += wrapped(sentence, width)
    if guard:
        lines += [[], [(f" {guard} ", "guard"), (" this context is protected", "warn")]]
    return lines


class Confirm(Dialog):
    """Answers True for `Y`; anything else is False."""

    WIDTH = 66
    KEYS = (("Y", "confirm"), ("any other key", "cancel"))

    def __init__(self, question: str, effect: Sequence[str] = (), verb: str = "confirm", guard: str = "") -> None:
        super().__init__("Please confirm")
        self.question, self.effect, self.verb, self.guard = question, effect, verb, guard
        self.quiet_since = time.monotonic()

    def lines(self) -> list[Line]:
        lines = _asked(self.question, self.effect, self.guard, self.text_width())
        return [*lines, [], [("[Y]", "key"), (f" {self.verb}     ", ""), ("▸ [esc] cancel", "strong")], []]

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        quiet = time.monotonic() - self.quiet_since
        self.quiet_since = time.monotonic()
        if event.key == "Y" and quiet < ARMED_AFTER_S:
            return
        self.dismiss(event.key == "Y")

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        self.dismiss(False)


class TypeName(Dialog):
    """For what can't be undone: answers True only when the object's name was typed out."""

    KEYS = (("enter", "confirm, once it is typed"), ("esc", "cancel"))

    def __init__(
        self, question: str, effect: Sequence[str], name: str, verb: str, title: str = "Please confirm", guard: str = ""
    ) -> None:
        super().__init__(title)
        self.question, self.effect, self.guard = question, effect, guard
        self.object_name, self.verb, self.typed = name, verb, ""

    def line_at(self) -> int:
        return len(self.lines())

    def lines(self) -> list[Line]:
        lines = _asked(self.question, self.effect, self.guard, self.text_width())
        matches = self.typed == self.object_name
        return [
            *lines,
            [],
            [
                ("Type " + ("its name" if " " not in self.object_name else self.object_name) + ": ", ""),
                (fit(self.typed + "▏", max(24, len(self.object_name) + 2)), "field"),
            ],
            [],
            [
                ("[enter]", "key" if matches else "dim"),
                (f" {self.verb}     ", "" if matches else "dim"),
                ("▸ [esc] cancel", "strong"),
            ],
            [],
        ]

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self.dismiss(False)
        elif event.key == "enter":
            if self.typed == self.object_name:
                self.dismiss(True)
        elif event.key == "backspace":
            self.typed = self.typed[:-1]
        elif event.character and event.is_printable:
            self.typed += event.character
        if self.is_current:
            self.draw()


class Menu(Dialog):
    """A short list to choose from with arrows and enter, or by number: answers the index, or None."""

    KEYS = (("↑↓", "choose"), ("enter", "take"), ("1–9", "take at once"), ("esc", "close"))

    def __init__(self, title: str, entries: Sequence[tuple[str, str]], note: str = "") -> None:
        super().__init__(title)
        self.entries, self.note = list(entries), note

    def line_at(self) -> int:
        return 1 + self.at

    def lines(self) -> list[Line]:
        label_width = max((len(label) for label, _ in self.entries), default=0) + 2
        lines: list[Line] = [[]]
        for index, (label, detail) in enumerate(self.entries):
            chosen = index == self.at
            number = str(index + 1) if index < 9 else " "
            rest = self.text_width() - label_width - 4
            lines.append(
                [
                    (">" if chosen else " ", "accent"),
                    (f"{number} ", "key"),
                    (fit(label, label_width), "strong" if chosen else ""),
                    (fit(detail, max(0, rest)), "dim"),
                ]
            )
        lines += [[]]
        if self.note:
            lines += [*wrapped(self.note, self.text_width(), "dim"), []]
        return lines

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        if event.key in ("up", "k", "down", "j"):
            self.step(1 if event.key in ("down", "j") else -1, len(self.entries))
        elif event.key == "enter" and self.entries:
            self.dismiss(self.at)
        elif event.key.isdigit() and 1 <= int(event.key) <= len(self.entries):
            self.dismiss(int(event.key) - 1)
        elif event.key in ("escape", "backspace", "q"):
            self.dismiss(None)


class Reading(Dialog):
    """Text to read: help, history of notices, a diff. Scrolls with arrows; every other key closes."""

    WIDTH = 100
    KEYS = (("↑↓", "scroll"), ("esc", "close"))

    def __init__(self, title: str, lines: list[Line]) -> None:
        super().__init__(title)
        self.text, self.top = lines, 0

    def lines(self) -> list[Line]:
        height = max(3, self.app.size.height - 6)
        self.top = max(0, min(self.top, len(self.text) - height))
        shown = self.text[self.top : self.top + height]
        more = len(self.text) - self.top - len(shown)
        foot: Line = [(f"↓ {more} more lines     " if more else "", "dim"), ("esc", "key"), (" close", "dim")]
        return [*shown, [], foot]

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        steps = {
            "down": 1,
            "j": 1,
            "up": -1,
            "k": -1,
            "pagedown": 10,
            "pageup": -10,
            "space": 10,
            "home": -9999,
            "end": 9999,
        }
        if event.key in steps:
            self.top += steps[event.key]
            self.draw()
        else:
            self.dismiss(None)
