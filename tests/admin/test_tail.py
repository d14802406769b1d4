"""The live tail: every row once, in whatever order transactions end, over workers, restarts and slow readers."""

import asyncio
import contextlib
import json
import time

import aiohttp
import asyncpg
import pytest

from gateway.admin import follower as queue
from gateway.admin import guard
from gateway.admin.follower import Event, Follower
from gateway.store import ingest
from gateway.store.log_filter import Filter
from gateway.store.log_tail import Position
from tests.admin.rows import MANY, final, write
from tests.conftest import eventually


class Listener:
    """An SSE client that keeps what it heard."""

    def __init__(self, gateway, query="", last_id="", token="", path="/logs/tail"):
        self.gateway, self.query, self.last_id, self.token, self.path = gateway, query, last_id, token, path
        self.calls: list[dict] = []
        self.others: list[tuple[str, dict]] = []
        self.opened = asyncio.Event()
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.task = None

    async def __aenter__(self):
        token = self.token or await self.gateway.token()
        self.task = asyncio.create_task(self._read(token))
        opened = asyncio.create_task(self.opened.wait())
        await asyncio.wait({self.task, opened}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert self.opened.is_set(), self.task
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
            await self.task

    async def _read(self, token):
        headers = {"Authorization": f"Bearer {token}", **({"Last-Event-ID": self.last_id} if self.last_id else {})}
        timeout = aiohttp.ClientTimeout(total=None)
        url = f"{self.gateway.admin_url}{self.path}{self.query}"
        async with (
            aiohttp.ClientSession(timeout=timeout, read_bufsize=1 << 16) as session,
            session.get(url, headers=headers) as response,
        ):
            assert response.status == 200, await response.text()
            assert response.headers["content-type"] == "text/event-stream"
            self.opened.set()
            event, ident = "message", ""
            async for raw in response.content:
                line = raw.decode().rstrip("\n")
                if line.startswith("id: "):
                    ident = line[4:]
                elif line.startswith("event: "):
                    event = line[7:]
                elif line.startswith("data: "):
                    self.heard(event, json.loads(line[6:]))
                elif not line:
                    self.last_id, event = ident or self.last_id, "message"

    def heard(self, event, data):
        if event == "log":
            self.calls.append(data)
        else:
            self.others.append((event, data))

    @property
    def ids(self):
        return [call["request_id"] for call in self.calls]

    async def has(self, count, timeout_s=10.0):
        await eventually(lambda: len(self.calls) >= count, timeout_s, f"{count} calls in the tail")


async def test_a_call_comes_soon_after_its_end(gateway):
    async with Listener(gateway) as listener:
        answered = await gateway.chat()
        await listener.has(1)
        assert listener.ids == [answered.request_id]
        assert listener.calls[0]["project"] == "default"
        assert ("heartbeat", 0) in [(event, data.get("dropped")) for event, data in listener.others]


async def test_a_row_that_commits_late_is_neither_missed_nor_given_twice(gateway, database_url):
    slow, quick = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    for connection in (slow, quick):
        await ingest.prepare(connection)
    async with Listener(gateway) as listener:
        transaction = slow.transaction()
        await transaction.start()
        await write_in(slow, "req_slow")
        await write(quick, final(request_id="req_quick"))  # begins later, ends first
        rest = [final(request_id=f"req_{number}") for number in range(20)]
        for one in rest[:10]:
            await write(quick, one)
        await transaction.commit()
        for one in rest[10:]:
            await write(quick, one)
        await listener.has(22)
        assert sorted(listener.ids) == sorted(["req_slow", "req_quick", *(one.request_id for one in rest)])
    await slow.close()
    await quick.close()


async def write_in(connection, request_id):
    await connection.execute(
        "INSERT INTO request_logs (created_at, call_id, request_id, org_id, project_id, key_id, endpoint, status, end_reason, gateway_version,"
        " worker_id) VALUES (now(), gen_random_uuid(), $1, 'o', 'p', 'k', 'chat', 200, 'complete', '0', 'w')",
        request_id,
    )


async def test_a_tail_goes_on_at_another_gateway_without_a_gap_or_a_double(make_gateway, database_url):
    first, second = await make_gateway(), await make_gateway()
    stop = asyncio.Event()
    written: list[str] = []

    async def produce(number):
        connection = await asyncpg.connect(database_url)
        await ingest.prepare(connection)
        while not stop.is_set():
            batch = [final() for _ in range(7)]
            async with connection.transaction():
                await connection.execute("SET LOCAL synchronous_commit = off")
                await ingest.ingest(connection, f"wrk_{number}", "0.1.0", batch)
                await asyncio.sleep(
                    0.003 * number
                )  # transactions of different length end in another order than they began
            written.extend(one.request_id for one in batch)
        await connection.close()

    async with Listener(first) as listener:
        producers = [asyncio.create_task(produce(number)) for number in range(4)]
        await listener.has(300)
        await first.stop_worker()
        await asyncio.wait_for(asyncio.wait({listener.task}), 5)
        assert ("end", {"reason": "draining"}) in listener.others
    heard, last_id = listener.ids, listener.last_id
    so_far = len(written)
    await eventually(lambda: len(written) > so_far + 500, 20)
    async with Listener(second, last_id=last_id) as listener:
        await listener.has(500)
        stop.set()
        await asyncio.gather(*producers)
        await eventually(lambda: len(heard) + len(listener.calls) >= len(written), 20, "everything heard")
        both = heard + listener.ids
    assert len(both) == len(set(both))
    assert set(both) == set(written)


async def test_a_thousand_calls_a_second_lose_nothing(gateway, database_url):
    connection = await asyncpg.connect(database_url)
    await ingest.prepare(connection)
    written = []
    async with Listener(gateway) as all_calls, Listener(gateway, "?filter=status:5xx") as errors:
        began = time.monotonic()
        for batch in range(12):
            finals = [final(status=502 if number % 50 == 0 else 200) for number in range(250)]
            await ingest.ingest(connection, "wrk_1", "0.1.0", finals)
            written += finals
            await asyncio.sleep(max(0.0, began + 0.25 * (batch + 1) - time.monotonic()))
        await all_calls.has(3000, 20)
        await errors.has(60, 20)
    assert all_calls.ids == [one.request_id for one in written]
    assert errors.ids == [one.request_id for one in written if one.status == 502]
    assert not [event for event, _ in all_calls.others if event == "gap"]
    await connection.close()


async def test_the_filter_is_the_searches_filter(gateway):
    await gateway.db.execute("UPDATE projects SET name = 'Acme', slug = 'acme'")
    async with Listener(gateway, "?filter=project:acme+-model:gem*&status=2xx,4xx") as listener:
        await write(
            gateway.db,
            final(request_id="req_other"),
            final(request_id="req_gem", project_id=gateway.project_id, model="gemini-4"),
            final(request_id="req_bad", project_id=gateway.project_id, status=500),
            final(request_id="req_good", project_id=gateway.project_id),
        )
        await listener.has(1)
        await write(gateway.db, final(request_id="req_last", project_id=gateway.project_id, status=404))
        await listener.has(2)
        assert listener.ids == ["req_good", "req_last"]


async def test_what_was_missed_is_filled_by_its_ids(gateway):
    async with Listener(gateway) as listener:
        await write(gateway.db, *(final() for _ in range(5)))
        await listener.has(5)
        after = listener.last_id
    rows = await write(gateway.db, *(final() for _ in range(30)))
    found, cursor = [], ""
    while cursor is not None:
        page = (await gateway.admin("GET", f"/logs?after={after}&limit=7&cursor={cursor}")).json
        found += page["data"]
        cursor = page["next"]
    assert [row["request_id"] for row in found] == [row.request_id for row in rows]


async def test_a_database_that_is_restored_meanwhile_ends_the_tails(gateway):
    async with Listener(gateway) as listener:
        gateway.worker.tail.position = Position(10**12, 5)
        await asyncio.wait_for(asyncio.wait({listener.task}), 5)
        assert listener.others[-1][0] == "error"
    async with Listener(gateway) as listener:
        await write(gateway.db, final(request_id="req_now"))
        await listener.has(1)
        assert listener.ids == ["req_now"]


async def test_a_restored_database_is_told_as_a_gap(gateway):
    async with Listener(gateway, last_id="99999999999.5") as listener:
        await eventually(lambda: [event for event, _ in listener.others if event == "gap"])
        await write(gateway.db, final(request_id="req_now"))
        await listener.has(1)
        assert listener.ids == ["req_now"]


async def test_a_bad_tail_is_refused_before_it_begins(gateway):
    for query in ["?filter=stauts:1", "?filter=/a(/", "?after=nonsense", "?sample=yes", "?limit=1"]:
        answered = await gateway.admin("GET", f"/logs/tail{query}")
        assert answered.status in (400, 422), query
        assert answered.headers["content-type"] == "application/json"


async def test_a_client_that_stops_reading_is_told_what_it_missed(gateway, monkeypatch):
    monkeypatch.setattr(queue, "HELD_BYTES", 200_000)
    await gateway.token()
    async with Listener(gateway, "?sample=never") as listener:
        listener.may_read.clear()
        for _ in range(10):  # more than all the buffers on the way can hold
            await gateway.db.execute(MANY, 2_000, 1)
            await asyncio.sleep(0.15)
        reader = next(iter(gateway.worker.tail.followers))
        await eventually(lambda: reader.dropped > 0, 20, "a gap")
        listener.may_read.set()
        await write(gateway.db, final(request_id="req_after"))
        await eventually(lambda: "req_after" in listener.ids, 20)
        gaps = [data for event, data in listener.others if event == "gap"]
        assert len(listener.ids) + sum(gap["missed"] for gap in gaps) == 20_001
        missing = (
            await gateway.admin("GET", f"/logs?after={gaps[0]['after']}&before={gaps[0]['before']}&limit=1000")
        ).json
        assert len(missing["data"]) == min(1000, gaps[0]["missed"])
        assert not {row["call_id"] for row in missing["data"]} & {call["call_id"] for call in listener.calls}


async def test_a_connection_that_breaks_goes_on_where_it_was(gateway, database_url):
    written, heard, last_id = [], [], ""
    for _ in range(6):
        async with Listener(gateway, last_id=last_id) as listener:
            batch = [final() for _ in range(40)]
            await write(gateway.db, *batch[:20])
            await listener.has(3)
            await write(gateway.db, *batch[20:])
            written += [one.request_id for one in batch]
        heard += listener.ids  # cut off somewhere in the middle
        last_id = listener.last_id
    async with Listener(gateway, last_id=last_id) as listener:
        await eventually(lambda: len(heard) + len(listener.ids) >= len(written))
        heard += listener.ids
    assert heard == written


async def test_a_tail_outlives_its_connection_to_the_database(gateway):
    async with Listener(gateway, "?filter=status:2xx") as listener:
        first = await write(gateway.db, *(final() for _ in range(5)))
        await listener.has(5)
        gone = await gateway.db.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'optyx tail' AND datname = current_database()"
        )
        assert gone == 1
        second = await write(gateway.db, *(final() for _ in range(5)))
        await listener.has(10)
        assert listener.ids == [one.request_id for one in first + second]


