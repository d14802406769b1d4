"""Parents and workers as processes: replaced, drained, orphaned, started all at once."""

import asyncio
import json
import os
import signal
import time

import aiohttp
import asyncpg
import pytest

from gateway import migrate
from gateway.secret import Secret
from tests.books.ledger import books
from tests.books.processes import (
    Fleet,
    environment,
    is_alive,
    is_ready,
    path_without,
    seeded,
    state_of,
    waiting_signals,
)
from tests.books.storm import Clients, Ledger, judge
from tests.conftest import eventually, free_port
from tests.upstream import piece, usage_piece


@pytest.fixture
async def make_fleet(tmp_path, database_url, upstream):
    made = []

    def make(port=None, home="home", **more):
        fleet = Fleet(tmp_path / home, port or free_port(), **{**environment(database_url, upstream), **more})
        made.append(fleet)
        return fleet

    yield make
    for fleet in made:
        fleet.kill()


@pytest.fixture
async def key(connection):
    return await seeded(connection)


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


def lasting(seconds, every_s=0.1):
    """A stream of so long."""

    async def reply(line):
        await line.start_stream()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await line.event(piece("word "))
            await asyncio.sleep(every_s)
        await line.event(piece(finish="stop"))
        await line.event(usage_piece(11, 5))
        await line.event("[DONE]")
        await line.end_stream()

    return reply


async def post(session, url, key, request_id, stream=True):
    body = {"model": "gpt-6-luna", "stream": stream, "messages": [{"role": "user", "content": request_id}]}
    headers = {"Authorization": f"Bearer {key}", "x-request-id": request_id}
    return await session.post(f"{url}/v1/chat/completions", json=body, headers=headers)


async def events_of(response):
    text = (await response.read()).decode()
    return [line[6:] for line in text.split("\n") if line.startswith("data: ")]


async def test_a_dead_worker_is_replaced_and_its_journal_adopted(make_fleet, key, connection, session, upstream):
    """Also while its stream was under way: the row says what had been seen."""
    fleet = make_fleet()
    await fleet.start(1)
    (first,) = fleet.workers()
    upstream.by_model["gpt-6-luna"] = lasting(30, 0.05)
    response = await post(session, fleet.url, key, "interrupted")
    await response.content.readuntil(b"word")
    await asyncio.sleep(0.5)  # past the first note of its progress
    os.kill(first, signal.SIGKILL)
    response.close()
    killed_at = time.monotonic()
    await eventually(lambda: is_ready(session, fleet.url), 10, "another worker")
    assert fleet.workers() != [first]

    async def row():
        return await connection.fetchrow("SELECT * FROM request_logs WHERE request_id = 'interrupted'")

    found = await eventually(row, 10, "the interrupted call's row")
    assert time.monotonic() - killed_at < 10
    assert (found["end_reason"], found["error_code"], found["usage_source"]) == (
        "interrupted",
        "interrupted",
        "estimated",
    )
    assert found["completion_tokens"] >= 3
    assert found["prompt_tokens"] > 0
    assert found["cost_nusd"] > 0
    assert found["provider"] == "openai"
    await books(connection)
    assert await fleet.stop() == 0


async def test_it_runs_without_uvloop(make_fleet, key, connection, session, upstream, tmp_path):
    """The faster event loop is taken where it is installed, and asyncio's own otherwise."""
    fleet = make_fleet(PYTHONPATH=path_without(tmp_path, "uvloop"))
    await fleet.start(1)
    assert (tmp_path / "shadow" / "uvloop.missed").exists()
    for stream in (False, True):
        response = await post(session, fleet.url, key, f"plain-{stream}", stream)
        assert (response.status, await response.read() != b"") == (200, True)
    assert await fleet.stop() == 0
    found = await connection.fetch("SELECT end_reason FROM request_logs WHERE request_id LIKE 'plain-%'")
    assert [row["end_reason"] for row in found] == ["complete", "complete"]
    await books(connection)


