"""Days of request_logs and payloads: made ahead, dropped when they are older than the retention says."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from gateway.store.locks import HOUSEKEEPING_LOCK
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

FORGET_ANSWERS = "DELETE FROM idempotency WHERE expires_at < now()"

DAYS_AHEAD = 3


def name_of(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


async def keep_house(connection: Connection, retention_days: dict[str, int], now: datetime | None = None) -> list[str]:
    """Makes the days to come and drops those gone by; one worker at a time, the others find nothing to do. Returns what was dropped.
    Table names are ours and days are dates: nothing of a caller's is in a statement."""
    today = (now or datetime.now(UTC)).date()
    dropped: list[str] = []
    async with connection.transaction():
        if not await connection.fetchval(TRY_LOCK, HOUSEKEEPING_LOCK):
            return []
        for table, keep_days in retention_days.items():
            there = {row[0] for row in await connection.fetch(PARTITIONS, table)}
            for day in (today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)):
                if name_of(table, day) not in there and await _is_free(connection, table, day):
                    await connection.execute(_create(table, day))
            for name in sorted(there):
                day_text = name.removeprefix(f"{table}_")
                if day_text.isdigit() and datetime.strptime(day_text, "%Y%m%d").date() < today - timedelta(
                    days=keep_days
                ):
                    await connection.execute(f"DROP TABLE {name}")
                    dropped.append(name)
        await connection.execute(FORGET_ANSWERS)
    return dropped


async def _is_free(connection: Connection, table: str, day: date) -> bool:
    """Rows of that day in the default partition would refuse the new one: then they stay where they are."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return bool(await connection.fetchval(IS_EMPTY_DAY[table], start, start + timedelta(days=1)))


def _create(table: str, day: date) -> str:
    after = day + timedelta(days=1)
    return f"CREATE TABLE IF NOT EXISTS {name_of(table, day)} PARTITION OF {table} FOR VALUES FROM ('{day} 00:00:00+00') TO ('{after} 00:00:00+00')"
