"""Records into Postgres, exactly once: a batch goes by COPY into a staging table, from there into request_logs, and only rows that were
not there before move the counters, in one transaction with synchronous_commit=on.

COPY costs 3 µs of ours and 9 of Postgres's a row at 500 rows a batch; unnest 10 + 8, executemany 4 + 18 (bench/).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec

from gateway.limits.limits import IngestedCost
from gateway.mending import cleaned, is_plausible, storable
from gateway.records import Final
from gateway.store.locks import BUDGET_LOCK
from gateway.store.pool import Connection

COLUMNS = (
    "created_at", "call_id", "request_id", "org_id", "project_id", "key_id", "endpoint", "tier", "requested_model", "provider", "model",
    "status", "error_code", "end_reason", "stream", "attempts", "prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens",
    "reasoning_tokens", "total_tokens", "usage_source", "cost_nusd", "price_id", "latency_ms", "ttft_ms", "overhead_ms", "user", "tags",
    "gateway_version", "worker_id", "details",
)  # fmt: skip

CREATE_STAGING = """
CREATE TEMP TABLE IF NOT EXISTS staging (LIKE request_logs) ON COMMIT DELETE ROWS
"""
TRIM_STAGING = """
ALTER TABLE staging ALTER seq DROP NOT NULL, ALTER ingest_xid DROP NOT NULL
"""

LOCK_BUDGETS_SHARED = "SELECT pg_advisory_xact_lock_shared($1)"

HORIZON = "SELECT dropped_before FROM retention_horizons WHERE name = 'request_logs'"

MOVE_STAGED = """
WITH fresh AS (
    INSERT INTO request_logs (created_at, call_id, request_id, org_id, project_id, key_id, endpoint, tier, requested_model, provider, model,
        status, error_code, end_reason, stream, attempts, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens,
        reasoning_tokens, total_tokens, usage_source, cost_nusd, price_id, latency_ms, ttft_ms, overhead_ms, "user", tags, gateway_version,
        worker_id, details)
    SELECT created_at, call_id, request_id, org_id, project_id, key_id, endpoint, tier, requested_model, provider, model,
        status, error_code, end_reason, stream, attempts, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens,
        reasoning_tokens, total_tokens, usage_source, cost_nusd, price_id, latency_ms, ttft_ms, overhead_ms, "user", tags, gateway_version,
        worker_id, details
    FROM staging
    ON CONFLICT (created_at, call_id) DO NOTHING
    RETURNING *
), hours AS (
    INSERT INTO usage_hourly AS u (hour, org_id, project_id, key_id, provider, model, tier, usage_source, calls, errors, streams,
        prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, cost_nusd, unpriced_calls, latency_ms_sum)
    SELECT date_trunc('hour', created_at, 'UTC'), min(org_id), project_id, key_id, coalesce(provider, ''), coalesce(model, ''),
        coalesce(tier, ''), usage_source, count(*), count(*) FILTER (WHERE status >= 400), count(*) FILTER (WHERE stream),
        coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0), coalesce(sum(cached_tokens), 0),
        coalesce(sum(reasoning_tokens), 0), coalesce(sum(cost_nusd), 0),
        count(*) FILTER (WHERE cost_nusd IS NULL AND total_tokens > 0), coalesce(sum(latency_ms), 0)
    FROM fresh
    GROUP BY 1, 3, 4, 5, 6, 7, 8
    ORDER BY 1, 3, 4, 5, 6, 7, 8
    ON CONFLICT (hour, project_id, key_id, provider, model, tier, usage_source) DO UPDATE SET
        calls = u.calls + excluded.calls, errors = u.errors + excluded.errors, streams = u.streams + excluded.streams,
        prompt_tokens = u.prompt_tokens + excluded.prompt_tokens, completion_tokens = u.completion_tokens + excluded.completion_tokens,
        cached_tokens = u.cached_tokens + excluded.cached_tokens, reasoning_tokens = u.reasoning_tokens + excluded.reasoning_tokens,
        cost_nusd = u.cost_nusd + excluded.cost_nusd, unpriced_calls = u.unpriced_calls + excluded.unpriced_calls,
        latency_ms_sum = u.latency_ms_sum + excluded.latency_ms_sum
), keys AS (
    INSERT INTO key_usage AS k (key_id, last_used_at, calls, cost_nusd)
    SELECT key_id, max(created_at), count(*), coalesce(sum(cost_nusd), 0)
    FROM fresh
    GROUP BY key_id
    ORDER BY key_id
    ON CONFLICT (key_id) DO UPDATE SET last_used_at = greatest(k.last_used_at, excluded.last_used_at),
        calls = k.calls + excluded.calls, cost_nusd = k.cost_nusd + excluded.cost_nusd
)
SELECT min(created_at) AS created_at, org_id, project_id, key_id, "user", model, tier, sum(cost_nusd)::bigint AS cost_nusd FROM fresh
WHERE cost_nusd > 0
GROUP BY date_bin('15 minutes', created_at, 'epoch'), org_id, project_id, key_id, "user", model, tier
"""
"""What the fresh rows cost, together where no budget can tell them apart: windows begin at a quarter of an hour in every time zone."""

BUDGETS_OF = """
SELECT b.id, b.scope, b.subject, b.model, b.tier FROM budgets b
WHERE (b.scope = 'org' AND b.subject = ANY($1::text[]))
   OR (b.scope IN ('project', 'user') AND b.subject = ANY($2::text[]))
   OR (b.scope = 'key' AND b.subject = ANY($3::text[]))
