"""Idempotency-Key: asked once, charged once, answered as often as the caller likes."""

import asyncio
import json
from collections import Counter

import pytest

from gateway.limits import idempotency as module
from gateway.store import partitions
from tests.conftest import eventually
from tests.upstream import completion, failing, piece, silent, streamed, usage_piece, whole


async def ask(gateway, key, text="Hi", **more):
    return await gateway.chat(text, headers={"Idempotency-Key": key}, **more)


async def test_a_whole_answer_is_given_again_and_charged_once(gateway):
    gateway.upstream.enqueue(whole(completion("once", (100, 50))))
    first = await ask(gateway, "k1", max_tokens=64)
    again = await ask(gateway, "k1", max_tokens=64)
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["x-optyx-replayed"] == "true"
    assert again.headers["x-optyx-cost-usd"] == "0.00"
    assert len(gateway.upstream.seen) == 1
    row = await gateway.row(again.request_id)
    assert (row["end_reason"], row["status"], row["cost_nusd"], row["total_tokens"], row["usage_source"]) == (
        "replayed", 200, 0, None, "none",
    )  # fmt: skip
    paid = await gateway.row(first.request_id)
    assert paid["cost_nusd"] == 35_000
    assert await gateway.db.fetchval("SELECT sum(cost_nusd) FROM usage_hourly") == 35_000


async def test_a_stream_is_given_again_with_the_same_events(gateway):
    gateway.upstream.enqueue(streamed(piece("a"), piece("b"), piece(finish="stop"), usage_piece(9, 2), "[DONE]"))
    first = await ask(gateway, "k1", stream=True)
    again = await ask(gateway, "k1", stream=True)
    assert again.body == first.body
    assert again.events[-1] == "[DONE]"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len(gateway.upstream.seen) == 1
    assert (await gateway.row(again.request_id))["end_reason"] == "replayed"


async def test_the_duplicate_of_a_stream_under_way_is_refused(gateway):
    go = asyncio.Event()

    async def slow(line):
        await line.start_stream()
        await line.event(piece("a"))
        await go.wait()
        await line.event(piece(finish="stop"))
        await line.event(usage_piece(9, 2))
        await line.event("[DONE]")
        await line.end_stream()

    gateway.upstream.enqueue(slow)
    first = asyncio.create_task(ask(gateway, "k1", stream=True))
    while not gateway.upstream.seen:
        await asyncio.sleep(0.005)
    refused = await ask(gateway, "k1", stream=True)
    assert (refused.status, refused.code) == (409, "idempotency_in_progress")
    go.set()
    answered = await first
    assert (await ask(gateway, "k1", stream=True)).body == answered.body
    assert len(gateway.upstream.seen) == 1


async def test_another_body_under_the_same_key_is_refused_and_another_key_is_another_call(gateway):
    first = await ask(gateway, "k1", "one")
    other = await ask(gateway, "k1", "two")
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    assert other.json["error"]["param"] == "Idempotency-Key"
    assert (await ask(gateway, "k2", "one")).body != first.body
    gateway.key = await gateway.new_key("another")
    assert (await ask(gateway, "k1", "one")).body != first.body


async def test_two_hundred_pairs_fired_together_ask_upstream_two_hundred_times(gateway, monkeypatch):
    monkeypatch.setattr(
        module, "WAIT_S", 30.0
    )  # four connections for 400 claims: on a busy machine the last waits longer than two seconds
    gateway.upstream.pace_s = 0.01
    answered = await asyncio.gather(*(ask(gateway, f"pair-{n // 2}", stream=n % 4 < 2) for n in range(400)))
    assert len(gateway.upstream.ledger) == 200
    assert set(Counter(answer.status for answer in answered)) <= {200, 409}
    for first, second in zip(answered[::2], answered[1::2], strict=True):
        bodies = {answer.body for answer in (first, second) if answer.status == 200}
        assert len(bodies) == 1
    again = await asyncio.gather(*(ask(gateway, f"pair-{n}", stream=n % 2 == 0) for n in range(200)))
    assert Counter(answer.status for answer in again) == {200: 200}
    assert len(gateway.upstream.ledger) == 200

    async def settled():
        return await gateway.db.fetchval("SELECT count(*) FROM request_logs WHERE end_reason = 'complete'") == 200

    while not await settled():
        await asyncio.sleep(0.01)
    assert await gateway.db.fetchval("SELECT count(*) FROM request_logs WHERE usage_source = 'provider'") == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_is_not_kept(gateway, stream):
    gateway.upstream.enqueue(failing(400), failing(400))
    assert (await ask(gateway, "k1", stream=stream)).status == 400
    assert (await ask(gateway, "k1", stream=stream)).status == 400
    assert (await ask(gateway, "k1", stream=stream)).status == 200
    assert len(gateway.upstream.seen) == 3


