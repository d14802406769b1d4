"""Providers as the admin API reads and changes them. A credential goes in sealed and is read by nobody but `build`."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.catalog import Kind
from gateway.store.pool import Connection

CIRCUITS = "optyx_circuits"

PROVIDERS = """
SELECT p.id, p.name, p.kind, p.base_url, p.credential_source, p.credential_version, p.enabled, p.is_sandbox, p.timeouts::text,
       p.max_connections, p.on_disconnect, p.position, p.version, p.created_at, p.updated_at,
       (SELECT count(*) FROM models m WHERE m.provider_id = p.id AND m.enabled)
FROM providers p
WHERE $1::text IS NULL OR p.id = $1 OR p.name = $1
ORDER BY p.position, p.name
"""

LOCK_PROVIDER = "SELECT 1 FROM providers WHERE id = $1 OR name = $1 FOR UPDATE"

INSERT_PROVIDER = """
INSERT INTO providers (id, name, kind, base_url, credential_source, credential_sealed, credential_version, enabled, timeouts,
    max_connections, on_disconnect, position)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11, $12)
"""

UPDATE_PROVIDER = """
UPDATE providers SET base_url = $2, credential_source = $3, enabled = $4, timeouts = $5::jsonb, max_connections = $6, on_disconnect = $7,
    position = $8, version = version + 1, updated_at = now()
WHERE id = $1
"""

SET_CREDENTIAL = (
    "UPDATE providers SET credential_source = 'sealed', credential_sealed = $2, credential_version = $3 WHERE id = $1"
)

FORGET_CREDENTIAL = "UPDATE providers SET credential_sealed = NULL WHERE id = $1"

DELETE_UNUSED_MODELS = """
DELETE FROM models m WHERE m.provider_id = $1 AND NOT EXISTS (SELECT FROM prices p WHERE p.provider_id = m.provider_id AND p.model_id = m.id)
"""

DELETE_PROVIDER = "DELETE FROM providers WHERE id = $1"

TIERS_OF_PROVIDER = "SELECT DISTINCT tier FROM tier_targets WHERE provider_id = $1 ORDER BY tier"

CLOSE_CIRCUITS = "SELECT pg_notify($1, $2)"

LIVE_STATES = (
    "SELECT state::text FROM workers WHERE stopped_at IS NULL AND heartbeat_at > now() - interval '15 seconds'"
)

LAST_FAILURES = """
SELECT DISTINCT ON (a.one->>'provider') a.one->>'provider', a.one->>'failure', a.one->>'status', f.created_at
FROM (
    SELECT created_at, attempts FROM request_logs
    WHERE created_at > now() - interval '24 hours' AND (status >= 400 OR error_code IS NOT NULL)
    ORDER BY created_at DESC
    LIMIT 300
) f
CROSS JOIN LATERAL jsonb_array_elements(f.attempts) AS a (one)
WHERE a.one->>'failure' IS NOT NULL AND a.one->>'failure' <> 'resting'
ORDER BY a.one->>'provider', f.created_at DESC
"""


class ProviderRow(msgspec.Struct, frozen=True):
    id: str
    name: str
    kind: Kind
    base_url: str
    credential_source: str
    credential_version: int
    enabled: bool
    is_sandbox: bool
    timeouts: str
    max_connections: int
    on_disconnect: str
    position: int
    version: int
    created_at: datetime
    updated_at: datetime
    models: int


class FailureRow(msgspec.Struct, frozen=True):
    provider: str
    failure: str
    status: str | None
    at: datetime


class TargetState(msgspec.Struct):
    """A target as one worker sees it (gateway.health.Health.report)."""

    provider_id: str
    model: str
    state: str = "closed"
    rests_s: float = 0.0
    limited: bool = False
    recent: int = 0
    recent_failures: int = 0


class WorkerState(msgspec.Struct):
    targets: list[TargetState] = []


async def all_of(connection: Connection, name: str | None = None) -> list[ProviderRow]:
    """Every provider in their order, or the one of that id or name."""
    return [ProviderRow(*row) for row in await connection.fetch(PROVIDERS, name)]


async def lock(connection: Connection, name: str) -> None:
    await connection.execute(LOCK_PROVIDER, name)


async def insert(connection: Connection, row: ProviderRow, sealed: bytes | None) -> None:
    await connection.execute(
        INSERT_PROVIDER, row.id, row.name, row.kind, row.base_url, row.credential_source, sealed, row.credential_version, row.enabled,
        row.timeouts, row.max_connections, row.on_disconnect, row.position,
    )  # fmt: skip


async def update(connection: Connection, row: ProviderRow) -> None:
    await connection.execute(
        UPDATE_PROVIDER, row.id, row.base_url, row.credential_source, row.enabled, row.timeouts, row.max_connections, row.on_disconnect,
        row.position,
    )  # fmt: skip
    if row.credential_source != "sealed":
        await connection.execute(FORGET_CREDENTIAL, row.id)


async def set_credential(connection: Connection, provider_id: str, sealed: bytes, version: int) -> None:
    await connection.execute(SET_CREDENTIAL, provider_id, sealed, version)


async def tiers_of(connection: Connection, provider_id: str) -> list[str]:
    return [row[0] for row in await connection.fetch(TIERS_OF_PROVIDER, provider_id)]


async def delete(connection: Connection, provider_id: str) -> None:
    """With its models. Raises ForeignKeyViolationError while a tier uses one, or a price has been set: bills may refer to it."""
    await connection.execute(DELETE_UNUSED_MODELS, provider_id)
    await connection.execute(DELETE_PROVIDER, provider_id)


async def close_circuits(connection: Connection, provider_id: str) -> None:
    """Tells every worker, when this transaction commits."""
    await connection.execute(CLOSE_CIRCUITS, CIRCUITS, provider_id)


async def live_states(connection: Connection) -> list[WorkerState]:
    return [msgspec.json.decode(row[0], type=WorkerState) for row in await connection.fetch(LIVE_STATES)]


async def last_failures(connection: Connection) -> dict[str, FailureRow]:
    return {row[0]: FailureRow(*row) for row in await connection.fetch(LAST_FAILURES)}
