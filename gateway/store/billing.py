"""Accounts, their entries and closed months; and what usage adds up to between two instants, to the nano-dollar.

An entry's amount is what it does to the balance: a credit is positive, usage negative. Entries of a closed month (`month` is set) say again
what the rows say, so a balance is the entries without a month, less the usage itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from gateway import months
from gateway.store.pool import Connection

ACCOUNTS = """
SELECT a.id, a.org_id, o.name, o.timezone, a.name, a.currency, a.created_at,
    a.id = (SELECT f.id FROM billing_accounts f WHERE f.org_id = a.org_id ORDER BY f.created_at, f.id LIMIT 1)
FROM billing_accounts a
JOIN orgs o ON o.id = a.org_id
WHERE $1::text IS NULL OR a.id = $1
ORDER BY o.created_at, o.id, a.created_at, a.id
"""

LOCK_ACCOUNT = "SELECT 1 FROM billing_accounts WHERE id = $1 FOR UPDATE"

HORIZON = "SELECT dropped_before FROM retention_horizons WHERE name = 'request_logs'"

USAGE_BETWEEN = """
WITH sums AS (
    SELECT project_id, key_id, provider, model, calls, prompt_tokens, completion_tokens, cached_tokens, cost_nusd, unpriced_calls
    FROM usage_hourly
    WHERE org_id = $1 AND hour >= $3 AND hour < $4
    UNION ALL
    SELECT project_id, key_id, coalesce(provider, ''), coalesce(model, ''), 1, coalesce(prompt_tokens, 0), coalesce(completion_tokens, 0),
        coalesce(cached_tokens, 0), coalesce(cost_nusd, 0), (cost_nusd IS NULL AND total_tokens > 0)::int
    FROM request_logs
    WHERE org_id = $1 AND (created_at >= $2 AND created_at < $3 OR created_at >= $4 AND created_at < $5)
)
SELECT s.project_id, coalesce(p.slug, ''), s.key_id, coalesce(k.name, ''), s.provider, s.model, sum(s.calls)::bigint, sum(s.prompt_tokens)::bigint,
    sum(s.completion_tokens)::bigint, sum(s.cached_tokens)::bigint, sum(s.cost_nusd)::bigint, sum(s.unpriced_calls)::bigint
FROM sums s
LEFT JOIN projects p ON p.id = s.project_id
LEFT JOIN api_keys k ON k.id = s.key_id
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 2, 1, 5, 6, 4, 3
"""
"""Whole hours from the hourly sums, the rest at both ends from the rows: zones of half an hour exist."""

COST_BEFORE = """
SELECT coalesce((SELECT sum(cost_nusd) FROM usage_hourly WHERE org_id = $1 AND hour < $2), 0)::bigint
    + coalesce((SELECT sum(cost_nusd) FROM request_logs WHERE org_id = $1 AND created_at >= $2 AND created_at < $3), 0)::bigint
"""

ENTRIES = """
SELECT e.id, e.account_id, e.kind, e.amount_nusd, e.month, e.project_id, coalesce(p.slug, ''), e.provider, e.model, e.note, e.created_by,
    e.created_at
FROM billing_entries e
LEFT JOIN projects p ON p.id = e.project_id
"""

ENTRIES_OF_PERIOD = (
    ENTRIES
    + """
WHERE e.account_id = $1 AND (e.month = $2 OR (e.month IS NULL AND e.created_at >= $3 AND e.created_at < $4))
ORDER BY e.created_at, e.id
"""
)

ENTRIES_PAGE = (
    ENTRIES
    + """
WHERE e.account_id = $1 AND ($2::text IS NULL OR e.month = $2)
    AND ($3::timestamptz IS NULL OR (e.created_at, e.id) < ($3, $4))
