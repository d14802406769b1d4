"""Who owes what: accounts, entries, a month's statement, closing a month."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from gateway import bills, ids, months
from gateway.admin import audit
from gateway.admin.asked import Amount, Asked, Text
from gateway.admin.decode import refuse
from gateway.admin.desk import Ask, Nothing
from gateway.admin.paging import PageQuery, decode_cursor, page
from gateway.admin.schema.billing import BillingAccount, BillingEntry, Closing, Statement, StatementLine
from gateway.admin.schema.record import Page
from gateway.errors import Conflict, NotFound, Unprocessable
from gateway.instants import iso
from gateway.ledger import nusd, usd
from gateway.store import billing as store

CONNECT_TIMEOUT_S = 5.0
LARGEST_NUSD = 10**18
FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = ("kind", "month", "project_id", "project", "key", "provider", "model", "calls", "prompt_tokens", "completion_tokens", "cached_tokens",
           "unpriced_calls", "cost_nusd", "cost_usd", "balance_nusd", "balance_usd", "note")  # fmt: skip

Month = Annotated[str, Meta(pattern=r"^[12][0-9]{3}-(0[1-9]|1[0-2])$", examples=["2026-11"])]


class EntriesQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """`account`: the first one when not given."""

    account: Text | None = None
    month: Month | None = None


class NewEntry(Asked, kw_only=True):
    """A credit is positive; an adjustment is what it does to the balance, positive or negative."""

    kind: Literal["credit", "adjustment"]
    amount_usd: Amount
    note: Text
    account: Text | None = None


class StatementQuery(Asked, kw_only=True):
    """`month`: the current one when not given."""

    month: Month | None = None
    account: Text | None = None
    group_by: Literal["org", "project", "model", "key", "project,model"] = "project,model"
    format: Literal["json", "csv"] = "json"


class ClosingAsked(Asked, kw_only=True):
    month: Month
    account: Text | None = None


async def accounts(ask: Ask[Nothing, Nothing]) -> Page[BillingAccount]:
    now = _now(ask)
    return Page(
        data=[
            BillingAccount(
                id=account.id,
                org_id=account.org_id,
                org=account.org,
                name=account.name,
                currency=account.currency,
                timezone=account.timezone,
                bears_usage=account.bears_usage,
                balance_nusd=await store.balance_before(ask.db, account, now),
                booked_nusd=await store.booked(ask.db, account.id),
                created_at=iso(account.created_at) or "",
            )
            for account in await store.accounts(ask.db)
        ]
    )


async def entries(ask: Ask[Nothing, EntriesQuery]) -> Page[BillingEntry]:
    account = await _account(ask, ask.query.account)
    after = decode_cursor(ask.query.cursor, tuple[datetime, str])
    rows = await store.entries_page(ask.db, account.id, ask.query.month, after, ask.query.limit + 1)
    found = page(rows, ask.query.limit, lambda row: (row.created_at.isoformat() if row.created_at else "", row.id))
    return Page(data=[_entry(row) for row in found.data], next=found.next)


async def enter(ask: Ask[NewEntry, Nothing]) -> BillingEntry:
    account = await _account(ask, ask.body.account)
    amount = _amount(ask.body)
    entry = await store.enter(
        ask.db,
        store.EntryRow(
            id=ids.new("ent"),
            account_id=account.id,
            kind=ask.body.kind,
            amount_nusd=amount,
            note=ask.body.note,
            created_by=ask.who.name,
        ),
    )
    after = {"kind": entry.kind, "amount_usd": usd(amount), "note": entry.note, "account": account.name}
    audit.record(ask, "billing.enter", ("billing_entry", entry.id, account.name), after=after)
    return _entry(entry)


async def statement(ask: Ask[Nothing, StatementQuery]) -> Statement | web.Response:
    account = await _account(ask, ask.query.account)
    month = ask.query.month or months.month_of(_now(ask), account.timezone)
    async with ask.db.transaction(isolation="repeatable_read", readonly=True):
        found = await bills.state(ask.db, account, month, ask.query.group_by)
    if ask.query.format == "csv":
        name = f"statement-{month}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
        return web.Response(text=to_csv(found), content_type="text/csv", charset="utf-8", headers=headers)
    return _statement(found, ask.query.group_by)


async def close(ask: Ask[ClosingAsked, Nothing]) -> Closing:
    account = await _account(ask, ask.body.account)
    month = ask.body.month
    try:
        entered = await bills.close(ask.db, account, month, ask.who.name, _now(ask))
    except bills.NotOver:
        raise Unprocessable(
            f"{month} is not over yet in {account.timezone}: close it afterwards.", param="month"
        ) from None
    except bills.RowsGone:
        raise Conflict(
            f"{month} begins or ends within an hour whose rows retention has dropped, so it can't be told to the nano-dollar any more."
        ) from None
    of = await store.period(ask.db, account, month)
    if entered:
        after = {"month": month, "posted_usd": usd(of.posted_nusd), "entries": len(entered)}
        audit.record(ask, "billing.close", ("billing_account", account.id, account.name), after=after)
    return Closing(
        account=account.id, month=month, posted_nusd=of.posted_nusd, closed_at=iso(of.closed_at) or "", entries=[_entry(e) for e in entered]
    )  # fmt: skip


def to_csv(found: bills.Statement) -> str:
    """One table: opening, usage, entries, closing. `balance_nusd` of every line but the last adds up to the last one's."""
    month = found.period.month
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="")
    writer.writeheader()

    def write(kind: str, balance: int, note: str = "", **more: object) -> None:
        safe = {name: _cell(value) for name, value in more.items()}
        writer.writerow(
            {"kind": kind, "month": month, "balance_nusd": balance, "balance_usd": usd(balance), "note": _cell(note), **safe}
        )  # fmt: skip

    write("opening", found.opening_nusd)
    for line in found.lines:
        fields = {name: value for name, value in msgspec.structs.asdict(line).items() if name in COLUMNS}
        write("usage", -line.cost_nusd, **fields, cost_usd=usd(line.cost_nusd))
    for entry in found.entries:
        if entry.month is None:
            write(entry.kind, entry.amount_nusd, entry.note)
    write(
        "closing", found.closing_nusd, "" if found.exact else "the month begins or ends in an hour whose rows are gone"
    )
    return out.getvalue()


