"""The frame of every screen: crumbs, state and clock; the screens; a banner when the gateway is away; status, keys and the prompt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input, Label

from tui.keys import SCREENS
from tui.widgets.line import Line, ends, width_of
from tui.widgets.panel import Bar, Painted

if TYPE_CHECKING:
    from tui.app import OptyxApp

ROOMY = 66
"""Columns that the tabs need with blanks around each."""


def top_line(
    crumbs: Sequence[str], said: tuple[str, str], at: datetime, width: int, *, guarded: bool, note: str = ""
) -> Line:
    left: Line = [(" optyx  ", "strong")]
    if guarded:
        left += [(" PROD ", "guard"), (" ", "")]
    for index, crumb in enumerate(crumbs):
        if index:
            left.append((" ▸ ", "dim"))
        left.append((crumb, "strong" if index == len(crumbs) - 1 else ""))
    if note:
        left += [("  ", ""), (note, "warn")]
    clock = f"{at:%H:%M:%S} UTC" if width >= 100 else f"{at:%H:%M} UTC"
    return ends(left, [said, ("  ", ""), (clock, ""), (" ", "")], width)


def tabs_line(here: str, width: int) -> Line:
    """Every screen keeps its place: the brackets of the chosen one stand where the others have blanks."""
    line: Line = [(" ", "")]
    for number, (name, word, short) in enumerate(SCREENS, 1):
        label = word if width >= 100 else short
        if name == here:
            line.append((f"[{number} {label}]", "tab"))
        else:
            line += [(" " if width >= ROOMY else "", ""), (f"{number}", "key"), (f" {label} ", "")]
    return line


ALWAYS = (("?", "help"), ("q", "quit"))


def keys_line(keys: Iterable[tuple[str, str]], width: int, always: Sequence[tuple[str, str]]) -> Line:
    """As many keys as fit, whole ones only; those that hold in every view stand at the right."""
    right = _keys(always)
    line: Line = [(" ", "")]
    used = 1 + width_of(right)
    for key in keys:
        spans = _keys([key])
        if key in always or used + width_of(spans) > width:
            continue
        line += spans
        used += width_of(spans)
    return ends(line, right, width)


def _keys(keys: Iterable[tuple[str, str]]) -> Line:
    return [span for sign, word in keys for span in ((sign, "key"), (f" {word}  ", "dim"))]


class Tabs(Bar):
    class Chosen(Message):
        def __init__(self, name: str) -> None:
            self.name = name
            super().__init__()

    def on_click(self, event: events.Click) -> None:
        at, number = 0, 0
        for text, _ in self.line:
            word = text.strip("[] ").partition(" ")[0]
            number = int(word) if word.isdigit() else number
            at += len(text)
            if event.x < at:
                if number:
                    self.post_message(self.Chosen(SCREENS[number - 1][0]))
                return


class Banner(Painted):
    """Two lines under the tabs while the gateway is away."""

    DEFAULT_CSS = "Banner { height: 2; display: none; }"

    def __init__(self) -> None:
        super().__init__(id="banner")
        self.lines: list[Line] = []

    def set_lines(self, lines: list[Line]) -> None:
        self.display = bool(lines)
        if lines != self.lines:
            self.lines = lines
            self.repaint()

    def row(self, y: int, width: int) -> tuple[Line, None]:
        line = self.lines[y] if y < len(self.lines) else []
        return [*line, (" " * max(0, width - width_of(line)), "banner")], None


class Words(Suggester):
    """Completes the last word of a command from what `words(text)` gives."""

    def __init__(self, words: object) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.words = words

    async def get_suggestion(self, value: str) -> str | None:
        if not value or value.endswith(" ") or not callable(self.words):
            return None
        head, _, last = value.rpartition(" ")
        start = f"{head} " if head else ""
        for word in self.words(value):
            if word.startswith(last) and word != last:
                return f"{start}{word}"
        return None


class Prompt(Horizontal):
    """The line for `:` and `/`. Posts `Typed` with every change of a filter and `Sent` on enter; escape leaves it."""

    DEFAULT_CSS = """
    Prompt { height: 1; display: none; background: $surface; }
    Prompt Label { width: auto; padding: 0 0 0 1; color: $accent; text-style: bold; background: $surface; }
    Prompt Input { width: 1fr; height: 1; border: none; padding: 0; background: $surface; }
    Prompt Input:focus { border: none; background-tint: $foreground 0%; }
    """

    KEYS = (("enter", "go"), ("tab", "complete"), ("↑", "earlier ones"), ("esc", "leave"))

    class Typed(Message):
        def __init__(self, text: str) -> None:
            self.text = text
            super().__init__()

    class Sent(Message):
        def __init__(self, kind: str, text: str) -> None:
            self.kind, self.text = kind, text
            super().__init__()

    class Left(Message):
        pass

    def __init__(self, words: object) -> None:
        super().__init__(id="prompt")
        self.kind = ":"
        self.past: dict[str, list[str]] = {":": [], "/": []}
        self.past_at = 0
        self.words = words

    def compose(self) -> ComposeResult:
        yield Label(":", markup=False)
        field = Input(suggester=Words(self.words), compact=True, select_on_focus=False)
        field.cursor_blink = False  # it would draw twice a second while nothing is typed
        yield field

    def open(self, kind: str, text: str = "") -> None:
        self.kind = kind
        self.query_one(Label).update(kind)
        self._take_status_line(True)
        field = self.query_one(Input)
        with field.prevent(Input.Changed):
            field.value = text
        field.cursor_position = len(text)
        self.past_at = len(self.past[kind])
        field.focus()

    def _take_status_line(self, on: bool) -> None:
        """It stands where the status line was, so that nothing above it moves."""
        self.display = on
        self.app.query_one("#status").display = not on
        cast("OptyxApp", self.app).redraw_chrome()

    def close(self) -> None:
        self._take_status_line(False)
        self.post_message(self.Left())

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.kind == "/":
            self.post_message(self.Typed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        past = self.past[self.kind]
        if event.value.strip() and past[-1:] != [event.value]:
            past.append(event.value)
        self._take_status_line(False)
        self.post_message(self.Sent(self.kind, event.value))

    def on_key(self, event: events.Key) -> None:
        field = self.query_one(Input)
        if event.key == "escape" or (event.key == "backspace" and not field.value):
            event.stop()
            event.prevent_default()
            self.close()
        elif event.key in ("up", "down") and self.past[self.kind]:
            event.stop()
            past = self.past[self.kind]
            self.past_at = max(0, min(len(past), self.past_at + (-1 if event.key == "up" else 1)))
            field.value = past[self.past_at] if self.past_at < len(past) else ""
            field.cursor_position = len(field.value)
        elif event.key == "tab":
            event.stop()
            event.prevent_default()
            field.action_cursor_right()
            field.cursor_position = len(field.value)


def notice_line(text: str, kind: str) -> Line:
    sign, style = {"error": ("✖", "bad"), "warning": ("▲", "warn")}.get(kind, ("●", "good"))
    return [(f" {sign} ", style), (text, style if kind != "information" else "")]
