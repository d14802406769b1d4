"""The command tree as data: for `optyx spec`, completion, the reference in the docs and the tests."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from tui.flags import NOT_FOR
from tui.tree import Places, build


def tree(places: Places) -> dict[str, Any]:
    """Every command with its parameters and the dashboard's actions it is the form of. Loads all modules."""
    from typer.main import get_command

    root: Any = get_command(build(places, list(places)))
    actions = _actions()
    commands = [found for name in places for found in _walk(root.commands[name], (name,), actions)]
    return {"name": "optyx", "version": _version(), "commands": commands}


def _version() -> str:
    from gateway.version import VERSION

    return VERSION


def _actions() -> dict[str, list[str]]:
    """`keys disable` -> ids of actions of the dashboard."""
    from tui.keys import ACTIONS

    found: dict[str, list[str]] = {}
    for action in ACTIONS:
        if action.cli.startswith("optyx "):
            words = itertools.takewhile(lambda word: word.isalpha() and word.islower(), action.cli.split()[1:4])
            name = " ".join(words)
            found.setdefault(name, []).append(action.id)
    return found


def _walk(command: Any, path: tuple[str, ...], actions: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner:
        return [found for name, one in inner.items() for found in _walk(one, (*path, name), actions)]
    name = " ".join(path)
    return [
        {
            "command": name,
            "help": " ".join((command.help or "").split()),
            "arguments": [_argument(one) for one in command.params if one.param_type_name == "argument"],
            "options": [_option(one) for one in command.params if one.param_type_name == "option" and not one.hidden],
            "takes_shared_flags": path[0] not in NOT_FOR,
            "tui": actions.get(name, []),
        }
    ]


def _argument(one: Any) -> dict[str, Any]:
    return {"name": one.metavar or one.name.upper(), "required": bool(one.required), "help": one.help or ""}


def _option(one: Any) -> dict[str, Any]:
    return {
        "flags": [*one.opts, *one.secondary_opts],
        "required": bool(one.required),
        "is_switch": bool(one.is_flag),
        "help": one.help or "",
    }
