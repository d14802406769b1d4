"""Keys: made, switched, rotated, revoked. A key's text is in the answer to its making and to its rotation, and nowhere else, ever."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from gateway import ids, keyring
from gateway.admin import asked as a
from gateway.admin import audit
from gateway.admin.allowing import networks, require_known_models
from gateway.admin.decode import refuse
from gateway.admin.desk import Ask, Nothing, Reply, moment
from gateway.admin.finding import key_of, project_of
from gateway.admin.gauges import tightest
from gateway.admin.paging import decode_cursor, page
from gateway.admin.schema.keys import Key, NewKey, SavedKey
from gateway.admin.schema.record import Page
from gateway.errors import Conflict, NotFound
from gateway.instants import iso, length_s, read
from gateway.store import keys as store
from gateway.store import projects, rules

HOURS = 24
DEFAULT_GRACE_S = 86_400
LONGEST_GRACE_S = 90 * 86_400
K = TypeVar("K", bound=Key)


async def list_keys(ask: Ask[Nothing, a.KeysQuery]) -> Page[Key]:
    project = await project_of(ask)
    q = ask.query
    rows = await store.after(ask.db, project.id, decode_cursor(q.cursor, tuple[datetime, str]), q.status, q.limit + 1)
    listed = page(rows, q.limit, lambda row: (row.created_at.isoformat(), row.id))
    return Page(data=await _told(ask, listed.data, Key), next=listed.next)


async def create(ask: Ask[a.NewKey, Nothing]) -> NewKey:
    project = await project_of(ask)
    if project.archived_at is not None:
        raise Conflict(f"The project {project.slug} is archived; restore it first.")
    return await make(ask, project, ask.body)


async def make(ask: Ask[Any, Any], project: projects.ProjectRow, wanted: a.NewKey) -> NewKey:
    await require_known_models(ask.db, wanted.allowed_models)
    addresses = networks(wanted.allowed_addresses)
    expires_at = expiry_of(wanted.expires_at, ask.desk.clock())
    minted, key_id = keyring.mint(), ids.new("key")
    await store.insert(
        ask.db, key_id, project.id, wanted.name, minted.public_id, minted.digest, wanted.allowed_models, addresses, ask.who.name, expires_at
    )  # fmt: skip
    audit_id = audit.record(
        ask, "key.create", ("key", key_id, wanted.name), project_id=project.id,
        after={
            "name": wanted.name, "public_id": minted.public_id, "expires_at": iso(expires_at), "allowed_models": wanted.allowed_models,
            "allowed_addresses": addresses,
        },
    )  # fmt: skip
    return await _with_text(ask, key_id, minted.text, audit_id)


async def get(ask: Ask[Nothing, Nothing]) -> Reply:
    row = await key_of(ask)
    return Reply((await _told(ask, [row], Key))[0], version=moment(row.updated_at))


async def whois(ask: Ask[Nothing, Nothing]) -> Key:
    """Whose key is it, by the part that may be shown."""
    wanted = ask.path["public_id"].removeprefix(keyring.PREFIX).partition("-")[0]
    row = await store.by_public_id(ask.db, wanted)
    if row is None:
        raise NotFound(f"No key has the public id {wanted[:20]!r}.")
    return (await _told(ask, [row], Key))[0]


async def update(ask: Ask[a.KeyChange, Nothing]) -> SavedKey:
    row, body = await key_of(ask, lock=True), ask.body
    ask.require_match(moment(row.updated_at))
    _require_alive(row)
    name = row.name if body.name is UNSET else body.name
    allowed = row.allowed_models if body.allowed_models is UNSET else body.allowed_models
    addresses = row.allowed_addresses if body.allowed_addresses is UNSET else networks(body.allowed_addresses)
    expires = row.expires_at if body.expires_at is UNSET else expiry_of(body.expires_at, ask.desk.clock())
    if body.allowed_models is not UNSET:
        await require_known_models(ask.db, allowed)
    await store.update(ask.db, row.id, name, allowed, addresses, expires)
    audit_id = audit.record(
        ask, "key.update", ("key", row.id, name), project_id=row.project_id,
        before={
            "name": row.name, "allowed_models": row.allowed_models, "allowed_addresses": row.allowed_addresses,
            "expires_at": iso(row.expires_at),
        },
        after={"name": name, "allowed_models": allowed, "allowed_addresses": addresses, "expires_at": iso(expires)},
    )  # fmt: skip
    return await _saved(ask, row.id, audit_id)


async def disable(ask: Ask[Nothing, Nothing]) -> SavedKey:
    return await _switch(ask, False)


async def enable(ask: Ask[Nothing, Nothing]) -> SavedKey:
    return await _switch(ask, True)


async def revoke(ask: Ask[Nothing, Nothing]) -> SavedKey:
    row = await key_of(ask, lock=True)
    before = status_of(row, ask.desk.clock())
    await store.revoke(ask.db, row.id)
    audit_id = audit.record(
        ask, "key.revoke", ("key", row.id, row.name), project_id=row.project_id,
        before={"status": before}, after={"status": "revoked"},
    )  # fmt: skip
    return await _saved(ask, row.id, audit_id)


async def rotate(ask: Ask[a.Rotation, Nothing]) -> NewKey:
    """A new secret for the same key: limits, spend and logs stay with it. The old secret works on for its grace."""
    row = await key_of(ask, lock=True)
    _require_alive(row)
    if ask.body.public_id not in (None, row.public_id):
        raise Conflict(
            f"The key {row.name!r} was rotated meanwhile: its secret begins with sk-optyx-{row.public_id} now. To rotate it again "
            "ends the secret before that one at once."
        )
    grace_s = _grace(ask.body)
    minted = keyring.mint()
    await store.rotate(ask.db, row.id, minted.public_id, minted.digest, grace_s)
    audit_id = audit.record(
        ask, "key.rotate", ("key", row.id, row.name), project_id=row.project_id,
        before={"public_id": row.public_id}, after={"public_id": minted.public_id, "grace_s": grace_s},
    )  # fmt: skip
    return await _with_text(ask, row.id, minted.text, audit_id)


async def undo_switch(ask: Ask[Any, Any], key_id: str, before: bool, after: bool) -> None:
    await store.lock(ask.db, key_id)
    row = await store.by_id(ask.db, key_id)
    if row is None or row.revoked_at is not None or (row.disabled_at is None) != after:
        raise Conflict("The key was changed again meanwhile.")
    await store.switch(ask.db, key_id, before)


def status_of(row: store.KeyRow, now: float) -> str:
    """One word: what matters most comes first."""
    if row.revoked_at is not None:
        return "revoked"
    if row.disabled_at is not None:
        return "disabled"
    if row.expires_at is not None and row.expires_at.timestamp() <= now:
        return "expired"
    if row.grace_until is not None:
        return "grace"
    return "unused" if row.last_used_at is None else "active"


def _require_alive(row: store.KeyRow) -> None:
    if row.revoked_at is not None:
        raise Conflict(f"The key {row.name!r} is revoked, for ever. Make a new one.")


async def _switch(ask: Ask[Nothing, Nothing], on: bool) -> SavedKey:
    row = await key_of(ask, lock=True)
    _require_alive(row)
    await store.switch(ask.db, row.id, on)
    audit_id = audit.record(
        ask, "key.enable" if on else "key.disable", ("key", row.id, row.name), project_id=row.project_id,
        before={"enabled": row.disabled_at is None}, after={"enabled": on},
    )  # fmt: skip
    return await _saved(ask, row.id, audit_id)


def expiry_of(given: str | None, now: float) -> datetime | None:
    """None and `never`: never. Raises Unprocessable for what is no time to come."""
    if given is None or given == "never":
        return None
    try:
        at = read(given, now)
    except ValueError as error:
        refuse([("expires_at", str(error))])
        raise AssertionError from None
    if at.timestamp() <= now:
        refuse([("expires_at", f"{iso(at)} is past")])
    return at


def _grace(wanted: a.Rotation) -> int:
    if wanted.grace_s is not None and wanted.grace is not None:
        refuse([("grace", "give either grace or grace_s")])
    if wanted.grace is None:
        return DEFAULT_GRACE_S if wanted.grace_s is None else wanted.grace_s
    try:
        seconds = length_s(wanted.grace)
    except ValueError as error:
        refuse([("grace", str(error))])
        raise AssertionError from None
    if seconds > LONGEST_GRACE_S:
        refuse([("grace", "at most 90d")])
    return seconds


async def _with_text(ask: Ask[Any, Any], key_id: str, text: str, audit_id: str) -> NewKey:
    row = await store.by_id(ask.db, key_id)
    assert row is not None
    (made,) = await _told(ask, [row], NewKey)
    made.key, made.audit_id = text, audit_id
    return made


async def _saved(ask: Ask[Any, Any], key_id: str, audit_id: str) -> SavedKey:
    row = await store.by_id(ask.db, key_id)
    assert row is not None
    (saved,) = await _told(ask, [row], SavedKey)
    saved.audit_id = audit_id
    return saved


async def _told(ask: Ask[Any, Any], rows: list[store.KeyRow], kind: type[K]) -> list[K]:
    wanted, now = [row.id for row in rows], ask.desk.clock()
    beside = await store.beside(ask.db, wanted)
    budgets = await tightest(ask.db, now, "key", wanted)
    limits = await rules.plain_of(ask.db, "key", wanted)
    return [
        kind(**_fields(row, beside[row.id], now), budget=budgets.get(row.id), **_rates(limits.get(row.id)))
        for row in rows
    ]


def _fields(row: store.KeyRow, beside: store.Beside, now: float) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "public_id": row.public_id,
        "project_id": row.project_id,
        "project": row.project,
        "status": status_of(row, now),
        "created_at": iso(row.created_at) or "",
        "created_by": row.created_by or "",
        "expires_at": iso(row.expires_at),
        "grace_until": iso(row.grace_until),
        "last_used_at": iso(row.last_used_at),
        "allowed_models": row.allowed_models,
        "allowed_addresses": row.allowed_addresses,
        "requests_24h": sum(beside.calls.values()),
        "cost_nusd": beside.month_nusd,
        "requests_series": [float(beside.calls.get(ago, 0)) for ago in reversed(range(HOURS))] if beside.calls else [],
        "spend_series": [beside.nusd.get(ago, 0) / 1e9 for ago in reversed(range(HOURS))] if beside.nusd else [],
    }


def _rates(limit: rules.PlainRow | None) -> dict[str, Any]:
    return msgspec.structs.asdict(limit) if limit else {}
