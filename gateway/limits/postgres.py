"""Postgres as the coordinator: of money always, of rates and slots unless there is a Redis.

Rows are locked in one order, so draws of several pools can't deadlock. A window's row begins, under the exclusive budget lock and in a
transaction of its own, with the exact sum of the calls already recorded in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, TypeVar

import asyncpg
import msgspec

from gateway.limits import granting
from gateway.limits.breaker import Breaker
from gateway.limits.pools import MONEY_LEASE_S, CoordinatorAway, Draw, Drawn, Pool, Renewal, Return
from gateway.secret import Secret
from gateway.store import limits as sql
from gateway.store.ingest import instant
from gateway.store.locks import BUDGET_LOCK
from gateway.store.pool import UNREACHABLE, Connection, connect

ANSWER_S = 2.0
CREATE_S = 10.0
"""A window's first sum may read a month of rollups."""
CHANNEL = "optyx_shares"
AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

Result = TypeVar("Result")
WindowKey = tuple[str, str, float]
RateKey = tuple[str, str, str]


class PostgresCoordinator:
    """One connection of its own, one question at a time: questions are coalesced before they come here."""

    def __init__(self, url: Secret, worker_id: str) -> None:
        self._url = url
        self._worker_id = worker_id
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self.breaker = Breaker("Postgres", self._probe)

    async def draw(self, draws: list[Draw]) -> list[Drawn]:
        money = [draw for draw in draws if draw.pool.kind == "money"]
        rates = [draw for draw in draws if draw.pool.kind != "money"]
        found: dict[Any, Drawn] = {}
        if money:
            found |= await self._ask(lambda connection: self._draw_money(connection, money))
            missing = [draw for draw in money if draw.pool.key not in found]
            if missing:
                await self._ask(lambda connection: self._create_windows(connection, missing), CREATE_S)
                found |= await self._ask(lambda connection: self._draw_money(connection, missing))
        if rates:
            found |= await self._ask(lambda connection: self._draw_rates(connection, rates))
        # no row even now: the budget itself is gone, and nothing limits any more
        return [found.get(draw.pool.key) or Drawn(draw.least, 0, 0, 0.0, draw.least) for draw in draws]

    async def give_back(self, returns: list[Return]) -> None:
        async def work(connection: Connection) -> None:
            money = [(one.pool, one.amount) for one in returns if one.pool.kind == "money"]
            if money:
                await connection.execute(sql.RETURN_SHARES, *_columns(money), self._worker_id)
                await connection.execute(sql.DROP_EMPTY, self._worker_id)
            rates = {_rate_key(one.pool): one for one in returns if one.pool.kind != "money"}
            if rates:
                grants, now = await self._lock_rates(connection, rates)
                for key, entries in grants.items():
                    if rates[key].pool.kind == "slots":
                        granting.give_back_slots(entries, self._worker_id, rates[key].amount)
                    else:
                        granting.give_back_rate(entries, rates[key].back, now)
                await self._write_rates(connection, grants)

        await self._ask(work)

    async def renew(self, renewals: list[Renewal]) -> list[int]:
        async def work(connection: Connection) -> dict[Any, int]:
            money = [(one.pool, one.amount) for one in renewals if one.pool.kind == "money"]
            counted: dict[Any, int] = {}
            if money or not renewals:
                rows = await connection.fetch(sql.RENEW_SHARES, *_columns(money), self._worker_id, MONEY_LEASE_S)
                await connection.execute(sql.DROP_EMPTY, self._worker_id)
                counted = {("money", *row[:3]): row[3] for row in rows}
            slots = {_rate_key(one.pool): one for one in renewals if one.pool.kind == "slots"}
            if slots:
                grants, now = await self._lock_rates(connection, slots)
                for key, entries in grants.items():
                    one = slots[key]
                    counted[one.pool.key] = granting.renew_slots(entries, self._worker_id, one.amount, one.held, now)
                await self._write_rates(connection, grants)
            return counted

        counted = await self._ask(work)
        return [counted.get(one.pool.key, 0) for one in renewals]

    async def ask_back(self, pools: list[Pool]) -> None:
        async def work(connection: Connection) -> None:
            for kind, id_ in {(pool.kind, pool.id) for pool in pools}:
                await connection.execute(sql.ASK_BACK, f"{self._worker_id}|{kind}|{id_}")

        await self._ask(work)

    async def close(self) -> None:
        await self.breaker.close()
        self._drop()

    async def _draw_money(self, connection: Connection, draws: list[Draw]) -> dict[Any, Drawn]:
        asked = _columns([(draw.pool, draw.least) for draw in draws])[:3]
        windows = {row[:3]: (row[3], row[4]) for row in map(tuple, await connection.fetch(sql.LOCK_WINDOWS, *asked))}
        may_drop = time.monotonic() - self.breaker.closed_since >= MONEY_LEASE_S
        rows = await connection.fetch(sql.SHARES_OF_WINDOWS, *asked, self._worker_id, may_drop)
        shares: dict[WindowKey, tuple[int, ...]] = {tuple(row[:3]): tuple(row[3:]) for row in rows}
        found: dict[Any, Drawn] = {}
        granted: list[tuple[Pool, int]] = []
        for draw in draws:
            key = draw.pool.key[1:]
            if key not in windows:
                continue
            spent, amount = windows[key]
            lent, free, others, ours = shares.get(key, (0, 0, 0, 0))
            left = amount - spent - lent
            given = granting.grant(draw.least, left, others, draw.call)
            if given:
                granted.append((draw.pool, given))
            found[draw.pool.key] = Drawn(given, left - given, free, 0.0, ours + given, spent)
        if granted:
            await connection.execute(sql.GRANT_SHARES, *_columns(granted), self._worker_id, MONEY_LEASE_S)
        return found

    async def _create_windows(self, connection: Connection, draws: list[Draw]) -> None:
        await connection.execute(sql.LOCK_BUDGETS, BUDGET_LOCK)
        for draw in draws:
            pool = draw.pool
            edges = (instant(_hour(pool.start, up=True)), instant(_hour(pool.end, up=False)))
            await connection.execute(
                sql.CREATE_WINDOW, pool.id, pool.subject, instant(pool.start), instant(pool.end), *edges
            )

    async def _draw_rates(self, connection: Connection, draws: list[Draw]) -> dict[Any, Drawn]:
        asked = {_rate_key(draw.pool): draw for draw in draws}
        grants, now = await self._lock_rates(connection, asked)
        if len(grants) < len(asked):
            await connection.execute(sql.CREATE_RATES, *_rate_columns([key for key in asked if key not in grants]))
            grants, now = await self._lock_rates(connection, asked)
        found: dict[Any, Drawn] = {}
        for key, entries in grants.items():
            draw = asked[key]
            pool = draw.pool
            if pool.kind == "slots":
                found[pool.key] = granting.draw_slots(entries, self._worker_id, draw.least, pool.size, now)
            else:
                found[pool.key] = granting.draw_rate(entries, self._worker_id, draw.least, pool.size, now, draw.back)
        changed = {
            key: entries for key, entries in grants.items() if found[asked[key].pool.key].granted or asked[key].back
        }
        if changed:
            await self._write_rates(connection, changed)
        return found

    @staticmethod
    async def _lock_rates(
        connection: Connection, keys: Sequence[RateKey] | dict[RateKey, Any]
    ) -> tuple[dict[RateKey, list[granting.Grant]], float]:
        rows = await connection.fetch(sql.LOCK_RATES, *_rate_columns(list(keys)))
        return {(row[0], row[1], row[2]): msgspec.json.decode(row[3]) for row in rows}, max(
            (r[4] for r in rows), default=0.0
        )

    @staticmethod
    async def _write_rates(connection: Connection, grants: dict[RateKey, list[granting.Grant]]) -> None:
        texts = [msgspec.json.encode(entries).decode() for entries in grants.values()]
        await connection.execute(sql.WRITE_RATES, *_rate_columns(list(grants)), texts)

    async def _ask(
        self, work: Callable[[Connection], Coroutine[Any, Any, Result]], answer_s: float = ANSWER_S
    ) -> Result:
        """In one transaction, in bounded time; a hung server counts as away."""
        self.breaker.require_closed()
        async with self._lock:
            self.breaker.require_closed()
            for attempt in (1, 2, 3):
                try:
                    async with asyncio.timeout(answer_s):
                        connection = await self._connected()
                        async with connection.transaction():
                            return await work(connection)
                except AGAIN as error:
                    if attempt == 3:
                        raise CoordinatorAway(str(error)) from None
                except (*UNREACHABLE, asyncpg.PostgresError) as error:
                    self._drop()
                    raise self.breaker.trip(error) from None
        raise CoordinatorAway

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, "limits", CREATE_S)
        return self._connection

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                await (await self._connected()).fetchval("SELECT 1")
        except (*UNREACHABLE, asyncpg.PostgresError) as error:
            self._drop()
            raise CoordinatorAway(str(error)) from None

    def _drop(self) -> None:
        """Never waits: a hung server would not answer a goodbye either."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _columns(pools: list[tuple[Pool, int]]) -> tuple[list[str], list[str], list[datetime], list[int]]:
    return (
        [pool.id for pool, _ in pools],
        [pool.subject for pool, _ in pools],
        [instant(pool.start) for pool, _ in pools],
        [amount for _, amount in pools],
    )


def _rate_key(pool: Pool) -> RateKey:
    return pool.id, pool.kind, pool.subject


def _rate_columns(keys: list[RateKey]) -> tuple[list[str], list[str], list[str]]:
    return [key[0] for key in keys], [key[1] for key in keys], [key[2] for key in keys]


def _hour(epoch_s: float, *, up: bool) -> float:
    """The whole hour at or after (`up`), or at or before."""
    return -(-epoch_s // 3600) * 3600.0 if up else epoch_s // 3600 * 3600.0
