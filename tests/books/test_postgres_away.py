"""Postgres stopped, hung, restarted, locked, full: calls of known keys go on, and every record is there afterwards."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time

import aiohttp
import asyncpg
import pytest

from gateway import embedded, keyring, migrate
from gateway.embedded import EmbeddedPostgres
from gateway.secret import Secret
from tests.books.ledger import books
from tests.books.processes import children
from tests.books.storm import Clients, Ledger, judge
from tests.conftest import NO_SYNC, eventually, free_port, in_database, run_sql
from tests.rig import Gateway, configuration

CONNECTIONS = 40


class Server:
    """A Postgres of the test's own, to be hurt. Its address stays the same when it comes back, and bringing it back blocks nobody: the
    gateway under test lives on the same loop."""

    def __init__(self, base):
        self._embedded = EmbeddedPostgres(
            base, settings={**NO_SYNC, "fsync": "on", "max_connections": str(CONNECTIONS)}
        )
        self.url = self._embedded.start()
        self._process = self._embedded._process
        self._account = embedded._account()

    async def start(self):
        """Does nothing while it runs."""
        if self._process.poll() is None:
            return
        with self._embedded.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220  # a fork and no more
                self._process.args, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/", start_new_session=True,
                umask=0o077, **self._account,
            )  # fmt: skip
        await eventually(self._answers, 60, "Postgres")

    async def _answers(self):
        try:
            await (await asyncpg.connect(self.url)).close()
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    async def crash(self):
        """`pg_ctl stop -m immediate`."""
        self._process.send_signal(signal.SIGQUIT)
        await eventually(lambda: self._process.poll() is not None, 20, "its end")

    def stop(self):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
        self._embedded.stop()

    def freeze(self):
        self.frozen = [self._process.pid, *children(self._process.pid)]
        for pid in self.frozen:
            os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in reversed(self.frozen):
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def server(scratch):
    made = Server(scratch / "hurt")
    run_sql(made.url, "CREATE DATABASE ready")
    migrate.up(Secret(in_database(made.url, "ready")))
    yield made
    made.stop()


@pytest.fixture
async def own_url(server):
    await server.start()
    run_sql(server.url, "DROP DATABASE IF EXISTS own WITH (FORCE)", "CREATE DATABASE own TEMPLATE ready", "CHECKPOINT")
    return in_database(server.url, "own")


@pytest.fixture
async def make(own_url, tmp_path, upstream):
    """Gateways on that server; their sealing key makes them keep a snapshot."""
    made = []

    def one(home="home", **more):
        settings = {"OPTYX_SECRET_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", **more}
        gateway = Gateway(configuration(own_url, tmp_path / home, free_port(), upstream, **settings), upstream)
        made.append(gateway)
        return gateway

    yield one
    for gateway in made:
        if hasattr(gateway, "session"):
            await gateway.stop()


class Watch:
    """Load on one gateway, with how long each call took."""

    def __init__(self, gateway):
        self.ledger = Ledger(pace_s=0.0)
        gateway.upstream.by_model["gpt-6-luna"] = self.ledger.reply
        self.gateway = gateway
        self.clients = Clients(gateway.url, gateway.key)
        self.took = []
        self._over = asyncio.Event()
        watch = self

        class Timed(Clients):
            async def call(self, *given):
                began = time.monotonic()
                try:
                    return await super().call(*given)
                finally:
                    watch.took.append(time.monotonic() - began)
                    await asyncio.sleep(0.05)

        self.clients = Timed(gateway.url, gateway.key)

    async def __aenter__(self):
        self._load = asyncio.create_task(self.clients.run(3, 0, self._over))
        await eventually(lambda: len(self.clients.complete) >= 10, 10, "the first calls")
        return self

    async def __aexit__(self, *_):
        self._over.set()
        await self._load

    async def judge(self, url):
        """Nothing failed, nobody waited, and the books are right ten seconds later at the latest."""
        assert self.clients.broken == {}
        assert sorted(self.took)[int(len(self.took) * 0.99)] < 0.5, sorted(self.took)[-5:]
        connection = await asyncpg.connect(url)
        try:
            wanted = len(self.clients.complete)

            async def landed():
                return (
                    await connection.fetchval("SELECT count(*) FROM request_logs WHERE end_reason = 'complete'")
                    == wanted
                )

            await eventually(landed, 10, f"{wanted} rows")
            await judge(connection, self.ledger, self.clients)
            await books(connection)
        finally:
            await connection.close()


async def ask_unseen(gateway):
    """A well-formed key that this worker has never seen: 503 while nobody can be asked, never 401."""
    began = time.monotonic()
    async with gateway.session.post(
        f"{gateway.url}/v1/chat/completions",
        json={"messages": [{"role": "user", "content": "Hi"}]},
        headers={"Authorization": f"Bearer {keyring.mint().text}"},
    ) as response:
        code = (await response.json())["error"]["code"]
    return response.status, code, time.monotonic() - began


async def readiness(gateway):
    answered = await gateway.get("/health/ready")
    return answered.status, answered.json["status"]


async def started(gateway):
    await gateway.start()
    await gateway.changed()
    return gateway


async def test_stopped_for_a_while(make, server, own_url):
    gateway = await started(make())
    async with Watch(gateway) as watch:
        await server.crash()
        await eventually(lambda: _says(gateway, "degraded"), 5, "degraded")
        for _ in range(5):
            status, code, took = await ask_unseen(gateway)
            assert (status, code) == (503, "key_store_unavailable")
            assert took < 0.5
        await asyncio.sleep(1.5)
        await server.start()
        await eventually(lambda: _says(gateway, "ready"), 10, "ready")
        assert (await ask_unseen(gateway))[:2] == (401, "invalid_api_key")
    await watch.judge(own_url)


async def _says(gateway, word):
    return await readiness(gateway) == (200, word)


async def test_hung_with_its_sockets_open(make, server, own_url):
    """The worst of them: nothing is refused, nothing answers."""
    gateway = await started(make())
    async with Watch(gateway) as watch:
        server.freeze()
        try:
            await eventually(lambda: _says(gateway, "degraded"), 8, "degraded")
            unseen = await asyncio.gather(*(ask_unseen(gateway) for _ in range(5)))
            assert {(status, code) for status, code, _ in unseen} == {(503, "key_store_unavailable")}
            assert max(took for _, _, took in unseen) < 5
        finally:
            server.thaw()
        await eventually(lambda: _says(gateway, "ready"), 10, "ready")
    await watch.judge(own_url)


@pytest.mark.slow
async def test_restarted_again_and_again(make, server, own_url):
    gateway = await started(make())
    async with Watch(gateway) as watch:
        for _ in range(4):
            await asyncio.sleep(0.4)
            await server.crash()
            await server.start()
    await watch.judge(own_url)


async def test_every_table_locked(make, own_url):
    gateway = await started(make())
    holder = await asyncpg.connect(own_url)
    async with Watch(gateway) as watch:
        await holder.execute(
            "BEGIN; LOCK TABLE request_logs, usage_hourly, key_usage, api_keys, workers, budget_windows, providers IN ACCESS EXCLUSIVE MODE"
        )
        status, code, took = await ask_unseen(gateway)
        assert (status, code) == (503, "key_store_unavailable")
        assert took < 5
        await asyncio.sleep(1)
        await holder.execute("ROLLBACK")
    await holder.close()
    await watch.judge(own_url)


async def _fill(url, held):
    """Every connection that there is."""
    with contextlib.suppress(asyncpg.TooManyConnectionsError):
        while len(held) < CONNECTIONS + 5:
            held.append(await asyncpg.connect(url))


async def test_out_of_connections(make, server, own_url):
    gateway = await started(make())
    held = []
    async with Watch(gateway) as watch:
        await _fill(own_url, held)
        await held[0].execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'optyx%'"
        )
        await _fill(own_url, held)
        status, code, _ = await ask_unseen(gateway)
        assert (status, code) == (503, "key_store_unavailable")
        await asyncio.sleep(1)
        for connection in held:
            await connection.close()
    await watch.judge(own_url)


async def test_a_worker_starts_without_postgres_from_the_snapshot_and_a_revoked_key_stays_revoked_a_bound_one_bound(
    make, server, own_url
):
    first = await started(make())
    revoked, bound = await first.new_key("revoked"), await first.new_key("bound")
    await first.execute("UPDATE api_keys SET allowed_addresses = '{10.0.0.0/8}' WHERE name = 'bound'")
    good, first.key = first.key, revoked
    assert (await first.chat()).status == 200
    await first.execute("UPDATE api_keys SET disabled_at = now() WHERE name = 'revoked'")
    assert (await first.chat()).status == 401
    snapshot = first.config.home / "catalog.snapshot"
    changed_at = time.time()

    def is_kept():
        return snapshot.stat().st_mtime >= changed_at - 0.5

    await eventually(is_kept, 4, "a snapshot after the revocation")
    await asyncio.sleep(1.2)  # whatever was being written before is written
    await first.stop_worker()
    await first.db.close()
    for secret in (good, revoked, "sk-upstream-secret", "google-secret", own_url.split(":")[2].split("@")[0]):
        assert secret.encode() not in snapshot.read_bytes()
    await server.crash()
    began = time.monotonic()
    await first.start_worker()
    first.key = good
    assert (await first.chat()).status == 200
    assert time.monotonic() - began < 3
    first.key = revoked
    assert (await first.chat()).status == 401
    first.key = bound
    assert (await first.chat()).code == "address_not_allowed"
    assert (await ask_unseen(first))[:2] == (503, "key_store_unavailable")
    assert await readiness(first) == (200, "degraded")
    await server.start()
    await eventually(lambda: _says(first, "ready"), 10, "ready")
    assert (await ask_unseen(first))[0] == 401
    first.db = await asyncpg.connect(own_url)
    await first.changed()
    first.key = good
    assert (await first.row((await first.chat()).request_id))["status"] == 200


async def test_without_a_snapshot_it_says_so_and_serves_as_soon_as_postgres_is_there(make, server, own_url):
    gateway = make("bare", OPTYX_SECRET_KEY="")
    await gateway.start()
    await gateway.stop_worker()
    await gateway.db.close()
    await server.crash()
    await gateway.start_worker()
    answered = await gateway.chat()
    assert (answered.status, answered.code) == (503, "key_store_unavailable")
    assert (await gateway.get("/health/ready")).status == 503
    assert (await gateway.get("/health")).status == 200
    await server.start()
    await eventually(lambda: _says(gateway, "ready"), 10, "ready")
    assert (await gateway.chat()).status == 200
    gateway.db = await asyncpg.connect(own_url)


async def test_a_money_budget_goes_as_far_as_the_shares_and_no_further(make, server, own_url):
    gateway = await started(make())
    key_id = await gateway.db.fetchval("SELECT id FROM api_keys WHERE name = 'test'")
    await gateway.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ('bud_1', 'key', $1, 6000000, '1d')",
        key_id,
    )
    for _ in range(5):
        assert (await gateway.chat(max_tokens=64)).status == 200
    await server.crash()
    answered = [await gateway.chat(max_tokens=64) for _ in range(400)]
    statuses = {answer.status for answer in answered}
    assert statuses == {200, 503}
    assert {answer.code for answer in answered if answer.status == 503} == {"budget_unavailable"}
    await server.start()

    async def again():
        return (await gateway.chat(max_tokens=64)).status == 200

    await eventually(again, 10, "a call after Postgres is back")
    gateway.db = await asyncpg.connect(own_url)
    served = 5 + sum(answer.status == 200 for answer in answered) + 1
    done = "SELECT count(*) FROM request_logs WHERE end_reason = 'complete'"
    await eventually(lambda: _is(gateway.db, done, served), 10, "every row")
    await books(gateway.db)


async def _is(connection, question, wanted):
    return await connection.fetchval(question) == wanted


@pytest.mark.slow
async def test_what_was_acknowledged_survives_a_crash_of_postgres(make, server, own_url):
    """Segments go once Postgres has said COMMIT: an immediate stop right after loses none of it."""
    gateway = await started(make())
    async with aiohttp.ClientSession() as session:
        clients = Clients(gateway.url, gateway.key)
        ledger = Ledger(pace_s=0.0)
        gateway.upstream.by_model["gpt-6-luna"] = ledger.reply
        for number in range(60):
            clients.complete[f"c-{number}"] = await clients.call(session, gateway.url, f"c-{number}", False)
            if number % 15 == 14:
                gateway.worker.plane.journal.rotate()
                await gateway.row(f"c-{number}")
                await server.crash()
                await server.start()
                gateway.db = await asyncpg.connect(own_url)
    await eventually(lambda: _is(gateway.db, "SELECT count(*) FROM request_logs", 60), 10, "60 rows")
    await judge(gateway.db, ledger, clients)
