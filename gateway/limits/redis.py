"""Redis as the coordinator of rates and slots, when there are several machines. One Lua script, one key a pool, Cluster or not.

Money stays in Postgres: a Redis that is flushed or loses its last second must not admit a call that no budget allows.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from gateway.limits.breaker import Breaker
from gateway.limits.pools import Back, CoordinatorAway, Draw, Drawn, Pool, Renewal, Return
from gateway.secret import Secret

SCRIPT = (Path(__file__).parent / "rates.lua").read_text()
DIGEST = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
ANSWER_S = 0.2
OPEN_S = 0.8
"""To connect, and to find the nodes of a Cluster: once, and several round trips."""
GRACE_S = 0.05
"""When this process itself was held up, the answer may be here already: it gets this much to be read."""
CHANNEL = "optyx:2:wanted"
KEY = "optyx:2:{%s:%s:%s}"
FAILED = (RedisError, RedisClusterException, OSError, TimeoutError)


class RedisCoordinator:
    def __init__(self, url: Secret, worker_id: str) -> None:
        self._url = url
        self._worker_id = worker_id
        self._client: Any = None
        self._opening = asyncio.Lock()
        self.breaker = Breaker("Redis", self._probe)

    async def draw(self, draws: list[Draw]) -> list[Drawn]:
        answers = await self._all([self._run("draw", d.pool, d.least, back=d.back) for d in draws])
        return [Drawn(a[0], a[1], a[2], a[3] / 1000, a[4]) for a in answers]

    async def give_back(self, returns: list[Return]) -> None:
        await self._all([self._run("back", one.pool, one.amount, back=one.back) for one in returns])

    async def renew(self, renewals: list[Renewal]) -> list[int]:
        answers = await self._all([self._run("renew", one.pool, one.amount, held=one.held) for one in renewals])
        return [answer[4] for answer in answers]

    async def ask_back(self, pools: list[Pool]) -> None:
        for kind, id_ in {(pool.kind, pool.id) for pool in pools}:
            await self._command("PUBLISH", CHANNEL, f"{self._worker_id}|{kind}|{id_}")

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
        except FAILED as error:
            raise CoordinatorAway(str(error)) from None
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
            await node.aclose()

    async def close(self) -> None:
        await self.breaker.close()
        await self._drop()

    async def _all(self, runs: list[Any]) -> list[Any]:
        """Together; when one fails all are over before it is said."""
        answers = await asyncio.gather(*runs, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers

    async def _run(
        self, action: str, pool: Pool, amount: int, *, held: int = 0, back: tuple[Back, ...] = ()
    ) -> list[int]:
        key = KEY % (pool.id, pool.kind, pool.subject)
        parts = ",".join(f"{age_s:.3f}:{part}" for age_s, part in back)
        arguments = (1, key, action, pool.kind, self._worker_id, amount, pool.size, held, parts, "")
        try:
            answer = await self._command("EVALSHA", DIGEST, *arguments)
        except NoScriptError:
            answer = await self._command("EVAL", SCRIPT, *arguments)
        return [int(number) for number in answer]

    async def _command(self, *command: Any) -> Any:
        """Raises CoordinatorAway, and NoScriptError."""
        self.breaker.require_closed()
        try:
            client = self._client or await _in_time(self._connected(), OPEN_S)
            return await _in_time(client.execute_command(*command), ANSWER_S)
        except NoScriptError:
            raise
        except FAILED as error:
            raise self.breaker.trip(error) from None

    async def _connected(self) -> Any:
        async with self._opening:
            if self._client is None:
                self._client = await self._open()
            return self._client

    async def _open(self) -> Any:
        """A Cluster's client when the server says that it is one."""
        url = self._url.reveal()
        options: dict[str, Any] = {"socket_timeout": OPEN_S, "socket_connect_timeout": OPEN_S}
        single = Redis.from_url(url, **options, retry=Retry(NoBackoff(), 0))
        try:
            info = await single.info("cluster")
        except BaseException:
            await single.aclose()
            raise
        if not int(info.get("cluster_enabled", 0)):
            return single
        await single.aclose()
        cluster = RedisCluster.from_url(url, **options)
        try:
            await cluster.initialize()
        except BaseException:
            await cluster.aclose()
            raise
        return cluster

    async def _probe(self) -> None:
        """With connections of its own making: those that hung are given up."""
        await self._drop()
        try:
            async with asyncio.timeout(OPEN_S):
                await (await self._connected()).ping()
        except FAILED as error:
            raise CoordinatorAway(str(error)) from None

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


async def _in_time(work: Coroutine[Any, Any, Any], within_s: float) -> Any:
    task = asyncio.ensure_future(work)
    try:
        for wait_s in (within_s, GRACE_S):
            done, _ = await asyncio.wait({task}, timeout=wait_s)
            if done:
                return task.result()
        raise TimeoutError(f"no answer in {within_s + GRACE_S:g} s")
    finally:
        task.cancel()
