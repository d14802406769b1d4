"""Money: never one call too many, never one too few, whoever asks and whatever is away. The provider's own ledger is the judge."""

import asyncio
import contextlib
import signal
import time

import pytest

from gateway import clock
from gateway.health import Health
from tests.conftest import eventually, run_sql
from tests.limits.rules import COST_NUSD, MODEL, TOKENS, add_budget, call, fix_price, settled, storm
from tests.upstream import completion, failing, hang_up, piece, silent, streamed, whole


async def a_budget_of_fifty_calls(make_gateway, workers, **settings):
    gateways = [await make_gateway(**settings) for _ in range(workers)]
    await fix_price(gateways[0])
    budget = await add_budget(gateways[0], 50 * COST_NUSD)
    for gateway in gateways:
        await gateway.changed()
    return gateways, budget


@pytest.mark.parametrize(("coordinator", "workers"), [("postgres", 1), ("postgres", 3), ("redis", 3)])
async def test_a_budget_of_fifty_calls_admits_fifty(make_gateway, upstream, valkey_url, workers, coordinator):
    settings = {"REDIS_URL": valkey_url} if coordinator == "redis" else {}
    gateways, budget = await a_budget_of_fifty_calls(make_gateway, workers, **settings)
    assert await storm(gateways, 200) == {200: 50, 429: 150}
    assert len(upstream.ledger) == 50
    assert await settled(gateways[0]) == 50 * COST_NUSD
    await gateways[0].execute("UPDATE budgets SET amount_nusd = amount_nusd + $1 WHERE id = $2", COST_NUSD, budget)
    for gateway in gateways:
        await gateway.changed()
    assert await storm(gateways, 20) == {200: 1, 429: 19}
    assert len(upstream.ledger) == 51
    assert await settled(gateways[0]) == 51 * COST_NUSD


async def test_what_calls_did_not_use_is_there_again(make_gateway, upstream):
    """Each call may cost five times what it does: 40 of them fit one after the other, two at a time."""
    gateways, _ = await a_budget_of_fifty_calls(make_gateway, 2)
    for _ in range(20):
        answered = await asyncio.gather(*(one.chat(model=MODEL, max_tokens=TOKENS * 5) for one in gateways))
        assert [one.status for one in answered] == [200, 200]
    assert await settled(gateways[0]) == 40 * COST_NUSD


async def test_every_ending_gives_its_hold_back(gateway, upstream):
    await fix_price(gateway)
    await add_budget(gateway, 4 * COST_NUSD)
    endings = {
        400: [failing(400)],
        429: [failing(429)],
        502: [failing(500)] * 2 + [hang_up()] * 2 + [whole(b"no json")] * 2,
    }
    for status, replies in endings.items():
        for reply in replies:
            upstream.replies.clear()
            upstream.enqueue(*[reply] * 4)
            gateway.worker.plane.health = Health()
            assert (await call(gateway)).status == status
    upstream.replies.clear()
    upstream.enqueue(streamed(piece("a"), end=False), silent())
    gateway.worker.plane.health = Health()
    assert (await call(gateway, stream=True)).events[-1] != "[DONE]"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await call(gateway)
    await eventually(lambda: not gateway.worker.plane.callers)
    assert gateway.worker.shares.held()["budget_held_nusd"] == 0
    spent = await settled(gateway)
    assert spent == await gateway.db.fetchval("SELECT coalesce(sum(cost_nusd), 0) FROM request_logs")


async def test_a_call_dearer_than_its_hold_is_counted_whole(gateway, upstream):
    await fix_price(gateway)
    await add_budget(gateway, 10 * COST_NUSD)
    upstream.enqueue(whole(completion(usage=(5, 12 * TOKENS))))
    assert (await call(gateway)).status == 200
    assert await settled(gateway) == 12 * COST_NUSD
    assert (await call(gateway)).status == 429


async def test_two_budgets_are_held_together_or_not_at_all(gateway, upstream):
    await fix_price(gateway)
    key_id = await gateway.db.fetchval("SELECT id FROM api_keys WHERE project_id = $1 LIMIT 1", gateway.project_id)
    await add_budget(gateway, 100 * COST_NUSD, window="1d")
    await add_budget(gateway, 7 * COST_NUSD, scope="key", subject=key_id)
    await gateway.changed()
    assert await storm([gateway], 40) == {200: 7, 429: 33}
    assert await settled(gateway) == 2 * 7 * COST_NUSD


