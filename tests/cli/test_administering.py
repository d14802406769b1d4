"""Projects, keys, settings, limits, the trail and undo, on a real gateway."""

from __future__ import annotations

import json

import pytest


async def test_a_project_and_its_key_serve_a_call(live, gateway):
    made = await live(
        "projects", "create", "Research Lab", "--rpm", "60", "--budget", "50/month", "--with-key", "first"
    )
    assert made.status == 0, made.err
    assert made.out.startswith("sk-optyx-")
    assert made.out.count("\n") == 1
    gateway.key = made.out.strip()
    answered = await gateway.chat("Hi")
    assert answered.status == 200
    await gateway.row(answered.request_id)
    listed = (await live("logs", "-p", "research-lab", "-o", "json")).json
    assert [row["key"] for row in listed] == ["first"]
    limits = (await live("limits", "get", "-p", "research-lab", "-o", "json")).json
    assert (limits["rpm"], limits["budgets"][0]["amount_usd"], limits["budgets"][0]["window"]) == (60, "50.00", "1mo")
    assert (await live("projects", "create", "Research Lab", "--if-not-exists")).status == 0
    assert (await live("projects", "create", "Another", "--slug", "research-lab")).status == 6


async def test_keys_are_disabled_enabled_rotated_and_revoked(live, gateway):
    key = (await live("keys", "create", "-p", "default", "--name", "ci", "--expires", "90d")).out.strip()
    shown = (await live("keys", "get", "ci", "-p", "default", "-o", "json")).json
    assert shown["expires_at"]
    assert (await live("keys", "whois", "sk-optyx-" + shown["public_id"], "-o", "json")).json["id"] == shown["id"]
    assert (await live("keys", "whois", key)).status == 2
    tested = await live("keys", "test", stdin=key + "\n")
    assert tested.status == 0, tested.err
    assert " … (-o json lists all)" in tested.out, "the catalog is long, and a terminal is not"
    assert len((await live("keys", "test", "-o", "json", stdin=key + "\n")).json["models"]) > 6
    assert (await live("keys", "disable", "ci", "-p", "default", "--yes")).status == 0
    await gateway.changed()
    assert (await live("keys", "test", stdin=key + "\n")).status == 9
    assert (await live("keys", "enable", "ci", "-p", "default")).status == 0
    fresh = (await live("keys", "rotate", "ci", "-p", "default", "--grace", "1h")).out.strip()
    assert fresh != key
    assert (await live("keys", "revoke", "ci", "-p", "default", "--yes", "--confirm", "ci")).status == 0
    assert (await live("keys", "list", "-p", "default", "--status", "revoked", "-o", "template={name}")).lines == ["ci"]


async def test_a_key_is_bound_to_addresses_tried_and_let_go(live, gateway):
    bound = ("--cidr", "10.0.0.0/8", "--cidr", "2001:db8::/32")
    made = await live("keys", "create", "-p", "default", "--name", "ci", *bound, "--test")
    assert made.status == 0, made.err
    key = made.out.strip()
    assert "It is known, and refused here as --cidr says: This key may not be used from 127.0.0.1." in made.err
    shown = await live("keys", "get", "ci", "-p", "default")
    assert "10.0.0.0/8,2001:db8::/32" in shown.out
    tested = await live("keys", "test", "-o", "json", stdin=key + "\n")
    assert (tested.status, tested.fault["code"]) == (9, "address_not_allowed")
    wide = await live("keys", "list", "-p", "default", "-o", "wide")
    assert "10.0.0.0/8,2001:db8::/32" in wide.out
    assert "everywhere" in wide.out
    explained = await live("explain", "Hello", "-p", "default", "--key", "ci", "--from", "192.0.2.7")
    assert explained.status == 9
    assert "refused: 403 address_not_allowed: This key may not be used from 192.0.2.7." in explained.out
    assert "allowed addresses: 10.0.0.0/8" in explained.out
    assert (await live("explain", "Hello", "-p", "default", "--key", "ci", "--from", "10.1.2.3")).status == 0
    wrong = await live("keys", "update", "ci", "-p", "default", "--cidr", "10.0.0.5/8")
    assert wrong.status != 0
    assert "10.0.0.0/8 is the whole of it" in wrong.err
    assert (await live("keys", "update", "ci", "-p", "default", "--cidr", "127.0.0.1")).status == 0
    await gateway.changed()
    assert (await live("keys", "test", stdin=key + "\n")).status == 0
    assert (await live("keys", "update", "ci", "-p", "default", "--any-address")).status == 0
    assert (await live("keys", "get", "ci", "-p", "default", "-o", "json")).json["allowed_addresses"] is None


