"""The first screen: right on a quiet log, bounded on a busy one; and every thing that needs somebody is said."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from gateway.admin.schema.overview import Attention, Overview
from gateway.records import AttemptRecord
from gateway.store import glance
from tests.admin.rows import MANY, final, write
from tests.conftest import eventually
from tests.upstream import failing, silent


async def overview(gateway, window="15m"):
    answered = await gateway.admin("GET", f"/overview?window={window}", role="viewer")
    assert answered.status == 200, answered.body
    return msgspec.convert(answered.json, Overview)


async def needs(gateway):
    answered = await gateway.admin("GET", "/attention", role="viewer")
    assert answered.status == 200, answered.body
    return msgspec.convert(answered.json["data"], list[Attention])


async def test_an_empty_gateway_has_an_overview(gateway):
    told = await overview(gateway)
    assert told.rates.requests == 0
    assert {one.name for one in told.providers} >= {"openai", "google"}
    assert told.in_flight.calls == 0
    assert told.timezone == "UTC"
    assert told.price_table_at
    assert told.latest_errors == []


async def test_figures_are_those_of_the_calls(gateway):
    now = time.time()
    two = [AttemptRecord("openai", "gpt-6-luna", 503, failure="status"), AttemptRecord("google", "gemini-4", 200)]
    again = [AttemptRecord("openai", "gpt-6-luna", 503, failure="status"), AttemptRecord("openai", "gpt-6-luna", 200)]
    calls = [
        *(final(project_id=gateway.project_id, created_at=now - n, latency_ms=100.0 + n, ttft_ms=10.0, stream=True) for n in range(80)),
        *(final(project_id=gateway.project_id, created_at=now - n, provider="google", model="gemini-4", attempts=two) for n in range(10)),
        *(final(project_id=gateway.project_id, created_at=now - n, attempts=again, cached_tokens=50) for n in range(5)),
        *(final(project_id=gateway.project_id, created_at=now - n, status=429, error_code="rate_limit_exceeded", cost_nusd=None) for n in range(4)),
        final(project_id=gateway.project_id, created_at=now, status=502, error_code="upstream_error", provider=None, model=None, cost_nusd=None),
        final(project_id=gateway.project_id, created_at=now - 3600 - 60),
        final(project_id=gateway.project_id, created_at=now - 86_400 * 1.2, cost_nusd=7),
    ]  # fmt: skip
    await write(gateway.db, *calls)
    told = await overview(gateway)
    rates = told.rates
    assert (rates.requests, rates.errors, rates.errors_4xx, rates.errors_5xx) == (100, 5, 4, 1)
    assert rates.looked_at == 100
    assert rates.top_error == "rate_limit_exceeded"
    assert rates.requests_per_s == pytest.approx(100 / 900)
    assert rates.requests_per_s_before == pytest.approx(1 / 900)
    assert (rates.failover_share, rates.retry_share, rates.stream_share) == (0.10, 0.05, 0.80)
    assert rates.prompt_tokens_per_min == pytest.approx(100 * 100 / 15)
    assert rates.cached_share == pytest.approx(5 * 50 / 10_000)
    assert rates.ttft_p95_ms == 10.0
    assert sum(rates.requests_series) * 15 == pytest.approx(100)
    assert sum(rates.errors_series) == 5
    assert len(rates.requests_series) == 60
    today = [call for call in calls if datetime.fromtimestamp(call.created_at, UTC).date() == datetime.now(UTC).date()]
    assert told.spend.today_nusd == sum(call.cost_nusd or 0 for call in today)
    assert sum(told.spend.series) == pytest.approx(told.spend.today_nusd / 1e9)
    (project,) = told.top_projects
    assert (project.id, project.name, project.today_nusd) == (gateway.project_id, "default", told.spend.today_nusd)
    assert project.error_share == pytest.approx(0.05)
    assert {one.name for one in told.models} == {"gpt-6-luna", "gemini-4"}
    assert told.models[0].requests_per_s == pytest.approx(89 / 900)
    assert [row.status for row in told.latest_errors].count(429) == 4
    google = next(one for one in told.providers if one.name == "google")
    assert sum(google.series) == 10


async def test_a_busy_log_is_told_by_a_bounded_look(gateway, monkeypatch):
    monkeypatch.setattr(glance, "PER_STEP", 20)
    await gateway.db.execute(MANY, 40_000, 1 / 24)  # an hour
    since = datetime.now(UTC) - timedelta(hours=1)
    seen = await glance.look(gateway.db, since, timedelta(hours=1), [], [])
    assert seen.total.looked_at <= 20 * 60
    assert seen.total.calls == pytest.approx(40_000, rel=0.1)
    assert seen.total.errors / seen.total.calls == pytest.approx(1 / 40, rel=0.5)
    assert await glance.how_many(gateway.db, since, timedelta(hours=1)) == pytest.approx(40_000, rel=0.1)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Australia/Eucla", "Pacific/Kiritimati"])
async def test_who_costs_most_is_told_by_the_day_of_the_zone(gateway, zone):
    """Also where it begins within an hour of UTC, and its first minutes are read from the rows."""
    await gateway.token("owner")
    await gateway.db.execute("UPDATE orgs SET timezone = $1", zone)
    now = datetime.now(UTC)
    midnight = now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
    spent: dict[str, int] = {}
    calls = []
    for number in range(240):
        at = min(midnight + timedelta(minutes=number * 7 - 400), now)
        project, cost = f"prj_{number % 13}", 1_000_000 + number * number
        calls.append(final(org_id=gateway.org_id, project_id=project, created_at=at.timestamp(), cost_nusd=cost))
        if at >= midnight:
            spent[project] = spent.get(project, 0) + cost
    await write(gateway.db, *calls)
    told = await overview(gateway)
    dearest = sorted(spent.items(), key=lambda one: -one[1])[:10]
    assert [(row.id, row.today_nusd) for row in told.top_projects] == dearest
    assert told.top_keys[0].today_nusd == told.top_models[0].today_nusd == told.spend.today_nusd == sum(spent.values())
    yesterday = midnight - timedelta(days=1)
    assert told.spend.yesterday_nusd == sum(
        call.cost_nusd for call in calls if yesterday.timestamp() <= call.created_at < midnight.timestamp()
    )


async def test_many_who_ask_at_once_get_one_answer(gateway):
    await gateway.token()
    answers = await asyncio.gather(*(gateway.admin("GET", "/overview") for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) <= 2
    assert (await gateway.admin("GET", "/overview?window=2h")).status in (400, 422)


async def test_calls_under_way_are_counted(gateway):
    gateway.upstream.enqueue(silent())
    call = asyncio.create_task(gateway.chat())
    await eventually(lambda: gateway.worker.plane.callers)

    async def is_shown():
        return (await overview(gateway)).in_flight.calls == 1

    await eventually(is_shown, 8)
    assert (await overview(gateway)).in_flight.workers == 1
    call.cancel()


async def test_nothing_needs_attention_on_a_fresh_gateway(gateway):
    assert [one for one in await needs(gateway) if one.severity != "info"] == []


async def test_every_thing_that_needs_somebody_is_said(gateway):
    key_id = await gateway.db.fetchval("SELECT id FROM api_keys WHERE name = 'test'")
    refused = [
        AttemptRecord("openai", "gpt-6-luna", 401, failure="credentials"),
        AttemptRecord("google", "gemini-4", 200),
    ]
    await write(
        gateway.db,
        *(final(status=502, error_code="upstream_error", provider=None, model=None, cost_nusd=None, total_tokens=None) for _ in range(12)),
        final(attempts=refused),
        final(provider="google", model="gemini-unheard-of", cost_nusd=None),
        final(project_id=gateway.project_id, key_id=key_id, cost_nusd=990_000_000),
    )  # fmt: skip
    await gateway.db.execute(
        "INSERT INTO quarantined_records (call_id, worker_id, record, reason) VALUES (gen_random_uuid(), 'w', '', 'NUL')"
    )
    await gateway.db.execute("INSERT INTO workers (id, machine, pid, version) VALUES ('wrk_old', 'm', 1, '0.0.9')")
    await gateway.db.execute("UPDATE prices SET created_at = now() - interval '31 days'")
    await gateway.db.execute("UPDATE project_settings SET capture = true")
    await gateway.db.execute(
        "UPDATE api_keys SET created_at = now() - interval '30 days', expires_at = now() + interval '3 days' WHERE id = $1",
        key_id,
    )
    await gateway.new_key("short")
    await gateway.db.execute("UPDATE api_keys SET expires_at = now() + interval '1 hour' WHERE name = 'short'")
    await gateway.db.execute("DELETE FROM tier_targets WHERE tier = 'smart'")
    late = await gateway.new_key("late")
    await gateway.db.execute("UPDATE api_keys SET disabled_at = now() WHERE name = 'late'")
    await gateway.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\", soft_percent) VALUES ('bud_1', 'project', $1, 1000000000, 'total', 80)",
        gateway.project_id,
    )
    assert (await gateway.get("/v1/models", {"Authorization": f"Bearer {late}"})).status == 401
    expected = [
        "% of calls fail", "refuses the gateway's credential", "tier smart has no target", "budget of project", "key test expires in 3 days",
        "key late is disabled and still used", "1 calls without a price", "different versions", "1 records were cleaned",
        "prices are older than 30 days", "payloads of default are captured",
    ]  # fmt: skip

    async def are_said():
        titles = [one.title for one in await needs(gateway)]
        return all(any(part in title for title in titles) for part in expected)

    await eventually(are_said, 12)
    told = await needs(gateway)
    assert not [one.title for one in told if "short" in one.title], "a key made for an hour is no news when it ends"
    order = ["error", "warning", "info"]
    assert [order.index(one.severity) for one in told] == sorted(order.index(one.severity) for one in told)
    for one in told:
        if one.filter:
            assert (await gateway.admin("GET", f"/logs?filter={one.filter.replace(' ', '+')}")).status == 200, (
                one.filter
            )
    await gateway.db.execute("UPDATE api_keys SET disabled_at = NULL WHERE name = 'late'")

    async def late_is_forgotten():
        return not [one.title for one in await needs(gateway) if "late" in one.title]

    await eventually(late_is_forgotten, 12)
    assert {one.screen for one in told} <= {
        "providers",
        "logs",
        "limits",
        "keys",
        "models",
        "settings",
        "audit",
        "overview",
    }


async def test_an_open_circuit_is_the_first_thing_said(gateway):
    gateway.upstream.enqueue(*[failing(500)] * 12)
    for _ in range(6):
        await gateway.chat(model="gpt-6-luna")

    async def is_said():
        told = await needs(gateway)
        return any("openai circuit open" in one.title or "openai is being probed" in one.title for one in told)

    await eventually(is_said, 10)
