"""What an operator should look at, as the tables show it: every question is answered by an index or by a bounded look at the newest rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from gateway.store.pool import Connection

BURST = """
SELECT (SELECT count(*) FROM (
        SELECT FROM request_logs WHERE created_at > now() - interval '5 minutes' ORDER BY created_at DESC LIMIT 20000) every),
    count(*), mode() WITHIN GROUP (ORDER BY e.error_code), min(e.created_at)
FROM (
    SELECT error_code, created_at FROM request_logs
    WHERE created_at > now() - interval '5 minutes' AND status >= 500
    ORDER BY created_at DESC
    LIMIT 20000
) e
"""

CREDENTIALS = """
SELECT a.one->>'provider', count(*), min(r.created_at)
FROM (
    SELECT created_at, attempts FROM request_logs
    WHERE created_at > now() - interval '15 minutes'
    ORDER BY created_at DESC
    LIMIT 2000
) r
CROSS JOIN LATERAL jsonb_array_elements(r.attempts) AS a (one)
WHERE r.attempts @> '[{"failure": "credentials"}]' AND a.one->>'failure' = 'credentials'
GROUP BY 1
ORDER BY 1
"""

EXPIRING_KEYS = """
SELECT k.id, k.name, p.slug, k.expires_at FROM api_keys k
JOIN projects p ON p.id = k.project_id
WHERE k.expires_at > now() AND k.expires_at < now() + interval '7 days' AND k.expires_at > k.created_at + interval '7 days'
    AND k.disabled_at IS NULL AND k.revoked_at IS NULL AND p.archived_at IS NULL
ORDER BY k.expires_at
LIMIT 20
"""

UNPRICED = """
SELECT provider, model, sum(unpriced_calls)::bigint, min(hour) FROM usage_hourly
WHERE hour > now() - interval '24 hours' AND unpriced_calls > 0
GROUP BY provider, model
ORDER BY 3 DESC
LIMIT 20
"""

NEWEST_PRICE = "SELECT max(created_at), now() - max(created_at) > interval '30 days' FROM prices"

QUARANTINED = "SELECT count(*), min(created_at) FROM quarantined_records WHERE created_at > now() - interval '7 days'"

LIVE_WORKERS = """
SELECT id, version, started_at, state::text FROM workers WHERE stopped_at IS NULL AND heartbeat_at > now() - interval '15 seconds' ORDER BY id
"""

KEYS_NAMED = """
SELECT k.id, k.name, p.slug, k.disabled_at, k.revoked_at, k.expires_at FROM api_keys k
JOIN projects p ON p.id = k.project_id
WHERE k.id = ANY($1::text[])
ORDER BY k.name
"""


class Burst(msgspec.Struct):
    """The last five minutes."""

    calls: int
    errors: int
    top_error: str | None
    since: datetime | None


class Journal(msgspec.Struct):
    behind_s: float = 0.0
    orphans_s: float = 0.0


class LateKey(msgspec.Struct):
    """Refused calls of a key that no longer works, within the last hour: how many, and the last one's epoch seconds."""

    calls: int
    last: float


class State(msgspec.Struct):
    """What a heartbeat says, as far as it is looked at here."""

    in_flight: int = 0
    streams: int = 0
    oldest_s: float = 0.0
    journal: Journal = msgspec.field(default_factory=Journal)
    late_keys: dict[str, LateKey] = {}


class Live(msgspec.Struct):
    id: str
    version: str
    started_at: datetime
    state: State


async def burst(connection: Connection) -> Burst:
    return Burst(*await connection.fetchrow(BURST))


async def live_workers(connection: Connection) -> list[Live]:
    rows = await connection.fetch(LIVE_WORKERS)
    return [Live(row[0], row[1], row[2], msgspec.json.decode(row[3], type=State)) for row in rows]


async def rows(connection: Connection, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of one of this module's statements, as tuples in its order."""
    return [tuple(row) for row in await connection.fetch(statement, *values)]
