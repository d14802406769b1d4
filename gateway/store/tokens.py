"""Tokens of administrators. Only their digest is stored."""

from __future__ import annotations

import msgspec

from gateway.admin.schema.people import Role
from gateway.store.pool import Connection

TOKEN_BY_DIGEST = """
SELECT t.id, t.name, t.digest, t.role, t.user_id,
       ARRAY(SELECT m.role FROM memberships m WHERE m.user_id = t.user_id),
       t.last_used_at IS NULL OR t.last_used_at < now() - interval '1 minute'
FROM admin_tokens t
LEFT JOIN users u ON u.id = t.user_id
WHERE t.digest = $1 AND t.disabled_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now()) AND u.disabled_at IS NULL
"""

TOUCH_TOKEN = "UPDATE admin_tokens SET last_used_at = now() WHERE id = $1"

ANY_TOKEN = """
SELECT EXISTS (
    SELECT FROM admin_tokens t
    LEFT JOIN users u ON u.id = t.user_id
    WHERE t.disabled_at IS NULL AND t.role = 'owner' AND (t.expires_at IS NULL OR t.expires_at > now())
        AND (t.user_id IS NULL OR (u.disabled_at IS NULL AND EXISTS (
            SELECT FROM memberships m WHERE m.user_id = t.user_id AND m.role = 'owner')))
)
"""


class TokenRow(msgspec.Struct, frozen=True):
    """`roles`: what its user may be at most, in any org; a token of nobody's has no such bound."""

    id: str
    name: str
    digest: bytes
    role: Role
    user_id: str | None
    roles: list[Role]


async def find(connection: Connection, digest: bytes) -> TokenRow | None:
    """The token, if it may be used now; its `last_used_at` is kept to the minute."""
    row = await connection.fetchrow(TOKEN_BY_DIGEST, digest)
    if row is None:
        return None
    *fields, is_stale = row
    if is_stale:
        await connection.execute(TOUCH_TOKEN, fields[0])
    return TokenRow(*fields)


async def exists_owner(connection: Connection) -> bool:
    """Whether anybody could administer this gateway."""
    return bool(await connection.fetchval(ANY_TOKEN))
