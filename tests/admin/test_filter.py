"""The filter grammar: what it means, and how it says no."""

import pytest

from gateway.admin import filter as grammar
from gateway.errors import BadRequest
from gateway.store import log_filter
from tests.admin.rows import final, write

NOW = 1_795_000_000.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OF_TRACE = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


def parse(text):
    return grammar.parse(text, NOW)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stauts:5xx", ["'stauts:5xx'", "'status'"]),
        ("modl:gpt", ["'modl:gpt'", "'model'"]),
        ("zzqq:1", ["'zzqq:1'", "there are: status"]),
        ("status:6xx", ["'status:6xx'", "429, 5xx or >=500"]),
        ("status:abc", ["'status:abc'"]),
        ("ttft:>2", ["'ttft:>2'", "2s or 800ms"]),
        ("total:>8x", ["say the unit"]),
        ("cost:>1usd", ["dollars"]),
        ("cost:>0.0000000001", ["nine decimals"]),
        ("tokens:>10q", ["k and M"]),
        ("tokens:lots", ["tokens:>10k"]),
        ("tokens:>99999999999999999999", ["too large"]),
        ("stream:maybe", ["yes or no"]),
        ("end:clientclosed", ["'client_closed'"]),
        ("trace:4bf92f", ["'4bf92f'", "32 hexadecimal digits"]),
        ("source:zzz", ["there are: provider, estimated, none"]),
        ("endpoint:embedings", ["'embeddings'"]),
        ("since:yesterdayish", ["'since:yesterdayish'", "15m"]),
        ("-since:15m", ["can't be negated"]),
        ("project:", ["a value is missing"]),
        ("project:a,,b project:,", ["a value is missing"]),
        ("/abc", ["ends with /"]),
        ('user:"abc', ["not closed"]),
        ("-", ["nothing after it"]),
        ("a\x00b", ["control character"]),
        ("x" * 3000, ["longer than"]),
        ("a " * 60, ["more than 40 words"]),
        ("/" + "a" * 300 + "/", ["200 characters"]),
    ],
)
def test_a_bad_filter_names_the_word_and_the_reason(text, says):
    with pytest.raises(BadRequest) as raised:
        parse(text)
    for part in says:
        assert part in raised.value.message
    assert raised.value.param == "filter"


def test_times_are_spans_or_dates():
    assert parse("since:15m").since == NOW - 900
    assert parse("since:1.5h until:now").until == NOW
    assert parse("since:2026-11-24T12:00:00Z").since == parse("since:2026-11-24T14:00:00+02:00").since
    assert parse("since:2026-11-24").since == parse("since:2026-11-24T00:00:00").since
    assert parse("since:1h since:15m").since == NOW - 900


def test_the_tree_holds_values_and_the_statement_holds_none():
    evil = "'; DROP TABLE request_logs; --"
    where = log_filter.where(parse(f'user:"{evil}" model:"{evil}*" tag:"{evil}" err:"{evil}"'), 5)
    assert "DROP" not in where.sql
    assert len(where.values) == 4


