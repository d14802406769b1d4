"""The log over the admin API: every call is found, once, by whatever is known of it."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from gateway.admin import filter as grammar
from gateway.store import log_filter, log_search, partitions
from tests.admin.rows import MANY, final, write
from tests.conftest import in_database, run_sql

FIELDS = {
    "request_id", "created_at", "project", "key", "endpoint", "tier", "requested_model", "provider", "model", "status", "error_code",
    "end_reason", "stream", "attempts", "prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "total_tokens",
    "usage_source", "cost_nusd", "price_id", "latency_ms", "ttft_ms", "overhead_ms", "user", "tags", "gateway_version",
}  # fmt: skip
"""DESIGN 7's row."""


async def test_a_call_has_a_row_with_every_field(gateway):
    answered = await gateway.chat(headers={"x_optyx_user": "anna", "x_optyx_tags": "env=prod,beta"})
    stored = await gateway.row(answered.request_id)
    page = (await gateway.admin("GET", "/logs?limit=5", role="viewer")).json
    (row,) = page["data"]
    assert set(row) >= FIELDS
    assert page["next"] is None
    assert (row["request_id"], row["status"], row["project"], row["key"]) == (
        answered.request_id,
        200,
        "default",
        "test",
    )
    assert (row["user"], row["tags"], row["cost_nusd"]) == ("anna", ["env=prod", "beta"], stored["cost_nusd"])
    assert set(row["attempts"][0]) >= {"provider", "model", "status", "failure", "ms", "cost_nusd"}
    detail = (await gateway.admin("GET", f"/logs/{answered.request_id}")).json
    assert set(detail) >= FIELDS
    assert detail["details"]["why"] == "tier fast, the default"
    assert detail["price"]["id"] == stored["price_id"]
    assert detail["price"]["input_nusd"] > 0
    assert "capture is off" in detail["request_body"]["why_not"]
    assert (await gateway.admin("GET", f"/logs/{row['call_id']}")).json["request_id"] == answered.request_id


async def test_a_refusal_after_authentication_has_a_row(gateway):
    answered = await gateway.chat(model="no-such-model")
    await gateway.row(answered.request_id)
    (row,) = (await gateway.admin("GET", "/logs?status=4xx")).json["data"]
    assert (row["error_code"], row["end_reason"], row["requested_model"]) == (
        "model_not_found",
        "refused",
        "no-such-model",
    )
    assert (await gateway.admin("GET", "/logs?status=5xx")).json["data"] == []


