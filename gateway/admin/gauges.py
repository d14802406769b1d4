"""Budgets as the screens show them. Every time is computed here: a client never guesses when a window ends."""

from __future__ import annotations

from gateway.admin.schema.limits import Budget
from gateway.catalog import Scope
from gateway.instants import iso, iso_of
from gateway.ledger import usd
from gateway.limits.windows import FOREVER, bounds
from gateway.store import budgets
from gateway.store.ingest import instant
from gateway.store.pool import Connection


async def gauges(
    db: Connection,
    now: float,
    scope: Scope | None = None,
    subjects: list[str] | None = None,
) -> list[Budget]:
    """Two statements, however many budgets there are."""
    return await of_rows(db, now, await budgets.of(db, scope, subjects))


async def of_rows(db: Connection, now: float, rows: list[budgets.BudgetRow]) -> list[Budget]:
    """How it stands with these, in their order."""
    if not rows:
        return []
    windows = [bounds(row.window, row.timezone, now) for row in rows]
    states = await budgets.state_of(db, rows, [instant(start) for start, _ in windows])
    return [_gauge(row, states[row.id], end, now) for row, (_, end) in zip(rows, windows, strict=True)]


async def tightest(db: Connection, now: float, scope: Scope, subjects: list[str]) -> dict[str, Budget]:
    """By subject, the budget of all its calls that is nearest to its end."""
    found: dict[str, Budget] = {}
    for gauge in await gauges(db, now, scope, subjects):
        if gauge.model or gauge.tier:
            continue
        other = found.get(gauge.subject)
        if other is None or (_share(gauge), gauge.amount_nusd) > (_share(other), other.amount_nusd):
            found[gauge.subject] = gauge
    return found


def _gauge(row: budgets.BudgetRow, state: budgets.StateRow, end: float, now: float) -> Budget:
    return Budget(
        id=row.id,
        scope=row.scope,
        subject=row.subject,
        subject_name=row.subject_name,
        model=row.model,
        tier=row.tier,
        amount_usd=usd(row.amount_nusd),
        amount_nusd=row.amount_nusd,
        window=row.window,
        spent_nusd=state.spent_nusd,
        unrecorded_nusd=state.unrecorded_nusd,
        held_nusd=state.held_nusd,
        drawn_nusd=state.lent_nusd,
        resets_at=None if end >= FOREVER else iso_of(end),
        forecast_at=_forecast(row, state, end, now),
        raise_nusd=row.raise_nusd,
        raise_until=iso(row.raise_until),
        soft_percent=row.soft_percent,
        downgrade_percent=row.downgrade_percent,
    )


def _forecast(row: budgets.BudgetRow, state: budgets.StateRow, end: float, now: float) -> str | None:
    """When it is used up if the last 24 hours go on; None: it lasts (or nothing is spent)."""
    left = row.amount_nusd + row.raise_nusd - state.spent_nusd
    if left <= 0:
        return iso_of(now)
    if state.day_nusd <= 0:
        return None
    at = now + left * 86_400 / state.day_nusd
    return iso_of(at) if at < min(end, now + 3_650 * 86_400) else None


def _share(gauge: Budget) -> float:
    whole = gauge.amount_nusd + gauge.raise_nusd
    return gauge.spent_nusd / whole if whole > 0 else 1.0
