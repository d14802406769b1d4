"""CPU time, memory and pinning of process trees, read from /proc. Linux only, like the figures made with it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """`pid` and all its descendants, as far as they live."""
    found, todo = [], [pid]
    while todo:
        current = todo.pop()
        found.append(current)
        for task in Path(f"/proc/{current}/task").glob("*/children"):
            try:
                todo += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def cpu_s(pid: int, names: tuple[str, ...] = ()) -> float:
    """User + system seconds of the tree under `pid`, with those of children it has waited for. `names`: leave out processes so called."""
    total = 0
    for each in tree(pid):
        try:
            stat = Path(f"/proc/{each}/stat").read_text()
        except OSError:
            continue
        name, _, rest = stat.partition("(")[2].rpartition(")")
        if name in names:
            continue
        fields = rest.split()
        total += sum(int(value) for value in fields[11:15])
    return total / TICKS_PER_S


def resident_mb(pid: int, names: tuple[str, ...] = ()) -> float:
    """Proportional set size of the tree, in MB (pages shared with others counted in part)."""
    total_kb = 0
    for each in tree(pid):
        try:
            name = Path(f"/proc/{each}/comm").read_text().strip()
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
        except OSError:
            continue
        if name in names:
            continue
        total_kb += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total_kb / 1024


def pin(pid: int, core: int) -> None:
    """Keeps every process and thread under `pid` on one core; a no-op on a machine with one."""
    if (os.cpu_count() or 1) < 2:
        return
    for each in tree(pid):
        for task in Path(f"/proc/{each}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})


def machine() -> dict[str, str]:
    """What a reader needs to weigh the figures: processor, cores, kernel, Python and library versions."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?"
    )
    versions = {name: metadata.version(name) for name in ("aiohttp", "asyncpg", "httptools", "msgspec", "uvloop")}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "python_built_with_pgo": "yes" if "--enable-optimizations" in (_config_args()) else "no",
        "commit": commit,
        **versions,
    }


def _config_args() -> str:
    import sysconfig

    return str(sysconfig.get_config_var("CONFIG_ARGS") or "")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
