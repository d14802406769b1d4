"""Recompute what calls cost, after a price was missing or wrong: the dry run first, then the same with `apply`."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway import ids, instants
from gateway.admin import audit
from gateway.admin.asked import Asked, Text, When
from gateway.admin.decode import refuse
from gateway.admin.desk import Ask, Nothing
from gateway.admin.schema.upkeep import RepricedModel, Repricing
from gateway.build import prices_by_model
from gateway.errors import Conflict
from gateway.reprice import PricedRow, PriceTable, Tally, repriced
from gateway.store import repricing as store
from gateway.store.pool import Connection

CONNECT_TIMEOUT_S = 5.0

Tallies = dict[tuple[str, str], Tally]


class RepriceBody(Asked, kw_only=True):
    """`since` and `until` (default: now) are times or lengths such as `7d`. Nothing is changed without `apply`."""

    since: When
    until: When | None = None
    model: Text | None = None
    provider: Text | None = None
    apply: bool = False


async def reprice(ask: Ask[RepriceBody, Nothing]) -> Repricing:
    span = _span(ask.body, ask.desk.clock())
    async with ask.desk.pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
        if not ask.body.apply:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                tallies = await _walk(connection, span)
            return _told(span, tallies, None)
        if not await store.try_lock(connection):
            raise Conflict("Another repricing is under way; try again when it is done.")
        try:
            return await _apply(ask, connection, span)
        finally:
            await store.unlock(connection)


async def _walk(connection: Connection, span: store.Span) -> Tallies:
    """What would change, in one snapshot."""
    prices = await _price_table(connection)
    tallies: Tallies = {}
    after: store.Place | None = None
    while rows := await store.batch(connection, span, after, lock=False):
        for row in rows:
            _tally(tallies, row, repriced(row, prices))
        after = (rows[-1].created_at, rows[-1].call_id)
    return tallies


async def _apply(ask: Ask[RepriceBody, Nothing], connection: Connection, span: store.Span) -> Repricing:
    """Batch by batch, each a transaction of its own: calls go on being recorded in between. Run again, it changes nothing more."""
    repricing_id = ids.new("rpr")
    await store.begin(connection, repricing_id, span, ask.who.name)
    prices = await _price_table(connection)
    tallies: Tallies = {}
    after: store.Place | None = None
    while True:
        async with connection.transaction():
            rows = await store.batch(connection, span, after, lock=True)
            if not rows:
                break
            of_batch: Tallies = {}
            changes: list[tuple[PricedRow, PricedRow]] = []
            for row in rows:
                new = repriced(row, prices)
                _tally(of_batch, row, new)
                if new is not None:
                    changes.append((row, new))
            await store.write(connection, changes)
            await store.note(connection, repricing_id, _sum(of_batch))
        for pair, tally in of_batch.items():
            tallies.setdefault(pair, Tally()).add(tally)
        after = (rows[-1].created_at, rows[-1].call_id)
    told = _told(span, tallies, repricing_id)
    async with connection.transaction():
        await store.finish(connection, repricing_id)
        audit.record(
            ask,
            "usage.reprice",
            ("repricing", repricing_id, None),
            before={"cost_nusd": told.before_nusd, "unpriced_calls": told.unpriced_before},
            after={"cost_nusd": told.after_nusd, "unpriced_calls": told.unpriced_after, "changed": told.changed},
        )
        await audit.append(connection, ask)
    return told


async def _price_table(connection: Connection) -> PriceTable:
    names, models, prices = await store.price_rows(connection)
    by_id = prices_by_model(models, prices)
    return PriceTable({(names[provider], model): dated for (provider, model), dated in by_id.items()})


def _tally(tallies: Tallies, row: PricedRow, new: PricedRow | None) -> None:
    tallies.setdefault((row.provider or "", row.model or ""), Tally()).count(row, new)


def _sum(tallies: Tallies) -> Tally:
    total = Tally()
    for tally in tallies.values():
        total.add(tally)
    return total


def _told(span: store.Span, tallies: Tallies, repricing_id: str | None) -> Repricing:
    models = [
        RepricedModel(provider=provider, model=model, **msgspec.structs.asdict(tally))
        for (provider, model), tally in sorted(tallies.items())
    ]
    return Repricing(
        id=repricing_id,
        applied=repricing_id is not None,
        since=instants.iso(span.since) or "",
        until=instants.iso(span.until) or "",
        models=models,
        **msgspec.structs.asdict(_sum(tallies)),
    )


def _span(body: RepriceBody, now: float) -> store.Span:
    def read(name: str, text: str | None) -> datetime:
        try:
            return instants.read(text or "0s", now, sign=-1)
        except ValueError as error:
            refuse([(name, str(error))])
            raise

    since, until = read("since", body.since), read("until", body.until)
    if since >= until:
        refuse([("since", "it must lie before until")])
    return store.Span(since, until, body.provider, body.model)
