"""A start with a bad environment: nothing is started, every problem is said at once, and no secret and no traceback with it."""

import os
import subprocess
import sys

import pytest

BAD = {
    "GATEWAY_PORT": "http",
    "GATEWAY_WROKERS": "2",
    "GATEWAY_MAX_BODY_MB": "0",
    "GATEWAY_HEADER_TIMEOUT_S": "soon",
    "GATEWAY_DRAIN_S": "nan",
    "OPTYX_DURABILITY": "forever",
    "OPTYX_FORCE_OPENAI_FAILOVER": "maybe",
    "OPTYX_SECRET_KEY": "canary-of-a-secret",
    "OPTYX_DURABILTY": "power",
    "DATABASE_URL": "mysql://user:canary-of-a-password@host/db",
    "DASHBOARD_ORIGIN": "dash.example",
    "OPENAI_BASE_URL": "api.openai.com",
    "LOG_LEVEL": "loud",
}


def start(mode: str, folder, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPTYX_", "GATEWAY_", "DATABASE_", "REDIS_", "OPENAI_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "tui.cli", mode], cwd=folder, env={**clean, "OPTYX_HOME": str(folder / "home"), "PYTHONPATH": os.getcwd(), **env},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["demo", "up", "serve"])
def test_every_problem_is_said_at_once_and_nothing_is_started(tmp_path, mode):
    done = start(mode, tmp_path, BAD)
    assert done.returncode == 2
    assert done.stdout == ""
    for name in BAD:
        assert name in done.stderr, name
    assert "did you mean GATEWAY_WORKERS?" in done.stderr
    assert "did you mean OPTYX_DURABILITY?" in done.stderr
    assert "canary" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists()


def test_the_file_is_read_and_what_is_really_set_wins(tmp_path):
    (tmp_path / ".env").write_text("GATEWAY_PORT=seven\nGATEWAY_WORKERS=zero\n# OPTYX_NOTHING=1\n")
    done = start("serve", tmp_path, {"GATEWAY_PORT": "4000"})
    assert done.returncode == 2
    assert "GATEWAY_WORKERS" in done.stderr
    assert "GATEWAY_PORT" not in done.stderr
    assert "OPTYX_NOTHING" not in done.stderr


def test_serve_without_a_database_says_what_to_set(tmp_path):
    done = start("serve", tmp_path, {})
    assert done.returncode != 0
    assert "DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_value_is_as_good_as_none(tmp_path):
    done = start("serve", tmp_path, {"GATEWAY_PORT": "", "OPTYX_DURABILITY": "", "OPENAI_BASE_URL": ""})
    assert "GATEWAY_PORT" not in done.stderr
    assert "DATABASE_URL" in done.stderr
