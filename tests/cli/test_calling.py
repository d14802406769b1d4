"""Calls through the gateway, programs that make them, how it is, and any route by hand."""

from __future__ import annotations

import base64

import pytest

from tests.cli.line import optyx, process
from tui import chatting


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
    for told in ("openai/gpt-6-luna", "first word", "in all", "+3 tokens", "$0.0"):
        assert told in said.err
    whole = await live("chat", "Hi", "-k", "-", "--meter", "--no-stream", stdin=gateway.key + "\n")
    assert "+3 tokens" in whole.err
    assert "first word" not in whole.err
    assert " a second" not in said.err  # three words in one piece
    monkeypatch.setattr(chatting, "LOOKS", 1)  # without a record it says what it knows
    monkeypatch.setattr(chatting, "_logged", lambda *_: None)
    assert "in all" in (await live("chat", "Hi", "-k", "-", "--meter", stdin=gateway.key + "\n")).err
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


async def test_a_route_without_a_key_is_asked_without_one(live):
    """An empty `Bearer` would be an invalid key; without any the catalog is public."""
    listed = await live("api", "GET", "/v1/models")
    assert (listed.status, listed.json["object"]) == (0, "list")


async def test_a_streamed_call_is_replayed_whole(live, make_gateway, monkeypatch):
    gateway = await make_gateway(OPTYX_SECRET_KEY=base64.b64encode(bytes(32)).decode())
    monkeypatch.setenv("OPTYX_GATEWAY_URL", gateway.url)
    monkeypatch.setenv("OPTYX_ADMIN_TOKEN", await gateway.token("owner"))
    monkeypatch.setenv("OPTYX_API_KEY", gateway.key)
    assert (await live("logs", "capture", "on", "-p", "default", "--yes")).status == 0
    await gateway.changed()
    assert (await live("chat", "Hi there", "--meter")).out == "0 1 2 \n"
    (ident,) = (await live("logs", "list", "-o", "name")).lines
    again = await live("logs", "replay", ident)
    assert again.status == 0, again.err
    assert again.json["choices"][0]["message"]["content"].startswith("answer")
    assert len((await live("logs", "list", "user:nobody")).lines) == 1


def test_a_capture_that_is_no_json_any_more_is_sent_as_it_is():
    assert chatting.as_whole(b'{"stream": true, "cut') == b'{"stream": true, "cut'
    assert chatting.as_whole(b"[1]") == b"[1]"
    assert chatting.as_whole(b'{"stream":true,"stream_options":{},"n":1}') == b'{"n":1}'