async def test_settings_are_previewed_saved_and_restored(live, gateway):
    shown = await live("settings", "-p", "default", "-o", "json")
    assert shown.json["failover"] is True
    assert (await live("settings", "diff", "-p", "default", "failover=false")).status == 9
    unasked = await live("settings", "set", "-p", "default", "failover=false")
    assert unasked.status == 2
    assert "failover: yes becomes no" in unasked.err
    for answered in (await gateway.chat("Hi"), await gateway.chat("Hi", model="gpt-6-luna")):
        await gateway.row(answered.request_id)
    told = await live("settings", "preview", "-p", "default", "allowed_models=gemini-*")
    assert [line.split()[:3] for line in told.out.splitlines() if line.startswith("test ")] == [
        ["test", "1", "refused"],
        ["test", "1", "goes"],
    ]
    assert "1 of 2 calls of the last 24 h would have been refused, 1 would have gone elsewhere." in told.err
    saved = await live("settings", "set", "-p", "default", "failover=off", "allowed_models=gpt-*,gemini-*", "--yes")
    assert saved.status == 0, saved.err
    now = (await live("settings", "get", "-p", "default", "-o", "json")).json
    assert (now["failover"], now["allowed_models"]) == (False, ["gpt-*", "gemini-*"])
    as_shown = f"allowed_models={json.dumps(now['allowed_models'])}"
    assert (await live("settings", "diff", "-p", "default", as_shown)).status == 0
    assert (await live("settings", "get", "failover", "-p", "default")).out == "no\n"
    assert (await live("settings", "set", "-p", "default", "failover=off", "--yes")).err.endswith(
        "Nothing to change.\n"
    )
    wrong = await live("settings", "set", "-p", "default", "timezone=Mars/Base", "--yes", "-o", "json")
    assert (wrong.status, wrong.fault["field"]) == (7, "timezone")
    stale = await live("settings", "set", "-p", "default", "failover=on", "--if-version", "1", "--yes")
    assert stale.status == 6
    versions = (await live("settings", "history", "-p", "default", "-o", "json")).json
    assert versions[0]["version"] == now["version"]
    assert (await live("models", "disallow", "gpt-*", "-p", "default", "--yes")).status == 0
    assert (await live("models", "disallow", "gpt-*", "-p", "default", "--yes")).status == 5
    assert (await live("settings", "restore", str(now["version"]), "-p", "default", "--yes")).status == 0
    assert (await live("settings", "get", "allowed_models", "-p", "default", "-o", "json")).json == [
        "gpt-*",
        "gemini-*",
    ]


