"""Tiers, models and prices over the admin API."""


async def test_a_tier_s_targets_are_put_in_order_and_used(gateway):
    before = await gateway.admin("GET", "/tiers/fast")
    assert [one["model"] for one in before.json["targets"]] == ["gpt-6-luna", "gemini-3.5-flash-lite"]
    targets = [
        {"provider": "google", "model": "gemini-4-argon"},
        {"provider": "openai", "model": "gpt-6-luna", "timeouts": {"idle_ms": 5}},
    ]
    saved = await gateway.admin(
        "PUT", "/tiers/fast", {"targets": targets}, headers={"If-Match": before.headers["etag"]}
    )
    assert saved.status == 200, saved.json
    assert saved.json["targets"] == [{**targets[0], "timeouts": None}, targets[1]]
    assert (await gateway.chat()).headers["x-optyx-model"] == "gemini-4-argon"
    stale = await gateway.admin(
        "PUT", "/tiers/fast", {"targets": targets[:1]}, headers={"If-Match": before.headers["etag"]}
    )
    assert stale.status == 412
    undone = await gateway.admin("POST", f"/undo/{saved.json['audit_id']}")
    assert undone.status == 200
    assert (await gateway.chat()).headers["x-optyx-model"] == "gpt-6-luna"


async def test_several_tiers_change_together_or_not_at_all(gateway):
    luna = [{"provider": "openai", "model": "gpt-6-luna"}]
    wrong = await gateway.admin(
        "PUT", "/tiers", {"data": [{"name": "fast", "targets": luna}, {"name": "smart", "targets": []}]}
    )
    assert (wrong.status, wrong.json["error"]["param"]) == (422, "data[1].targets")
    assert len((await gateway.admin("GET", "/tiers/fast")).json["targets"]) == 2
    listed = await gateway.admin("GET", "/tiers")
    assert [one["name"] for one in listed.json["data"]] == ["fast", "smart", "embedding"]
    both = await gateway.admin(
        "PUT", "/tiers", {"data": [{"name": "fast", "targets": luna}, {"name": "cheap", "mode": "chat", "targets": luna}]},
        headers={"If-Match": listed.headers["etag"]},
    )  # fmt: skip
    assert both.status == 200, both.json
    assert [one["name"] for one in both.json["data"]] == ["fast", "smart", "embedding", "cheap"]
    assert (await gateway.chat(model="cheap")).headers["x-optyx-tier"] == "cheap"
    as_read = (await gateway.admin("GET", "/tiers/fast")).json
    assert (await gateway.admin("PUT", "/tiers", as_read)).status == 200
    assert (await gateway.admin("PUT", "/tiers", {**as_read, "version": 1})).code == "precondition_failed"
    one = await gateway.admin("PUT", "/tiers", {"name": "smart", "targets": luna})
    assert one.json["data"][1]["targets"][0]["model"] == "gpt-6-luna"
    for body in (
        {"name": "fast", "targets": [{"provider": "google", "model": "gemini-embedding-001"}]},
        {},
        {"name": "fast"},
    ):
        assert (await gateway.admin("PUT", "/tiers", body)).status == 422
    assert (await gateway.admin("PUT", "/tiers/none", {"targets": luna})).status == 404