async def test_a_budget_made_late_begins_with_what_was_spent(gateway, upstream):
    await fix_price(gateway)
    assert await storm([gateway], 6) == {200: 6}
    await eventually(lambda: _rows(gateway, 6))
    await add_budget(gateway, 10 * COST_NUSD, window="1mo")
    await add_budget(gateway, 9 * COST_NUSD, window="1h", scope="org", subject=await _org(gateway))
    await gateway.changed()
    assert await storm([gateway], 20) == {200: 3, 429: 17}


async def test_an_unpriced_model_is_refused_to_a_key_with_a_budget(gateway, upstream):
    await add_budget(gateway, COST_NUSD)
    await gateway.execute("DELETE FROM prices WHERE model_id = $1", MODEL)
    answered = await call(gateway)
    assert (answered.status, answered.code) == (429, "insufficient_quota")
    assert MODEL in answered.json["error"]["message"]
    assert upstream.ledger == []


async def test_redis_flushed_frozen_or_killed_changes_no_budget(make_gateway, upstream, own_valkey):
    """In the middle of the storm, one after the other."""
    gateways, _ = await a_budget_of_fifty_calls(make_gateway, 2, REDIS_URL=own_valkey.url)
    upstream.pace_s = 0.05

    async def trouble():
        await eventually(lambda: len(upstream.ledger) >= 10)
        own_valkey.command("FLUSHALL")
        await eventually(lambda: len(upstream.ledger) >= 20)
        own_valkey.process.send_signal(signal.SIGSTOP)
        await eventually(lambda: len(upstream.ledger) >= 30)
        own_valkey.process.kill()

    statuses, _ = await asyncio.gather(storm(gateways, 200, at_once=16), trouble())
    assert statuses == {200: 50, 429: 150}
    assert len(upstream.ledger) == 50
    assert await settled(gateways[0]) == 50 * COST_NUSD


