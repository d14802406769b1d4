"""`optyx doctor`: each fault is planted for real and found with its fix; a sound machine has no findings."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import shutil
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.line import Ran, optyx, process
from tests.conftest import free_port
from tests.upstream import whole
from tui import clock, completing, contexts
from tui.checks import local


def found(ran: Ran) -> dict[str, dict[str, Any]]:
    """The problems by check, each with what, why and fix."""
    problems = {one["check"]: one for one in ran.json["checks"] if one["state"] == "problem"}
    assert all(one["what"] and one["why"] and one["fix"] for one in problems.values())
    assert ran.json["findings"] == sum(one["state"] == "problem" for one in ran.json["checks"])
    assert ran.status == (9 if problems else 0)
    return problems


@pytest.fixture
def sound(monkeypatch, tmp_path):
    """No gateway, and nothing wrong: a provider's key, a free port, no other optyx on the PATH (an environment may be activated)."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("GATEWAY_PORT", str(free_port()))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-upstream")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))


def doctor(*groups: str) -> Ran:
    return optyx("doctor", "-o", "json", "--only", ",".join(groups or ("local", "gateway")))


def test_a_sound_machine_has_no_findings(sound):
    assert found(doctor()) == {}
    ran = optyx("doctor", "--only", "local,gateway")
    assert ran.status == 0
    assert "Nothing is wrong." in ran.err


def test_no_provider_key(sound, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "OPENAI_API_KEY" in found(doctor("gateway"))["providers"]["fix"]


def test_a_bad_variable(sound, monkeypatch):
    monkeypatch.setenv("OPTYX_DURABILITY", "hope")
    assert "OPTYX_DURABILITY" in found(doctor("local"))["environment"]["what"]


def test_postgres_away(sound, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", f"postgresql://optyx:hunter2@127.0.0.1:{free_port()}/optyx")
    ran = doctor("gateway")
    assert "can't be reached" in found(ran)["postgres"]["what"]
    assert "hunter2" not in ran.out


def test_postgres_too_old(sound, monkeypatch):
    with old_postgres() as port:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://optyx@127.0.0.1:{port}/optyx?gssencmode=disable")
        assert "too old: 14" in found(doctor("gateway"))["postgres"]["what"]


def test_a_schema_that_is_behind(sound, monkeypatch, empty_database_url):
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    assert found(doctor("gateway"))["schema"]["fix"] == "optyx migrate up"


def test_a_schema_that_is_whole(sound, monkeypatch, database_url):
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert found(doctor("gateway")) == {}


def test_redis_away_and_there(sound, monkeypatch, valkey_url):
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    assert "can't be reached" in found(doctor("gateway"))["redis"]["what"]
    monkeypatch.setenv("REDIS_URL", valkey_url)
    assert found(doctor("gateway")) == {}


def test_the_port_is_taken(sound, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("GATEWAY_PORT", str(port))
        other.settimeout(5)
        closing = threading.Thread(target=lambda: other.accept()[0].close())
        closing.start()
        assert "GATEWAY_PORT" in found(doctor("gateway"))["port"]["fix"]
        closing.join()


def test_a_home_that_can_not_be_written(sound, monkeypatch):
    monkeypatch.setenv("OPTYX_HOME", "/proc/optyx")
    assert "can't be written" in found(doctor("local"))["home"]["what"]


@pytest.mark.parametrize(("free", "word"), [(10 << 20, "full"), (500 << 20, "nearly full")])
def test_a_full_disk(tmp_path, free, word):
    [one] = local.disk(tmp_path, free)
    assert one.state == "problem"
    assert f"is {word}:" in one.what


def test_the_fullness_is_that_of_the_home(sound, monkeypatch):
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1 << 20})())
    assert "1 MiB" in found(doctor("local"))["disk"]["what"]


def test_open_credentials_are_found_and_closed(sound):
    home = contexts.home()
    home.mkdir()
    path = home / "credentials.json"
    path.write_text(json.dumps({"gateway_url": f"http://127.0.0.1:{free_port()}", "admin_token": "t"}))
    path.chmod(0o644)
    assert found(doctor("local"))["secrets"]["fix"] == f"chmod 600 {path}"
    ran = optyx("doctor", "--only", "local", "--fix")
    assert ran.status == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


