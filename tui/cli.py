"""`optyx`: the root of the command tree. Every command's module is imported when it is asked for, and not before."""

from __future__ import annotations

import sys

from tui.ending import ended

COMMANDS = {
    "demo": ("tui.commands.server", "demo"),
    "up": ("tui.commands.server", "up"),
    "serve": ("tui.commands.server", "serve"),
    "migrate": ("tui.commands.database", "migrate"),
    "seed": ("tui.commands.database", "seed"),
    "plan": ("tui.commands.declarative", "plan"),
    "diff": ("tui.commands.declarative", "plan"),
    "apply": ("tui.commands.declarative", "apply"),
    "export": ("tui.commands.declarative", "export"),
    "doctor": ("tui.commands.doctor", "doctor"),
    "status": ("tui.commands.status", "status"),
    "top": ("tui.commands.status", "top"),
    "tui": ("tui.commands.about", "tui"),
    "quickstart": ("tui.commands.calling", "quickstart"),
    "chat": ("tui.commands.calling", "chat"),
    "env": ("tui.commands.calling", "env"),
    "run": ("tui.commands.calling", "run"),
    "api": ("tui.commands.raw", "api"),
    "config": ("tui.commands.config", "config"),
    "completion": ("tui.commands.about", "completion"),
    "spec": ("tui.commands.about", "spec"),
    "ctx": ("tui.commands.contexts", "ctx"),
    "login": ("tui.commands.contexts", "login"),
    "logout": ("tui.commands.contexts", "logout"),
    "whoami": ("tui.commands.contexts", "whoami"),
    "projects": ("tui.commands.projects", "projects"),
    "keys": ("tui.commands.keys", "keys"),
    "models": ("tui.commands.models", "models"),
    "prices": ("tui.commands.models", "prices"),
    "tiers": ("tui.commands.tiers", "tiers"),
    "providers": ("tui.commands.providers", "providers"),
    "settings": ("tui.commands.settings", "settings"),
    "limits": ("tui.commands.limits", "limits"),
    "usage": ("tui.commands.money", "usage"),
    "billing": ("tui.commands.billing", "billing"),
    "reprice": ("tui.commands.money", "reprice"),
    "explain": ("tui.commands.explain", "explain"),
    "users": ("tui.commands.people", "users"),
    "tokens": ("tui.commands.people", "tokens"),
    "undo": ("tui.commands.people", "undo"),
    "secrets": ("tui.commands.secrets", "secrets"),
    "logs": ("tui.commands.logs", "logs"),
    "audit": ("tui.commands.audit", "audit"),
    "events": ("tui.commands.events", "events"),
    "version": ("tui.commands.about", "version"),
}
"""Name to module and the Typer app in it, in the order of `optyx --help`."""

DEFAULTS = {
    "ctx": "list", "projects": "list", "keys": "list", "models": "list", "prices": "list", "tiers": "list", "providers": "list",
    "settings": "get", "limits": "list", "billing": "accounts", "users": "list", "tokens": "list", "logs": "list", "audit": "check",
    "events": "tail",
}  # fmt: skip
"""What a noun means when it stands alone."""


def main() -> None:
    """The entry point."""
    sys.exit(ended(_main, "optyx"))


def _main() -> int:
    """`--version` answers before anything else is imported."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from gateway.version import VERSION

        print(f"optyx {VERSION}")
        return 0
    if sys.argv[1:2] == ["--complete"]:
        from tui.completing import complete

        complete(sys.argv[2:], COMMANDS)
        return 0
    from tui.tree import run

    return run(COMMANDS, DEFAULTS)


if __name__ == "__main__":
    main()
