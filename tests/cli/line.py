"""The command line under test: `optyx(...)` runs it in this process, `process(...)` as a program, `pty_process(...)` on a terminal."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import select
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from tui.cli import COMMANDS, DEFAULTS
from tui.tree import run

PROGRAM = [sys.executable, "-m", "tui.cli"]
_one_at_a_time = threading.Lock()


@dataclass
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def fault(self) -> dict[str, Any]:
        """The envelope on stderr: its last line, after what was told before."""
        return dict(json.loads(self.err.splitlines()[-1])["error"])


def optyx(*words: str, stdin: str = "") -> Ran:
    """In this process, not on a terminal. The environment is the test's."""
    out, err = io.StringIO(), io.StringIO()
    with _one_at_a_time:
        before = sys.argv, sys.stdin
        sys.argv, sys.stdin = ["optyx", *words], io.StringIO(stdin)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = run(COMMANDS, DEFAULTS)
        finally:
            sys.argv, sys.stdin = before
    return Ran(status, out.getvalue(), err.getvalue())


def process(*words: str, stdin: str = "", env: dict[str, str] | None = None, timeout_s: float = 30, **more: Any) -> Ran:
    done = subprocess.run(
        [*PROGRAM, *words],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        timeout=timeout_s,
        **more,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def pty_process(*words: str, typed: str = "", env: dict[str, str] | None = None, timeout_s: float = 30) -> Ran:
    """On a terminal of 120 columns: `out` is all that was written to it, stdout and stderr together."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update({"TERM": "xterm-256color", "COLUMNS": "120", **(env or {})})
        os.execv(PROGRAM[0], [*PROGRAM, *words])
    seen = b""
    deadline = time.monotonic() + timeout_s
    sent = False
    while time.monotonic() < deadline:
        if typed and not sent and (b"[y/N]" in seen or b"to go on:" in seen):
            os.write(terminal, typed.encode() + b"\n")
            sent = True
        readable, _, _ = select.select([terminal], [], [], 0.05)
        if readable:
            try:
                piece = os.read(terminal, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return Ran(os.waitstatus_to_exitcode(status), seen.decode().replace("\r\n", "\n"), "")
