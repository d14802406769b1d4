"""Providers: where calls go. Credentials go in and never come out; a base URL is checked; an operator may switch, the owner changes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from gateway import ids
from gateway.addresses import refused_url
from gateway.admin import asked as a
from gateway.admin import audit
from gateway.admin.decode import refuse
from gateway.admin.desk import Ask, Desk, Nothing, Reply
from gateway.admin.guard import require_role
from gateway.admin.provider_state import effect, states
from gateway.admin.schema.providers import Provider, SavedProvider
from gateway.admin.schema.record import Changed, Page
from gateway.catalog import Catalog
from gateway.errors import Conflict, NotFound
from gateway.instants import iso
from gateway.store import providers as store
from gateway.store.pool import Connection

_VARIABLE = re.compile(r"env:(?!OPTYX_|GATEWAY_)[A-Z][A-Z0-9_]*(KEY|TOKEN|SECRET)")
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)  # the database says when
P = TypeVar("P", bound=Provider)


async def list_providers(ask: Ask[Nothing, Nothing]) -> Page[Provider]:
    return Page(data=await told(ask.db, ask.desk, await store.all_of(ask.db), Provider))


async def get(ask: Ask[Nothing, Nothing]) -> Reply:
    row = await provider_of(ask)
    return Reply((await told(ask.db, ask.desk, [row], Provider))[0], version=row.version)


async def create(ask: Ask[a.NewProvider, Nothing]) -> SavedProvider:
    body = ask.body
    _require_url(body.base_url)
    if body.credential is not None and body.credential_source is not None:
        refuse([("credential", "give either credential or credential_source")])
    _require_variable(body.credential_source)
    provider_id = ids.new("prv")
    sealed = None if body.credential is None else _seal(ask, provider_id, 1, body.credential)
    row = store.ProviderRow(
        id=provider_id, name=body.name, kind=body.kind, base_url=body.base_url.rstrip("/"),
        credential_source="sealed" if sealed else body.credential_source or "none", credential_version=1 if sealed else 0,
        enabled=body.enabled, is_sandbox=False, timeouts=_timeouts("{}", body.timeouts), max_connections=body.max_connections,
        on_disconnect=body.on_disconnect, position=body.position, version=1, created_at=_NEVER, updated_at=_NEVER, models=0,
    )  # fmt: skip
    await store.insert(ask.db, row, sealed)
    audit_id = audit.record(ask, "provider.create", ("provider", row.id, row.name), after=_content(row))
    return await _saved(ask, row.id, audit_id)


async def update(ask: Ask[a.ProviderChange, Nothing]) -> SavedProvider:
    """What is not given stays. A credential belongs to its address: another server needs it given again."""
    body = ask.body
    given = {name for name in body.__struct_fields__ if getattr(body, name) is not UNSET}
    if given - {"enabled"}:
        require_role(ask.who, "owner")
    await store.lock(ask.db, ask.path["id"])
    row = await provider_of(ask)
    ask.require_match(row.version)
    if not given:
        return await _saved(ask, row.id, None)
    after = _changed(row, body)
    if body.credential is not UNSET:
        version = row.credential_version + 1
        await store.set_credential(ask.db, row.id, _seal(ask, row.id, version, body.credential), version)
        after = msgspec.structs.replace(after, credential_source="sealed", credential_version=version)
    await store.update(ask.db, after)
    was, now = _content(row), _content(after)
    changes = [name for name in was if was[name] != now[name]]
    action = "provider.update" if given != {"enabled"} else "provider.enable" if after.enabled else "provider.disable"
    audit_id = audit.record(
        ask, action, ("provider", row.id, row.name),
        before={name: was[name] for name in changes}, after={name: now[name] for name in changes},
    )  # fmt: skip
    return await _saved(ask, row.id, audit_id)


async def enable(ask: Ask[Nothing, Nothing]) -> SavedProvider:
    return await _switch(ask, True)


async def disable(ask: Ask[Nothing, Nothing]) -> SavedProvider:
    """The answer's `effect` says which tiers go elsewhere and which have nowhere to go."""
    return await _switch(ask, False)


async def delete(ask: Ask[Nothing, Nothing]) -> Changed:
    await store.lock(ask.db, ask.path["id"])
    row = await provider_of(ask)
    used = await store.tiers_of(ask.db, row.id)
    if used:
        raise Conflict(f"{row.name} is a target of the tiers {', '.join(used)}; take it out of them first.")
    await store.delete(ask.db, row.id)
    return Changed(audit_id=audit.record(ask, "provider.delete", ("provider", row.id, row.name), before=_content(row)))


async def close_circuit(ask: Ask[Nothing, Nothing]) -> Changed:
    """On every worker of every machine: calls go to it again at once."""
    row = await provider_of(ask)
    await store.close_circuits(ask.db, row.id)
    return Changed(
        audit_id=audit.record(ask, "circuit.close", ("provider", row.id, row.name), after={"circuit": "closed"})
    )


async def undo_switch(ask: Ask[Any, Any], provider_id: str, before: bool, after: bool) -> None:
    await store.lock(ask.db, provider_id)
    rows = await store.all_of(ask.db, provider_id)
    if not rows or rows[0].enabled != after:
        raise Conflict("The provider was changed again meanwhile.")
    await store.update(ask.db, msgspec.structs.replace(rows[0], enabled=before))


