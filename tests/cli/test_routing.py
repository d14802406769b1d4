"""Providers, tiers, models, prices, people, the gateway's settings, usage and explain, on a real gateway."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import threading

import pytest

from tests.cli.line import PROGRAM, optyx, pty_process
from tests.upstream import failing, whole


async def test_providers_are_listed_switched_and_tested(live, gateway):
    ran = await live("providers", "list", "-o", "json")
    assert {one["name"] for one in ran.json} >= {"openai", "google"}
    assert "sk-upstream-secret" not in ran.out
    assert (await live("providers", "get", "openai", "-o", "name")).out == "openai\n"
    assert (await live("providers", "disable", "google")).status == 2
    assert (await live("providers", "disable", "google", "--yes")).status == 0
    assert (await live("providers", "get", "google", "-o", "json")).json["enabled"] is False
    assert (await live("providers", "enable", "google")).status == 0
    await gateway.changed()
    gateway.upstream.enqueue(whole({"object": "list", "data": [{"id": "gpt"}]}))
    tested = await live("providers", "test", "openai", "-o", "json")
    assert (tested.status, [one["state"] for one in tested.json if one["state"] == "failed"]) == (0, []), tested.out
    unknown = await live("providers", "test", "nobody")
    assert (unknown.status, unknown.out) == (5, "")
    assert (await live("providers", "circuit", "close", "openai", "--yes")).status == 0
    assert (await live("providers", "get", "none")).status == 5


@pytest.mark.parametrize(("words", "is_step"), [((), lambda line: "groq" in line), (("-o", "ndjson"), json.loads)])
def test_a_step_is_told_when_it_is_done(fake, words, is_step):
    gate = fake.step_gate = threading.Semaphore(0)
    command = [*PROGRAM, "providers", "test", "groq", "--chat", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for step in ("configuration", "dns"):
            gate.release()
            line = running.stdout.readline()  # it is here while the next step has not even begun
            if line.startswith("PROVIDER"):
                line = running.stdout.readline()
            assert step in line
            assert is_step(line)
        gate.release(20)
        rest = running.stdout.readlines()
    assert (running.returncode, "503 over capacity" in rest[-2], "skipped" in rest[-1]) == (9, True, True)


def test_the_steps_of_several_stand_in_one_table(fake):
    ran = optyx("providers", "test", "--all")
    names = [line.split()[0] for line in ran.lines[1:]]
    assert names == sorted(names, key=names.index)
    assert set(names) == {one.name for one in fake.providers if one.enabled}
    where = ran.lines[0].index("RESULT")
    assert {line[where:].split()[0] for line in ran.lines[1:]} == {"ok", "failed", "skipped"}
    whole = optyx("providers", "test", "--all", "-o", "json")
    assert [one["provider"] for one in whole.json] == names
    assert optyx("providers", "test", "--all", "--reverse").lines[1].split()[0] == names[-1]
    blocks = optyx("providers", "test", "groq", "--accessible")
    assert blocks.out.startswith("Provider: groq\nStep: configuration\n")
    assert "\n\nProvider: groq\nStep: dns\n" in blocks.out


async def test_a_credential_goes_in_over_stdin_and_never_comes_out(live, make_gateway, monkeypatch):
    gateway = await make_gateway(OPTYX_SECRET_KEY=base64.b64encode(bytes(32)).decode())
    monkeypatch.setenv("OPTYX_GATEWAY_URL", gateway.url)
    secret = "sk-very-secret-upstream"
    made = await live("providers", "add", "mine", "--base-url", gateway.upstream.base_url, stdin=secret + "\n")
    assert made.status == 0, made.err
    rotated = await live("providers", "credential", "rotate", "mine", stdin=secret + "2\n")
    assert rotated.status == 0, rotated.err
    for words in (("providers", "get", "mine", "-o", "json"), ("audit", "list", "-o", "json"), ("export",)):
        ran = await live(*words)
        assert secret not in ran.out + ran.err
    dry = await live("providers", "credential", "add", "mine", "--dry-run", stdin=secret + "\n")
    assert secret not in dry.out + dry.err
    assert (await live("providers", "credential", "add", "mine", "--source", "env:OPENAI_API_KEY")).status == 0
    assert (await live("providers", "remove", "mine", "--yes", "--confirm", "mine")).status == 0


async def test_tiers_models_and_prices(live, gateway):
    before = (await live("tiers", "get", "fast", "-o", "json")).json["targets"]
    words = [f"{one['provider']}/{one['model']}" for one in reversed(before)]
    changed = await live("tiers", "set", "fast", *words, "--yes")
    assert changed.status == 0, changed.err
    assert (await live("tiers", "get", "fast", "-o", "json")).json["targets"][0]["model"] == before[-1]["model"]
    assert (await live("tiers", "set", "fast", *words)).err.endswith("Nothing to change.\n")
    assert (await live("tiers", "set", "fast", "openai/no-such", "--yes")).status == 7

    added = await live("models", "add", "tiny-1", "--provider", "openai", "--max-output", "100")
    assert added.status == 0, added.err
    assert "tiny-1" in (await live("models", "prices", "--unpriced", "-o", "name")).lines
    priced = await live(
        "prices", "add", "tiny-1", "--provider", "openai", "--input", "0.10", "--output-price", "0.40", "--yes"
    )
    assert priced.status == 0, priced.err
    assert (await live("prices", "list", "--model", "tiny-1", "-o", "json")).json[0]["input_usd"] == "0.10"
    assert (await live("models", "disable", "tiny-1", "--yes")).status == 0
    assert (await live("models", "get", "tiny-1", "-o", "json")).json[0]["enabled"] is False
    assert (await live("models", "enable", "tiny-1")).status == 0


def into_nothing(*words):
    with open("/dev/full", "w") as full:
        return subprocess.run([*PROGRAM, *words], stdout=full, stderr=subprocess.PIPE, text=True)


async def test_people_tokens_and_the_gateway_s_settings(live, gateway, monkeypatch):
    assert (await live("users", "create", "ann@example.com", "--name", "Ann", "--role", "operator")).status == 0
    assert (await live("users", "update", "ann@example.com", "--role", "viewer", "--yes")).status == 0
    assert "ann@example.com" in (await live("users", "list", "-o", "name")).lines
    made = await live("tokens", "create", "--name", "ci", "--role", "viewer")
    assert made.out.startswith("sk-optyx-admin-")
    assert made.out.count("\n") == 1
    assert "\nToken ci (adm_" in made.err
    assert not {"Key", "None"} & set(made.err.split())
    record = await live("tokens", "create", "--name", "as json", "-o", "json")
    assert record.json["secret"] == record.json["token"]
    assert "key" not in record.json
    framed = await asyncio.to_thread(pty_process, "tokens", "create", "--name", "framed")
    assert "optyx login" in framed.out
    assert "OPENAI" not in framed.out
    lost = await asyncio.to_thread(into_nothing, "tokens", "create", "--name", "lost")
    assert (lost.returncode, "it is revoked, so that no token exists" in lost.stderr) == (1, True)
    assert "lost revoked" in (await live("tokens", "list", "-o", "template={name} {status}")).lines
    assert "ci" in (await live("tokens", "list", "-o", "template={name}")).lines
    assert (await live("tokens", "revoke", "ci", "--yes", "--confirm", "ci")).status == 0
    assert (await live("settings", "gateway", "log_retention_days=30", "--yes")).status == 0
    assert (await live("settings", "gateway", "-o", "json")).json["log_retention_days"] == 30


async def test_a_model_is_tried_where_it_is(live, gateway):
    listed = whole({"object": "list", "data": [{"id": "gpt-6.1-sol"}]})
    gateway.upstream.enqueue(listed)
    ran = await live("models", "test", "gpt-6.1-sol", "-o", "json")
    assert ran.status == 0, ran.err
    assert [one["name"] for one in ran.json][-2:] == ["chat 1 token", "stream"]
    assert {one["provider"] for one in ran.json} == {"openai"}
    gateway.upstream.enqueue(whole({"models": []}))
    ran = await live("models", "test", "gemini-embedding-001")
    assert ran.status == 0, ran.out
    assert "a vector of 2" in ran.lines[-1]
    gateway.upstream.enqueue(listed, failing(404, "no such model"))
    ran = await live("models", "test", "gpt-6.1-sol")
    assert (ran.status, "no such model" in ran.out) == (9, True)
    assert (await live("models", "test", "nothing")).status == 5


async def test_usage_adds_up(live, gateway):
    for _ in range(3):
        answered = await gateway.chat("Hi")
        await gateway.row(answered.request_id)
    ran = await live("usage", "--by", "model", "--check")
    assert ran.status == 0, ran.err
    assert ran.lines[0].startswith("MODEL (")
    assert ran.lines[-1].split()[:2] == ["total", "3"]
    told = (await live("usage", "--by", "project", "--since", "1d", "-o", "json")).json
    assert sum(one["cost_nusd"] for one in told["data"]) == told["total"]["cost_nusd"] > 0


async def test_usage_by_several_has_a_column_for_each(live, gateway):
    for tier in ("fast", "smart", "smart"):
        answered = await gateway.chat("Hi", headers={"x-optyx-tier": tier})
        await gateway.row(answered.request_id)
    ran = await live("usage", "--by", "day", "--by", "tier", "--check")
    assert ran.status == 0, ran.err
    assert ran.lines[0].split()[:2] == ["DAY", "(UTC)"]
    assert [line.split()[1:3] for line in ran.lines[1:3]] == [["smart", "2"], ["fast", "1"]]
    assert (await live("usage", "--by", "day,tier", "-o", "csv")).status == 0
    ran = await live("usage", "--by", "day", "--by", "hour", "-o", "json")
    assert (ran.status, ran.fault["code"]) == (7, "invalid_request")


async def test_explain_says_what_would_happen_and_calls_nobody(live, gateway):
    seen = len(gateway.upstream.seen)
    ran = await live("explain", "Hello", "--tier", "smart", "-p", "default", "-o", "json")
    assert ran.status == 0, ran.err
    assert (ran.json["tier"], ran.json["targets"][0]["verdict"]) == ("smart", "asked")
    assert ran.json["cost_ceiling_nusd"] > 0
    table = await live("explain", "Hello", "-p", "default")
    assert "targets:" in table.out
    body = json.dumps({"model": "no-such-model", "messages": [{"role": "user", "content": "x"}]})
    refused = await live("explain", "-p", "default", "-o", "json", stdin=body)
    assert refused.status == 9
    assert refused.json["refusal"]["code"] == "model_not_found"
    embedding = await live("explain", "--embeddings", "-p", "default", "-o", "json")
    assert embedding.json["tier"] == "embedding"
    assert (await live("explain", "-p", "default", stdin="{")).status == 2
    assert len(gateway.upstream.seen) == seen


async def test_the_status_of_a_real_gateway(live, gateway):
    ran = await live("status", "-o", "json")
    assert (ran.status, ran.json["status"]) == (0, "ready"), ran.err
    assert (await live("status", "--line")).out.startswith("local ● ")
    assert (await live("top", "--once")).status == 0


async def test_a_whole_gateway_exports_and_plans_to_nothing(live, tmp_path):
    file = tmp_path / "gateway.yaml"
    assert (await live("export", "--out", str(file))).status == 0
    text = file.read_text()
    assert "openai" in text
    assert "sk-upstream-secret" not in text
    ran = await live("plan", "-f", str(file))
    assert (ran.status, ran.out) == (0, ""), ran.out
    file.write_text(text.replace("max_connections: 2000", "max_connections: 1500", 1))
    assert (await live("apply", "-f", str(file), "--yes")).status == 0
    assert (await live("plan", "-f", str(file))).status == 0


async def test_doctor_finds_a_provider_that_refuses_the_key(live, gateway):
    gateway.upstream.enqueue(failing(401, "Incorrect API key provided"))
    ran = await live("doctor", "--only", "gateway", "-o", "json")
    problems = {one["check"]: one for one in ran.json["checks"] if one["state"] == "problem"}
    assert ran.status == 9
    assert "refuses the credential" in problems["provider openai"]["what"]
    assert "OPENAI_API_KEY" in problems["provider openai"]["fix"]


async def test_a_demo_says_who_is_asked_before_the_targets(live, gateway):
    plain = (await live("tiers", "list")).lines
    assert (await live("tiers", "get", "fast", "-o", "json")).json["stand_in"] is None
    exported = (await live("export", "tiers")).out
    await gateway.stop_worker()
    await gateway.start_worker("http://127.0.0.1:9/v1")
    listed = (await live("tiers", "list")).lines
    assert [line.split()[0] for line in listed] == ["TIER", "fast", "smart", "embedding"]
    for before, now in zip(plain[1:], listed[1:], strict=True):
        tier, mode, targets = before.split(maxsplit=2)
        assert now.split(maxsplit=2) == [tier, mode, f"sandbox/sandbox-{tier} (demo) > {targets}"]
    assert (await live("tiers", "get", "smart", "-o", "json")).json["stand_in"]["model"] == "sandbox-smart"
    assert (await live("export", "tiers")).out == exported
    read = (await gateway.admin("GET", "/tiers")).json["data"]
    assert (await gateway.admin("PUT", "/tiers", {"data": read})).status == 200
    assert (await live("export", "tiers")).out == exported
