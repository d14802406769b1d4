"""Rows and everything that was summed from them, moved together: a batch of repriced calls is one transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from gateway.reprice import PricedRow, Tally
from gateway.store import catalog, ingest
from gateway.store.locks import BUDGET_LOCK, REPRICE_LOCK
from gateway.store.pool import Connection

BATCH = 2_000
NIL = UUID(int=0)

PROVIDER_NAMES = "SELECT id, name FROM providers"

ROWS_TO_PRICE = """
SELECT created_at, call_id, org_id, project_id, key_id, "user", tier, provider, model, usage_source, prompt_tokens, completion_tokens,
    cached_tokens, cache_write_tokens, total_tokens, cost_nusd, price_id, attempts::text
FROM request_logs
WHERE created_at >= $1 AND created_at < $2 AND (created_at, call_id) > ($3, $4)
    AND (total_tokens IS NOT NULL OR cost_nusd IS NOT NULL)
    AND (($5::text IS NULL AND $6::text IS NULL)
        OR (($5::text IS NULL OR provider = $5) AND ($6::text IS NULL OR model = $6))
        OR attempts @> jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('provider', $5::text, 'model', $6::text))))
ORDER BY created_at, call_id
LIMIT $7
"""

ROWS_TO_REPRICE = ROWS_TO_PRICE + "FOR UPDATE"

LOCK_BUDGETS_SHARED = "SELECT pg_advisory_xact_lock_shared($1)"

WRITE_COSTS = """
UPDATE request_logs r SET cost_nusd = g.cost_nusd, price_id = g.price_id, attempts = g.attempts::jsonb
FROM unnest($1::timestamptz[], $2::uuid[], $3::bigint[], $4::text[], $5::text[]) AS g (created_at, call_id, cost_nusd, price_id, attempts)
WHERE r.created_at = g.created_at AND r.call_id = g.call_id
"""

MOVE_SUMS = """
WITH given AS (
    SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[],
        $10::bigint[]) AS g (created_at, org_id, project_id, key_id, provider, model, tier, usage_source, cost_nusd, unpriced)
), hours AS (
    INSERT INTO usage_hourly AS u (hour, org_id, project_id, key_id, provider, model, tier, usage_source, cost_nusd, unpriced_calls)
    SELECT date_trunc('hour', created_at, 'UTC'), min(org_id), project_id, key_id, coalesce(provider, ''), coalesce(model, ''),
        coalesce(tier, ''), usage_source, sum(cost_nusd), sum(unpriced)
    FROM given
    GROUP BY 1, 3, 4, 5, 6, 7, 8
    ORDER BY 1, 3, 4, 5, 6, 7, 8
    ON CONFLICT (hour, project_id, key_id, provider, model, tier, usage_source) DO UPDATE SET
        cost_nusd = u.cost_nusd + excluded.cost_nusd, unpriced_calls = u.unpriced_calls + excluded.unpriced_calls
), keys AS (
    INSERT INTO key_usage AS k (key_id, last_used_at, cost_nusd)
    SELECT key_id, max(created_at), sum(cost_nusd)
    FROM given
    GROUP BY key_id
    ORDER BY key_id
    ON CONFLICT (key_id) DO UPDATE SET cost_nusd = k.cost_nusd + excluded.cost_nusd
)
SELECT count(*) FROM given
"""
"""One statement of the same shape as the logbook's: both take hours, keys and days in one order, and never wait for each other in a circle."""

TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
UNLOCK = "SELECT pg_advisory_unlock($1)"

BEGIN_REPRICING = """
INSERT INTO repricings (id, period_start, period_end, rows_changed, before_nusd, after_nusd, created_by, provider, model)
VALUES ($1, $2, $3, 0, 0, 0, $4, $5, $6)
"""
NOTE_PROGRESS = """
UPDATE repricings SET rows_seen = rows_seen + $2, rows_changed = rows_changed + $3, before_nusd = before_nusd + $4, after_nusd = after_nusd + $5
WHERE id = $1
"""
FINISH_REPRICING = "UPDATE repricings SET finished_at = now() WHERE id = $1"


class Span(msgspec.Struct, frozen=True):
    """Which rows: `since` inclusive, `until` exclusive; None: every provider, every model."""

    since: datetime
    until: datetime
    provider: str | None = None
    model: str | None = None


Place = tuple[datetime, UUID]


async def price_rows(connection: Connection) -> tuple[dict[str, str], list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Provider ids by name, rows of models and of prices, as `build.prices_by_model` takes them."""
    names = {row[0]: row[1] for row in await connection.fetch(PROVIDER_NAMES)}
    models = [tuple(row) for row in await connection.fetch(catalog.MODEL_ROWS)]
    prices = [tuple(row) for row in await connection.fetch(catalog.PRICE_ROWS)]
    return names, models, prices


async def batch(connection: Connection, span: Span, after: Place | None, *, lock: bool) -> list[PricedRow]:
    """The next rows in order of time. `lock`: for a change, inside its transaction; new budget windows wait until it is over."""
    if lock:
        await connection.execute(LOCK_BUDGETS_SHARED, BUDGET_LOCK)
    place = (span.since, NIL) if after is None else after
    statement = ROWS_TO_REPRICE if lock else ROWS_TO_PRICE
    rows = await connection.fetch(statement, span.since, span.until, *place, span.provider, span.model, BATCH)
    return [PricedRow(*row) for row in rows]


async def write(connection: Connection, changes: list[tuple[PricedRow, PricedRow]]) -> None:
    """Rows before and after: their costs, and by how much every sum they are part of moves. Inside the transaction of `batch`."""
    if not changes:
        return
    after = [new for _, new in changes]
    await connection.execute(
        WRITE_COSTS,
        [row.created_at for row in after],
        [row.call_id for row in after],
        [row.cost_nusd for row in after],
        [row.price_id for row in after],
        [row.attempts for row in after],
    )
    moved = [(new.cost_nusd or 0) - (old.cost_nusd or 0) for old, new in changes]
    unpriced = [new.is_unpriced - old.is_unpriced for old, new in changes]
    names = ("created_at", "org_id", "project_id", "key_id", "provider", "model", "tier", "usage_source")
    await connection.execute(MOVE_SUMS, *([getattr(row, name) for row in after] for name in names), moved, unpriced)
    await ingest.spend(
        connection,
        [{**msgspec.structs.asdict(row), "cost_nusd": by} for row, by in zip(after, moved, strict=True)],
    )


async def try_lock(connection: Connection) -> bool:
    """For as long as the connection: False when another repricing is under way."""
    return bool(await connection.fetchval(TRY_LOCK, REPRICE_LOCK))


async def unlock(connection: Connection) -> None:
    await connection.execute(UNLOCK, REPRICE_LOCK)


async def begin(connection: Connection, repricing_id: str, span: Span, by: str) -> None:
    await connection.execute(BEGIN_REPRICING, repricing_id, span.since, span.until, by, span.provider, span.model)


async def note(connection: Connection, repricing_id: str, tally: Tally) -> None:
    """In the transaction of its batch: what is written down is what was done, also if it ends in the middle."""
    await connection.execute(
        NOTE_PROGRESS, repricing_id, tally.rows, tally.changed, tally.before_nusd, tally.after_nusd
    )


async def finish(connection: Connection, repricing_id: str) -> None:
    await connection.execute(FINISH_REPRICING, repricing_id)