async def test_pages_give_every_row_once_in_either_order(gateway):
    now = time.time() - 5
    rows = await write(gateway.db, *(final(created_at=now - number // 4) for number in range(230)))  # four at one time
    ids = {row.request_id for row in rows}
    for order in ("desc", "asc"):
        found, cursor = [], ""
        while cursor is not None:
            page = (await gateway.admin("GET", f"/logs?limit=50&order={order}&cursor={cursor}")).json
            found += page["data"]
            cursor = page["next"]
        assert len(found) == 230
        assert {row["request_id"] for row in found} == ids
        times = [row["created_at"] for row in found]
        assert times == sorted(times, reverse=order == "desc")
        half = (await gateway.admin("GET", f"/logs?limit=200&order={order}&cursor={found[99]['request_id']}")).json
        assert [row["call_id"] for row in half["data"]] == [row["call_id"] for row in found[100:]]
    for cursor in ("req_nobody", "x'y", "abc"):
        assert (await gateway.admin("GET", f"/logs?cursor={cursor}")).status == 400


async def test_what_is_asked_wrongly_is_told(gateway):
    bad = await gateway.admin("GET", "/logs?filter=stauts:5xx")
    assert (bad.status, bad.code) == (400, "invalid_request")
    assert "'status'" in bad.json["error"]["message"]
    bad = await gateway.admin("GET", "/logs?status=teapot")
    assert bad.status == 400
    assert "status=teapot" in bad.json["error"]["message"]
    assert (await gateway.admin("GET", "/logs?limit=1001")).status in (400, 422)
    assert (await gateway.admin("GET", "/logs?limit=0")).status in (400, 422)
    assert (await gateway.admin("GET", "/logs?colour=red")).status in (400, 422)
    assert (await gateway.admin("GET", "/logs?cursor=abc")).status == 400
    assert (await gateway.admin("GET", "/logs?after=abc")).status == 400
    assert (await gateway.admin("GET", "/logs?filter=/a(/")).status == 400
    missing = await gateway.admin("GET", "/logs/req_nobody")
    assert (missing.status, missing.code) == (404, "not_found")


async def test_filter_and_plain_parameters_hold_together(gateway):
    await write(
        gateway.db,
        final(request_id="req_a", provider="openai", status=502, error_code="upstream_error"),
        final(request_id="req_b", provider="google", status=502, error_code="upstream_error"),
        final(request_id="req_c", provider="google"),
    )
    found = (await gateway.admin("GET", "/logs?filter=status:5xx&provider=google&since=1h&model=gpt-*")).json["data"]
    assert [row["request_id"] for row in found] == ["req_b"]


async def test_a_count_says_what_matches_and_what_there_is(gateway):
    now = time.time()
    await write(
        gateway.db,
        *(final(created_at=now - 30 * number, status=502 if number % 5 == 0 else 200) for number in range(50)),
        final(created_at=now - 3600),
    )
    counted = (await gateway.admin("GET", "/logs/count?filter=status:5xx+since:30m")).json
    assert (counted["matched"], counted["total"], counted["truncated"]) == (10, 50, False)
    assert sum(counted["series"]) == sum(counted["error_series"]) == 10
    assert len(counted["series"]) == 60
    assert (await gateway.admin("GET", "/logs/count")).json["total"] == 51


async def test_the_calls_of_a_trace_are_told_together(gateway):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    parent = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    asked = await gateway.chat("Hi", headers=parent)
    alone = await gateway.chat("Hi")
    broken = await gateway.chat("Hi", headers={"traceparent": f"00-{trace}"})
    for one in (asked, alone, broken):
        await gateway.row(one.request_id)
    told = (await gateway.admin("GET", f"/logs/{asked.request_id}")).json
    cost = told["cost_nusd"]
    assert (told["trace_id"], told["trace"]["calls"], told["trace"]["cost_nusd"]) == (trace, 1, cost)
    began = datetime.fromisoformat(told["created_at"]).timestamp()
    await write(
        gateway.db,
        final(details=parent, created_at=began - 5, status=502, latency_ms=None, cost_nusd=None, total_tokens=7),
        final(
            details=parent,
            created_at=began + 2,
            usage_source="estimated",
            latency_ms=500.0,
            total_tokens=40,
            cost_nusd=9,
        ),
        final(details=parent, created_at=began + 1, status=429, usage_source="none", total_tokens=None, cost_nusd=None),
    )
    trace_told = (await gateway.admin("GET", f"/logs/{asked.request_id}")).json["trace"]
    since, until = (datetime.fromisoformat(trace_told.pop(name)).timestamp() for name in ("since", "until"))
    assert (round(since - began, 3), round(until - began, 3)) == (-5, 2.5)
    assert trace_told == {
        "id": trace, "calls": 4, "errors": 2, "total_tokens": told["total_tokens"] + 47, "estimated_calls": 1, "cost_nusd": cost + 9,
        "unpriced_calls": 1, "is_whole": True,
    }  # fmt: skip
    listed = (await gateway.admin("GET", f"/logs?filter=trace:{trace}")).json["data"]
    assert {row["trace_id"] for row in listed} == {trace}
    assert len(listed) == 4
    for one in (alone, broken):
        told = (await gateway.admin("GET", f"/logs/{one.request_id}")).json
        assert (told["trace_id"], told["trace"]) == (None, None)


async def test_a_trace_without_end_is_added_up_so_far(gateway, monkeypatch):
    monkeypatch.setattr(log_search, "MOST_OF_TRACE", 3)
    parent = {"traceparent": f"00-{'a' * 32}-00f067aa0ba902b7-01"}
    await write(gateway.db, *(final(details=parent) for _ in range(5)))
    told = await log_search.trace_of(gateway.db, "a" * 32)
    assert (told.calls, told.is_whole) == (3, False)


@pytest.fixture(scope="module")
def many_url(postgres_url, template):
    """200,000 calls over twenty days, for the tests that only read."""
    run_sql(postgres_url, f"CREATE DATABASE many_calls TEMPLATE {template} STRATEGY file_copy")
    asyncio.run(fill(in_database(postgres_url, "many_calls")))
    yield in_database(postgres_url, "many_calls")
    run_sql(postgres_url, "DROP DATABASE many_calls WITH (FORCE)")


async def fill(url):
    connection = await asyncpg.connect(url)
    today = datetime.now(UTC).date()
    await partitions.make_days(connection, "request_logs", [today - timedelta(days=n) for n in range(-1, 22)])
    await connection.execute("INSERT INTO orgs (id, slug, name) VALUES ('org_1', 'o', 'O')")
    await connection.execute(
        "INSERT INTO projects (id, org_id, slug, name) SELECT 'prj_' || n, 'org_1', 'p-' || n, 'P ' || n FROM generate_series(0, 9) n"
    )
    await connection.execute(
        "INSERT INTO api_keys (id, project_id, name, public_id, digest)"
        " SELECT 'key_' || n, 'prj_' || n % 10, 'ci-' || n, 'p' || n, n::text::bytea FROM generate_series(0, 499) n"
    )
    await connection.execute(MANY, 200_000, 20)
    await connection.execute("VACUUM ANALYZE request_logs")
    await connection.close()


@pytest.fixture
async def many(many_url):
    opened = await asyncpg.connect(many_url)
    yield opened
    await opened.close()


EVERY = "SELECT count(*) FROM request_logs r WHERE r.created_at >= to_timestamp($1)"
COMMON = [
    "", "status:5xx", "status:502 provider:google", "err:upstream_error", "project:p-3", "key:ci-77", "key:ci-77 status:5xx", "model:model-3",
    "model:mod*", "-provider:openai", "total:>2990ms", "cost:>0.000004", "id:req_c81e728d9d4c2f636f067f89cc14862c", "tokens:>990 project:p-4",
    "ci-77", "since:15m", "status:4xx,5xx since:7d", "user:nobody", "/model-[12]/", "attempts:>1",
    "trace:c4ca4238a0b923820dcc509a6f75849b", "trace:00000000000000000000000000000000", "-trace:c4ca4238a0b923820dcc509a6f75849b",
]  # fmt: skip


async def test_no_common_filter_walks_through_the_whole_log(many):
    now = time.time()
    low, high = datetime.now(UTC) - timedelta(days=30), datetime.now(UTC)
    for text in COMMON:
        wanted = await log_filter.resolve(many, grammar.parse(text, now))
        where = log_filter.where(wanted, 5)
        for ascending in (False, True):
            async with log_search.bounded(many, 30):
                plan = await many.fetchval(
                    "EXPLAIN (FORMAT JSON) " + log_search.page_statement(where, ascending),
                    low,
                    high,
                    log_search.ZERO,
                    101,
                    *where.values,
                )
            scans = [node for node in nodes(json.loads(plan)[0]["Plan"]) if node["Node Type"] == "Seq Scan"]
            assert not [node for node in scans if node["Relation Name"].startswith("request_logs_2")], text
        found = await log_search.search(many, grammar.parse(text, now), limit=100, budget_s=30)
        matching = await many.fetchval(
            "\n".join((EVERY, log_filter.where(wanted, 2).sql)), wanted.since or 0.0, *where.values
        )
        assert len(found.rows) == min(100, matching), text


async def test_a_trace_is_found_by_its_index_alone(many):
    wanted = grammar.parse("trace:c4ca4238a0b923820dcc509a6f75849b", time.time())
    where = log_filter.where(wanted, 5)
    low, high = datetime.now(UTC) - timedelta(days=30), datetime.now(UTC)
    for statement, values in (
        (log_search.page_statement(where, False), (low, high, log_search.ZERO, 101, *where.values)),
        (log_search.OF_TRACE, (*where.values, 1000)),
    ):
        async with log_search.bounded(many, 30):
            plan = await many.fetchval("EXPLAIN (FORMAT JSON) " + statement, *values)
        found = list(nodes(json.loads(plan)[0]["Plan"]))
        assert not [
            one for one in found if one["Node Type"] == "Seq Scan" and one["Relation Name"].startswith("request_logs_2")
        ]
        indexes = [one["Index Name"] for one in found if one.get("Index Name", "").startswith("request_logs_2")]
        of_traces = [name for name in indexes if name.endswith("substring_created_at_idx")]
        assert len(of_traces) >= 20
        assert len(indexes) - len(of_traces) <= 2, indexes  # days with a few rows: it makes no difference


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


async def test_a_search_that_runs_out_of_time_says_how_far_it_looked(many):
    wanted = grammar.parse("user:nobody", time.time())
    found = await log_search.search(many, wanted, limit=10, budget_s=0.0)
    assert found.rows == []
    assert found.scanned_to is not None
    assert datetime.now(UTC) - found.scanned_to < timedelta(days=19)
    steps = 0
    while found.next is not None:
        before = found.next.at
        found = await log_search.search(many, wanted, limit=10, place=found.next, budget_s=0.01)
        assert found.next is None or found.next.at < before
        steps += 1
    assert steps >= 1


async def test_pages_of_a_slow_search_still_give_every_row_once(many):
    wanted = grammar.parse("cost:>0.00000499", time.time())  # 10 of 5,000 values
    expected = await many.fetchval("SELECT count(*) FROM request_logs WHERE cost_nusd > 4990")
    for ascending in (False, True):
        found = await log_search.search(many, wanted, limit=50, budget_s=0.01, ascending=ascending)
        ids = [row.call_id for row in found.rows]
        while found.next is not None:
            found = await log_search.search(
                many, wanted, limit=50, place=found.next, budget_s=0.01, ascending=ascending
            )
            ids += [row.call_id for row in found.rows]
        assert len(ids) == len(set(ids)) == expected


async def test_a_hopeless_expression_is_cut_off(many):
    began = time.monotonic()
    text = "/" + "(.*a){12}.*(.*b){12}.*(.*c){9}$/"
    found = await log_search.search(many, grammar.parse(text, time.time()), limit=10)
    assert time.monotonic() - began < 5
    assert found.scanned_to is not None or found.rows == []
