"""Who changed what: a chain nobody bends unseen, and half a minute to change one's mind."""

import json


async def entries(gateway, query=""):
    return (await gateway.admin("GET", f"/audit{query}")).json["data"]


async def test_every_change_is_written_down_with_its_reason(gateway):
    headers = {"x-optyx-reason": "nightly clean-up", "x-optyx-via": "cli", "x-request-id": "req-audit-1"}
    made = await gateway.admin(
        "POST", "/projects", {"name": "acme", "with_key": "first"}, headers=headers, role="operator"
    )
    found = await entries(gateway)
    assert [one["action"] for one in found] == ["key.create", "project.create"]
    one = found[1]
    assert (one["actor"], one["origin"], one["reason"], one["request_id"]) == (
        "the operator", "cli 127.0.0.1", "nightly clean-up", "req-audit-1"
    )  # fmt: skip
    assert (one["object_type"], one["object_id"], one["object_name"], one["project"]) == (
        "project", made.json["id"], "acme", "acme"
    )  # fmt: skip
    assert one["after"] == {"name": "acme", "slug": "acme"}
    assert (await gateway.admin("GET", f"/audit/{one['id']}")).json == one
    for name in ("x-optyx-reason", "x-optyx-via"):
        assert (await gateway.admin("POST", "/projects", {"name": "x"}, headers={name: "a\tb"})).status == 400


async def test_a_change_that_fails_leaves_no_entry_and_a_forbidden_one_does(gateway):
    await gateway.admin("POST", "/projects", {"name": "x", "slug": "default"})
    assert await entries(gateway) == []
    await gateway.admin("POST", "/projects", {"name": "x"}, role="viewer")
    (one,) = await entries(gateway)
    assert (one["action"], one["result"], one["actor"]) == ("POST /projects", "forbidden", "the viewer")


async def test_a_search_narrows_by_what_is_asked(gateway):
    for name in ("alpha", "beta_1", "gamma"):
        await gateway.admin("POST", "/projects", {"name": name})
    await gateway.admin("PATCH", "/projects/alpha", {"name": "omega"}, role="operator")
    assert len(await entries(gateway)) == 4
    assert len(await entries(gateway, "?action=project.create")) == 3
    assert len(await entries(gateway, "?action=project.*")) == 4
    assert [one["object_name"] for one in await entries(gateway, "?project=alpha")] == ["omega", "alpha"]
    assert [one["object_name"] for one in await entries(gateway, "?filter=actor:the%20operator")] == []
    assert len(await entries(gateway, "?actor=the%20operator")) == 1
    assert [one["object_name"] for one in await entries(gateway, "?filter=action:project.create%20gam")] == ["gamma"]
    assert [one["object_name"] for one in await entries(gateway, "?filter=a_1")] == ["beta_1"]
    assert await entries(gateway, "?filter=%25nothing") == []
    assert len(await entries(gateway, "?since=1h")) == 4
    assert await entries(gateway, "?until=1h") == []
    first = (await gateway.admin("GET", "/audit?limit=3")).json
    second = (await gateway.admin("GET", f"/audit?limit=3&cursor={first['next']}")).json
    assert len(first["data"] + second["data"]) == 4
    assert second["next"] is None


async def test_the_chain_shows_a_row_that_was_changed_or_taken_out(gateway):
    for name in ("a", "b", "c"):
        await gateway.admin("POST", "/projects", {"name": name})
    whole = (await gateway.admin("GET", "/audit/verify")).json
    assert (whole["ok"], whole["entries"], whole["broken_at"]) == (True, 3, None)
    ids = [one["id"] for one in reversed(await entries(gateway))]
    for statement in (
        "UPDATE audit_log SET actor = 'somebody else' WHERE seq = 2",
        'UPDATE audit_log SET after = \'{"name": "z"}\' WHERE seq = 2',
        "UPDATE audit_log SET created_at = created_at - interval '1 day' WHERE seq = 2",
    ):
        held = gateway.db.transaction()
        await gateway.db.execute("CREATE TABLE IF NOT EXISTS kept AS TABLE audit_log")
        await gateway.db.execute(statement)
        broken = (await gateway.admin("GET", "/audit/verify")).json
        assert (broken["ok"], broken["broken_at"]) == (False, ids[1]), statement
        await gateway.db.execute("DELETE FROM audit_log")
        await gateway.db.execute("INSERT INTO audit_log SELECT * FROM kept")
        del held
    await gateway.db.execute("DELETE FROM audit_log WHERE seq = 2")
    gone = (await gateway.admin("GET", "/audit/verify")).json
    assert (gone["ok"], gone["broken_at"]) == (False, ids[2])


