"""Tiers: which targets stand behind `fast`, `smart` and `embedding`, and in which order they are tried."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.admin import asked as a
from gateway.admin import audit
from gateway.admin.allowing import Problems, target_problems
from gateway.admin.decode import refuse
from gateway.admin.desk import Ask, Nothing, Reply
from gateway.admin.schema.models import SavedTier, Tier, TierTarget
from gateway.admin.schema.record import Page
from gateway.catalog import Catalog
from gateway.errors import Conflict, NotFound, PreconditionFailed
from gateway.store import tiers as store
from gateway.store.routing import known


async def list_tiers(ask: Ask[Nothing, Nothing]) -> Reply:
    rows = await store.all_of(ask.db)
    return Reply(Page(data=[_told(row, ask.desk.catalog) for row in rows]), version=_version(rows))


async def get(ask: Ask[Nothing, Nothing]) -> Reply:
    row = await _tier_of(ask)
    return Reply(_told(row, ask.desk.catalog), version=row.version)


async def put(ask: Ask[a.TierChange, Nothing]) -> Reply:
    """The targets of one tier, all of them."""
    name = ask.path["t"]
    await store.lock(ask.db, [name])
    row = await _tier_of(ask)
    ask.require_match(row.version)
    _require_good(await target_list_problems(ask, row, ask.body.targets, "targets"))
    audit_id = await _put(ask, row, row.mode, _rows(ask.body.targets))
    saved = await _tier_of(ask)
    return Reply(
        SavedTier(**msgspec.structs.asdict(_told(saved, ask.desk.catalog)), audit_id=audit_id), version=saved.version
    )


async def put_all(ask: Ask[a.TiersChange, Nothing]) -> Reply:
    """Several tiers at once, or none of them. A tier that is new needs a mode; one that is not named stays."""
    asked = _asked(ask.body)
    names = [tier.name for tier in asked]
    if len(set(names)) < len(names):
        refuse([("data", "a tier stands there twice")])
    await store.lock(ask.db, names)
    ask.require_match(_version(await store.all_of(ask.db)))
    there = {row.name: row for row in await store.all_of(ask.db)}
    problems: Problems = []
    for number, tier in enumerate(asked):
        row = there.get(tier.name) or store.TierRow(tier.name, tier.mode or "chat", 0, [])
        if tier.version is not None and tier.version != row.version:
            raise PreconditionFailed(f"The tier {tier.name} was changed meanwhile: it is now version {row.version}.")
        if tier.mode is not None and tier.mode != row.mode:
            problems.append((f"data[{number}].mode", f"the tier {tier.name} is for {row.mode}"))
        problems += await target_list_problems(ask, row, tier.targets, f"data[{number}].targets")
    _require_good(problems)
    for tier in asked:
        row = there.get(tier.name) or store.TierRow(tier.name, tier.mode or "chat", 0, [])
        await _put(ask, row, row.mode, _rows(tier.targets))
    rows = await store.all_of(ask.db)
    return Reply(Page(data=[_told(row, ask.desk.catalog) for row in rows]), version=_version(rows))


def _asked(body: a.TiersChange) -> list[a.TierAsked]:
    """Both forms of the body as one."""
    if body.data is not None:
        if body.name is not None or body.targets is not None:
            refuse([("data", "give either data, or name and targets")])
        return body.data
    if body.name is None or body.targets is None:
        refuse([("data", "give data, or name and targets")])
        raise AssertionError
    return [a.TierAsked(name=body.name, targets=body.targets, mode=body.mode, version=body.version)]


async def undo(ask: Ask[Any, Any], name: str, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    await store.lock(ask.db, [name])
    rows = await store.all_of(ask.db, name)
    if not rows or _targets(rows[0].targets) != after:
        raise Conflict("The tier was changed again meanwhile.")
    await store.put(ask.db, name, rows[0].mode, _rows(msgspec.convert(before, list[a.Target])))


async def target_list_problems(
    ask: Ask[Any, Any], row: store.TierRow, targets: Sequence[a.Target], field: str
) -> Problems:
    plain = [TierTarget(provider=one.provider, model=one.model) for one in targets]
    return target_problems(await known(ask.db), row.name, row.mode, plain, field)


async def _put(ask: Ask[Any, Any], row: store.TierRow, mode: str, targets: list[store.TargetRow]) -> str | None:
    before, after = _targets(row.targets), _targets(targets)
    if before == after:
        return None
    await store.put(ask.db, row.name, mode, targets)
    return audit.record(
        ask, "tier.update", ("tier", row.name, row.name), before={"targets": before}, after={"targets": after}
    )


async def _tier_of(ask: Ask[Any, Any]) -> store.TierRow:
    rows = await store.all_of(ask.db, ask.path["t"])
    if not rows:
        raise NotFound(f"There is no tier {ask.path['t'][:80]!r}.")
    return rows[0]


def _require_good(problems: Problems) -> None:
    if problems:
        refuse(problems)


def _rows(targets: Sequence[a.Target]) -> list[store.TargetRow]:
    return [
        store.TargetRow(one.provider, one.model, msgspec.json.encode(one.timeouts).decode() if one.timeouts else None)
        for one in targets
    ]


def _targets(rows: list[store.TargetRow]) -> list[dict[str, Any]]:
    """As an operator gives them."""
    return [
        {"provider": row.provider, "model": row.model}
        | ({"timeouts": msgspec.json.decode(row.timeouts)} if row.timeouts else {})
        for row in rows
    ]


def _told(row: store.TierRow, catalog: Catalog) -> Tier:
    targets = [TierTarget(**one) for one in _targets(row.targets)]
    first = next((target.model for target in catalog.tiers.get(row.name, ()) if target.model.provider.is_sandbox), None)
    stand_in = TierTarget(provider=first.provider.name, model=first.id) if first is not None else None
    return Tier(name=row.name, mode=row.mode, targets=targets, stand_in=stand_in, version=row.version)


def _version(rows: list[store.TierRow]) -> str:
    return hashlib.sha256(repr([(row.name, row.version) for row in rows]).encode()).hexdigest()[:16]
