"""Calls into Postgres: rows a second and CPU a row of three ways to write them, with every index, rollup and budget as in production.

    python -m bench.writer [--rows 20000] [--rounds 3]

`copy` is what the logbook does: COPY into a staging table, from there into the log. `executemany` and `one by one` put the same rows into the
same staging table by another road, and do the rest alike. CPU of ours is this process, of Postgres its server's process tree. Writes
bench/results/DATE-writer.json.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import asyncpg

from bench import overhead, processes
from gateway import migrate
from gateway.embedded import EmbeddedPostgres
from gateway.ids import new
from gateway.records import AttemptRecord, Final
from gateway.secret import Secret
from gateway.store import ingest

BATCH = 500


def final(number: int) -> Final:
    return Final(
        call_id=str(uuid.uuid4()),
        created_at=time.time(),
        request_id=f"req_{number}",
        org_id="org_1",
        project_id=f"prj_{number % 10}",
        key_id=f"key_{number % 1000}",
        endpoint="chat",
        tier="fast",
        requested_model=None,
        provider="openai",
        model="gpt-6-luna",
        status=200,
        error_code=None,
        end_reason="complete",
        stream=bool(number % 2),
        attempts=[AttemptRecord("openai", "gpt-6-luna", 200, ms=812.4, ttft_ms=210.2, reused=True)],
        prompt_tokens=1000,
        completion_tokens=200,
        cached_tokens=100,
        cache_write_tokens=0,
        reasoning_tokens=0,
        total_tokens=1200,
        usage_source="provider",
        cost_nusd=650_000,
        price_id="pri_1",
        latency_ms=814.0,
        ttft_ms=211.0,
        overhead_ms=0.6,
        details={"why": "tier fast", "finish_reason": "stop"},
    )


class Copied:
    """The connection as it is."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class ByExecutemany(Copied):
    """The rows go as one prepared statement, pipelined."""

    async def copy_records_to_table(self, table: str, *, records: list[tuple[Any, ...]], columns: Any) -> None:
        names = ", ".join(f'"{column}"' for column in columns)
        places = ", ".join(f"${n + 1}" for n in range(len(columns)))
        await self._connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", records)  # noqa: S608


class OneByOne(Copied):
    """Each row waits for its answer."""

    async def copy_records_to_table(self, table: str, *, records: list[tuple[Any, ...]], columns: Any) -> None:
        names = ", ".join(f'"{column}"' for column in columns)
        places = ", ".join(f"${n + 1}" for n in range(len(columns)))
        statement = await self._connection.prepare(f"INSERT INTO {table} ({names}) VALUES ({places})")  # noqa: S608
        for record in records:
            await statement.fetch(*record)


WAYS = {"copy": Copied, "executemany": ByExecutemany, "one by one": OneByOne}


async def write(url: str, way: type[Copied], rows: int, server: int) -> dict[str, float]:
    connection = await asyncpg.connect(url)
    try:
        await ingest.prepare(connection)
        finals = [final(number) for number in range(rows)]
        wrapped = way(connection)
        theirs, ours, began = processes.cpu_s(server), time.process_time(), time.perf_counter()
        for start in range(0, rows, BATCH):
            await ingest.ingest(wrapped, "wrk_bench", "bench", finals[start : start + BATCH])
        taken = time.perf_counter() - began
        return {
            "rows_per_second": rows / taken,
            "our_cpu_us_per_row": (time.process_time() - ours) * 1e6 / rows,
            "postgres_cpu_us_per_row": (processes.cpu_s(server) - theirs) * 1e6 / rows,
        }
    finally:
        await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Rows a second into Postgres, and what a row costs.")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="optyx-bench-"))
    os.chmod(folder, 0o755)
    postgres = EmbeddedPostgres(folder / "postgres", tcp=True)
    url = postgres.start()
    try:
        migrate.up(Secret(url))
        server = int((folder / "postgres/data/postmaster.pid").read_text().split()[0])
        asyncio.run(budget(url))
        raw: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
        for _ in range(given.rounds):
            for name, way in WAYS.items():
                raw[name].append(asyncio.run(write(url, way, given.rows, server)))
    finally:
        postgres.stop()
    medians = {
        name: {figure: round(statistics.median(one[figure] for one in found), 1) for figure in found[0]}
        for name, found in raw.items()
    }
    for name, figures in medians.items():
        print(f"{name:<14}" + "   ".join(f"{figure} {value:,.1f}" for figure, value in figures.items()))
    print(f"written: {overhead.write('writer', {'batch': BATCH, 'medians': medians, 'raw': raw})}")


async def budget(url: str) -> None:
    """A budget on one of the projects, as in life."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ($1, 'project', 'prj_1', 1000000000000000, '1mo')",
        new("bud"),
    )
    await connection.close()


if __name__ == "__main__":
    main()