async def test_the_chain_holds_under_changes_at_once(gateway):
    import asyncio

    await gateway.admin("GET", "/whoami")
    made = await asyncio.gather(*(gateway.admin("POST", "/projects", {"name": f"p{n}"}) for n in range(12)))
    assert {answered.status for answered in made} == {201}
    whole = (await gateway.admin("GET", "/audit/verify")).json
    assert (whole["ok"], whole["entries"]) == (True, 12)


async def test_acts_are_undone_once_while_fresh(gateway):
    key = (await gateway.admin("GET", "/projects/default/keys")).json["data"][0]["id"]
    acts = [
        ("POST", f"/keys/{key}/disable", None, f"/keys/{key}", "status"),
        ("PATCH", "/projects/default/settings", {"capture": True, "allowed_models": ["gpt-*"]}, "/projects/default/settings", "capture"),
        ("PUT", "/projects/default/limits", {"rpm": 7, "budgets": [{"amount_usd": "1", "window": "1d"}]}, "/projects/default/limits", "rpm"),
        ("POST", "/projects/default/archive", None, "/projects/default", "status"),
    ]  # fmt: skip
    for method, path, body, look, field in acts:
        before = (await gateway.admin("GET", look)).json[field]
        audit_id = (await gateway.admin(method, path, body)).json["audit_id"]
        assert (await gateway.admin("GET", look)).json[field] != before
        undone = await gateway.admin("POST", f"/undo/{audit_id}")
        assert undone.status == 200, undone.json
        assert (await gateway.admin("GET", look)).json[field] == before, path
        again = await gateway.admin("POST", f"/undo/{audit_id}")
        assert (again.status, again.code) == (409, "conflict")
    assert (await gateway.admin("GET", "/audit?limit=1")).json["data"][0]["action"] == "undo.project.archive"
    assert (await gateway.admin("GET", "/audit/verify")).json["ok"]
    assert (await gateway.admin("POST", "/undo/aud_none")).status == 404


async def test_an_undo_never_overwrites_a_later_change_and_ends_after_half_a_minute(gateway):
    path = "/projects/default/settings"
    first = (await gateway.admin("PATCH", path, {"capture": True})).json["audit_id"]
    await gateway.admin("PATCH", path, {"failover": False})
    late = await gateway.admin("POST", f"/undo/{first}")
    assert (late.status, late.code) == (409, "conflict")
    assert (await gateway.admin("GET", path)).json["capture"] is True
    made = (await gateway.admin("POST", "/projects", {"name": "x"})).json["audit_id"]
    assert "can't be undone" in (await gateway.admin("POST", f"/undo/{made}")).json["error"]["message"]
    old = (await gateway.admin("POST", "/projects/x/archive")).json["audit_id"]
    await gateway.db.execute("UPDATE audit_log SET created_at = created_at - interval '31 seconds' WHERE id = $1", old)
    assert "30 s" in (await gateway.admin("POST", f"/undo/{old}")).json["error"]["message"]


async def test_an_undo_needs_the_right_to_the_act(gateway):
    limits = (await gateway.admin("PUT", "/orgs/default/limits", {"rpm": 1})).json["audit_id"]
    answered = await gateway.admin("POST", f"/undo/{limits}", role="operator")
    assert (answered.status, answered.code) == (403, "forbidden")
    assert (await gateway.admin("GET", "/orgs/default/limits")).json["rpm"] == 1
    assert [(one["action"], one["result"]) for one in await entries(gateway, "?limit=1")] == [
        ("POST /undo/{a}", "forbidden")
    ]
    assert (await gateway.admin("POST", f"/undo/{limits}")).status == 200


async def test_no_secret_is_in_the_audit(gateway):
    made = (await gateway.admin("POST", "/projects/default/keys", {"name": "x"})).json
    turned = (await gateway.admin("POST", f"/keys/{made['id']}/rotate", {"grace_s": 5})).json
    dump = json.dumps(await entries(gateway)) + str(await gateway.db.fetch("SELECT a::text FROM audit_log a"))
    for text in (made["key"], turned["key"]):
        assert text not in dump
        assert text.rpartition("-")[2] not in dump
