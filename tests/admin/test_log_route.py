"""The log says of a call why it went where it went: who was in line, what became of each, and how its limits stood."""

import json
from datetime import UTC, datetime

import msgspec

from gateway.admin.log_route import route_of
from gateway.admin.schema.logs import Attempt, LogDetail, LogRow
from tests.upstream import failing
from tui import calls_shown
from tui.screens import call_lines


async def told(gateway, answered):
    await gateway.row(answered.request_id)
    return (await gateway.admin("GET", f"/logs/{answered.request_id}", role="viewer")).json["route"]


def verdicts(route):
    return [(one["provider"], one["verdict"]) for one in route["candidates"]]


async def test_who_was_in_line_is_told_also_when_its_turn_never_came(gateway):
    route = await told(gateway, await gateway.chat())
    assert (route["policy"], route["why"], route["is_whole"]) == ("tier", "tier fast, the default", True)
    assert verdicts(route) == [("openai", "answered"), ("google", "not reached")]
    assert route["candidates"][1]["why"] == "one before it answered"
    assert (route["limits"], route["refusal"]) == ([], None)
    route = await told(gateway, await gateway.chat(model="smart"))
    assert route["why"] == "tier smart, named as the model"
    route = await told(gateway, await gateway.chat(headers={"x-optyx-tier": "smart"}))
    assert route["why"] == "tier smart, asked for by x-optyx-tier"
    route = await told(gateway, await gateway.chat(model="gpt-6-luna"))
    assert (route["policy"], verdicts(route)) == ("model", [("openai", "answered")])


async def test_failures_and_what_was_passed_over_are_told(make_gateway):
    gateway = await make_gateway(OPTYX_FORCE_OPENAI_FAILOVER="1")
    route = await told(gateway, await gateway.chat(model="fast"))
    assert route["candidates"][0]["verdict"] == "passed over"
    assert "OPTYX_FORCE_OPENAI_FAILOVER" in route["candidates"][0]["why"]
    gateway.upstream.enqueue(failing(500), failing(500))
    await gateway.execute("UPDATE project_settings SET failover = false")
    route = await told(gateway, await gateway.chat(model="smart"))
    assert verdicts(route) == [("openai", "failed"), ("google", "left out")]
    assert (route["candidates"][0]["attempts"], route["candidates"][0]["why"][:8]) == (2, "HTTP 500")
    assert "failover is off" in route["candidates"][1]["why"]
    await gateway.execute("UPDATE project_settings SET failover = true, allowed_models = '{gpt-6*}'")
    route = await told(gateway, await gateway.chat(model="smart"))
    assert route["candidates"][1]["why"] == "it is not on the allow-list"


async def test_a_tier_that_had_nobody_shows_its_targets_and_why_none_of_them(gateway):
    """As it was then: what the settings say today does not count."""
    for statement, status, reasons in (
        ("UPDATE api_keys SET allowed_models = '{claude-*}'", 403, {"it is not on the allow-list"}),
        ("UPDATE providers SET enabled = NOT enabled", 404, {"the provider is switched off"}),
        (
            "UPDATE models SET enabled = false WHERE id LIKE 'gpt%'",
            404,
            {"the model is switched off", "the provider is switched off"},
        ),
    ):
        if "models SET enabled" in statement:
            await gateway.execute("UPDATE providers SET enabled = name = 'openai'")
        await gateway.execute(statement)
        refused = await gateway.chat(headers={"x-optyx-tier": "smart"})
        assert refused.status == status
        assert refused.headers["x-optyx-tier"] == "smart"
        await gateway.execute("UPDATE api_keys SET allowed_models = NULL")
        await gateway.execute("UPDATE providers SET enabled = true")
        await gateway.execute("UPDATE models SET enabled = true")
        route = await told(gateway, refused)
        assert (route["policy"], route["why"], route["is_whole"]) == (
            "tier",
            "tier smart, asked for by x-optyx-tier",
            True,
        )
        assert verdicts(route) == [("openai", "left out"), ("google", "left out")]
        assert {one["why"] for one in route["candidates"]} == reasons
        assert route["refusal"] == refused.json["error"]["message"]
        assert all(one["price_basis"] and one["tokens_nusd"] is None for one in route["candidates"])


