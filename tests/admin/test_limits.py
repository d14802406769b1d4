"""Limits and budgets over the admin API: exact amounts, one ETag, gauges, raises."""

import asyncio

from tests.upstream import completion

LIMITS = "/projects/default/limits"
BODY = {
    "rpm": 600,
    "tpm": 200_000,
    "concurrency": 20,
    "budgets": [
        {"amount_usd": "10.00", "window": "1mo"},
        {"amount_usd": "0.000000001", "window": "1d", "soft_percent": 80},
    ],
}


async def test_limits_are_put_and_read_back(gateway):
    empty = await gateway.admin("GET", LIMITS)
    assert {name: empty.json[name] for name in ("rpm", "tpm", "concurrency", "budgets")} == {
        "rpm": None, "tpm": None, "concurrency": None, "budgets": []
    }  # fmt: skip
    saved = await gateway.admin("PUT", LIMITS, BODY, headers={"If-Match": empty.headers["etag"]})
    assert saved.status == 200, saved.json
    read = await gateway.admin("GET", LIMITS)
    assert read.headers["etag"] == saved.headers["etag"] != empty.headers["etag"]
    assert (read.json["rpm"], read.json["tpm"], read.json["concurrency"]) == (600, 200_000, 20)
    assert [(one["amount_usd"], one["window"], one["soft_percent"]) for one in read.json["budgets"]] == [
        ("0.000000001", "1d", 80), ("10.00", "1mo", None)
    ]  # fmt: skip
    assert await gateway.db.fetch("SELECT amount_nusd FROM budgets ORDER BY 1") == [(1,), (10_000_000_000,)]
    await gateway.changed()
    rules = gateway.worker.refresh.catalog.projects[gateway.project_id].rules
    assert (rules.limits[0].rpm, len(rules.budgets)) == (600, 2)
    project = (await gateway.admin("GET", "/projects/default")).json
    assert (project["rpm"], project["budget"]["window"]) == (600, "1mo")


async def test_a_budget_keeps_its_id_and_percentages_while_its_window_stays(gateway):
    first = (await gateway.admin("PUT", LIMITS, BODY)).json["budgets"]
    again = {
        "budgets": [{"amount_usd": "20", "window": "1mo"}, {"amount_usd": "1", "window": "1d", "id": first[1]["id"]}]
    }
    second = (await gateway.admin("PUT", LIMITS, again)).json
    assert {one["window"]: one["id"] for one in second["budgets"]} == {one["window"]: one["id"] for one in first}
    assert {one["window"]: one["soft_percent"] for one in second["budgets"]} == {"1mo": None, "1d": 80}
    assert second["rpm"] is None
    assert await gateway.db.fetchval("SELECT count(*) FROM limits") == 0
    await gateway.admin("PUT", LIMITS, {})
    assert await gateway.db.fetchval("SELECT count(*) FROM budgets") == 0


async def test_limits_of_models_tiers_users_keys_and_orgs(gateway):
    body = {
        "models": {"gpt-6-luna": {"rpm": 5, "budgets": [{"amount_usd": "1.5", "window": "1d"}]}},
        "tiers": {"smart": {"concurrency": 2}},
    }
    key = (await gateway.admin("GET", "/projects/default/keys")).json["data"][0]["id"]
    for path in (LIMITS, "/projects/default/user-limits", f"/keys/{key}/limits", "/orgs/default/limits"):
        saved = await gateway.admin("PUT", path, body)
        assert saved.status == 200, saved.json
        read = (await gateway.admin("GET", path)).json
        assert read["models"]["gpt-6-luna"]["rpm"] == 5
        assert read["models"]["gpt-6-luna"]["budgets"][0]["amount_usd"] == "1.50"
        assert read["tiers"]["smart"]["concurrency"] == 2
    scopes = [row[0] for row in await gateway.db.fetch("SELECT DISTINCT scope FROM limits ORDER BY 1")]
    assert scopes == ["key", "org", "project", "user"]