TMUX = """#!/bin/sh
case "$1 $3" in
    *escape-time) echo 500;; *set-clipboard) echo external;; load-buffer*) cat > "$0.buffer";; show-buffer*) cat "$0.buffer";;
    display-message*) echo /dev/pts/7 256,clipboard,title;;
    show-messages*) printf "Terminal 0: x for /dev/pts/7, flags=0x20:\\n 192: Ms: [missing]\\n";;
esac
"""


@pytest.fixture
def scripted_tmux(sound, monkeypatch, tmp_path):
    tool = tmp_path / "tmux"

    def script(text: str) -> None:
        tool.write_text(text)
        tool.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMUX", "/tmp/tmux-0/default,1,0")
    return script


def test_tmux_s_escape_time_and_clipboard(scripted_tmux, monkeypatch, tmp_path):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_TTY", "SSH_CONNECTION", "OPTYX_CLIPBOARD", "STY"):
        monkeypatch.delenv(name, raising=False)
    scripted_tmux(TMUX)
    assert "escape-time 10" in found(doctor("terminal"))["tmux escape-time"]["fix"]
    mended = TMUX.replace("500", "10")
    scripted_tmux(mended.replace("external", "off"))  # that is for programs that write OSC 52 themselves
    assert not {"tmux escape-time", "clipboard"} & set(found(doctor("terminal")))
    lacking = mended.replace("256,clipboard,title", "256,title")
    scripted_tmux(lacking)
    assert "terminal-features" in found(doctor("terminal"))["clipboard"]["fix"]
    scripted_tmux(lacking.replace("[missing]", "(string) x"))
    assert "clipboard" not in found(doctor("terminal"))
    scripted_tmux(mended.replace('cat "$0.buffer"', "true"))
    assert "does not give back" in found(doctor("terminal"))["clipboard"]["what"]
    scripted_tmux(lacking)
    monkeypatch.setenv("OPTYX_CLIPBOARD", "osc52")
    assert "set-clipboard on" in found(doctor("terminal"))["clipboard"]["fix"]
    monkeypatch.delenv("OPTYX_CLIPBOARD")
    (tmp_path / "xclip").symlink_to("/bin/true")
    monkeypatch.setenv("DISPLAY", ":9")  # what tmux does not pass on arrives by a tool
    ran = doctor("terminal")
    assert "clipboard" not in found(ran)
    told = {one["check"]: one["what"] for one in ran.json["checks"]}
    assert told["clipboard"].startswith("Copying goes through xclip.")
    monkeypatch.setenv("SSH_TTY", "/dev/pts/9")
    assert "clipboard" in found(doctor("terminal"))


def test_screen_is_told_to_put_back_what_stood_there(sound, monkeypatch, tmp_path):
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setenv("STY", "77.pts-1.here")
    monkeypatch.setenv("SYSSCREENRC", str(tmp_path / "none"))
    monkeypatch.setenv("SCREENRC", str(tmp_path / "screenrc"))
    assert "altscreen on" in found(doctor("terminal"))["screen"]["fix"]
    (tmp_path / "screenrc").write_bytes(b"# altscreen on\n\xff\n")
    assert "screen" in found(doctor("terminal"))
    (tmp_path / "screenrc").write_text("startup_message off\n  altscreen  on\n")
    ran = doctor("terminal")
    assert "screen" not in found(ran)
    monkeypatch.setenv("SSH_TTY", "/dev/pts/9")
    told = {one["check"]: one["what"] for one in doctor("terminal").json["checks"]}
    assert "GNU screen and the terminal (OSC 52)" in told["clipboard"]


def test_a_copy_inside_of_a_real_tmux(scripted_tmux, monkeypatch, tmp_path):
    """Where there is one; its buffers are as they were afterwards."""
    if shutil.which("tmux") is None:
        scripted_tmux(TMUX.replace("500", "10"))
        assert "clipboard" not in found(doctor("terminal"))
        return
    place = ["tmux", "-S", str(tmp_path / "s"), "-f", "/dev/null"]
    monkeypatch.delenv("TMUX")
    subprocess.run([*place, "new-session", "-d", "-x", "120", "-y", "36", "cat"], check=True, timeout=10)
    try:
        at = subprocess.run(
            [*place, "display-message", "-p", "#{socket_path},#{pid},0"], capture_output=True, text=True
        )
        monkeypatch.setenv("TMUX", at.stdout.strip())
        ran = doctor("terminal")
        assert "escape-time 10" in found(ran)["tmux escape-time"]["fix"]
        assert [one["state"] for one in ran.json["checks"] if one["check"] == "clipboard"] == ["ok"]
        assert subprocess.run([*place, "list-buffers"], capture_output=True, text=True).stdout == ""
    finally:
        subprocess.run([*place, "kill-server"], check=True, timeout=10)


