"""Two workers against one, on a machine whose cores are needed for the load as well.

    python -m bench.workers [--quota 25] [--rounds 3] [--seconds 4]

Each worker is held to `--quota` percent of a core by a control group (version 1, root only), so that load, mock and Postgres have the
rest for themselves and the workers are what is short, as on a machine with cores to spare. Writes bench/results/DATE-workers.json.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import overhead, processes, rig

GROUPS = Path("/sys/fs/cgroup/cpu")
PERIOD_US = 100_000
SHAPE = overhead.Shape("whole, 64 connections", 64, False, rig.MODEL)


@contextlib.contextmanager
def held(pids: list[int], percent: int) -> Iterator[None]:
    """Each process in a group of its own that gets so much of a core."""
    made = []
    try:
        for pid in pids:
            group = GROUPS / f"optyx-bench-{os.getpid()}-{pid}"
            group.mkdir()
            made.append(group)
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(PERIOD_US * percent // 100))
            (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for group in made:
            for pid in (group / "cgroup.procs").read_text().split():
                (GROUPS / "cgroup.procs").write_text(pid)
            group.rmdir()


def measure(workers: int, mock: str, percent: int, seconds: float) -> dict[str, object]:
    with rig.running(mock, workers=workers, pin=False) as gateway:
        pids = [pid for pid in processes.tree(gateway.pid) if pid != gateway.pid]
        if len(pids) != workers:
            sys.exit(f"{workers} workers were asked for, {len(pids)} processes found")
        subject = overhead.Subject(f"{workers} workers", gateway.url, gateway.pid, gateway.key)
        with held(pids, percent):
            overhead.drive(subject, SHAPE, 1.0)
            return overhead.drive(subject, SHAPE, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description="How throughput grows with workers.")
    parser.add_argument("--quota", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    given = parser.parse_args()
    if not GROUPS.is_dir() or os.geteuid() != 0:
        sys.exit("This measurement needs root and control groups of version 1.")
    seen: dict[int, list[dict[str, object]]] = {1: [], 2: []}
    with rig.upstream() as mock:
        for _ in range(given.rounds):
            for workers, found in seen.items():
                found.append(measure(workers, mock, given.quota, given.seconds))
    rates = {
        workers: statistics.median(float(str(one["per_second"])) for one in found) for workers, found in seen.items()
    }
    for workers, rate in rates.items():
        print(f"{workers} worker(s) at {given.quota} % of a core each: {rate:.0f} calls/s")
    print(f"x {rates[2] / rates[1]:.2f}")
    result = {"quota_percent": given.quota, "calls_per_second": rates, "ratio": rates[2] / rates[1], "raw": seen}
    print(f"written: {overhead.write('workers', result)}")


if __name__ == "__main__":
    main()