async def test_tails_end_with_the_worker(gateway):
    async with Listener(gateway) as listener:
        began = time.monotonic()
        await gateway.stop_worker()
        assert time.monotonic() - began < 4
        await asyncio.wait_for(asyncio.wait({listener.task}), 5)
        assert listener.others[-1] == ("end", {"reason": "draining"})


@pytest.mark.parametrize("path", ["/logs/tail", "/events"])
async def test_a_stream_ends_when_its_token_is_revoked(gateway, monkeypatch, path):
    monkeypatch.setattr(guard, "REVIEW_S", 0.05)
    made = (await gateway.admin("POST", "/tokens", {"name": "for a day", "role": "viewer"})).json
    async with Listener(gateway, token=made["token"], path=path) as revoked, Listener(gateway, path=path) as other:
        await gateway.chat()
        await revoked.has(1)
        await gateway.admin("DELETE", f"/tokens/{made['id']}")
        await asyncio.wait_for(asyncio.wait({revoked.task}), 5)
        assert revoked.others[-1] == ("end", {"reason": "signed_out"})
        await gateway.chat()
        await other.has(2)
        assert len(revoked.calls) == 1


async def test_a_stream_stays_while_nobody_can_say_whose_its_token_is(gateway, monkeypatch):
    monkeypatch.setattr(guard, "REVIEW_S", 0.02)
    asked = asyncio.Event()

    async def away(*_):
        asked.set()
        raise ConnectionRefusedError

    async with Listener(gateway) as listener:
        with monkeypatch.context() as patch:
            patch.setattr(guard, "admit", away)
            await asyncio.wait_for(asked.wait(), 5)
            asked.clear()
            await asyncio.wait_for(asked.wait(), 5)
        await gateway.chat()
        await listener.has(1)


