"""The embedded Postgres on real processes: start, attach, adopt after a kill, stop."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg2
import pytest

from gateway.embedded import EmbeddedPostgres, PostgresError

ROOT = Path(__file__).parent.parent
FAST = {"fsync": "off"}


def one(url: str) -> int:
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        value = cursor.fetchone()[0]
    connection.close()
    return value


def test_starts_attaches_and_keeps_its_data(scratch):
    owner = EmbeddedPostgres(scratch / "embedded", settings=FAST)
    url = owner.start()
    assert owner.is_owner
    assert one(url) == 1
    guest = EmbeddedPostgres(scratch / "embedded", settings=FAST)
    assert guest.start() == url
    assert not guest.is_owner
    guest.stop()
    assert one(url) == 1, "a guest's stop leaves the owner's server alone"
    owner.stop()
    with pytest.raises(psycopg2.OperationalError):
        one(url)
    again = EmbeddedPostgres(scratch / "embedded", settings=FAST)
    assert one(again.start()) == 1
    again.stop()


def test_a_killed_owner_leaves_a_folder_that_starts_again(scratch):
    program = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from gateway.embedded import EmbeddedPostgres
print(EmbeddedPostgres(Path({str(scratch / "killed")!r}), settings={FAST!r}).start(), flush=True)
time.sleep(60)
"""
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    url = owner.stdout.readline().strip()
    assert one(url) == 1
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    after = EmbeddedPostgres(scratch / "killed", settings=FAST)
    assert one(after.start()) == 1
    after.stop()


def test_a_server_that_is_just_ending_is_waited_for(scratch):
    before = EmbeddedPostgres(scratch / "ending", settings=FAST)
    assert one(before.start()) == 1
    before._lock.close()  # as if its owner were gone
    before.is_owner = False
    os.kill(before.pid, signal.SIGINT)
    while before._is_ready(before.pid):
        time.sleep(0.001)
    after = EmbeddedPostgres(scratch / "ending", settings=FAST)
    assert one(after.start()) == 1
    before._process.wait(10)
    after.stop()


def test_a_folder_that_is_not_ours_is_refused(scratch):
    foreign = scratch / "foreign"
    (foreign / "data").mkdir(parents=True)
    (foreign / "data" / "thesis.txt").write_text("precious")
    with pytest.raises(PostgresError, match="move it away"):
        EmbeddedPostgres(foreign).start()
    assert (foreign / "data" / "thesis.txt").read_text() == "precious"


def test_a_folder_of_binaries_without_postgres_is_refused(scratch, tmp_path):
    with pytest.raises((PostgresError, OSError)):
        EmbeddedPostgres(scratch / "nobinaries", bindir=tmp_path).start()
