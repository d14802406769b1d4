"""How long `optyx` takes to start: wall-clock and CPU of whole processes against a scripted gateway on this machine.

`python -m bench.cli [--rounds 15]` prints a table and writes bench/results/<date>-cli.json with every round. The first round fills the
caches of the disk and of Python and is left out; medians are shown. Goals: `--version` 120 ms, a list 300 ms and its round trip, one press
of tab 200 ms.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.tui.fake_gateway import TOKEN, FakeGateway

RESULTS = Path(__file__).parent / "results"
SUBJECTS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "optyx --version": [sys.executable, "-m", "tui.cli", "--version"],
    "optyx --help": [sys.executable, "-m", "tui.cli", "--help"],
    "optyx keys list": [sys.executable, "-m", "tui.cli", "keys", "list", "-p", "acme"],
    "optyx logs": [sys.executable, "-m", "tui.cli", "logs"],
    "one press of tab": [sys.executable, "-m", "tui.cli", "--complete", "keys", "get", "-p", "acme", "ci"],
}


def measured(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Milliseconds on the clock, and of CPU."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return took * 1000, cpu * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    raw: dict[str, list[tuple[float, float]]] = {name: [] for name in SUBJECTS}
    with FakeGateway() as gateway, tempfile.TemporaryDirectory() as home:
        places = {"XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home, "OPTYX_HOME": home}
        env = {**os.environ, **places, "OPTYX_GATEWAY_URL": gateway.url, "OPTYX_ADMIN_TOKEN": TOKEN}
        for number in range(rounds + 1):
            for name, command in SUBJECTS.items():
                one = measured(command, env)
                if number:
                    raw[name].append(one)
    print(f"{'':18} {'wall ms':>8} {'CPU ms':>8}")
    for name, samples in raw.items():
        print(
            f"{name:18} {statistics.median(one[0] for one in samples):8.0f} {statistics.median(one[1] for one in samples):8.0f}"
        )
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.date.today()}-cli.json"
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    path.write_text(json.dumps({"machine": machine, "load": os.getloadavg(), "wall_and_cpu_ms": raw}, indent=1) + "\n")
    print(f"every round: {path}")


if __name__ == "__main__":
    main()
