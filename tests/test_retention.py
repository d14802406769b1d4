"""Retention: whole days go, at once and without holding anybody up; sums stay; everything else that grows is tidied up too."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from gateway.proxy.call import new_call_id
from gateway.records import Final
from gateway.store import ingest, partitions
from tests.test_books import busy, carried, with_budgets, wrong

DAYS = {"request_logs": 90, "payloads": 7}
TODAY = datetime.now(UTC).date()


def a_row(at: float) -> Final:
    return Final(
        new_call_id(), at, "r", "org", "prj", "key", "chat", None, None, "openai", "m", 200, None, "complete", False, [], 1, 1, 0, 0, 0, 2,
        "provider", 5, "p", 1.0, None, None,
    )  # fmt: skip


async def tables(connection, parent: str) -> set[str]:
    return {row[0] for row in await connection.fetch(partitions.PARTITIONS, parent)}


async def test_days_are_made_ahead_and_dropped_behind(connection):
    assert await partitions.keep_house(connection, DAYS) == []
    days = {partitions.name_of("request_logs", TODAY + timedelta(days=n)) for n in range(4)}
    assert await tables(connection, "request_logs") == {"request_logs_default", *days}
    later = datetime.now(UTC) + timedelta(days=92)
    dropped = await partitions.keep_house(connection, DAYS, later)
    assert set(dropped) >= {partitions.name_of("request_logs", TODAY), partitions.name_of("payloads", TODAY)}
    assert partitions.name_of("request_logs", TODAY + timedelta(days=2)) in await tables(connection, "request_logs")
    assert await partitions.keep_house(connection, DAYS, later) == []


async def test_sums_stay_when_rows_go_and_the_books_still_agree(gateway):
    await with_budgets(gateway)
    await busy(gateway, 20)
    await carried(gateway, 20)
    sums = "SELECT sum(calls), sum(cost_nusd), sum(prompt_tokens) FROM usage_hourly"
    before = [await gateway.db.fetchrow(sums), await gateway.db.fetch("SELECT * FROM key_usage")]
    windows = await gateway.db.fetch("SELECT budget_id, subject, spent_nusd FROM budget_windows ORDER BY 1, 2")
    assert await partitions.keep_house(gateway.db, DAYS, datetime.now(UTC) + timedelta(days=91))
    assert await gateway.db.fetchval("SELECT count(*) FROM request_logs") == 0
    assert [await gateway.db.fetchrow(sums), await gateway.db.fetch("SELECT * FROM key_usage")] == before
    assert await gateway.db.fetch("SELECT budget_id, subject, spent_nusd FROM budget_windows ORDER BY 1, 2") == windows
    assert await wrong(gateway) == set()
    await gateway.db.execute("UPDATE budget_windows SET spent_nusd = spent_nusd + 1 WHERE budget_id = 'btotal'")
    assert {check for check, _, _ in await wrong(gateway)} == {"older_budget_windows"}


async def test_what_else_grows_is_tidied_up(connection):
    await connection.execute("""
        INSERT INTO idempotency (key_id, idempotency_key, body_digest, state, request_id, expires_at)
            VALUES ('k', 'old', '', 'done', 'r', now() - interval '1 s'), ('k', 'new', '', 'done', 'r', now() + interval '1 h');
        INSERT INTO admin_idempotency (token_id, idempotency_key, body_digest, status, answer, created_at)
            VALUES ('t', 'old', '', 200, '{}', now() - interval '25 h'), ('t', 'new', '', 200, '{}', now());
        INSERT INTO workers (id, machine, pid, version, heartbeat_at)
            VALUES ('old', 'm', 1, '0', now() - interval '8 days'), ('new', 'm', 1, '0', now());
        INSERT INTO rate_windows (limit_id, dimension, subject, updated_at)
            VALUES ('old', 'requests', '', now() - interval '11 min'), ('new', 'requests', '', now());
        INSERT INTO budgets (id, scope, subject, amount_nusd, "window") VALUES ('b', 'org', 'o', 1, '1h');
        INSERT INTO budget_windows (budget_id, subject, window_start, window_end)
            VALUES ('b', 'old', now() - interval '402 days', now() - interval '401 days'), ('b', 'new', now(), now() + interval '1 h');
        INSERT INTO budget_shares
            VALUES ('b', 'new', now(), 'old', 1, now() - interval '11 min'), ('b', 'new', now(), 'new', 1, now() + interval '9 s')
    """)
    await partitions.keep_house(connection, DAYS)
    for column, table in (
        ("idempotency_key", "idempotency"),
        ("idempotency_key", "admin_idempotency"),
        ("id", "workers"),
        ("limit_id", "rate_windows"),
        ("subject", "budget_windows"),
        ("worker_id", "budget_shares"),
    ):
        rows = await connection.fetch(f"SELECT {column} FROM {table}")  # noqa: S608 - names of this test
        assert [row[0] for row in rows] == ["new"], table


async def test_housekeeping_gives_way_to_a_long_reader_and_comes_back(connection, database_url, monkeypatch):
    monkeypatch.setattr(partitions, "PAUSES_S", (0.0, 0.01))
    await partitions.keep_house(connection, DAYS)
    reader = await asyncpg.connect(database_url)
    later = datetime.now(UTC) + timedelta(days=91)
    async with reader.transaction():
        await reader.fetch("SELECT count(*) FROM request_logs")
        assert await partitions.keep_house(connection, {"request_logs": 90}, later) == []
        await ingest.prepare(connection)
        async with asyncio.timeout(1):
            await ingest.ingest(connection, "wrk", "0", [a_row(time.time())])
    assert await partitions.keep_house(connection, {"request_logs": 90}, later)
    await reader.close()


@pytest.mark.slow
async def test_a_day_of_a_million_rows_goes_in_a_second_and_no_insert_waits_a_tenth(connection, database_url):
    await partitions.keep_house(connection, DAYS)
    old = TODAY - timedelta(days=91)
    await connection.execute("DELETE FROM retention_horizons")
    await partitions.make_days(connection, "request_logs", [old])
    await connection.execute(
        """
        INSERT INTO request_logs (created_at, call_id, request_id, org_id, project_id, key_id, endpoint, status, end_reason, gateway_version,
            worker_id)
        SELECT $1::date + n * interval '80 ms', gen_random_uuid(), 'r' || n, 'org', 'prj', 'key', 'chat', 200, 'complete', '0', 'wrk'
        FROM generate_series(1, 1000000) AS n
        """,
        old,
        timeout=300,
    )
    await connection.execute("INSERT INTO retention_horizons VALUES ('request_logs', $1::date)", old)
    size = await connection.fetchval("SELECT pg_database_size(current_database())")
    writer = await asyncpg.connect(database_url)
    await ingest.prepare(writer)
    waits: list[float] = []
    over = asyncio.Event()

    async def write() -> None:
        while not over.is_set():
            began = time.perf_counter()
            await ingest.ingest(writer, "wrk", "0", [a_row(time.time()) for _ in range(10)])
            waits.append(time.perf_counter() - began)

    writing = asyncio.create_task(write())
    while len(waits) < 50:
        await asyncio.sleep(0.01)
    began = time.perf_counter()
    dropped = await partitions.keep_house(connection, DAYS)
    took = time.perf_counter() - began
    count = len(waits) + 20
    while len(waits) < count:
        await asyncio.sleep(0.01)
    over.set()
    await writing
    await writer.close()
    print(f"dropped in {took * 1000:.0f} ms, the longest insert took {max(waits) * 1000:.0f} ms")
    assert dropped == [partitions.name_of("request_logs", old)]
    assert took < 1
    assert max(waits) < 0.1
    assert await connection.fetchval("SELECT pg_database_size(current_database())") < size / 2
