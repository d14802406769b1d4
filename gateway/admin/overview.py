"""The first screen in one call: traffic, money, what is in flight, how providers fare, who uses most, what needs somebody.

Computed at most once a second on a worker, whoever asks: everybody who asks meanwhile waits for the same answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from gateway.admin import attention
from gateway.admin.desk import Ask, Desk, Nothing
from gateway.admin.gauges import tightest
from gateway.admin.provider_state import SLOW_FACTOR, SLOW_MS, states
from gateway.admin.schema.overview import Attention, InFlight, Overview, Rates, Spend, TopRow
from gateway.admin.schema.providers import TargetHealth
from gateway.admin.schema.record import Page
from gateway.admin.shared import Shared
from gateway.admin.usage import zone_of
from gateway.catalog import Scope
from gateway.errors import Unavailable
from gateway.instants import iso
from gateway.store import attention as heartbeats
from gateway.store import glance, log_search, providers, usage
from gateway.store.glance import STEPS, Figures, Glance
from gateway.store.log_filter import Condition, Filter, Term
from gateway.store.pool import Connection

Window = Literal["5m", "15m", "1h", "24h"]
SPANS = {"5m": timedelta(minutes=5), "15m": timedelta(minutes=15), "1h": timedelta(hours=1), "24h": timedelta(hours=24)}
LONGEST_S = 10.0
TOP = 10
LATEST = 8
FAILING = 0.5
ERRORS = Filter((Condition((Term("status", ">=", 400),)),))


class OverviewQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    window: Window = "15m"


async def show(ask: Ask[Nothing, OverviewQuery]) -> Overview:
    window, user_id, desk = ask.query.window, ask.who.user_id, ask.desk
    return await desk.shared.once(("overview", window, user_id or ""), lambda: _overview(desk, window, user_id))


async def needs(ask: Ask[Nothing, Nothing]) -> Page[Attention]:
    return Page(data=await _attention(ask.desk))


@contextlib.asynccontextmanager
async def _looking(desk: Desk) -> AsyncIterator[Connection]:
    """One snapshot of nothing but reading, cut off when it takes too long."""
    try:
        async with desk.pool.acquire() as db, log_search.bounded(db, LONGEST_S, may_read_all=True):
            yield db
    except asyncpg.QueryCanceledError:
        raise Unavailable(
            "The database is too busy to look at the log now.", code="overloaded", retry_after_s=5
        ) from None


async def _attention(desk: Desk) -> list[Attention]:
    async def make() -> list[Attention]:
        async with _looking(desk) as db:
            return await attention.look(db, desk.catalog, desk.clock())

    return await desk.shared.once(("attention",), make)


async def _overview(desk: Desk, window: Window, user_id: str | None) -> Overview:
    needed = asyncio.ensure_future(_attention(desk))
    try:
        async with _looking(desk) as db:
            found = await _figures(db, desk, window, await zone_of(db, user_id))
        async with desk.pool.acquire() as db:
            latest = msgspec.structs.replace(ERRORS, since=desk.clock() - SPANS[window].total_seconds())
            found.latest_errors = (await log_search.search(db, latest, limit=LATEST)).rows
        found.attention = await needed
    finally:
        needed.cancel()
    return found


async def _figures(db: Connection, desk: Desk, window: Window, zone: ZoneInfo) -> Overview:
    now = datetime.fromtimestamp(desk.clock(), UTC)
    span = SPANS[window]
    midnight, later = _day(now, zone), _hour_after(now)
    projects = await usage.dearest(db, "project", midnight, later, TOP)
    keys = await usage.dearest(db, "key", midnight, later, TOP)
    models = await usage.dearest(db, "model", midnight, later, TOP)
    seen = await glance.look(db, now - span, span, list(projects), list(keys))
    before = await glance.how_many(db, now - span - timedelta(hours=1), span)
    minutes = span.total_seconds() / 60
    rows = {
        by: _rows(top, by, await usage.names(db, by, top), seen, minutes)
        for by, top in (("project", projects), ("key", keys), ("model", models))
    }
    await _budgets(db, desk.clock(), "project", rows["project"])
    await _budgets(db, desk.clock(), "key", rows["key"])
    prices_at = await glance.prices_at(db)
    return Overview(
        window=window,
        generated_at=iso(now) or "",
        timezone=zone.key,
        price_table_at=iso(prices_at),
        rates=_rates(seen, span, before),
        spend=await _spend(db, now, zone),
        in_flight=await _in_flight(db, desk.shared),
        providers=await _providers(db, desk, seen, span),
        models=_models(seen, span),
        top_projects=rows["project"],
        top_keys=rows["key"],
        top_models=rows["model"],
    )


def _rates(seen: Glance, span: timedelta, before: float) -> Rates:
    total, seconds, minutes = seen.total, span.total_seconds(), span.total_seconds() / 60
    step_s = seconds / STEPS
    calls = total.calls or 1.0
    return Rates(
        requests_per_s=total.calls / seconds,
        requests_per_s_before=before / seconds,
        requests=round(total.calls),
        looked_at=total.looked_at,
        errors=round(total.errors),
        errors_4xx=round(total.errors - total.errors_5xx),
        errors_5xx=round(total.errors_5xx),
        top_error=total.top_error or "",
        latency_p50_ms=total.latency[0],
        latency_p95_ms=total.latency[1],
        ttft_p50_ms=total.ttft[0],
        ttft_p95_ms=total.ttft[1],
        overhead_p95_ms=total.overhead_p95_ms,
        stream_share=total.streams / calls,
        prompt_tokens_per_min=total.prompt_tokens / minutes,
        completion_tokens_per_min=total.completion_tokens / minutes,
        cached_share=total.cached_tokens / total.prompt_tokens if total.prompt_tokens else 0.0,
        failover_share=total.failovers / calls,
        retry_share=total.retries / calls,
        requests_series=[one.calls / step_s for one in seen.steps],
        errors_series=[one.errors for one in seen.steps],
        latency_series=[one.latency[0] or 0.0 for one in seen.steps],
        ttft_series=[one.ttft[0] or 0.0 for one in seen.steps],
        tokens_series=[(one.prompt_tokens + one.completion_tokens) * 60 / step_s for one in seen.steps],
        failover_series=[one.failovers / one.calls * 100 if one.calls else 0.0 for one in seen.steps],
    )


def _day(now: datetime, zone: ZoneInfo, before: int = 0) -> datetime:
    """When the zone's day began, `before` days ago."""
    here = now.astimezone(zone) - timedelta(days=before)
    return here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).astimezone(UTC)


