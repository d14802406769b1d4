"""Settings of projects, every version of them, and of the whole gateway."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.store.pool import Connection

SETTINGS_OF = """
SELECT version, default_tier, tiers::text, allowed_models, failover, capture, timezone, updated_by, updated_at
FROM project_settings
WHERE project_id = $1
"""

SAVE_SETTINGS = """
INSERT INTO project_settings AS s (project_id, version, default_tier, tiers, allowed_models, failover, capture, timezone, updated_by)
VALUES ($1, $2, $3, $4::jsonb, $5, $6, $7, $8, $9)
ON CONFLICT (project_id) DO UPDATE SET version = excluded.version, default_tier = excluded.default_tier, tiers = excluded.tiers,
    allowed_models = excluded.allowed_models, failover = excluded.failover, capture = excluded.capture, timezone = excluded.timezone,
    updated_by = excluded.updated_by, updated_at = now()
"""

KEEP_VERSION = """
INSERT INTO project_settings_history (project_id, version, settings, updated_by, updated_at)
VALUES ($1, $2, $3::jsonb, $4, coalesce($5, now()))
ON CONFLICT DO NOTHING
"""

VERSIONS = """
SELECT version, settings::text, updated_by, updated_at FROM project_settings_history
WHERE project_id = $1 AND ($2::bigint IS NULL OR version < $2)
ORDER BY version DESC
LIMIT $3
"""

VERSION = "SELECT settings::text FROM project_settings_history WHERE project_id = $1 AND version = $2"

CALLS_OF_A_DAY = """
SELECT u.key_id, coalesce(k.name, u.key_id), u.provider, u.model, u.tier, u.calls, k.allowed_models
FROM (
    SELECT key_id, provider, model, tier, sum(calls - errors)::bigint AS calls
    FROM usage_hourly
    WHERE project_id = $1 AND hour > now() - interval '24 hours' AND model <> ''
    GROUP BY key_id, provider, model, tier
) u
LEFT JOIN api_keys k ON k.id = u.key_id
"""

GATEWAY_SETTINGS = "SELECT name, value::text FROM settings ORDER BY name"

LOCK_GATEWAY_SETTINGS = "LOCK TABLE settings IN SHARE ROW EXCLUSIVE MODE"

PUT_GATEWAY_SETTING = """
INSERT INTO settings (name, value, updated_by) VALUES ($1, $2::jsonb, $3)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_by = excluded.updated_by, updated_at = now()
"""

DROP_GATEWAY_SETTING = "DELETE FROM settings WHERE name = $1"


class SettingsRow(msgspec.Struct, frozen=True):
    """`tiers` is JSON text: by tier the list of `{"provider","model","timeouts"?}`."""

    version: int
    default_tier: str | None
    tiers: str | None
    allowed_models: list[str] | None
    failover: bool
    capture: bool
    timezone: str | None
    updated_by: str | None
    updated_at: datetime | None


class VersionRow(msgspec.Struct, frozen=True):
    version: int
    settings: str
    updated_by: str | None
    updated_at: datetime


class CallsRow(msgspec.Struct, frozen=True):
    """What one key called in the last 24 hours and got; `tier` is empty where it named a model. `allowed_models` are the key's own."""

    key_id: str
    key: str
    provider: str
    model: str
    tier: str
    calls: int
    allowed_models: list[str] | None


async def of(connection: Connection, project_id: str) -> SettingsRow:
    """A project that was never set has the gateway's own, as version 0."""
    row = await connection.fetchrow(SETTINGS_OF, project_id)
    return SettingsRow(0, None, None, None, True, False, None, None, None) if row is None else SettingsRow(*row)


async def save(connection: Connection, project_id: str, row: SettingsRow) -> None:
    await connection.execute(
        SAVE_SETTINGS, project_id, row.version, row.default_tier, row.tiers, row.allowed_models, row.failover, row.capture,
        row.timezone, row.updated_by,
    )  # fmt: skip


async def keep(
    connection: Connection, project_id: str, version: int, settings: str, by: str | None, at: datetime | None
) -> None:
    """In the history; a version that is there stays as it is."""
    await connection.execute(KEEP_VERSION, project_id, version, settings, by, at)


async def versions(connection: Connection, project_id: str, before: int | None, limit: int) -> list[VersionRow]:
    return [VersionRow(*row) for row in await connection.fetch(VERSIONS, project_id, before, limit)]


async def version(connection: Connection, project_id: str, number: int) -> str | None:
    found = await connection.fetchval(VERSION, project_id, number)
    return None if found is None else str(found)


async def calls_of_a_day(connection: Connection, project_id: str) -> list[CallsRow]:
    """From the hours' sums, which move in the transaction that records the calls: a project with millions of calls costs no more."""
    return [CallsRow(*row) for row in await connection.fetch(CALLS_OF_A_DAY, project_id)]


async def gateway(connection: Connection) -> dict[str, str]:
    """Name and JSON value of what is set."""
    return dict(await connection.fetch(GATEWAY_SETTINGS))


async def put_gateway(connection: Connection, values: dict[str, str | None], by: str) -> None:
    """None: back to the default."""
    for name, value in values.items():
        if value is None:
            await connection.execute(DROP_GATEWAY_SETTING, name)
        else:
            await connection.execute(PUT_GATEWAY_SETTING, name, value, by)
