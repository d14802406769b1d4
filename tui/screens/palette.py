"""The palette (`^p`): every action, and every place that has a name, by a few letters; each line with its key and its CLI form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import events

from tui.chosen import saved_views
from tui.command_bar import obey
from tui.keys import SCREENS, Action, cli_form
from tui.themes import NAMES
from tui.widgets.dialogs import Dialog
from tui.widgets.form import TextKeys
from tui.widgets.line import Line, fit

if TYPE_CHECKING:
    from tui.app import OptyxApp

SHOWN = 10
SCATTERED = 40
"""The score from which on a text only has the letters, one after the other."""
PLACES = (
    ("models", "optyx models list"),
    ("usage", "optyx usage --by project"),
    ("connect", "optyx ctx list"),
    ("doctor", "optyx doctor"),
)
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
    return SCATTERED + gaps


@dataclass(frozen=True, slots=True)
class Entry:
    """A line: an action of the view (`action`), or a command of the `:` line (`command`)."""

    group: str
    words: str
    key: str
    cli: str
    action: Action | None = None
    command: str = ""
    also: str = ""
    """Found by this too."""
    is_far: bool = False
    """On another screen: not for letters that only happen to come in this order."""


def entries(app: OptyxApp) -> list[Entry]:
    """The actions of the view in sight first, then those of everywhere, places by name, and what the other screens do."""
    names = app.view.cli_names() if app.view else {}
    found = [
        Entry(
            "View" if action.scope == "app" else action.scope.capitalize(),
            action.tooltip,
            app.keymap_table.first_sign(action.id),
            cli_form(action.cli, names),
            action,
            also=action.label,
        )
        for scope in (app.history.here.screen, "app")
        for action in app.keymap_table.of_scope(scope)
        if action.id not in NEVER and action.run and not (action.writes and not app.may_write)
    ]
    for name in app.project_names:
        found += [
            Entry("Go to", f"keys of {name}", "", f"optyx keys list -p {name}", command=f"keys {name}"),
            Entry("Go to", f"calls of {name}", "", f"optyx logs tail -p {name}", command=f"logs project:{name}"),
            Entry("Go to", f"settings of {name}", "", f"optyx settings get -p {name}", command=f"settings {name}"),
        ]
    found += [Entry("Go to", word, "", cli, command=word) for word, cli in PLACES]
    found += [Entry("View", f"saved view {name}", "", "", command=f"view {name}") for name in saved_views()]
    found += [Entry("Theme", name, "", f"optyx-tui --theme {name}", command=f"theme {name}") for name in NAMES]
    return [*found, *_elsewhere(app)]


def _elsewhere(app: OptyxApp) -> Iterator[Entry]:
    """Leads to the screen where it is done, to what is chosen there; both keys are shown."""
    for number, (screen, word, _) in enumerate(SCREENS, 1):
        for action in app.keymap_table.of_scope(screen) if screen != app.history.here.screen else ():
            if action.cli and action.run and not (action.writes and not app.may_write):
                keys = f"{number} {app.keymap_table.first_sign(action.id)}"
                yield Entry(
                    word, action.tooltip, keys, cli_form(action.cli, {}), None, screen, action.label, is_far=True
                )


class CommandPalette(Dialog):
    """Runs the chosen entry on the view it was opened over."""

    KEYS = (("↑↓", "choose"), ("enter", "run"), ("^y", "copy the command line"), ("esc", "close"))

    def __init__(self) -> None:
        super().__init__("Command palette")
        self.editor = TextKeys()
        self.all: list[Entry] = []
        self.found: list[Entry] = []

    def on_mount(self) -> None:
        self.all = entries(self.optyx)
        self._search()

    def _search(self) -> None:
        rated = [
            (rating, place, entry)
            for place, entry in enumerate(self.all)
            if (rating := score(self.editor.text, f"{entry.also} {entry.words} {entry.group}")) is not None
            and (rating < SCATTERED or not entry.is_far)
        ]
        self.found = [entry for _, _, entry in sorted(rated, key=lambda one: one[:2])]
        self.at = max(0, min(self.at, len(self.found) - 1))
        self.draw()

    def line_at(self) -> int:
        return 2 + min(self.at, SHOWN - 1)

    def lines(self) -> list[Line]:
        width = self.text_width()
        lines: list[Line] = [[("> ", "accent"), *self.editor.drawn(width - 4, True)], []]
        top = max(0, self.at - SHOWN + 1)
        for index, entry in enumerate(self.found[top : top + SHOWN], top):
            here = index == self.at
            lines.append(
                [
                    (">" if here else " ", "accent"),
                    (fit(entry.group, 11), "dim"),
                    (fit(entry.words, width - 22), "strong" if here else ""),
                    (fit(entry.key, 6, "right"), "key"),
                ]
            )
        if not self.found:
            lines.append([("  Nothing is called that.", "dim")])
        lines += [[] for _ in range(SHOWN - min(SHOWN, max(1, len(self.found))))]
        cli = self.found[self.at].cli if self.found else ""
        lines += [[], [("  CLI   ", "dim"), (cli or "–", "accent" if cli else "dim")], []]
        return [*lines, [(f" {len(self.found)} found   ", "dim"), *_foot()]]

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self.dismiss(None)
        elif event.key == "enter":
            entry = self.found[self.at] if self.found else None
            self.dismiss(None)
            if entry is not None:
                self._run(entry)
        elif event.key in ("up", "down"):
            self.step(1 if event.key == "down" else -1, len(self.found))
        elif event.key == "ctrl+y" and self.found:
            self.optyx.copy_out(self.found[self.at].cli, "CLI form")
        else:
            self.editor.press(event)
            self.at = 0
            self._search()

    def _run(self, entry: Entry) -> None:
        app = self.optyx
        if entry.action is None:
            app.call_later(obey, app, entry.command)
        else:
            app.call_later(app.run_action, entry.action.run, app if entry.action.scope == "app" else app.view)


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
