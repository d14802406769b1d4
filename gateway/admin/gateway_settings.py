"""What an operator sets for the whole gateway."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import UNSET

from gateway.addresses import refused_url
from gateway.admin import asked as a
from gateway.admin import audit
from gateway.admin.decode import refuse
from gateway.admin.desk import Ask, Nothing, Reply
from gateway.admin.schema.settings import GatewaySettings, SavedGatewaySettings
from gateway.store import settings as store


async def get(ask: Ask[Nothing, Nothing]) -> Reply:
    settings = await _read(ask)
    return Reply(settings, version=_version(settings))


async def update(ask: Ask[a.GatewaySettingsChange, Nothing]) -> Reply:
    """null: back to the default."""
    await ask.db.execute(store.LOCK_GATEWAY_SETTINGS)
    before = await _read(ask)
    ask.require_match(_version(before))
    given = {name: value for name in ask.body.__struct_fields__ if (value := getattr(ask.body, name)) is not UNSET}
    if given.get("alert_webhook") is not None and (why := refused_url(given["alert_webhook"].partition("?")[0])):
        refuse([("alert_webhook", why)])
    values = {name: None if value is None else msgspec.json.encode(value).decode() for name, value in given.items()}
    await store.put_gateway(ask.db, values, ask.who.name)
    after = await _read(ask)
    was, now = msgspec.to_builtins(before), msgspec.to_builtins(after)
    changes = [name for name in was if was[name] != now[name]]
    audit_id = audit.record(
        ask, "gateway.settings", ("gateway", None, None),
        before={name: was[name] for name in changes}, after={name: now[name] for name in changes},
    )  # fmt: skip
    return Reply(SavedGatewaySettings(**msgspec.structs.asdict(after), audit_id=audit_id), version=_version(after))


async def _read(ask: Ask[Any, Any]) -> GatewaySettings:
    rows = await store.gateway(ask.db)
    known = {name: msgspec.json.decode(rows[name]) for name in GatewaySettings.__struct_fields__ if name in rows}
    return msgspec.convert(known, GatewaySettings)


def _version(settings: GatewaySettings) -> str:
    return hashlib.sha256(msgspec.json.encode(settings)).hexdigest()[:16]
