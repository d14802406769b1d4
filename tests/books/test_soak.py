"""A worker that has answered thousands of calls holds no more than one that has answered its first ones, and its books are in order."""

import pytest

from tests.books.ledger import books
from tests.books.processes import Fleet, environment, resident_kb, seeded
from tests.books.storm import Clients, Ledger, judge
from tests.books.test_kill_storm import with_limits
from tests.conftest import eventually, free_port

WARM = 1_500
CALLS = 6_000
MOST_KB = 4 << 10
"""What allocators may keep (half a megabyte is usual). One kilobyte that stayed behind with every call would be six megabytes."""


@pytest.mark.slow
async def test_thousands_of_calls_leave_nothing_behind(connection, database_url, tmp_path, upstream):
    ledger = Ledger(pace_s=0.001)
    upstream.by_model["gpt-6-luna"] = ledger.reply
    key = await seeded(connection)
    await with_limits(connection)
    fleet = Fleet(tmp_path / "home", free_port(), **environment(database_url, upstream))
    await fleet.start(1)
    ours = Clients(fleet.url, key)
    try:
        (worker,) = fleet.workers()
        await ours.run(16, WARM)
        before_kb = resident_kb(worker)
        await ours.run(16, WARM + CALLS)
        after_kb = resident_kb(worker)

        async def recorded():
            return await connection.fetchval("SELECT count(*) FROM request_logs") == ours.total

        await eventually(recorded, 20, "a row for every call")
        assert await fleet.stop() == 0
    finally:
        fleet.kill()
    assert ours.broken == {}
    assert ours.statuses == {200: ours.total}
    await judge(connection, ledger, ours)
    await books(connection)
    assert after_kb - before_kb <= MOST_KB, (before_kb, after_kb)
    print(f"{before_kb} kB after {WARM} calls, {after_kb} kB after {ours.total}")
