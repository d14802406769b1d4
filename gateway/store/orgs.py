"""Organisations: who owns projects, users and billing."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.store.pool import Connection

ORG_OF_USER = """
SELECT o.id, o.slug, o.name, o.timezone, o.created_at, o.updated_at FROM orgs o
LEFT JOIN memberships m ON m.org_id = o.id AND m.user_id = $1
ORDER BY m.user_id IS NULL, o.created_at, o.id
LIMIT 1
"""

ORGS = """
SELECT id, slug, name, timezone, created_at, updated_at FROM orgs
WHERE $1::text IS NULL OR id > $1
ORDER BY id
LIMIT $2
"""

ORG_BY_NAME = "SELECT id, slug, name, timezone, created_at, updated_at FROM orgs WHERE id = $1 OR slug = $1"

KNOWS_ZONE = "SELECT known_zone($1) = $1"

LOCK_ORG = "SELECT 1 FROM orgs WHERE id = $1 FOR UPDATE"

UPDATE_ORG = """
UPDATE orgs SET name = $2, timezone = $3, updated_at = now() WHERE id = $1
"""


class OrgRow(msgspec.Struct, frozen=True):
    id: str
    slug: str
    name: str
    timezone: str
    created_at: datetime
    updated_at: datetime


async def of_user(connection: Connection, user_id: str | None) -> OrgRow | None:
    """The user's org; for a token of nobody's, the gateway's first."""
    row = await connection.fetchrow(ORG_OF_USER, user_id)
    return None if row is None else OrgRow(*row)


async def after(connection: Connection, last_id: str | None, limit: int) -> list[OrgRow]:
    return [OrgRow(*row) for row in await connection.fetch(ORGS, last_id, limit)]


async def by_name(connection: Connection, name: str) -> OrgRow | None:
    """By id or slug."""
    row = await connection.fetchrow(ORG_BY_NAME, name)
    return None if row is None else OrgRow(*row)


async def knows_zone(connection: Connection, timezone: str) -> bool:
    """Postgres has zones of its own, which may be older than Python's: budgets and days are reckoned with both."""
    return bool(await connection.fetchval(KNOWS_ZONE, timezone))


async def update(connection: Connection, org_id: str, name: str, timezone: str) -> None:
    await connection.execute(UPDATE_ORG, org_id, name, timezone)
