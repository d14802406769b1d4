"""`optyx secrets`: the key that seals stored credentials and captured bodies."""

from __future__ import annotations

import typer

from tui.faults import FINDINGS
from tui.invocation import current

secrets = typer.Typer(no_args_is_help=True, help="The key that seals stored credentials and captured bodies.")


@secrets.callback()
def root() -> None:
    """Keeps `rotate` a command of its own, also while it is the only one."""


@secrets.command("rotate")
def rotate() -> None:
    """Put everything under the first key of OPTYX_SECRET_KEY=new,old. Exit status 9 when something opens with none of them."""
    run = current()
    told = run.change("POST", "/secrets/rotate", {}).body
    if not run.out.is_for_people:
        run.out.document(told)
    run.done(
        f"Resealed {told['credentials']} credentials and {told['bodies']} bodies; {told['unreadable']} open with no key."
    )
    if told["unreadable"]:
        raise typer.Exit(FINDINGS)
