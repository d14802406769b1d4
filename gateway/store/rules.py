"""Limits and budgets as an operator sets them; `limits` next door has what the coordinator makes of them."""

from __future__ import annotations

import msgspec

from gateway import ids
from gateway.admin.schema.logs import LogRow
from gateway.store import log_rows
from gateway.store.pool import Connection

PLAIN_LIMITS = """
SELECT subject, rpm, tpm, concurrency FROM limits WHERE scope = $1 AND subject = ANY ($2::text[]) AND model = '' AND tier = ''
"""

LIMITS_OF = (
    "SELECT model, tier, rpm, tpm, concurrency FROM limits WHERE scope = $1 AND subject = $2 ORDER BY model, tier"
)

BUDGETS_SET = """
SELECT id, model, tier, amount_nusd, "window", soft_percent, downgrade_percent FROM budgets
WHERE scope = $1 AND subject = $2
ORDER BY model, tier, array_position(ARRAY['1h', '1d', '7d', '30d', '1mo', 'total'], "window")
"""

PUT_LIMIT = """
INSERT INTO limits (id, scope, subject, model, tier, rpm, tpm, concurrency) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (scope, subject, model, tier) DO UPDATE SET rpm = excluded.rpm, tpm = excluded.tpm, concurrency = excluded.concurrency,
    updated_at = now()
"""

DROP_LIMITS = "DELETE FROM limits WHERE scope = $1 AND subject = $2 AND NOT (model, tier) IN (SELECT * FROM unnest($3::text[], $4::text[]))"

PUT_BUDGET = """
INSERT INTO budgets (id, scope, subject, model, tier, amount_nusd, "window", soft_percent, downgrade_percent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (scope, subject, model, tier, "window") DO UPDATE SET amount_nusd = excluded.amount_nusd,
    soft_percent = excluded.soft_percent, downgrade_percent = excluded.downgrade_percent, updated_at = now()
"""

DROP_BUDGETS = """
DELETE FROM budgets WHERE scope = $1 AND subject = $2
    AND NOT (model, tier, "window") IN (SELECT * FROM unnest($3::text[], $4::text[], $5::text[]))
"""


RATES_NOW = """
WITH minute AS (
    SELECT org_id, project_id, key_id, count(*) AS calls, coalesce(sum(total_tokens), 0) AS tokens, coalesce(sum(latency_ms), 0) AS busy_ms
    FROM request_logs
    WHERE created_at > now() - interval '1 minute'
    GROUP BY 1, 2, 3
), refused AS (
    SELECT org_id, project_id, key_id, count(*) AS calls
    FROM request_logs
    WHERE created_at > now() - interval '24 hours' AND status >= 400 AND error_code IN ('rate_limit_exceeded', 'insufficient_quota')
    GROUP BY 1, 2, 3
)
SELECT l.scope, l.subject, coalesce(o.name, p.name, k.name, l.subject), l.rpm, l.tpm, l.concurrency, coalesce(m.calls, 0)::float8,
       coalesce(m.tokens, 0)::float8, coalesce(m.busy_ms, 0)::float8 / 60000, coalesce(r.calls, 0)::bigint
FROM limits l
LEFT JOIN orgs o ON l.scope = 'org' AND o.id = l.subject
LEFT JOIN projects p ON l.scope IN ('project', 'user') AND p.id = l.subject
LEFT JOIN api_keys k ON l.scope = 'key' AND k.id = l.subject
LEFT JOIN LATERAL (
    SELECT sum(calls) AS calls, sum(tokens) AS tokens, sum(busy_ms) AS busy_ms FROM minute
    WHERE l.subject = CASE l.scope WHEN 'org' THEN org_id WHEN 'project' THEN project_id WHEN 'key' THEN key_id END
) m ON true
LEFT JOIN LATERAL (
    SELECT sum(calls) AS calls FROM refused
    WHERE l.subject = CASE l.scope WHEN 'org' THEN org_id WHEN 'key' THEN key_id ELSE project_id END
) r ON true
WHERE l.model = '' AND l.tier = '' AND k.revoked_at IS NULL AND p.archived_at IS NULL
    AND (l.scope, l.subject) > ($1::text, $2::text)
    AND ($3::text IS NULL OR (l.scope IN ('project', 'user') AND l.subject = $3) OR k.project_id = $3) AND ($4::text IS NULL OR k.id = $4)
ORDER BY l.scope, l.subject
LIMIT $5
"""

