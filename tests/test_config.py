"""The table of variables: what it refuses, and that .env.example and the docs say the same."""

import re
from pathlib import Path

import pytest

from gateway import config
from gateway.config import ConfigError

ROOT = Path(__file__).parent.parent


def test_defaults_hold_with_nothing_set():
    loaded = config.load({})
    assert (loaded.host, loaded.port, loaded.max_body) == ("127.0.0.1", 4000, 32 << 20)
    assert loaded.database_url is None


def test_every_problem_is_named_at_once():
    with pytest.raises(ConfigError) as raised:
        config.load(
            {"GATEWAY_PORT": "http", "OPTYX_DURABILITY": "hope", "GATEWAY_PROT": "1", "OPTYX_SECRET_KEY": "hush"}
        )
    text = str(raised.value)
    assert len(raised.value.problems) == 4
    assert "GATEWAY_PORT wants a whole number" in text
    assert "did you mean GATEWAY_PORT?" in text
    assert "process, power" in text
    assert "hush" not in text


def test_a_secret_never_prints_itself():
    loaded = config.load({"DATABASE_URL": "postgresql://u:hunter2@h/d"})
    assert "hunter2" not in repr(loaded.database_url)
    assert "hunter2" not in repr(loaded)


def test_the_environment_wins_over_the_file(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("GATEWAY_PORT=1111\nGATEWAY_HOST=0.0.0.0\n")
    monkeypatch.setenv("GATEWAY_PORT", "2222")
    values = config.environment(tmp_path)
    assert (values["GATEWAY_PORT"], values["GATEWAY_HOST"]) == ("2222", "0.0.0.0")


def test_env_example_has_every_variable_with_its_default():
    lines = dict(re.findall(r"^#([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
    assert lines == {variable.name: variable.default or "" for variable in config.VARIABLES}


def test_the_page_has_every_variable_with_its_default_and_meaning():
    rows = re.findall(
        r"^\| `([A-Z0-9_]+)` \| (?:unset|`([^`]*)`) \| (.*) \|$", (ROOT / "docs/configuration.md").read_text(), re.M
    )
    assert rows == [
        (v.name, v.default or "", v.meaning)
        for side in ("gateway", "client")
        for v in config.VARIABLES
        if v.side == side
    ]
