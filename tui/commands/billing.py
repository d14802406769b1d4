"""`optyx billing`: accounts, entries, statement, credit, adjust, close."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tui import figures
from tui.columns import Column, ago, money, number
from tui.invocation import Invocation, current

billing = typer.Typer(no_args_is_help=True, help="Who owes what: accounts, entries, a month's statement.")

ACCOUNTS = [
    Column("ACCOUNT", "name"), Column("ORG", "org"), money("BALANCE", "balance_nusd"), money("BOOKED", "booked_nusd"),
    Column("BEARS USAGE", "bears_usage"), Column("TIME ZONE", "timezone"), Column("ID", "id"),
]  # fmt: skip
ENTRIES = [
    ago("WHEN", "created_at"), Column("KIND", "kind"), money("AMOUNT", "amount_nusd"), Column("MONTH", "month"), Column("PROJECT", "project"),
    Column("MODEL", "model"), Column("NOTE", "note"), Column("BY", "created_by"), Column("ID", "id", wide=True),
]  # fmt: skip
LINES = [
    Column("PROJECT", "project"), Column("KEY", "key"), Column("PROVIDER", "provider"), Column("MODEL", "model"), number("CALLS", "calls"),
    number("TOKENS IN", "prompt_tokens"), number("TOKENS OUT", "completion_tokens"), money("COST", "cost_nusd"), number("UNPRICED", "unpriced_calls"),
]  # fmt: skip
SUMS = (
    ("opening", "opening_nusd"), ("credits", "credits_nusd"), ("adjustments", "adjustments_nusd"), ("usage", "usage_nusd"),
    ("closing", "closing_nusd"),
)  # fmt: skip
Account = Annotated[str, typer.Option("--account", help="The first one when left out.")]
Month = Annotated[str, typer.Option("--month", help="Like 2026-11; this one when left out.")]


@billing.command("accounts")
def accounts() -> None:
    """Every account and its balance: credits and adjustments less all usage so far."""
    run = current()
    run.list(run.get("/billing/accounts")["data"], ACCOUNTS)


@billing.command("entries")
def entries(
    account: Account = "", month: Annotated[str, typer.Option("--month", help="Posted for this month.")] = ""
) -> None:
    """What was entered: credits, adjustments, closed months. Never changed afterwards."""
    run = current()
    run.list(run.rows("/billing/entries", account=account, month=month), ENTRIES)


@billing.command("statement")
def statement(
    account: Account = "",
    month: Month = "",
    by: Annotated[str, typer.Option("--by", help="org, project, model, key, or project,model.")] = "project,model",
) -> None:
    """A month: opening balance, credits, usage line by line, closing balance."""
    run = current()
    told = run.get("/billing/statements", account=account, month=month, group_by=by)
    if run.out.format in ("json", "yaml"):
        run.out.document(told)
        return
    run.list(told["lines"], LINES, "model", "No usage in this month.")
    if run.out.is_for_people:
        for word, name in SUMS:
            run.out.line(f"{word}: {figures.dollars(told[name])}")
        exact = "" if told["exact"] else " Hours at its edges are gone: it is not exact."
        run.done(f"{told['account_name']}, {told['month']} in {told['timezone']}.{exact}")


def _enter(run: Invocation, kind: str, amount: str, note: str, account: str) -> None:
    body: dict[str, Any] = {
        "kind": kind,
        "amount_usd": amount.replace("$", ""),
        "note": note,
        **({"account": account} if account else {}),
    }
    run.confirm(f"{kind} of ${body['amount_usd']}: {note}")
    made = run.change("POST", "/billing/entries", body).body
    run.show(made, ENTRIES)


@billing.command("credit")
def credit(
    amount: Annotated[str, typer.Argument(help="Dollars.")],
    note: Annotated[str, typer.Option("--note", help="What it is for.")],
    account: Account = "",
) -> None:
    """Enter a credit."""
    _enter(current(), "credit", amount, note, account)


@billing.command("adjust", context_settings={"ignore_unknown_options": True})
def adjust(
    amount: Annotated[str, typer.Argument(help="Dollars, also negative: what it does to the balance.")],
    note: Annotated[str, typer.Option("--note", help="Why.")],
    account: Account = "",
) -> None:
    """Enter an adjustment."""
    _enter(current(), "adjustment", amount, note, account)


@billing.command("close")
def close(month: Annotated[str, typer.Argument(help="Like 2026-11.")], account: Account = "") -> None:
    """Post a month's usage, once; closing it again posts only what came late."""
    run = current()
    run.confirm(f"the usage of {month} is posted")
    told = run.change("POST", "/billing/close", {"month": month, **({"account": account} if account else {})}).body
    run.out.document(told) if not run.out.is_for_people else run.done(f"Closed {month}.")
