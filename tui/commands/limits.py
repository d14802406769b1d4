"""`optyx limits`: list, get, set, override, overrides, hits."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from tui import calls_shown, figures
from tui.columns import Column, money, number, until
from tui.faults import Fault, usage
from tui.invocation import PAGE, Invocation, current, path_of

limits = typer.Typer(no_args_is_help=True, help="Requests, tokens, calls at once, and money.")

WINDOWS = ("1h", "1d", "7d", "30d", "1mo", "total")
WORDS = {"hour": "1h", "day": "1d", "week": "7d", "month": "1mo", "ever": "total"}
SCOPES = ("org", "project", "key")

BUDGETS = [
    Column("SCOPE", "scope"), Column("OF", "subject_name"), Column("WINDOW", "window"), money("AMOUNT", "amount_nusd"),
    money("SPENT", "spent_nusd"), money("HELD", "held_nusd"), number("USED", ".", lambda one: _used(one)),
    until("RESETS", "resets_at"), until("GONE BY", "forecast_at"), money("DRAWN", "drawn_nusd", wide=True),
    money("UNRECORDED", "unrecorded_nusd", wide=True), Column("ID", "id", wide=True),
]  # fmt: skip
RATES = [
    Column("SCOPE", "scope"), Column("OF", "name"), number("RPM", "rpm", lambda gauge: _gauge(gauge)),
    number("TPM", "tpm", lambda gauge: _gauge(gauge)), number("AT ONCE", "concurrency", lambda gauge: _gauge(gauge)),
    number("REFUSED 24 H", "refused_24h"),
]  # fmt: skip
OVERRIDES = [
    Column("SCOPE", "scope"), Column("OF", "subject_name"), Column("WINDOW", "window"), money("RAISED BY", "raise_nusd"),
    until("UNTIL", "raise_until"), Column("BUDGET", "id"),
]  # fmt: skip


def _used(one: dict[str, Any]) -> str:
    amount = one.get("amount_nusd", 0) + one.get("raise_nusd", 0)
    return f"{figures.percent(one.get('spent_nusd', 0) / amount, 0)}%" if amount else figures.NONE


def _gauge(gauge: dict[str, Any] | None) -> str:
    if not gauge or gauge.get("limit") is None:
        return figures.NONE
    return f"{gauge['used']:.0f} of {gauge['limit']}"


def budget_of(text: str) -> dict[str, str]:
    """`500/1mo` as the API takes it. Raises Fault."""
    match = re.fullmatch(r"\$?(\d+(?:\.\d{1,9})?)/(\w+)", text)
    window = WORDS.get(match[2], match[2]) if match else ""
    if match is None or window not in WINDOWS:
        raise usage(f"--budget {text}: it is AMOUNT/WINDOW, like 500/1mo", f"windows: {', '.join(WINDOWS)}")
    return {"amount_usd": match[1], "window": window}


def body_of(rpm: int | None, tpm: int | None, concurrency: int | None, budget: list[str] | None) -> dict[str, Any]:
    """What was given, and nothing else."""
    given = {"rpm": rpm, "tpm": tpm, "concurrency": concurrency}
    body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if budget:
        body["budgets"] = [budget_of(one) for one in budget]
    return body


Scope = Annotated[
    str, typer.Argument(metavar="[SCOPE]", help="project:NAME, key:NAME or org:NAME; alone: the project of -p.")
]
KeyFlag = Annotated[str, typer.Option("--key", help="Of this key (name, id or prefix).")]


def place_of(run: Invocation, scope: str, key: str) -> tuple[str, str]:
    """The route of whose limits are meant, and how people call it. Raises Fault."""
    kind, colon, name = scope.partition(":")
    if key or kind == "key":
        from tui.commands.keys import found

        one = found(run, key or name)
        return path_of("keys", one["id"], "limits"), f"key {one['name']}"
    if scope and (not colon or kind not in SCOPES):
        raise usage(f"{scope!r} has no limits", "project:NAME, key:NAME or org:NAME")
    if kind == "org":
        return path_of("orgs", name, "limits"), f"org {name}"
    project = name or run.needed_project()
    return path_of("projects", project, "limits"), f"project {project}"


@limits.command("list")
def list_limits(key: KeyFlag = "") -> None:
    """Every budget and rate, how much of it is used, and when it resets."""
    run = current()
    told = _pages(run, project="" if key else run.project, key=_key_id(run, key))
    budgets, rates = told["budgets"], told["rates"]
    if not run.out.is_for_people:
        if run.out.format in ("json", "yaml"):
            run.out.document({"timezone": told.get("timezone"), "budgets": budgets, "rates": rates})
        else:
            run.list(budgets, BUDGETS)
        return
    run.list(budgets, BUDGETS, "id", "No budgets: optyx limits set -p PROJECT --budget 500/1mo")
    if rates:
        run.out.line("")
        run.list(rates, RATES, "subject")
    run.done(f"Windows begin in {told.get('timezone', 'UTC')}.")


def _key_id(run: Invocation, key: str) -> str:
    if not key:
        return ""
    from tui.commands.keys import found

    return str(found(run, key)["id"])


def _pages(run: Invocation, **query: Any) -> dict[str, Any]:
    """Page after page, up to --limit budgets and rates in all; says on stderr when there is more."""
    most = run.flags.limit
    told: dict[str, Any] = {}
    shown, cursor = 0, ""
    while True:
        size = PAGE if most < 0 else min(PAGE, most - shown)
        page = run.get("/limits", **query, limit=size, cursor=cursor)
        if told:
            told["budgets"] += page["budgets"]
            told["rates"] += page["rates"]
        else:
            told = page
        shown += len(page["budgets"]) + len(page["rates"])
        cursor = page.get("next") or ""
        if not cursor or 0 <= most <= shown:
            break
    if cursor:
        run.tell_cut(shown, cursor)
    return told


@limits.command("get")
def get(scope: Scope = "", key: KeyFlag = "") -> None:
    """What is set on one project, key or org."""
    run = current()
    path, _ = place_of(run, scope, key)
    told = run.get(path)
    shown = {**told, "budget": [f"{one['amount_usd']}/{one['window']}" for one in told.get("budgets", [])]}
    columns = [
        number("rpm", "rpm"),
        number("tpm", "tpm"),
        number("concurrency", "concurrency"),
        Column("budgets", "budget"),
    ]
    run.show(shown if run.out.is_for_people else told, columns, "rpm")


@limits.command("set")
def set_limits(
    scope: Scope = "",
    key: KeyFlag = "",
    rpm: Annotated[str, typer.Option("--rpm", help="Requests a minute; none takes the limit away.")] = "",
    tpm: Annotated[str, typer.Option("--tpm", help="Tokens a minute.")] = "",
    concurrency: Annotated[str, typer.Option("--concurrency", help="Calls at once.")] = "",
    budget: Annotated[
        list[str] | None,
        typer.Option("--budget", help="AMOUNT/WINDOW, like 500/1mo; repeat it. none/1mo takes it away."),
    ] = None,
) -> None:
    """Change what is given, and leave the rest."""
    run = current()
    path, who = place_of(run, scope, key)
    answer = run.ask("GET", path)
    body = _merged(answer.body, {"rpm": rpm, "tpm": tpm, "concurrency": concurrency}, budget or [])
    if body == _plain(answer.body):
        run.done("Nothing to change.")
        return
    run.confirm(f"{who}: {_described(body)}")
    run.change("PUT", path, body, etag=answer.etag)
    run.done(f"Limits of {who} are saved.", "optyx undo")


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    """As PUT takes it: without what only an answer has."""
    return {
        name: value
        for name, value in told.items()
        if name in ("rpm", "tpm", "concurrency", "budgets", "models", "tiers")
    }


def _merged(told: dict[str, Any], rates: dict[str, str], budgets: list[str]) -> dict[str, Any]:
    body = _plain(told)
    for name, text in rates.items():
        if text:
            if text != "none" and not text.isdigit():
                raise usage(f"--{name} {text}: it is a whole number, or none")
            body[name] = None if text == "none" else int(text)
    kept = {one["window"]: one for one in body.get("budgets", [])}
    for text in budgets:
        if text.startswith("none/"):
            kept.pop(budget_of("0/" + text[5:])["window"], None)
        else:
            one = budget_of(text)
            kept[one["window"]] = {**kept.get(one["window"], {}), **one}
    return {**body, "budgets": list(kept.values())}


def _described(body: dict[str, Any]) -> str:
    parts = [
        f"{name} {words}"
        for name, words in (("rpm", body.get("rpm")), ("tpm", body.get("tpm")), ("at once", body.get("concurrency")))
        if words is not None
    ]
    parts += [f"${one['amount_usd']} per {one['window']}" for one in body.get("budgets", [])]
    return ", ".join(parts) or "no limits at all"


@limits.command("override")
def override(
    add: Annotated[str, typer.Option("--add", help="Dollars more.")],
    ends: Annotated[str, typer.Option("--until", help="3d, or a date.")],
    scope: Scope = "",
    key: KeyFlag = "",
    window: Annotated[
        str, typer.Option("--window", help="Of the budget with this window, where there are several.")
    ] = "",
    budget: Annotated[str, typer.Option("--budget-id", help="Of this budget.")] = "",
) -> None:
    """More money for a while: the budget is raised until a moment, and then as before."""
    from tui.commands.keys import moment

    run = current()
    ident = budget or _budget(run, scope, key, window)
    body = {
        "add_usd": add.removeprefix("$"),
        "until": moment(ends, "--until"),
        **({"reason": run.flags.reason} if run.flags.reason else {}),
    }
    run.confirm(f"the budget {ident} has ${body['add_usd']} more until {body['until']}")
    run.change("POST", path_of("budgets", ident, "raise"), body)
    run.done(f"Raised by ${body['add_usd']} until {body['until']}.")


def _budget(run: Invocation, scope: str, key: str, window: str) -> str:
    path, who = place_of(run, scope, key)
    there = [
        one for one in run.get(path).get("budgets", []) if not window or one["window"] == WORDS.get(window, window)
    ]
    if not there:
        raise Fault(f"{who} has no such budget", exit=5, code="not_found", hint="optyx limits set --budget 500/1mo")
    if len(there) > 1:
        raise usage(
            f"{who} has several budgets: {', '.join(one['window'] for one in there)}", "say which with --window"
        )
    return str(there[0]["id"])


@limits.command("overrides")
def overrides() -> None:
    """The budgets that are raised at present."""
    run = current()
    run.list(_pages(run, project=run.project, raised="true")["budgets"], OVERRIDES, "id", "No budget is raised.")


@limits.command("hits")
def hits(since: Annotated[str, typer.Option("--since", help="15m, 2h, 7d, or a time.")] = "24h") -> None:
    """The calls that a limit or budget refused."""
    from tui import log_filter
    from tui.commands.logs import found

    run = current()
    text = log_filter.text_of(["status:429"], "", projects=run.projects, since=since)
    run.list(found(run, text), calls_shown.COLUMNS, "request_id", "No call was refused.")