async def test_without_postgres_shares_last_and_then_budgets_refuse(make_gateway, upstream, database_url, postgres_url):
    gateways, _ = await a_budget_of_fifty_calls(make_gateway, 1)
    gateway = gateways[0]
    name = database_url.rpartition("/")[2]
    assert (await call(gateway)).status == 200
    run_sql(
        postgres_url,
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND application_name LIKE 'optyx%'",  # noqa: S608
    )
    statuses = await storm([gateway], 50, at_once=1)
    assert set(statuses) == {200, 503}
    assert 1 <= statuses[200] < 49
    refused = await call(gateway)
    assert (refused.code, refused.headers["retry-after"]) == ("budget_unavailable", "2")
    run_sql(postgres_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await eventually(lambda: _succeeds(gateway), 5)
    await storm([gateway], 60, at_once=8)
    assert len(upstream.ledger) == 50
    assert await settled(gateway, 8) == 50 * COST_NUSD


async def test_a_share_outlives_a_database_that_was_away_longer_than_its_lease(make_gateway, upstream):
    """When everybody comes back, nobody takes another's unrecorded spending for free money."""
    (first, second), _ = await a_budget_of_fifty_calls(make_gateway, 2)
    assert (await call(first)).status == 200
    await first.db.execute("UPDATE budget_shares SET expires_at = now() - interval '1 second'")
    second_coordinator = second.worker.money.breaker
    second_coordinator.closed_since = time.monotonic()
    assert await storm([second, first], 120) == {200: 49, 429: 71}
    assert len(upstream.ledger) == 50


async def test_what_a_dead_worker_held_is_free_within_its_lease(make_gateway, upstream):
    gateways, _ = await a_budget_of_fifty_calls(make_gateway, 1)
    gateway = gateways[0]
    budget, subject = await gateway.db.fetchrow("SELECT id, subject FROM budgets")
    assert (await call(gateway)).status == 200
    await gateway.db.execute(
        "INSERT INTO budget_shares (budget_id, subject, window_start, worker_id, amount_nusd, expires_at)"
        " SELECT $1, $2, window_start, 'wrk_gone', $3, now() - interval '1 second' FROM budget_windows",
        budget, subject, 40 * COST_NUSD,
    )  # fmt: skip
    gateway.worker.money.breaker.closed_since -= 60
    assert (await storm([gateway], 100))[200] == 49


async def test_a_clock_that_jumps_moves_no_budget(gateway, upstream, monkeypatch):
    """Windows follow Postgres's clock: a wall clock a day off is no new day."""
    await fix_price(gateway)
    await add_budget(gateway, 3 * COST_NUSD, window="1d")
    real = time.time
    answers = []
    for jump in (0, 86_400, -86_400, 3_600, -3_600):
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        answers.append((await call(gateway)).status)
    assert answers == [200, 200, 200, 429, 429]
    assert await gateway.db.fetchval("SELECT count(*) FROM budget_windows") == 1
    assert abs(clock.now() - real()) < 1


async def test_a_raise_ends_by_the_clock(gateway, upstream):
    await fix_price(gateway)
    budget = await add_budget(gateway, 2 * COST_NUSD)
    assert await storm([gateway], 5) == {200: 2, 429: 3}
    await gateway.execute(
        "UPDATE budgets SET raise_nusd = $1, raise_until = now() + interval '1.5 seconds' WHERE id = $2",
        3 * COST_NUSD, budget,
    )  # fmt: skip
    assert (await call(gateway)).status == 200
    assert await settled(gateway) == 3 * COST_NUSD
    await asyncio.sleep(await _until_raise_ends(gateway))
    assert (await call(gateway)).status == 429
    assert len(upstream.ledger) == 3


async def test_a_call_across_the_end_of_a_window_counts_where_it_began(gateway, upstream):
    await fix_price(gateway)
    await add_budget(gateway, 5 * COST_NUSD, window="1h")
    real = clock.now()
    next_hour = (real // 3600 + 1) * 3600
    upstream.pace_s = 0.3
    with clock_at(next_hour - 0.15):
        assert (await call(gateway)).status == 200
        assert (await call(gateway)).status == 200
        rows = await eventually(lambda: _windows(gateway, 2))
    assert [row["spent_nusd"] for row in rows] == [COST_NUSD, COST_NUSD]


async def test_a_stream_holds_and_settles_like_a_whole_answer(gateway, upstream):
    await fix_price(gateway)
    await add_budget(gateway, 3 * COST_NUSD)
    statuses = await storm([gateway], 10, stream=True)
    assert statuses == {200: 3, 429: 7}
    assert await settled(gateway) == 3 * COST_NUSD


@contextlib.contextmanager
def clock_at(epoch_s):
    """The gateway's clock elsewhere for a while; the heartbeat's correction is held off."""
    before, steer = clock._offset, clock.steer
    clock._offset = epoch_s - time.monotonic()
    clock.steer = lambda *_: None
    try:
        yield
    finally:
        clock._offset, clock.steer = before, steer


async def _rows(gateway, count):
    return await gateway.db.fetchval("SELECT count(*) FROM request_logs") == count


async def _windows(gateway, count):
    rows = await gateway.db.fetch("SELECT spent_nusd FROM budget_windows WHERE spent_nusd > 0 ORDER BY window_start")
    return rows if len(rows) == count else None


async def _org(gateway):
    return await gateway.db.fetchval("SELECT org_id FROM projects WHERE id = $1", gateway.project_id)


async def _succeeds(gateway):
    return (await call(gateway)).status == 200


async def _until_raise_ends(gateway):
    return float(await gateway.db.fetchval("SELECT extract(epoch FROM raise_until - now()) + 0.05 FROM budgets"))


async def test_a_lowered_budget_holds_at_once(make_gateway, upstream):
    """Also for what a worker has drawn already and not spent."""
    gateways, budget = await a_budget_of_fifty_calls(make_gateway, 2)
    assert await storm(gateways, 4) == {200: 4}
    await gateways[0].execute("UPDATE budgets SET amount_nusd = $1 WHERE id = $2", 6 * COST_NUSD, budget)
    for gateway in gateways:
        await gateway.changed()
    assert await storm(gateways, 20) == {200: 2, 429: 18}
