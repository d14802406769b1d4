"""The dashboard in a pseudo-terminal, measured as a user would with a stopwatch: what `bench.tui` prints.

Nothing in the dashboard is instrumented: times are those of the bytes it writes, CPU and memory those of its process. The gateway is the
scripted one of the tests, in a process of its own: it can send any number of rows, and knows how many it sent.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench import processes
from bench.figures import Figure, ages_at_draw, figure, none_lost
from tests.tui.fake_gateway import TOKEN
from tests.tui.terminal import Terminal

LAUNCH = [str(Path(sys.executable).with_name("optyx-tui"))]
"""What a user types, and not `python -m`."""
SIZE = (120, 36)
RING = 100_000


class Bench:
    def __init__(self, runs: int, seconds: float, home: str) -> None:
        self.runs, self.seconds, self.home = runs, seconds, home
        self.fake: subprocess.Popen[str]
        self.url = ""

    def start_fake(self, port: int = 0, rate: float = 0) -> None:
        command = [sys.executable, "-m", "tests.tui.fake_gateway", "--busy", "--port", str(port), "--rate", str(rate)]
        self.fake = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.fake.stdout is not None
        self.url = self.fake.stdout.readline().strip()

    def stop_fake(self) -> None:
        self.fake.terminate()
        self.fake.wait()

    def control(self, **given: float) -> int:
        """Tells the gateway what to send; how many rows it has sent."""
        asked = urllib.request.Request(f"{self.url}/control", json.dumps(given).encode(), method="POST")
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return int(json.load(answer)["sent"])

    @contextlib.contextmanager
    def dashboard(self, *arguments: str, **env: str) -> Iterator[Terminal]:
        given: dict[str, str | None] = {
            "OPTYX_GATEWAY_URL": self.url, "OPTYX_ADMIN_TOKEN": TOKEN, "OPTYX_HOME": self.home, "XDG_CONFIG_HOME": self.home,
            "XDG_STATE_HOME": self.home, "XDG_CACHE_HOME": self.home, "TMUX": None, "SSH_TTY": None, "NO_COLOR": None,
            "OPTYX_CONTEXT": None, "PYTHONDONTWRITEBYTECODE": None, **env,
        }  # fmt: skip
        with Terminal([*LAUNCH, *arguments], SIZE, given) as terminal:
            yield terminal

    # Starting

    def start(self) -> dict[str, Figure]:
        """The first one is not counted: with it Python compiles what was changed since the installation."""
        frames, data, sizes = [], [], []
        for run in range(self.runs + 1):
            with self.dashboard() as terminal:
                times = [(terminal.wait_for(text) - terminal.begun) * 1000 for text in ("CONNECTING", "support-bot")]
                terminal.wait_for_silence(0.15)
                if run:
                    frames.append(times[0])
                    data.append(times[1])
                    sizes.append(len(terminal.output) / 1024)
        return {
            "P1 exec to the first frame": figure(frames, 60, "ms p95", 0.95),
            "P2 exec to data": figure(data, 700, "ms p95", 0.95),
            "P12 bytes of the first paint": figure(sizes, 24, "KiB p50", 0.5),
            "P2 exec to remembered data, the gateway silent": figure(self._remembered(), 600, "ms p95", 0.95),
        }

    def _remembered(self) -> list[float]:
        """What the last session saw, while the gateway takes connections and says nothing."""
        with self.dashboard() as terminal:
            terminal.wait_for("support-bot")
            terminal.press(b"q")
            terminal.process.wait(10)
        self.fake.send_signal(signal.SIGSTOP)
        try:
            times = []
            for _ in range(self.runs):
                with self.dashboard() as terminal:
                    times.append((terminal.wait_for("support-bot") - terminal.begun) * 1000)
            return times
        finally:
            self.fake.send_signal(signal.SIGCONT)

    # Keys

    def keys(self) -> dict[str, Figure]:
        with self.dashboard("projects") as terminal:
            terminal.wait_for("support-bot")
            terminal.wait_for_silence()
            moves, sizes = self._echoes(terminal, [b"j", b"j", b"k", b"k"] * 25)
            escapes = []
            for _ in range(self.runs):
                terminal.press(b":", 0.05)
                escapes.append(self._echo(terminal, b"\x1b"))
                terminal.wait_for_silence(0.05)
            for key in b"12345678":
                terminal.press(bytes([key]), 0.3)
            switches, _ = self._echoes(terminal, [bytes([key]) for key in b"12345678"] * 5, 0.08)
        return {
            "P8 key to paint, idle": figure(moves, 30, "ms p95", 0.95),
            "P9 esc to paint": figure(escapes, 70, "ms p95", 0.95),
            "P10 screen switch": figure(switches, 80, "ms p95", 0.95),
            "P12 bytes of a key": figure(sizes, 2, "KiB p50", 0.5),
        }

    def _echo(self, terminal: Terminal, key: bytes) -> float:
        sent = terminal.send(key)
        return (terminal.first_write_after(sent) - sent) * 1000

    def _echoes(self, terminal: Terminal, keys: list[bytes], quiet_s: float = 0.03) -> tuple[list[float], list[float]]:
        times, sizes = [], []
        for key in keys:
            before = len(terminal.output)
            times.append(self._echo(terminal, key))
            terminal.wait_for_silence(quiet_s)
            sizes.append((len(terminal.output) - before) / 1024)
        return times, sizes

    # The tail

    def tail(self) -> dict[str, Figure]:
        with self.dashboard("logs") as terminal:
            page, sent_before = self._at_rest(terminal), self.control()
            self.control(rate=1000)
            time.sleep(2)
            cpu, read_from, begun = processes.cpu_s(terminal.process.pid), len(terminal.reads), time.perf_counter()
            echoes = []
            while time.perf_counter() - begun < self.seconds:
                time.sleep(2)
                echoes += [self._effect(terminal, b"g", "PAUSED"), self._effect(terminal, b"G", "FOLLOWING")]
            passed = time.perf_counter() - begun
            share = (processes.cpu_s(terminal.process.pid) - cpu) / passed * 100
            reads = terminal.reads[read_from:]
            self.control(rate=0)
            sent, held, lost = self._settled(terminal, page, sent_before)
            ages = ages_at_draw(reads, time.time() - time.perf_counter())
            size = sum(len(data) for _, data in reads) / 1024 / passed
        return {
            "P3 rows lost of those sent at 1,000/s": none_lost(sent, held, lost),
            "P3 age of the newest row at its draw": figure(ages, 250, "ms p95", 0.95),
            "P3 CPU at 1,000 rows/s": figure([share], 30, "% of a core", 0.5),
            "P8 key to its effect at 1,000 rows/s": figure(echoes, 50, "ms p95", 0.95),
            "P12 bytes of the tail": figure([size], 160, "KiB/s", 0.5),
        }

    def tail_over_ssh(self) -> dict[str, Figure]:
        with self.dashboard("logs", SSH_TTY="/dev/pts/0") as terminal:
            self._at_rest(terminal)
            self.control(rate=1000)
            time.sleep(2)
            read_from = len(terminal.reads)
            time.sleep(10)
            size = sum(len(data) for _, data in terminal.reads[read_from:]) / 1024 / 10
            self.control(rate=0)
        return {"P12 bytes of the tail over SSH": figure([size], 40, "KiB/s", 0.5)}

    def _effect(self, terminal: Terminal, key: bytes, text: str) -> float:
        """ms from a key to the words that say what it did: while rows pour in, the first bytes after it may be theirs."""
        read = len(terminal.reads)
        sent = terminal.send(key)
        return (terminal.wait_for(text, after=read) - sent) * 1000

    def _at_rest(self, terminal: Terminal) -> int:
        """How many rows the list begins with."""
        terminal.wait_for("FOLLOWING")
        terminal.wait_for_silence()
        return self._told(terminal)[0]

    def _told(self, terminal: Terminal) -> tuple[int, int]:
        """(rows held, rows lost) as its status line says; help, opened and closed, makes it write that line whole."""
        for key in (b"?", b"\x1b"):
            terminal.press(key, 0.2)
        numbers = [
            re.findall(rf"{word}\s+([\d,]+)", terminal.words[-40_000:]) for word in (r"row\s+[\d,]+\s*/", "loss")
        ]
        held, lost = (int(found[-1].replace(",", "")) if found else 0 for found in numbers)
        return held, lost

    def _settled(self, terminal: Terminal, page: int, sent_before: int) -> tuple[int, int, int]:
        """(rows sent, held beyond the first page, said to be lost) once nothing comes any more. What was sent is asked last: when the rate
        falls to nothing, a batch may be on its way."""
        terminal.send(b"G")
        deadline = time.monotonic() + 20
        while True:
            terminal.wait_for_silence(0.5, 30)
            held, lost = self._told(terminal)
            sent = self.control() - sent_before
            if held - page >= sent or held >= RING or time.monotonic() > deadline:
                return sent, held - page, lost

    def burst(self) -> dict[str, Figure]:
        with self.dashboard("logs") as terminal:
            page, before = self._at_rest(terminal), self.control()
            self.control(rate=10_000)
            began, echoes = time.perf_counter(), []
            while time.perf_counter() - began < 1.0:
                echoes.append(self._effect(terminal, b"T", "Times are"))
                time.sleep(0.1)
            self.control(rate=0)
            sent, held, lost = self._settled(terminal, page, before)
            self.control(rate=10_000)
            while self.control() - before < RING + 1000:
                time.sleep(0.2)
            self.control(rate=0)
            self._settled(terminal, page, before)
            status = Path(f"/proc/{terminal.process.pid}/status").read_text()
            resident = int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024
            jumps, _ = self._echoes(terminal, [b"g", b"\x1b[6~", b"\x1b[5~", b"G"] * 10, 0.05)
        return {
            "P4 rows lost in a burst of 10,000/s": none_lost(sent, held, lost),
            "P4 longest wait for a key in the burst": figure(echoes, 250, "ms max", 1.0),
            "P5 memory with 100,000 rows": figure([resident], 120, "MiB", 0.5),
            "P6 first, last, page among 100,000": figure(jumps, 50, "ms p95", 0.95),
        }

    # Rest

    def rest(self) -> dict[str, Figure]:
        with self.dashboard() as terminal:
            terminal.wait_for("support-bot")
            time.sleep(5)
            watched, sizes = self._idle(terminal)
            terminal.send(b"\x1b[O")
            time.sleep(2)
            unwatched, _ = self._idle(terminal)
        return {
            "P11 CPU of the overview": figure([watched], 1, "% of a core", 0.5),
            "P11 CPU without the focus": figure([unwatched], 0.3, "% of a core", 0.5),
            "P12 bytes of the overview": figure([sizes], 8, "KiB/s", 0.5),
        }

    def _idle(self, terminal: Terminal) -> tuple[float, float]:
        cpu, size, begun = processes.cpu_s(terminal.process.pid), len(terminal.output), time.perf_counter()
        time.sleep(self.seconds)
        passed = time.perf_counter() - begun
        return (processes.cpu_s(terminal.process.pid) - cpu) / passed * 100, (
            len(terminal.output) - size
        ) / 1024 / passed

    def restart(self) -> dict[str, Figure]:
        times = []
        port = int(self.url.rpartition(":")[2])
        with self.dashboard("projects") as terminal:
            terminal.wait_for("support-bot")
            for _ in range(5):
                self.stop_fake()
                terminal.wait_for("OFFLINE", after=len(terminal.reads))
                time.sleep(4)
                self.start_fake(port)
                listening, read = time.perf_counter(), len(terminal.reads)
                times.append(terminal.wait_for("LIVE", after=read) - listening)
        return {"P14 live after a gateway listens again": figure(times, 3, "s max", 1.0)}