async def test_of_two_who_set_the_same_limits_one_is_told(gateway):
    etag = (await gateway.admin("GET", LIMITS)).headers["etag"]
    both = await asyncio.gather(*(gateway.admin("PUT", LIMITS, {"rpm": n}, headers={"If-Match": etag}) for n in (1, 2)))
    assert sorted(answered.status for answered in both) == [200, 412]


WRONG = [
    ({"rpm": -1}, "rpm"),
    ({"rpm": 1.5}, "rpm"),
    ({"rpm": "600"}, "rpm"),
    ({"budgets": [{"amount_usd": 10, "window": "1mo"}]}, "budgets[0].amount_usd"),
    ({"budgets": [{"amount_usd": "-1", "window": "1mo"}]}, "budgets[0].amount_usd"),
    ({"budgets": [{"amount_usd": "1e3", "window": "1mo"}]}, "budgets[0].amount_usd"),
    ({"budgets": [{"amount_usd": "0.0000000001", "window": "1mo"}]}, "budgets[0].amount_usd"),
    ({"budgets": [{"amount_usd": "99999999999", "window": "1mo"}]}, "budgets[0].amount_usd"),
    ({"budgets": [{"amount_usd": "1", "window": "2d"}]}, "budgets[0].window"),
    ({"budgets": [{"amount_usd": "1", "window": "1d"}, {"amount_usd": "2", "window": "1d"}]}, "budgets[1].window"),
    ({"budgets": [{"amount_usd": "1", "window": "1d", "spent_nusd": 0}]}, "budgets[0]"),
    ({"budgets": [{"amount_usd": "1", "window": "1d", "soft_percent": 101}]}, "budgets[0].soft_percent"),
    ({"models": {"no-such": {"rpm": 1}}}, "models.no-such"),
    ({"tiers": {"slow": {"rpm": 1}}}, "tiers.slow"),
    ({"scope": "org"}, "scope"),
]


async def test_every_wrong_limit_is_refused_by_field(gateway):
    for body, param in WRONG:
        answered = await gateway.admin("PUT", LIMITS, body)
        assert (answered.status, answered.code) == (422, "invalid_request"), answered.json
        assert answered.json["error"]["param"].startswith(param), answered.json


async def test_a_raise_adds_money_for_a_while(gateway):
    budget = (await gateway.admin("PUT", LIMITS, {"budgets": [{"amount_usd": "5", "window": "1mo"}]})).json["budgets"][
        0
    ]
    path = f"/budgets/{budget['id']}/raise"
    raised = await gateway.admin("POST", path, {"add_usd": "2.50", "until": "7d", "reason": "launch week"})
    assert raised.status == 200
    gauge = (await gateway.admin("GET", "/limits")).json["budgets"][0]
    assert (gauge["amount_usd"], gauge["raise_nusd"]) == ("5.00", 2_500_000_000)
    assert gauge["raise_until"] > gauge["resets_at"][:4]
    entry = (await gateway.admin("GET", "/audit")).json["data"][0]
    assert (entry["action"], entry["reason"]) == ("budget.raise", "launch week")
    for body in (
        {"add_usd": "x", "until": "7d"},
        {"add_usd": "1", "until": "2020-01-01"},
        {"add_usd": "1", "until": "soon"},
    ):
        assert (await gateway.admin("POST", path, body)).status == 422
    await gateway.admin("POST", path, {"add_usd": "0", "until": "7d"})
    assert (await gateway.admin("GET", "/limits")).json["budgets"][0]["raise_until"] is None
    assert (await gateway.admin("POST", "/budgets/bud_none/raise", {"add_usd": "1", "until": "7d"})).status == 404


