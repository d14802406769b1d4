"""Every key of the dashboard, declared once: id, key, words, the action it runs and its CLI form. Footer, help, palette and docs derive.

Never bound: multiplexer prefixes (ctrl+a, ctrl+b), keys that terminals fold into others (ctrl+h, i, m, [), tmux navigators (ctrl+j, k, l),
ctrl+z, anything with alt or ctrl+shift. `keys.toml` in the configuration folder rebinds by id: `"logs.pause" = "f6"`.
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tui.main_screens import SCREENS as SCREENS

RESERVED = frozenset(
    [
        "ctrl+a",
        "ctrl+b",
        "ctrl+h",
        "ctrl+i",
        "ctrl+m",
        "ctrl+left_square_bracket",
        "ctrl+j",
        "ctrl+k",
        "ctrl+l",
        "ctrl+z",
        "f11",
        "f12",
    ]
)


def cli_form(text: str, names: Mapping[str, str]) -> str:
    """An action's CLI form for the object in sight: `{key}` becomes its name, or KEY while there is none."""

    def named(found: re.Match[str]) -> str:
        name = names.get(found[1], "")
        return (name if " " in name and found[1] == "scope" else shlex.quote(name)) if name else found[1].upper()

    return re.sub(r"\{(\w+)\}", named, text)


class KeymapError(Exception):
    """The keymap file asks for something that can't be; says what and where."""


@dataclass(frozen=True, slots=True)
class Action:
    """`keys`: Textual's key names, comma-separated. `run`: the Textual action (empty: the
    focused list does it). `label`: the footer's word (empty: not in the footer)."""

    id: str
    keys: str
    run: str
    label: str
    tooltip: str
    cli: str = ""
    writes: bool = False

    @property
    def scope(self) -> str:
        return self.id.partition(".")[0]

    @property
    def name(self) -> str:
        return self.id.partition(".")[2]


