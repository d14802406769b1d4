"""Clients that leave, and clients that don't read."""

import asyncio
import json
import socket
import time
from collections import Counter

import pytest

from gateway.proxy import leave
from tests.books.ledger import books
from tests.conftest import eventually, free_port
from tests.upstream import completion, piece, usage_piece, whole

PHASES = ("connecting", "no headers", "no first event", "mid-stream")
GEMINI = {"candidates": [{"content": {"role": "model", "parts": [{"text": "some words "}]}, "index": 0}]}


class Raw:
    """A client on a bare socket, so that it can leave at any moment: with FIN, as most do, or RST."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def call(cls, gateway, request_id, model, stream):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
        body = json.dumps(
            {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hi there"}]}
        ).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.key}\r\nx-request-id: {request_id}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        return cls(reader, writer)

    def leave(self, reset):
        if reset:
            self.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
            )
        self.writer.transport.abort() if reset else self.writer.close()


def halting(phase, model, there):
    """An upstream that stops in one phase, sets `there`, and waits for its connection's end."""

    async def reply(line):
        if phase != "no headers":
            await line.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
                if not _streams(line) else
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )  # fmt: skip
        if phase == "mid-stream":
            if not _streams(line):
                await line.send(b'{"id": "x", ')
            else:
                for _ in range(3):
                    await line.event(piece("some words ") if model.startswith("gpt") else GEMINI)
        there.set()
        await line.request.closed.wait()

    return reply


def _streams(line):
    return "streamGenerateContent" in line.request.path or bool(line.request.json.get("stream"))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["gpt-6-luna", "gemini-3.8-flash"])
@pytest.mark.parametrize("phase", PHASES[1:])
async def test_upstream_is_closed_within_a_quarter_second_and_the_call_is_one_row(gateway, phase, model, stream):
    models = await gateway.db.fetch(
        "SELECT m.id FROM models m JOIN providers p ON p.id = m.provider_id WHERE p.name = 'google' AND mode = 'chat'"
    )
    model = model if model.startswith("gpt") else models[0][0]
    for number, reset in enumerate((False, True)):
        there = asyncio.Event()
        gateway.upstream.enqueue(halting(phase, model, there))
        client = await Raw.call(gateway, f"gone-{number}", model, stream)
        await asyncio.wait_for(there.wait(), 5)
        if phase == "mid-stream" and stream:
            assert await client.reader.readuntil(b"words")
        client.leave(reset)
        await asyncio.wait_for(gateway.upstream.seen[-1].closed.wait(), 0.25)
        row = await gateway.row(f"gone-{number}")
        has_begun = phase == "mid-stream" and stream
        assert (row["end_reason"], row["error_code"], row["usage_source"]) == (
            "client_closed",
            "client_closed",
            "estimated",
        )
        assert row["status"] == (200 if has_begun else 499)
        assert row["prompt_tokens"] > 0
        assert (row["completion_tokens"] > 0) == has_begun
        assert row["cost_nusd"] > 0
    await books(gateway.db)
    assert await gateway.db.fetchval("SELECT count(*) FROM request_logs") == 2