ORDER BY e.created_at DESC, e.id DESC
LIMIT $5
"""
)

ENTERED_BEFORE = """
SELECT coalesce(sum(amount_nusd), 0)::bigint FROM billing_entries WHERE account_id = $1 AND month IS NULL AND created_at < $2
"""

BOOKED = "SELECT coalesce(sum(amount_nusd), 0)::bigint FROM billing_entries WHERE account_id = $1"

POSTED = """
SELECT coalesce(project_id, ''), coalesce(provider, ''), coalesce(model, ''), sum(amount_nusd)::bigint
FROM billing_entries
WHERE account_id = $1 AND month = $2
GROUP BY 1, 2, 3
"""

INSERT_ENTRY = """
INSERT INTO billing_entries (id, account_id, kind, amount_nusd, month, project_id, provider, model, period_start, period_end, note, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""

ENTRY_BY_ID = ENTRIES + "WHERE e.id = $1"

PERIOD = """
SELECT month, timezone, period_start, period_end, posted_nusd, closed_by, closed_at, updated_at FROM billing_periods
WHERE account_id = $1 AND month = $2
"""

KEEP_PERIOD = """
INSERT INTO billing_periods (account_id, month, timezone, period_start, period_end, posted_nusd, closed_by) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (account_id, month) DO UPDATE SET posted_nusd = excluded.posted_nusd, updated_at = now()
"""


class AccountRow(msgspec.Struct, frozen=True):
    """`bears_usage`: usage is billed to the org's first account; others have entries alone."""

    id: str
    org_id: str
    org: str
    timezone: str
    name: str
    currency: str
    created_at: datetime
    bears_usage: bool


class UsageLine(msgspec.Struct):
    project_id: str
    project: str
    key_id: str
    key: str
    provider: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_nusd: int
    unpriced_calls: int


class EntryRow(msgspec.Struct, kw_only=True):
    id: str
    account_id: str
    kind: str
    amount_nusd: int
    month: str | None = None
    project_id: str | None = None
    project: str = ""
    provider: str | None = None
    model: str | None = None
    note: str = ""
    created_by: str | None = None
    created_at: datetime | None = None


class Period(msgspec.Struct, frozen=True):
    """A month of an account. `closed_at` None: it is open."""

    month: str
    timezone: str
    start: datetime
    end: datetime
    posted_nusd: int = 0
    closed_by: str | None = None
    closed_at: datetime | None = None
    updated_at: datetime | None = None


async def accounts(connection: Connection, account_id: str | None = None) -> list[AccountRow]:
    return [AccountRow(*row) for row in await connection.fetch(ACCOUNTS, account_id)]


async def lock(connection: Connection, account_id: str) -> None:
    """Until the transaction ends: one change of an account's books at a time."""
    await connection.execute(LOCK_ACCOUNT, account_id)


async def period(connection: Connection, account: AccountRow, month: str) -> Period:
    """A closed month as it was closed; an open one begins where the month before was closed, else by the org's clock."""
    row = await connection.fetchrow(PERIOD, account.id, month)
    if row is not None:
        return Period(*row)
    start, end = months.bounds(month, account.timezone)
    previous = await connection.fetchrow(PERIOD, account.id, months.before(month))
    if previous is not None:
        start = previous["period_end"]
    return Period(month, account.timezone, start, end)


async def is_exact(connection: Connection, *instants: datetime) -> bool:
    """Whether usage can be split at these instants: on the hour always, within an hour while its rows are there."""
    horizon = await connection.fetchval(HORIZON)
    return horizon is None or all(
        at.minute == at.second == at.microsecond == 0 or at.replace(minute=0, second=0, microsecond=0) >= horizon
        for at in instants
    )


async def usage(connection: Connection, account: AccountRow, start: datetime, end: datetime) -> list[UsageLine]:
    if not account.bears_usage:
        return []
    first, last = months.hours_inside(start, end)
    return [UsageLine(*row) for row in await connection.fetch(USAGE_BETWEEN, account.org_id, start, first, last, end)]


async def balance_before(connection: Connection, account: AccountRow, at: datetime) -> int:
    """Credits and adjustments less usage, up to an instant."""
    entered = int(await connection.fetchval(ENTERED_BEFORE, account.id, at))
    if not account.bears_usage:
        return entered
    hour = at.replace(minute=0, second=0, microsecond=0)
    return entered - int(await connection.fetchval(COST_BEFORE, account.org_id, hour, at))


async def booked(connection: Connection, account_id: str) -> int:
    return int(await connection.fetchval(BOOKED, account_id))


async def entries_of(connection: Connection, account_id: str, of: Period) -> list[EntryRow]:
    """What was entered in the month, and what was posted for it."""
    return [_entry(row) for row in await connection.fetch(ENTRIES_OF_PERIOD, account_id, of.month, of.start, of.end)]


async def entries_page(
    connection: Connection, account_id: str, month: str | None, after: tuple[datetime, str] | None, limit: int
) -> list[EntryRow]:
    """Newest first."""
    at, last_id = after or (None, None)
    return [_entry(row) for row in await connection.fetch(ENTRIES_PAGE, account_id, month, at, last_id, limit)]


async def posted(connection: Connection, account_id: str, month: str) -> dict[tuple[str, str, str], int]:
    """What has been posted for a month, as costs, by project, provider and model."""
    return {(row[0], row[1], row[2]): -row[3] for row in await connection.fetch(POSTED, account_id, month)}


async def enter(connection: Connection, entry: EntryRow, of: Period | None = None) -> EntryRow:
    """Appends it; what it became."""
    await connection.execute(
        INSERT_ENTRY, entry.id, entry.account_id, entry.kind, entry.amount_nusd, entry.month, entry.project_id, entry.provider, entry.model,
        of.start if of else None, of.end if of else None, entry.note, entry.created_by,
    )  # fmt: skip
    return _entry(await connection.fetchrow(ENTRY_BY_ID, entry.id))


async def keep_period(connection: Connection, account_id: str, of: Period, posted_nusd: int, by: str) -> None:
    await connection.execute(KEEP_PERIOD, account_id, of.month, of.timezone, of.start, of.end, posted_nusd, by)


def _entry(row: tuple[Any, ...]) -> EntryRow:
    return EntryRow(**dict(zip(EntryRow.__struct_fields__, row, strict=True)))
