"""Idempotency-Key: the same key and body get the same answer for 24 hours; upstream is asked once and charged once.

Only calls that carry the header pay for it: one round trip before and one after.
"""

from __future__ import annotations

import hashlib

import msgspec

from gateway.errors import Conflict, Unavailable, Unprocessable
from gateway.store import idempotency as sql
from gateway.store.pool import UNREACHABLE, Pool

MAX_KEPT = 8 << 20
"""A larger answer is not kept; asking again then asks the provider again."""


class Entry:
    """One key's entry; `stored` is a finished answer to give again."""

    def __init__(
        self, pool: Pool, worker_id: str, key_id: str, name: str, stored: tuple[int, str, bytes] | None
    ) -> None:
        self.stored = stored
        self._pool = pool
        self._worker_id = worker_id
        self._key = (key_id, name)

    async def finish(self, status: int, content_type: str, body: bytes) -> None:
        """Keeps the answer. It has been given already: a database that is away only costs the replay."""
        if len(body) > MAX_KEPT:
            await self.abandon()
            return
        headers = msgspec.json.encode({"content-type": content_type}).decode()
        try:
            await self._pool.execute(sql.KEEP, *self._key, status, headers, body, self._worker_id)
        except UNREACHABLE:
            return

    async def abandon(self) -> None:
        """There was no answer to keep: the next call with this key is a new one."""
        try:
            await self._pool.execute(sql.ABANDON, *self._key, self._worker_id)
        except UNREACHABLE:
            return


class PostgresIdempotency:
    def __init__(self, pool: Pool, worker_id: str) -> None:
        self._pool = pool
        self._worker_id = worker_id

    async def begin(self, key_id: str, idempotency_key: str, endpoint: str, body: bytes, request_id: str) -> Entry:
        digest = hashlib.sha256(endpoint.encode() + b"\0" + body).digest()
        try:
            if await self._pool.fetchval(sql.CLAIM, key_id, idempotency_key, digest, self._worker_id, request_id):
                return Entry(self._pool, self._worker_id, key_id, idempotency_key, None)
            row = await self._pool.fetchrow(sql.LOOK, key_id, idempotency_key)
        except UNREACHABLE:
            raise Unavailable(
                "An Idempotency-Key can't be honoured while the database is away. Leave it out, or try again shortly.",
                code="accounting_unavailable",
                retry_after_s=2,
            ) from None
        if row is None or (row[1] == "in_progress" and row[0] == digest):
            raise Conflict(
                "A call with this Idempotency-Key is still under way.", code="idempotency_in_progress", retry_after_s=1
            )
        if row[0] != digest:
            raise Unprocessable(
                "This Idempotency-Key was used with another body.", code="idempotency_mismatch", param="Idempotency-Key"
            )
        kind = msgspec.json.decode(row[3])["content-type"]
        return Entry(self._pool, self._worker_id, key_id, idempotency_key, (row[2], kind, bytes(row[4])))