async def test_who_leaves_while_we_connect_has_asked_nobody(gateway):
    """A provider that accepts nothing: its backlog is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", free_port()))
        listening.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        await gateway.execute(
            "UPDATE providers SET base_url = $1, timeouts = '{\"connect_ms\": 700}' WHERE name = 'openai'", url
        )
        client = await Raw.call(gateway, "connecting", "gpt-6-luna", True)
        await eventually(lambda: len(gateway.worker.plane.callers) == 1, 2, "the call")
        client.leave(False)
        row = await gateway.row("connecting")
        for filler in fillers:
            filler.close()
    assert (row["end_reason"], row["status"], row["usage_source"], row["cost_nusd"]) == (
        "client_closed",
        499,
        "none",
        None,
    )


async def test_a_hundred_silent_streams_are_closed_in_time_each_with_its_row(gateway):
    late = []

    async def reply(line):
        await line.start_stream()
        for _ in range(2):
            await line.event(piece("abcdefgh"))
        await line.request.closed.wait()
        late.append(time.monotonic())

    gateway.upstream.by_model["gpt-6-luna"] = reply
    clients = [await Raw.call(gateway, f"gone-{number}", "gpt-6-luna", True) for number in range(100)]
    for client in clients:
        for _ in range(2):
            await client.reader.readuntil(b"abcdefgh")
    left_at = time.monotonic()
    for number, client in enumerate(clients):
        client.leave(number % 2 == 0)
    await eventually(lambda: len(late) == 100, 5, "a hundred closed connections")
    assert max(late) - left_at < 0.25 + 0.25  # ours, and the time the test itself takes for a hundred
    await eventually(lambda: _count(gateway, 100), 5, "a hundred rows")
    rows = await gateway.db.fetch("SELECT end_reason, completion_tokens FROM request_logs")
    assert Counter(row["end_reason"] for row in rows) == {"client_closed": 100}
    # upstream sent two events: OpenAI puts a token into each
    assert {row["completion_tokens"] for row in rows} == {2}
    assert not gateway.worker.plane.callers
    assert not gateway.worker.plane.relays


async def _count(gateway, rows):
    return await gateway.db.fetchval("SELECT count(*) FROM request_logs") == rows


async def drained(gateway):
    await gateway.execute("UPDATE providers SET on_disconnect = 'drain' WHERE name = 'openai'")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("early", [False, True])
async def test_a_provider_that_bills_anyway_is_read_to_its_end_and_the_true_usage_recorded(gateway, stream, early):
    await drained(gateway)
    there, go = asyncio.Event(), asyncio.Event()

    async def reply(line):
        if not stream:
            there.set()
            await go.wait()
            await line.answer(200, completion("late", (77, 33)))
            return
        await line.start_stream()
        if not early:
            await line.event(piece("a"))
        there.set()
        await go.wait()
        await line.event(piece("b"))
        await line.event(piece(finish="stop"))
        await line.event(usage_piece(77, 33))
        await line.event("[DONE]")
        await line.end_stream()

    gateway.upstream.enqueue(reply)
    client = await Raw.call(gateway, "drained", "gpt-6-luna", stream)
    await there.wait()
    if stream and not early:
        await client.reader.readuntil(b'"a"')
    client.leave(False)
    await eventually(lambda: gateway.worker.plane.running_on == 1, 2, "the client's leaving")
    go.set()
    row = await gateway.row("drained")
    assert (row["end_reason"], row["usage_source"], row["prompt_tokens"], row["completion_tokens"]) == (
        "client_closed", "provider", 77, 33,
    )  # fmt: skip
    assert row["status"] == (200 if stream and not early else 499)
    await eventually(lambda: gateway.worker.plane.running_on == 0, 2, "the end")
    assert not gateway.upstream.seen[0].closed.is_set()


async def test_what_runs_on_is_bounded_in_time_and_number(gateway, monkeypatch):
    await drained(gateway)
    monkeypatch.setattr(leave, "RUN_ON_S", 0.2)
    monkeypatch.setattr(leave, "MAX_RUNNING_ON", 1)

    async def reply(line):
        await line.start_stream()
        await line.event(piece("a"))
        await line.request.closed.wait()

    gateway.upstream.by_model["gpt-6-luna"] = reply
    clients = [await Raw.call(gateway, f"gone-{number}", "gpt-6-luna", True) for number in range(2)]
    for client in clients:
        await client.reader.readuntil(b'"a"')
        client.leave(False)
    for number in range(2):
        row = await gateway.row(f"gone-{number}")
        assert (row["end_reason"], row["usage_source"]) == ("client_closed", "estimated")
    assert gateway.worker.plane.running_on == 0


async def test_a_stalled_reader_holds_upstream_back_and_costs_us_little(gateway):
    """20 MB wait for a client that reads nothing: they wait at upstream, not here."""
    sent = 0

    async def endless(line):
        nonlocal sent
        await line.start_stream()
        while not line.request.closed.is_set() and sent < 20 << 20:
            await line.event(piece("x" * 16000))
            sent += 16000
        await line.request.closed.wait()

    gateway.upstream.by_model["gpt-6-luna"] = endless
    client = await Raw.call(gateway, "stalled", "gpt-6-luna", True)
    client.writer.transport.pause_reading()
    await eventually(lambda: sent > 0, 3, "the stream")
    before = -1
    while sent != before:  # until it stands still
        before = sent
        await asyncio.sleep(0.3)
    assert sent < 12 << 20
    (caller,) = gateway.worker.plane.callers
    transport = caller.transport
    assert caller.is_paused
    assert transport.get_write_buffer_size() <= 256 << 10
    client.leave(True)
    row = await gateway.row("stalled")
    assert row["end_reason"] == "client_closed"


async def test_a_retry_after_leaving_is_answered_from_what_ran_on(gateway):
    """With an Idempotency-Key, a provider that is drained is not even asked twice."""
    await drained(gateway)
    go = asyncio.Event()

    async def reply(line):
        await go.wait()
        await whole(completion("kept"))(line)

    gateway.upstream.enqueue(reply)
    call = asyncio.create_task(gateway.chat(model="gpt-6-luna", headers={"Idempotency-Key": "k"}))
    await eventually(lambda: gateway.upstream.seen, 2, "the call")
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    go.set()
    async with asyncio.timeout(3):
        while (answered := await gateway.chat(model="gpt-6-luna", headers={"Idempotency-Key": "k"})).status != 200:
            await asyncio.sleep(0.01)
    assert answered.headers["x-optyx-replayed"] == "true"
    assert len(gateway.upstream.seen) == 1
