"""Cost grows with work, not with state: the same load on a small gateway and on ones with many keys, many projects, a long log.

    python -m bench.growth [--rows 5000000] [--rounds 5] [--seconds 3]

All gateways run at once, each with a Postgres of its own, and are loaded one after the other, round by round; what counts is the ratio to
the small one within a round. Writes bench/results/DATE-growth.json.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
from datetime import UTC, datetime, timedelta

import asyncpg

from bench import logs, overhead, rig

SHAPE = overhead.Shape("whole, 16 connections", 16, False, rig.MODEL)
DAYS = 30


async def fill(database_url: str, rows: int) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        until = datetime.now(UTC) - timedelta(
            hours=3
        )  # a worker looks at the last two hours, and finds rows without sums there
        await logs.fill(connection, rows, DAYS, until)
    finally:
        await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Does the cost of a call depend on how much there is already?")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        mock = stack.enter_context(rig.upstream())
        gateways = {
            "1 key, 10 projects, empty log": stack.enter_context(rig.running(mock, keys=1)),
            "100,000 keys": stack.enter_context(rig.running(mock, keys=100_000)),
            "10,000 projects": stack.enter_context(rig.running(mock, keys=1, projects=10_000)),
            f"{given.rows:,} rows in the log": stack.enter_context(rig.running(mock, keys=1)),
        }
        asyncio.run(fill(list(gateways.values())[-1].database_url, given.rows))
        subjects = [overhead.Subject(name, each.url, each.pid, each.key) for name, each in gateways.items()]
        rounds: list[dict[str, float]] = []
        for subject in subjects:
            overhead.drive(subject, SHAPE, 1.0)
        for _ in range(given.rounds):
            rounds.append(
                {s.name: float(str(overhead.drive(s, SHAPE, given.seconds)["cpu_us_per_call"])) for s in subjects}
            )
    small = subjects[0].name
    found = {
        subject.name: {
            "cpu_us_per_call": statistics.median(each[subject.name] for each in rounds),
            "ratio": round(statistics.median(each[subject.name] / each[small] for each in rounds), 3),
        }
        for subject in subjects
    }
    for name, figures in found.items():
        print(f"{name:<32}{figures['cpu_us_per_call']:>8.1f} µs   x {figures['ratio']:.3f}")
    print(f"written: {overhead.write('growth', {'medians': found, 'rounds': rounds})}")


if __name__ == "__main__":
    main()
