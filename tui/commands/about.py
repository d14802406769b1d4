"""`optyx version`."""

from __future__ import annotations

import typer

version = typer.Typer()


@version.command()
def version_command() -> None:
    """This client's version, and the gateway's when one answers."""
    from gateway.version import VERSION
    from tui.columns import Column
    from tui.faults import Fault
    from tui.invocation import current

    run = current()
    told = {"client": VERSION, "gateway": None}
    try:
        run.flags.retries = 0
        told["gateway"] = run.get("/health").get("version")
    except Fault:
        pass  # no gateway: the client's version is still an answer
    run.show(told, [Column("client", "client"), Column("gateway", "gateway")])
