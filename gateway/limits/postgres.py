"""Postgres as the coordinator: of money always, of rates and slots unless there is a Redis.

Rows are locked in one order, so draws of several pools can't deadlock. A window's row begins, under the exclusive budget lock, with
the exact sum of the calls already recorded in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar

import asyncpg
import msgspec

from gateway.limits import granting
from gateway.limits.pools import CoordinatorAway, Draw, Drawn, Pool
from gateway.secret import Secret
from gateway.store import limits as sql
from gateway.store.ingest import instant
from gateway.store.locks import BUDGET_LOCK
from gateway.store.pool import UNREACHABLE, Connection, connect

LEASE_S = 30.0
ANSWER_S = 2.0
CHANNEL = "optyx_shares"
AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

Result = TypeVar("Result")


class PostgresCoordinator:
    """One connection of its own, one question at a time: questions are coalesced before they come here."""

    def __init__(self, url: Secret, worker_id: str) -> None:
        self._url = url
        self._worker_id = worker_id
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()

    async def draw(self, draws: list[Draw]) -> list[Drawn]:
        async def work(connection: Connection) -> list[Drawn]:
            found: dict[int, Drawn] = {}
            order = sorted(range(len(draws)), key=lambda index: draws[index].pool.key)
            await self._create_windows(connection, [draw.pool for draw in draws if draw.pool.kind == "money"])
            for index in order:
                draw = draws[index]
                found[index] = await (
                    self._money(connection, draw) if draw.pool.kind == "money" else self._rate(connection, draw)
                )
            return [found[index] for index in range(len(draws))]

        return await self._ask(work)

    async def give_back(self, pools: list[tuple[Pool, int]]) -> None:
        async def work(connection: Connection) -> None:
            money = sorted(((p, amount) for p, amount in pools if p.kind == "money"), key=lambda item: item[0].key)
            if money:
                await connection.execute(sql.RETURN_SHARES, self._worker_id, *_columns(money))
                await connection.execute(sql.DROP_EMPTY, self._worker_id)
            for pool, amount in sorted(
                ((p, amount) for p, amount in pools if p.kind != "money"), key=lambda item: item[0].key
            ):
                row = await connection.fetchrow(sql.RATE_FOR_UPDATE, pool.id, pool.kind, pool.subject)
                if row is not None:
                    grants: list[granting.Grant] = msgspec.json.decode(row[0])
                    granting.give_back(grants, self._worker_id, amount)
                    await self._write(connection, pool, grants)

        await self._ask(work)

    async def renew(self, pools: list[tuple[Pool, int]]) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(sql.RENEW_SHARES, self._worker_id, LEASE_S)
            for pool, amount in sorted(
                ((p, amount) for p, amount in pools if p.kind == "slots"), key=lambda item: item[0].key
            ):
                row = await connection.fetchrow(sql.RATE_FOR_UPDATE, pool.id, pool.kind, pool.subject)
                if row is not None:
                    grants: list[granting.Grant] = [e for e in msgspec.json.decode(row[0]) if e[2] != self._worker_id]
                    grants.append([row[1] + granting.SLOT_LEASE_S, amount, self._worker_id])
                    await self._write(connection, pool, grants)

        await self._ask(work)

    async def ask_back(self, pools: list[Pool]) -> None:
        async def work(connection: Connection) -> None:
            for pool in pools:
                await connection.execute(sql.ASK_BACK, f"{self._worker_id}|{pool.kind}|{pool.id}")

        await self._ask(work)

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _create_windows(self, connection: Connection, pools: list[Pool]) -> None:
        """Windows that begin now. The budget lock comes before any row's lock: the logbook takes them in this order too."""
        missing = [
            pool
            for pool in pools
            if not await connection.fetchval(sql.HAS_WINDOW, pool.id, pool.subject, instant(pool.start))
        ]
        if missing:
            await connection.execute(sql.LOCK_BUDGETS, BUDGET_LOCK)
            for pool in missing:
                await connection.execute(
                    sql.CREATE_WINDOW, pool.id, pool.subject, instant(pool.start), instant(pool.end)
                )

    async def _money(self, connection: Connection, draw: Draw) -> Drawn:
        pool = draw.pool
        key = (pool.id, pool.subject, instant(pool.start))
        row = await connection.fetchrow(sql.WINDOW_FOR_UPDATE, *key)
        if row is None:  # the budget itself is gone: nothing limits any more
            return Drawn(draw.least, 0, 0, 0.0)
        await connection.execute(sql.DROP_EXPIRED, *key)
        shares = await connection.fetch(sql.SHARES_OF_WINDOW, *key)
        left = row[1] - row[0] - sum(share[1] for share in shares)
        others = [share[1] for share in shares if share[0] != self._worker_id]
        granted = granting.grant(draw.least, left, len(others) + 1)
        if granted:
            await connection.execute(sql.GRANT_SHARE, *key, self._worker_id, granted, LEASE_S)
        return Drawn(granted, left - granted, sum(others), 0.0)

    async def _rate(self, connection: Connection, draw: Draw) -> Drawn:
        pool = draw.pool
        row = await connection.fetchrow(sql.RATE_FOR_UPDATE, pool.id, pool.kind, pool.subject)
        if row is None:
            await connection.execute(sql.CREATE_RATE, pool.id, pool.kind, pool.subject)
            row = await connection.fetchrow(sql.RATE_FOR_UPDATE, pool.id, pool.kind, pool.subject)
        assert row is not None
        grants: list[granting.Grant] = msgspec.json.decode(row[0])
        if draw.back:
            granting.give_back(grants, self._worker_id, draw.back)
        lend = granting.draw_slots if pool.kind == "slots" else granting.draw_rate
        drawn = lend(grants, self._worker_id, draw.least, pool.size, row[1])
        if drawn.granted or draw.back:
            await self._write(connection, pool, grants)
        return drawn

    @staticmethod
    async def _write(connection: Connection, pool: Pool, grants: list[granting.Grant]) -> None:
        await connection.execute(sql.WRITE_RATE, pool.id, pool.kind, pool.subject, msgspec.json.encode(grants).decode())

    async def _ask(self, work: Callable[[Connection], Coroutine[Any, Any, Result]]) -> Result:
        """In one transaction, within two seconds; a hung server counts as away."""
        async with self._lock:
            for again in (True, False):
                try:
                    if self._connection is None or self._connection.is_closed():
                        self._connection = await connect(self._url, "limits", ANSWER_S)
                    async with asyncio.timeout(ANSWER_S), self._connection.transaction():
                        return await work(self._connection)
                except AGAIN:
                    if not again:
                        raise CoordinatorAway from None
                except (*UNREACHABLE, asyncpg.PostgresError) as error:
                    await self.close()
                    raise CoordinatorAway(str(error)) from None
        raise CoordinatorAway


def _columns(pools: list[tuple[Pool, int]]) -> tuple[list[str], list[str], list[datetime], list[int]]:
    return (
        [pool.id for pool, _ in pools],
        [pool.subject for pool, _ in pools],
        [instant(pool.start) for pool, _ in pools],
        [amount for _, amount in pools],
    )