REFUSALS = """
WHERE r.status >= 400 AND r.error_code IN ('rate_limit_exceeded', 'insufficient_quota') AND r.created_at > now() - interval '24 hours'
ORDER BY r.created_at DESC
LIMIT 10
"""

LATEST_REFUSALS = " ".join(
    (log_rows.WITH_NAMES, "FROM (SELECT", log_rows.COLUMNS, "FROM request_logs r", REFUSALS, ") f", log_rows.OF_NAMES)
)


class PlainRow(msgspec.Struct, frozen=True):
    """Limits of all calls of one subject."""

    rpm: int | None
    tpm: int | None
    concurrency: int | None


class LimitRow(msgspec.Struct, frozen=True):
    model: str
    tier: str
    rpm: int | None
    tpm: int | None
    concurrency: int | None


class BudgetSet(msgspec.Struct, frozen=True):
    id: str
    model: str
    tier: str
    amount_nusd: int
    window: str
    soft_percent: int | None
    downgrade_percent: int | None


class RateRow(msgspec.Struct, frozen=True):
    """What was used in the last minute. `busy`: calls under way on average."""

    scope: str
    subject: str
    name: str
    rpm: int | None
    tpm: int | None
    concurrency: int | None
    calls: float
    tokens: float
    busy: float
    refused_24h: int


async def of(connection: Connection, scope: str, subject: str) -> tuple[list[LimitRow], list[BudgetSet]]:
    """Everything that is set for one subject."""
    limits = [LimitRow(*row) for row in await connection.fetch(LIMITS_OF, scope, subject)]
    return limits, [BudgetSet(*row) for row in await connection.fetch(BUDGETS_SET, scope, subject)]


async def put(
    connection: Connection, scope: str, subject: str, limits: list[LimitRow], budgets: list[BudgetSet]
) -> None:
    """Makes these the rules of the subject: what is not among them goes. A budget keeps its id, and so its spend, while its window stays."""
    kept = [(row.model, row.tier) for row in limits]
    await connection.execute(DROP_LIMITS, scope, subject, [model for model, _ in kept], [tier for _, tier in kept])
    windows = [(row.model, row.tier, row.window) for row in budgets]
    await connection.execute(DROP_BUDGETS, scope, subject, *[[one[n] for one in windows] for n in range(3)])
    for row in limits:
        await connection.execute(
            PUT_LIMIT, ids.new("lim"), scope, subject, row.model, row.tier, row.rpm, row.tpm, row.concurrency
        )
    for one in budgets:
        await connection.execute(
            PUT_BUDGET, one.id, scope, subject, one.model, one.tier, one.amount_nusd, one.window, one.soft_percent, one.downgrade_percent
        )  # fmt: skip


async def rates_now(
    connection: Connection, place: tuple[str, str], project_id: str | None, key_id: str | None, limit: int
) -> list[RateRow]:
    """A page behind `place` (scope, subject), of a project with its keys, or of a key."""
    rows = await connection.fetch(RATES_NOW, *place, project_id, key_id, limit)
    return [RateRow(*row) for row in rows]


async def latest_refusals(connection: Connection) -> list[LogRow]:
    return [log_rows.to_row(row) for row in await connection.fetch(LATEST_REFUSALS)]


async def plain_of(connection: Connection, scope: str, subjects: list[str]) -> dict[str, PlainRow]:
    return {row[0]: PlainRow(*row[1:]) for row in await connection.fetch(PLAIN_LIMITS, scope, subjects)}
