"""Repricing: dry run, apply, again. Rows, rollups, keys and budgets move together, by exactly what the ledger says."""

import json
import random
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from gateway.ledger import Price, Usage, cost_nusd
from gateway.proxy.call import new_call_id
from gateway.records import AttemptRecord, Final
from gateway.reprice import PricedRow, PriceTable, Tally, repriced
from gateway.store import ingest, repricing
from tests.test_books import wrong

NOW = time.time()
CHANGE_AT = round(NOW - 1800, 3)
LONG = Price("p_above", 900_000_001, 4_000_000_003, 70_000_001, None)
OLD = Price("p_old", 123_456_789, 987_654_321, 11_111_111, 222_222_223, 0.0, 5_000, LONG)
NEW = Price("p_new", 100_000_007, 500_000_009, None, None, CHANGE_AT)


def final(gateway, key_id: str, usage: Usage | None, cost: int | None, at: float, **more) -> Final:
    attempts = [AttemptRecord("openai", "odd", status=200, cost_nusd=cost)] if usage else []
    values = {
        "call_id": new_call_id(), "created_at": at, "request_id": f"r{at}", "org_id": gateway.org_id, "project_id": gateway.project_id,
        "key_id": key_id, "endpoint": "chat", "tier": None, "requested_model": "odd", "provider": "openai", "model": "odd", "status": 200,
        "error_code": None, "end_reason": "complete", "stream": False, "attempts": attempts,
        "prompt_tokens": usage.prompt_tokens if usage else None, "completion_tokens": usage.completion_tokens if usage else None,
        "cached_tokens": usage.cached_tokens if usage else None, "cache_write_tokens": usage.cache_write_tokens if usage else None,
        "reasoning_tokens": 0 if usage else None, "total_tokens": usage.total_tokens if usage else None,
        "usage_source": "provider" if usage else "none", "cost_nusd": cost, "price_id": "p_wrong" if cost is not None else None,
        "latency_ms": 1.0, "ttft_ms": None, "overhead_ms": None, "user": random.choice(["anna", None]),
    }  # fmt: skip
    return Final(**{**values, **more})


async def with_prices(gateway) -> None:
    await gateway.db.execute(
        "INSERT INTO models (id, provider_id, upstream_name, mode) SELECT 'odd', id, 'odd', 'chat' FROM providers WHERE name = 'openai'"
    )
    for price in (OLD, NEW):
        above = price.above
        await gateway.db.execute(
            "INSERT INTO prices SELECT $1, id, 'odd', to_timestamp($2), $3, $4, $5, $6, $7, $8, $9, $10, $11, 'test' "
            "FROM providers WHERE name = 'openai'",
            price.id, price.effective_from, price.input_nusd, price.output_nusd, price.cached_input_nusd, price.cache_write_nusd,
            price.above_tokens, *((above.input_nusd, above.output_nusd, above.cached_input_nusd, above.cache_write_nusd) if above else [None] * 4),
        )  # fmt: skip


async def with_windows(gateway) -> None:
    for scope, subject, name in (
        ("project", gateway.project_id, None),
        ("user", gateway.project_id, "anna"),
        ("org", gateway.org_id, None),
    ):
        budget = f"b_{scope}"
        await gateway.db.execute(
            "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ($1, $2, $3, 10^15::bigint, 'total')", budget, scope, subject
        )  # fmt: skip
        await gateway.db.execute(
            "INSERT INTO budget_windows VALUES ($1, $2, to_timestamp(0), to_timestamp(32503680000), 0)",
            budget,
            name or subject,
        )


def random_usage(dice: random.Random) -> Usage:
    prompt, output = dice.choice([0, 1, 77, 4_999, 5_000, 5_001, 123_456]), dice.randrange(10_000)
    cached = dice.randrange(prompt + 1)
    written = dice.randrange(prompt - cached + 1)
    return Usage(prompt, output, cached, written, total_tokens=prompt + output)


