"""What a call costs: CPU-µs of the whole process tree, req/s and added latency, for whole answers and streams, against going direct.

`python -m bench.overhead [--seconds 4] [--rounds 3] [--tls] [--asyncio] [--mock-port P --other NAME=URL,PID[,KEY[,MODEL]]] …` prints a table and
writes bench/results/<date>-overhead.json with every raw round. Runs are interleaved (direct, Optyx, others, direct, …) and medians are shown.
Another gateway must be running already, with the mock upstream (`--mock-port`) behind it: then it is measured in the same rounds, pinned
to the same core.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench import processes, rig
from tests.certificates import certificate

RESULTS = Path(__file__).parent / "results"


class Subject(NamedTuple):
    """Something that answers chat calls. `pid` None: the mock itself, whose CPU is not counted."""

    name: str
    url: str
    pid: int | None
    key: str
    model: str | None = None


class Shape(NamedTuple):
    """One kind of load."""

    name: str
    connections: int
    stream: bool
    model: str
    events: int = 0


WHOLE = [Shape(f"whole, {n} connections", n, False, rig.MODEL) for n in (1, 16, 64, 256)]
STREAMS = [
    Shape("stream paced 20 ms, 64 connections", 64, True, "paced-20", 22),
    Shape("stream back to back, 16 connections", 16, True, "chunks-200", 202),
    Shape("stream, 1 connection", 1, True, "chunks-20", 22),
]


def drive(subject: Subject, shape: Shape, seconds: float) -> dict[str, object]:
    """One round: load for `seconds`, CPU of the subject's tree over exactly that time."""
    model = subject.model or shape.model
    command = [
        *(
            sys.executable,
            "-m",
            "bench.load",
            f"{subject.url}/v1/chat/completions" if subject.pid else f"{subject.url}/chat/completions",
        ),
        *("--connections", str(shape.connections), "--seconds", str(seconds), "--model", model, "--key", subject.key),
    ]
    if shape.stream:
        command.append("--stream")
    before = processes.cpu_s(subject.pid) if subject.pid else 0.0
    loader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    processes.pin(loader.pid, rig.LOAD_CORE)
    output, _ = loader.communicate(timeout=seconds + 90)
    spent = processes.cpu_s(subject.pid) - before if subject.pid else 0.0
    seen: dict[str, object] = json.loads(output)
    calls = int(str(seen["calls"])) or 1
    seen["cpu_us_per_call"] = round(spent * 1e6 / calls, 1)
    if shape.events:
        seen["cpu_us_per_event"] = round(spent * 1e6 / calls / shape.events, 2)
    return seen


def compare(subjects: list[Subject], shapes: list[Shape], rounds: int, seconds: float) -> list[dict[str, object]]:
    """All subjects under all shapes, interleaved; one row each with its medians and raw rounds."""
    raw: dict[tuple[str, str], list[dict[str, object]]] = {}
    for shape in shapes:
        for subject in subjects:
            drive(subject, shape, 0.5)  # warm: connections, shares, code
        for _ in range(rounds):
            for subject in subjects:
                raw.setdefault((shape.name, subject.name), []).append(drive(subject, shape, seconds))
    rows = []
    for (shape_name, subject_name), seen in raw.items():
        figures = [name for name in seen[0] if name not in ("bad", "seconds")]
        medians = {name: statistics.median(float(str(each[name])) for each in seen) for name in figures}
        rows.append({"shape": shape_name, "subject": subject_name, **medians, "raw": seen})
    return rows


def show(rows: list[dict[str, object]]) -> None:
    print(
        f"{'load':<38}{'subject':<12}{'CPU-µs/call':>12}{'µs/event':>10}{'calls/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'first p50':>10}"
    )
    for row in rows:
        print(
            f"{row['shape']:<38}{row['subject']:<12}{row['cpu_us_per_call']:>12}{row.get('cpu_us_per_event', '–'):>10}"
            f"{row['per_second']:>10}{row['p50_ms']:>9}{row['p99_ms']:>9}{row['first_p50_ms']:>10}"
        )
        for each in row["raw"]:  # type: ignore[attr-defined]  # rows hold their rounds
            if each["bad"]:
                print(f"    went wrong: {each['bad']}")


def write(name: str, found: object) -> Path:
    """A dated file with machine, versions, command and raw numbers."""
    RESULTS.mkdir(exist_ok=True)
    day = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    path = RESULTS / f"{day}-{name}.json"
    document = {
        "date": day,
        "command": ["python", "-m", f"bench.{Path(sys.argv[0]).stem}", *sys.argv[1:]],
        "machine": processes.machine(),
        "results": found,
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return path


def other(text: str) -> Subject:
    """NAME=URL,PID[,KEY[,MODEL]]"""
    name, _, rest = text.partition("=")
    url, pid, *more = rest.split(",")
    return Subject(name, url.rstrip("/"), int(pid), more[0] if more else "none", more[1] if len(more) > 1 else None)


def tls(stack: contextlib.ExitStack) -> Subject:
    """A second gateway, whose provider speaks TLS."""
    pem = certificate(Path(stack.enter_context(tempfile.TemporaryDirectory())), "127.0.0.1")
    gateway = stack.enter_context(rig.running(stack.enter_context(rig.upstream(pem)), trusted=pem))
    return Subject("optyx, TLS", gateway.url, gateway.pid, gateway.key)


def on_asyncio(stack: contextlib.ExitStack, mock: str) -> Subject:
    """A second gateway, where uvloop is not installed."""
    gateway = stack.enter_context(rig.running(mock, without="uvloop"))
    return Subject("on asyncio", gateway.url, gateway.pid, gateway.key)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="CPU, throughput and latency per call, against direct and other gateways."
    )
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--other", type=other, action="append", default=[])
    parser.add_argument("--tls", action="store_true", help="also with a provider that speaks TLS")
    parser.add_argument("--asyncio", action="store_true", help="also on asyncio's own event loop, without uvloop")
    parser.add_argument(
        "--mock-port", type=int, default=0, help="where the mock upstream listens, for gateways that are told before"
    )
    parser.add_argument("--name", default="overhead", help="what the file of results is called")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        mock = stack.enter_context(rig.upstream(port=given.mock_port))
        print(f"mock upstream: {mock}")
        gateway = stack.enter_context(rig.running(mock))
        time.sleep(1)
        subjects = [
            Subject("direct", mock, None, "none"),
            Subject("optyx", gateway.url, gateway.pid, gateway.key),
            *([tls(stack)] if given.tls else []),
            *([on_asyncio(stack, mock)] if given.asyncio else []),
            *given.other,
        ]
        for each in given.other:
            processes.pin(each.pid, rig.GATEWAY_CORE)
        rows = compare(subjects, WHOLE + STREAMS, given.rounds, given.seconds)
    show(rows)
    print(f"written: {write(given.name, rows)}")


if __name__ == "__main__":
    main()
