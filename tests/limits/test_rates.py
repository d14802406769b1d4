"""Requests and tokens a minute, and calls at once: over one worker and several, with Redis and without."""

import asyncio
import signal
import time

import pytest

from gateway.health import Health
from tests.conftest import eventually
from tests.limits.rules import MODEL, TOKENS, add_limit, call, storm
from tests.upstream import completion, failing, hang_up, silent, whole


async def with_a_limit(make_gateway, workers, redis_url=None, **limit):
    settings = {"REDIS_URL": redis_url} if redis_url else {}
    gateways = [await make_gateway(**settings) for _ in range(workers)]
    gateways[0].upstream.tokens = TOKENS
    await add_limit(gateways[0], **limit)
    for gateway in gateways:
        await gateway.changed()
    return gateways


@pytest.mark.parametrize("workers", [1, 4])
async def test_a_minute_admits_its_requests_exactly_with_redis(make_gateway, upstream, valkey_url, workers):
    gateways = await with_a_limit(make_gateway, workers, valkey_url, rpm=150)
    assert (await storm(gateways, 400))[200] == 150
    assert len(upstream.ledger) == 150


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_minute_admits_its_requests_without_redis(make_gateway, upstream, workers):
    gateways = await with_a_limit(make_gateway, workers, rpm=150)
    assert 148 <= (await storm(gateways, 400))[200] <= 150


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("coordinator", ["postgres", "redis"])
async def test_six_hundred_a_minute(make_gateway, upstream, valkey_url, workers, coordinator):
    gateways = await with_a_limit(make_gateway, workers, valkey_url if coordinator == "redis" else None, rpm=600)
    admitted = (await storm(gateways, 2_000))[200]
    assert admitted == 600 if coordinator == "redis" else 594 <= admitted <= 600
    assert len(upstream.ledger) == admitted


async def test_the_minute_is_exact_on_a_cluster(make_gateway, upstream, cluster_url):
    gateways = await with_a_limit(make_gateway, 2, cluster_url, rpm=100)
    for number in range(5):
        await add_limit(gateways[0], scope="key", subject=f"key_{number}", rpm=10)
    assert (await storm(gateways, 200))[200] == 100


async def test_five_at_once_are_never_six(make_gateway, upstream, valkey_url):
    gateways = await with_a_limit(make_gateway, 2, valkey_url, concurrency=5)
    upstream.pace_s = 0.05
    most = 0

    async def watch():
        nonlocal most
        while True:
            most = max(most, sum(gateway.worker.shares.held()["slots_held"] for gateway in gateways))
            await asyncio.sleep(0.001)

    watching = asyncio.create_task(watch())
    statuses = await storm(gateways, 120, at_once=20)
    watching.cancel()
    assert most == 5
    assert statuses[200] >= 10
    assert statuses[200] + statuses[429] == 120


async def test_slots_come_back_after_every_ending(make_gateway, upstream):
    (gateway,) = await with_a_limit(make_gateway, 1, concurrency=2)
    for reply in (whole(completion()), failing(400), failing(500), hang_up(), whole(b"no json")):
        upstream.replies.clear()
        upstream.enqueue(reply, reply)
        gateway.worker.plane.health = Health()
        await call(gateway)
    upstream.replies.clear()
    upstream.enqueue(silent(), silent())
    gateway.worker.plane.health = Health()
    leaving = [asyncio.create_task(call(gateway)) for _ in range(2)]
    await eventually(lambda: gateway.worker.shares.held()["slots_held"] == 2)
    refused = await call(gateway)
    assert (refused.status, refused.json["error"]["type"]) == (429, "concurrency")
    for task in leaving:
        task.cancel()
    await eventually(lambda: gateway.worker.shares.held()["slots_held"] == 0)
    upstream.replies.clear()
    gateway.worker.plane.health = Health()
    assert await storm([gateway], 2) == {200: 2}