def _hour_after(now: datetime) -> datetime:
    """The hour under way counts whole: its rollup has everything recorded so far."""
    return now.replace(minute=0, second=0, microsecond=0) + usage.HOUR


async def _spend(db: Connection, now: datetime, zone: ZoneInfo) -> Spend:
    midnight, yesterday = _day(now, zone), _day(now, zone, 1)
    hours = await usage.sums(db, "time", midnight, _hour_after(now))
    spent = sum(one.cost_nusd for one in hours.values())
    whole_day = await usage.sums_by(db, (), yesterday, midnight)
    passed_s, day_s = (now - midnight).total_seconds(), (_day(now, zone, -1) - midnight).total_seconds()
    series: dict[int, float] = {}
    for epoch, one in hours.items():
        at = int((int(epoch) - midnight.timestamp()) // 3600)
        series[at] = series.get(at, 0.0) + one.cost_nusd / 1e9
    return Spend(
        today_nusd=spent,
        yesterday_nusd=sum(one.cost_nusd for one in whole_day.values()),
        forecast_nusd=round(spent * day_s / passed_s) if passed_s >= 3600 else None,
        series=[series.get(hour, 0.0) for hour in range(int(passed_s // 3600) + 1)],
        unpriced_calls=sum(one.unpriced_calls for one in hours.values()),
    )


async def _in_flight(db: Connection, shared: Shared) -> InFlight:
    workers = await heartbeats.live_workers(db)
    calls = sum(worker.state.in_flight for worker in workers)
    shared.in_flight.append(float(calls))
    return InFlight(
        calls=calls,
        streams=sum(worker.state.streams for worker in workers),
        oldest_s=max((worker.state.oldest_s for worker in workers), default=0.0),
        workers=len(workers),
        series=list(shared.in_flight),
    )


async def _providers(db: Connection, desk: Desk, seen: Glance, span: timedelta) -> list[TargetHealth]:
    """Every provider with its state as all workers see it, and its part of the window."""
    rows = await providers.all_of(db)
    told = await states(db, desk.catalog, rows, seen, span)
    wanted = set(TargetHealth.__struct_fields__)
    return [
        TargetHealth(
            id=row.id, name=row.name,
            **{name: value for name, value in told[row.id].items() if name in wanted},
        )
        for row in rows
    ]  # fmt: skip


def _models(seen: Glance, span: timedelta) -> list[TargetHealth]:
    """The models of the window, the busiest first."""
    groups = seen.groups["model"]
    busiest = sorted((name for name in groups if name), key=lambda name: -groups[name].calls)[: 2 * TOP]
    return [_model(name, groups[name], seen.lines["model"].get(name, []), span) for name in busiest]


def _model(name: str, figures: Figures, series: list[float], span: timedelta) -> TargetHealth:
    p50, p95 = figures.latency
    share = figures.errors_5xx / figures.calls
    is_slow = (p95 or 0.0) > SLOW_MS and (p95 or 0.0) > SLOW_FACTOR * (p50 or 0.0)
    return TargetHealth(
        id=name, name=name, state="failing" if share > FAILING else "slow" if is_slow else "ok", error_share=figures.errors / figures.calls,
        latency_p50_ms=p50, latency_p95_ms=p95, ttft_p95_ms=figures.ttft[1], requests_per_s=figures.calls / span.total_seconds(),
        last_error=figures.top_error or "", series=series,
    )  # fmt: skip


def _rows(top: dict[str, int], by: str, names: dict[str, str], seen: Glance, minutes: float) -> list[TopRow]:
    """`top`: what each has spent today."""
    return [
        _row(id_, names.get(id_, id_), cost_nusd, seen.groups[by].get(id_) or Figures(), seen.lines[by].get(id_, []), minutes)
        for id_, cost_nusd in top.items()
    ]  # fmt: skip


def _row(id_: str, name: str, today_nusd: int, figures: Figures, series: list[float], minutes: float) -> TopRow:
    return TopRow(
        id=id_,
        name=name,
        requests_per_s=figures.calls / (minutes * 60),
        error_share=figures.errors / figures.calls if figures.calls else 0.0,
        ttft_p95_ms=figures.ttft[1],
        tokens_per_min=(figures.prompt_tokens + figures.completion_tokens) / minutes,
        today_nusd=today_nusd,
        series=series,
    )


async def _budgets(db: Connection, now: float, scope: Scope, rows: list[TopRow]) -> None:
    by_subject = await tightest(db, now, scope, [row.id for row in rows])
    for row in rows:
        budget = by_subject.get(row.id)
        if budget is not None:
            whole = budget.amount_nusd + budget.raise_nusd
            row.budget_share = budget.spent_nusd / whole if whole else 1.0
