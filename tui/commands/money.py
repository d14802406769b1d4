"""`optyx usage`, `billing`, `reprice`: what was used, what it costs, and reckoning it anew."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tui import figures
from tui.columns import Column, absolute, money, number
from tui.faults import FINDINGS
from tui.invocation import Invocation, current

usage = typer.Typer()
reprice = typer.Typer()

COLUMNS = [
    number("CALLS", "requests"), number("ERRORS", "errors"), number("TOKENS IN", "prompt_tokens"),
    number("TOKENS OUT", "completion_tokens"), number("CACHED", "cached_tokens"), money("COST", "cost_nusd"),
    number("UNPRICED", "unpriced_calls", wide=True),
]  # fmt: skip
SUMS = ("requests", "errors", "prompt_tokens", "completion_tokens", "cached_tokens", "cost_nusd", "unpriced_calls")


@usage.command()
def usage_command(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            help="project, key, model, provider, tier, endpoint, user, tag, tag:NAME, hour, day, month; several times: by each pair.",
        ),
    ] = None,
    since: Annotated[str, typer.Option("--since", help="7d, 24h, or a time.")] = "",
    until: Annotated[str, typer.Option("--until", help="7d, 24h ago, or a time.")] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Exit status 9 when the rows don't add up to the total.")
    ] = False,
) -> None:
    """Calls, tokens and cost, grouped (by project without --by); the last row is the total, and equals the sum."""
    run = current()
    groups = [one for given in by or ["project"] for one in given.split(",")]
    told = run.get("/usage", group_by=",".join(groups), since=since, until=until, project=run.project)
    if run.out.format == "json" and not run.flags.fields:
        run.out.document(told)
    else:
        zone = f" ({told.get('timezone', 'UTC')})" if run.out.is_for_people else ""
        headings = [Column(one.upper() + zone, f"groups.{one.partition(':')[0]}") for one in groups]
        rows = [*told["data"], told["total"]] if run.out.is_for_people else told["data"]
        run.list(rows, [*headings, *COLUMNS], "group")
        run.done(
            f"{absolute(told.get('since'))} to {absolute(told.get('until'))}, days begin in {told.get('timezone', 'UTC')}."
        )
    if check:
        wrong = [
            name
            for name in SUMS
            if sum(one.get(name, 0) or 0 for one in told["data"]) != (told["total"].get(name, 0) or 0)
        ]
        if wrong:
            run.done(f"The rows don't add up to the total: {', '.join(wrong)}.")
            raise typer.Exit(FINDINGS)
        run.done("The rows add up to the total.")


REPRICED = [
    Column("PROVIDER", "provider"),
    Column("MODEL", "model"),
    number("CALLS", "rows"),
    number("CHANGE", "changed"),
    money("COST BEFORE", "before_nusd"),
    money("COST AFTER", "after_nusd"),
    number("UNPRICED BEFORE", "unpriced_before"),
    number("AFTER", "unpriced_after"),
]


@reprice.command()
def reprice_command(
    since: Annotated[str, typer.Option("--since", help="From when on: 7d, or a time.")],
    until: Annotated[str, typer.Option("--until", help="Until when; now when left out.")] = "",
    model: Annotated[str, typer.Option("--model", "-m", help="This model alone.")] = "",
    provider: Annotated[str, typer.Option("--provider", help="This provider alone.")] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Change the books; without it nothing is changed.")] = False,
) -> None:
    """Reckon a period's calls anew at the prices of now. First a dry run, always; --apply makes it so."""
    run = current()
    given = {"since": since, "until": until, "model": model, "provider": provider}
    body = {name: value for name, value in given.items() if value}
    told = run.ask("POST", "/reprice", body=body).body
    _show_repricing(run, told)
    if not apply:
        run.done("Nothing was changed: this was the dry run; --apply makes it so.")
        return
    if not told["changed"]:
        run.done("Nothing to change.")
        return
    run.confirm(
        f"{told['changed']} calls cost {figures.dollars(told['after_nusd'])} in place of {figures.dollars(told['before_nusd'])}"
    )
    done = run.change("POST", "/reprice", {**body, "apply": True}).body
    run.done(f"Repriced {done['changed']} of {done['rows']} calls ({done.get('id')}).")


def _show_repricing(run: Invocation, told: dict[str, Any]) -> None:
    if not run.out.is_for_people:
        run.out.document(told)
        return
    total = {**told, "provider": "total", "model": ""}
    run.list([*told["models"], total], REPRICED, "model")
