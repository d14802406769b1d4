"""Which target answers: by name, by tier, by the project's settings; what an allow-list leaves out; what a provider can't do."""

import json

from tests.upstream import completion, failing, whole

SETTINGS = "UPDATE project_settings SET "


async def attempts(gateway, answered):
    return json.loads((await gateway.row(answered.request_id))["attempts"])


async def test_an_explicit_model_wins_over_every_tier(gateway):
    for headers, model, expected, tier in (
        ({}, None, "gpt-6-luna", "fast"),
        ({}, "fast", "gpt-6-luna", "fast"),
        ({}, "smart", "gpt-6.1-sol", "smart"),
        ({"x-optyx-tier": "SMART"}, None, "gpt-6.1-sol", "smart"),
        ({"x-optyx-tier": "fast"}, "smart", "gpt-6.1-sol", "smart"),
        ({"x-optyx-tier": "smart"}, "gpt-6-luna", "gpt-6-luna", None),
        ({"x-optyx-tier": "smart"}, "openai/gpt-6-luna", "gpt-6-luna", None),
    ):
        answered = await gateway.chat(headers=headers, **({} if model is None else {"model": model}))
        assert answered.status == 200
        assert (answered.headers["x-optyx-model"], answered.headers.get("x-optyx-tier")) == (expected, tier), (
            headers,
            model,
        )
        assert gateway.upstream.seen[-1].json["model"] == expected
    for model in ("Fast", "FAST ", "gpt-6-luna ", "azure/gpt-6-luna", "openai/", "/gpt-6-luna"):
        answered = await gateway.chat(model=model)
        assert answered.status in (400, 404), model
    answered = await gateway.chat(model="gemini-embedding-001")
    assert (answered.status, answered.code) == (400, "invalid_request")
    answered = await gateway.post("/v1/embeddings", {"input": "x", "model": "gpt-6-luna"})
    assert (answered.status, answered.code) == (400, "invalid_request")
    answered = await gateway.post("/v1/embeddings", {"input": "x"}, x_optyx_tier="fast")
    assert (answered.status, answered.json["error"]["param"]) == (400, "x-optyx-tier")


async def test_a_project_has_tiers_and_a_default_of_its_own(gateway):
    await gateway.execute(SETTINGS + "default_tier = 'smart'")
    assert (await gateway.chat()).headers["x-optyx-tier"] == "smart"
    own = {
        "fast": [{"provider": "google", "model": "gemini-3.5-flash-lite"}],
        "night": [{"provider": "openai", "model": "gpt-6.1-sol"}],
    }
    await gateway.execute(SETTINGS + "tiers = $1, default_tier = 'fast'", json.dumps(own))
    answered = await gateway.chat()
    assert (answered.headers["x-optyx-provider"], answered.headers["x-optyx-model"]) == (
        "google",
        "gemini-3.5-flash-lite",
    )
    assert (await gateway.chat(model="night")).headers["x-optyx-model"] == "gpt-6.1-sol"
    assert "night" in {model["id"] for model in (await gateway.get("/v1/models", gateway.headers())).json["data"]}
    other = await gateway.get("/v1/models")
    assert "night" not in {model["id"] for model in other.json["data"]}, "without a key only the gateway's own tiers"


async def test_failover_can_be_switched_off(gateway):
    await gateway.execute(SETTINGS + "failover = false")
    gateway.upstream.enqueue(failing(500), failing(500))
    answered = await gateway.chat()
    assert (answered.status, answered.headers["x-optyx-attempts"], answered.headers["x-optyx-provider"]) == (
        502,
        "2",
        "openai",
    )
    assert {attempt["provider"] for attempt in await attempts(gateway, answered)} == {"openai"}


async def test_the_allow_list_holds_for_every_target(gateway):
    await gateway.execute(SETTINGS + "allowed_models = '{gpt-6-luna}'")
    gateway.upstream.enqueue(failing(500), failing(500))
    answered = await gateway.chat()
    assert answered.status == 502
    assert {attempt["provider"] for attempt in await attempts(gateway, answered)} == {"openai"}, (
        "google is not allowed, so it is not asked"
    )
    await gateway.execute(SETTINGS + "allowed_models = '{google/gemini-3.5-flash-lite}'")
    assert (await gateway.chat()).headers["x-optyx-provider"] == "google"
    assert (await gateway.chat(model="gemini-3.5-flash-lite")).status == 200
    await gateway.execute(SETTINGS + "allowed_models = '{}'")
    for model in ("fast", "smart", "gpt-6-luna"):
        answered = await gateway.chat(model=model)
        assert (answered.status, answered.code) == (403, "model_not_allowed")
    answered = await gateway.post("/v1/embeddings", {"input": "x"})
    assert (answered.status, answered.code) == (403, "model_not_allowed")
    assert (await gateway.get("/v1/models", gateway.headers())).json["data"] == []


