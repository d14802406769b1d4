"""Keys over the admin API: shown once, and gone everywhere when they are revoked."""

import asyncio
import time

import asyncpg

from gateway import keyring
from tests.conftest import eventually


async def works(gateway, text):
    return (await gateway.get("/v1/models", {"Authorization": f"Bearer {text}"})).status == 200


async def new_key(gateway, **body):
    answered = await gateway.admin("POST", "/projects/default/keys", {"name": "ci", **body})
    assert answered.status == 201, answered.json
    return answered.json


async def test_a_key_is_shown_once_and_works(gateway):
    made = await new_key(gateway, expires_at="90d")
    assert keyring.is_well_formed(made["key"].encode())
    assert made["key"].split("-")[2] == made["public_id"]
    assert {"id", "name", "public_id", "key", "status", "created_at", "expires_at", "last_used_at"} <= set(made)
    assert (made["status"], made["last_used_at"]) == ("unused", None)
    assert await works(gateway, made["key"])
    for path in (
        "/projects/default/keys",
        f"/keys/{made['id']}",
        f"/keys/whois/{made['public_id']}",
        "/projects/default",
    ):
        answered = await gateway.admin("GET", path)
        assert answered.status == 200
        assert made["key"] not in answered.body.decode()
        assert '"key":' not in answered.body.decode()
    secret = made["key"].rpartition("-")[2]
    dump = await gateway.db.fetchval(
        "SELECT (SELECT string_agg(k::text, '') FROM api_keys k) || coalesce((SELECT string_agg(a::text, '') FROM audit_log a), '')"
    )
    assert secret not in dump


async def test_a_key_is_disabled_enabled_and_revoked(gateway):
    made = await new_key(gateway)
    assert (await gateway.admin("POST", f"/keys/{made['id']}/disable")).json["status"] == "disabled"
    await gateway.changed()
    assert not await works(gateway, made["key"])
    assert (await gateway.admin("POST", f"/keys/{made['id']}/enable")).json["status"] == "unused"
    await gateway.changed()
    assert await works(gateway, made["key"])
    gone = await gateway.admin("DELETE", f"/keys/{made['id']}")
    assert gone.json["status"] == "revoked"
    await gateway.changed()
    assert not await works(gateway, made["key"])
    for path in ("enable", "disable", "rotate"):
        assert (await gateway.admin("POST", f"/keys/{made['id']}/{path}")).code == "conflict"
    assert (await gateway.admin("PATCH", f"/keys/{made['id']}", {"name": "x"})).code == "conflict"


async def test_rotation_lets_the_old_secret_work_for_its_grace(gateway):
    made = await new_key(gateway)
    turned = (await gateway.admin("POST", f"/keys/{made['id']}/rotate", {"grace": "1h"})).json
    assert turned["id"] == made["id"]
    assert turned["key"] != made["key"]
    assert turned["status"] == "grace"
    assert turned["grace_until"]
    await gateway.changed()
    assert await works(gateway, made["key"])
    assert await works(gateway, turned["key"])
    assert (await gateway.admin("GET", f"/keys/whois/{made['public_id']}")).json["id"] == made["id"]
    last = (await gateway.admin("POST", f"/keys/{made['id']}/rotate", {"grace_s": 0})).json
    await gateway.changed()
    assert not await works(gateway, made["key"])
    assert not await works(gateway, turned["key"])
    assert await works(gateway, last["key"])


async def test_of_two_who_rotate_at_once_the_second_is_told_and_no_secret_in_use_ends(gateway):
    made = await new_key(gateway)
    path, asked = f"/keys/{made['id']}/rotate", {"grace": "1h", "public_id": made["public_id"]}
    answers = await asyncio.gather(*(gateway.admin("POST", path, asked) for _ in range(2)))
    first, second = sorted(answers, key=lambda answer: answer.status)
    assert (first.status, second.status, second.code) == (200, 409, "conflict")
    assert f"sk-optyx-{first.json['public_id']}" in second.json["error"]["message"]
    await gateway.changed()
    assert await works(gateway, made["key"])
    assert await works(gateway, first.json["key"])


async def test_a_grace_ends_by_itself(gateway):
    made = await new_key(gateway)
    await gateway.admin("POST", f"/keys/{made['id']}/rotate", {"grace_s": 1})
    await gateway.changed()
    assert await works(gateway, made["key"])
    await eventually(lambda: _no_longer(gateway, made["key"]), 3)


async def _no_longer(gateway, text):
    return not await works(gateway, text)


async def test_a_repeated_rotation_is_one_rotation(gateway):
    made = await new_key(gateway)
    headers = {"Idempotency-Key": "rotate once"}
    first = await gateway.admin("POST", f"/keys/{made['id']}/rotate", {"grace_s": 60}, headers=headers)
    again = await gateway.admin("POST", f"/keys/{made['id']}/rotate", {"grace_s": 60}, headers=headers)
    assert first.json["public_id"] == again.json["public_id"]
    assert again.json["key"] is None
    await gateway.changed()
    assert await works(gateway, first.json["key"])


