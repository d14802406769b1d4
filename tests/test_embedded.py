"""The embedded Postgres on real processes: start, attach, adopt after a kill, stop."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg2
import pytest

from gateway.embedded import EmbeddedPostgres, PostgresError, _command_of
from tests.books.processes import children

ROOT = Path(__file__).parent.parent
FAST = {"fsync": "off"}


def one(url: str) -> int:
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        value = cursor.fetchone()[0]
    connection.close()
    return value


@pytest.fixture
def server(scratch):
    """Makes servers by the name of their folder; all have ended after the test."""
    made = []

    def make(name):
        made.append(EmbeddedPostgres(scratch / name, settings=FAST))
        return made[-1]

    yield make
    for one_of_them in reversed(made):
        one_of_them.stop()


def test_starts_attaches_and_keeps_its_data(server):
    owner = server("embedded")
    url = owner.start()
    assert owner.is_owner
    assert one(url) == 1
    guest = server("embedded")
    assert guest.start() == url
    assert not guest.is_owner
    guest.stop()
    assert one(url) == 1, "a guest's stop leaves the owner's server alone"
    owner.stop()
    with pytest.raises(psycopg2.OperationalError):
        one(url)
    assert one(server("embedded").start()) == 1


def test_a_killed_owner_leaves_a_folder_that_starts_again(scratch, server):
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
    assert one(server("killed").start()) == 1


def test_a_server_without_its_owner_is_ended_and_waited_for(server):
    """However long that takes: its checkpointer, which has the last word, is held up until the next start has looked ten times."""
    before, after = server("ending"), server("ending")
    assert one(before.start()) == 1
    before._lock.close()  # as if its owner were gone
    before.is_owner = False
    (checkpointer,) = [pid for pid in children(before.pid) if "checkpointer" in _command_of(pid)]
    looks, look, has_waited = [], after._is_ours, threading.Event()

    def counted(pid):
        looks.append(pid)
        if looks.count(before.pid) == 10:
            has_waited.set()
        return look(pid)

    def thaw():
        has_waited.wait(30)
        os.kill(checkpointer, signal.SIGCONT)

    after._is_ours = counted
    os.kill(checkpointer, signal.SIGSTOP)
    thawing = threading.Thread(target=thaw)
    thawing.start()
    try:
        url = after.start()  # raises when it does not wait: the folder has a server
    finally:
        has_waited.set()
        thawing.join()
        before._process.wait(20)
    assert one(url) == 1
    assert after.pid != before.pid


def test_a_pid_that_another_server_has_now_is_left_alone(server):
    """The machine was restarted, and the number in our folder is another Postgres's."""
    other, ours = server("other"), server("mine")
    assert one(other.start()) == 1
    ours.start()
    ours.stop()
    (ours.data / "postmaster.pid").write_text((other.data / "postmaster.pid").read_text())
    with pytest.raises(PostgresError, match="did not start"):
        server("mine").start()
    assert (
        one(f"postgresql://optyx@/optyx?host={other.base}&password=" + (other.base / "password").read_text().strip())
        == 1
    )


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
