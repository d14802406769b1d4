"""Answers of the admin API kept for a day, for callers who repeat a change with the same Idempotency-Key."""

from __future__ import annotations

from gateway.store.pool import Connection

CLAIM_REPLY = """
INSERT INTO admin_idempotency AS i (token_id, idempotency_key, body_digest, status, answer)
VALUES ($1, $2, $3, 0, '{}')
ON CONFLICT (token_id, idempotency_key) DO UPDATE SET body_digest = excluded.body_digest, status = 0, answer = '{}', created_at = now()
WHERE i.created_at < now() - interval '24 hours'
RETURNING 1
"""

STORED_REPLY = (
    "SELECT body_digest, status, answer::text FROM admin_idempotency WHERE token_id = $1 AND idempotency_key = $2"
)

KEEP_REPLY = "UPDATE admin_idempotency SET status = $3, answer = $4::jsonb WHERE token_id = $1 AND idempotency_key = $2"

FORGET_REPLIES = "DELETE FROM admin_idempotency WHERE created_at < now() - interval '24 hours'"


async def claim(connection: Connection, token_id: str, name: str, digest: bytes) -> tuple[bytes, int, str] | None:
    """None: the caller is the first, and keeps its answer in the same transaction. Otherwise what is stored (digest of the request, status,
    answer): whoever comes second waits here until the first has ended."""
    if await connection.fetchval(CLAIM_REPLY, token_id, name, digest):
        return None
    return tuple(await connection.fetchrow(STORED_REPLY, token_id, name))


async def keep(connection: Connection, token_id: str, name: str, status: int, answer: str) -> None:
    await connection.execute(KEEP_REPLY, token_id, name, status, answer)
