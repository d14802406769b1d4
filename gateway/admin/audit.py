"""What was changed, by whom and why, as a chain: each entry's hash is SHA-256(previous hash || canonical JSON of the entry).

Handlers collect entries with `record`; `dispatch` appends them at the end of the same transaction, so that the chain's one end is held for
the shortest time and a change without its entry can't be.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import UTC
from typing import Any

import msgspec

from gateway.admin.desk import Ask
from gateway.store import audit as store
from gateway.store.pool import Connection

BATCH = 200
"""Entries checked between two turns of the loop: about 10 ms of work."""


class Entry(msgspec.Struct, kw_only=True):
    """One act. `before` and `after` hold what changed (and what an undo needs), never a secret."""

    id: str
    action: str
    object: str
    object_id: str | None = None
    object_name: str | None = None
    project_id: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    result: str = "ok"


def record(
    ask: Ask[Any, Any],
    action: str,
    object_: tuple[str, str | None, str | None],
    *,
    project_id: str | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    result: str = "ok",
) -> str:
    """`object_`: what kind of thing, its id, its name. Returns the entry's id, which `/undo` takes."""
    kind, object_id, name = object_
    entry = Entry(
        id=_new_id(ask.desk.clock()), action=action, object=kind, object_id=object_id, object_name=name, project_id=project_id,
        before=before, after=after, result=result,
    )  # fmt: skip
    ask.entries.append(entry)
    return entry.id


async def append(connection: Connection, ask: Ask[Any, Any]) -> None:
    """Writes what was collected; the last thing in a transaction."""
    if not ask.entries:
        return
    seq, previous, now = await store.lock_head(connection)
    for entry in ask.entries:
        seq += 1
        row = store.EntryRow(
            seq, entry.id, now, ask.who.name, ask.who.token_id, ask.via, entry.action, entry.object, entry.object_id, entry.object_name,
            entry.project_id, _text(entry.before), _text(entry.after), ask.reason, entry.result, ask.request_id, None, previous, b"", "",
        )  # fmt: skip
        previous = digest(row)
        await store.append(connection, msgspec.structs.replace(row, hash=previous))


def digest(row: store.EntryRow) -> bytes:
    """What the entry's hash must be. JSON is compared as values: Postgres keeps jsonb in an order of its own."""
    told = {
        "seq": row.seq, "id": row.id, "at": row.created_at.astimezone(UTC).isoformat(timespec="microseconds"), "actor": row.actor,
        "actor_id": row.actor_id, "via": row.via, "action": row.action, "object": row.object, "object_id": row.object_id,
        "object_name": row.object_name, "project_id": row.project_id, "before": _value(row.before), "after": _value(row.after),
        "reason": row.reason, "result": row.result, "request_id": row.request_id,
    }  # fmt: skip
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(row.previous + canonical.encode()).digest()


async def verify(connection: Connection) -> tuple[int, bytes, str | None]:
    """Entries checked, the head's hash, and the id of the first entry that does not fit (None: the chain is whole)."""
    seq, previous = 0, b""
    while True:
        rows = await store.chain_after(connection, seq, BATCH)
        for row in rows:
            if row.seq != seq + 1 or row.previous != previous or row.hash != digest(row):
                return seq, previous, row.id
            seq, previous = row.seq, row.hash
        if len(rows) < BATCH:
            return seq, previous, None


def _new_id(now: float) -> str:
    """Grows with time, as far as clocks do."""
    return f"aud_{int(now * 1e6):014x}{secrets.token_hex(3)}"


def _text(value: dict[str, Any] | None) -> str | None:
    """Plain JSON: times become text before they are hashed."""
    return None if value is None else msgspec.json.encode(value).decode()


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)
