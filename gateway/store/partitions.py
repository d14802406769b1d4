"""Days of request_logs and payloads: made ahead, dropped when they are older than the retention says. What was dropped stays known: a
record of such a day, found late in some journal, may have been counted already and is not taken again (`ingest`).

Every change of a table is a short transaction of its own that gives way: it waits 50 ms for its locks, lets the writers go on, and tries
again. Postgres unlinks the files of a dropped table after its locks are gone, so a day of any size goes at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta

import asyncpg

from gateway.store import limits, replies, workers
from gateway.store.locks import BUDGET_LOCK, HOUSEKEEPING_LOCK
from gateway.store.pool import Connection

log = logging.getLogger(__name__)

TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
UNLOCK = "SELECT pg_advisory_unlock($1)"

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

GIVE_WAY = "SET LOCAL lock_timeout = '50ms'"

KEEP_WRITERS_OUT = "SELECT pg_advisory_xact_lock($1)"

MOVE_HORIZON = """
INSERT INTO retention_horizons AS h (name, dropped_before) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET dropped_before = excluded.dropped_before WHERE h.dropped_before < excluded.dropped_before
"""

EMPTY_DEFAULT = {
    "request_logs": "DELETE FROM request_logs_default WHERE created_at < $1",
    "payloads": "DELETE FROM payloads_default WHERE created_at < $1",
}

HORIZON_OF = "SELECT dropped_before FROM retention_horizons WHERE name = $1"

FORGET_ANSWERS = "DELETE FROM idempotency WHERE expires_at < now()"

FORGET_WINDOWS = "DELETE FROM budget_windows WHERE window_end < now() - interval '400 days'"

TIDY = (
    FORGET_ANSWERS,
    FORGET_WINDOWS,
    limits.DROP_OLD_RATES,
    limits.DROP_SHARES_OF_GONE,
    workers.FORGET_OLD,
    replies.FORGET_REPLIES,
)
"""What else grows: answers kept for repetitions, windows, rates and shares of the past, workers gone for a week."""

DAYS_AHEAD = 3
PAUSES_S = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)


def name_of(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


async def keep_house(connection: Connection, retention_days: dict[str, int], now: datetime | None = None) -> list[str]:
    """Makes the days to come, drops those gone by, and tidies up; one worker at a time, the others find nothing to do. Returns what was
    dropped. Table names are ours and days are dates: nothing of a caller's is in a statement."""
    if not await connection.fetchval(TRY_LOCK, HOUSEKEEPING_LOCK):
        return []
    try:
        # Postgres's clock: a machine whose own runs a year ahead must not drop a year
        today = (now or await connection.fetchval(NOW)).astimezone(UTC).date()
        dropped: list[str] = []
        for table, keep_days in retention_days.items():
            there = {row[0] for row in await connection.fetch(PARTITIONS, table)}
            for day in (today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)):
                if name_of(table, day) not in there:
                    await _make(connection, table, day)
            dropped += await _drop(connection, table, there, today - timedelta(days=keep_days))
        for statement in TIDY:
            await connection.execute(statement)
        return dropped
    finally:
        await connection.execute(UNLOCK, HOUSEKEEPING_LOCK)


async def _make(connection: Connection, table: str, day: date) -> None:
    async def work() -> None:
        if await _is_free(connection, table, day):
            await connection.execute(_create(table, day))

    await _giving_way(connection, work)


async def _drop(connection: Connection, table: str, there: set[str], first_kept: date) -> list[str]:
    """Everything of `table` before the day `first_kept`."""
    start = datetime(first_kept.year, first_kept.month, first_kept.day, tzinfo=UTC)
    days = {name: name.removeprefix(f"{table}_") for name in sorted(there)}
    old = [n for n, d in days.items() if d.isdigit() and datetime.strptime(d, "%Y%m%d").date() < first_kept]
    horizon = await connection.fetchval(HORIZON_OF, table)
    if not old and horizon is not None and horizon >= start:
        return []

    async def work() -> None:
        await connection.execute(MOVE_HORIZON, table, start)
        await connection.execute(EMPTY_DEFAULT[table], start)
        for name in old:
            await connection.execute(f"DROP TABLE IF EXISTS {name}")

    return old if await _giving_way(connection, work) else []


async def _giving_way(connection: Connection, work: Callable[[], Awaitable[None]]) -> bool:
    """In a transaction that keeps the writers out, before any table is locked: the other way round they and we would wait for each other,
    and one that has read the old horizon could put a row into the days that go. False: they were busy; the next round tries again."""
    for pause_s in PAUSES_S:
        await asyncio.sleep(pause_s)
        try:
            async with connection.transaction():
                await connection.execute(GIVE_WAY)
                await connection.execute(KEEP_WRITERS_OUT, BUDGET_LOCK)
                await work()
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            continue
        except asyncpg.CheckViolationError:  # a row of that day, put there past the logbook
            return False
        return True
    log.warning("partitions wait for the next round: the tables were in use")
    return False


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
