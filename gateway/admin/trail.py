"""The audit's entries: searched, verified, and undone while they are fresh."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec

from gateway.admin import asked as a
from gateway.admin import audit, keys, limits, projects, providers, settings, tiers
from gateway.admin.decode import refuse
from gateway.admin.desk import Ask, Nothing
from gateway.admin.guard import require_role
from gateway.admin.paging import decode_cursor, page
from gateway.admin.schema.audit import AuditEntry, Chain
from gateway.admin.schema.limits import Limits
from gateway.admin.schema.record import Changed, Page
from gateway.catalog import Scope
from gateway.errors import Conflict, NotFound
from gateway.instants import iso, read
from gateway.store import audit as store

UNDO_S = 30.0
PARAMETERS = ("actor", "action", "object", "project", "result")

Undo = Callable[[Ask[Any, Any], store.EntryRow, dict[str, Any], dict[str, Any]], Awaitable[None]]


async def search(ask: Ask[Nothing, a.AuditQuery]) -> Page[AuditEntry]:
    """Newest first."""
    place = decode_cursor(ask.query.cursor, tuple[int])
    wanted = _search(ask.query, ask.desk.clock())
    wanted.before_seq, wanted.limit = place[0] if place else None, ask.query.limit + 1
    listed = page(await store.search(ask.db, wanted), ask.query.limit, lambda row: (row.seq,))
    return Page(data=[told(row) for row in listed.data], next=listed.next)


async def get(ask: Ask[Nothing, Nothing]) -> AuditEntry:
    return told(await _entry(ask))


async def verify(ask: Ask[Nothing, Nothing]) -> Chain:
    """Every hash from the first entry on; `broken_at` is the first that does not fit."""
    entries, head, broken_at = await audit.verify(ask.db)
    return Chain(ok=broken_at is None, entries=entries, head=head.hex(), broken_at=broken_at)


async def undo(ask: Ask[Nothing, Nothing]) -> Changed:
    """Puts back what an entry changed, for 30 seconds after it, as long as nobody has changed the same thing again."""
    row = await _entry(ask)
    act = UNDO.get(row.action)
    if act is None or row.result != "ok":
        raise Conflict(f"{row.action} can't be undone. What can: {', '.join(UNDO)}.")
    age_s = await store.age_s(ask.db, row.id)
    if age_s > UNDO_S:
        raise Conflict(f"An act can be undone for {UNDO_S:.0f} s; this one is {age_s:.0f} s old.")
    before, after = json.loads(row.before or "{}"), json.loads(row.after or "{}")
    audit_id = audit.record(
        ask, f"undo.{row.action}", (row.object, row.object_id, row.object_name), project_id=row.project_id, before=after, after=before
    )  # fmt: skip
    if not await store.mark_undone(ask.db, row.id, audit_id):
        raise Conflict("It is undone already.")
    await act(ask, row, before, after)
    return Changed(audit_id=audit_id)


async def _undo_key(ask: Ask[Any, Any], row: store.EntryRow, before: dict[str, Any], after: dict[str, Any]) -> None:
    await keys.undo_switch(ask, row.object_id or "", before["enabled"], after["enabled"])


async def _undo_settings(
    ask: Ask[Any, Any], row: store.EntryRow, before: dict[str, Any], after: dict[str, Any]
) -> None:
    changed = {name: value for name, value in before.items() if name != "version"}
    await settings.undo(ask, row.project_id or "", changed, after["version"])


async def _undo_limits(ask: Ask[Any, Any], row: store.EntryRow, before: dict[str, Any], after: dict[str, Any]) -> None:
    scope = msgspec.convert(row.object, Scope)
    if scope == "org":
        require_role(ask.who, "owner")  # as for setting them
    was, now = msgspec.convert(before, Limits), msgspec.convert(after, Limits)
    await limits.undo(ask, scope, row.object_id or "", was, now)


async def _undo_archive(ask: Ask[Any, Any], row: store.EntryRow, before: dict[str, Any], after: dict[str, Any]) -> None:
    await projects.undo_archive(ask, row.object_id or "", before["status"], after["status"])


async def _undo_provider(
    ask: Ask[Any, Any], row: store.EntryRow, before: dict[str, Any], after: dict[str, Any]
) -> None:
    if before != after:
        await providers.undo_switch(ask, row.object_id or "", before["enabled"], after["enabled"])


async def _undo_tier(ask: Ask[Any, Any], row: store.EntryRow, before: dict[str, Any], after: dict[str, Any]) -> None:
    await tiers.undo(ask, row.object_id or "", before["targets"], after["targets"])


UNDO: dict[str, Undo] = {
    "key.disable": _undo_key,
    "key.enable": _undo_key,
    "settings.update": _undo_settings,
    "settings.restore": _undo_settings,
    "limits.update": _undo_limits,
    "project.archive": _undo_archive,
    "project.restore": _undo_archive,
    "provider.enable": _undo_provider,
    "provider.disable": _undo_provider,
    "tier.update": _undo_tier,
}


async def _entry(ask: Ask[Any, Any]) -> store.EntryRow:
    wanted = ask.path["a"]
    row = await store.by_id(ask.db, wanted)
    if row is None:
        raise NotFound(f"The audit has no entry {wanted[:80]!r}.")
    return row


def _search(query: a.AuditQuery, now: float) -> store.Search:
    """Parameters, and the same names inside `filter` (`actor:lena action:key.* nightly`); other words are looked for in the text."""
    found = store.Search(**{name: getattr(query, name) for name in PARAMETERS})
    found.since, found.until = _time("since", query.since, now), _time("until", query.until, now)
    words: list[str] = []
    for word in (query.filter or "").split():
        name, colon, value = word.partition(":")
        if colon and name in PARAMETERS:
            setattr(found, name, value)
        elif colon and name in ("since", "until"):
            setattr(found, name, _time("filter", value, now))
        else:
            words.append(word)
    found.words = words or None
    return found


def _time(field: str, text: str | None, now: float) -> datetime | None:
    if text is None:
        return None
    try:
        return read(text, now, sign=-1)
    except ValueError as error:
        refuse([(field, str(error))])
        raise AssertionError from None


def told(row: store.EntryRow) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=iso(row.created_at) or "",
        actor=row.actor,
        action=row.action,
        object_type=row.object,
        object_id=row.object_id or "",
        object_name=row.object_name or "",
        project=row.project or row.project_id or "",
        origin=row.via,
        result=row.result,
        reason=row.reason or "",
        request_id=row.request_id or "",
        undone_by=row.undone_by,
        before=json.loads(row.before) if row.before else None,
        after=json.loads(row.after) if row.after else None,
        digest=row.hash.hex(),
    )