async def test_sigterm_lets_streams_finish_until_the_deadline(make_fleet, key, connection, session, upstream):
    """2, 9 and 40 s scaled down: two end with [DONE], the third with an error event at the deadline, a whole answer with 503."""
    fleet = make_fleet(GATEWAY_LAME_DUCK_S="0.5", GATEWAY_DRAIN_S="1.5")
    await fleet.start(1)
    for number, seconds in enumerate((0.2, 0.9, 8)):
        upstream.enqueue(lasting(seconds))
        if number < 2:
            continue
    responses = [await post(session, fleet.url, key, f"stream-{number}") for number in range(3)]
    waiting = asyncio.Event()

    async def never(line):
        waiting.set()
        await line.request.closed.wait()

    upstream.enqueue(never)
    whole = asyncio.create_task(post(session, fleet.url, key, "whole", stream=False))
    await waiting.wait()
    fleet.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    await eventually(lambda: _draining(session, fleet.url), 2, "readiness 503")
    assert time.monotonic() - began < 0.4
    during = await post(session, fleet.url, key, "during", stream=False)  # the listeners stay a moment
    assert (during.status, during.headers["Connection"]) == (200, "close")
    endings = [(await events_of(response))[-1] for response in responses]
    assert endings[:2] == ["[DONE]", "[DONE]"]
    assert json.loads(endings[2])["error"]["code"] == "draining"
    assert 1.5 < time.monotonic() - began < 4
    cut = await whole
    assert (cut.status, (await cut.json())["error"]["code"]) == (503, "draining")
    assert await fleet.ended() == 0
    rows = {row["request_id"]: row for row in await connection.fetch("SELECT * FROM request_logs")}
    assert {name: row["end_reason"] for name, row in rows.items()} == {
        "stream-0": "complete", "stream-1": "complete", "stream-2": "drained", "whole": "drained", "during": "complete",
    }  # fmt: skip
    assert rows["stream-2"]["completion_tokens"] > 3
    assert (rows["whole"]["status"], rows["whole"]["usage_source"]) == (503, "estimated")
    await books(connection)
    assert list((fleet.home / "journal").iterdir()) == []


async def _draining(session, url):
    async with session.get(f"{url}/health/ready") as response:
        return response.status == 503 and response.headers["Connection"] == "close"


async def test_a_second_signal_hurries(make_fleet, key, connection, session, upstream):
    fleet = make_fleet(GATEWAY_LAME_DUCK_S="60", GATEWAY_DRAIN_S="60")
    await fleet.start(2)
    upstream.enqueue(lasting(30))
    response = await post(session, fleet.url, key, "cut")
    fleet.process.send_signal(signal.SIGTERM)
    await eventually(lambda: _draining(session, fleet.url), 10, "readiness 503")
    fleet.process.send_signal(signal.SIGINT)
    assert json.loads((await events_of(response))[-1])["error"]["code"] == "draining"
    assert await fleet.ended() == 0, "in a third of the time that the stream would have taken"
    assert await connection.fetchval("SELECT end_reason FROM request_logs WHERE request_id = 'cut'") == "drained"


@pytest.mark.parametrize(("first", "second"), [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT)])
async def test_two_signals_to_a_busy_worker_are_two(make_fleet, key, session, upstream, first, second):
    """Two of a kind that wait together are one to a process."""
    fleet = make_fleet(GATEWAY_LAME_DUCK_S="60", GATEWAY_DRAIN_S="60")
    await fleet.start(1)
    (worker,) = fleet.workers()
    upstream.enqueue(lasting(30))
    response = await post(session, fleet.url, key, "cut")
    os.kill(worker, signal.SIGSTOP)
    await eventually(lambda: state_of(worker) == "T", 10, "the worker stopped")
    fleet.process.send_signal(first)
    await eventually(lambda: len(waiting_signals(worker)) == 1, 10, "the first signal")
    fleet.process.send_signal(second)
    await eventually(lambda: len(waiting_signals(worker)) == 2, 10, "the second signal")
    os.kill(worker, signal.SIGCONT)
    assert json.loads((await events_of(response))[-1])["error"]["code"] == "draining"
    assert await fleet.ended() == 0


async def test_sigterm_while_postgres_is_away_leaves_the_records_to_the_next_start(
    make_fleet, key, connection, session, database_url, postgres_url
):
    """Here: a database that refuses everybody. The exit is clean, and the next worker carries them over."""
    fleet = make_fleet()
    await fleet.start(1)
    name = database_url.rpartition("/")[2]
    admin = await asyncpg.connect(postgres_url)
    await connection.close()
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        assert (await post(session, fleet.url, key, "kept", stream=False)).status == 200
        assert await fleet.stop() == 0, fleet.log.read_text()
    finally:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()
    assert len(list((fleet.home / "journal").iterdir())) == 1
    await fleet.start(1)
    again = await asyncpg.connect(database_url)
    await eventually(
        lambda: again.fetchval("SELECT count(*) FROM request_logs WHERE request_id = 'kept'"), 5, "the row"
    )
    await again.close()
    assert await fleet.stop() == 0


async def test_a_killed_parent_leaves_no_workers_and_its_port_is_free_at_once(
    make_fleet, key, session, upstream, connection
):
    """Streams under way may still finish; a new gateway starts meanwhile."""
    fleet = make_fleet(GATEWAY_DRAIN_S="20", GATEWAY_LAME_DUCK_S="20")
    await fleet.start(2)
    upstream.enqueue(lasting(1.5))
    response = await post(session, fleet.url, key, "outlives")
    orphans = fleet.workers()
    assert len(orphans) == 2
    os.kill(fleet.process.pid, signal.SIGKILL)
    await fleet.ended()
    await fleet.start(2)
    assert (await events_of(response))[-1] == "[DONE]"
    await eventually(lambda: not any(is_alive(pid) for pid in orphans), 5, "the orphans' end")
    assert await connection.fetchval("SELECT end_reason FROM request_logs WHERE request_id = 'outlives'") == "complete"


