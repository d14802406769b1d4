"""Providers over the admin API: credentials go in and never come out, addresses are checked, a switch says what it means."""

import base64
import json
import secrets

import pytest

from gateway.addresses import refused_address, refused_url
from tests.conftest import eventually, free_port
from tests.upstream import failing, whole

KEY = base64.b64encode(secrets.token_bytes(32)).decode()
SECRET = "sk-upstream-canary-4711"


async def new_provider(gateway, **more):
    body = {"name": "mine", "kind": "openai", "base_url": gateway.upstream.base_url, "credential": SECRET, **more}
    answered = await gateway.admin(
        "POST", "/providers", {name: value for name, value in body.items() if value is not None}
    )
    assert answered.status == 201, answered.json
    return answered.json


async def test_a_stored_credential_is_used_and_never_shown(make_gateway, caplog):
    caplog.set_level("DEBUG")
    gateway = await make_gateway(OPTYX_SECRET_KEY=KEY)
    made = await new_provider(gateway)
    assert (made["credential"], made["credential_state"], made["kind"]) == ("stored", "", "openai")
    await gateway.admin("POST", "/models", {"id": "own-model", "provider": "mine", "is_free": True})
    answered = await gateway.chat(model="own-model")
    assert answered.status == 200, answered.json
    assert gateway.upstream.seen[-1].headers["authorization"] == f"Bearer {SECRET}"

    turned = await gateway.admin("PATCH", "/providers/mine", {"credential": SECRET + "-new"})
    assert turned.json["version"] == 2
    await gateway.chat(model="own-model")
    assert gateway.upstream.seen[-1].headers["authorization"] == f"Bearer {SECRET}-new"

    answers = [
        await gateway.admin("GET", path) for path in ("/providers", "/providers/mine", "/audit", "/openapi.json")
    ]
    for answered in answers:
        assert answered.status == 200
        assert "canary" not in answered.body.decode()
    tables = [row[0] for row in await gateway.db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    for table in tables:
        dump = await gateway.db.fetchval(f"SELECT coalesce(string_agg(t::text, ''), '') FROM \"{table}\" t")  # noqa: S608
        for form in (SECRET, base64.b64encode(SECRET.encode()).decode(), SECRET.encode().hex()):
            assert form not in dump, table

    assert "canary" not in caplog.text

    rows = await gateway.db.fetchrow("SELECT id, credential_sealed FROM providers WHERE name = 'mine'")
    broken = bytearray(rows["credential_sealed"])
    broken[-1] ^= 1
    await gateway.execute("UPDATE providers SET credential_sealed = $1 WHERE id = $2", bytes(broken), rows["id"])
    state = (await gateway.admin("GET", "/providers/mine")).json
    assert (state["state"], state["credential_state"]) == ("not configured", "can't be opened")


async def test_a_credential_needs_the_sealing_key(gateway):
    answered = await gateway.admin(
        "POST", "/providers", {"name": "mine", "kind": "openai", "base_url": "http://127.0.0.1:9/v1", "credential": "x"}
    )
    assert (answered.status, answered.json["error"]["param"]) == (422, "credential")
    assert "OPTYX_SECRET_KEY" in answered.json["error"]["message"]
    named = await new_provider(gateway, credential=None, credential_source="env:OPENAI_API_KEY")
    assert named["credential"] == "env:OPENAI_API_KEY"


async def test_every_wrong_provider_is_refused_by_field(make_gateway):
    gateway = await make_gateway(OPTYX_SECRET_KEY=KEY)
    good = {"name": "mine", "kind": "openai", "base_url": "https://models.example.com/v1"}
    for change, param in (
        ({"name": "Mine!"}, "name"),
        ({"kind": "azure"}, "kind"),
        ({"base_url": "ftp://models.example.com"}, "base_url"),
        ({"base_url": "http://169.254.169.254/latest"}, "base_url"),
        ({"base_url": "https://user:pw@models.example.com"}, "base_url"),
        ({"base_url": "https://models.example.com/#@evil"}, "base_url"),
        ({"credential": "two\nlines"}, "credential"),
        ({"credential": "x", "credential_source": "env:OPENAI_API_KEY"}, "credential"),
        ({"credential_source": "env:DATABASE_URL"}, "credential_source"),
        ({"credential_source": "env:OPTYX_SECRET_KEY"}, "credential_source"),
        ({"credential_source": "file:/etc/passwd"}, "credential_source"),
        ({"is_sandbox": True}, "is_sandbox"),
        ({"id": "prv_x"}, "id"),
        ({"timeouts": {"whole_ms": 0}}, "timeouts.whole_ms"),
        ({"on_disconnect": "explode"}, "on_disconnect"),
    ):
        answered = await gateway.admin("POST", "/providers", {**good, **change})
        assert (answered.status, answered.json["error"]["param"]) == (422, param), (change, answered.json)
    taken = await gateway.admin("POST", "/providers", {**good, "name": "openai"})
    assert taken.code == "conflict"
    await new_provider(gateway)
    moved = await gateway.admin("PATCH", "/providers/mine", {"base_url": "https://elsewhere.example.com/v1"})
    assert (moved.status, moved.json["error"]["param"]) == (422, "base_url")
    assert "belongs to the old server" in moved.json["error"]["message"]
    both = await gateway.admin(
        "PATCH", "/providers/mine", {"base_url": "https://elsewhere.example.com/v1", "credential": "new"}
    )
    assert both.json["base_url"] == "https://elsewhere.example.com/v1"


async def test_an_operator_switches_and_only_the_owner_changes(gateway):
    off = await gateway.admin("PATCH", "/providers/openai", {"enabled": False}, role="operator")
    assert (off.status, off.json["state"]) == (200, "disabled")
    assert "tier fast → google" in off.json["effect"]
    assert [line for line in off.json["effect"] if "only openai has" in line]
    assert (await gateway.chat()).headers["x-optyx-provider"] == "google"
    undone = await gateway.admin("POST", f"/undo/{off.json['audit_id']}", role="operator")
    assert undone.status == 200, undone.json
    assert (await gateway.chat()).headers["x-optyx-provider"] == "openai"
    for body in (
        {"base_url": "http://127.0.0.1:1/v1"},
        {"credential_source": "none"},
        {"enabled": True, "max_connections": 1},
    ):
        answered = await gateway.admin("PATCH", "/providers/openai", body, role="operator")
        assert (answered.status, answered.code) == (403, "forbidden")
    google = await gateway.admin("POST", "/providers/google/disable", role="operator")
    assert "tier embedding has no other target" in google.json["effect"]
    assert (await gateway.admin("POST", "/providers/google/enable", role="operator")).json["effect"] == []


async def test_a_provider_in_use_is_not_deleted(make_gateway):
    gateway = await make_gateway(OPTYX_SECRET_KEY=KEY)
    assert "tiers" in (await gateway.admin("DELETE", "/providers/openai")).json["error"]["message"]
    await new_provider(gateway)
    await gateway.admin("POST", "/models", {"id": "own-model", "provider": "mine"})
    assert (await gateway.admin("DELETE", "/providers/mine")).status == 200
    assert (await gateway.admin("GET", "/providers/mine")).status == 404


async def test_a_test_goes_step_by_step_and_tells_the_real_error(make_gateway):
    gateway = await make_gateway(OPTYX_SECRET_KEY=KEY)
    await new_provider(gateway)
    await gateway.admin("POST", "/models", {"id": "own-model", "provider": "mine", "is_free": True})
    gateway.upstream.enqueue(whole({"object": "list", "data": [{"id": "own-model"}]}))
    good = (await gateway.admin("POST", "/providers/mine/test", {"chat": True})).json
    assert good["ok"], good
    assert [(step["name"], step["state"]) for step in good["steps"]] == [
        (name, "ok") for name in ("configuration", "dns", "connect", "tls", "auth", "models", "chat 1 token", "stream")
    ]
    assert good["steps"][5]["detail"] == "1 model"
    assert good["steps"][7]["detail"].startswith("first byte after")
    gateway.upstream.enqueue(failing(401, f"Incorrect API key provided: {SECRET}"))
    bad = (await gateway.admin("POST", "/providers/mine/test", {"chat": True})).json
    assert not bad["ok"]
    assert [step["state"] for step in bad["steps"]] == [*["ok"] * 4, "failed", *["skipped"] * 3]
    assert bad["steps"][4]["detail"].startswith("401 ")
    assert SECRET not in str(bad)
    await gateway.admin(
        "PATCH", "/providers/mine", {"base_url": f"http://127.0.0.1:{free_port()}/v1", "credential": SECRET}
    )
    away = (await gateway.admin("POST", "/providers/mine/test")).json
    assert [step["state"] for step in away["steps"]] == ["ok", "ok", "failed", *["skipped"] * 3]
    assert "refused" in away["steps"][2]["detail"].lower()
    assert (await gateway.admin("POST", "/providers/none/test")).status == 404


async def test_a_test_is_told_step_by_step_while_it_runs(make_gateway):
    gateway = await make_gateway(OPTYX_SECRET_KEY=KEY)
    await new_provider(gateway)
    await gateway.admin("POST", "/models", {"id": "own-model", "provider": "mine", "is_free": True})
    gateway.upstream.enqueue(whole({"object": "list", "data": []}), failing(503, f"over capacity, {SECRET}"))
    url = f"{gateway.url}/admin/v1/providers/mine/test"
    headers = {"Authorization": f"Bearer {await gateway.token()}"}
    async with gateway.session.post(url, json={"chat": True, "stream": True}, headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        text = (await answer.read()).decode()
    events = [block.split("\ndata: ") for block in text.strip().split("\n\n")]
    assert [name for name, _ in events] == [*["event: progress"] * 7, "event: done"]
    told = [json.loads(data) for _, data in events]
    for number, one in enumerate(told[:-1]):
        states = [step["state"] for step in one["steps"]]
        assert states == [*["ok"] * number, "running", *["waiting"] * (7 - number)]
    assert [step["state"] for step in told[-1]["steps"]] == [*["ok"] * 6, "failed", "skipped"]
    assert told[-1]["steps"][6]["detail"].startswith("503 over capacity")
    assert not told[-1]["ok"]
    assert SECRET not in text


async def test_models_of_a_tier_that_the_provider_does_not_list_are_told(make_gateway):
    gateway = await make_gateway()
    gateway.upstream.enqueue(whole({"data": [{"id": "gpt-6.1-sol"}]}))
    tested = (await gateway.admin("POST", "/providers/openai/test")).json
    assert tested["ok"]
    assert tested["steps"][-1]["detail"].startswith("1 model; not listed: ")
    assert "gpt-6.1-sol" not in tested["steps"][-1]["detail"]


async def test_an_unconfigured_provider_says_which_variable_is_missing(make_gateway):
    gateway = await make_gateway(ANTHROPIC_BASE_URL="https://api.anthropic.com")
    tested = (await gateway.admin("POST", "/providers/anthropic/test")).json
    assert (tested["ok"], tested["steps"][0]["detail"]) == (False, "ANTHROPIC_API_KEY is not set")
    shown = (await gateway.admin("GET", "/providers/anthropic")).json
    assert (shown["state"], shown["credential"], shown["credential_state"]) == (
        "not configured", "env:ANTHROPIC_API_KEY", "missing"
    )  # fmt: skip


async def test_closing_a_circuit_reaches_every_worker(make_gateway):
    first, second = await make_gateway(), await make_gateway()
    for gateway in (first, second):
        first.upstream.enqueue(*[failing(500)] * 12)
        for _ in range(3):
            gateway.key = first.key
            await gateway.chat(model="gpt-6-luna")

    def circuits(gateway):
        return [one["state"] for one in gateway.worker.health.report(0.0)]

    assert circuits(first) == circuits(second) == ["open"]
    closed = await first.admin("POST", "/providers/openai/circuit/close")
    assert closed.status == 200
    await eventually(lambda: circuits(first) == circuits(second) == ["closed"], 0.5)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254", "http://169.254.169.254:80/latest/meta-data", "http://[fe80::1]/v1", "http://[::ffff:169.254.169.254]/",
        "http://2852039166/", "http://0xA9FEA9FE/", "http://0251.0376.0251.0376/", "http://169.254.43518/", "http://[2002:a9fe:a9fe::1]/",
        "http://[64:ff9b::a9fe:a9fe]/", "http://[fd00:ec2::254]/", "http://100.100.100.200/", "http://metadata.google.internal/",
        "http://metadata.google.internal./", "http://0.0.0.0/", "http://[::]/", "http://224.0.0.1/", "gopher://x/", "//x/v1", "x", "",
        "http://", "http://a b/", "http://x:99999/", "http://x\\@169.254.169.254/", "https://x/?key=1", "https://x#y", "http://ex\u00e4mple/",
    ],
)  # fmt: skip
def test_no_way_of_writing_a_metadata_address_is_taken(url):
    assert refused_url(url) is not None


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "http://127.0.0.1:11434/v1",
        "http://localhost:8000",
        "http://10.0.0.5:8000/v1",
        "http://[::1]:8080/v1",
    ],
)
def test_servers_of_one_s_own_are_fine(url):
    assert refused_url(url) is None


def test_the_address_is_judged_at_the_connect_too():
    assert refused_address("169.254.169.254")
    assert refused_address("fe80::1%eth0")
    assert refused_address("127.0.0.1") is None


async def test_a_name_that_turns_to_a_metadata_address_is_not_connected_to(gateway):
    await gateway.execute("UPDATE providers SET base_url = 'http://169.254.169.254/v1' WHERE name = 'openai'")
    answered = await gateway.chat(model="gpt-6-luna")
    assert answered.status == 502
    assert gateway.upstream.seen == []