"""

SPEND = """
WITH given AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[]) AS g (budget_id, subject, created_at, cost_nusd)
), moved AS (
    SELECT w.budget_id, w.subject, w.window_start, sum(g.cost_nusd) AS cost_nusd
    FROM given g
    JOIN budget_windows w ON w.budget_id = g.budget_id AND w.subject = g.subject
        AND g.created_at >= w.window_start AND g.created_at < w.window_end
    GROUP BY 1, 2, 3
), locked AS (
    SELECT w.budget_id, w.subject, w.window_start, m.cost_nusd
    FROM moved m
    JOIN budget_windows w USING (budget_id, subject, window_start)
    ORDER BY w.budget_id COLLATE "C", w.subject COLLATE "C", w.window_start
    FOR UPDATE OF w
)
UPDATE budget_windows w SET spent_nusd = w.spent_nusd + m.cost_nusd
FROM locked m
WHERE w.budget_id = m.budget_id AND w.subject = m.subject AND w.window_start = m.window_start
RETURNING w.budget_id, w.subject, w.window_start, m.cost_nusd, w.spent_nusd
"""

SHRINK_SHARES = """
WITH mine AS (
    SELECT s.budget_id, s.subject, s.window_start, g.cost_nusd
    FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::bigint[]) AS g (budget_id, subject, window_start, cost_nusd)
    JOIN budget_shares s USING (budget_id, subject, window_start)
    WHERE s.worker_id = $1
    ORDER BY s.budget_id COLLATE "C", s.subject COLLATE "C", s.window_start
    FOR UPDATE OF s
)
UPDATE budget_shares s SET amount_nusd = greatest(0, s.amount_nusd - m.cost_nusd), used_nusd = greatest(0, s.used_nusd - m.cost_nusd)
FROM mine m
WHERE s.worker_id = $1 AND s.budget_id = m.budget_id AND s.subject = m.subject AND s.window_start = m.window_start
"""

QUARANTINE = """
INSERT INTO quarantined_records (call_id, worker_id, record, reason) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.encode


async def ingest(connection: Connection, worker_id: str, version: str, finals: list[Final]) -> list[IngestedCost]:
    """One batch in one transaction. Returns what it moved of the worker's own budget shares. Raises asyncpg's errors: on any, nothing
    has happened."""
    rows = [to_row(final, worker_id, version) for final in finals]
    async with connection.transaction():
        await connection.execute("SET LOCAL synchronous_commit = on")
        await connection.execute(LOCK_BUDGETS_SHARED, BUDGET_LOCK)
        horizon = await connection.fetchval(HORIZON)
        if horizon is not None and min(row[0] for row in rows) < horizon:
            await _set_aside_dropped(connection, worker_id, finals, horizon)
            rows = [row for row in rows if row[0] >= horizon]
        await connection.copy_records_to_table("staging", records=rows, columns=COLUMNS)
        fresh = await connection.fetch(MOVE_STAGED)
        return await _move_budgets(connection, worker_id, fresh)


async def _set_aside_dropped(connection: Connection, worker_id: str, finals: list[Final], horizon: datetime) -> None:
    """Records of days that retention has dropped: nobody can tell any more whether they were counted. Kept, not counted."""
    for final in finals:
        if instant(final.created_at) < horizon:
            await quarantine(connection, worker_id, final.call_id, _encode(cleaned(final)), "older than the retention")


async def prepare(connection: Connection) -> None:
    """What a connection needs once before it ingests."""
    await connection.execute(CREATE_STAGING)
    await connection.execute(TRIM_STAGING)