ACTIONS: tuple[Action, ...] = (
    # Everywhere
    Action("app.command", "colon", "command", "command", "Type a command: a screen, a filter, a setting of this terminal"),
    Action("app.filter", "slash", "filter", "filter", "Filter this view"),
    Action("app.help", "question_mark", "help", "help", "What this view shows, and its keys"),
    Action("app.palette", "ctrl+p", "palette", "palette", "Find any action by a few letters"),
    Action("app.back", "escape,backspace", "back", "", "Leave the field, clear the filter, or go back"),
    Action("app.last", "minus", "last", "", "The view before this one"),
    Action("app.history_back", "less_than_sign", "history(-1)", "", "Back through the places visited"),
    Action("app.history_forward", "greater_than_sign", "history(1)", "", "Forward again"),
    Action("app.export", "E", "export", "", "Write the list in sight to a file (csv, ndjson)", cli="optyx logs export"),
    Action("app.copy", "y", "copy_menu", "copy", "Copy id, row, JSON, curl or the CLI form"),
    Action("app.undo", "u", "undo", "", "Undo the last change (30 s)", cli="optyx undo", writes=True),
    Action("app.notices", "exclamation_mark", "notices", "", "What was said so far"),
    Action("app.refresh", "ctrl+r", "refresh_now", "", "Ask the gateway again now"),
    Action("app.clock", "T", "toggle_times", "", "Absolute or relative times"),
    Action("app.columns", "C", "columns", "", "Choose the columns, and by which one to sort"),
    Action("app.mouse", "M", "toggle_mouse", "", "Mouse on or off (off leaves selection to the terminal)"),
    Action("app.window_shorter", "left_square_bracket", "window(-1)", "", "A shorter time window"),
    Action("app.window_longer", "right_square_bracket", "window(1)", "", "A longer time window"),
    Action("app.next_panel", "tab", "next_panel(1)", "", "Next panel"),
    Action("app.previous_panel", "shift+tab", "next_panel(-1)", "", "Previous panel"),
    Action("app.quit", "q", "leave", "quit", "Back; at the root: quit"),
    Action("app.quit_now", "ctrl+c", "interrupt", "", "Twice: quit"),
    Action("app.quit_at_once", "ctrl+q", "quit_at_once", "", "Quit without asking"),
    *(
        Action(f"app.screen_{number}", str(number), f"screen('{name}')", "", f"{word}", cli=f"optyx-tui {name}")
        for number, (name, word, _) in enumerate(SCREENS, 1)
    ),
    # Lists and the tail
    Action("list.up", "up,k", "move(-1)", "", "Up"),
    Action("list.down", "down,j", "move(1)", "", "Down"),
    Action("list.page_up", "pageup", "page(-1)", "", "A page up"),
    Action("list.page_down", "pagedown", "page(1)", "", "A page down"),
    Action("list.top", "g,home", "edge(0)", "", "First row"),
    Action("list.end", "G,end", "edge(1)", "", "Last row (the tail: follow)"),
    Action("list.open", "enter", "open", "", "Open"),
    Action("columns.sort", "s", "sort", "", "Sort by the next column; after the last, as they came"),
    Action("columns.reverse", "S", "reverse", "", "Sort the other way round (projects: by the next column, too)"),
    Action("columns.wide", "v", "wide", "", "Every column, with ← → to move across"),
    Action("columns.left", "left", "across(-1)", "", "Wide: back across the columns"),
    Action("columns.right", "right", "across(1)", "", "Wide: across the columns"),
    Action("table.mark", "space", "mark", "", "Mark this row"),
    Action("table.mark_all", "asterisk", "mark_all", "", "Mark every shown row"),
    # Overview
    Action("overview.freeze", "space", "freeze", "freeze", "Stop and take up refreshing"),
    Action("overview.open", "enter", "", "open", "Open what is under the cursor"),
    Action("overview.logs", "l", "logs", "logs", "The logs behind what is under the cursor", cli="optyx logs list"),
    Action("overview.providers", "p", "cycle_targets", "", "Providers or models"),
    Action("overview.top", "t", "cycle_top", "top by", "Top projects, keys or models", cli="optyx usage --by project"),
    # Logs
    Action("logs.pause", "space", "pause", "pause", "Pause and take up the tail"),
    Action("logs.open", "enter", "", "detail", "Open the detail", cli="optyx logs get {id}"),
    Action("logs.full", "f", "full", "full", "The detail on the whole screen"),
    Action("logs.error", "e", "next_error", "next error", "Next row with an error", cli="optyx logs list --errors"),
    Action("logs.next", "n", "find(1)", "", "Next match of the words searched for"),
    Action("logs.previous", "N", "find(-1)", "", "Previous match"),
    Action("logs.clear", "x", "clear_filter", "clear filter", "Clear the filter"),
    Action("logs.replay", "r", "replay", "replay", "Take this call to the playground", cli="optyx logs replay {id}"),
    Action("logs.wrap", "w", "wrap", "", "Long lines of the detail: cut or whole"),
    Action("logs.backfill", "b", "backfill", "", "Older calls; on a gap: fill it"),
    Action("detail.next", "n", "step(1)", "next", "The next call in the filtered list"),
    Action("detail.previous", "p", "step(-1)", "previous", "The call before in the filtered list"),
    Action("detail.tab_1", "1", "tab(1)", "", "Summary"),
    Action("detail.tab_2", "2", "tab(2)", "", "Request"),
    Action("detail.tab_3", "3", "tab(3)", "", "Response"),
    Action("detail.tab_4", "4", "tab(4)", "", "Headers and attribution"),
    Action("detail.tab_5", "5", "tab(5)", "", "The record as JSON", cli="optyx logs get {id} -o json"),
    Action("detail.alike", "s", "alike", "alike", "The calls that belong with it: its user, its tags, its key and model", cli="optyx logs list"),
    Action("detail.wrap", "w", "wrap", "", "Long lines: cut or whole"),
    Action("detail.replay", "r", "replay", "replay", "Take this call to the playground", cli="optyx logs replay {id}"),
    Action("detail.key", "k", "go_key", "key", "The key that made it", cli="optyx keys get {key}"),
    Action("detail.project", "P", "go_project", "project", "Its project", cli="optyx projects get {project}"),
    Action("detail.pager", "o", "pager", "pager", "Open the body in $PAGER", cli="optyx logs get {id} --body"),
    # Projects
    Action("projects.new", "n", "new", "new", "A new project", "optyx projects create NAME", writes=True),
    Action("projects.keys", "k", "keys", "keys", "Its keys", "optyx keys list -p {project}"),
    Action("projects.logs", "l", "logs", "logs", "Its calls, live", "optyx logs tail -p {project}"),
    Action("projects.settings", "s", "settings", "settings", "Its settings", "optyx settings get -p {project}"),
    Action("projects.limits", "b", "limits", "limits", "Its limits and budgets", "optyx limits list -p {project}"),
    Action("projects.play", "p", "playground", "", "Try its models", "optyx chat -p {project}"),
    Action("projects.audit", "a", "audit", "", "What was changed in it", "optyx audit list"),
    Action("projects.rename", "R", "rename", "", "Another name", "optyx projects update {project} --name NAME", writes=True),
    Action("projects.archive", "d", "archive", "archive", "Archive: keys stop, data stays", "optyx projects archive {project}", True),
    # Keys
    Action("keys.new", "n", "new", "new", "A new key; its secret is shown once", "optyx keys create -p {project} --name NAME", True),
    Action("keys.like", "i", "new_like", "", "A new key like this one", "optyx keys create -p {project}", True),
    Action("keys.rotate", "r", "rotate", "rotate", "A new secret; the old one has a grace period", "optyx keys rotate {key} --grace 24h", True),
    Action("keys.disable", "d", "disable", "disable", "Disable or enable (undo with u)", "optyx keys disable {key}", True),
    Action("keys.revoke", "x", "revoke", "revoke", "Revoke for ever", "optyx keys revoke {key}", True),
    Action("keys.logs", "l", "logs", "logs", "Its calls", "optyx logs tail --key {key}"),
    Action("keys.play", "p", "playground", "", "Try it in the playground", "optyx chat -k -"),
    Action("keys.limits", "b", "limits", "", "Its limits and budgets", "optyx limits list --key {key}"),
    # Settings of a project
    Action("settings.save", "ctrl+s", "save", "save", "Review and save", "optyx settings set -p {project} PATH=VALUE", True),
    Action("settings.editor", "ctrl+e", "editor", "$EDITOR", "Edit as YAML in $EDITOR", "optyx settings edit -p {project}", True),
    Action("settings.reset", "ctrl+r", "reset_field", "reset field", "The value as it was"),
    Action("settings.restore", "R", "restore", "restore", "Take an old version as a new one", "optyx settings restore VERSION", True),
    # Providers
    Action("providers.test", "t", "test", "test", "Test step by step (one token of chat)", "optyx providers test {provider}", True),
    Action("providers.close", "c", "close_circuit", "close circuit", "Close an open circuit now", "optyx providers circuit close NAME", True),
    Action("providers.disable", "d", "disable", "disable", "Disable or enable (undo with u)", "optyx providers disable {provider}", True),
    Action("providers.credential", "plus", "credential", "credential", "Set its credential", "optyx providers credential add NAME", True),
    Action("providers.models", "m", "models", "models", "Its models and prices", "optyx models list --provider {provider}"),
    Action("providers.logs", "l", "logs", "logs", "Its calls", "optyx logs tail --provider {provider}"),
    # Limits and budgets
    Action("limits.override", "o", "override", "override", "More money for a while", "optyx limits override --add 100 --until DATE", True),
    Action("limits.edit", "e", "edit", "edit", "Change limits and budgets", "optyx limits set {scope}", True),
    Action("limits.open", "enter", "", "who spent it", "Who spent it", "optyx usage --by key"),
    Action("limits.refusals", "l", "logs", "refusals", "The calls it refused", "optyx logs list --filter status:429"),
    # Playground
    Action("playground.run", "ctrl+r,f5", "run", "run", "Send it: a real call, logged and priced", "optyx chat -m MODEL PROMPT", True),
    Action("playground.stop", "escape", "stop", "stop", "Stop the answer, or leave the field"),
    Action("playground.compare", "vertical_line", "compare", "compare", "A second model beside it"),
    Action("playground.logs", "l", "logs", "in logs", "Open the call in the logs", "optyx logs get {id}"),
    Action("playground.clear", "c", "clear", "clear", "Start afresh"),
    # Audit
    Action("usage.by", "left,right", "", "by what", "By project, key, model, provider or day", "optyx usage --by project"),
    Action("usage.open", "enter", "", "calls", "The calls behind the row", "optyx logs list"),
    Action("models.open", "enter", "", "calls", "The calls of this model", "optyx logs list"),
    Action("audit.go", "g", "go_object", "go to object", "The object it changed"),
    Action("audit.verify", "V", "verify", "verify chain", "Check the hash chain", "optyx audit verify"),
    Action("audit.follow", "f", "follow", "", "Refresh by itself", "optyx audit tail"),
)  # fmt: skip

