"""Answers kept for callers who may ask again with the same Idempotency-Key, for 24 hours."""

from __future__ import annotations

CLAIM = """
WITH alive AS (
    INSERT INTO workers AS w (id, machine, pid, version)
    SELECT $3, $6::text, $7::integer, $8::text
    WHERE NOT EXISTS (SELECT FROM workers WHERE id = $3 AND heartbeat_at > now() - interval '10 seconds')
    ON CONFLICT (id) DO UPDATE SET heartbeat_at = now()
)
INSERT INTO idempotency AS i (key_id, idempotency_key, worker_id, body_digest, request_id, state, expires_at)
VALUES ($1, $2, $3, $4, $5, 'in_progress', now() + interval '24 hours')
ON CONFLICT (key_id, idempotency_key) DO UPDATE SET body_digest = excluded.body_digest, state = 'in_progress', status = NULL,
    headers = NULL, answer = NULL, worker_id = excluded.worker_id, request_id = excluded.request_id, created_at = now(),
    expires_at = excluded.expires_at
WHERE i.expires_at < now() OR (i.state = 'in_progress' AND NOT EXISTS (
    SELECT FROM workers w WHERE w.id = i.worker_id AND w.stopped_at IS NULL AND w.heartbeat_at > now() - interval '30 seconds'))
RETURNING 1
"""
"""A claim is worth as much as its worker is alive: at the start, and after an outage, it must not come before the heartbeat."""

LOOK = "SELECT body_digest, state, status, headers::text, answer FROM idempotency WHERE key_id = $1 AND idempotency_key = $2"

KEEP = """
UPDATE idempotency SET state = 'done', status = $4, headers = $5::jsonb, answer = $6
WHERE key_id = $1 AND idempotency_key = $2 AND worker_id = $3 AND state = 'in_progress'
"""

ABANDON = """
DELETE FROM idempotency WHERE key_id = $1 AND idempotency_key = $2 AND worker_id = $3 AND state = 'in_progress'
"""