async def test_a_stream_that_broke_off_is_not_kept(gateway):
    gateway.upstream.enqueue(streamed(piece("a"), end=False))
    assert "[DONE]" not in (await ask(gateway, "k1", stream=True)).events
    assert (await ask(gateway, "k1", stream=True)).events[-1] == "[DONE]"


async def test_a_client_that_left_frees_its_key(gateway):
    gateway.upstream.enqueue(silent())
    call = asyncio.create_task(ask(gateway, "k1"))
    while not gateway.upstream.seen:
        await asyncio.sleep(0.005)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    async with asyncio.timeout(3):
        while (await ask(gateway, "k1")).status != 200:
            await asyncio.sleep(0.01)


async def test_an_answer_too_large_is_not_kept(gateway, monkeypatch):
    monkeypatch.setattr(module, "MAX_KEPT", 1000)
    monkeypatch.setattr(module.Entry, "max_size", 1000)
    for stream in (False, True):
        pieces = [piece("x" * 600), piece("y" * 600), piece(finish="stop"), usage_piece(1, 1), "[DONE]"]
        for _ in range(2):
            gateway.upstream.enqueue(streamed(*pieces) if stream else whole(completion("x" * 1200)))
            assert (await ask(gateway, f"k{stream}", stream=stream)).status == 200
    assert len(gateway.upstream.seen) == 4


async def test_a_dead_workers_claim_is_free_and_a_living_ones_is_not(gateway):
    await ask(gateway, "warm")
    claim = (
        "INSERT INTO idempotency (key_id, idempotency_key, worker_id, body_digest, request_id, state, expires_at) "
        "SELECT key_id, $1, $2, body_digest, 'r', 'in_progress', now() + interval '1 day' FROM idempotency WHERE idempotency_key = 'warm'"
    )
    beat = "INSERT INTO workers (id, machine, pid, version, heartbeat_at) VALUES ($1, 'm', 1, 'v', now() - $2 * interval '1 second')"
    await gateway.db.execute(beat, "wrk_dead", 40)
    await gateway.db.execute(beat, "wrk_alive", 5)
    for name, worker in (("dead", "wrk_dead"), ("alive", "wrk_alive"), ("unknown", "wrk_unknown")):
        await gateway.db.execute(claim, name, worker)
    assert (await ask(gateway, "dead")).status == 200
    assert (await ask(gateway, "unknown")).status == 200
    assert (await ask(gateway, "alive")).status == 409


async def test_a_claim_holds_before_its_workers_first_heartbeat(gateway):
    """And after an outage, before the next one."""
    gateway.upstream.pace_s = 0.3
    for lost in ("DELETE FROM workers", "UPDATE workers SET heartbeat_at = now() - interval '1 minute'"):
        await gateway.db.execute(lost)
        answered = await asyncio.gather(*(ask(gateway, lost[:6]) for _ in range(5)))
        assert Counter(answer.status for answer in answered) == {200: 1, 409: 4}
    assert len(gateway.upstream.ledger) == 2


async def test_what_is_a_day_old_is_forgotten(gateway):
    first = await ask(gateway, "k1")
    await gateway.db.execute("UPDATE idempotency SET expires_at = now() - interval '1 second'")
    again = await ask(gateway, "k1")
    assert json.loads(again.body)["choices"] != json.loads(first.body)["choices"]
    await gateway.db.execute("UPDATE idempotency SET expires_at = now() - interval '1 second'")
    async with asyncio.timeout(5):
        while await gateway.db.fetchval("SELECT count(*) FROM idempotency"):  # the worker may be at it itself
            await partitions.keep_house(gateway.db, {"request_logs": 90, "payloads": 7})


async def test_without_the_database_a_key_cant_be_honoured_and_says_so(gateway, monkeypatch):
    """Within two seconds, and the claim that lands late does not block the key."""
    idempotency = gateway.worker.plane.idempotency
    monkeypatch.setattr(module, "WAIT_S", 0.1)
    await gateway.db.execute("BEGIN; LOCK TABLE idempotency IN ACCESS EXCLUSIVE MODE")
    refused = await ask(gateway, "k1")
    assert (refused.status, refused.code) == (503, "accounting_unavailable")
    assert gateway.upstream.seen == []
    assert (await gateway.chat()).status == 200  # without the header nothing waits
    await gateway.db.execute("ROLLBACK")
    monkeypatch.setattr(module, "WAIT_S", 2.0)
    async with asyncio.timeout(5):
        while (answered := await ask(gateway, "k1")).status != 200:
            assert answered.status == 409
            await asyncio.sleep(0.05)
    await eventually(lambda: not idempotency._late, 5, "the end of the late claim")
    assert (await ask(gateway, "k1")).status == 200


async def test_an_odd_key_is_a_bad_request(gateway):
    for name in ("", "x" * 256, "tab\there"):
        answered = await ask(gateway, name)
        assert (answered.status, answered.json["error"]["param"]) == (400, "Idempotency-Key")
