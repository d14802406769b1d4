"""The command tree: imports only the module of the command that was asked for; for help, all of them (they are light)."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping

import typer

Places = Mapping[str, tuple[str, str]]

HELP = "Optyx: one OpenAI-compatible endpoint in front of several providers, run from the terminal."


def build(places: Places, arguments: list[str]) -> typer.Typer:
    """The application with the commands that `arguments` may need."""
    app = typer.Typer(
        name="optyx", no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, help=HELP
    )

    @app.callback()
    def root() -> None:
        """Without a callback a tree of one command would lose that command's name."""

    asked = next((word for word in arguments if word in places), None)
    for name in [asked] if asked else places:
        _add(app, name, places[name])
    return app


def _add(app: typer.Typer, name: str, place: tuple[str, str]) -> None:
    part: typer.Typer = getattr(importlib.import_module(place[0]), place[1])
    if len(part.registered_commands) == 1 and part.registered_commands[0].name is None and not part.registered_groups:
        callback = part.registered_commands[0].callback
        assert callback is not None
        app.command(name)(callback)
    else:
        app.add_typer(part, name=name)


def run(places: Places) -> int:
    """Runs the command line; returns the exit status (0 well, 1 failed, 2 wrong use, 130 interrupted)."""
    try:
        build(places, sys.argv[1:])()
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 0
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the interpreter's last flush is quiet
        return 141
    return 0