async def test_the_overview_shows_what_is_used_and_what_was_refused(gateway):
    await gateway.admin("PUT", LIMITS, {"rpm": 1, "budgets": [{"amount_usd": "5", "window": "1mo"}]})
    await gateway.changed()
    used = await gateway.chat(model="gpt-6-luna")
    refused = await gateway.chat(model="gpt-6-luna")
    assert (used.status, refused.status) == (200, 429)
    cost = (await gateway.row(used.request_id))["cost_nusd"]
    await gateway.row(refused.request_id)
    shown = (await gateway.admin("GET", "/limits")).json
    (gauge,) = shown["budgets"]
    assert (gauge["spent_nusd"], gauge["subject_name"], gauge["scope"]) == (cost, "Default project", "project")
    assert gauge["forecast_at"] is None
    (row,) = shown["rates"]
    assert (row["scope"], row["rpm"], row["refused_24h"]) == ("project", {"used": 2.0, "limit": 1}, 1)
    assert [one["request_id"] for one in shown["latest_refusals"]] == [refused.request_id]


async def test_pages_give_every_budget_and_rate_once(gateway):
    key = (await gateway.admin("POST", "/projects/default/keys", {"name": "ci"})).json["id"]
    await gateway.admin("POST", "/projects", {"name": "Other"})
    budgets = [{"amount_usd": "1", "window": window} for window in ("1h", "1d", "1mo")]
    for path in (LIMITS, "/projects/other/limits", f"/keys/{key}/limits", "/orgs/default/limits"):
        assert (await gateway.admin("PUT", path, {"rpm": 9, "budgets": budgets})).status == 200
    whole = (await gateway.admin("GET", "/limits")).json
    assert (len(whole["budgets"]), len(whole["rates"]), whole["next"]) == (12, 4, None)
    for size in (1, 2, 5, 12, 13, 15):
        seen, cursor = [], ""
        while cursor is not None:
            page = (await gateway.admin("GET", f"/limits?limit={size}" + (f"&cursor={cursor}" if cursor else ""))).json
            rows = [one["id"] for one in page["budgets"]] + [one["subject"] for one in page["rates"]]
            assert len(rows) <= size
            seen, cursor = [*seen, *rows], page["next"]
        assert seen == [one["id"] for one in whole["budgets"]] + [one["subject"] for one in whole["rates"]], size
    for query, count in (
        ("project=default", 8),
        ("project=other", 4),
        (f"key={key}", 4),
        ("key=ci", 4),
        ("raised=true", 0),
    ):
        found = (await gateway.admin("GET", f"/limits?{query}")).json
        assert len(found["budgets"]) + len(found["rates"]) == count, query
    for query, status in (("project=nobody", 404), ("cursor=xyz", 400), ("limit=0", 422), ("colour=red", 422)):
        answered = await gateway.admin("GET", f"/limits?{query}")
        assert (answered.status, query.split("=")[0] in answered.json["error"]["message"]) == (status, True), query


async def test_what_calls_hold_is_told_apart_from_what_workers_have_drawn(gateway):
    await gateway.admin("PUT", LIMITS, {"budgets": [{"amount_usd": "50", "window": "1mo"}]})
    await gateway.changed()
    gate = asyncio.Event()

    async def late(line):
        await gate.wait()
        await line.answer(200, completion())

    gateway.upstream.enqueue(late)
    calling = asyncio.create_task(gateway.chat(model="gpt-6-luna"))

    async def gauge_where(holds):
        async with asyncio.timeout(10):
            while not holds(gauge := (await gateway.admin("GET", "/limits")).json["budgets"][0]):
                await asyncio.sleep(0.05)
        return gauge

    during = await gauge_where(lambda gauge: gauge["held_nusd"] > 0)
    assert during["spent_nusd"] == 0
    assert during["drawn_nusd"] >= during["held_nusd"] + during["unrecorded_nusd"]
    gate.set()
    assert (await calling).status == 200
    after = await gauge_where(lambda gauge: gauge["held_nusd"] == gauge["unrecorded_nusd"] == 0 and gauge["spent_nusd"])
    assert after["spent_nusd"] < during["held_nusd"]
