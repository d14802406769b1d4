"""`optyx`: the root of the command tree. Every command's module is imported when it is asked for, and not before."""

from __future__ import annotations

import sys

COMMANDS = {
    "demo": ("tui.commands.server", "demo"),
    "up": ("tui.commands.server", "up"),
    "serve": ("tui.commands.server", "serve"),
    "migrate": ("tui.commands.database", "migrate"),
    "seed": ("tui.commands.database", "seed"),
    "ctx": ("tui.commands.contexts", "ctx"),
    "login": ("tui.commands.contexts", "login"),
    "logout": ("tui.commands.contexts", "logout"),
    "whoami": ("tui.commands.contexts", "whoami"),
    "projects": ("tui.commands.projects", "projects"),
    "keys": ("tui.commands.keys", "keys"),
    "logs": ("tui.commands.logs", "logs"),
    "audit": ("tui.commands.audit", "audit"),
    "version": ("tui.commands.about", "version"),
}
"""Name to module and the Typer app in it, in the order of `optyx --help`."""

DEFAULTS = {"projects": "list", "keys": "list", "ctx": "list", "logs": "list", "audit": "check"}
"""What a noun means when it stands alone."""


def main() -> None:
    """The entry point. `--version` answers before anything else is imported."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from gateway.version import VERSION

        print(f"optyx {VERSION}")
        return
    from tui.tree import run

    sys.exit(run(COMMANDS, DEFAULTS))


if __name__ == "__main__":
    main()