async def test_what_a_provider_cannot_do_is_refused_by_name_and_passed_by_in_a_tier(gateway):
    answered = await gateway.chat(model="gemini-3.5-flash-lite", logit_bias={"50256": -100})
    assert (answered.status, answered.code, answered.json["error"]["param"]) == (
        400,
        "unsupported_parameter",
        "logit_bias",
    )
    assert answered.headers["x-optyx-attempts"] == "0"
    gateway.upstream.enqueue(failing(500), whole(completion()))
    answered = await gateway.chat(logit_bias={"50256": -100})
    assert (answered.status, answered.headers["x-optyx-provider"]) == (200, "openai")
    tried = await attempts(gateway, answered)
    assert [(attempt["provider"], attempt.get("failure")) for attempt in tried] == [
        ("openai", "status"),
        ("google", "unsupported"),
        ("openai", None),
    ]
    assert "logit_bias" in tried[1]["detail"]
    own = {"fast": [{"provider": "google", "model": "gemini-3.5-flash-lite"}]}
    await gateway.execute(SETTINGS + "tiers = $1", json.dumps(own))
    answered = await gateway.chat(logit_bias={"50256": -100})
    assert (answered.status, answered.code, answered.json["error"]["param"]) == (
        400,
        "unsupported_parameter",
        "logit_bias",
    )
    answered = await gateway.post("/v1/embeddings", {"input": [1, 2, 3]})
    assert (answered.status, answered.code, answered.json["error"]["param"]) == (400, "unsupported_parameter", "input")
    answered = await gateway.post("/v1/embeddings", {"input": [1, 2, 3], "model": "text-embedding-3-small"})
    assert answered.status == 200
    for harmless in (
        {"user": "u"},
        {"metadata": {"a": "b"}},
        {"store": True},
        {"unheard_of": 1},
        {"service_tier": "auto"},
        {"logit_bias": {}},
    ):
        assert (await gateway.chat(model="gemini-3.5-flash-lite", **harmless)).status == 200, harmless


async def test_a_target_without_a_credential_is_passed_by(make_gateway):
    gateway = await make_gateway(OPENAI_API_KEY="", OPENAI_BASE_URL="")
    answered = await gateway.chat()
    assert (answered.headers["x-optyx-provider"], answered.headers["x-optyx-attempts"]) == ("google", "1")
    assert (await attempts(gateway, answered))[0]["failure"] == "unconfigured"
    answered = await gateway.chat(model="gpt-6-luna")
    assert (answered.status, answered.code) == (503, "provider_not_configured")
    assert "OPENAI_API_KEY" in answered.json["error"]["message"]
    assert 1 <= int(answered.headers["Retry-After"]) <= 60


async def test_forced_failover_is_for_the_tier_fast_alone(make_gateway):
    gateway = await make_gateway(OPTYX_FORCE_OPENAI_FAILOVER="1")
    for given, provider in (
        ({}, "google"),
        ({"model": "fast"}, "google"),
        ({"stream": True}, "google"),
        ({"model": "smart"}, "openai"),
        ({"model": "gpt-6-luna"}, "openai"),
    ):
        answered = await gateway.chat(**given)
        assert (answered.status, answered.headers["x-optyx-provider"]) == (200, provider), given
    answered = await gateway.chat(logit_bias={"1": 1})
    assert (answered.status, answered.code) == (503, "upstream_unavailable")
    assert "OPTYX_FORCE_OPENAI_FAILOVER" in answered.json["error"]["message"]
    await gateway.execute(SETTINGS + "failover = false")
    answered = await gateway.chat()
    assert (answered.status, answered.code) == (503, "upstream_unavailable")
    assert "OPTYX_FORCE_OPENAI_FAILOVER" in answered.json["error"]["message"]
    assert int(answered.headers["Retry-After"]) >= 1


async def test_what_is_switched_off_is_not_there(gateway):
    await gateway.execute("UPDATE models SET enabled = false WHERE id = 'gpt-6-luna'")
    assert (await gateway.chat()).headers["x-optyx-provider"] == "google"
    answered = await gateway.chat(model="gpt-6-luna")
    assert (answered.status, answered.code) == (404, "model_not_found")
    await gateway.execute("UPDATE providers SET enabled = false")
    answered = await gateway.chat()
    assert (answered.status, answered.code) == (404, "model_not_found")
    assert (await gateway.get("/v1/models")).json["data"] == []
