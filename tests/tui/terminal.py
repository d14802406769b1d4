"""A program in a pseudo-terminal: what it writes, byte for byte and with the time of each read; what it is sent; how it ends.

No emulator: `words` is what was written without its escape sequences, in the order it came. Used by the tests of the dashboard's bytes and
by the measurements in `bench/tui.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parent.parent.parent
SEQUENCE = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\|\x1b[ -/]*[0-~]")
"""CSI, OSC, DCS and the short ones."""
LAUNCH = [sys.executable, "-m", "tui.launch"]


class Terminal:
    """Runs from `with` on; the process is ended by its id at the end. `reads`: (moment, bytes), moments of `time.perf_counter`."""

    def __init__(
        self,
        command: Sequence[str],
        size: tuple[int, int] = (120, 36),
        env: Mapping[str, str | None] | None = None,
        answers: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """`answers`: what a terminal says to what it is asked, by the question."""
        self.command, self.size = list(command), size
        given = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            **(env or {}),
        }
        # a size in the environment would win over the terminal's own
        self.env = {
            name: value for name, value in given.items() if value is not None and name not in ("COLUMNS", "LINES")
        }
        self.answers = dict(answers or {})
        self.reads: list[tuple[float, bytes]] = []
        self.begun = 0.0
        self._stopped = threading.Event()

    def __enter__(self) -> Terminal:
        self.master, slave = pty.openpty()
        self._resize(slave)
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(
            self.command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=self.env,
            cwd=ROOT,
            start_new_session=True,
            close_fds=True,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.hang_up()

    def hang_up(self) -> None:
        """The window is closed."""
        self._stopped.set()
        self._reader.join()
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def _resize(self, descriptor: int) -> None:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", self.size[1], self.size[0], 0, 0))

    def resize(self, width: int, height: int) -> None:
        self.size = (width, height)
        self._resize(self.master)
        os.kill(self.process.pid, signal.SIGWINCH)

    def _read(self) -> None:
        while not self._stopped.is_set():
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    data = os.read(self.master, 65536)
                except OSError:  # the program has ended and closed its side
                    return
                self.reads.append((time.perf_counter(), data))
                for question in [one for one in self.answers if one in data]:
                    os.write(self.master, self.answers[question])

    @property
    def output(self) -> bytes:
        return b"".join(data for _, data in list(self.reads))

    @property
    def words(self) -> str:
        return SEQUENCE.sub(b"", self.output).decode("utf-8", "replace")

    def send(self, keys: bytes) -> float:
        """Returns the moment of sending."""
        moment = time.perf_counter()
        os.write(self.master, keys)
        return moment

    def wait_for(self, text: str, timeout_s: float = 15.0, after: int = 0) -> float:
        """The moment at which `text` had been written; only bytes of reads from number `after` on count. Raises AssertionError."""
        wanted = text.encode()
        deadline = time.perf_counter() + timeout_s
        while time.perf_counter() < deadline:
            seen = b""
            for moment, data in self.reads[after:]:
                seen += data
                if wanted in SEQUENCE.sub(b"", seen):
                    return moment
            if self.process.poll() is not None:
                break
            time.sleep(0.005)
        raise AssertionError(f"{text!r} did not appear; the last of what did: {self.words[-600:]!r}")

    def wait_until(self, claim: Callable[[], bool], timeout_s: float = 15.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not claim():
            assert time.monotonic() < deadline, f"did not come true; the last of it: {self.words[-300:]}"
            time.sleep(0.01)

    def wait_for_silence(self, quiet_s: float = 0.3, timeout_s: float = 15.0) -> None:
        """Until nothing has been written for a while."""
        deadline = time.perf_counter() + timeout_s
        while time.perf_counter() < deadline:
            if self.reads and time.perf_counter() - self.reads[-1][0] >= quiet_s:
                return
            time.sleep(0.01)
        raise AssertionError("it never stopped writing")

    def first_write_after(self, moment: float, timeout_s: float = 5.0) -> float:
        deadline = time.perf_counter() + timeout_s
        while time.perf_counter() < deadline:
            later = [when for when, _ in self.reads[-50:] if when >= moment]
            if later:
                return later[0]
            time.sleep(0.0005)
        raise AssertionError("nothing was written")

    def press(self, key: bytes, quiet_s: float = 0.15) -> None:
        """Sends a key that draws something, and waits until that has been drawn."""
        self.first_write_after(self.send(key))
        self.wait_for_silence(quiet_s)
