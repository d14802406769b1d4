"""Who changed what: a chain in which every entry's hash covers the one before it. Append-only."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.store.locks import AUDIT_LOCK
from gateway.store.pool import Connection

LOCK_CHAIN = "SELECT pg_advisory_xact_lock($1)"

CHAIN_HEAD = "SELECT seq, hash, clock_timestamp() FROM audit_log ORDER BY seq DESC LIMIT 1"

LAST_SEQ = "SELECT coalesce(max(seq), 0) FROM audit_log"

CLOCK = "SELECT clock_timestamp()"

APPEND_ENTRY = """
INSERT INTO audit_log (seq, id, created_at, actor, actor_id, via, action, object, object_id, object_name, project_id, before, after, reason,
    result, request_id, previous, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::jsonb, $13::jsonb, $14, $15, $16, $17, $18)
"""

ENTRY_COLUMNS = """
SELECT a.seq, a.id, a.created_at, a.actor, a.actor_id, a.via, a.action, a.object, a.object_id, a.object_name, a.project_id, a.before::text,
       a.after::text, a.reason, a.result, a.request_id, a.undone_by, a.previous, a.hash, coalesce(p.slug, '')
FROM audit_log a
LEFT JOIN projects p ON p.id = a.project_id
"""

CHAIN_AFTER = ENTRY_COLUMNS + "WHERE a.seq > $1 ORDER BY a.seq LIMIT $2"

ENTRY_BY_ID = ENTRY_COLUMNS + "WHERE a.id = $1"

SEARCH_ENTRIES = (
    ENTRY_COLUMNS
    + """
WHERE ($1::bigint IS NULL OR a.seq < $1)
    AND ($2::text IS NULL OR a.actor = $2 OR a.actor_id = $2)
    AND ($3::text IS NULL OR a.action = $3 OR a.action LIKE replace(replace($3, '_', '\\_'), '*', '%'))
    AND ($4::text IS NULL OR a.object = $4 OR a.object_id = $4 OR a.object_name = $4)
    AND ($5::text IS NULL OR a.project_id = $5 OR p.slug = $5)
    AND ($6::text IS NULL OR a.result = $6)
    AND ($7::timestamptz IS NULL OR a.created_at >= $7)
    AND ($8::timestamptz IS NULL OR a.created_at < $8)
    AND ($9::text[] IS NULL OR concat_ws(' ', a.actor, a.action, a.object, a.object_id, a.object_name, p.slug, a.reason) ILIKE ALL ($9))
ORDER BY a.seq DESC
LIMIT $10
"""
)

AGE_OF_ENTRY = "SELECT extract(epoch FROM clock_timestamp() - created_at)::float8 FROM audit_log WHERE id = $1"

MARK_UNDONE = "UPDATE audit_log SET undone_by = $2 WHERE id = $1 AND undone_by IS NULL RETURNING 1"


class EntryRow(msgspec.Struct, frozen=True):
    """A row as it is stored; `before` and `after` are JSON text."""

    seq: int
    id: str
    created_at: datetime
    actor: str
    actor_id: str | None
    via: str
    action: str
    object: str
    object_id: str | None
    object_name: str | None
    project_id: str | None
    before: str | None
    after: str | None
    reason: str | None
    result: str
    request_id: str | None
    undone_by: str | None
    previous: bytes
    hash: bytes
    project: str


class Search(msgspec.Struct):
    """What `SEARCH_ENTRIES` looks for; None: anything. `action` may end in `*`."""

    before_seq: int | None = None
    actor: str | None = None
    action: str | None = None
    object: str | None = None
    project: str | None = None
    result: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    words: list[str] | None = None
    limit: int = 100


async def lock_head(connection: Connection) -> tuple[int, bytes, datetime]:
    """The end of the chain, which nobody else can append to until this transaction ends; and the time."""
    await connection.execute(LOCK_CHAIN, AUDIT_LOCK)
    row = await connection.fetchrow(CHAIN_HEAD)
    return (0, b"", await connection.fetchval(CLOCK)) if row is None else tuple(row)


async def append(connection: Connection, row: EntryRow) -> None:
    await connection.execute(
        APPEND_ENTRY, row.seq, row.id, row.created_at, row.actor, row.actor_id, row.via, row.action, row.object, row.object_id,
        row.object_name, row.project_id, row.before, row.after, row.reason, row.result, row.request_id, row.previous, row.hash,
    )  # fmt: skip


async def search(connection: Connection, asked: Search) -> list[EntryRow]:
    words = None if not asked.words else ["%" + _escaped(word) + "%" for word in asked.words]
    rows = await connection.fetch(
        SEARCH_ENTRIES, asked.before_seq, asked.actor, asked.action, asked.object, asked.project, asked.result, asked.since, asked.until,
        words, asked.limit,
    )  # fmt: skip
    return [EntryRow(*row) for row in rows]


async def by_id(connection: Connection, entry_id: str) -> EntryRow | None:
    row = await connection.fetchrow(ENTRY_BY_ID, entry_id)
    return None if row is None else EntryRow(*row)


async def last_seq(connection: Connection) -> int:
    """Of the newest entry; 0 before the first."""
    return int(await connection.fetchval(LAST_SEQ))


async def chain_after(connection: Connection, seq: int, limit: int) -> list[EntryRow]:
    return [EntryRow(*row) for row in await connection.fetch(CHAIN_AFTER, seq, limit)]


async def age_s(connection: Connection, entry_id: str) -> float:
    """By the database's clock."""
    return float(await connection.fetchval(AGE_OF_ENTRY, entry_id))


async def mark_undone(connection: Connection, entry_id: str, by: str) -> bool:
    """False: somebody has undone it already."""
    return bool(await connection.fetchval(MARK_UNDONE, entry_id, by))


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
