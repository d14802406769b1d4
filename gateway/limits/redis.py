"""Redis as the coordinator of rates and slots, when there are several machines. One Lua script, one key a pool, Cluster or not.

Money stays in Postgres: a Redis that is flushed or loses its last second must not admit a call that no budget allows.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from gateway.limits.pools import CoordinatorAway, Draw, Drawn, Pool
from gateway.secret import Secret

SCRIPT = (Path(__file__).parent / "rates.lua").read_text()
DIGEST = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
ANSWER_S = 0.25
REST_S = 1.0
CHANNEL = "optyx:1:wanted"
KEY = "optyx:1:{%s:%s:%s}"


class RedisCoordinator:
    def __init__(self, url: Secret, worker_id: str) -> None:
        self._url = url
        self._worker_id = worker_id
        self._client: Any = None
        self._rests_until = 0.0

    async def draw(self, draws: list[Draw]) -> list[Drawn]:
        return list(await asyncio.gather(*(self._draw(draw) for draw in draws)))

    async def give_back(self, pools: list[tuple[Pool, int]]) -> None:
        for pool, amount in pools:
            await self._run("back", pool, amount)

    async def renew(self, pools: list[tuple[Pool, int]]) -> None:
        for pool, amount in pools:
            if pool.kind == "slots":
                await self._run("renew", pool, amount)

    async def ask_back(self, pools: list[Pool]) -> None:
        client = await self._connected()
        try:
            for pool in pools:
                await client.execute_command("PUBLISH", CHANNEL, f"{self._worker_id}|{pool.kind}|{pool.id}")
        except (RedisError, OSError, TimeoutError) as error:
            raise self._away(error) from None

    async def wanted(self) -> AsyncIterator[tuple[str, str]]:
        """What other workers ask back, for ever: kind and limit id. Raises CoordinatorAway when the connection ends. A Cluster passes
        messages on between its nodes, so any node will do."""
        node = Redis.from_url(self._url.reveal())
        pubsub = node.pubsub()
        try:
            await pubsub.subscribe(CHANNEL)
            async for message in pubsub.listen():
                if message["type"] == "message":
                    worker, kind, limit_id = message["data"].decode().split("|", 2)
                    if worker != self._worker_id:
                        yield kind, limit_id
        except (RedisError, OSError) as error:
            raise self._away(error) from None
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
            await node.aclose()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _draw(self, draw: Draw) -> Drawn:
        granted, left, lent, wait_ms = await self._run("draw", draw.pool, draw.least, draw.back)
        return Drawn(int(granted), int(left), int(lent), int(wait_ms) / 1000)

    async def _run(self, action: str, pool: Pool, amount: int, back: int = 0) -> Any:
        client = await self._connected()
        key = KEY % (pool.id, pool.kind, pool.subject)
        arguments = (1, key, action, pool.kind, self._worker_id, amount, pool.size, back)
        try:
            async with asyncio.timeout(ANSWER_S):
                try:
                    return await client.evalsha(DIGEST, *arguments)
                except ResponseError as error:
                    if "NOSCRIPT" not in str(error).upper():
                        raise
                    return await client.eval(SCRIPT, *arguments)
        except (RedisError, OSError, TimeoutError) as error:
            raise self._away(error) from None

    async def _connected(self) -> Any:
        loop = asyncio.get_running_loop()
        if loop.time() < self._rests_until:
            raise CoordinatorAway("Redis has just failed")
        if self._client is None:
            self._client = await self._open()
        return self._client

    async def _open(self) -> Any:
        """A Cluster's client when the server says that it is one."""
        options: dict[str, Any] = {
            "socket_timeout": ANSWER_S,
            "socket_connect_timeout": ANSWER_S,
            "retry": Retry(NoBackoff(), 0),
        }
        single = Redis.from_url(self._url.reveal(), **options)
        try:
            info = await single.info("cluster")
            if not int(info.get("cluster_enabled", 0)):
                return single
            await single.aclose()
            cluster = RedisCluster.from_url(
                self._url.reveal(), socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S
            )
            await cluster.initialize()
            return cluster
        except (RedisError, OSError, TimeoutError) as error:
            await single.aclose()
            raise self._away(error) from None

    def _away(self, error: Exception) -> CoordinatorAway:
        self._rests_until = asyncio.get_running_loop().time() + REST_S
        return CoordinatorAway(f"{type(error).__name__}: {error}")