BY_ID = {action.id: action for action in ACTIONS}
LABELLED: dict[str, list[Action]] = {}
for _action in ACTIONS:
    if _action.label:
        LABELLED.setdefault(_action.scope, []).append(_action)

_SIGNS = {
    "colon": ":",
    "slash": "/",
    "question_mark": "?",
    "exclamation_mark": "!",
    "minus": "-",
    "plus": "+",
    "asterisk": "*",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "vertical_line": "|",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "escape": "esc",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
}


def sign(key: str) -> str:
    """A key as people read it: `^p`, `esc`, `/`."""
    if key.startswith("ctrl+"):
        return "^" + key.removeprefix("ctrl+")
    return _SIGNS.get(key, key)


def letter(key: str) -> str | None:
    """What a key types in a field; None for those that type nothing."""
    shown = " " if key == "space" else sign(key)
    return shown if len(shown) == 1 and shown not in "←→↑↓" else None


class Keymap:
    """Which keys run which action: the table above and what the user's file changes in it."""

    def __init__(self, overrides: dict[str, str] | None = None) -> None:
        self.overrides = overrides or {}
        _check(self.overrides)

    def keys(self, action: Action) -> str:
        return self.overrides.get(action.id, action.keys)

    def first_sign(self, action_id: str) -> str:
        action = BY_ID[action_id]
        return sign(self.keys(action).split(",")[0])

    def of_scope(self, scope: str) -> list[Action]:
        return [action for action in ACTIONS if action.scope == scope]

    def footer(self, scopes: Iterable[str], is_offered: Callable[[Action, str], bool]) -> list[tuple[str, str]]:
        """(sign, word) of what can be done now, the view's own first. `is_offered` is asked about an action and its first key."""
        shown: dict[str, tuple[str, str]] = {}
        for scope in scopes:
            for action in LABELLED.get(scope, ()):
                key = self.keys(action).partition(",")[0]
                if key not in shown and is_offered(action, key):
                    shown[key] = (sign(key), action.label)
        return list(shown.values())


