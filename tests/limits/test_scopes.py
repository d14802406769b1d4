"""Org, project, key and end user, all at once, per model and per tier: each refuses in its own name."""

import pytest

from tests.limits.rules import COST_NUSD, MODEL, TOKENS, add_budget, add_limit, call, fix_price, settled, storm
from tests.upstream import failing

SCOPES = ["org", "project", "key", "user"]


@pytest.fixture
async def subjects(gateway):
    """Each scope's subject, and its name in messages."""
    await fix_price(gateway)
    org_id = await gateway.db.fetchval("SELECT org_id FROM projects WHERE id = $1", gateway.project_id)
    org = await gateway.db.fetchval("SELECT name FROM orgs WHERE id = $1", org_id)
    project = await gateway.db.fetchval("SELECT name FROM projects WHERE id = $1", gateway.project_id)
    key_id = await gateway.db.fetchval("SELECT id FROM api_keys WHERE project_id = $1", gateway.project_id)
    return {
        "org": (org_id, f"org {org}"),
        "project": (gateway.project_id, f"project {project}"),
        "key": (key_id, "key test"),
        "user": (gateway.project_id, "end user ada"),
    }


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_scope_refuses_in_its_name(gateway, subjects, scope):
    _, name = subjects[scope]
    for other in SCOPES:
        await add_limit(gateway, scope=other, subject=subjects[other][0], rpm=1 if other == scope else 50)
        await add_budget(gateway, 100 * COST_NUSD, scope=other, subject=subjects[other][0])
    assert (await call(gateway, user="ada")).status == 200
    refused = await call(gateway, user="ada")
    assert refused.status == 429
    assert name in refused.json["error"]["message"]
    assert (refused.json["error"]["type"], refused.code) == ("requests", "rate_limit_exceeded")
    await gateway.execute("DELETE FROM limits")
    await gateway.execute("UPDATE budgets SET amount_nusd = $1 WHERE scope = $2", COST_NUSD, scope)
    refused = await call(gateway, user="ada")
    assert (refused.json["error"]["type"], refused.code) == ("insufficient_quota", "insufficient_quota")
    assert name in refused.json["error"]["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert await settled(gateway) == 4 * COST_NUSD


async def test_end_users_have_a_limit_each_by_body_or_by_header(gateway, subjects):
    await add_limit(gateway, scope="user", rpm=2)
    await add_budget(gateway, 3 * COST_NUSD, scope="user")
    assert await storm([gateway], 5, user="ada") == {200: 2, 429: 3}
    assert await storm([gateway], 5, user="bob}:{x|") == {200: 2, 429: 3}
    assert (await call(gateway, headers={"x-optyx-user": "ada"})).status == 429
    assert await storm([gateway], 5) == {200: 5}  # nobody in particular: only the other scopes count
    await gateway.execute("DELETE FROM limits")
    assert await storm([gateway], 3, user="ada") == {200: 1, 429: 2}


async def test_a_rule_of_a_model_or_tier_counts_no_other(gateway, subjects):
    await add_limit(gateway, model=MODEL, rpm=1)
    await add_limit(gateway, tier="smart", rpm=2)
    await add_budget(gateway, 3 * COST_NUSD, model=MODEL)
    assert (await call(gateway)).status == 200
    refused = await call(gateway)
    assert f"(model {MODEL})" in refused.json["error"]["message"]
    smart = [(await gateway.chat(model="smart", max_tokens=TOKENS)) for _ in range(3)]
    assert [one.status for one in smart] == [200, 200, 429]
    assert "(tier smart)" in smart[2].json["error"]["message"]
    assert await settled(gateway) == COST_NUSD


async def test_a_budget_of_a_model_is_charged_when_that_model_stands_in(gateway, upstream, subjects):
    """The tier's second target has a budget: it is held for, and charged only when the first has failed."""
    second = await gateway.db.fetchval(
        "SELECT model_id FROM tier_targets WHERE tier = 'fast' AND position = (SELECT max(position) FROM tier_targets WHERE tier = 'fast')"
    )
    await add_budget(gateway, 10**9, model=second)
    await add_budget(gateway, 10**9, model=MODEL, window="1d")
    assert (await gateway.chat(max_tokens=TOKENS)).headers["x-optyx-model"] == MODEL
    assert await settled(gateway) == COST_NUSD
    upstream.enqueue(failing(429))
    answered = await gateway.chat(max_tokens=TOKENS)
    assert answered.headers["x-optyx-model"] == second
    row = await gateway.row(answered.request_id)
    assert await settled(gateway) == COST_NUSD + row["cost_nusd"]


async def test_windows_follow_the_orgs_time_zone(gateway, subjects):
    await gateway.execute("UPDATE orgs SET timezone = 'Asia/Kolkata'")
    await add_budget(gateway, COST_NUSD, window="1d")
    assert (await call(gateway)).status == 200
    refused = await call(gateway)
    assert "per 1d" in refused.json["error"]["message"]
    assert "T00:00+05:30" in refused.json["error"]["message"]
    start = await gateway.db.fetchval("SELECT window_start AT TIME ZONE 'Asia/Kolkata' FROM budget_windows")
    assert (start.hour, start.minute) == (0, 0)


async def test_every_window_refuses_and_says_when_it_resets(gateway, subjects):
    for window in ("1h", "1d", "7d", "30d", "1mo", "total"):
        await gateway.execute("DELETE FROM budgets")
        await gateway.execute("DELETE FROM request_logs")
        await gateway.execute("DELETE FROM usage_hourly")
        await add_budget(gateway, COST_NUSD, window=window)
        assert (await call(gateway)).status == 200
        message = (await call(gateway)).json["error"]["message"]
        assert f"per {window}" in message
        assert ("It never resets" if window == "total" else "It resets at") in message
        assert await settled(gateway) == COST_NUSD