async def ingest_cleaned(
    connection: Connection, worker_id: str, version: str, final: Final, reason: str
) -> list[IngestedCost]:
    """One record as it can be stored, and the original beside it."""
    fresh = storable(final)
    fresh.call_id = str(call_uuid(final.call_id))
    async with connection.transaction():
        await quarantine(connection, worker_id, final.call_id, _encode(cleaned(final)), reason)
        return await ingest(connection, worker_id, version, [fresh])


async def quarantine(connection: Connection, worker_id: str, call_id: str, record: bytes, reason: str) -> None:
    """Keeps a record as it came, once. `call_id` needs not be a UUID."""
    reason = reason.replace("\x00", "\ufffd")[:500]
    await connection.execute(QUARANTINE, call_uuid(call_id), worker_id, record, reason)


def call_uuid(call_id: str) -> UUID:
    try:
        return UUID(call_id)
    except ValueError:
        return uuid5(NAMESPACE_OID, call_id.encode("utf-8", "replace").decode())


async def _move_budgets(connection: Connection, worker_id: str, fresh: list[Any]) -> list[IngestedCost]:
    moved = await spend(connection, fresh)
    if not moved:
        return []
    columns = [list(column) for column in zip(*(tuple(row) for row in moved), strict=True)]
    await connection.execute(
        SHRINK_SHARES, worker_id, columns[0], columns[1], columns[2], [int(cost) for cost in columns[3]]
    )
    return [IngestedCost(row[0], row[1], row[2].timestamp(), int(row[3]), row[4]) for row in moved]


async def spend(connection: Connection, fresh: Iterable[Any]) -> list[Any]:
    """Moves every budget window that counts `fresh` (calls, or sums of calls of one quarter of an hour) by `cost_nusd`; the windows and by
    how much. Under the shared budget lock, so that no window is created meanwhile."""
    paid = [row for row in fresh if row["cost_nusd"]]
    if not paid:
        return []
    budgets = await connection.fetch(
        BUDGETS_OF,
        list({row["org_id"] for row in paid}),
        list({row["project_id"] for row in paid}),
        list({row["key_id"] for row in paid}),
    )
    by_owner: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
    for budget in budgets:
        by_owner[budget["scope"], budget["subject"]].append(budget)
    given = [
        (budget_id, subject, row["created_at"], row["cost_nusd"])
        for row in paid
        for budget_id, subject in _counted_by(row, by_owner)
    ]
    return await connection.fetch(SPEND, *(list(column) for column in zip(*given, strict=True))) if given else []


def _counted_by(row: Any, by_owner: Mapping[tuple[str, str], list[Any]]) -> Iterable[tuple[str, str]]:
    """The budgets that count the calls of `row`, each with whose share of it they use."""
    project_id = row["project_id"]
    for scope, owner in (("org", row["org_id"]), ("project", project_id), ("key", row["key_id"]), ("user", project_id)):
        subject = row["user"] if scope == "user" else owner
        for budget in by_owner.get((scope, owner), ()):
            if subject and budget["model"] in ("", row["model"]) and budget["tier"] in ("", row["tier"]):
                yield budget["id"], subject


def to_row(final: Final, worker_id: str, version: str) -> tuple[Any, ...]:
    """A final as the tuple COPY wants, in the order of COLUMNS. Raises ValueError for what no row may say."""
    if (final.total_tokens or final.cost_nusd) and not is_plausible(final):
        raise ValueError("the tokens or the cost can't be those of one call")
    return (
        instant(final.created_at), final.call_id, final.request_id, final.org_id, final.project_id, final.key_id, final.endpoint,
        final.tier, final.requested_model, final.provider, final.model, final.status, final.error_code, final.end_reason, final.stream,
        _encode(final.attempts).decode(), final.prompt_tokens, final.completion_tokens, final.cached_tokens, final.cache_write_tokens,
        final.reasoning_tokens, final.total_tokens, final.usage_source, final.cost_nusd, final.price_id, final.latency_ms, final.ttft_ms,
        final.overhead_ms, final.user, final.tags, version, worker_id, _json_text(final.details),
    )  # fmt: skip


def _json_text(details: dict[str, object] | msgspec.Raw | None) -> str | None:
    text = _encode(details).decode() if details else "null"
    return None if text == "null" else text


def instant(epoch_s: float) -> datetime:
    """Epoch seconds as a timestamp, to the microsecond and always the same."""
    return _EPOCH + timedelta(microseconds=round(epoch_s * 1e6))