def test_a_terminal_without_utf8(sound):
    ran = process("doctor", "--only", "terminal", "-o", "json", env={"PYTHONIOENCODING": "latin-1"})
    assert "encoding" in found(ran)


def test_a_completion_of_another_version_is_renewed(sound):
    assert optyx("completion", "bash", "--install").status == 0
    assert found(doctor("local")) == {}
    path = completing.PLACES["bash"]()
    path.write_text("_optyx() { optyx --what-was; }\n")
    assert found(doctor("local"))["completion"]["fixable"]
    fixed = optyx("doctor", "--only", "local", "--fix")
    assert (fixed.status, "fixed: " in fixed.err) == (0, True)
    assert path.read_text() == optyx("completion", "bash").out


# With a gateway


async def test_a_token_that_ends_soon(live, monkeypatch):
    for days, is_found in ((30, False), (3, True)):
        words = ("--name", f"for {days}", "--role", "owner", "--expires", f"{days}d")
        monkeypatch.setenv("OPTYX_ADMIN_TOKEN", (await live("tokens", "create", *words)).out.strip())
        ran = await live("doctor", "-o", "json", "--only", "auth")
        assert ("token's end" in found(ran)) is is_found
    viewer = (await live("tokens", "create", "--name", "v", "--role", "viewer")).out.strip()
    monkeypatch.setenv("OPTYX_ADMIN_TOKEN", viewer)
    assert found(await live("doctor", "-o", "json", "--only", "auth")) == {}


async def test_what_the_gateway_says_of_itself(live, gateway, monkeypatch):
    await gateway.db.execute(
        "INSERT INTO quarantined_records (call_id, worker_id, record, reason) VALUES (gen_random_uuid(), 'wrk_1', '', 'x')"
    )
    problems = found(await live("doctor", "-o", "json", "--only", "gateway"))
    assert problems["attention"]["what"].startswith("1 records were cleaned (Postgres refused them")
    assert "price table" not in problems
    later = clock.now() + 40 * 86_400
    monkeypatch.setattr(clock, "now", lambda: later)
    assert "reprice" in found(await live("doctor", "-o", "json", "--only", "gateway"))["price table"]["fix"]


async def test_a_working_gateway_has_no_findings(live):
    ran = await live("doctor", "-o", "json", "--only", "net,stream,auth")
    assert found(ran) == {}
    assert {one["check"] for one in ran.json["checks"]} >= {"tcp", "round trip", "clock", "token", "events"}


def test_no_gateway_at_the_address(sound, monkeypatch):
    monkeypatch.setenv("OPTYX_GATEWAY_URL", f"http://127.0.0.1:{free_port()}")
    assert "Nothing answers" in found(doctor("net"))["tcp"]["what"]


def test_a_wrong_token(fake, monkeypatch):
    monkeypatch.setenv("OPTYX_ADMIN_TOKEN", "sk-optyx-admin-wrong")
    assert "optyx login" in found(doctor("auth"))["token"]["fix"]


def test_a_wrong_provider_key(fake):
    fake.test_steps = {"openai": [("connect", "ok", ""), ("auth", "failed", "401 Incorrect API key provided")]}
    problems = found(doctor("gateway"))
    assert "refuses the credential" in problems["provider openai"]["what"]
    assert "OPENAI_API_KEY" in problems["provider openai"]["fix"]


def test_a_gateway_whose_providers_have_no_credential(fake):
    for provider in fake.providers:
        provider.credential_state = "missing"
    assert "No provider key" in found(doctor("gateway"))["providers"]["what"]


async def test_a_tier_without_a_target_is_the_only_finding(live, gateway):
    await live("providers", "disable", "google", "--yes")
    gateway.upstream.enqueue(whole({"object": "list", "data": []}))
    problems = found(await live("doctor", "--only", "gateway", "-o", "json"))
    assert set(problems) == {"tier embedding"}
    assert "optyx tiers set embedding" in problems["tier embedding"]["fix"]


