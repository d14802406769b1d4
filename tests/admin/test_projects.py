"""Projects over the admin API."""

import asyncio

from tests.conftest import eventually


async def test_a_project_lives_and_is_archived_before_it_goes(gateway):
    made = await gateway.admin("POST", "/projects", {"name": "Café & Co"})
    assert made.status == 201
    assert (made.json["slug"], made.json["status"], made.json["name"]) == ("cafe-co", "active", "Café & Co")
    assert made.json["created_by"] == "the owner"
    project = made.json["id"]
    by_slug = (await gateway.admin("GET", "/projects/cafe-co")).json
    assert by_slug["id"] == project

    renamed = await gateway.admin("PATCH", f"/projects/{project}", {"name": "Café", "slug": "cafe"})
    assert (renamed.json["name"], renamed.json["slug"]) == ("Café", "cafe")
    assert (await gateway.admin("GET", "/projects/cafe-co")).code == "not_found"

    early = await gateway.admin("DELETE", "/projects/cafe")
    assert (early.status, early.code) == (409, "conflict")
    assert (await gateway.admin("POST", "/projects/cafe/archive")).json["status"] == "archived"
    assert (await gateway.admin("POST", "/projects/cafe/restore")).json["status"] == "active"
    await gateway.admin("POST", "/projects/cafe/archive")
    assert (await gateway.admin("DELETE", "/projects/cafe", role="operator")).status == 403
    assert (await gateway.admin("DELETE", "/projects/cafe")).status == 200
    assert (await gateway.admin("GET", "/projects/cafe")).status == 404


async def test_slugs_follow_from_names_and_stay_unique(gateway):
    slugs = [(await gateway.admin("POST", "/projects", {"name": "Same"})).json["slug"] for _ in range(3)]
    assert slugs == ["same", "same-2", "same-3"]
    taken = await gateway.admin("POST", "/projects", {"name": "Other", "slug": "same"})
    assert (taken.status, taken.code, taken.json["error"]["param"]) == (409, "conflict", "slug")
    assert (await gateway.admin("POST", "/projects", {"name": "✱✱"})).json["slug"] == "project"


async def test_an_archived_project_s_keys_stop(gateway):
    made = (await gateway.admin("POST", "/projects", {"name": "short", "with_key": "first"})).json
    text = made["key"]["key"]
    await gateway.changed()
    listed = await gateway.get("/v1/models", {"Authorization": f"Bearer {text}"})
    assert listed.status == 200
    await gateway.admin("POST", "/projects/short/archive")
    await gateway.changed()
    assert (await gateway.get("/v1/models", {"Authorization": f"Bearer {text}"})).status == 401
    assert (await gateway.admin("POST", "/projects/short/keys", {"name": "more"})).code == "conflict"


