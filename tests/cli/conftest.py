"""A scripted gateway and a home of its own for every test of the command line."""

from __future__ import annotations

import asyncio

import pytest

from tests.cli.line import Ran, optyx
from tests.tui.fake_gateway import TOKEN, FakeGateway


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    """Nothing of the user's is read or written, and nothing of the surroundings decides."""
    monkeypatch.setenv("OPTYX_HOME", str(tmp_path / "optyx-home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("CI", "NO_COLOR", "CLICOLOR_FORCE", "TMUX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fake(monkeypatch):
    with FakeGateway() as gateway:
        monkeypatch.setenv("OPTYX_GATEWAY_URL", gateway.url)
        monkeypatch.setenv("OPTYX_ADMIN_TOKEN", TOKEN)
        yield gateway


@pytest.fixture
async def live(gateway, monkeypatch):
    """A real gateway that this session is signed in to as an owner: `await live("projects", "list")`."""
    monkeypatch.setenv("OPTYX_GATEWAY_URL", gateway.url)
    monkeypatch.setenv("OPTYX_ADMIN_TOKEN", await gateway.token("owner"))

    async def run(*words: str, stdin: str = "") -> Ran:
        return await asyncio.to_thread(optyx, *words, stdin=stdin)

    return run
