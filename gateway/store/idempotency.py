"""Answers kept for callers who may ask again with the same Idempotency-Key, for 24 hours."""

from __future__ import annotations

CLAIM = """
INSERT INTO idempotency AS i (key_id, idempotency_key, body_digest, state, worker_id, request_id, expires_at)
VALUES ($1, $2, $3, 'in_progress', $4, $5, now() + interval '24 hours')
ON CONFLICT (key_id, idempotency_key) DO UPDATE SET body_digest = excluded.body_digest, state = 'in_progress', status = NULL,
    headers = NULL, answer = NULL, worker_id = excluded.worker_id, request_id = excluded.request_id, created_at = now(),
    expires_at = excluded.expires_at
WHERE i.expires_at < now() OR (i.state = 'in_progress' AND NOT EXISTS (
    SELECT FROM workers w WHERE w.id = i.worker_id AND w.stopped_at IS NULL AND w.heartbeat_at > now() - interval '30 seconds'))
RETURNING 1
"""

LOOK = "SELECT body_digest, state, status, headers::text, answer FROM idempotency WHERE key_id = $1 AND idempotency_key = $2"

KEEP = """
UPDATE idempotency SET state = 'done', status = $3, headers = $4::jsonb, answer = $5
WHERE key_id = $1 AND idempotency_key = $2 AND worker_id = $6
"""

ABANDON = """
DELETE FROM idempotency WHERE key_id = $1 AND idempotency_key = $2 AND worker_id = $3 AND state = 'in_progress'
"""
