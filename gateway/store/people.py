"""Users, their membership of orgs, and the tokens of administrators."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.admin.schema.people import Role
from gateway.store.pool import Connection

USER_COLUMNS = """
SELECT u.id, u.email, u.name, m.role, m.org_id, u.disabled_at IS NOT NULL, u.created_at
FROM users u
LEFT JOIN LATERAL (SELECT role, org_id FROM memberships x WHERE x.user_id = u.id ORDER BY x.created_at LIMIT 1) m ON true
"""

USERS_AFTER = USER_COLUMNS + "WHERE $1::text IS NULL OR u.email > $1 ORDER BY u.email LIMIT $2"

USER_BY_NAME = USER_COLUMNS + "WHERE u.id = $1 OR u.email = $1"

LOCK_PEOPLE = "LOCK TABLE admin_tokens IN SHARE ROW EXCLUSIVE MODE"

INSERT_USER = "INSERT INTO users (id, email, name) VALUES ($1, $2, $3)"

PUT_MEMBERSHIP = """
INSERT INTO memberships (org_id, user_id, role) VALUES ($1, $2, $3)
ON CONFLICT (org_id, user_id) DO UPDATE SET role = excluded.role
"""

DROP_MEMBERSHIP = "DELETE FROM memberships WHERE user_id = $1"

UPDATE_USER = """
UPDATE users SET name = $2, disabled_at = CASE WHEN $3 THEN coalesce(disabled_at, now()) END WHERE id = $1
"""

TOKEN_COLUMNS = """
SELECT t.id, t.name, t.public_id, t.role, t.user_id, t.created_by, t.created_at, t.expires_at, t.disabled_at, t.last_used_at,
       u.disabled_at IS NOT NULL
FROM admin_tokens t
LEFT JOIN users u ON u.id = t.user_id
"""

TOKENS_AFTER = TOKEN_COLUMNS + "WHERE $1::text IS NULL OR t.id > $1 ORDER BY t.id LIMIT $2"

TOKEN_BY_ID = TOKEN_COLUMNS + "WHERE t.id = $1"

INSERT_TOKEN = """
INSERT INTO admin_tokens (id, name, digest, public_id, role, user_id, created_by, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""

END_TOKEN = "UPDATE admin_tokens SET disabled_at = coalesce(disabled_at, now()) WHERE id = $1"


class UserRow(msgspec.Struct, frozen=True):
    id: str
    email: str
    name: str
    role: Role | None
    org_id: str | None
    disabled: bool
    created_at: datetime


class TokenRow(msgspec.Struct, frozen=True):
    id: str
    name: str
    public_id: str
    role: Role
    user_id: str | None
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    disabled_at: datetime | None
    last_used_at: datetime | None
    user_is_disabled: bool


async def users_after(connection: Connection, last_email: str | None, limit: int) -> list[UserRow]:
    return [UserRow(*row) for row in await connection.fetch(USERS_AFTER, last_email, limit)]


async def user_by_name(connection: Connection, name: str) -> UserRow | None:
    """By id or email."""
    row = await connection.fetchrow(USER_BY_NAME, name)
    return None if row is None else UserRow(*row)


async def lock(connection: Connection) -> None:
    """One change of people at a time, so that the last owner can't vanish between two of them."""
    await connection.execute(LOCK_PEOPLE)


async def insert_user(connection: Connection, user_id: str, email: str, name: str) -> None:
    await connection.execute(INSERT_USER, user_id, email, name)


async def update_user(connection: Connection, user_id: str, name: str, disabled: bool) -> None:
    await connection.execute(UPDATE_USER, user_id, name, disabled)


async def set_role(connection: Connection, user_id: str, org_id: str, role: Role | None) -> None:
    """None: no member of any org."""
    if role is None:
        await connection.execute(DROP_MEMBERSHIP, user_id)
    else:
        await connection.execute(PUT_MEMBERSHIP, org_id, user_id, role)


async def tokens_after(connection: Connection, last_id: str | None, limit: int) -> list[TokenRow]:
    return [TokenRow(*row) for row in await connection.fetch(TOKENS_AFTER, last_id, limit)]


async def token_by_id(connection: Connection, token_id: str) -> TokenRow | None:
    row = await connection.fetchrow(TOKEN_BY_ID, token_id)
    return None if row is None else TokenRow(*row)


async def insert_token(
    connection: Connection, token_id: str, name: str, digest: bytes, public_id: str, role: Role, user_id: str | None, by: str,
    expires_at: datetime | None,
) -> None:  # fmt: skip
    await connection.execute(INSERT_TOKEN, token_id, name, digest, public_id, role, user_id, by, expires_at)


async def end_token(connection: Connection, token_id: str) -> None:
    await connection.execute(END_TOKEN, token_id)
