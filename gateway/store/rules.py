"""Limits and budgets as an operator sets them; `limits` next door has what the coordinator makes of them."""

from __future__ import annotations

import msgspec

from gateway.store.pool import Connection

PLAIN_LIMITS = """
SELECT subject, rpm, tpm, concurrency FROM limits WHERE scope = $1 AND subject = ANY ($2::text[]) AND model = '' AND tier = ''
"""

LIMITS_OF = "SELECT id, model, tier, rpm, tpm, concurrency FROM limits WHERE scope = $1 AND subject = $2 ORDER BY model, tier FOR UPDATE"

BUDGETS_SET = """
SELECT id, model, tier, amount_nusd, "window", soft_percent, downgrade_percent FROM budgets
WHERE scope = $1 AND subject = $2
ORDER BY model, tier, array_position(ARRAY['1h', '1d', '7d', '30d', '1mo', 'total'], "window")
FOR UPDATE
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


async def plain_of(connection: Connection, scope: str, subjects: list[str]) -> dict[str, PlainRow]:
    return {row[0]: PlainRow(*row[1:]) for row in await connection.fetch(PLAIN_LIMITS, scope, subjects)}