def test_a_sandbox_that_does_not_run_is_no_provider(fake):
    fake.providers[0].is_sandbox = True
    fake.test_steps = {fake.providers[0].name: [("connect", "failed", "refused")]}
    for provider in fake.providers[1:]:
        provider.credential_state = "missing"
    assert "No provider key" in found(doctor("gateway"))["providers"]["what"]


def test_a_sandbox_answers_for_every_tier(fake):
    fake.providers[0].is_sandbox = True
    fake.test_steps = {fake.providers[0].name: [("auth", "ok", "12 models")]}
    for provider in fake.providers[1:]:
        provider.credential_state = "missing"
    assert not [name for name in found(doctor("gateway")) if name.startswith("tier")]


def test_a_clock_that_is_an_hour_off(fake, monkeypatch):
    with Proxy(fake.url, date="Mon, 05 Jan 2026 10:00:00 GMT") as url:
        monkeypatch.setenv("OPTYX_GATEWAY_URL", url)
        assert "apart" in found(doctor("net"))["clock"]["what"]


@pytest.mark.parametrize("buffers", [True, False])
async def test_a_proxy_that_buffers_events(live, gateway, monkeypatch, buffers):
    monkeypatch.setattr("tui.checks.reached.FIRST_BYTES_S", 1.0)
    with Proxy(gateway.url, buffers=buffers) as url:
        monkeypatch.setenv("OPTYX_GATEWAY_URL", url)
        problems = found(await live("doctor", "-o", "json", "--only", "stream"))
    assert ("events" in problems) is buffers
    assert not buffers or "proxy_buffering off" in problems["events"]["fix"]


class Proxy:
    """A reverse proxy with a fault: another date, or events held back until the stream ends."""

    def __init__(self, upstream: str, date: str = "", buffers: bool = False) -> None:
        self.upstream, self.date, self.buffers = upstream, date, buffers
        self.done = threading.Event()

    def __enter__(self) -> str:
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def date_time_string(self, timestamp: float | None = None) -> str:
                return proxy.date or super().date_time_string(timestamp)

            def do_GET(self) -> None:
                import urllib.request

                asked = urllib.request.Request(
                    proxy.upstream + self.path, headers={"Authorization": self.headers.get("authorization", "")}
                )
                with urllib.request.urlopen(asked) as answer:
                    self.send_response(200)
                    self.send_header("connection", "close")
                    self.end_headers()
                    self.close_connection = True
                    self.relay(answer)

            def relay(self, answer: http.client.HTTPResponse) -> None:
                """As nginx does without `proxy_buffering off`: what has come waits for a full buffer or the end."""
                held = b""
                while not proxy.done.is_set() and (piece := answer.read1(4096)):
                    held += piece
                    if not proxy.buffers or len(held) >= 1 << 16:
                        with contextlib.suppress(OSError):  # the client has left
                            self.wfile.write(held)
                        held = b""
                with contextlib.suppress(OSError):
                    self.wfile.write(held)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@contextlib.contextmanager
def old_postgres() -> Iterator[int]:
    """A server that speaks as much of Postgres' protocol as a client needs to learn that it is version 14."""

    def parameter(name: bytes, value: bytes) -> bytes:
        text = name + b"\0" + value + b"\0"
        return b"S" + (len(text) + 4).to_bytes(4, "big") + text

    settings = {
        b"server_version": b"14.9",
        b"client_encoding": b"UTF8",
        b"DateStyle": b"ISO, MDY",
        b"standard_conforming_strings": b"on",
    }
    hello = b"R\0\0\0\x08\0\0\0\0" + b"".join(parameter(*one) for one in settings.items()) + b"Z\0\0\0\x05I"

    def serve(server: socket.socket) -> None:
        with server.accept()[0] as client:
            while True:
                message = client.recv(4096)
                if not message:
                    return
                if message[4:8] == (80877103).to_bytes(4, "big"):  # asks for TLS
                    client.sendall(b"N")
                elif message[:1] == b"X":
                    return
                else:
                    client.sendall(hello)

    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threading.Thread(target=serve, args=(server,))
        serving.start()
        yield server.getsockname()[1]
        serving.join(5)
