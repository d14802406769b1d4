"""What a command could not print is an error with a status of its own: never a traceback, never a success, never the interpreter's 120."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.line import PROGRAM, optyx

DASHBOARD = [sys.executable, "-m", "tui.launch"]
LINES = [
    [*PROGRAM, "--version"], [*PROGRAM, "--help"], [*PROGRAM, "completion", "bash"],
    [*PROGRAM, "projects", "list"], [*PROGRAM, "projects", "list", "-o", "json"], [*PROGRAM, "logs", "export"],
    [*DASHBOARD, "--version"], [*DASHBOARD, "--help"], [*DASHBOARD, "--print-keys"],
]  # fmt: skip


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def buffering(request, monkeypatch):
    """Unbuffered, a write fails where it stands; buffered, only when all is flushed."""
    monkeypatch.setenv("PYTHONUNBUFFERED", request.param)


@pytest.mark.parametrize("line", LINES, ids=lambda line: " ".join(line[2:]))
def test_a_full_disk_is_an_error_of_one_line(fake, buffering, line):
    with open("/dev/full", "w") as full:
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == 1, done.stderr
    assert "the result could not be written: No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_closed_stdout_is_an_error_too(fake, buffering):
    closing = ["sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, "projects", "list"]
    done = subprocess.run(closing, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr == "optyx: error: the result could not be written: Bad file descriptor\n"


def test_a_press_of_tab_stays_quiet(fake, buffering):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PROGRAM, "--complete", "pro"], stdout=full, stderr=subprocess.PIPE, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_reader_that_has_gone_is_141(fake, buffering):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*PROGRAM, "projects", "list"], stdout=write, stderr=subprocess.PIPE, timeout=30)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_what_is_only_talk_may_be_lost(fake, where):
    """A key is handed over although nobody hears about it; a mistake keeps its status."""
    deaf = ["sh", "-c", f'exec "$@" 2{where}', "sh", *PROGRAM]
    made = subprocess.run(
        [*deaf, "keys", "create", "-p", "acme", "--name", "quiet"], stdout=subprocess.PIPE, timeout=30
    )
    assert (made.returncode, made.stdout[:9]) == (0, b"sk-optyx-")
    status = {key["name"]: key["status"] for key in optyx("keys", "list", "-o", "json").json}["quiet"]
    assert status == "unused"
    assert subprocess.run([*deaf, "no-such-command"], timeout=30).returncode == 2