CASES = {
    "status:4xx,5xx": {"limited", "failed"},
    "status:429": {"limited"},
    "status:>=500": {"failed"},
    "-status:2xx": {"limited", "failed"},
    "provider:openai": {"plain", "failed", "left"},
    "-provider:openai": {"google", "limited"},
    "model:gem*": {"google"},
    "model:gpt-7": {"limited"},
    "-model:gpt*": {"google"},
    "err:rate_limit": {"limited"},
    "err:upstream_*": {"failed"},
    "id:req_plain": {"plain"},
    "id:req_g*": {"google"},
    "req_goo": {"google"},
    "ttft:>2s": {"google"},
    "total:>=8s": {"failed"},
    "total:<500ms": {"left"},
    "cost:>0.05": {"google"},
    "cost:0.001": {"plain"},
    "tokens:>10k": {"google"},
    "tokens:>10k,<50": {"google", "left"},
    "attempts:>1": {"failed"},
    "stream:yes": {"google", "left"},
    "cache:hit": {"google"},
    "user:anna": {"google"},
    'user:"b c"': {"plain"},
    "tag:env=prod": {"google", "plain"},
    "tag:env=*": {"google", "plain", "left"},
    "-tag:env=prod": {"limited", "failed", "left"},
    f"trace:{TRACE}": {"plain", "failed"},
    f"trace:{TRACE.upper()}": {"plain", "failed"},
    f"traceparent:00-{TRACE}-00f067aa0ba902b7-01": {"plain", "failed"},
    f"-trace:{TRACE}": {"google", "limited", "left"},
    f"trace_id:{'0' * 32},{TRACE} status:5xx": {"failed"},
    "tier:smart": {"google"},
    "end:client_closed": {"left"},
    "source:estimated": {"left"},
    "endpoint:embeddings": {"left"},
    "project:acme": {"plain", "google", "left"},
    "project:prj_b": {"limited", "failed"},
    "-project:acme": {"limited", "failed"},
    "project:nowhere": set(),
    "key:ci-deploy": {"plain", "limited"},
    "key:ci-*,web": {"plain", "limited", "google", "left", "failed"},
    "GPT": {"plain", "limited", "failed", "left"},
    "beta": {"limited", "failed"},
    "ci-dep": {"plain", "limited"},
    "100%": set(),
    "/gemini-\\d/": {"google"},
    "-/gemini-\\d/": {"plain", "limited", "failed", "left"},
    "/ACME$/": {"plain", "google", "left"},
    "provider:openai status:5xx": {"failed"},
    "since:10m": {"plain", "google", "limited", "failed"},
    "until:10m": {"left"},
    "version:0.1.0 worker:wrk_test": {"plain", "google", "limited", "failed", "left"},
    "in:100 out:20": {"plain", "limited", "failed"},
    "overhead:>5ms": {"google"},
    "price:prc_1": {"plain", "google", "limited", "failed", "left"},
}


async def rows_of_every_kind(connection, now):
    await connection.execute(
        "INSERT INTO orgs (id, slug, name) VALUES ('org_1', 'o', 'O');"
        "INSERT INTO projects (id, org_id, slug, name) VALUES ('prj_a', 'org_1', 'acme', 'Acme'), ('prj_b', 'org_1', 'beta', 'Beta');"
        "INSERT INTO api_keys (id, project_id, name, public_id, digest) VALUES"
        " ('key_ci', 'prj_a', 'ci-deploy', 'p1', 'd1'), ('key_web', 'prj_a', 'web', 'p2', 'd2')"
    )
    two = final().attempts * 2
    await write(
        connection,
        final(request_id="req_plain", project_id="prj_a", key_id="key_ci", user="b c", tags=["env=prod"], created_at=now,
            details=OF_TRACE),
        final(
            request_id="req_google", project_id="prj_a", key_id="key_web", provider="google", model="gemini-4", ttft_ms=2500.0, stream=True,
            cost_nusd=60_000_000, total_tokens=20_000, prompt_tokens=19_000, cached_tokens=7, user="anna", tags=["x", "env=prod"], tier="smart",
            overhead_ms=6.0, created_at=now - 1,
        ),
        final(
            request_id="req_limited", project_id="prj_b", key_id="key_ci", provider=None, model=None, requested_model="gpt-7", status=429,
            error_code="rate_limit_exceeded", end_reason="refused", cost_nusd=None, created_at=now - 2,
        ),
        final(
            request_id="req_failed", project_id="prj_b", key_id="key_web", status=502, error_code="upstream_error", end_reason="upstream_failed",
            attempts=two, latency_ms=8000.0, cost_nusd=None, created_at=now - 3, details=OF_TRACE,
        ),
        final(
            request_id="req_left", project_id="prj_a", key_id="key_web", stream=True, end_reason="client_closed", usage_source="estimated",
            latency_ms=300.0, total_tokens=40, prompt_tokens=30, completion_tokens=10, tags=["env=dev"], endpoint="embeddings", cost_nusd=7,
            created_at=now - 3600,
        ),
    )  # fmt: skip


async def test_every_field_means_what_the_page_says(connection):
    import time

    from gateway.store import log_search

    now = time.time()
    await rows_of_every_kind(connection, now)
    for text, expected in CASES.items():
        for ascending in (False, True):
            found = await log_search.search(
                connection, grammar.parse(text, now), limit=100, ascending=ascending, budget_s=30
            )
            assert {row.request_id.removeprefix("req_") for row in found.rows} == expected, text
            assert found.next is None


async def test_a_regular_expression_that_is_none_is_told(connection):
    from gateway.store import log_search

    with pytest.raises(BadRequest, match="parentheses"):
        await log_search.search(connection, parse("/a(b/"), limit=10)
