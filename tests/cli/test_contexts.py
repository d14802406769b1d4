"""Which gateway, and as whom: precedence, the file and its rights, where tokens come from, read-only and guarded contexts."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.cli.line import optyx
from tests.tui.fake_gateway import TOKEN
from tui import contexts
from tui.flags import Flags


@pytest.fixture
def config() -> Path:
    return contexts.folder() / "config.toml"


@pytest.fixture
def prod(fake, monkeypatch):
    """A context `prod` for the scripted gateway; the environment names none."""
    monkeypatch.delenv("OPTYX_GATEWAY_URL")
    monkeypatch.delenv("OPTYX_ADMIN_TOKEN")
    monkeypatch.setenv("PROD_TOKEN", TOKEN)
    assert optyx("ctx", "add", "prod", "--url", fake.url, "--token-source", "env:PROD_TOKEN").status == 0
    return fake


def test_contexts_are_added_used_renamed_and_removed(prod, config):
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert optyx("whoami", "-o", "json").json["context"] == "prod"
    optyx("ctx", "add", "staging", "--url", "http://127.0.0.1:9", "-p", "acme")
    assert optyx("ctx", "list", "-o", "name").lines == ["prod", "staging"]
    optyx("ctx", "use", "staging")
    assert optyx("ctx", "current", "-o", "name").lines == ["staging"]
    optyx("ctx", "rename", "staging", "test")
    assert optyx("ctx", "current", "-o", "name").lines == ["test"]
    assert optyx("whoami", "--context", "prod").status == 0
    assert optyx("ctx", "rm", "test").status == 0
    assert optyx("ctx", "use", "test").status == 2


def test_an_export_holds_no_secrets(prod):
    exported = optyx("ctx", "export", "-o", "json")
    assert exported.json == {"contexts": {"prod": {"url": prod.url}}}
    assert TOKEN not in exported.out


def test_precedence_is_flag_environment_folder_context_credentials(prod, monkeypatch, tmp_path):
    place = contexts.place
    home = contexts.home()
    home.mkdir()
    (home / "credentials.json").write_text(json.dumps({"gateway_url": "http://saved", "admin_token": "t-saved"}))
    assert place(Flags()).url == prod.url
    optyx("ctx", "add", "other", "--url", "http://other", "-p", "of-context")
    Path(".optyx.toml").write_text('context = "other"\nproject = "of-folder"\n')
    assert (place(Flags()).url, place(Flags()).project) == ("http://other", "of-folder")
    monkeypatch.setenv("OPTYX_CONTEXT", "prod")
    monkeypatch.setenv("OPTYX_PROJECT", "of-environment")
    assert (place(Flags()).url, place(Flags()).project) == (prod.url, "of-environment")
    monkeypatch.setenv("OPTYX_GATEWAY_URL", "http://environment")
    assert place(Flags()).url == "http://environment"
    assert place(Flags(context="other", given={"context"})).url == "http://other"
    assert place(Flags(url="http://flag", given={"url"})).url == "http://flag"


def test_credentials_of_a_local_gateway_are_found(fake, monkeypatch):
    monkeypatch.delenv("OPTYX_GATEWAY_URL")
    monkeypatch.delenv("OPTYX_ADMIN_TOKEN")
    ran = optyx("projects")
    assert ran.status == 2
    assert "optyx up" in ran.err
    contexts.home().mkdir()
    path = contexts.home() / "credentials.json"
    path.write_text(json.dumps({"gateway_url": fake.url, "admin_token": TOKEN}))
    path.chmod(0o600)
    assert optyx("projects").status == 0


def test_a_folder_can_never_name_a_token_or_an_address(prod):
    Path(".optyx.toml").write_text('url = "http://evil"\n')
    ran = optyx("projects")
    assert ran.status == 2
    assert "only project and context" in ran.err


def test_a_config_that_others_can_read_is_refused(prod, config):
    config.chmod(0o644)
    ran = optyx("projects")
    assert ran.status == 2
    assert "chmod 600" in ran.err


@pytest.mark.parametrize("text", ["[contexts.x]\nurl = 3\n", "[contexts.x]\nurll = 'a'\n", "[contexts", "what = 1\n"])
def test_a_broken_config_is_named(config, text):
    config.parent.mkdir(parents=True)
    config.write_text(text)
    config.chmod(0o600)
    ran = optyx("projects")
    assert ran.status == 2
    assert str(config) in ran.err


def test_tokens_come_from_files_commands_and_variables(prod, tmp_path, monkeypatch):
    secret = tmp_path / "token"
    secret.write_text(TOKEN + "\n")
    secret.chmod(0o600)
    optyx("ctx", "edit", "prod", "--token-source", f"file:{secret}")
    assert optyx("whoami").status == 0
    secret.chmod(0o644)
    assert optyx("whoami").status == 2
    optyx("ctx", "edit", "prod", "--token-source", f"cmd:echo {TOKEN}")
    assert optyx("whoami").status == 0
    optyx("ctx", "edit", "prod", "--token-source", "cmd:exit 3")
    assert optyx("whoami").status == 4
    optyx("ctx", "edit", "prod", "--token-source", "env:NOT_SET")
    assert optyx("whoami").status == 4
    assert optyx("whoami", "--token-stdin", stdin=TOKEN + "\n").status == 0
    assert optyx("ctx", "add", "bad", "--url", "http://x", "--token-source", TOKEN).status == 2


def test_a_read_only_context_changes_nothing(prod):
    optyx("ctx", "edit", "prod", "--readonly")
    ran = optyx("keys", "create", "-p", "acme", "--name", "x")
    assert (ran.status, ran.out) == (4, "")
    assert "read-only" in ran.err
    assert optyx("keys", "list", "-p", "acme").status == 0


def test_a_guarded_context_wants_its_name(prod):
    optyx("ctx", "edit", "prod", "--guarded")
    assert optyx("keys", "disable", "ci-deploy", "-p", "acme", "--yes").status == 2
    assert optyx("keys", "disable", "ci-deploy", "-p", "acme", "--yes", "--confirm", "prod").status == 0
    made = optyx("keys", "create", "-p", "acme", "--name", "ci")
    assert (made.status, made.out) == (2, ""), "what needs no question elsewhere needs one here"
    assert "add --yes --confirm prod" in made.err
    assert optyx("keys", "create", "-p", "acme", "--name", "ci", "--yes", "--confirm", "prod").status == 0


def test_login_tries_the_token_and_keeps_it_apart(fake, monkeypatch, config):
    monkeypatch.delenv("OPTYX_GATEWAY_URL")
    monkeypatch.delenv("OPTYX_ADMIN_TOKEN")
    assert optyx("login", fake.url, "--name", "there", stdin="wrong\n").status == 4
    assert not config.exists()
    assert optyx("login", fake.url, "--name", "there", stdin=TOKEN + "\n").status == 0
    assert TOKEN not in config.read_text()
    assert optyx("whoami", "-o", "json").json["context"] == "there"
    assert optyx("logout").status == 0
    assert not list(contexts.folder().glob("*.token"))
    assert optyx("whoami").status == 4


def test_a_kept_token_goes_with_its_context(fake, monkeypatch, config):
    for name in ("OPTYX_GATEWAY_URL", "OPTYX_ADMIN_TOKEN"):
        monkeypatch.delenv(name)

    def kept() -> set[str]:
        return {path.name for path in config.parent.glob("*.token")}

    assert optyx("login", fake.url, "--name", "prod", stdin=TOKEN).status == 0
    assert optyx("ctx", "rename", "prod", "live").status == 0
    assert kept() == {"live.token"}
    assert optyx("login", fake.url, "--name", "prod", stdin=TOKEN).status == 0  # a name that is free again
    assert optyx("whoami", "-c", "live").status == optyx("whoami", "-c", "prod").status == 0
    assert optyx("ctx", "remove", "live").status == 0
    assert kept() == {"prod.token"}
    foreign = config.parent / "mine.txt"
    foreign.write_text(TOKEN)
    optyx("ctx", "add", "other", "--url", fake.url, "--token-source", f"file:{foreign}")
    assert optyx("ctx", "rename", "other", "another").status == optyx("ctx", "remove", "another").status == 0
    assert foreign.exists()
    assert optyx("logout", "prod").status == 0
    assert kept() == set()


@pytest.mark.parametrize(
    "url", ["notaurl", "127.0.0.1:4000", "http://", "https://:4000", "ftp://gateway", "http://here:port", "http://[::1"]
)
def test_a_token_goes_to_no_address_that_is_none(fake, monkeypatch, url):
    ran = optyx("projects", "list", "--url", url)
    assert (ran.status, ran.out) == (2, "")
    assert "no address of a gateway" in ran.err
    monkeypatch.setenv("OPTYX_GATEWAY_URL", url)
    assert optyx("projects", "list").status == 2
    assert optyx("ctx", "add", "x", "--url", url).status == 2
    assert not fake.seen


def test_a_folder_s_env_file_is_read_and_trusted_only_with_its_own_token(fake, monkeypatch, prod):
    monkeypatch.setattr(contexts, "_from_dotenv", set())
    monkeypatch.setenv("OPTYX_GATEWAY_URL", "")
    monkeypatch.setenv("OPTYX_ADMIN_TOKEN", "")
    Path(".env").write_text(f"OPTYX_GATEWAY_URL={fake.url}\n")
    ran = optyx("whoami")
    assert ran.status == 2
    assert "a token of yours is not sent" in ran.err
    Path(".env").write_text(f"OPTYX_GATEWAY_URL={fake.url}\nOPTYX_ADMIN_TOKEN={TOKEN}\n")
    assert optyx("whoami").status == 0


async def test_an_admin_api_with_a_listener_of_its_own(make_gateway, monkeypatch):
    import asyncio

    from gateway import credentials
    from tests.conftest import free_port

    port = free_port()
    gateway = await make_gateway(ADMIN_PORT=str(port))
    credentials.write(contexts.home(), gateway.url, await gateway.token("owner"), f"http://127.0.0.1:{port}")
    for words in (
        ("projects",),
        ("status",),
        ("doctor", "--only", "net,auth,stream"),
        ("logs", "tail", "--for", "200ms"),
    ):
        ran = await asyncio.to_thread(optyx, *words)
        assert ran.status == 0, ran.err + ran.out