async def test_a_tier_for_something_else_shows_what_it_is_for(gateway):
    refused = await gateway.chat(model="embedding")
    assert refused.status == 400
    route = await told(gateway, refused)
    assert (route["why"], verdicts(route)) == ("tier embedding, named as the model", [("google", "left out")])
    assert route["candidates"][0]["why"] == "it is for embedding"


async def test_a_tier_without_targets_is_named_all_the_same(gateway):
    await gateway.execute("DELETE FROM tier_targets WHERE tier = 'smart'")
    refused = await gateway.chat(model="smart")
    assert (refused.status, refused.headers["x-optyx-tier"]) == (404, "smart")
    route = await told(gateway, refused)
    assert (route["policy"], route["why"], route["candidates"]) == ("tier", "tier smart, named as the model", [])


async def test_a_tier_whose_targets_could_not_be_asked_shows_why_each(make_gateway):
    gateway = await make_gateway(OPENAI_API_KEY="", OPENAI_BASE_URL="", GOOGLE_API_KEY="", GOOGLE_BASE_URL="")
    refused = await gateway.chat()
    assert refused.status == 503
    route = await told(gateway, refused)
    assert verdicts(route) == [("openai", "passed over"), ("google", "passed over")]
    assert ["OPENAI_API_KEY" in one["why"] or "GOOGLE_API_KEY" in one["why"] for one in route["candidates"]] == [
        True,
        True,
    ]


PRICE = """
INSERT INTO prices (id, provider_id, model_id, effective_from, input_nusd, output_nusd, source)
SELECT $1, id, $3, $4::timestamptz, $5, $6, 'test' FROM providers WHERE name = $2
"""


async def test_every_candidate_says_its_price_and_what_the_tokens_come_to_at_it(gateway):
    long_ago, quick, second = datetime(2020, 1, 1, tzinfo=UTC), "gpt-6-luna", "gemini-3.5-flash-lite"
    await gateway.db.execute("DELETE FROM prices WHERE model_id IN ($1, $2)", quick, second)
    await gateway.db.execute(PRICE, "prc_quick", "openai", quick, long_ago, 2 * 10**9, 8 * 10**9)
    await gateway.execute(PRICE, "prc_second", "google", second, long_ago, 10**9, 3 * 10**9)
    answered = await gateway.chat()
    route = await told(gateway, answered)
    row = await gateway.row(answered.request_id)
    prompt, completion = row["prompt_tokens"], row["completion_tokens"]
    assert prompt
    assert completion
    assert [
        (one["price_basis"], one["input_nusd"], one["output_nusd"], one["tokens_nusd"]) for one in route["candidates"]
    ] == [
        ("used", 2 * 10**9, 8 * 10**9, row["cost_nusd"]),
        ("listed", 10**9, 3 * 10**9, prompt * 1000 + completion * 3000),
    ]

    # a price from now on changes neither; without any for then it is today's, and says so
    await gateway.db.execute(PRICE, "prc_quick_2", "openai", quick, datetime.now(UTC), 5 * 10**9, 9 * 10**9)
    await gateway.db.execute("DELETE FROM prices WHERE id = 'prc_second'")
    await gateway.execute(PRICE, "prc_second_2", "google", second, datetime.now(UTC), 4 * 10**9, 6 * 10**9)
    first, other = (await told(gateway, answered))["candidates"]
    assert (first["price_basis"], first["input_nusd"]) == ("used", 2 * 10**9)
    assert (other["price_basis"], other["input_nusd"], other["tokens_nusd"]) == (
        "today",
        4 * 10**9,
        prompt * 4000 + completion * 6000,
    )

    # a model without a price, and one that is no longer there
    await gateway.execute("DELETE FROM prices WHERE id = 'prc_second_2'")
    _, other = (await told(gateway, answered))["candidates"]
    assert (other["price_basis"], other["input_nusd"], other["tokens_nusd"]) == (None, None, None)


async def test_a_long_prompt_is_told_at_the_price_of_long_prompts(gateway):
    await gateway.execute(
        "UPDATE prices SET above_tokens = 1, above_input_nusd = 7000000000, above_output_nusd = 9000000000 WHERE model_id = 'gpt-6-luna'"
    )
    answered = await gateway.chat()
    first = (await told(gateway, answered))["candidates"][0]
    row = await gateway.row(answered.request_id)
    assert row["prompt_tokens"] > 1
    assert (first["input_nusd"], first["output_nusd"], first["tokens_nusd"]) == (7 * 10**9, 9 * 10**9, row["cost_nusd"])