async def test_pages_give_every_project_once(gateway):
    for number in range(7):
        await gateway.admin("POST", "/projects", {"name": f"project {number % 3}"})
    seen, cursor = [], ""
    while True:
        page = (await gateway.admin("GET", f"/projects?limit=3&cursor={cursor}")).json
        assert len(page["data"]) <= 3
        seen += [one["id"] for one in page["data"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 8
    for wrong in ("limit=0", "limit=1001", "limit=x"):
        assert (await gateway.admin("GET", f"/projects?{wrong}")).status == 422
    assert (await gateway.admin("GET", "/projects?cursor=nonsense")).status == 400
    assert len((await gateway.admin("GET", "/projects?status=archived")).json["data"]) == 0


async def test_the_list_shows_what_was_used(gateway):
    answered = await gateway.chat(model="gpt-6-luna")
    assert answered.status == 200
    row = await gateway.row(answered.request_id)
    await gateway.db.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ('bud_1', 'project', $1, 1000000000, '1mo')",
        gateway.project_id,
    )
    shown = (await gateway.admin("GET", "/projects")).json["data"][0]
    assert shown["today_nusd"] == shown["month_nusd"] == row["cost_nusd"] > 0
    assert shown["spend_series"][-1] == row["cost_nusd"] / 1e9
    assert len(shown["spend_series"]) == 30
    assert shown["requests_per_s"] > 0
    assert shown["error_share"] == 0
    assert shown["keys_total"] == shown["keys_usable"] == 1
    assert shown["budget"]["spent_nusd"] == row["cost_nusd"]
    assert shown["budget"]["amount_usd"] == "1.00"
    assert shown["budget"]["resets_at"].endswith("Z")


async def test_two_creates_with_one_idempotency_key_make_one(gateway):
    await gateway.admin("GET", "/whoami")
    headers = {"Idempotency-Key": "make it once"}
    body = {"name": "once", "with_key": "first"}
    both = await asyncio.gather(*(gateway.admin("POST", "/projects", body, headers=headers) for _ in range(2)))
    assert {answered.status for answered in both} == {201}
    assert len({answered.json["id"] for answered in both}) == 1
    first, second = sorted(both, key=lambda answered: "idempotent-replayed" in answered.headers)
    assert first.json["key"]["key"].startswith("sk-optyx-")
    assert second.json["key"] is None
    assert "only there" in second.json["note"]
    other = await gateway.admin("POST", "/projects", {"name": "else"}, headers=headers)
    assert (other.status, other.code) == (422, "idempotency_mismatch")
    stored = await gateway.db.fetchval("SELECT string_agg(answer::text, '') FROM admin_idempotency")
    assert first.json["key"]["key"] not in stored


async def test_a_create_that_failed_may_be_repeated_with_its_idempotency_key(gateway):
    headers = {"Idempotency-Key": "again"}
    assert (await gateway.admin("POST", "/projects", {"name": "x", "slug": "default"}, headers=headers)).status == 409
    assert (await gateway.admin("POST", "/projects", {"name": "x", "slug": "default"}, headers=headers)).status == 409
    assert await gateway.db.fetchval("SELECT count(*) FROM admin_idempotency") == 0


async def test_hostile_text_is_kept_as_text_or_refused_by_name(gateway):
    for name in ("'; DROP TABLE projects; --", "<script>", "{{7*7}}", "a" * 120, "\u202eevil", "日本"):
        made = await gateway.admin("POST", "/projects", {"name": name})
        assert (made.status, made.json["name"]) == (201, name)
    for body in (
        b'{"name":"nul \\u0000"}', b'{"name":"esc \\u001b[2J"}', b'{"name":"half \\ud800"}', b'{"name":""}', b'{"name":"  "}',
        b'{"name":7}', b'{"name":null}', b'{}', b'{"name":"' + b"a" * 121 + b'"}',
    ):  # fmt: skip
        refused = await gateway.admin("POST", "/projects", body, headers={"Content-Type": "application/json"})
        assert (refused.status, refused.code, refused.json["error"]["param"]) == (422, "invalid_request", "name"), body
    for body in (
        b"{",
        b"[]",
        b"NaN",
        b'{"name":NaN}',
        b'{"name":"\xff"}',
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    ):
        refused = await gateway.admin("POST", "/projects", body, headers={"Content-Type": "application/json"})
        assert (refused.status, refused.code) == (400, "invalid_json"), body[:20]
    twice = await gateway.admin(
        "POST", "/projects", b'{"name":"a","name":"b"}', headers={"Content-Type": "application/json"}
    )
    assert (twice.status, twice.code) == (400, "duplicate_key")
    large = await gateway.admin(
        "POST", "/projects", b'{"name":"' + b"a" * (1 << 20) + b'"}', headers={"Content-Type": "application/json"}
    )
    assert (large.status, large.code) == (413, "request_too_large")
    for path in ("/projects/%00", "/projects/%1b", "/projects/..%2f", "/projects/%27%20OR%201=1"):
        assert (await gateway.admin("GET", path)).status in (404, 422)


async def test_fields_that_are_not_the_caller_s_are_refused(gateway):
    for field in ("id", "org_id", "created_by", "archived_at", "status", "keys_total"):
        refused = await gateway.admin("POST", "/projects", {"name": "x", field: "prj_mine"})
        assert (refused.status, refused.json["error"]["param"]) == (422, field)
        refused = await gateway.admin("PATCH", f"/projects/{gateway.project_id}", {field: "x"})
        assert (refused.status, refused.json["error"]["param"]) == (422, field)
    several = await gateway.admin("POST", "/projects", {"id": 1, "nmae": 2})
    message = several.json["error"]["message"]
    assert "id: " in message
    assert "nmae: " in message
    assert "name: it is required" in message


async def test_the_answer_to_a_change_comes_after_every_worker_can_know(gateway):
    await gateway.admin("PATCH", f"/projects/{gateway.project_id}", {"name": "Renamed"})
    await eventually(lambda: gateway.worker.refresh.catalog.projects[gateway.project_id].name == "Renamed", 0.5)
