"""Clients that leave, in every phase: upstream is closed within a quarter of a second, and each call has its one record."""

import asyncio
import json
import time

import pytest

from tests import wire
from tests.conftest import eventually
from tests.upstream import piece

COUNT = 100


async def leave(gateway, stream: bool, until: bytes, marker: str):
    """A client that hangs up once it has seen `until` (nothing: as soon as the provider is asked)."""
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "stream": stream}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
    writer.write(wire.post(gateway.key, body, b"x-request-id: " + marker.encode()))
    seen = b""
    while until not in seen:
        seen += await reader.read(65536)
    return writer


@pytest.mark.parametrize(
    "phase", ["waiting for headers", "waiting for the first event", "between events", "waiting for a whole answer"]
)
async def test_upstream_is_closed_at_once_and_every_call_is_recorded(gateway, phase):
    async def reply(line):
        if phase != "waiting for headers" and phase != "waiting for a whole answer":
            await line.start_stream()
        if phase == "between events":
            for text in ("a", "b"):
                await line.event(piece(text))
        await line.request.closed.wait()

    gateway.upstream.by_model["gpt-6-luna"] = reply
    stream = phase != "waiting for a whole answer"
    until = b'"b"' if phase == "between events" else b""
    writers = await asyncio.gather(*(leave(gateway, stream, until, f"gone-{number}") for number in range(COUNT)))
    await eventually(lambda: len(gateway.upstream.seen) == COUNT, 10, "every call having reached the provider")
    left = time.monotonic()
    for writer in writers:
        writer.close()
    await asyncio.gather(*(seen.closed.wait() for seen in gateway.upstream.seen))
    took = time.monotonic() - left
    assert took <= 0.25 + COUNT * 0.002, f"{took:.3f} s for {COUNT} of them"

    async def rows():
        return await gateway.db.fetch(
            "SELECT status, end_reason, usage_source, completion_tokens FROM request_logs WHERE request_id LIKE 'gone-%'"
        )

    async def all_there() -> bool:
        return len(await rows()) >= COUNT

    await eventually(all_there, 10, "their rows")
    found = {tuple(row) for row in await rows()}
    assert len(await rows()) == COUNT
    assert {row[:3] for row in found} == {(200 if phase == "between events" else 499, "client_closed", "estimated")}
    assert gateway.worker.upstream.counts[gateway.upstream.base_url][0] == 0, "no connection stays busy"


async def test_a_client_that_leaves_while_we_wait_for_a_second_try_ends_the_call(gateway):
    from tests.upstream import failing

    gateway.upstream.by_model["gpt-6-luna"] = failing(500)
    body = json.dumps({"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
    writer.write(wire.post(gateway.key, body, b"x-request-id: impatient"))
    await eventually(lambda: gateway.upstream.seen, 5, "the first try")
    writer.close()
    row = await gateway.row("impatient")
    assert (row["status"], row["end_reason"]) == (499, "client_closed")
    assert len(gateway.upstream.seen) == 1, "nobody is asked for somebody who has gone"
