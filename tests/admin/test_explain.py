"""Explain tells what a call then meets, word for word, and neither asks a provider nor holds anything."""

import json

import pytest

from gateway import ids

CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


async def told(gateway, body=CHAT, *, endpoint="chat", key=True, headers=None):
    who = {"key_id": await key_id(gateway)} if key else {"project": "default"}
    asked = {**who, "endpoint": endpoint, "headers": headers or {}, "body": body}
    answered = await gateway.admin("POST", "/explain", asked, role="viewer")
    assert answered.status == 200, answered.body
    return answered.json


async def key_id(gateway):
    return await gateway.db.fetchval("SELECT id FROM api_keys WHERE name = 'test'")


def verdicts(answer):
    return {f"{one['provider']}/{one['model']}": one["verdict"] for one in answer["targets"]}


async def test_a_key_bound_to_addresses_is_told_where_it_would_work(gateway):
    await gateway.execute("UPDATE api_keys SET allowed_addresses = '{10.0.0.0/8,2001:db8::/32}'")
    who = {"key_id": await key_id(gateway), "body": CHAT}

    async def at(address):
        return (await gateway.admin("POST", "/explain", {**who, "address": address}, role="viewer")).json

    anywhere = await told(gateway)
    assert (anywhere["status"], anywhere["allowed_addresses"]) == (200, ["10.0.0.0/8", "2001:db8::/32"])
    for inside in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"):
        assert (await at(inside))["status"] == 200
    refused = (await at("192.0.2.7"))["refusal"]
    met = await gateway.chat()
    assert (refused["status"], refused["code"]) == (met.status, met.code) == (403, "address_not_allowed")
    assert refused["message"] == met.json["error"]["message"].replace("127.0.0.1", "192.0.2.7")
    wrong = await gateway.admin("POST", "/explain", {**who, "address": "office"}, role="viewer")
    assert (wrong.status, wrong.json["error"]["param"]) == (422, "address")
    of_project = await gateway.admin("POST", "/explain", {"project": "default", "address": "192.0.2.7", "body": CHAT})
    assert (of_project.json["status"], of_project.json["allowed_addresses"]) == (200, None)


async def test_a_tier_is_told_with_its_targets_costs_and_arithmetic(gateway):
    answer = await told(gateway, {**CHAT, "max_tokens": 1000})
    assert (answer["status"], answer["refusal"], answer["tier"], answer["why"]) == (
        200,
        None,
        "fast",
        "tier fast, the default",
    )
    first, second = answer["targets"][:2]
    assert (first["verdict"], second["verdict"]) == ("asked", "fallback")
    assert answer["max_output_tokens"] == 1000
    prompt = answer["prompt_tokens_estimate"]
    worst = max(one["cost_ceiling_nusd"] for one in answer["targets"])
    assert answer["cost_ceiling_nusd"] == worst
    dearest = next(one for one in answer["targets"] if one["cost_ceiling_nusd"] == worst)
    assert dearest["cost_ceiling_nusd"] == round((prompt * dearest["input_nusd"] + 1000 * dearest["output_nusd"]) / 1e6)
    assert answer["arithmetic"].endswith(f"= ${answer['cost_ceiling_usd']}")
    real = await gateway.chat(max_tokens=1000)
    assert real.headers["x-optyx-model"] == first["model"]
    assert len(gateway.upstream.seen) == 1


async def test_what_is_passed_over_says_why(make_gateway):
    gateway = await make_gateway(OPTYX_FORCE_OPENAI_FAILOVER="1")
    answer = await told(gateway)
    assert answer["targets"][0]["verdict"] == "passed over"
    assert "OPTYX_FORCE_OPENAI_FAILOVER" in answer["targets"][0]["why"]
    assert answer["targets"][1]["verdict"] == "asked"
    await gateway.execute("UPDATE project_settings SET failover = false")
    answer = await told(gateway)
    real = await gateway.chat()
    assert same(answer, real)
    assert answer["refusal"]["code"] == "upstream_unavailable"
    assert "failover is off" in answer["targets"][1]["why"]


async def test_unconfigured_providers_are_named(make_gateway):
    gateway = await make_gateway(OPENAI_API_KEY="", OPENAI_BASE_URL="", GOOGLE_API_KEY="", GOOGLE_BASE_URL="")
    answer = await told(gateway)
    assert same(answer, await gateway.chat())
    assert answer["refusal"]["code"] == "provider_not_configured"
    assert {one["verdict"] for one in answer["targets"]} == {"passed over"}


def same(answer, real):
    """The refusal that was told is the one that came."""
    refusal, error = answer["refusal"], real.json["error"]
    assert (answer["status"], refusal["status"]) == (real.status, real.status)
    assert {name: refusal[name] for name in error} == error
    return True


