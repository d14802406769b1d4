"""What the dashboard costs and how soon it answers, in a pseudo-terminal, as TERMINAL counts it: figures P1 to P14 of docs/tui.md.

`python -m bench.tui [--runs 20] [--seconds 60] [--only P1,P9] [--beside TEXT]` prints a table and writes bench/results/<date>-tui.json.
The gateway is the scripted one of the tests, in a process of its own: it can send any number of rows, and knows how many it sent.
Nothing in the dashboard is instrumented: times are those of the bytes it writes, CPU and memory those of its process.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import processes
from tests.tui.fake_gateway import TOKEN
from tests.tui.terminal import LAUNCH, SEQUENCE, Terminal

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "tui.md"
SIZE = (120, 36)
Figure = dict[str, Any]


class Bench:
    def __init__(self, runs: int, seconds: float, home: str) -> None:
        self.runs, self.seconds, self.home = runs, seconds, home
        self.fake: subprocess.Popen[str]
        self.url = ""

    def start_fake(self, port: int = 0, rate: float = 0) -> None:
        command = [sys.executable, "-m", "tests.tui.fake_gateway", "--port", str(port), "--rate", str(rate)]
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
            "XDG_STATE_HOME": self.home, "TMUX": None, "SSH_TTY": None, "NO_COLOR": None, "OPTYX_CONTEXT": None, **env,
        }  # fmt: skip
        with Terminal([*LAUNCH, *arguments], SIZE, given) as terminal:
            yield terminal

    # Starting

    def start(self) -> dict[str, Figure]:
        frames, data, sizes = [], [], []
        for _ in range(self.runs):
            with self.dashboard() as terminal:
                frames.append((terminal.wait_for("CONNECTING") - terminal.begun) * 1000)
                data.append((terminal.wait_for("support-bot") - terminal.begun) * 1000)
                terminal.wait_for_silence(0.15)
                sizes.append(len(terminal.output) / 1024)
        return {
            "P1 exec to the first frame": figure(frames, 60, "ms p95", 0.95),
            "P2 exec to data": figure(data, 700, "ms p95", 0.95),
            "P12 bytes of the first paint": figure(sizes, 24, "KiB p50", 0.5),
        }

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
            terminal.wait_for("FOLLOWING")
            terminal.wait_for_silence()
            sent_before = self.control(rate=1000)
            time.sleep(2)
            cpu, read_from, begun = processes.cpu_s(terminal.process.pid), len(terminal.reads), time.perf_counter()
            echoes = []
            while time.perf_counter() - begun < self.seconds:
                time.sleep(1)
                echoes.append(self._echo(terminal, b"g" if len(echoes) % 2 else b"G") if len(echoes) % 10 > 7 else 0.0)
                if len(echoes) % 10 == 0:
                    terminal.send(b"G")
            passed = time.perf_counter() - begun
            share = (processes.cpu_s(terminal.process.pid) - cpu) / passed * 100
            reads = terminal.reads[read_from:]
            sent = self.control(rate=0) - sent_before
            held, lost = self._settled(terminal, sent)
            ages = ages_at_draw(reads, time.time() - time.perf_counter())
            sizes = sum(len(data) for _, data in reads) / 1024 / passed
        return {
            "P3 rows lost of those sent at 1,000/s": {
                "value": sent - held + lost,
                "target": 0,
                "unit": f"of {sent:,}",
                "ok": sent == held and not lost,
            },
            "P3 age of the newest row at its draw": figure(ages, 250, "ms p95", 0.95),
            "P3 CPU at 1,000 rows/s": figure([share], 30, "% of a core", 0.5),
            "P8 key to paint at 1,000 rows/s": figure([one for one in echoes if one], 50, "ms p95", 0.95),
            "P12 bytes of the tail": figure([sizes], 160, "KiB/s", 0.5),
        }

    def _settled(self, terminal: Terminal, sent: int) -> tuple[int, int]:
        """Rows that the dashboard says it holds beyond its first page, and those it says are lost, once it is at rest."""
        page = 300
        terminal.send(b"G")
        deadline = time.monotonic() + 20
        held = lost = 0
        while time.monotonic() < deadline:
            terminal.wait_for_silence(0.5, 30)
            terminal.send(b"?")
            terminal.wait_for_silence(0.2)
            terminal.send(b"\x1b")
            terminal.wait_for_silence(0.2)
            rows = re.findall(r"row\s+[\d,]+\s*/\s*([\d,]+)", terminal.words[-40_000:])
            losses = re.findall(r"loss\s+([\d,]+)", terminal.words[-40_000:])
            held = int(rows[-1].replace(",", "")) - page if rows else 0
            lost = int(losses[-1].replace(",", "")) if losses else 0
            if held >= min(sent, 99_700):
                break
        return held, lost

    def burst(self) -> dict[str, Figure]:
        with self.dashboard("logs") as terminal:
            terminal.wait_for("FOLLOWING")
            terminal.wait_for_silence()
            before = self.control()
            self.control(rate=10_000)
            began, echoes = time.perf_counter(), []
            while time.perf_counter() - began < 1.0:
                echoes.append(self._echo(terminal, b"T"))
                time.sleep(0.1)
            sent = self.control(rate=0) - before
            held, lost = self._settled(terminal, sent)
            burst_ok = held == sent and not lost
            self.control(rate=10_000)
            while self.control() - before < 101_000:
                time.sleep(0.2)
            self.control(rate=0)
            self._settled(terminal, 99_700)
            status = Path(f"/proc/{terminal.process.pid}/status").read_text()
            resident = int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024
            jumps, _ = self._echoes(terminal, [b"g", b"\x1b[6~", b"\x1b[5~", b"G"] * 10, 0.05)
        return {
            "P4 rows lost in a burst of 10,000/s": {
                "value": sent - held + lost,
                "target": 0,
                "unit": f"of {sent:,}",
                "ok": burst_ok,
            },
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


def figure(values: list[float], target: float, unit: str, share: float) -> Figure:
    """One number out of many: the value below which `share` of them lie."""
    ordered = sorted(values)
    value = ordered[min(len(ordered) - 1, int(share * len(ordered)))] if share < 1 else ordered[-1]
    if share == 0.5:
        value = statistics.median(ordered)
    return {
        "value": round(value, 2),
        "target": target,
        "unit": unit,
        "ok": value <= target,
        "n": len(values),
        "values": [round(one, 2) for one in ordered][:200],
    }


def ages_at_draw(reads: list[tuple[float, bytes]], offset: float) -> list[float]:
    """ms between the time that the newest row of a write carries and the write. `offset`: wall clock minus perf_counter."""
    ages = []
    midnight = datetime.datetime.now(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    for moment, data in reads:
        times = re.findall(rb"(\d\d):(\d\d):(\d\d\.\d{3})", SEQUENCE.sub(b"", data))
        if times:
            newest = max(int(hours) * 3600 + int(minutes) * 60 + float(seconds) for hours, minutes, seconds in times)
            ages.append((moment + offset - midnight - newest) * 1000)
    return [age for age in ages if 0 <= age < 60_000]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", default="start,keys,tail,burst,rest,restart")
    parser.add_argument("--beside", default="nothing else was started")
    given = parser.parse_args()
    found: dict[str, Figure] = {}
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory() as home:
        bench = Bench(given.runs, given.seconds, home)
        bench.start_fake()
        try:
            parts: dict[str, Callable[[], dict[str, Figure]]] = {
                name: getattr(bench, name) for name in given.only.split(",")
            }
            for part in parts.values():
                for name, one in part().items():
                    found[name] = one
                    print(
                        f"{'ok ' if one['ok'] else 'NO '} {name:45} {one['value']:>10} {one['unit']:14} (target {one['target']})",
                        flush=True,
                    )
        finally:
            bench.stop_fake()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.date.today():%Y-%m-%d}-tui.json"
    before = json.loads(path.read_text())["figures"] if path.exists() and given.only.count(",") < 5 else {}
    report = {
        "machine": processes.machine(), "terminal": "pty 120×36, xterm-256color", "beside": given.beside, "load_before": load_before,
        "load_after": os.getloadavg(), "figures": {**before, **found},
    }  # fmt: skip
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    write_page(path.name, report)
    print(f"wrote {path}")


def write_page(source: str, report: dict[str, Any]) -> None:
    """The table of docs/tui.md."""
    text = PAGE.read_text("utf-8")
    begin, end = "<!-- figures: written by bench/tui.py -->\n", "<!-- end of figures -->\n"
    machine = report["machine"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}; beside it: {report['beside']}; load "
        f"{report['load_before'][0]:.1f} before, {report['load_after'][0]:.1f} after. Every value is in `bench/results/{source}`.",
        "", "| figure | measured | target |", "|---|---|---|",
        *(f"| {name} | {one['value']} {one['unit']} | {one['target']}{'' if one['ok'] else ', missed'} |" for name, one in report["figures"].items()),
    ]  # fmt: skip
    before, _, rest = text.partition(begin)
    PAGE.write_text(before + begin + "\n".join(lines) + "\n" + end + rest.partition(end)[2], "utf-8")


if __name__ == "__main__":
    main()
