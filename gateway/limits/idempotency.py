"""Idempotency-Key: the same key and body get the same answer for 24 hours; upstream is asked once and charged once.

Only calls that carry the header pay for it: one round trip before, and one before their last byte, so that whoever has an answer has it
kept. A database that hangs costs them two seconds, never more.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
from collections import deque
from collections.abc import Coroutine
from typing import Any

import msgspec

from gateway.errors import Conflict, Unavailable, Unprocessable
from gateway.store import idempotency as sql
from gateway.store.pool import TROUBLE, Pool
from gateway.version import VERSION

MAX_KEPT = 8 << 20
"""A larger answer is not kept; asking again then asks the provider again."""
WAIT_S = 2.0
AGAIN_S = 1.0
MAX_WAITING = 1_000
Kept = tuple[int, str, bytes]


class Entry:
    """One key's entry; `stored` is a finished answer to give again."""

    max_size = MAX_KEPT

    def __init__(self, owner: PostgresIdempotency, key: tuple[str, str, str], stored: Kept | None) -> None:
        self.stored = stored
        self._owner = owner
        self._key = key

    async def finish(self, status: int, content_type: str, body: bytes) -> None:
        """Keeps the answer. A database that is away costs only the replay: the key is then free again."""
        if len(body) > MAX_KEPT:
            await self.abandon()
            return
        headers = msgspec.json.encode({"content-type": content_type}).decode()
        if not await self._owner.execute(sql.KEEP, *self._key, status, headers, body):
            self._owner.free_later(self._key)

    async def abandon(self) -> None:
        """There was no answer to keep: the next call with this key is a new one."""
        if not await self._owner.execute(sql.ABANDON, *self._key):
            self._owner.free_later(self._key)


class PostgresIdempotency:
    def __init__(self, pool: Pool, worker_id: str) -> None:
        self._pool = pool
        self._worker_id = worker_id
        self._to_free: deque[tuple[str, str, str]] = deque(maxlen=MAX_WAITING)
        self._late: set[asyncio.Task[Any]] = set()

    async def begin(self, key_id: str, idempotency_key: str, endpoint: str, body: bytes, request_id: str) -> Entry:
        """Claims the key. Raises Conflict while another call has it, Unprocessable for another body, Unavailable without a database."""
        digest = hashlib.sha256(endpoint.encode() + b"\0" + body).digest()
        key = (key_id, idempotency_key, self._worker_id)
        row = await self._asked(self._claim(key, digest, request_id), key)
        if row is True:
            return Entry(self, key, None)
        if row is None or (row[1] == "in_progress" and row[0] == digest):
            raise Conflict(
                "A call with this Idempotency-Key is still under way.", code="idempotency_in_progress", retry_after_s=1
            )
        if row[0] != digest:
            raise Unprocessable(
                "This Idempotency-Key was used with another body.", code="idempotency_mismatch", param="Idempotency-Key"
            )
        kind = msgspec.json.decode(row[3])["content-type"]
        return Entry(self, key, (row[2], kind, bytes(row[4])))

    async def run(self) -> None:
        """Frees what could not be freed when the database was away. Until cancelled."""
        while True:
            await asyncio.sleep(AGAIN_S)
            while self._to_free and await self.execute(sql.ABANDON, *self._to_free[0]):
                self._to_free.popleft()

    async def execute(self, statement: str, *arguments: object) -> bool:
        """Within two seconds; False when the database is away or hangs."""
        done = await self._within(self._pool.execute(statement, *arguments))
        return done is not None

    def free_later(self, key: tuple[str, str, str]) -> None:
        self._to_free.append(key)

    async def _claim(self, key: tuple[str, str, str], digest: bytes, request_id: str) -> Any:
        """True when the key is ours now, else the row of whoever has or had it; None when that one has just gone."""
        async with self._pool.acquire(timeout=WAIT_S) as connection:
            of_worker = socket.gethostname(), os.getpid(), VERSION
            if await connection.fetchval(sql.CLAIM, *key, digest, request_id, *of_worker):
                return True
            return await connection.fetchrow(sql.LOOK, *key[:2])

    async def _asked(self, work: Coroutine[Any, Any, Any], key: tuple[str, str, str]) -> Any:
        answered = await self._within(work, late=key)
        if answered is None:
            raise Unavailable(
                "An Idempotency-Key can't be honoured while the database is away. Leave it out, or try again shortly.",
                code="accounting_unavailable",
                retry_after_s=2,
            )
        return answered[0]

    async def _within(
        self, work: Coroutine[Any, Any, Any], late: tuple[str, str, str] | None = None
    ) -> list[Any] | None:
        """What `work` gives, in a list; None when the database is away or does not answer in time. A claim that succeeds after all
        is given back: asyncpg's own cancelling may hang, so the work is left to end by itself."""
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait({task}, timeout=WAIT_S)
        if done:
            with contextlib.suppress(*TROUBLE):
                return [task.result()]
            return None
        self._late.add(task)

        def ended(over: asyncio.Task[Any]) -> None:
            self._late.discard(over)
            if not over.cancelled() and over.exception() is None and over.result() is True and late is not None:
                self.free_later(late)

        task.add_done_callback(ended)
        return None
