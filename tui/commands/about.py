"""`optyx version`, `spec`, `completion`, `tui`: the program about itself."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from tui.columns import Column
from tui.faults import FINDINGS, Fault, usage
from tui.invocation import Invocation, current

version = typer.Typer()
spec = typer.Typer()
completion = typer.Typer()
tui = typer.Typer()


@version.command()
def version_command(
    check: Annotated[
        bool, typer.Option("--check", help="Exit status 9 when the gateway is of another version, 3 when none answers.")
    ] = False,
) -> None:
    """This client's version, and the gateway's when one answers. No one else is asked: releases are looked up nowhere."""
    from gateway.version import VERSION

    run = current()
    run.flags.retries = 0
    told: dict[str, Any] = {"client": VERSION, "gateway": None}
    try:
        health = run.get("/health")
        if isinstance(health, dict) and health.get("service") == "optyx-gateway":
            told["gateway"] = health.get("version")
    except Fault:
        if check:
            raise
        # no gateway: the client's version is still an answer
    if check and not told["gateway"]:
        raise Fault(
            f"what answers at {run.place.url} is no Optyx gateway", code="not_optyx", hint="correct the address"
        )
    run.show(told, [Column("client", "client"), Column("gateway", "gateway")], "client")
    if check:
        _check(run, VERSION, told["gateway"])


def _check(run: Invocation, client: str, gateway: str) -> None:
    from tui.versions import skew

    found = skew(client, gateway)
    if found is None:
        run.done(
            "Client and gateway are of one version. Whether there is a newer one was not asked: pipx upgrade optyx looks."
        )
        return
    run.done(f"{found.what} {found.why}")
    run.done(f"fix: {found.fix}")
    raise typer.Exit(FINDINGS)


@spec.command()
def spec_command() -> None:
    """Every command with its arguments, options and the dashboard's actions it stands for, as JSON."""
    from tui.cli import COMMANDS
    from tui.describing import tree

    run = current()
    if run.out.is_for_people:
        run.out.format = "json"
    run.out.plain_document(tree(COMMANDS))


@completion.command()
def completion_command(
    shell: Annotated[str, typer.Argument(help="bash, zsh, fish or powershell.")],
    install: Annotated[bool, typer.Option("--install", help="Write it where the shell looks for it.")] = False,
) -> None:
    """A script that completes commands, flags, formats and live names: eval "$(optyx completion bash)"."""
    from tui.completing import PLACES, SCRIPTS

    run = current()
    if shell not in SCRIPTS:
        raise usage(f"{shell}: it is {', '.join(SCRIPTS)}")
    if not install:
        run.out.write(SCRIPTS[shell])
        return
    path = PLACES[shell]()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SCRIPTS[shell] + "\n", "utf-8")
    more = f" once the profile has: . {path}" if shell == "powershell" else ""  # it looks in no folder by itself
    run.done(f"Wrote {path}; new shells complete optyx{more}.")


@tui.command(context_settings={"ignore_unknown_options": True})
def tui_command(words: Annotated[list[str] | None, typer.Argument(metavar="[SCREEN] [FILTER]…")] = None) -> None:
    """The dashboard: optyx-tui."""
    run = current()
    context = ["--context", run.flags.context] if "context" in run.flags.given else []
    os.execv(sys.executable, [sys.executable, "-m", "tui.launch", *context, *(words or [])])
