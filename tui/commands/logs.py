"""`optyx logs`: list, tail, get, count, export, replay, capture. Alone it lists the last 100 calls."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tui import calls_shown, figures
from tui import log_filter as f
from tui.columns import Column, absolute, number
from tui.faults import Fault, usage
from tui.invocation import Invocation, current, path_of

logs = typer.Typer(no_args_is_help=True, help="Every call: search, follow, count, export.")

LATEST = 100


@logs.command("list")
@f.filtered()
def list_calls(
    text: str,
    after: Annotated[
        str, typer.Option("--after", metavar="ID", help="Go on behind this call, or where a list was cut off.")
    ] = "",
    asc: Annotated[bool, typer.Option("--asc", help="Oldest first.")] = False,
) -> None:
    """Calls, newest first: the last 100, or as many as --limit says."""
    run = current()
    if "limit" not in run.flags.given and "all" not in run.flags.given:
        run.flags.limit = LATEST
    rows = found(run, text, "asc" if asc else "desc", after)
    run.list(rows, calls_shown.COLUMNS, "request_id", _nothing(text))


def _nothing(text: str) -> str:
    return f"No calls match {text}." if text else "No calls yet. Send one: optyx chat -k - 'Hello'"


def found(run: Invocation, text: str, order: str = "desc", after: str = "") -> list[dict[str, Any]]:
    """Pages of the log up to --limit; says how far back a search looked that ran out of its time."""
    most = run.flags.limit
    rows: list[dict[str, Any]] = []
    cursor = after
    while True:
        size = 1000 if most < 0 else min(1000, most - len(rows))
        page = run.get("/logs", filter=text, limit=size, cursor=cursor, order=order)
        rows += page["data"]
        cursor = page.get("next") or ""
        if not cursor or 0 <= most <= len(rows):
            break
    if page.get("scanned_to") and (most < 0 or len(rows) < most):
        run.done(f"note: looked back to {page['scanned_to']}; narrow the filter or give --since for more")
    elif cursor and "limit" in run.flags.given:
        run.tell_cut(len(rows), cursor)
    return rows


@logs.command("tail")
@f.filtered("since", "until")
def tail(
    text: str,
    since: f.Since = "",
    lines: Annotated[int, typer.Option("-n", min=0, help="Begin with the last N that match.")] = 0,
    form: Annotated[str, typer.Option("--format", help="short, long or json.")] = "short",
    with_control: Annotated[bool, typer.Option("--with-control", help="With JSON: gaps as objects too.")] = False,
    most: Annotated[int, typer.Option("--max", min=0, help="End after N calls.")] = 0,
    how_long: Annotated[str, typer.Option("--for", help="End after this long, like 60s.")] = "",
    until_match: Annotated[
        str, typer.Option("--until-match", help="End, well, at the first new call that this filter matches.")
    ] = "",
    fail_on: Annotated[
        str, typer.Option("--fail-on", help="End with status 9 at the first new call that this filter matches.")
    ] = "",
    sample: Annotated[
        str,
        typer.Option(
            "--sample", help="auto: above 2,000 a second one in n, and every error; never: all. JSON is always all."
        ),
    ] = "auto",
    no_reconnect: Annotated[bool, typer.Option("--no-reconnect", help="End when the connection breaks.")] = False,
    follow: Annotated[bool, typer.Option("-f", help="As it is anyway.", hidden=True)] = True,
) -> None:
    """Follow the calls as they are recorded, on every worker and machine, until Ctrl-C."""
    from tui.following import Following, Form

    run = current()
    if sample not in ("auto", "never"):
        raise usage(f"--sample {sample}: it is auto or never")
    if form not in ("short", "long", "json"):
        raise usage(f"--format {form}: it is short, long or json")
    shape = Form(form == "json" or run.flags.output in ("json", "ndjson"), form == "long", with_control, sample)
    following = Following(run, text, shape, most, how_long, until_match, fail_on, not no_reconnect)
    raise typer.Exit(following.run(lines, since))


@logs.command("get")
def get(
    request_id: Annotated[str, typer.Argument(help="The request's id, or the call's.")],
    body: Annotated[bool, typer.Option("--body", help="The captured bodies alone.")] = False,
) -> None:
    """One call: why it went where it went, attempts, limits as they stood, timings, tokens, cost and its price."""
    run = current()
    one = run.get(
        path_of("logs", request_id), bodies="true" if body else "false"
    )  # opening them is written to the audit
    if body:
        _bodies(run, one)
        return
    run.show(one, calls_shown.DETAIL, "request_id")
    if run.out.is_for_people and not run.flags.fields:
        for index, tried in enumerate(one.get("attempts", []), 1):
            what = tried.get("failure") or tried.get("status")
            detail = f": {tried['detail']}" if tried.get("detail") else ""
            run.out.line(
                f"Attempt {index}: {tried.get('provider')}/{tried.get('model')}, {what} in {figures.duration(tried.get('ms'))}{detail}"
            )
        for line in calls_shown.route(one.get("route") or {}):
            run.out.line(line)
        if one.get("trace"):
            run.out.line(f"Trace: {figures.trace(one['trace'])}")
            run.done(f"The calls of its trace: optyx logs list trace:{one['trace_id']}")


def _bodies(run: Invocation, one: dict[str, Any]) -> None:
    for name in ("request_body", "response_body"):
        captured = one.get(name) or {}
        if captured.get("text") is None:
            run.done(f"{name.replace('_', ' ')}: {captured.get('why_not') or 'nothing was captured'}")
        else:
            run.out.text(captured["text"])


COUNT = [
    number("MATCHED", "matched"), number("TOTAL", "total"), Column("SINCE", "since", absolute), Column("UNTIL", "until", absolute),
]  # fmt: skip


@logs.command("count")
@f.filtered()
def count(text: str) -> None:
    """How many calls match, and how many there are in the same span (the last 24 h without --since)."""
    run = current()
    told = run.get("/logs/count", filter=text)
    if run.out.format == "name":
        run.out.line(str(told["matched"]))
        return
    run.show(told, COUNT)
    if told.get("truncated"):
        run.done("note: counting took too long and was ended: these are at least as many")


@logs.command("export")
@f.filtered()
def export(
    text: str,
    form: Annotated[str, typer.Option("--format", help="ndjson, csv or parquet.")] = "ndjson",
    out: Annotated[str, typer.Option("--out", help="A new file (0600); stdout when left out.")] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an export to --out stopped; ndjson and csv.")
    ] = False,
) -> None:
    """Everything that matches, oldest first, page by page; it can be resumed."""
    from tui.exporting import export_calls

    run = current()
    if form not in ("ndjson", "csv", "parquet"):
        raise usage(f"--format {form}: it is ndjson, csv or parquet")
    written = export_calls(run, text, form, out, resume)
    run.done(f"{written} calls exported." + (f" They are in {out}." if out else ""))


@logs.command("replay")
def replay(request_id: Annotated[str, typer.Argument(help="The request's id.")]) -> None:
    """Send a captured call again, with the key of OPTYX_API_KEY. It is a real call: logged and priced. The answer comes
    whole, streamed or not."""
    from tui.chatting import as_whole, document, key_from, posted

    run = current()
    one = run.get(path_of("logs", request_id))
    captured = one.get("request_body") or {}
    if captured.get("text") is None:
        raise Fault(
            f"{request_id} can't be replayed: {captured.get('why_not') or 'nothing was captured'}",
            exit=5, code="not_captured", hint="optyx logs capture on -p PROJECT records bodies from then on",
        )  # fmt: skip
    path = {"embeddings": "/v1/embeddings"}.get(one.get("endpoint", ""), "/v1/chat/completions")
    run.out.text(document(posted(run, path, as_whole(captured["text"].encode()), key_from(run, ""))))


@logs.command("capture")
def capture(switch: Annotated[str, typer.Argument(metavar="on|off")]) -> None:
    """Record what is said in a project's calls, or stop it. What was captured keeps its own retention."""
    run = current()
    if switch not in ("on", "off"):
        raise usage(f"{switch}: it is on or off")
    project = run.needed_project()
    if switch == "on":
        run.confirm(f"prompts and answers of {project} are stored (encrypted) from now on")
    run.change("PATCH", path_of("projects", project, "settings"), {"capture": switch == "on"})
    run.done(f"Capture is {switch} for {project}.", "optyx undo")
