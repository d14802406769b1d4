"""Users, admin tokens, orgs, and settings of the gateway."""

import msgspec

from gateway.admin.schema.settings import GatewaySettings
from gateway.catalog import Settings


async def ask(gateway, token, path="/whoami"):
    return await gateway.get(f"/admin/v1{path}", {"Authorization": f"Bearer {token}"})


async def test_a_token_is_shown_once_and_stops_when_it_is_revoked(gateway):
    made = await gateway.admin("POST", "/tokens", {"name": "deploys", "role": "operator", "expires_at": "30d"})
    assert made.status == 201
    token = made.json["token"]
    told = (await ask(gateway, token)).json
    assert (told["name"], told["role"], told["token_id"]) == ("deploys", "operator", made.json["id"])
    listed = await gateway.admin("GET", "/tokens")
    assert token not in listed.body.decode()
    assert '"token":' not in listed.body.decode()
    assert (await ask(gateway, token, "/tokens")).code == "forbidden"
    again = await gateway.admin("POST", "/tokens", {"name": "x"}, headers={"Idempotency-Key": "t"})
    repeated = await gateway.admin("POST", "/tokens", {"name": "x"}, headers={"Idempotency-Key": "t"})
    assert (again.json["id"], repeated.json["token"]) == (repeated.json["id"], None)
    gone = await gateway.admin("DELETE", f"/tokens/{made.json['id']}")
    assert gone.json["status"] == "revoked"
    assert (await ask(gateway, token)).status == 401


async def test_the_last_owner_stays(gateway):
    mine = (await gateway.admin("GET", "/whoami")).json["token_id"]
    last = await gateway.admin("DELETE", f"/tokens/{mine}")
    assert (last.status, last.code) == (409, "conflict")
    await gateway.admin("POST", "/tokens", {"name": "second", "role": "owner"})
    assert (await gateway.admin("DELETE", f"/tokens/{mine}")).status == 200


async def test_a_user_is_made_changed_and_disabled_with_the_tokens(gateway):
    made = await gateway.admin("POST", "/users", {"email": "lena@example.com", "name": "Lena", "role": "operator"})
    assert (made.status, made.json["role"], made.json["org_id"]) == (201, "operator", gateway.org_id)
    token = (
        await gateway.admin("POST", "/tokens", {"name": "lena's", "role": "viewer", "user": "lena@example.com"})
    ).json["token"]
    assert (await ask(gateway, token)).status == 200
    changed = await gateway.admin("PATCH", f"/users/{made.json['id']}", {"role": "viewer", "disabled": True})
    assert (changed.json["role"], changed.json["disabled"]) == ("viewer", True)
    assert (await ask(gateway, token)).status == 401
    assert (await gateway.admin("POST", "/users", {"email": "lena@example.com", "name": "x"})).code == "conflict"
    for body in (
        {"email": "no-mail", "name": "x"},
        {"email": "a@b.c", "name": "x", "role": "god"},
        {"email": "a@b.c", "name": "x", "id": 1},
    ):
        assert (await gateway.admin("POST", "/users", body)).status == 422
    assert [one["email"] for one in (await gateway.admin("GET", "/users")).json["data"]] == [
        "lena@example.com",
        "owner@localhost",
    ]


async def test_a_token_never_outranks_its_user(gateway):
    made = await gateway.admin("POST", "/users", {"email": "omar@example.com", "name": "Omar", "role": "operator"})
    above = await gateway.admin("POST", "/tokens", {"name": "x", "role": "owner", "user": made.json["id"]})
    assert (above.status, above.json["error"]["param"]) == (422, "role")
    token = (await gateway.admin("POST", "/tokens", {"name": "x", "role": "operator", "user": made.json["id"]})).json[
        "token"
    ]
    assert (await ask(gateway, token)).json["role"] == "operator"
    await gateway.admin("PATCH", f"/users/{made.json['id']}", {"role": "viewer"})
    assert (await ask(gateway, token)).json["role"] == "viewer"
    await gateway.admin("PATCH", f"/users/{made.json['id']}", {"role": None})
    assert (await ask(gateway, token)).status == 401


async def test_the_gateway_s_settings_are_the_catalog_s(gateway):
    told = (await gateway.admin("GET", "/settings")).json
    assert told == msgspec.to_builtins(Settings())
    assert msgspec.to_builtins(GatewaySettings()) == told
    saved = await gateway.admin(
        "PATCH", "/settings", {"log_retention_days": 30, "alert_webhook": "https://hooks.example.com/x"}
    )
    assert saved.json["log_retention_days"] == 30
    assert gateway.worker.refresh.catalog.settings.log_retention_days == 30
    back = await gateway.admin("PATCH", "/settings", {"log_retention_days": None, "alert_webhook": None})
    assert back.json["log_retention_days"] == 90
    for body in (
        {"log_retention_days": 0},
        {"alert_webhook": "http://169.254.169.254/"},
        {"rate_without_coordinator": "x"},
        {"nope": 1},
    ):
        assert (await gateway.admin("PATCH", "/settings", body)).status == 422


async def test_an_org_s_time_zone_is_checked(gateway):
    assert (await gateway.admin("GET", "/orgs")).json["data"][0]["id"] == gateway.org_id
    saved = await gateway.admin("PATCH", "/orgs/default", {"timezone": "Europe/Berlin", "name": "ACME"})
    assert (saved.json["timezone"], saved.json["name"]) == ("Europe/Berlin", "ACME")
    assert (await gateway.admin("PATCH", "/orgs/default", {"timezone": "Nowhere"})).json["error"]["param"] == "timezone"
    assert (await gateway.admin("GET", "/orgs/none")).status == 404