async def test_tokens_are_estimated_on_entry_and_corrected_at_the_end(make_gateway, upstream, valkey_url):
    """Each call may use 500 tokens and more, and uses 13 to 20: a thousand a minute is 50 and more of them, not one."""
    (gateway,) = await with_a_limit(make_gateway, 1, valkey_url, tpm=1_000)
    used = 0
    for _ in range(200):
        answered = await gateway.chat(model=MODEL, max_tokens=500)
        if answered.status == 429:
            break
        used += answered.json["usage"]["total_tokens"]
    assert 400 <= used <= 1_000
    assert answered.json["error"]["type"] == "tokens"


async def test_tokens_of_calls_under_way_never_exceed_the_minute(make_gateway, upstream, valkey_url):
    gateways = await with_a_limit(make_gateway, 2, valkey_url, tpm=1_000)
    upstream.pace_s = 1.4
    answered = await asyncio.gather(*(gateways[n % 2].chat(model=MODEL, max_tokens=200) for n in range(20)))
    assert [one.status for one in answered].count(200) == 4


async def test_a_refused_call_changes_no_counter(make_gateway, upstream):
    """Forty are refused by the key's budget of slots; the project's requests are all there afterwards."""
    (gateway,) = await with_a_limit(make_gateway, 1, rpm=10)
    key_id = await gateway.db.fetchval("SELECT id FROM api_keys WHERE project_id = $1", gateway.project_id)
    await add_limit(gateway, scope="key", subject=key_id, concurrency=0)
    assert await storm([gateway], 40) == {429: 40}
    await gateway.execute("DELETE FROM limits WHERE scope = 'key'")
    assert await storm([gateway], 10) == {200: 10}


async def test_waiting_as_long_as_told_is_enough(make_gateway, upstream):
    (gateway,) = await with_a_limit(make_gateway, 1, None, rpm=3)
    assert await storm([gateway], 5) == {200: 3, 429: 2}
    # the minute is moved into the past, so that its end is near
    await gateway.db.execute(
        "UPDATE rate_windows SET grants = (SELECT jsonb_agg(jsonb_set(e, '{0}', to_jsonb((e->>0)::float8 - 57))) FROM jsonb_array_elements(grants) e)"
    )
    refused = await eventually(lambda: _refused_for_less_than(gateway, 60))
    wait = int(refused.headers["retry-after"])
    assert 1 <= wait <= 4
    await asyncio.sleep(wait)
    assert (await call(gateway)).status == 200


async def test_a_hung_redis_costs_one_wait_and_then_nothing(make_gateway, upstream, own_valkey):
    (gateway,) = await with_a_limit(make_gateway, 1, own_valkey.url, rpm=100_000)
    assert (await call(gateway)).status == 200
    own_valkey.process.send_signal(signal.SIGSTOP)
    times = []
    for _ in range(30):
        began = time.perf_counter()
        assert (await call(gateway)).status == 200
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.02)
    assert sum(1 for seconds in times if seconds > 0.2) <= 1
    own_valkey.process.send_signal(signal.SIGCONT)
    await eventually(lambda: not gateway.worker.rates.breaker.is_open, 5)
    assert gateway.worker.metrics.counters["rates_unchecked"] > 0


async def test_without_redis_each_worker_has_its_part(make_gateway, upstream, own_valkey):
    gateways = await with_a_limit(make_gateway, 2, own_valkey.url, rpm=60)
    await eventually(lambda: all(gateway.worker.shares.workers == 2 for gateway in gateways))
    own_valkey.process.kill()
    assert (await storm(gateways, 150))[200] == 60


@pytest.mark.parametrize(("setting", "statuses"), [("allow", {200: 20}), ("refuse", {503: 20})])
async def test_without_redis_rates_follow_the_setting(make_gateway, upstream, own_valkey, setting, statuses):
    (gateway,) = await with_a_limit(make_gateway, 1, own_valkey.url, rpm=10)
    own_valkey.process.kill()
    await gateway.execute(
        "INSERT INTO settings (name, value) VALUES ('rate_without_coordinator', to_jsonb($1::text))", setting
    )
    assert await storm([gateway], 20) == statuses


async def _refused_for_less_than(gateway, seconds):
    answered = await call(gateway)
    assert answered.status == 429
    return answered if int(answered.headers["retry-after"]) < seconds else None
