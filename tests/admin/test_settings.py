"""Settings of a project: checked, guarded against others' changes, kept, previewed, and in force."""

import asyncio

SETTINGS = "/projects/default/settings"


async def patch(gateway, body, **headers):
    return await gateway.admin("PATCH", SETTINGS, body, headers=headers)


async def test_a_change_is_in_force_and_kept_as_a_version(gateway):
    before = await gateway.admin("GET", SETTINGS)
    assert before.json["allowed_models"] is None
    assert {"default_tier", "tiers", "allowed_models", "failover", "capture", "timezone"} <= set(before.json)
    saved = await patch(
        gateway, {"allowed_models": ["gemini-*"], "failover": False}, **{"If-Match": before.headers["etag"]}
    )
    assert saved.status == 200
    assert saved.json["allowed_models"] == ["gemini-*"]
    assert saved.json["version"] == before.json["version"] + 1
    assert saved.headers["etag"] == f'"{saved.json["version"]}"'
    assert saved.json["audit_id"]
    await gateway.changed()
    assert (await gateway.chat(model="gpt-6-luna")).code == "model_not_allowed"
    assert (await gateway.chat(model="google/gemini-4-argon")).status == 200
    history = (await gateway.admin("GET", f"{SETTINGS}/history")).json["data"]
    assert [one["version"] for one in history] == [2, 1]
    assert history[0]["summary"] == "allowed_models default → gemini-*, failover on → off"
    assert history[0]["values"]["allowed_models"] == ["gemini-*"]
    assert history[1]["values"]["failover"] is True

    restored = await gateway.admin("POST", f"{SETTINGS}:restore", {"version": 1})
    assert restored.json["version"] == 3
    assert restored.json["allowed_models"] is None
    await gateway.changed()
    assert (await gateway.chat(model="gpt-6-luna")).status == 200
    assert (await gateway.admin("POST", f"{SETTINGS}:restore", {"version": 99})).status == 404


async def test_of_two_who_save_over_the_same_version_one_is_told(gateway):
    etag = (await gateway.admin("GET", SETTINGS)).headers["etag"]
    both = await asyncio.gather(
        *(patch(gateway, {"capture": True, "failover": on}, **{"If-Match": etag}) for on in (True, False))
    )
    assert sorted(answered.status for answered in both) == [200, 412]
    told = next(answered for answered in both if answered.status == 412)
    assert told.code == "precondition_failed"
    assert told.headers["etag"] == '"2"'
    assert (await patch(gateway, {"capture": False})).status == 200
    assert (await patch(gateway, {"capture": True}, **{"If-Match": "*"})).status == 200


async def test_nothing_changed_is_no_new_version(gateway):
    first = await patch(gateway, {"capture": False})
    assert (first.json["version"], first.json["audit_id"]) == (1, None)
    assert await gateway.db.fetchval("SELECT count(*) FROM audit_log") == 0


async def test_a_project_s_own_tier_and_default_are_used(gateway):
    own = {"fast": [{"provider": "google", "model": "gemini-4-argon", "timeouts": {"whole_ms": 9000}}]}
    saved = await patch(gateway, {"tiers": own, "default_tier": "smart"})
    assert saved.status == 200, saved.json
    assert saved.json["tiers"]["fast"][0]["timeouts"] == {"whole_ms": 9000}
    await gateway.changed()
    project = gateway.worker.refresh.catalog.projects[gateway.project_id]
    assert [target.model.id for target in project.tiers["fast"]] == ["gemini-4-argon"]
    assert project.tiers["fast"][0].timeouts.whole_ms == 9000
    assert project.default_tier == "smart"
    assert (await patch(gateway, {"tiers": None, "default_tier": None})).json["tiers"] is None


WRONG = [
    ({"allowed_models": ["gpt-6-luna", "no-such"]}, "allowed_models[1]"),
    ({"allowed_models": ["openai/no-such"]}, "allowed_models[0]"),
    ({"allowed_models": ["*-luna"]}, "allowed_models[0]"),
    ({"default_tier": "slow"}, "default_tier"),
    ({"default_tier": "embedding"}, "default_tier"),
    ({"tiers": {"slow": [{"provider": "openai", "model": "gpt-6-luna"}]}}, "tiers.slow"),
    ({"tiers": {"fast": []}}, "tiers.fast"),
    ({"tiers": {"fast": [{"provider": "nobody", "model": "gpt-6-luna"}]}}, "tiers.fast[0].provider"),
    ({"tiers": {"fast": [{"provider": "openai", "model": "gemini-4-argon"}]}}, "tiers.fast[0].model"),
    ({"tiers": {"fast": [{"provider": "google", "model": "gemini-embedding-001"}]}}, "tiers.fast[0]"),
    ({"tiers": {"fast": [{"provider": "openai", "model": "gpt-6-luna"}] * 2}}, "tiers.fast[1]"),
    (
        {"tiers": {"fast": [{"provider": "openai", "model": "gpt-6-luna", "base_url": "http://evil"}]}},
        "tiers.fast[0]",
    ),
    ({"timezone": "Mars/Base"}, "timezone"),
    ({"timezone": "../../etc/passwd"}, "timezone"),
    ({"failover": None}, "failover"),
    ({"failover": "yes"}, "failover"),
    ({"version": 9}, "version"),
    ({"project_id": "prj_x"}, "project_id"),
]


async def test_every_wrong_setting_is_refused_by_field(gateway):
    for body, param in WRONG:
        answered = await patch(gateway, body)
        assert (answered.status, answered.code) == (422, "invalid_request"), answered.json
        assert answered.json["error"]["param"].startswith(param)


async def test_a_preview_says_what_it_would_have_refused(gateway):
    named, by_tier = await gateway.chat(model="gpt-6-luna"), await gateway.chat()
    for answered in (named, by_tier):
        await gateway.row(answered.request_id)
    preview = (
        await gateway.admin("POST", f"{SETTINGS}:preview", {"allowed_models": ["gemini-*"], "timezone": "Mars/Base"})
    ).json
    assert [one["field"] for one in preview["problems"]] == ["timezone"]
    assert {one["field"] for one in preview["differences"]} == {"allowed_models", "timezone"}
    assert (preview["examined"], preview["refused"]) == (2, 1)
    assert (preview["elsewhere"], preview["no_fallback"]) == (1, 0)
    refused, moved = preview["impact"]
    assert refused == {
        "key": "test",
        "key_id": moved["key_id"],
        "requests": 1,
        "outcome": "refused",
        "reason": "model gpt-6-luna is not allowed",
    }
    assert moved["outcome"] == "elsewhere"
    narrow = (await gateway.admin("POST", f"{SETTINGS}:preview", {"allowed_models": ["claude-*"]})).json
    assert narrow["refused"] == 2
    assert "no target of the tier fast is allowed" in {one["reason"] for one in narrow["impact"]}
    assert (await gateway.admin("GET", SETTINGS)).json["version"] == 1
