"""The palette (`^p`): every action by a few letters, each line with its key and its CLI form."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical

from tui.keys import Action
from tui.widgets.dialogs import Dialog, DialogPanel
from tui.widgets.form import TextKeys
from tui.widgets.line import Line, fit

if TYPE_CHECKING:
    from tui.app import OptyxApp

SHOWN = 10
NEVER = {"app.palette", "app.quit_now", "app.back", "app.next_panel", "app.previous_panel"}


def score(typed: str, text: str) -> int | None:
    """How well letters match in order, lower is better; None when they don't. Whole words and starts of words count most."""
    typed, text = typed.casefold(), text.casefold()
    if not typed:
        return 100
    at = text.find(typed)
    if at >= 0:
        return 0 if at == 0 or text[at - 1] == " " else 10 + at
    place, gaps = -1, 0
    for character in typed:
        found = text.find(character, place + 1)
        if found < 0:
            return None
        gaps += found - place - 1
        place = found
    return 40 + gaps


class CommandPalette(Dialog):
    """Runs the chosen action on the view it was opened over."""

    def __init__(self) -> None:
        super().__init__()
        self.editor = TextKeys()
        self.at = 0
        self.found: list[Action] = []

    def compose(self) -> ComposeResult:
        with Vertical():
            yield DialogPanel("Command palette", [])

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(DialogPanel).focus()
        self._search()

    def _search(self) -> None:
        app = cast("OptyxApp", self.app)
        scopes = (app.history.here.screen, "app")
        rated: list[tuple[int, int, Action]] = []
        for action in (one for scope in scopes for one in app.keymap_table.of_scope(scope)):
            if action.id in NEVER or not action.run or (action.writes and app.readonly):
                continue
            rating = score(self.editor.text, f"{action.tooltip} {action.label} {action.scope}")
            if rating is not None:
                rated.append((rating, len(rated), action))
        self.found = [action for _, _, action in sorted(rated, key=lambda one: one[:2])]
        self.at = max(0, min(self.at, len(self.found) - 1))
        self._draw()

    def _draw(self) -> None:
        app = cast("OptyxApp", self.app)
        width = self.text_width()
        lines: list[Line] = [[("> ", "accent"), *self.editor.drawn(width - 4, True)], []]
        top = max(0, self.at - SHOWN + 1)
        for index, action in enumerate(self.found[top : top + SHOWN], top):
            here = index == self.at
            scope = "View" if action.scope == "app" else action.scope.capitalize()
            lines.append(
                [
                    (">" if here else " ", "accent"),
                    (fit(scope, 11), "dim"),
                    (fit(action.tooltip, width - 22), "strong" if here else ""),
                    (fit(app.keymap_table.first_sign(action.id), 6, "right"), "key"),
                ]
            )
        if not self.found:
            lines.append([("  Nothing is called that.", "dim")])
        lines += [[] for _ in range(SHOWN - min(SHOWN, max(1, len(self.found))))]
        cli = self.found[self.at].cli if self.found else ""
        lines += [[], [("  CLI   ", "dim"), (cli or "–", "accent" if cli else "dim")], []]
        lines.append([(f" {len(self.found)} actions   ", "dim"), *_foot()])
        self.query_one(DialogPanel).set_lines(lines)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self.dismiss(None)
        elif event.key == "enter":
            action = self.found[self.at] if self.found else None
            self.dismiss(None)
            if action is not None:
                self._run(action)
        elif event.key in ("up", "down"):
            self.at = (self.at + (1 if event.key == "down" else -1)) % max(1, len(self.found))
            self._draw()
        elif event.key == "ctrl+y" and self.found:
            cast("OptyxApp", self.app).copy_out(self.found[self.at].cli, "CLI form")
        else:
            self.editor.press(event)
            self.at = 0
            self._search()

    def _run(self, action: Action) -> None:
        app = cast("OptyxApp", self.app)
        namespace = app if action.scope == "app" else app.view
        app.call_later(app.run_action, action.run, namespace)


def _foot() -> Line:
    return [
        ("↑↓", "key"),
        (" choose  ", "dim"),
        ("enter", "key"),
        (" run  ", "dim"),
        ("^y", "key"),
        (" copy CLI  ", "dim"),
        ("esc", "key"),
        (" close", "dim"),
    ]