REFUSED = [
    ({**CHAT, "model": "no-such-model"}, {}, 404),
    ({**CHAT, "model": "gemini-embedding-001"}, {}, 400),
    ({**CHAT, "model": "gemini-4-argon", "logit_bias": {"1": 2}}, {}, 400),
    ({**CHAT, "n": 0}, {}, 400),
    ({"messages": []}, {}, 400),
    ({}, {}, 400),
    ("{", {}, 400),
    ('{"messages":[{"role":"user","content":"x"}],"model":"a","model":"b"}', {}, 400),
    (CHAT, {"x-optyx-tier": "huge"}, 400),
    (CHAT, {"X-Optyx-Tags": "a b c"}, 400),
    (CHAT, {"x-optyx-max-cost-usd": "0.000000001"}, 400),
    (CHAT, {"x-optyx-max-cost-usd": "much"}, 400),
]


async def test_refusals_are_told_as_they_come(gateway):
    for body, headers, status in REFUSED:
        answer = await told(gateway, body, headers=headers)
        text = body.encode() if isinstance(body, str) else json.dumps(body, separators=(",", ":")).encode()
        real = await gateway.post("/v1/chat/completions", text, **headers)
        assert real.status == status, body
        assert same(answer, real)
    assert gateway.upstream.seen == []


async def test_an_allow_list_is_told(gateway):
    await gateway.execute("UPDATE project_settings SET allowed_models = ARRAY['gpt-6*']")
    answer = await told(gateway)
    left_out = [one for one in answer["targets"] if one["verdict"] == "left out"]
    assert left_out
    assert all(one["why"] == "it is not on the allow-list" for one in left_out)
    await gateway.execute("UPDATE api_keys SET allowed_models = ARRAY['nothing']")
    answer = await told(gateway)
    assert same(answer, await gateway.chat())
    assert answer["refusal"]["code"] == "model_not_allowed"
    assert answer["targets"]
    answer = await told(gateway, {**CHAT, "model": "gpt-6-luna"}, key=False)
    assert answer["refusal"] is None
    assert answer["tier"] is None


@pytest.mark.parametrize("coordinator", ["postgres", "redis"])
async def test_limits_stand_beside_the_call_and_nothing_is_held(make_gateway, valkey_url, coordinator):
    gateway = await make_gateway(REDIS_URL=valkey_url if coordinator == "redis" else "")
    await gateway.db.execute(
        "INSERT INTO limits (id, scope, subject, rpm, tpm, concurrency) VALUES ('lim_1', 'project', $1, 3, 100000, 5)",
        gateway.project_id,
    )
    await gateway.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ('bud_1', 'project', $1, 1000000000, '1d')",
        gateway.project_id,
    )
    for _ in range(8):
        answer = await told(gateway, {**CHAT, "max_tokens": 10})
        assert answer["refusal"] is None
    kinds = {one["kind"]: one for one in answer["limits"]}
    assert set(kinds) == {"requests", "tokens", "slots", "money"}
    assert (kinds["requests"]["size"], kinds["requests"]["left"], kinds["requests"]["needs"]) == (3, 3, 1)
    assert kinds["slots"]["left"] == 5
    assert kinds["money"]["left"] == 1_000_000_000
    assert kinds["money"]["needs"] == answer["cost_ceiling_nusd"]
    assert kinds["money"]["resets_at"].endswith("Z")
    for _ in range(3):
        assert (await gateway.chat(max_tokens=10)).status == 200
    answer = await told(gateway, {**CHAT, "max_tokens": 10})
    real = await gateway.chat(max_tokens=10)
    assert (answer["status"], answer["refusal"]["code"], answer["refusal"]["type"]) == (
        429,
        real.code,
        real.json["error"]["type"],
    )
    assert not {one["kind"]: one for one in answer["limits"]}["requests"]["is_enough"]


async def test_a_budget_that_is_too_small_is_told(gateway):
    await gateway.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ('bud_1', 'key', $1, 1000, 'total')",
        await key_id(gateway),
    )
    answer = await told(gateway)
    real = await gateway.chat()
    assert (answer["status"], answer["refusal"]["code"]) == (real.status, real.code) == (429, "insufficient_quota")
    assert "The budget of key test, $0.000001 per total, can't cover this call" in answer["refusal"]["message"]
    assert (await told(gateway, key=False))["refusal"] is None


async def test_a_key_that_no_longer_works_gets_its_401(gateway):
    await gateway.execute("UPDATE api_keys SET disabled_at = now() WHERE name = 'test'")
    answer = await told(gateway)
    assert same(answer, await gateway.chat())
    assert answer["refusal"]["code"] == "invalid_api_key"


async def test_embeddings_have_one_target(gateway):
    answer = await told(gateway, {"input": "Hi"}, endpoint="/v1/embeddings")
    assert answer["tier"] == "embedding"
    assert list(verdicts(answer).values()) == ["asked"]


SENSELESS = [
    {}, {"key_id": "key_1", "project": "default"}, {"project": "default", "endpoint": "images"}, {"project": "default", "prompt": "x"},
    {"project": "x"}, {"key_id": ids.new("key")},
]  # fmt: skip


async def test_a_question_that_makes_no_sense_is_refused(gateway):
    for asked in SENSELESS:
        assert (await gateway.admin("POST", "/explain", asked)).status in (404, 422), asked