async def test_limits_change_what_is_given_and_leave_the_rest(live):
    assert (await live("limits", "set", "-p", "default", "--rpm", "100", "--budget", "10/1d", "--yes")).status == 0
    assert (
        await live(
            "limits", "set", "project:default", "--tpm", "5000", "--budget", "20/1d", "--budget", "100/month", "--yes"
        )
    ).status == 0
    limits = (await live("limits", "get", "-p", "default", "-o", "json")).json
    assert (limits["rpm"], limits["tpm"]) == (100, 5000)
    assert {one["window"]: one["amount_usd"] for one in limits["budgets"]} == {"1d": "20.00", "1mo": "100.00"}
    raised = await live(
        "limits",
        "override",
        "-p",
        "default",
        "--window",
        "day",
        "--add",
        "5",
        "--until",
        "3d",
        "--yes",
        "--reason",
        "launch",
    )
    assert raised.status == 0, raised.err
    assert [one["raise_usd"] for one in (await live("limits", "overrides", "-o", "json")).json] == ["5.00"]
    shown = await live("limits", "list", "-p", "default")
    assert "$100.00" in shown.out
    assert (await live("limits", "set", "-p", "default", "--rpm", "none", "--budget", "none/1d", "--yes")).status == 0
    limits = (await live("limits", "get", "-p", "default", "-o", "json")).json
    assert (limits["rpm"], [one["window"] for one in limits["budgets"]]) == (None, ["1mo"])
    assert (await live("limits", "set", "-p", "default", "--budget", "ten/1d", "--yes")).status == 2


async def test_the_trail_says_who_and_why_and_an_undo_takes_back(live):
    await live("keys", "create", "-p", "default", "--name", "ci")
    await live("keys", "disable", "ci", "-p", "default", "--yes", "--reason", "leaked – geleakt")
    entry = (await live("audit", "list", "-o", "json")).json[0]
    assert (entry["action"], entry["origin"], entry["reason"]) == ("key.disable", "cli 127.0.0.1", "leaked – geleakt")
    assert (await live("audit", "get", entry["id"], "-o", "json")).json["id"] == entry["id"]
    assert (await live("audit", "verify")).status == 0
    undone = await live("undo")
    assert undone.status == 0, undone.err
    assert (await live("keys", "get", "ci", "-p", "default", "-o", "json")).json["status"] == "unused"


async def test_billing_is_listed_credited_and_stated(live):
    assert (await live("billing", "accounts", "-o", "json")).json
    ran = await live("billing", "credit", "25", "--note", "first", "--yes", "-o", "json")
    assert ran.json["amount_usd"] == "25.00"
    assert (await live("billing", "adjust", "-5", "--note", "late", "--yes")).status == 0
    assert len((await live("billing", "entries", "-o", "json")).json) >= 2
    assert "closing: $" in (await live("billing", "statement")).out


async def test_repricing_is_a_dry_run_unless_it_is_applied(live, gateway):
    answered = await gateway.chat("Hi")
    await gateway.row(answered.request_id)
    ran = await live("reprice", "--since", "1d")
    assert ran.status == 0, ran.err
    assert "Nothing was changed" in ran.err
    assert (await live("reprice", "--since", "1d", "--apply", "--yes", "-o", "json")).json["changed"] == 0


async def test_the_tail_shows_real_calls(live, gateway):
    import asyncio

    tailing = asyncio.create_task(live("logs", "tail", "--json", "--max", "2", "--for", "20s"))
    ids = []
    while not tailing.done():
        ids.append((await gateway.chat("Hi")).request_id)
        await asyncio.sleep(0.2)
    ran = await tailing
    rows = [json.loads(line) for line in ran.lines]
    assert ran.status == 0, ran.err
    assert len(rows) == 2
    assert {row["request_id"] for row in rows} <= set(ids)


@pytest.mark.parametrize("role", ["viewer"])
async def test_a_viewer_is_told_no_with_4(live, gateway, monkeypatch, role):
    monkeypatch.setenv("OPTYX_ADMIN_TOKEN", await gateway.token(role))
    assert (await live("projects", "list")).status == 0
    refused = await live("keys", "create", "-p", "default", "--name", "x")
    assert (refused.status, refused.out) == (4, "")


async def test_rotating_a_key_that_is_not_there_says_so(live):
    ran = await live("secrets", "rotate", "--yes")
    assert ran.status == 6
    assert "OPTYX_SECRET_KEY" in ran.err
