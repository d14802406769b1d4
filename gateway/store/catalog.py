"""Everything the catalog is built from, read in one snapshot."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.store.pool import Connection

CATALOG_EPOCH = "SELECT value FROM catalog_epoch"

PROVIDER_ROWS = """
SELECT id, name, kind, base_url, credential_source, credential_sealed, credential_version, enabled, is_sandbox, timeouts::text,
       max_connections, on_disconnect
FROM providers
ORDER BY position, name
"""

MODEL_ROWS = """
SELECT id, provider_id, upstream_name, mode, max_input_tokens, max_output_tokens, enabled, extract(epoch FROM created_at)::bigint, is_free
FROM models
ORDER BY provider_id, id
"""

PRICE_ROWS = """
SELECT id, provider_id, model_id, extract(epoch FROM effective_from)::float8, input_nusd, output_nusd, cached_input_nusd,
       cache_write_nusd, above_tokens, above_input_nusd, above_output_nusd, above_cached_input_nusd, above_cache_write_nusd
FROM prices
ORDER BY provider_id, model_id, effective_from
"""

TIER_ROWS = """
SELECT t.name, t.mode, g.provider_id, g.model_id, g.timeouts::text
FROM tiers t
LEFT JOIN tier_targets g ON g.tier = t.name
ORDER BY t.name, g.position
"""

PROJECT_ROWS = """
SELECT p.id, p.slug, p.name, p.org_id, s.default_tier, s.tiers::text, s.allowed_models, coalesce(s.failover, true),
       coalesce(s.capture, false), coalesce(s.timezone, o.timezone), p.archived_at IS NOT NULL, o.timezone
FROM projects p
JOIN orgs o ON o.id = p.org_id
LEFT JOIN project_settings s ON s.project_id = p.id
"""

LIMIT_ROWS = """
SELECT l.id, l.scope, l.subject, coalesce(o.name, p.name, k.name, l.subject), l.rpm, l.tpm, l.concurrency, l.model, l.tier
FROM limits l
LEFT JOIN orgs o ON l.scope = 'org' AND o.id = l.subject
LEFT JOIN projects p ON l.scope IN ('project', 'user') AND p.id = l.subject
LEFT JOIN api_keys k ON l.scope = 'key' AND k.id = l.subject
"""

BUDGET_ROWS = """
SELECT b.id, b.scope, b.subject, b.amount_nusd, b."window", coalesce(o.timezone, po.timezone, ko.timezone, 'UTC'), b.model, b.tier,
       b.raise_nusd, extract(epoch FROM b.raise_until)::float8, b.soft_percent, b.downgrade_percent, coalesce(o.name, p.name, k.name, '')
FROM budgets b
LEFT JOIN orgs o ON b.scope = 'org' AND o.id = b.subject
LEFT JOIN projects p ON b.scope IN ('project', 'user') AND p.id = b.subject
LEFT JOIN orgs po ON po.id = p.org_id
LEFT JOIN api_keys k ON b.scope = 'key' AND k.id = b.subject
LEFT JOIN projects kp ON kp.id = k.project_id
LEFT JOIN orgs ko ON ko.id = kp.org_id
"""

SETTING_ROWS = "SELECT name, value::text FROM settings"

KEY_ROWS = """
SELECT id, project_id, name, public_id, digest, allowed_models, disabled_at IS NOT NULL OR revoked_at IS NOT NULL,
       extract(epoch FROM expires_at)::float8, allowed_addresses::text[]
FROM api_keys
"""

ROTATED_ROWS = """
SELECT k.id, k.project_id, k.name, r.public_id, r.digest, k.allowed_models, k.disabled_at IS NOT NULL OR k.revoked_at IS NOT NULL,
       least(extract(epoch FROM k.expires_at), extract(epoch FROM r.grace_until))::float8, k.allowed_addresses::text[]
FROM rotated_secrets r
JOIN api_keys k ON k.id = r.key_id
WHERE r.grace_until > now()
"""

KEY_ROWS_OF = KEY_ROWS + "WHERE id = ANY($1::text[])"
ROTATED_ROWS_OF = ROTATED_ROWS + "AND k.id = ANY($1::text[])"
KEY_ROWS_BY_DIGEST = KEY_ROWS + "WHERE digest = $1"
ROTATED_ROWS_BY_DIGEST = ROTATED_ROWS + "AND r.digest = $1"


class KeyRow(msgspec.Struct, array_like=True, frozen=True):
    id: str
    project_id: str
    name: str
    public_id: str
    digest: bytes
    allowed_models: list[str] | None
    disabled: bool
    expires_at: float | None
    allowed_addresses: list[str] | None = None
    """With a default: a snapshot that an older version wrote has one field less."""


class ConfigRows(msgspec.Struct):
    """Rows as they come, of everything but the keys; plain values, so that they can be kept in a snapshot."""

    epoch: int
    providers: list[tuple[Any, ...]]
    models: list[tuple[Any, ...]]
    prices: list[tuple[Any, ...]]
    tiers: list[tuple[Any, ...]]
    projects: list[tuple[Any, ...]]
    limits: list[tuple[Any, ...]]
    budgets: list[tuple[Any, ...]]
    settings: list[tuple[Any, ...]]


async def read_config(connection: Connection) -> ConfigRows:
    """Must run inside a REPEATABLE READ transaction, so that the epoch fits the rows."""

    async def rows(statement: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await connection.fetch(statement)]

    return ConfigRows(
        epoch=await connection.fetchval(CATALOG_EPOCH),
        providers=await rows(PROVIDER_ROWS),
        models=await rows(MODEL_ROWS),
        prices=await rows(PRICE_ROWS),
        tiers=await rows(TIER_ROWS),
        projects=await rows(PROJECT_ROWS),
        limits=await rows(LIMIT_ROWS),
        budgets=await rows(BUDGET_ROWS),
        settings=await rows(SETTING_ROWS),
    )


async def read_keys(connection: Connection, ids: list[str] | None = None) -> list[KeyRow]:
    """Every key and every rotated secret still in its grace, or those of `ids`."""
    if ids is None:
        found = [*await connection.fetch(KEY_ROWS), *await connection.fetch(ROTATED_ROWS)]
    else:
        found = [*await connection.fetch(KEY_ROWS_OF, ids), *await connection.fetch(ROTATED_ROWS_OF, ids)]
    return [KeyRow(*row) for row in found]


async def read_key(connection: Connection, digest: bytes) -> KeyRow | None:
    for statement in (KEY_ROWS_BY_DIGEST, ROTATED_ROWS_BY_DIGEST):
        row = await connection.fetchrow(statement, digest)
        if row is not None:
            return KeyRow(*row)
    return None


async def read_epoch(connection: Connection) -> int:
    return int(await connection.fetchval(CATALOG_EPOCH))