async def test_every_sum_moves_by_what_the_ledger_says_and_the_second_run_changes_nothing(gateway, monkeypatch):
    monkeypatch.setattr(repricing, "BATCH", 37)
    await with_prices(gateway)
    await with_windows(gateway)
    dice = random.Random(7)
    expected: dict[UUID, int] = {}
    finals = []
    for number in range(200):
        at = round(NOW - dice.choice([7200, 3700, 1801, 1799, 60]) - number / 1e6, 6)
        usage = random_usage(dice)
        cost = dice.choice([None, 0, 5_000_000])
        finals.append(final(gateway, f"key_{number % 3}", usage, cost, at))
        expected[UUID(finals[-1].call_id)] = cost_nusd(usage, NEW if at >= CHANGE_AT else OLD)
    boundary = final(gateway, "key_0", Usage(10, 10, total_tokens=20), 1, CHANGE_AT)
    expected[UUID(boundary.call_id)] = cost_nusd(Usage(10, 10), NEW)
    failed = final(gateway, "key_0", None, 17, NOW - 60, provider=None, model=None, status=502)
    failed.attempts = [AttemptRecord("openai", "odd", status=200, usage=Usage(1_000, 5, total_tokens=1_005), cost_nusd=17)]  # fmt: skip
    expected[UUID(failed.call_id)] = cost_nusd(Usage(1_000, 5), NEW)
    refused = final(gateway, "key_0", None, None, NOW - 60, status=429)
    await ingest.prepare(gateway.db)
    await ingest.ingest(gateway.db, gateway.worker.id, "0", [*finals, boundary, failed, refused])
    before = sum(one.cost_nusd or 0 for one in [*finals, boundary, failed])

    asked = {"since": "3h", "model": "odd"}
    dry = (await gateway.admin("POST", "/reprice", asked)).json
    assert (dry["applied"], dry["id"], dry["rows"]) == (False, None, 202)
    assert (dry["before_nusd"], dry["after_nusd"]) == (before, sum(expected.values()))
    assert dry["unpriced_before"] == sum(one.cost_nusd is None and one.total_tokens > 0 for one in finals) > 0
    assert dry["unpriced_after"] == 0
    assert await gateway.db.fetchval("SELECT sum(cost_nusd) FROM request_logs") == before
    assert await gateway.db.fetchval("SELECT count(*) FROM repricings") == 0

    done = (await gateway.admin("POST", "/reprice", {**asked, "apply": True})).json
    assert {name: value for name, value in done.items() if name not in ("id", "applied", "until", "since")} == {
        name: value for name, value in dry.items() if name not in ("id", "applied", "until", "since")
    }
    rows = await gateway.db.fetch("SELECT * FROM request_logs WHERE cost_nusd IS NOT NULL")
    assert {row["call_id"]: row["cost_nusd"] for row in rows} == expected
    for row in rows:
        assert row["cost_nusd"] == sum(attempt["cost_nusd"] for attempt in json.loads(row["attempts"]))
    total = sum(expected.values())
    for query in (
        "SELECT sum(cost_nusd) FROM usage_hourly",
        "SELECT sum(cost_nusd) FROM key_usage",
        "SELECT spent_nusd FROM budget_windows WHERE budget_id = 'b_project'",
        "SELECT spent_nusd FROM budget_windows WHERE budget_id = 'b_org'",
    ):
        assert await gateway.db.fetchval(query) == total, query
    assert await gateway.db.fetchval("SELECT sum(unpriced_calls) FROM usage_hourly") == 0
    assert await wrong(gateway) == set()
    kept = await gateway.db.fetchrow("SELECT * FROM repricings WHERE id = $1", done["id"])
    assert (kept["rows_seen"], kept["rows_changed"], kept["before_nusd"], kept["after_nusd"]) == (202, done["changed"], before, total)  # fmt: skip
    assert kept["finished_at"] is not None
    entry = await gateway.db.fetchrow("SELECT action, object_id FROM audit_log")
    assert tuple(entry) == ("usage.reprice", done["id"])

    again = (await gateway.admin("POST", "/reprice", {**asked, "apply": True})).json
    assert (again["changed"], again["before_nusd"], again["after_nusd"]) == (0, total, total)
    assert await wrong(gateway) == set()


