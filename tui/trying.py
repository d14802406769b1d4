"""Trying a provider: the gateway takes one step after the other and tells of each; so do the dashboard and the command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from tui import faults, figures
from tui.columns import Column, number, state
from tui.wire import EventStream, GatewayError, Unreachable, Wire, quoted

if TYPE_CHECKING:
    from tui.invocation import Invocation

STEPS = [
    Column("PROVIDER", "provider"),
    Column("STEP", "name"),
    state("RESULT", "state"),
    number("TOOK", "ms", figures.duration),
    Column("DETAIL", "detail"),
]
WIDEST = {"name": "configuration", "state": "skipped", "ms": "59.99 s"}
"""The longest words of these columns: a table that is printed line by line can't look ahead."""


def told(wire: Wire, provider: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A ProviderTest again and again until every step is decided. Raises GatewayError and Unreachable."""
    stream = EventStream(wire, f"/admin/v1/providers/{quoted(provider)}/test", {}, body={**body, "stream": True})
    for event, _, data in stream.events():
        known = msgspec.json.decode(data)
        if event == "error":
            raise GatewayError(500, str(known["error"]["code"]), str(known["error"]["message"]))
        yield known
        if event == "done":
            return


def show(run: Invocation, names: list[str], body: dict[str, Any]) -> None:
    """Every step of every provider, each as soon as it is decided. Raises Exit when one has failed, and Fault."""
    import typer  # here: the dashboard does without it

    failed: list[str] = []

    def steps() -> Iterator[dict[str, Any]]:
        for name in names:
            for step in _decided(run, name, body):
                yield {"provider": name, **step}
                if step["state"] == "failed":
                    failed.append(name)

    run.out.growing(steps(), STEPS, {"provider": max(names, key=len), **WIDEST}, "name")
    if failed:
        raise typer.Exit(faults.FINDINGS)


def _decided(run: Invocation, name: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    shown = 0
    try:
        for test in told(run.wire, name, body):
            steps = test["steps"]
            while shown < len(steps) and steps[shown]["state"] not in ("running", "waiting"):
                yield steps[shown]
                shown += 1
    except GatewayError as error:
        raise faults.said_no(error) from None
    except Unreachable as error:
        raise faults.not_reached(error) from None
