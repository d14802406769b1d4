"""Calls through the gateway, programs that make them, how it is, and any route by hand."""

from __future__ import annotations

import pytest

from tests.cli.line import optyx, process


async def test_quickstart_ends_with_a_real_call(live, gateway):
    ran = await live("quickstart")
    assert ran.status == 0, ran.err
    assert ran.out.startswith("sk-optyx-")
    assert "5. Next:" in ran.err
    async with gateway.session.get(
        gateway.url + "/v1/models", headers={"Authorization": f"Bearer {ran.out.strip()}"}
    ) as answer:
        assert answer.status == 200


async def test_chat_streams_with_a_key_from_the_environment_or_stdin(live, gateway, monkeypatch):
    assert (await live("chat", "Hi")).status == 2
    assert (await live("chat", "Hi", "-k", gateway.key)).status == 2
    said = await live("chat", "Hi", "-k", "-", "--meter", stdin=gateway.key + "\n")
    assert (said.status, said.out) == (0, "0 1 2 \n"), said.err
    assert "tokens" in said.err
    monkeypatch.setenv("OPTYX_API_KEY", gateway.key)
    assert (await live("chat", stdin="Hi")).out == "0 1 2 \n"
    assert (await live("chat", "Hi", "-o", "json")).json["choices"][0]["message"]["content"].startswith("answer")
    assert (await live("chat", "Hi", "-m", "no-such-model")).status == 5


def test_env_and_run_give_an_address_and_a_key_alone(fake, monkeypatch):
    monkeypatch.setenv("OPTYX_API_KEY", "sk-optyx-project")
    assert optyx("env").lines == [f"export OPENAI_BASE_URL={fake.url}/v1", "export OPENAI_API_KEY=sk-optyx-project"]
    assert optyx("env", "--shell", "fish").lines[0] == f"set -gx OPENAI_BASE_URL {fake.url}/v1"
    assert optyx("env", "--shell", "csh").status == 2
    ran = process("run", "--", "sh", "-c", "echo $OPENAI_API_KEY $OPENAI_BASE_URL [$OPTYX_ADMIN_TOKEN]")
    assert ran.out == f"sk-optyx-project {fake.url}/v1 []\n"
    assert process("run", "--", "sh", "-c", "exit 3").status == 3
    assert process("run", "--", "no-such-program").status == 127


def test_status_is_a_screen_a_line_or_a_document(fake, monkeypatch):
    assert "Requests/s:" in optyx("status").out
    line = optyx("status", "--line").out
    assert line.startswith("local ● ")
    assert line.count("\n") == 1
    assert optyx("status", "-o", "json").json["status"] == "ready"
    assert optyx("status", "--wait", "5s").status == 0
    assert 4 <= len(optyx("top", "--once").lines) <= 10
    monkeypatch.setenv("OPTYX_GATEWAY_URL", "http://127.0.0.1:9")
    gone = optyx("status", "--line", "--retries", "0")
    assert (gone.status, gone.out) == (3, "local ✖ offline\n")
    assert optyx("status", "--wait", "300ms").status == 124


@pytest.mark.parametrize("path", ["/projects", "/admin/v1/projects"])
def test_any_route_by_hand(fake, path, tmp_path):
    assert optyx("api", "GET", path).json["data"][0]["slug"] == "acme"
    assert optyx("api", "get", path, "--paginate").json["next"] is None
    made = optyx("api", "POST", path, "-f", "name=By Hand")
    assert made.json["slug"] == "by-hand"
    body = tmp_path / "body.json"
    body.write_text('{"name": "From File"}')
    assert optyx("api", "POST", path, "--input", str(body)).json["slug"] == "from-file"
    assert optyx("api", "POST", path, "--input", "-", stdin='{"name": "From Stdin"}').status == 0
    assert "would send" in optyx("api", "POST", path, "-f", "name=x", "--dry-run").out
    assert optyx("api", "GET", "/no-such").status == 5
    assert optyx("api", "FETCH", path).status == 2
