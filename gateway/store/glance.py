"""The calls of a window at a glance, in bounded time: however busy the log is, at most STEPS × PER_STEP rows are looked at.

The window is cut into steps. Of each, the first calls are read along the index; where a step has more than were read, each of them stands
for several, by the part of the step that they cover. So a quiet log is told exactly and a busy one by a sample (`looked_at` < calls).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.store.pool import Connection

STEPS = 60
PER_STEP = 150

LOOK = """
WITH looked AS MATERIALIZED (
    SELECT g.step, r.*, r.created_at - ($1::timestamptz + g.step * $2::interval) AS into_step
    FROM generate_series(0, $3::int - 1) AS g (step)
    CROSS JOIN LATERAL (
        SELECT created_at, coalesce(provider, '') AS provider, coalesce(model, requested_model, '') AS model,
            CASE WHEN project_id = ANY($5::text[]) THEN project_id END AS project_id, CASE WHEN key_id = ANY($6::text[]) THEN key_id END AS key_id,
            status, error_code,
            latency_ms, ttft_ms, overhead_ms, stream, coalesce(prompt_tokens, 0) AS prompt_tokens,
            coalesce(completion_tokens, 0) AS completion_tokens, coalesce(cached_tokens, 0) AS cached_tokens,
            jsonb_array_length(attempts) > 1 AND NOT attempts->0 @> jsonb_build_object('provider', attempts->-1->'provider', 'model',
                attempts->-1->'model') AS is_failover,
            jsonb_array_length(attempts) > 1 AS is_retried
        FROM request_logs
        WHERE created_at >= $1::timestamptz + g.step * $2::interval AND created_at < $1::timestamptz + (g.step + 1) * $2::interval
        ORDER BY created_at
        LIMIT $4::int
    ) r
), weights AS (
    SELECT step, CASE WHEN count(*) < $4 THEN 1.0
        ELSE greatest(1.0, extract(epoch FROM $2::interval)::float8 / greatest(extract(epoch FROM max(into_step))::float8, 1e-6)) END AS weight
    FROM looked
    GROUP BY step
)
"""

OVERALL = """
SELECT GROUPING(l.step, l.provider, l.model, l.project_id, l.key_id), l.step, l.provider, l.model, l.project_id, l.key_id, count(*),
    sum(w.weight), coalesce(sum(w.weight) FILTER (WHERE l.status >= 400), 0), coalesce(sum(w.weight) FILTER (WHERE l.status >= 500), 0),
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY l.latency_ms), percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY l.ttft_ms),
    percentile_cont(0.95) WITHIN GROUP (ORDER BY l.overhead_ms), coalesce(sum(w.weight) FILTER (WHERE l.stream), 0),
    sum(w.weight * l.prompt_tokens)::float8, sum(w.weight * l.completion_tokens)::float8, sum(w.weight * l.cached_tokens)::float8,
    coalesce(sum(w.weight) FILTER (WHERE l.is_failover), 0), coalesce(sum(w.weight) FILTER (WHERE l.is_retried AND NOT l.is_failover), 0),
    mode() WITHIN GROUP (ORDER BY l.error_code) FILTER (WHERE l.status >= 400)
FROM looked l
JOIN weights w USING (step)
GROUP BY GROUPING SETS ((), (l.step), (l.provider), (l.model), (l.project_id), (l.key_id))
"""

LINES = """
UNION ALL
SELECT 32 + GROUPING(l.provider, l.model, l.project_id, l.key_id), l.step, l.provider, l.model, l.project_id, l.key_id, count(*), sum(w.weight),
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM looked l
JOIN weights w USING (step)
GROUP BY GROUPING SETS ((l.step, l.provider), (l.step, l.model), (l.step, l.project_id), (l.step, l.key_id))
"""

HOW_MANY = """
SELECT coalesce(sum(CASE WHEN r.n < $4 THEN r.n ELSE r.n * greatest(1.0, extract(epoch FROM $2::interval)::float8
    / greatest(extract(epoch FROM r.last - ($1::timestamptz + g.step * $2::interval))::float8, 1e-6)) END), 0)::float8
FROM generate_series(0, $3::int - 1) AS g (step)
CROSS JOIN LATERAL (
    SELECT count(*) AS n, max(created_at) AS last FROM (
        SELECT created_at FROM request_logs
        WHERE created_at >= $1::timestamptz + g.step * $2::interval AND created_at < $1::timestamptz + (g.step + 1) * $2::interval
        ORDER BY created_at
        LIMIT $4::int
    ) one
) r
"""

EVERYTHING = LOOK + OVERALL + LINES

PRICES_AT = "SELECT max(greatest(effective_from, created_at)) FROM prices WHERE effective_from <= now()"

LINE, WHOLE = 32, 0b11111
"""What the mask says: a line's point, and the group of everything."""

DIMENSIONS = ("provider", "model", "project", "key")


class Figures(msgspec.Struct):
    """Of a group of calls. Counts are weighted, percentiles are of the calls that were looked at."""

    looked_at: int = 0
    calls: float = 0.0
    errors: float = 0.0
    errors_5xx: float = 0.0
    latency_ms: Sequence[float | None] | None = None
    ttft_ms: Sequence[float | None] | None = None
    overhead_p95_ms: float | None = None
    streams: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    cached_tokens: float = 0.0
    failovers: float = 0.0
    retries: float = 0.0
    top_error: str | None = None

    @property
    def latency(self) -> Sequence[float | None]:
        """p50 and p95, in milliseconds."""
        return self.latency_ms or (None, None)

    @property
    def ttft(self) -> Sequence[float | None]:
        return self.ttft_ms or (None, None)


class Glance(msgspec.Struct):
    """`groups` and `lines` by dimension, then by its value; a line has one number a step."""

    total: Figures
    steps: list[Figures]
    groups: dict[str, dict[str, Figures]]
    lines: dict[str, dict[str, list[float]]]


async def look(
    connection: Connection, since: datetime, span: timedelta, projects: list[str], keys: list[str]
) -> Glance:
    """`projects` and `keys` are the ids that are told apart."""
    nothing: dict[str, dict[str, Any]] = {dimension: {} for dimension in DIMENSIONS}
    glance = Glance(Figures(), [Figures() for _ in range(STEPS)], nothing, {dimension: {} for dimension in DIMENSIONS})
    for mask, at, *rest in await connection.fetch(EVERYTHING, since, span / STEPS, STEPS, PER_STEP, projects, keys):
        dimension = _dimension(mask & 0b1111)
        name = rest[DIMENSIONS.index(dimension)] or "" if dimension else ""
        if mask >= LINE and dimension:
            glance.lines[dimension].setdefault(name, [0.0] * STEPS)[at] = rest[5]
        elif dimension:
            glance.groups[dimension][name] = Figures(*rest[4:])
        elif mask != WHOLE:
            glance.steps[at] = Figures(*rest[4:])
        elif rest[4]:
            glance.total = Figures(*rest[4:])
    return glance


async def how_many(connection: Connection, since: datetime, span: timedelta) -> float:
    """About how many calls there were, as `look` counts them."""
    return float(await connection.fetchval(HOW_MANY, since, span / STEPS, STEPS, PER_STEP))


async def prices_at(connection: Connection) -> datetime | None:
    """When the newest price in force began, or was put in if that was later."""
    found: Any = await connection.fetchval(PRICES_AT)
    return found if isinstance(found, datetime) else None


def _dimension(mask: int) -> str | None:
    """GROUPING sets a bit for each column that is not grouped by."""
    return {0b0111: "provider", 0b1011: "model", 0b1101: "project", 0b1110: "key"}.get(mask)
