"""`optyx audit`: alone it checks the books; `list`, `tail`, `get`, `verify` and `export` are the trail of who changed what."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from tui.columns import Column, ago, number, state
from tui.faults import FINDINGS
from tui.invocation import Invocation, current, path_of

audit = typer.Typer(no_args_is_help=True, help="Alone: do the books add up? And the trail of who changed what.")

CHECKS = [
    state("RESULT", "result"),
    Column("CHECK", "name"),
    number("FINDINGS", "findings"),
    Column("CLAIM", "claim"),
]
TRAIL = [
    ago("WHEN", "at"),
    Column("WHO", "actor"),
    Column("VIA", "origin"),
    Column("ACTION", "action"),
    Column("OBJECT", "object_name"),
    Column("PROJECT", "project"),
    Column("RESULT", "result"),
    Column("REASON", "reason"),
    Column("ID", "id"),
    Column("BEFORE", "before", wide=True),
    Column("AFTER", "after", wide=True),
]
DETAIL = [
    Column("id", "id"), ago("when", "at"), Column("who", "actor"), Column("via", "origin"), Column("action", "action"),
    Column("object", "object_type"), Column("object id", "object_id"), Column("name", "object_name"), Column("project", "project"),
    Column("result", "result"), Column("reason", "reason"), Column("request", "request_id"), Column("before", "before"),
    Column("after", "after"), Column("digest", "digest"),
]  # fmt: skip
Filter = Annotated[
    list[str] | None, typer.Argument(metavar="[FILTER]…", help="Words, actor:… action:… object:… project:… result:…")
]
Since = Annotated[str, typer.Option("--since", help="15m, 2h, 7d, or a time.")]


@audit.command("check")
def check() -> None:
    """Do the books add up: rows against sums, budgets, holds, and the trail's own chain. Exit status 9 when something is found."""
    run = current()
    told = run.get("/books")
    if run.out.is_for_people:
        rows = [{**one, "result": "ok" if one["ok"] else "failed"} for one in told["checks"]]
        run.list(rows, CHECKS, "name")
        for one in told["checks"]:
            for found in one["examples"]:
                run.out.line(f"{one['name']}: {found['what']}: {found['found']}")
        found_in_all = sum(one["findings"] for one in told["checks"])
        run.done("The books add up." if told["ok"] else f"{found_in_all} findings.")
    else:
        run.show(told, CHECKS, "at")
    if not told["ok"]:
        raise typer.Exit(FINDINGS)


def _query(run: Invocation, words: list[str] | None, since: str, until: str = "") -> dict[str, Any]:
    return {"filter": " ".join(words or []), "since": since, "until": until, "project": run.project}


@audit.command("list")
def list_entries(words: Filter = None, since: Since = "", until: Annotated[str, typer.Option("--until")] = "") -> None:
    """What was changed, newest first."""
    run = current()
    run.list(
        run.rows("/audit", **_query(run, words, since, until)),
        TRAIL,
        "id",
        "No entry matches." if words or since or until or run.project else "Nothing was changed yet.",
    )


@audit.command("get")
def get(entry: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """One entry: what it was before, and after."""
    run = current()
    run.show(run.get(path_of("audit", entry)), DETAIL)


@audit.command("tail")
def tail(
    words: Filter = None,
    every: Annotated[float, typer.Option("--every", min=0.2, help="Seconds between looks.")] = 2.0,
    how_long: Annotated[str, typer.Option("--for", help="End after this long.")] = "",
) -> None:
    """New entries as they come, oldest first, until Ctrl-C."""
    from tui.flags import seconds

    run = current()
    ends = time.monotonic() + seconds(how_long, "--for") if how_long else None
    page = run.get("/audit", **_query(run, words, ""), limit=1)["data"]
    last = page[0]["id"] if page else ""
    while ends is None or time.monotonic() < ends:
        fresh = []
        for one in run.get("/audit", **_query(run, words, ""), limit=200)["data"]:
            if one["id"] == last:
                break
            fresh.append(one)
        if fresh:
            last = fresh[0]["id"]
            _show_fresh(run, list(reversed(fresh)))
        time.sleep(every if ends is None else max(0.0, min(every, ends - time.monotonic())))


def _show_fresh(run: Invocation, entries: list[dict[str, Any]]) -> None:
    import msgspec

    for one in entries:
        if run.out.is_for_people:
            run.out.line("  ".join(column.text(one, True) for column in TRAIL if not column.wide))
        else:
            run.out.write(msgspec.json.encode(one).decode())


CHAIN = [
    state("chain", "chain"),
    number("entries", "entries"),
    Column("head", "head"),
    Column("broken at", "broken_at"),
]


@audit.command("verify")
def verify() -> None:
    """Check the trail's hash chain from its first entry. Exit status 9 when an entry was altered or taken out."""
    run = current()
    told = run.get("/audit/verify")
    run.show({**told, "chain": "ok" if told["ok"] else "failed"}, CHAIN, "head")
    if not told["ok"]:
        raise typer.Exit(FINDINGS)


@audit.command("export")
def export(
    words: Filter = None,
    since: Since = "",
    until: Annotated[str, typer.Option("--until")] = "",
    form: Annotated[str, typer.Option("--format", help="ndjson or csv.")] = "ndjson",
    out: Annotated[str, typer.Option("--out", help="A new file (0600); stdout when left out.")] = "",
) -> None:
    """Every entry that matches."""
    from tui import exporting

    run = current()
    written = exporting.export(run, "/audit", _query(run, words, since, until), form, out, False)
    run.done(f"{written} entries exported.")
