"""Keys of projects: their rows, never their text."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.store.pool import Connection

KEY_COLUMNS = """
SELECT k.id, k.name, k.public_id, k.project_id, p.slug, k.allowed_models, k.created_by, k.created_at, k.updated_at, k.expires_at,
       k.disabled_at, k.revoked_at, u.last_used_at, r.grace_until, k.allowed_addresses::text[]
FROM api_keys k
JOIN projects p ON p.id = k.project_id
LEFT JOIN key_usage u ON u.key_id = k.id
LEFT JOIN LATERAL (
    SELECT max(s.grace_until) AS grace_until FROM rotated_secrets s WHERE s.key_id = k.id AND s.grace_until > now()
) r ON true
"""

KEY_BY_ID = KEY_COLUMNS + "WHERE k.id = $1"

KEY_BY_PUBLIC_ID = KEY_COLUMNS + "WHERE k.public_id = $1"

KEY_OF_OLD_PUBLIC_ID = "SELECT key_id FROM rotated_secrets WHERE public_id = $1"

KEYS_AFTER = (
    KEY_COLUMNS
    + """
WHERE k.project_id = $1 AND ($2::timestamptz IS NULL OR (k.created_at, k.id) < ($2, $3))
    AND ($4::text IS NULL OR $4 = CASE
        WHEN k.revoked_at IS NOT NULL THEN 'revoked'
        WHEN k.disabled_at IS NOT NULL THEN 'disabled'
        WHEN k.expires_at <= now() THEN 'expired'
        WHEN r.grace_until IS NOT NULL THEN 'grace'
        WHEN u.last_used_at IS NULL THEN 'unused'
        ELSE 'active' END)
ORDER BY k.created_at DESC, k.id DESC
LIMIT $5
"""
)

LOCK_KEY = "SELECT 1 FROM api_keys WHERE id = $1 FOR UPDATE"

INSERT_KEY = """
INSERT INTO api_keys (id, project_id, name, public_id, digest, allowed_models, allowed_addresses, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7::text[]::cidr[], $8, $9)
"""

UPDATE_KEY = """
UPDATE api_keys SET name = $2, allowed_models = $3, allowed_addresses = $4::text[]::cidr[], expires_at = $5, updated_at = now() WHERE id = $1
"""

SWITCH_KEY = "UPDATE api_keys SET disabled_at = CASE WHEN $2 THEN NULL ELSE coalesce(disabled_at, now()) END, updated_at = now() WHERE id = $1"

REVOKE_KEY = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()), updated_at = now() WHERE id = $1"

CUT_GRACE = "DELETE FROM rotated_secrets WHERE key_id = $1"

KEEP_OLD_SECRET = """
INSERT INTO rotated_secrets (digest, key_id, public_id, grace_until)
SELECT digest, id, public_id, now() + $2 * interval '1 second' FROM api_keys WHERE id = $1
"""

NEW_SECRET = "UPDATE api_keys SET public_id = $2, digest = $3, updated_at = now() WHERE id = $1"

USE_OF_KEYS = """
SELECT u.key_id, floor(extract(epoch FROM date_trunc('hour', now()) - u.hour) / 3600)::int AS hours_ago, sum(u.calls)::bigint,
       sum(u.cost_nusd)::bigint
FROM usage_hourly u
WHERE u.key_id = ANY ($1::text[]) AND u.hour > now() - interval '24 hours'
GROUP BY 1, 2
"""

SPEND_OF_KEYS = """
SELECT u.key_id, sum(u.cost_nusd)::bigint
FROM usage_hourly u
JOIN api_keys k ON k.id = u.key_id
JOIN projects p ON p.id = k.project_id
JOIN orgs o ON o.id = p.org_id
WHERE u.key_id = ANY ($1::text[]) AND u.project_id = k.project_id
    AND u.hour >= date_trunc('month', now() AT TIME ZONE o.timezone) AT TIME ZONE o.timezone
GROUP BY 1
"""


class KeyRow(msgspec.Struct, frozen=True):
    id: str
    name: str
    public_id: str
    project_id: str
    project: str
    allowed_models: list[str] | None
    created_by: str | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    disabled_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    grace_until: datetime | None
    allowed_addresses: list[str] | None


class Beside(msgspec.Struct):
    """The last 24 hours, the present one first, and this month's spend."""

    calls: dict[int, int] = {}
    nusd: dict[int, int] = {}
    month_nusd: int = 0


async def by_id(connection: Connection, key_id: str) -> KeyRow | None:
    row = await connection.fetchrow(KEY_BY_ID, key_id)
    return None if row is None else KeyRow(*row)


async def by_public_id(connection: Connection, public_id: str) -> KeyRow | None:
    """Also by the public id of a secret that was rotated away."""
    row = await connection.fetchrow(KEY_BY_PUBLIC_ID, public_id)
    if row is None:
        return await by_id(connection, await connection.fetchval(KEY_OF_OLD_PUBLIC_ID, public_id) or "")
    return KeyRow(*row)


async def after(
    connection: Connection, project_id: str, place: tuple[datetime, str] | None, status: str | None, limit: int
) -> list[KeyRow]:
    """Newest first."""
    created, last_id = place or (None, None)
    return [KeyRow(*row) for row in await connection.fetch(KEYS_AFTER, project_id, created, last_id, status, limit)]


async def beside(connection: Connection, ids: list[str]) -> dict[str, Beside]:
    found = {key_id: Beside() for key_id in ids}
    for key_id, hours_ago, calls, nusd in await connection.fetch(USE_OF_KEYS, ids):
        found[key_id].calls[hours_ago], found[key_id].nusd[hours_ago] = calls, nusd
    for key_id, nusd in await connection.fetch(SPEND_OF_KEYS, ids):
        found[key_id].month_nusd = nusd
    return found


async def lock(connection: Connection, key_id: str) -> None:
    """Two changes of one key: one after the other."""
    await connection.execute(LOCK_KEY, key_id)


async def insert(
    connection: Connection, key_id: str, project_id: str, name: str, public_id: str, digest: bytes,
    allowed_models: list[str] | None, allowed_addresses: list[str] | None, by: str, expires_at: datetime | None,
) -> None:  # fmt: skip
    """`allowed_addresses` in their one form."""
    await connection.execute(
        INSERT_KEY, key_id, project_id, name, public_id, digest, allowed_models, allowed_addresses, by, expires_at
    )


async def update(
    connection: Connection, key_id: str, name: str, allowed_models: list[str] | None, allowed_addresses: list[str] | None,
    expires_at: datetime | None,
) -> None:  # fmt: skip
    await connection.execute(UPDATE_KEY, key_id, name, allowed_models, allowed_addresses, expires_at)


async def switch(connection: Connection, key_id: str, on: bool) -> None:
    await connection.execute(SWITCH_KEY, key_id, on)


async def revoke(connection: Connection, key_id: str) -> None:
    """For ever, and secrets still in their grace along with it."""
    await connection.execute(CUT_GRACE, key_id)
    await connection.execute(REVOKE_KEY, key_id)


async def rotate(connection: Connection, key_id: str, public_id: str, digest: bytes, grace_s: int) -> None:
    """A new secret on the same row; the present one works on for `grace_s`. Older ones end now."""
    await connection.execute(CUT_GRACE, key_id)
    if grace_s > 0:
        await connection.execute(KEEP_OLD_SECRET, key_id, grace_s)
    await connection.execute(NEW_SECRET, key_id, public_id, digest)
