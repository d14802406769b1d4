"""Memory and start-up: an idle worker, 1,000 open streams, 100,000 keys, and the time until the first answer.

    python -m bench.footprint [--streams 1000] [--keys 100000]

Memory is the proportional set size of the gateway's process tree without Postgres, in MB. Streams are held open by a mock that sends an
event every 200 ms. Start-up is from the start of `optyx serve` to `/health/ready`, and of `optyx up` with an embedded Postgres, cold
(an empty OPTYX_HOME) and warm. Writes bench/results/DATE-footprint.json.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import overhead, processes, rig

SETTLE_S = 3.0


def with_streams(running: rig.Rig, streams: int) -> dict[str, float]:
    """Memory before, with `streams` open at once, and after they have ended; and their events' cost."""
    idle = processes.resident_mb(running.pid)
    command = [
        sys.executable,
        "-m",
        "bench.load",
        f"{running.url}/v1/chat/completions",
        "--stream",
        "--key",
        running.key,
    ]
    command += ["--connections", str(streams), "--seconds", "0.1", "--model", "paced-200"]
    loader = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    processes.pin(loader.pid, rig.LOAD_CORE)
    most = 0.0
    while loader.poll() is None:
        most = max(most, processes.resident_mb(running.pid))
        time.sleep(0.2)
    time.sleep(SETTLE_S)
    return {"idle_mb": idle, "with_streams_mb": most, "after_mb": processes.resident_mb(running.pid)}


def start_up() -> dict[str, float]:
    """Seconds from `optyx up` to ready: on an empty OPTYX_HOME, and again on the same one (median of three)."""
    home = Path(tempfile.mkdtemp(prefix="optyx-bench-"))
    os.chmod(home, 0o755)
    times = []
    try:
        for _ in range(4):
            port = rig.free_port()
            environment = {
                **{name: value for name, value in os.environ.items() if not name.startswith(("OPTYX_", "GATEWAY_"))},
                "OPTYX_HOME": str(home),
                "GATEWAY_PORT": str(port),
                "GATEWAY_LAME_DUCK_S": "0",
                "LOG_LEVEL": "warning",
            }
            began = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "tui.cli", "up", "--workers", "1"], env=environment, stdout=subprocess.DEVNULL
            )
            try:
                rig.wait_ready(f"http://127.0.0.1:{port}", process)
                times.append(time.perf_counter() - began)
            finally:
                rig.stop(process)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return {"cold_s": round(times[0], 2), "warm_s": round(statistics.median(times[1:]), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory and start-up time.")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--keys", type=int, default=100_000)
    given = parser.parse_args()
    found: dict[str, object] = {"start_up": start_up()}
    with rig.upstream() as mock:
        with rig.running(mock, keys=1) as one:
            time.sleep(SETTLE_S)
            found["one_key"] = {**with_streams(one, given.streams), "serve_ready_s": round(one.started_s, 2)}
        with rig.running(mock, keys=given.keys) as many:
            time.sleep(SETTLE_S)
            idle = processes.resident_mb(many.pid)
            found["many_keys"] = {"keys": given.keys, "idle_mb": idle, "serve_ready_s": round(many.started_s, 2)}
    extra_mb = idle - found["one_key"]["idle_mb"]  # type: ignore[index]  # made above
    found["bytes_per_key"] = round(extra_mb * 1024 * 1024 / given.keys)
    for name, value in found.items():
        print(f"{name:<16}{value}")
    print(f"written: {overhead.write('footprint', found)}")


if __name__ == "__main__":
    main()