@pytest.mark.slow
async def test_a_worker_that_cant_start_is_tried_ever_more_slowly(make_fleet, key, session):
    """A crash loop must not eat the machine, and one bad worker not the gateway: the other goes on serving."""
    fleet = make_fleet()
    await fleet.start(2)
    journals = fleet.home / "journal"
    held = journals.with_name("held")
    journals.rename(held)
    journals.write_text("in the way")  # no worker can make its journal here
    os.kill(fleet.workers()[0], signal.SIGKILL)
    said = "ended with status"
    await eventually(lambda: fleet.log.read_text().count(said) >= 3, 15, "three deaths")
    waits = [
        float(line.rpartition(" in ")[2].split()[0]) for line in fleet.log.read_text().splitlines() if said in line
    ]
    assert waits[0] < 0.2
    assert waits[0] < waits[1] < waits[2]
    assert await is_ready(session, fleet.url)
    journals.unlink()
    held.rename(journals)
    await eventually(lambda: len(fleet.workers()) == 2, 15, "two workers")


@pytest.mark.slow
async def test_four_gateways_started_at_once_on_an_empty_database_migrate_it_once_and_serve(
    tmp_path, empty_database_url, upstream, session
):
    fleets = [
        Fleet(tmp_path / f"home{n}", free_port(), "up", **environment(empty_database_url, upstream)) for n in range(4)
    ]
    try:
        await asyncio.gather(*(fleet.start(1, 90) for fleet in fleets))
        assert all([await is_ready(session, fleet.url) for fleet in fleets])
        steps = [fleet.log.read_text().count("is migrated") for fleet in fleets]
        assert sum(steps) == 1
        assert migrate.missing(Secret(empty_database_url)) == []
        opened = await asyncpg.connect(empty_database_url)
        assert await opened.fetchval("SELECT count(*) FROM projects") == 1
        await opened.close()
        assert [await fleet.stop() for fleet in fleets] == [0] * 4
    finally:
        for fleet in fleets:
            fleet.kill()


@pytest.mark.slow
async def test_a_killed_parent_leaves_an_embedded_postgres_that_ends(scratch, upstream, session):
    """Nothing to clean up by hand: the next start has the data and the port, and its end leaves nothing behind."""
    fleet = Fleet(scratch / "embedded", free_port(), "up", **{**environment("", upstream), "DATABASE_URL": ""})
    try:
        await fleet.start(1, 90)
        home = json.loads((fleet.home / "credentials.json").read_text())
        os.kill(fleet.process.pid, signal.SIGKILL)
        await fleet.ended()
        await fleet.start(1, 90)
        assert json.loads((fleet.home / "credentials.json").read_text()) == home
        assert await is_ready(session, fleet.url)
        (postmaster,) = [
            int(line) for line in (fleet.home / "postgres/data/postmaster.pid").read_text().splitlines()[:1]
        ]
        assert is_alive(postmaster)
        assert await fleet.stop() == 0
        await eventually(lambda: not is_alive(postmaster), 5, "the end of Postgres")
    finally:
        fleet.kill()


@pytest.mark.slow
async def test_a_rolling_restart_of_two_instances_fails_no_call(make_fleet, key, connection, session, upstream):
    """As behind a balancer that asks for readiness and takes an instance out while it says no."""
    ledger = Ledger()
    upstream.by_model["gpt-6-luna"] = ledger.reply
    fleets = [make_fleet(home=f"home{n}", GATEWAY_LAME_DUCK_S="1") for n in range(2)]
    await asyncio.gather(*(fleet.start(1) for fleet in fleets))
    ready = [fleet.url for fleet in fleets]

    async def look():
        while True:
            ready[:] = [fleet.url for fleet in fleets if await is_ready(session, fleet.url)]
            await asyncio.sleep(0.1)

    class Balanced(Clients):
        async def call(self, session, url, request_id, stream):
            return await super().call(session, ready[self.total % len(ready)], request_id, stream)

    clients = Balanced(fleets[0].url, key)
    looking, over = asyncio.create_task(look()), asyncio.Event()
    load = asyncio.create_task(clients.run(10, 1500, over))
    for fleet in fleets:
        await asyncio.sleep(0.5)
        assert await fleet.stop() == 0
        await fleet.start(1)
        await eventually(lambda: len(ready) == 2, 10, "both are back")
    over.set()
    await load
    looking.cancel()
    for fleet in fleets:
        assert await fleet.stop() == 0
    assert clients.broken == {}
    await judge(connection, ledger, clients)
    await books(connection)
