"""The `:` line: the CLI's nouns, this terminal's switches, saved views. An unknown word is answered with the nearest known one."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tui import filter_words
from tui.chosen import SavedView, save_view, saved_views
from tui.keys import SCREENS
from tui.location import WINDOWS, Location
from tui.themes import NAMES

if TYPE_CHECKING:
    from tui.app import OptyxApp


def obey(app: OptyxApp, text: str) -> None:
    """Runs what was typed after the colon."""
    words = text.strip().split()
    if not words:
        return
    name, rest = words[0], words[1:]
    command = COMMANDS.get(name)
    if command is None:
        near = difflib.get_close_matches(name, COMMANDS, 1, 0.5)
        hint = f" Did you mean :{near[0]}?" if near else " :help lists them."
        app.say(f"There is no command :{name}.{hint}", "warning")
        return
    command(app, rest)


def completions(app: OptyxApp, text: str, kind: str) -> list[str]:
    """What the last word could become."""
    words = text.split()
    if kind == "/" or (words and words[0] in ("logs",) and len(words) > 1):
        view = app.view
        live = view.filter_words() if view is not None and hasattr(view, "filter_words") else []
        return [*filter_words.TYPED, *live]
    if len(words) <= 1:
        return sorted(COMMANDS)
    if words[0] == "theme":
        return list(NAMES)
    if words[0] in ("window", "since"):
        return list(WINDOWS)
    if words[0] == "view":
        return sorted(saved_views())
    if words[0] == "ctx":
        from tui.session import known

        return [name for name, _, _ in known()]
    if words[0] in ("keys", "settings", "p", "project"):
        return app.project_names
    return []


def _screen(name: str) -> Callable[[OptyxApp, list[str]], None]:
    def go(app: OptyxApp, words: list[str]) -> None:
        if name in ("keys", "settings", "playground", "limits") and words and ":" not in words[0]:
            app.go(Location(name, project=words[0], filter=" ".join(words[1:])))
        elif name == "settings":
            project = app.history.here.project
            if project:
                app.go(Location(name, project=project))
            else:
                app.say("Which project? :settings NAME", "warning")
        else:
            app.go(Location(name, filter=" ".join(words)))

    return go


def _context(app: OptyxApp, words: list[str]) -> None:
    from tui.session import known

    names = [name for name, _, _ in known()]
    if not words:
        app.go(Location("connect"))
    elif words[0] in names:
        app.switch_context(words[0])
    else:
        app.say(
            f"There is no context {words[0]}. There are: {', '.join(names) or 'none yet (optyx login makes one)'}.",
            "warning",
        )


def _project(app: OptyxApp, words: list[str]) -> None:
    app.go(replace(app.history.here, project=words[0] if words else ""))


def _window(app: OptyxApp, words: list[str]) -> None:
    if not words or words[0] not in WINDOWS:
        app.say(f"A window is one of {', '.join(WINDOWS)}.", "warning")
        return
    app.window = words[0]
    app.action_refresh_now()


def _theme(app: OptyxApp, words: list[str]) -> None:
    if not words or words[0] not in NAMES:
        app.say(f"Themes: {', '.join(NAMES)}.", "warning")
        return
    app.use_theme(words[0])


def _readonly(app: OptyxApp, words: list[str]) -> None:
    if app.context_readonly and words[:1] == ["off"]:
        app.say(f"The context {app.context} is read-only: optyx ctx edit {app.context} --no-readonly.", "warning")
        return
    app.readonly = words[:1] != ["off"]
    app.say("Nothing can be changed now." if app.readonly else "Changes are possible again.")
    app.redraw_chrome()


def _save(app: OptyxApp, words: list[str]) -> None:
    if not words:
        app.say("A saved view needs a name: :save NAME", "warning")
        return
    here = app.history.here
    try:
        save_view(words[0], SavedView(here.screen, here.project, here.filter))
    except OSError as error:
        app.say(f"The view was not saved: {error.filename}: {error.strerror}.", "error")
    else:
        app.say(f"Saved. :view {words[0]} comes back here.")


def _view(app: OptyxApp, words: list[str]) -> None:
    views = saved_views()
    view = views.get(words[0]) if words else None
    if view is None:
        app.say(f"Saved views: {', '.join(sorted(views)) or 'none yet; :save NAME makes one'}.", "warning")
        return
    app.go(Location(view.screen, view.project, filter=view.filter))


def _export(app: OptyxApp, words: list[str]) -> None:
    from tui.export import export_view

    if len(words) != 2 or words[0] not in ("csv", "ndjson"):
        app.say("Export: :export csv FILE, or :export ndjson FILE", "warning")
        return
    export_view(app, words[0], words[1])


def _doctor(app: OptyxApp, words: list[str]) -> None:
    from tui.screens.help import doctor_report

    doctor_report(app)


def _quit(app: OptyxApp, words: list[str]) -> None:
    app.exit(0)


def _action(name: str) -> Callable[[OptyxApp, list[str]], None]:
    def act(app: OptyxApp, words: list[str]) -> None:
        app.call_later(app.run_action, name)

    return act


COMMANDS: dict[str, Callable[[OptyxApp, list[str]], None]] = {
    **{name: _screen(name) for name, _, _ in SCREENS},
    "settings": _screen("settings"),
    "models": _screen("models"),
    "usage": _screen("usage"),
    "connect": _screen("connect"),
    "ctx": _context,
    "play": _screen("playground"),
    "p": _project,
    "project": _project,
    "window": _window,
    "since": _window,
    "theme": _theme,
    "readonly": _readonly,
    "save": _save,
    "view": _view,
    "export": _export,
    "doctor": _doctor,
    "help": _action("help"),
    "undo": _action("undo"),
    "notices": _action("notices"),
    "q": _action("leave"),
    "q!": _quit,
    "quit": _action("leave"),
}