def _cell(value: object) -> object:
    """Text that a spreadsheet would run as a formula is marked as text."""
    return "'" + value if isinstance(value, str) and value.startswith(FORMULA) else value


def _statement(found: bills.Statement, group_by: str) -> Statement:
    of = found.period
    return Statement(
        account=found.account.id,
        account_name=found.account.name,
        org_id=found.account.org_id,
        month=of.month,
        timezone=of.timezone,
        since=iso(of.start) or "",
        until=iso(of.end) or "",
        closed_at=iso(of.closed_at),
        exact=found.exact,
        group_by=group_by,
        lines=[StatementLine(**msgspec.structs.asdict(line)) for line in found.lines],
        entries=[_entry(entry) for entry in found.entries],
        opening_nusd=found.opening_nusd,
        credits_nusd=found.credits_nusd,
        adjustments_nusd=found.adjustments_nusd,
        usage_nusd=found.usage_nusd,
        posted_nusd=found.posted_nusd,
        unposted_nusd=found.usage_nusd - found.posted_nusd,
        closing_nusd=found.closing_nusd,
    )


def _entry(row: store.EntryRow) -> BillingEntry:
    return BillingEntry(
        id=row.id,
        account=row.account_id,
        kind=row.kind,
        amount_nusd=row.amount_nusd,
        amount_usd=usd(row.amount_nusd),
        month=row.month,
        project_id=row.project_id,
        project=row.project,
        provider=row.provider,
        model=row.model,
        note=row.note,
        created_by=row.created_by or "",
        created_at=iso(row.created_at) or "",
    )


async def _account(ask: Ask[Any, Any], wanted: str | None) -> store.AccountRow:
    found = await store.accounts(ask.db, wanted)
    if not found:
        raise NotFound("There is no such billing account; GET /billing/accounts lists them.", param="account")
    return found[0]


def _amount(body: NewEntry) -> int:
    try:
        amount = nusd(body.amount_usd)
    except ValueError as error:
        refuse([("amount_usd", str(error))])
        raise
    if amount == 0 or abs(amount) > LARGEST_NUSD:
        refuse([("amount_usd", "it must be an amount other than zero, of at most a billion dollars")])
    if body.kind == "credit" and amount < 0:
        refuse([("amount_usd", "a credit is positive; to take something away, enter an adjustment")])
    return amount


def _now(ask: Ask[Any, Any]) -> datetime:
    return datetime.fromtimestamp(ask.desk.clock(), UTC)
