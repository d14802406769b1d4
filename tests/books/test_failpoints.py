"""A worker killed at each step of a call: what was answered is recorded, what was begun is accounted for, and nothing twice."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from gateway import logbook
from gateway.adoption import adoptable
from tests.books.failing import POINTS
from tests.books.ledger import books
from tests.books.storm import Clients, Ledger, judge
from tests.conftest import eventually, free_port

ROOT = Path(__file__).parent.parent.parent
BEFORE_INTENT = {"after auth", "after hold"}
QUICK = {
    ("after intent", False), ("mid", True), ("after final", False), ("after final", True), ("mid-INSERT", True), ("after COMMIT", False),
}  # fmt: skip
ALL = [(point, stream) for point in POINTS if point not in ("during adoption", "never") for stream in (False, True)]


class Failing:
    """A worker that will die at `point`."""

    def __init__(self, gateway, home, point):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("OPTYX_", "GATEWAY_"))},
            **gateway.config.environment, "OPTYX_HOME": str(home), "GATEWAY_PORT": str(self.port),
            "DATABASE_URL": gateway.config.database_url.reveal(),
        }  # fmt: skip
        self._point = point

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.books.failing", self._point, "--ready-fd", "1",
            env=self._environment, cwd=ROOT, stdout=subprocess.PIPE,
        )  # fmt: skip
        return self

    async def is_ready(self):
        assert await self.process.stdout.readline() == b"ready\n"

    async def __aexit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


async def with_budget(gateway):
    key_id = await gateway.db.fetchval("SELECT id FROM api_keys WHERE name = 'test'")
    await gateway.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ('bud_1', 'key', $1, 1000000000, '1d')",
        key_id,
    )


async def fire(clients, url, stream, calls=3):
    async with aiohttp.ClientSession() as session:
        for number in range(calls):
            clients.total += 1
            try:
                clients.complete[f"call-{number}"] = await clients.call(session, url, f"call-{number}", stream)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                clients.broken[f"call-{number}"] = str(error)


async def settle(gateway, home):
    async def settled():
        dead = list(adoptable(home / "journal"))
        for journal in dead:
            journal.close()
        return not dead and not await gateway.db.fetchval("SELECT coalesce(sum(amount_nusd), 0) FROM budget_shares")

    await eventually(settled, 10, "the journal adopted, the holds gone")


@pytest.mark.parametrize(
    ("point", "stream"),
    [
        pytest.param(
            *case, marks=[] if case in QUICK else [pytest.mark.slow], id=f"{case[0]}-{'stream' if case[1] else 'whole'}"
        )
        for case in ALL
    ],
)
async def test_killed(gateway, tmp_path, monkeypatch, point, stream):
    """A sibling on the same machine carries on: within its next look for dead journals."""
    monkeypatch.setattr(logbook, "ADOPT_EVERY_S", 0.2)
    await with_budget(gateway)
    ledger = Ledger(pace_s=0.01)
    gateway.upstream.by_model["gpt-6-luna"] = ledger.reply
    clients = Clients("", gateway.key)
    async with Failing(gateway, tmp_path / "home0", point) as worker:
        await worker.is_ready()
        await fire(clients, worker.url, stream)
        assert await asyncio.wait_for(worker.process.wait(), 10) == -signal.SIGKILL, "the point was not reached"
    await settle(gateway, tmp_path / "home0")
    rows = await judge(gateway.db, ledger, clients)
    await books(gateway.db)
    if point in BEFORE_INTENT:
        assert (rows, ledger.billed, clients.complete) == ({}, {}, {})
        return
    assert "call-0" in rows
    if point in ("after intent", "after upstream headers", "first byte", "mid", "last upstream byte"):
        assert rows["call-0"]["end_reason"] in ("interrupted", "complete")
    else:
        assert rows["call-0"]["end_reason"] == "complete"
    if point in ("mid-INSERT", "after COMMIT", "after last client byte"):
        assert "call-0" in clients.complete


async def test_killed_during_adoption(gateway, make_gateway, tmp_path):
    """One worker dies with records in its journal, the next one after it has carried the first of them; a third carries the rest."""
    await with_budget(gateway)
    ledger = Ledger(pace_s=0.0)
    gateway.upstream.by_model["gpt-6-luna"] = ledger.reply
    clients = Clients("", gateway.key)
    home = tmp_path / "home1"
    async with Failing(gateway, home, "mid-INSERT") as worker:
        await worker.is_ready()
        await fire(clients, worker.url, stream=False)
        await worker.process.wait()
    async with Failing(gateway, home, "during adoption") as worker:
        assert await asyncio.wait_for(worker.process.wait(), 20) == -signal.SIGKILL
    assert await gateway.db.fetchval("SELECT count(*) FROM request_logs") == 1
    assert await make_gateway() is not gateway
    await settle(gateway, home)
    await judge(gateway.db, ledger, clients)
    assert (await books(gateway.db)).rows == len(ledger.billed)


async def test_a_frozen_worker_that_wakes_up_changes_nothing(gateway, tmp_path):
    """SIGSTOP in the middle of everything, then SIGCONT: its journal is its own all the time, and is carried once."""
    ledger = Ledger(pace_s=0.005)
    gateway.upstream.by_model["gpt-6-luna"] = ledger.reply
    clients = Clients("", gateway.key)
    async with Failing(gateway, tmp_path / "home0", "never") as worker:
        await worker.is_ready()
        clients.url = worker.url
        load = asyncio.create_task(clients.run(10, 200))
        for _ in range(3):
            await asyncio.sleep(0.15)
            os.kill(worker.process.pid, signal.SIGSTOP)
            await asyncio.sleep(0.4)
            await gateway.worker.logbook._adopt()
            os.kill(worker.process.pid, signal.SIGCONT)
        await load
        worker.process.terminate()
        assert await worker.process.wait() == 0
    assert clients.broken == {}
    await judge(gateway.db, ledger, clients)
    assert (await books(gateway.db)).rows == 200
