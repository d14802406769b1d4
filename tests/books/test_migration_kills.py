"""A migration killed in the middle can be run again, and gives the same schema."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import migrate
from gateway.secret import Secret
from tests.conftest import in_database
from tests.test_migrate import schema

ROOT = Path(__file__).parent.parent.parent
STEPS = sorted(path.stem for path in migrate.folder().glob("*.sql") if not path.stem.endswith(".rollback"))


def killed(url, step, moment):
    command = [sys.executable, "-m", "tests.books.dying_migration", url, step, moment]
    assert subprocess.run(command, cwd=ROOT).returncode == -signal.SIGKILL


def test_killed_between_the_last_step_and_its_note(empty_database_url, postgres_url, template):
    killed(empty_database_url, STEPS[-1], "unmarked")
    assert migrate.up(Secret(empty_database_url)) == [STEPS[-1]]
    assert schema(empty_database_url) == schema(in_database(postgres_url, template))


@pytest.mark.slow
def test_killed_in_and_after_every_step(empty_database_url, postgres_url, template):
    for step in STEPS:
        for moment in ("middle", "unmarked"):
            killed(empty_database_url, step, moment)
    assert migrate.up(Secret(empty_database_url)) == [STEPS[-1]]
    assert migrate.missing(Secret(empty_database_url)) == []
    assert schema(empty_database_url) == schema(in_database(postgres_url, template))