def events(numbers, is_error=False):
    return [Event(Position(5, n), is_error, f"2026-11-24T12:00:{n % 60:02d}Z", b"x" * 1000) for n in numbers]


def test_a_slow_reader_is_told_what_it_missed(monkeypatch):
    monkeypatch.setattr(queue, "HELD_BYTES", 10_000)
    follower = Follower(Filter(), False, Position(0, 0))
    follower.offer(events(range(1, 31)))
    data = follower.take()
    assert data.count(b"x") == 10_000
    gap = json.loads(data.split(b"event: gap\ndata: ")[1])
    assert gap["missed"] == follower.dropped == 20
    assert (gap["after"], gap["before"]) == ("5.10", "5.30")
    assert (gap["since"], gap["until"]) == ("2026-11-24T12:00:11Z", "2026-11-24T12:00:30Z")
    follower.offer(events([31]))
    assert follower.take() == b"x" * 1000


def test_over_the_rate_calls_are_sampled_and_errors_are_not(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(queue.time, "monotonic", lambda: clock[0])
    follower, all_of_them = Follower(Filter(), True, Position(0, 0)), Follower(Filter(), False, Position(0, 0))
    for second in range(3):
        clock[0] += 1.0
        numbers = range(second * 8000 + 1, second * 8000 + 8001)
        for one in (follower, all_of_them):
            one.offer(events(numbers) + events([n + 100_000 for n in range(second * 10, second * 10 + 10)], True))
        data, whole = follower.take(), all_of_them.take()
    assert b'event: sampled\ndata: {"one_in":5' in data or follower.one_in == 5
    assert data.count(b"x") == (8000 // 5 + 10) * 1000
    assert whole.count(b"x") == 8010 * 1000


async def test_the_tail_rests_when_nobody_follows(gateway):
    async with Listener(gateway) as listener:
        assert gateway.worker.tail.position is not None
        await gateway.db.execute(MANY, 50, 1)
        await listener.has(50)
    await eventually(lambda: gateway.worker.tail.position is None, 15)
    async with Listener(gateway) as listener:
        await write(gateway.db, final(request_id="req_again"))
        await listener.has(1)
        assert listener.ids == ["req_again"]
