"""What a caller is told: the limit, its window, the true wait, and how much is left before it comes to that."""

import openai
import pytest

from tests.limits.rules import COST_NUSD, MODEL, TOKENS, add_budget, add_limit, call, fix_price, storm


async def test_answers_and_streams_say_what_is_left_of_the_tightest_limit(gateway):
    await add_limit(gateway, rpm=10, tpm=100_000)
    await add_limit(gateway, scope="org", subject=await _org(gateway), rpm=4)
    whole = await call(gateway)
    assert whole.headers["x-ratelimit-limit-requests"] == "4"
    assert whole.headers["x-ratelimit-remaining-requests"] == "3"
    assert whole.headers["x-ratelimit-limit-tokens"] == "100000"
    assert 90_000 < int(whole.headers["x-ratelimit-remaining-tokens"]) < 100_000
    assert whole.headers["x-ratelimit-reset-requests"].endswith("s")
    streamed = await call(gateway, stream=True)
    assert streamed.headers["x-ratelimit-remaining-requests"] == "2"


async def test_without_limits_there_is_nothing_to_say(gateway):
    await fix_price(gateway)
    answered = await call(gateway)
    assert not [name for name in answered.headers if name.lower().startswith("x-ratelimit")]


async def test_a_call_that_can_never_fit_is_told_so(gateway):
    await add_limit(gateway, tpm=100)
    refused = await gateway.chat(model=MODEL, max_tokens=500)
    assert (refused.status, refused.json["error"]["type"]) == (429, "tokens")
    assert "lower max_tokens" in refused.json["error"]["message"]
    assert refused.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("rule", "type_", "words"),
    [
        ({"rpm": 0}, "requests", ["0 requests a minute"]),
        ({"tpm": 0}, "tokens", ["0 tokens a minute"]),
        ({"concurrency": 0}, "concurrency", ["0 calls at once"]),
    ],
)
async def test_a_refusal_names_limit_scope_and_window(gateway, rule, type_, words):
    await add_limit(gateway, **rule)
    refused = await call(gateway)
    error = refused.json["error"]
    assert (refused.status, error["code"], error["type"], error["param"]) == (429, "rate_limit_exceeded", type_, None)
    assert all(word in error["message"] for word in [*words, "project Default project"])
    assert 1 <= int(refused.headers["retry-after"]) <= 60


async def test_a_budgets_refusal_says_what_is_left(gateway):
    await fix_price(gateway)
    await add_budget(gateway, 2 * COST_NUSD - 1, window="1mo")
    assert (await call(gateway)).status == 200
    message = (await call(gateway)).json["error"]["message"]
    assert "project Default project, $0.000005999 per 1mo" in message
    assert "it may cost $0.000003, and $0.000002999 is left" in message


async def test_the_official_sdk_raises_its_rate_limit_error(gateway):
    await add_limit(gateway, rpm=1)
    async with openai.AsyncOpenAI(api_key=gateway.key, base_url=f"{gateway.url}/v1", max_retries=0) as client:
        ask = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": TOKENS}
        await client.chat.completions.create(**ask)
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(**ask)
    assert caught.value.code == "rate_limit_exceeded"


async def test_a_call_dearer_than_its_own_ceiling_is_refused(gateway, upstream):
    await fix_price(gateway)
    assert (await call(gateway, headers={"x-optyx-max-cost-usd": "0.000003"})).status == 200
    refused = await call(gateway, headers={"x-optyx-max-cost-usd": "0.000002999"})
    assert (refused.status, refused.code) == (400, "max_cost_exceeded")
    assert "$0.000003" in refused.json["error"]["message"]
    for nonsense in ("1e3", "cheap", "", "-1"):
        refused = await call(gateway, headers={"x-optyx-max-cost-usd": nonsense})
        assert (refused.status, refused.code) == (400, "invalid_request"), nonsense
    await gateway.execute("DELETE FROM prices WHERE model_id = $1", MODEL)
    assert (await call(gateway, headers={"x-optyx-max-cost-usd": "1"})).code == "max_cost_exceeded"
    assert len(upstream.ledger) == 1


async def test_refusals_and_holds_are_counted(gateway):
    await fix_price(gateway)
    await add_budget(gateway, COST_NUSD)
    await storm([gateway], 4)
    metrics = (await gateway.get("/metrics")).body.decode()
    assert 'optyx_limit_refusals_total{kind="money",scope="project"} 3.0' in metrics
    assert 'optyx_state{what="budget_held_nusd"} 0.0' in metrics


async def _org(gateway):
    return await gateway.db.fetchval("SELECT org_id FROM projects WHERE id = $1", gateway.project_id)
