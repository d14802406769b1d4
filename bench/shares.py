"""How 1, 10, 100 and 1,000 workers share one limit: the real granting and spending code in simulated time, without sockets.

    python -m bench.shares [--workers 1 10 100 1000] [--calls-per-s 2000]

Every worker is a `Shares` of its own; between them stands a coordinator in memory that grants by `gateway.limits.granting`, answers after a
millisecond and passes a request for shares on in five. Calls arrive at random times at random workers until half as many again as the limit
allows have been asked: a minute of requests must be used up and never exceeded, a budget too. Time is simulated: the event loop jumps to
the next timer. Writes bench/results/DATE-shares.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import selectors
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.catalog import NO_RULES, Budget, Limit, OrgId, Project, ProjectId, Rules, Settings
from gateway.errors import LimitReached
from gateway.limits import granting
from gateway.limits.limits import Need
from gateway.limits.pools import Draw, Drawn, Pool, Renewal, Return
from gateway.limits.shares import Shares
from gateway.metrics import Metrics

RESULTS = Path(__file__).parent / "results"
ROUND_TRIP_S = 0.001
TELL_S = 0.005
CALL_S = 0.5
SIZE = 30_000
COST = 1_000


class Simulated(asyncio.SelectorEventLoop):
    """Nothing is waited for: when no callback is due, the clock is set to the next timer."""

    def __init__(self) -> None:
        self.now = 1_000.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now


class _Jumping(selectors.DefaultSelector):  # type: ignore[misc, valid-type]  # the platform's own
    def __init__(self, loop: Simulated) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout:
            self._loop.now += timeout
        return super().select(0)


class Central:
    """The coordinator's side. One money pool or one rate; `workers` are told what is wanted."""

    def __init__(self, loop: Simulated) -> None:
        self.loop = loop
        self.grants: list[granting.Grant] = []
        self.money: dict[str, int] = {}
        self.used: dict[str, int] = {}
        self.spent = 0
        self.trips: Counter[str] = Counter()
        self.shares: dict[str, Shares] = {}


class Line:
    """One worker's way to the coordinator."""

    def __init__(self, central: Central, worker: str) -> None:
        self._central = central
        self._worker = worker

    async def draw(self, draws: list[Draw]) -> list[Drawn]:
        await self._trip("draw")
        return [self._draw(draw) for draw in draws]

    async def give_back(self, returns: list[Return]) -> None:
        await self._trip("give back")
        central, worker = self._central, self._worker
        for one in returns:
            if one.pool.kind == "money":
                central.money[worker] = central.used[worker] = max(0, central.money.get(worker, 0) - one.amount)
            else:
                granting.give_back_rate(central.grants, one.back, central.loop.now)

    async def renew(self, renewals: list[Renewal]) -> list[int]:
        await self._trip("renew")
        return [self._central.money.get(self._worker, 0) for _ in renewals]

    async def ask_back(self, pools: list[Pool]) -> None:
        await self._trip("ask back")
        for pool in pools:
            for worker, shares in self._central.shares.items():
                if worker != self._worker:
                    self._central.loop.call_later(TELL_S, _tell, shares, pool)

    def ingest(self, cost: int) -> None:
        """The call's record is in the database: it leaves the share as it enters the spend."""
        central, worker = self._central, self._worker
        central.spent += cost
        central.money[worker] = max(0, central.money.get(worker, 0) - cost)
        central.used[worker] = max(0, central.used.get(worker, 0) - cost)

    def _draw(self, draw: Draw) -> Drawn:
        central, worker = self._central, self._worker
        if draw.pool.kind != "money":
            return granting.draw_rate(central.grants, worker, draw.least, draw.pool.size, central.loop.now, draw.back)
        others = {name: amount for name, amount in central.money.items() if amount and name != worker}
        ours = central.money.get(worker, 0)
        left = draw.pool.size - central.spent - sum(others.values()) - ours
        given = granting.grant(draw.least, left, len(others), draw.call)
        central.money[worker] = ours + given
        lent = sum(amount - central.used.get(name, 0) for name, amount in others.items())
        return Drawn(given, left - given, lent, 0.0, ours + given, central.spent)

    async def _trip(self, what: str) -> None:
        self._central.trips[what] += 1
        await asyncio.sleep(ROUND_TRIP_S)


