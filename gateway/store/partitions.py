"""Days of request_logs and payloads: made ahead, dropped when they are older than the retention says. What was dropped stays known: a
record of such a day, found late in some journal, may have been counted already and is not taken again (`ingest`)."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta

import asyncpg

from gateway.store.locks import BUDGET_LOCK, HOUSEKEEPING_LOCK
from gateway.store.pool import Connection

TRY_LOCK = "SELECT pg_try_advisory_xact_lock($1)"

PARTITIONS = """
SELECT c.relname FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
JOIN pg_class p ON p.oid = i.inhparent
WHERE p.relname = $1
"""

IS_EMPTY_DAY = {
    "request_logs": "SELECT NOT EXISTS (SELECT FROM request_logs_default WHERE created_at >= $1 AND created_at < $2)",
    "payloads": "SELECT NOT EXISTS (SELECT FROM payloads_default WHERE created_at >= $1 AND created_at < $2)",
}

NOW = "SELECT now()"

KEEP_WRITERS_OUT = "SELECT pg_advisory_xact_lock($1)"

MOVE_HORIZON = """
INSERT INTO retention_horizons AS h (name, dropped_before) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET dropped_before = excluded.dropped_before WHERE h.dropped_before < excluded.dropped_before
"""

EMPTY_DEFAULT = {
    "request_logs": "DELETE FROM request_logs_default WHERE created_at < $1",
    "payloads": "DELETE FROM payloads_default WHERE created_at < $1",
}

FORGET_ANSWERS = "DELETE FROM idempotency WHERE expires_at < now()"

DAYS_AHEAD = 3


def name_of(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


async def keep_house(connection: Connection, retention_days: dict[str, int], now: datetime | None = None) -> list[str]:
    """Makes the days to come and drops those gone by; one worker at a time, the others find nothing to do. Returns what was dropped.
    Table names are ours and days are dates: nothing of a caller's is in a statement."""
    dropped: list[str] = []
    async with connection.transaction():
        if not await connection.fetchval(TRY_LOCK, HOUSEKEEPING_LOCK):
            return []
        # Postgres's clock: a machine whose own runs a year ahead must not drop a year
        today = (now or await connection.fetchval(NOW)).astimezone(UTC).date()
        for table, keep_days in retention_days.items():
            there = {row[0] for row in await connection.fetch(PARTITIONS, table)}
            for day in (today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)):
                if name_of(table, day) not in there and await _is_free(connection, table, day):
                    with contextlib.suppress(asyncpg.CheckViolationError):  # a row of that day arrived this very moment
                        async with connection.transaction():
                            await connection.execute(_create(table, day))
            dropped += await _drop(connection, table, there, today - timedelta(days=keep_days))
        await connection.execute(FORGET_ANSWERS)
    return dropped


async def _drop(connection: Connection, table: str, there: set[str], first_kept: date) -> list[str]:
    """Everything of `table` before the day `first_kept`. Writers are kept out meanwhile: one that has read the old horizon must not put
    a row into the days that go."""
    start = datetime(first_kept.year, first_kept.month, first_kept.day, tzinfo=UTC)
    await connection.execute(KEEP_WRITERS_OUT, BUDGET_LOCK)
    await connection.execute(MOVE_HORIZON, table, start)
    await connection.execute(EMPTY_DEFAULT[table], start)
    days = {name: name.removeprefix(f"{table}_") for name in sorted(there)}
    old = [n for n, d in days.items() if d.isdigit() and datetime.strptime(d, "%Y%m%d").date() < first_kept]
    for name in old:
        await connection.execute(f"DROP TABLE {name}")
    return old


async def make_days(connection: Connection, table: str, days: list[date]) -> None:
    """Partitions for exactly these days: for rows that come late, such as an import's."""
    for day in days:
        await connection.execute(_create(table, day))


async def _is_free(connection: Connection, table: str, day: date) -> bool:
    """Rows of that day in the default partition would refuse the new one: then they stay where they are."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return bool(await connection.fetchval(IS_EMPTY_DAY[table], start, start + timedelta(days=1)))


def _create(table: str, day: date) -> str:
    after = day + timedelta(days=1)
    return f"CREATE TABLE IF NOT EXISTS {name_of(table, day)} PARTITION OF {table} FOR VALUES FROM ('{day} 00:00:00+00') TO ('{after} 00:00:00+00')"