WRONG = [
    ({"name": "x", "expires_at": "yesterday"}, "expires_at"),
    ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ({"name": "x", "allowed_models": ["no-such-model"]}, "allowed_models[0]"),
    ({"name": "x", "allowed_models": ["fast"]}, "allowed_models[0]"),
    ({"name": "x", "allowed_models": ["cl*ude"]}, "allowed_models[0]"),
    ({"name": "x", "allowed_models": "gpt-6-luna"}, "allowed_models"),
    ({"name": "x", "allowed_addresses": ["10.0.0.0/8", "office"]}, "allowed_addresses[1]"),
    ({"name": "x", "allowed_addresses": ["10.0.0.5/8"]}, "allowed_addresses[0]"),
    ({"name": "x", "allowed_addresses": ["fe80::1%eth0"]}, "allowed_addresses[0]"),
    ({"name": "x", "allowed_addresses": []}, "allowed_addresses"),
    ({"name": "x", "allowed_addresses": ["10.0.0.1"] * 101}, "allowed_addresses"),
    ({"name": "x", "allowed_addresses": "10.0.0.0/8"}, "allowed_addresses"),
    ({"name": "x", "key": "sk-optyx-mine"}, "key"),
    ({"name": "x", "digest": "00"}, "digest"),
    ({"name": "x", "project_id": "prj_other"}, "project_id"),
    ({}, "name"),
]


async def test_every_wrong_key_is_refused_by_field(gateway):
    for body, param in WRONG:
        answered = await gateway.admin("POST", "/projects/default/keys", body)
        assert (answered.status, answered.code, answered.json["error"]["param"]) == (422, "invalid_request", param)


async def test_a_key_s_own_list_narrows_the_project_s(gateway):
    made = await new_key(gateway, allowed_models=["gemini-*"])
    gateway.key = made["key"]
    assert (await gateway.chat(model="gpt-6-luna")).code == "model_not_allowed"
    listed = (await gateway.get("/v1/models", gateway.headers())).json["data"]
    assert {"gemini-4-argon", "smart"} <= {one["id"] for one in listed}
    assert not [one["id"] for one in listed if one["id"].startswith("gpt")]
    assert (await gateway.admin("PATCH", f"/keys/{made['id']}", {"allowed_models": None})).json[
        "allowed_models"
    ] is None
    await gateway.changed()
    assert (await gateway.chat(model="gpt-6-luna")).status == 200


async def test_a_key_is_bound_to_addresses_and_let_go_again(gateway):
    made = await new_key(
        gateway, allowed_addresses=["10.0.0.0/255.0.0.0", "2001:DB8::/32", "10.0.0.0/8", "::ffff:192.0.2.7"]
    )
    one_form = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]
    path = f"/keys/{made['id']}"
    assert made["allowed_addresses"] == (await gateway.admin("GET", path)).json["allowed_addresses"] == one_form
    assert not await works(gateway, made["key"])
    renamed = (await gateway.admin("PATCH", path, {"name": "ci-2"})).json
    assert (renamed["name"], renamed["allowed_addresses"]) == ("ci-2", one_form)
    for wrong in (["10.0.0.5/8"], []):
        assert (await gateway.admin("PATCH", path, {"allowed_addresses": wrong})).status == 422
    for given, told in ((["127.0.0.1"], ["127.0.0.1/32"]), (None, None)):
        saved = (await gateway.admin("PATCH", path, {"allowed_addresses": given})).json
        assert saved["allowed_addresses"] == told
        await gateway.changed()
        assert await works(gateway, made["key"])
    listed = (await gateway.admin("GET", "/audit?object=key")).json["data"]
    trail = [
        (one["action"], (one["before"] or {}).get("allowed_addresses"), (one["after"] or {}).get("allowed_addresses"))
        for one in reversed(listed)
        if one["object_id"] == made["id"]
    ]
    assert trail == [
        ("key.create", None, one_form),
        ("key.update", one_form, one_form),
        ("key.update", one_form, ["127.0.0.1/32"]),
        ("key.update", ["127.0.0.1/32"], None),
    ]


async def test_the_list_says_how_keys_fare(gateway):
    used = (await gateway.chat(model="gpt-6-luna")).request_id
    row = await gateway.row(used)
    await new_key(gateway, name="idle")
    listed = (await gateway.admin("GET", "/projects/default/keys")).json["data"]
    assert [one["name"] for one in listed] == ["idle", "test"]
    assert [one["status"] for one in listed] == ["unused", "active"]
    assert listed[1]["requests_24h"] == 1
    assert listed[1]["cost_nusd"] == row["cost_nusd"]
    assert listed[1]["requests_series"][-1] == 1.0
    assert listed[1]["last_used_at"] is not None
    assert [
        one["name"] for one in (await gateway.admin("GET", "/projects/default/keys?status=unused")).json["data"]
    ] == ["idle"]
    assert len((await gateway.admin("GET", "/projects/default/keys?limit=1")).json["data"]) == 1


async def test_revocation_reaches_every_worker_within_half_a_second(make_gateway):
    first, second = await make_gateway(), await make_gateway()
    made = await new_key(first)
    assert await works(first, made["key"])
    assert await works(second, made["key"])
    await first.admin("DELETE", f"/keys/{made['id']}")
    begun = time.monotonic()
    for gateway in (first, second):
        await eventually(lambda gateway=gateway: _no_longer(gateway, made["key"]), 5)
    assert time.monotonic() - begun < 0.5


async def _deafened(connection):
    try:
        await connection.execute("UNLISTEN *")
    except asyncpg.InterfaceError:  # it is asking something itself
        return False
    return True


async def test_revocation_arrives_without_notifications_too(make_gateway):
    """A worker that hears nothing polls the epoch: at most 5 s."""
    first, second = await make_gateway(), await make_gateway()
    made = await new_key(first)
    assert await works(second, made["key"])
    await eventually(
        lambda: _deafened(second.worker.refresh._connection), what="a moment between two questions of the worker's own"
    )
    await first.admin("DELETE", f"/keys/{made['id']}")
    await eventually(lambda: _no_longer(second, made["key"]), 5, "the revocation")