def _check(overrides: dict[str, str]) -> None:
    for action_id, keys in overrides.items():
        if action_id not in BY_ID:
            raise KeymapError(f"keys.toml: there is no action {action_id!r}; optyx-tui --print-keys lists them")
        for key in keys.split(","):
            if key in RESERVED or key.startswith(("alt+", "ctrl+shift+")):
                raise KeymapError(f"keys.toml: {action_id} can't have {key}: terminals or multiplexers take it")
    taken: dict[tuple[str, str], str] = {}
    for action in ACTIONS:
        for key in overrides.get(action.id, action.keys).split(","):
            other = taken.setdefault((action.scope, key), action.id)
            if other != action.id:
                raise KeymapError(f"keys.toml: {key} is asked for by both {other} and {action.id}")


def configuration_folder() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "optyx"


def read_keymap(path: Path | None = None) -> Keymap:
    """The user's keymap; the built-in one where there is no file. Raises KeymapError."""
    path = path or configuration_folder() / "keys.toml"
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Keymap()
    except OSError as error:
        raise KeymapError(f"{path} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise KeymapError(f"{path}: {error}") from None
    bad = [name for name, value in table.items() if not isinstance(value, str)]
    if bad:
        raise KeymapError(f'{path}: {bad[0]} must be a key name in quotes, like {bad[0]!r} = "f6"')
    return Keymap({name: str(value) for name, value in table.items()})


def listing(keymap: Keymap) -> str:
    """`optyx-tui --print-keys`: one action a line."""
    return "\n".join(f"{action.id:24}{keymap.keys(action):24}{action.tooltip}" for action in ACTIONS)
