"""Limits over real processes: the workers of one `optyx serve`, and a worker that is killed with its shares in hand."""

import asyncio
import os
import signal
from collections import Counter

import aiohttp
import pytest

from gateway import ids
from gateway.limits.pools import SLOT_LEASE_S
from gateway.limits.shares import REFUSED_S
from tests.books.processes import Fleet, environment, seeded
from tests.conftest import eventually, free_port
from tests.limits.rules import COST_NUSD, MODEL, TOKENS
from tests.upstream import silent

BODY = {"model": MODEL, "max_tokens": TOKENS, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
async def fleet(database_url, connection, tmp_path, upstream):
    upstream.tokens = TOKENS
    key = await seeded(connection)
    await connection.execute(
        "UPDATE prices SET input_nusd = 0, cache_write_nusd = NULL, output_nusd = 1000000000 WHERE model_id = $1", MODEL
    )
    project_id = await connection.fetchval("SELECT project_id FROM api_keys LIMIT 1")
    one = Fleet(tmp_path / "home", free_port(), **environment(database_url, upstream))
    one.key, one.project_id = key, project_id
    yield one
    one.kill()


async def add_budget(connection, fleet, calls):
    await connection.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ($1, 'project', $2, $3, 'total')",
        ids.new("bud"), fleet.project_id, calls * COST_NUSD,
    )  # fmt: skip


async def storm(fleet, calls):
    """Each call on a connection of its own, so that the kernel spreads them over the workers."""

    async def one():
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(
            connector=connector, headers={"Authorization": f"Bearer {fleet.key}"}
        ) as session:
            try:
                async with session.post(f"{fleet.url}/v1/chat/completions", json=BODY) as answer:
                    return answer.status
            except aiohttp.ClientError:
                return 0

    return Counter(await asyncio.gather(*(one() for _ in range(calls))))


async def test_a_budget_is_exact_over_the_workers_of_one_serve(fleet, connection, upstream):
    await add_budget(connection, fleet, 50)
    await fleet.start(workers=2)
    assert await storm(fleet, 200) == {200: 50, 429: 150}
    assert len(upstream.ledger) == 50
    await eventually(lambda: _recorded(connection, 50), 5)


async def test_a_killed_worker_leaves_no_hold_and_no_free_money(fleet, connection, upstream):
    """What it had spent counts, what it had not is spent by the others: within seconds, as its journal is adopted."""
    await add_budget(connection, fleet, 50)
    await fleet.start(workers=2)
    assert (await storm(fleet, 10))[200] == 10
    for pid in fleet.workers():
        os.kill(pid, signal.SIGKILL)
    await eventually(lambda: _recorded(connection, 10), 15)
    await eventually(lambda: _nothing_lent(connection), 15)
    served = Counter()

    async def goes_on():
        served.update(await storm(fleet, 60))
        return served[200] >= 40

    await eventually(goes_on, 20)
    assert served[200] == 40
    assert len(upstream.ledger) == 50


@pytest.mark.slow
async def test_slots_of_a_killed_worker_are_free_again_within_their_lease(fleet, connection, upstream):
    await connection.execute(
        "INSERT INTO limits (id, scope, subject, concurrency) VALUES ($1, 'project', $2, 5)",
        ids.new("lim"),
        fleet.project_id,
    )
    await fleet.start(workers=2)
    upstream.by_model[MODEL] = silent()
    under_way = asyncio.create_task(storm(fleet, 5))
    await eventually(lambda: len(upstream.seen) == 5)
    assert await storm(fleet, 3) == {429: 3}
    for pid in fleet.workers():
        os.kill(pid, signal.SIGKILL)
    assert await under_way == {0: 5}
    del upstream.by_model[MODEL]

    async def all_five_are_free():
        """The whole storm, or none of it: what is admitted of five calls at once is over in a moment."""
        return (await storm(fleet, 5))[200] == 5

    await eventually(all_five_are_free, SLOT_LEASE_S + 10)
    await asyncio.sleep(REFUSED_S)  # a worker that has been refused just before does not ask again so soon
    before = len(upstream.seen)
    upstream.by_model[MODEL] = silent()
    again = asyncio.create_task(storm(fleet, 5))
    await eventually(lambda: len(upstream.seen) == before + 5)
    assert await storm(fleet, 1) == {429: 1}
    fleet.kill()
    assert await again == {0: 5}


async def _recorded(connection, calls):
    return await connection.fetchval("SELECT sum(spent_nusd) FROM budget_windows") == calls * COST_NUSD


async def _nothing_lent(connection):
    return not await connection.fetchval("SELECT count(*) FROM budget_shares WHERE amount_nusd > 0")
