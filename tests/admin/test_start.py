"""No gateway starts that nobody may administer."""

import os
import stat
import subprocess
import sys

import pytest

from gateway import config, credentials
from gateway.supervise import StartError, Supervisor
from tests.conftest import run_sql


def test_serve_wants_an_owner_s_token_and_seed_makes_the_first(database_url, tmp_path):
    settings = {"DATABASE_URL": database_url, "OPTYX_HOME": str(tmp_path / "home")}
    supervisor = Supervisor(config.load(settings), "serve", 1, lambda line: None)
    with pytest.raises(StartError, match="optyx seed"):
        supervisor._prepare()

    environment = {"PATH": os.environ["PATH"], **settings}
    command = [sys.executable, "-m", "tui.cli", "seed"]
    first = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=os.getcwd())
    assert first.returncode == 0, first.stderr
    path = tmp_path / "home" / "credentials.json"
    assert str(path) in first.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = credentials.read(tmp_path / "home")
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd=os.getcwd())
    assert again.returncode == 0
    assert credentials.read(tmp_path / "home") == kept
    assert kept["admin_token"] not in first.stdout + first.stderr

    supervisor._prepare()
    run_sql(database_url, "UPDATE admin_tokens SET expires_at = now()")
    with pytest.raises(StartError, match="no admin token"):
        supervisor._prepare()
