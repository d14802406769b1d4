"""Workers and their parent killed at random under load: nothing answered is lost, nothing is counted twice."""

import asyncio
import os
import random
import signal
from collections import Counter

import pytest

from gateway.adoption import adoptable
from tests.books.ledger import books
from tests.books.processes import Fleet, environment, seeded
from tests.books.storm import Clients, Ledger, judge
from tests.conftest import eventually, free_port

SEED = 20261124


async def with_limits(connection, key_name="test"):
    """Every kind of limit on the key and its project, none of them ever reached."""
    key_id, project_id = await connection.fetchrow("SELECT id, project_id FROM api_keys WHERE name = $1", key_name)
    for scope, subject in (("key", key_id), ("project", project_id)):
        await connection.execute(
            "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ($1, $2, $3, 1000000000000, '1d')",
            f"bud_{scope}", scope, subject,
        )  # fmt: skip
    await connection.execute(
        "INSERT INTO limits (id, scope, subject, rpm, concurrency) VALUES ('lim_key', 'key', $1, 1000000, 5000)", key_id
    )


async def serving(connection, fleet):
    """Pids of workers that have got as far as their first heartbeat."""
    begun = {row[0] for row in await connection.fetch("SELECT pid FROM workers WHERE stopped_at IS NULL")}
    return [pid for pid in fleet.workers() if pid in begun]


async def storm(connection, database_url, tmp_path, upstream, *, kills, parent_kills, clients, calls, workers):
    random_moments = random.Random(SEED)
    ledger = Ledger()
    upstream.by_model["gpt-6-luna"] = ledger.reply
    key = await seeded(connection)
    await with_limits(connection)
    fleet = Fleet(tmp_path / "home", free_port(), **environment(database_url, upstream))
    await fleet.start(workers)
    ours = Clients(fleet.url, key)
    try:
        over = asyncio.Event()
        load = asyncio.create_task(ours.run(clients, calls, over))
        parents_at = set(random_moments.sample(range(1, kills), parent_kills))
        for number in range(kills):
            await asyncio.sleep(random_moments.uniform(0.15, 0.35))
            if number in parents_at:
                os.kill(fleet.process.pid, signal.SIGKILL)
                await fleet.ended()
                await fleet.start(workers)
            else:
                victims = await eventually(lambda: serving(connection, fleet), 10, "a worker that serves")
                os.kill(random_moments.choice(victims), signal.SIGKILL)
        over.set()
        await load
        journals = tmp_path / "home" / "journal"

        async def settled():
            dead = list(adoptable(journals))
            for journal in dead:
                journal.close()
            shares = await connection.fetchval("SELECT coalesce(sum(amount_nusd), 0) FROM budget_shares")
            return not dead and len(list(journals.iterdir())) == workers and shares == 0

        await eventually(settled, 20, f"shares all given back, journals all adopted (seed {SEED})")
        assert await fleet.stop() == 0
    finally:
        fleet.kill()
    rows = await judge(connection, ledger, ours)
    await books(connection)
    reasons = Counter(row["end_reason"] for row in rows.values())
    assert len(ours.complete) > calls * 0.7, (reasons, ours.statuses)
    assert reasons["interrupted"] > 0
    assert list(journals.iterdir()) == []
    spent = await connection.fetch("SELECT spent_nusd FROM budget_windows")
    assert [row[0] for row in spent] == [await connection.fetchval("SELECT sum(cost_nusd) FROM request_logs")] * 2
    return reasons, ours


async def test_a_few_kills(connection, database_url, tmp_path, upstream):
    await storm(
        connection, database_url, tmp_path, upstream, kills=4, parent_kills=1, clients=20, calls=300, workers=2
    )  # fmt: skip


@pytest.mark.slow
async def test_kill_storm(connection, database_url, tmp_path, upstream):
    reasons, ours = await storm(
        connection, database_url, tmp_path, upstream, kills=20, parent_kills=2, clients=40, calls=1600, workers=4
    )
    assert len(ours.complete) + len(ours.broken) >= 1200
    print(dict(reasons), ours.statuses, {text for text in ours.broken.values() if "429" in text})