async def provider_of(ask: Ask[Any, Any]) -> store.ProviderRow:
    """The provider of the path, by id or name. Raises NotFound."""
    wanted = ask.path["id"]
    rows = await store.all_of(ask.db, wanted)
    if not rows:
        raise NotFound(f"There is no provider {wanted[:80]!r}.")
    return rows[0]


async def _switch(ask: Ask[Any, Any], on: bool) -> SavedProvider:
    await store.lock(ask.db, ask.path["id"])
    row = await provider_of(ask)
    await store.update(ask.db, msgspec.structs.replace(row, enabled=on))
    audit_id = audit.record(
        ask, "provider.enable" if on else "provider.disable", ("provider", row.id, row.name),
        before={"enabled": row.enabled}, after={"enabled": on},
    )  # fmt: skip
    return await _saved(ask, row.id, audit_id)


def _changed(row: store.ProviderRow, body: a.ProviderChange) -> store.ProviderRow:
    given = {
        name: value
        for name in ("enabled", "max_connections", "on_disconnect", "position", "credential_source")
        if (value := getattr(body, name)) is not UNSET
    }
    if body.base_url is not UNSET:
        _require_url(body.base_url)
        given["base_url"] = body.base_url.rstrip("/")
        moves = _origin(given["base_url"]) != _origin(row.base_url)
        if moves and row.credential_source == "sealed" and body.credential is UNSET and body.credential_source is UNSET:
            refuse(
                [
                    (
                        "base_url",
                        "the stored credential belongs to the old server: give credential (or credential_source) too",
                    )
                ]
            )
    if body.credential is not UNSET and body.credential_source is not UNSET:
        refuse([("credential", "give either credential or credential_source")])
    _require_variable(given.get("credential_source"))
    if body.timeouts is not UNSET:
        given["timeouts"] = _timeouts(row.timeouts, body.timeouts)
    return msgspec.structs.replace(row, **given)


def _require_url(url: str) -> None:
    why = refused_url(url)
    if why is not None:
        refuse([("base_url", why)])


def _require_variable(source: str | None) -> None:
    """An owner's word must not send the gateway's own secrets to a server of theirs."""
    if source is not None and source != "none" and not _VARIABLE.fullmatch(source):
        refuse([("credential_source", "env: and a variable of a provider, whose name ends in KEY, TOKEN or SECRET")])


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3]).lower()


def _seal(ask: Ask[Any, Any], provider_id: str, version: int, credential: str) -> bytes:
    if ask.desk.sealer is None:
        refuse([(
            "credential",
            "storing one needs OPTYX_SECRET_KEY (head -c 32 /dev/urandom | base64) on every machine; set it and start again, or name a "
            "variable with credential_source",
        )])  # fmt: skip
        raise AssertionError
    if any(not 0x20 < ord(letter) < 0x7F for letter in credential):
        refuse([("credential", "it holds a space or a character that no credential has")])
    return ask.desk.sealer.seal(credential.encode(), f"provider {provider_id} {version}")


def _timeouts(text: str, change: a.Timeouts | None) -> str:
    """What is set of them, as JSON text."""
    kept = msgspec.json.decode(text, type=dict[str, int | None])
    return msgspec.json.encode({**kept, **(msgspec.to_builtins(change) if change else {})}).decode()


def _content(row: store.ProviderRow) -> dict[str, Any]:
    """What the audit may say: of the credential only where it is and how often it changed."""
    return {
        "kind": row.kind,
        "base_url": row.base_url,
        "credential": _credential(row),
        "credential_version": row.credential_version,
        "enabled": row.enabled,
        "timeouts": msgspec.json.decode(row.timeouts),
        "max_connections": row.max_connections,
        "on_disconnect": row.on_disconnect,
        "position": row.position,
    }


def _credential(row: store.ProviderRow) -> str:
    return {"none": "", "sealed": "stored"}.get(row.credential_source, row.credential_source)


async def _saved(ask: Ask[Any, Any], provider_id: str, audit_id: str | None) -> SavedProvider:
    (row,) = await store.all_of(ask.db, provider_id)
    (saved,) = await told(ask.db, ask.desk, [row], SavedProvider)
    if not row.enabled and not saved.effect:
        saved.effect = effect(ask.desk.catalog, row.name, is_out=True)
    saved.audit_id = audit_id
    return saved


async def told(db: Connection, desk: Desk, rows: list[store.ProviderRow], kind: type[P]) -> list[P]:
    found = await states(db, desk.catalog, rows)
    return [kind(**_fields(desk.catalog, row), **found[row.id]) for row in rows]


def _fields(catalog: Catalog, row: store.ProviderRow) -> dict[str, Any]:
    known = catalog.providers.get(row.name)
    return {
        "id": row.id,
        "name": row.name,
        "kind": row.kind,
        "base_url": known.base_url if known is not None and row.base_url.startswith("env:") else row.base_url,
        "enabled": row.enabled,
        "credential": _credential(row),
        "models": row.models,
        "timeouts": msgspec.json.decode(row.timeouts),
        "max_connections": row.max_connections,
        "on_disconnect": row.on_disconnect,
        "is_sandbox": row.is_sandbox,
        "position": row.position,
        "version": row.version,
        "created_at": iso(row.created_at) or "",
        "updated_at": iso(row.updated_at) or "",
    }