async def test_what_is_asked_for_must_make_sense_and_only_an_owner_may(gateway):
    for body, param in (
        ({}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": "1h", "until": "2h"}, "since"),
        ({"since": "1h", "modell": "x"}, "modell"),
    ):
        answered = await gateway.admin("POST", "/reprice", body)
        assert (answered.status, answered.json["error"]["param"]) == (422, param)
    assert (await gateway.admin("POST", "/reprice", {"since": "1h"}, role="operator")).status == 403


async def test_two_repricings_do_not_meet(gateway):
    assert await repricing.try_lock(gateway.db)
    answered = await gateway.admin("POST", "/reprice", {"since": "1h", "apply": True})
    assert answered.status == 409
    await repricing.unlock(gateway.db)
    answered = await gateway.admin("POST", "/reprice", {"since": "1h", "apply": True})
    assert answered.status == 200, answered.body


def row(**more) -> PricedRow:
    values = {
        "created_at": datetime(2026, 5, 1, tzinfo=UTC), "call_id": UUID(int=1), "org_id": "o", "project_id": "p", "key_id": "k", "user": None,
        "tier": None, "provider": "openai", "model": "odd", "usage_source": "provider", "prompt_tokens": 1_000_000, "completion_tokens": 0,
        "cached_tokens": 0, "cache_write_tokens": 0, "total_tokens": 1_000_000, "cost_nusd": 5, "price_id": "p1", "attempts": "[]",
    }  # fmt: skip
    return PricedRow(**{**values, **more})


@pytest.mark.parametrize("offset_us", [-1, 0, 1])
def test_a_price_holds_from_its_instant_on(offset_us):
    start = datetime(2026, 5, 1, 12, tzinfo=UTC)
    before, after = Price("a", 1, 0), Price("b", 2, 0, effective_from=start.timestamp())
    table = PriceTable({("openai", "odd"): (before, after)})
    new = repriced(row(created_at=start + timedelta(microseconds=offset_us)), table)
    assert new is not None
    assert (new.cost_nusd, new.price_id) == ((1, "a") if offset_us < 0 else (2, "b"))


def test_a_row_whose_model_is_gone_keeps_its_cost():
    assert repriced(row(), PriceTable({})) is None
    assert repriced(row(cost_nusd=None, price_id=None), PriceTable({})) is None


def test_a_row_without_tokens_keeps_what_it_has():
    table = PriceTable({("openai", "odd"): (Price("p", 7, 7),)})
    for cost in (0, None):
        assert repriced(row(total_tokens=None, prompt_tokens=None, cost_nusd=cost, price_id=None), table) is None


def test_a_billed_attempt_keeps_its_own_price_and_the_sum_stays_whole():
    attempts = '[{"provider":"google","model":"g","cost_nusd":3,"usage":{"prompt_tokens":1000000}},{"provider":"openai","model":"odd","cost_nusd":2}]'
    table = PriceTable({("google", "g"): (Price("g1", 10, 0),)})
    new = repriced(row(attempts=attempts), table)
    assert new is not None
    assert (new.cost_nusd, new.price_id) == (12, "p1"), "the answer's part stays: nothing is known of its price"
    assert [attempt["cost_nusd"] for attempt in json.loads(new.attempts)] == [10, 2]


def test_a_tally_counts_what_is_unpriced():
    tally = Tally()
    tally.count(row(cost_nusd=None), row(cost_nusd=7))
    tally.count(row(cost_nusd=None), None)
    assert tally == Tally(rows=2, changed=1, before_nusd=0, after_nusd=7, unpriced_before=2, unpriced_after=1)
