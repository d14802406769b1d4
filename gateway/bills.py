"""Closing a month and telling it: what is posted, what a statement says. Called by `admin/billing`; SQL stands in `store/billing`."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway import ids
from gateway.store import billing as store
from gateway.store.billing import AccountRow, EntryRow, Period, UsageLine
from gateway.store.pool import Connection

GROUPINGS: dict[str, tuple[str, ...]] = {
    "org": (),
    "project": ("project_id", "project"),
    "model": ("provider", "model"),
    "key": ("project_id", "project", "key_id", "key"),
    "project,model": ("project_id", "project", "provider", "model"),
}
POSTED_BY = ("project_id", "provider", "model")
ADDED = ("calls", "prompt_tokens", "completion_tokens", "cached_tokens", "cost_nusd", "unpriced_calls")


class NotOver(Exception):
    """The month has not ended yet."""


class RowsGone(Exception):
    """The month begins or ends within an hour whose rows retention has dropped: it can't be told to the nano-dollar any more."""


class Statement(msgspec.Struct):
    """opening + credits + adjustments - usage = closing; posted + unposted = usage. nano-USD."""

    account: AccountRow
    period: Period
    exact: bool
    lines: list[UsageLine]
    entries: list[EntryRow]
    opening_nusd: int
    credits_nusd: int
    adjustments_nusd: int
    usage_nusd: int
    posted_nusd: int

    @property
    def closing_nusd(self) -> int:
        return self.opening_nusd + self.credits_nusd + self.adjustments_nusd - self.usage_nusd


async def state(connection: Connection, account: AccountRow, month: str, group_by: str) -> Statement:
    """Must run in a REPEATABLE READ transaction, so that its parts fit. Raises ValueError for what is no month."""
    of = await store.period(connection, account, month)
    lines = await store.usage(connection, account, of.start, of.end)
    entries = await store.entries_of(connection, account.id, of)
    free = [entry for entry in entries if entry.month is None]
    return Statement(
        account=account,
        period=of,
        exact=await store.is_exact(connection, of.start, of.end),
        lines=grouped(lines, GROUPINGS[group_by]),
        entries=entries,
        opening_nusd=await store.balance_before(connection, account, of.start),
        credits_nusd=sum(entry.amount_nusd for entry in free if entry.kind == "credit"),
        adjustments_nusd=sum(entry.amount_nusd for entry in free if entry.kind != "credit"),
        usage_nusd=sum(line.cost_nusd for line in lines),
        posted_nusd=-sum(entry.amount_nusd for entry in entries if entry.month is not None),
    )


async def close(connection: Connection, account: AccountRow, month: str, by: str, now: datetime) -> list[EntryRow]:
    """Posts what the month's rows say and its entries don't yet: usage the first time, adjustments for rows that came late or were
    repriced after. Run again, it enters nothing. In a transaction. Raises NotOver, RowsGone, ValueError."""
    await store.lock(connection, account.id)
    of = await store.period(connection, account, month)
    if of.end > now:
        raise NotOver
    if not await store.is_exact(connection, of.start, of.end):
        raise RowsGone
    lines = grouped(await store.usage(connection, account, of.start, of.end), POSTED_BY)
    owed = {(line.project_id, line.provider, line.model): line.cost_nusd for line in lines}
    posted = await store.posted(connection, account.id, month)
    first = of.closed_at is None
    entered = [
        await store.enter(
            connection,
            EntryRow(
                id=ids.new("ent"),
                account_id=account.id,
                kind="usage" if first else "adjustment",
                amount_nusd=-due,
                month=month,
                project_id=key[0] or None,
                provider=key[1] or None,
                model=key[2] or None,
                note=f"Usage of {month}" if first else f"Calls of {month} that came late or were repriced",
                created_by=by,
            ),
            of,
        )
        for key in sorted(owed.keys() | posted.keys())
        if (due := owed.get(key, 0) - posted.get(key, 0))
    ]
    await store.keep_period(connection, account.id, of, sum(owed.values()), by)
    return entered


def grouped(lines: list[UsageLine], names: tuple[str, ...]) -> list[UsageLine]:
    """Lines that agree in `names`, added up; the other names are empty."""
    sums: dict[tuple[str, ...], UsageLine] = {}
    for line in lines:
        key = tuple(getattr(line, name) for name in names)
        there = sums.get(key)
        if there is None:
            empty = UsageLine("", "", "", "", "", "", 0, 0, 0, 0, 0, 0)
            there = sums[key] = msgspec.structs.replace(empty, **dict(zip(names, key, strict=True)))
        for name in ADDED:
            setattr(there, name, getattr(there, name) + getattr(line, name))
    return list(sums.values())