async def test_a_model_is_added_switched_and_found_by_both_names(gateway):
    made = await gateway.admin(
        "POST", "/models", {"id": "vendor/new-model", "provider": "openai", "max_output_tokens": 100}
    )
    assert made.status == 201, made.json
    assert made.json["upstream_name"] == "vendor/new-model"
    assert (await gateway.chat(model="vendor/new-model")).status == 200
    for path in ("/models/vendor/new-model", "/models/openai/vendor/new-model", "/models/vendor%2Fnew-model"):
        assert (await gateway.admin("GET", path)).json["provider"] == "openai", path
    off = await gateway.admin("PATCH", "/models/vendor/new-model", {"enabled": False})
    assert (off.json["enabled"], off.json["version"]) == (False, 2)
    assert (await gateway.chat(model="vendor/new-model")).code == "model_not_found"
    assert (await gateway.admin("POST", "/models", {"id": "gpt-6-luna", "provider": "openai"})).code == "conflict"
    for body, param in (
        ({"id": "x", "provider": "none"}, "provider"),
        ({"id": "a*", "provider": "openai"}, "id"),
        ({"id": "openai/x", "provider": "openai"}, "id"),
        ({"id": "x", "provider": "openai", "mode": "image"}, "mode"),
        ({"id": "x", "provider": "openai", "max_input_tokens": 0}, "max_input_tokens"),
        ({"id": "x", "provider": "openai", "provider_id": "y"}, "provider_id"),
    ):
        answered = await gateway.admin("POST", "/models", body)
        assert (answered.status, answered.json["error"]["param"]) == (422, param)
    listed = (await gateway.admin("GET", "/models?provider=google&limit=1000")).json["data"]
    assert {one["provider"] for one in listed} == {"google"}
    assert (await gateway.admin("GET", "/models/gpt-6-luna")).json["input_nusd"] > 0
    assert (await gateway.admin("GET", "/models/none")).code == "model_not_found"


async def test_prices_are_exact_dated_and_never_change_what_was_paid(gateway):
    await gateway.admin("POST", "/models", {"id": "priced", "provider": "openai"})
    body = {
        "provider": "openai",
        "model": "priced",
        "input_usd": "0.123456789",
        "output_usd": "2",
        "cached_input_usd": "0.01",
    }
    made = await gateway.admin("POST", "/prices", body)
    assert made.status == 201, made.json
    assert (made.json["input_usd"], made.json["output_usd"], made.json["cached_input_usd"]) == (
        "0.123456789",
        "2.00",
        "0.01",
    )
    row = await gateway.db.fetchrow("SELECT * FROM prices WHERE id = $1", made.json["id"])
    assert (row["input_nusd"], row["output_nusd"]) == (123_456_789, 2_000_000_000)
    paid = await gateway.row((await gateway.chat(model="priced")).request_id)
    assert paid["price_id"] == made.json["id"]
    exact = paid["prompt_tokens"] * 123_456_789 + paid["completion_tokens"] * 2_000_000_000
    assert paid["cost_nusd"] == (2 * exact + 1_000_000) // 2_000_000
    past = await gateway.admin("POST", "/prices", {**body, "effective_from": "2026-01-01T00:00:00Z", "input_usd": "9"})
    assert (past.status, past.code) == (409, "conflict")
    later = await gateway.admin("POST", "/prices", {**body, "input_usd": "9", "effective_from": "30d"})
    assert later.status == 201
    listed = (await gateway.admin("GET", "/prices?provider=openai&model=priced")).json["data"]
    assert [one["input_usd"] for one in listed] == ["0.123456789", "9.00"]
    assert (await gateway.admin("GET", "/models/priced")).json["input_nusd"] == 123_456_789
    first = (await gateway.admin("GET", "/prices?limit=1")).json
    assert (await gateway.admin("GET", f"/prices?limit=1&cursor={first['next']}")).json["data"][0]["id"] != first[
        "data"
    ][0]["id"]
    for change, param in (
        ({"input_usd": 1}, "input_usd"),
        ({"input_usd": "-1"}, "input_usd"),
        ({"input_usd": "1000000.000000001"}, "input_usd"),
        ({"above_tokens": 5}, "above_tokens"),
        ({"model": "none"}, "model"),
        ({"effective_from": "soon"}, "effective_from"),
        ({"input_nusd": 1}, "input_nusd"),
    ):
        answered = await gateway.admin("POST", "/prices", {**body, **change})
        assert (answered.status, answered.json["error"]["param"]) == (422, param), answered.json