async def test_limits_are_told_as_they_stood(gateway):
    await gateway.execute(
        "INSERT INTO limits (id, scope, subject, rpm, concurrency) VALUES ('lim_1', 'project', $1, 3, 5)",
        gateway.project_id,
    )
    await gateway.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ('bud_1', 'project', $1, 1000000000, '1d')",
        gateway.project_id,
    )
    lefts = []
    for _ in range(3):
        route = await told(gateway, await gateway.chat(max_tokens=10))
        kinds = {one["kind"]: one for one in route["limits"]}
        assert set(kinds) == {"requests", "slots", "money"}
        assert all(one["is_enough"] and one["left"] >= one["needs"] for one in kinds.values())
        assert (kinds["requests"]["size"], kinds["requests"]["needs"], kinds["slots"]["left"]) == (3, 1, 5)
        lefts.append(kinds["requests"]["left"])
    assert lefts == [3, 2, 1]
    assert 0 < kinds["money"]["left"] < 1_000_000_000 == kinds["money"]["size"]
    refused = await gateway.chat(max_tokens=10)
    route = await told(gateway, refused)
    assert refused.status == 429
    assert route["refusal"] == refused.json["error"]["message"]
    assert [one["kind"] for one in route["limits"] if not one["is_enough"]] == ["requests"]
    assert verdicts(route) == [("openai", "not reached"), ("google", "not reached")]
    assert "refused" in route["candidates"][0]["why"]


async def test_a_refusal_before_the_route_says_what_the_caller_was_told(gateway):
    refused = await gateway.chat(model="no-such-model")
    route = await told(gateway, refused)
    assert (route["candidates"], route["refusal"]) == ([], refused.json["error"]["message"])


OLD = LogRow(
    tier="fast", provider="google", model="g", status=200, end_reason="complete",
    attempts=[Attempt(provider="openai", model="o", failure="connect", detail="refused"), Attempt(provider="google", model="g", status=200)],
)  # fmt: skip


def test_a_record_without_it_shows_what_was_tried():
    for details in ({}, {"why": "tier fast"}, {"limits": "x", "left_out": 3, "why": "tier fast"}):
        route = route_of(OLD, details)
        assert [(one.verdict, one.why) for one in route.candidates] == [("failed", "refused"), ("answered", "")]
        assert not route.is_whole
    call = LogDetail(attempts=OLD.attempts, tier="fast", route=route)
    assert "older version" in text(call)
    assert "kept only what was tried" in "\n".join(calls_shown.route(json.loads(json.dumps(as_dict(route)))))


def test_the_dashboard_and_the_command_line_say_it_in_words():
    details = {
        "why": "tier fast, the default", "targets": ["openai/o", "google/g", "azure/z"], "left_out": {"mistral/m": "it is not on the allow-list"},
        "limits": [
            [1, [["key", "key ci", "requests", "minute", 600], 11, 400]],
            [2_000_000, [["project", "project Acme, $5", "money", "1mo", 5 * 10**9], 0, 10**9]],
        ],
    }  # fmt: skip
    route = route_of(OLD, details)
    for one, basis in zip(route.candidates, ("listed", "used", "today"), strict=False):
        one.input_nusd, one.output_nusd, one.price_basis, one.tokens_nusd = 250_000_000, 2 * 10**9, basis, 1_200_000
    shown = text(LogDetail(attempts=OLD.attempts, tier="fast", provider="google", model="g", route=route))
    printed = "\n".join(calls_shown.route(as_dict(route)))
    for place in (shown, printed):
        assert "tier fast, the default" in place
        assert "azure/z" in place
        assert "one before it answered" in place
        assert "it is not on the allow-list" in place
        assert place.count("$0.25/M in, $2.00/M out: $0.00120 for these tokens") == 3
        assert place.count("(today's price)") == 1
        assert "requests of key ci: 411 of 600 a minute were left, 1 needed" in place
        assert "budget of project Acme, $5: $1.00 of $5.00 per 1mo were left, $0.002" in place


def as_dict(route):
    return msgspec.to_builtins(route)


def text(call):
    return "\n".join("".join(part for part, _ in line) for line in call_lines.route(call, 100))
