"""Models and prices. A price is dated and never changed: what a call has paid stays what it was."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from gateway import ids
from gateway.admin import asked as a
from gateway.admin import audit
from gateway.admin.decode import refuse
from gateway.admin.desk import Ask, Nothing, Reply
from gateway.admin.paging import decode_cursor, page
from gateway.admin.schema.models import Model, Price, SavedModel, SavedPrice
from gateway.admin.schema.record import Page
from gateway.errors import Conflict, NotFound
from gateway.instants import iso, read
from gateway.ledger import nusd, usd
from gateway.store import models as store
from gateway.store import providers

M = TypeVar("M", bound=Model)
P = TypeVar("P", bound=Price)
AMOUNTS = (
    "input_usd", "output_usd", "cached_input_usd", "cache_write_usd", "above_input_usd", "above_output_usd", "above_cached_input_usd",
    "above_cache_write_usd",
)  # fmt: skip
MOST_NUSD = 10**15
"""A million dollars per million tokens: more is a slip of the keyboard."""


async def list_models(ask: Ask[Nothing, a.ModelsQuery]) -> Page[Model]:
    q = ask.query
    await _require_provider(ask, q.provider)
    rows = await store.after(ask.db, q.provider, decode_cursor(q.cursor, tuple[str, str]), q.limit + 1)
    listed = page(rows, q.limit, lambda row: (row.id, row.provider))
    return Page(data=[_told(row, Model) for row in listed.data], next=listed.next)


async def _require_provider(ask: Ask[Any, Any], name: str | None) -> None:
    """An empty list would say that it has none."""
    if name and not await providers.all_of(ask.db, name):
        raise NotFound(f"There is no provider {name[:80]!r}.", param="provider")


async def get(ask: Ask[Nothing, Nothing]) -> Reply:
    row = await _model_of(ask)
    return Reply(_told(row, Model), version=row.version)


async def create(ask: Ask[a.NewModel, Nothing]) -> SavedModel:
    body = ask.body
    found = await providers.all_of(ask.db, body.provider)
    if not found:
        refuse([("provider", f"there is no provider {body.provider[:80]!r}")])
    if "/" in body.id and body.id.partition("/")[0] == found[0].name:
        refuse([("id", "without the provider's name before it")])
    if "*" in body.id:
        refuse([("id", "a * belongs to patterns")])
    row = store.ModelRow(
        body.id, found[0].name, found[0].id, body.upstream_name or body.id, body.mode, body.max_input_tokens, body.max_output_tokens,
        body.enabled, body.is_free, 1, None, None, None, None, 0,
    )  # fmt: skip
    await store.insert(ask.db, row)
    audit_id = audit.record(ask, "model.create", ("model", row.id, f"{row.provider}/{row.id}"), after=_content(row))
    return _saved(row, audit_id)


async def update(ask: Ask[a.ModelChange, Nothing]) -> SavedModel:
    row = await _model_of(ask)
    await store.lock(ask.db, row)
    row = await _model_of(ask)
    ask.require_match(row.version)
    given = {name: value for name in ask.body.__struct_fields__ if (value := getattr(ask.body, name)) is not UNSET}
    after = msgspec.structs.replace(row, **given)
    await store.update(ask.db, after)
    was, now = _content(row), _content(after)
    changes = [name for name in was if was[name] != now[name]]
    audit_id = audit.record(
        ask, "model.update", ("model", row.id, f"{row.provider}/{row.id}"),
        before={name: was[name] for name in changes}, after={name: now[name] for name in changes},
    )  # fmt: skip
    return _saved(await _model_of(ask), audit_id)


async def list_prices(ask: Ask[Nothing, a.PricesQuery]) -> Page[Price]:
    q = ask.query
    await _require_provider(ask, q.provider)
    place = decode_cursor(q.cursor, tuple[str, str, datetime, str])
    rows = await store.prices_after(ask.db, q.provider, q.model, place, q.limit + 1)
    listed = page(rows, q.limit, lambda row: (row.provider, row.model, row.effective_from.isoformat(), row.id))
    return Page(data=[_priced(row, Price) for row in listed.data], next=listed.next)


async def create_price(ask: Ask[a.NewPrice, Nothing]) -> SavedPrice:
    """From `effective_from` on, never for the past: calls made meanwhile have paid the old one (`optyx reprice` corrects those)."""
    body, now = ask.body, ask.desk.clock()
    model = await store.by_name(ask.db, body.model, body.provider)
    if model is None:
        refuse([("model", f"{body.provider[:80]} has no model {body.model[:80]!r}")])
        raise AssertionError
    row = store.PriceRow(
        id=ids.new("pri"), provider=model.provider, model=model.id, effective_from=_since(body.effective_from, now),
        **_amounts(body), above_tokens=body.above_tokens, source=body.source, created_at=datetime.fromtimestamp(now, UTC),
    )  # fmt: skip
    newest = await store.newest_call(ask.db, row.provider, row.model)
    if row.effective_from.timestamp() < now - 60 and newest is not None and newest > row.effective_from:
        raise Conflict(
            f"{row.provider}/{row.model} has been called since {iso(row.effective_from)}, and a price that was paid is never changed."
            " Give a price from now on, and reprice the period (optyx reprice)."
        )
    await store.insert_price(ask.db, model.provider_id, row)
    told = _priced(row, SavedPrice)
    told.audit_id = audit.record(
        ask,
        "price.create",
        ("price", row.id, f"{row.provider}/{row.model}"),
        after=msgspec.to_builtins(_priced(row, Price)),
    )
    return told


def _since(text: str | None, now: float) -> datetime:
    if text is None:
        return datetime.fromtimestamp(now, UTC)
    try:
        return read(text, now)
    except ValueError as error:
        refuse([("effective_from", str(error))])
        raise AssertionError from None


def _amounts(body: a.NewPrice) -> dict[str, Any]:
    found: dict[str, int | None] = {}
    problems: list[tuple[str, str]] = []
    for name in AMOUNTS:
        text, amount = getattr(body, name), None
        try:
            amount = None if text is None else nusd(text)
        except ValueError as error:
            problems.append((name, str(error)))
        if amount is not None and not 0 <= amount <= MOST_NUSD:
            problems.append((name, "dollars per million tokens, from 0.00 to 1000000.00"))
        found[name.removesuffix("usd") + "nusd"] = amount
    above = [found["above_input_nusd"], found["above_output_nusd"], body.above_tokens]
    if any(one is not None for one in above) and None in above:
        problems.append(("above_tokens", "above_tokens, above_input_usd and above_output_usd go together"))
    if problems:
        refuse(problems)
    return found


async def _model_of(ask: Ask[Any, Any]) -> store.ModelRow:
    """`{model}` or `{provider}/{model}`. Raises NotFound."""
    wanted = ask.path["id"]
    row = await store.by_name(ask.db, wanted)
    if row is None and "/" in wanted:
        provider, _, model = wanted.partition("/")
        row = await store.by_name(ask.db, model, provider)
    if row is None:
        raise NotFound(f"There is no model {wanted[:80]!r}.", code="model_not_found")
    return row


def _content(row: store.ModelRow) -> dict[str, Any]:
    names = ("upstream_name", "mode", "max_input_tokens", "max_output_tokens", "enabled", "is_free")
    return {name: getattr(row, name) for name in names}


def _told(row: store.ModelRow, kind: type[M]) -> M:
    return kind(
        id=row.id,
        provider=row.provider,
        upstream_name=row.upstream_name,
        mode=row.mode,
        max_input_tokens=row.max_input_tokens,
        max_output_tokens=row.max_output_tokens,
        enabled=row.enabled,
        is_free=row.is_free,
        version=row.version,
        price_id=row.price_id,
        input_nusd=0 if row.is_free else row.input_nusd,
        output_nusd=0 if row.is_free else row.output_nusd,
        cached_nusd=0 if row.is_free else row.cached_nusd,
        requests_24h=row.calls,
    )


def _saved(row: store.ModelRow, audit_id: str) -> SavedModel:
    saved = _told(row, SavedModel)
    saved.audit_id = audit_id
    return saved


def _priced(row: store.PriceRow, kind: type[P]) -> P:
    def dollars(amount: int | None) -> str | None:
        return None if amount is None else usd(amount)

    return kind(
        id=row.id,
        provider=row.provider,
        model=row.model,
        effective_from=iso(row.effective_from) or "",
        input_usd=usd(row.input_nusd),
        output_usd=usd(row.output_nusd),
        cached_input_usd=dollars(row.cached_input_nusd),
        cache_write_usd=dollars(row.cache_write_nusd),
        above_tokens=row.above_tokens,
        above_input_usd=dollars(row.above_input_nusd),
        above_output_usd=dollars(row.above_output_nusd),
        above_cached_input_usd=dollars(row.above_cached_input_nusd),
        above_cache_write_usd=dollars(row.above_cache_write_nusd),
        source=row.source,
        created_at=iso(row.created_at) or "",
    )