_telling: set[asyncio.Task[None]] = set()


def _tell(shares: Shares, pool: Pool) -> None:
    task = asyncio.get_running_loop().create_task(shares.return_wanted(pool.kind, pool.id))
    _telling.add(task)
    task.add_done_callback(_telling.discard)


async def run(loop: Simulated, kind: str, workers: int, calls_per_s: int) -> dict[str, Any]:
    central = Central(loop)
    limit = Rules(limits=(Limit("lim", "org", "org", "Bench", rpm=SIZE),))
    budget = Rules(budgets=(Budget("bud", "org", "org", SIZE * COST, "total"),))
    org = Project(ProjectId("prj"), "", "", OrgId("org"), {}, org_rules=limit if kind == "requests" else budget)
    lines, everyone, needs, beside = [], [], [], []
    for number in range(workers):
        line = Line(central, f"wrk_{number}")
        shares = Shares(line, line, Metrics(), Settings, loop.time)
        central.shares[f"wrk_{number}"] = shares
        lines.append(line)
        everyone.append(shares)
        plan = shares.plan(org, NO_RULES, None)
        assert plan is not None
        needs.append(Need(plan, None, (), None, 100, COST, 1e9))
        beside.append(loop.create_task(shares.run()))
    outcome: Counter[str] = Counter()
    waits: dict[str, list[float]] = {"admitted": [], "refused": []}
    dry_at: list[float] = []

    async def call(number: int) -> None:
        shares, need, began = everyone[number], needs[number], loop.now
        try:
            hold = shares.take(need) or await shares.draw(need)
        except LimitReached:
            outcome["refused"] += 1
            waits["refused"].append(loop.now - began)
            return
        outcome["admitted"] += 1
        waits["admitted"].append(loop.now - began)
        if outcome["admitted"] == SIZE:
            dry_at.append(loop.now)
        await asyncio.sleep(CALL_S)
        hold.settle(100, COST, "m")
        if kind == "money":
            lines[number].ingest(COST)
            shares.ingested([])
            for share in shares._shares.values():
                share.amount -= COST
                share.spent -= COST

    chance = random.Random(1)
    calls = []
    until = loop.now + 1.5 * SIZE / calls_per_s
    while loop.now < until:
        await asyncio.sleep(chance.expovariate(calls_per_s))
        calls.append(loop.create_task(call(chance.randrange(workers))))
    trips = Counter(central.trips)
    await asyncio.gather(*calls)
    for task in beside:
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)
    offered = sum(outcome.values())
    return {
        "kind": kind,
        "workers": workers,
        "limit": SIZE,
        "offered": offered,
        "admitted": outcome["admitted"],
        "over": max(0, outcome["admitted"] - SIZE),
        "unused": max(0, SIZE - outcome["admitted"]),
        "draws_per_1000_calls": round(1000 * trips["draw"] / offered, 1),
        "trips_per_1000_calls": round(1000 * trips.total() / offered, 1),
        "waited_ms_admitted_p50": _ms(waits["admitted"], 0.5),
        "waited_ms_admitted_p99": _ms(waits["admitted"], 0.99),
        "refused_after_ms_p50": _ms(waits["refused"], 0.5),
        "refused_after_ms_p99": _ms(waits["refused"], 0.99),
    }


def _ms(values: list[float], part: float) -> float | None:
    return round(sorted(values)[int(len(values) * part)] * 1000, 1) if values else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1_000])
    parser.add_argument("--calls-per-s", type=int, default=2_000)
    given = parser.parse_args()
    rows = []
    for kind in ("requests", "money"):
        for workers in given.workers:
            began = time.perf_counter()
            loop = Simulated()
            with asyncio.Runner(loop_factory=lambda loop=loop: loop) as runner:  # type: ignore[misc]
                rows.append(runner.run(run(loop, kind, workers, given.calls_per_s)))
            print(json.dumps(rows[-1]), f"({time.perf_counter() - began:.0f} s)", flush=True)
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "calls_per_s": given.calls_per_s,
        "round_trip_ms": ROUND_TRIP_S * 1000,
        "call_ms": CALL_S * 1000,
        "rows": rows,
    }
    path = RESULTS / f"{record['date'][:10]}-shares.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {path.name}")


if __name__ == "__main__":
    main()
