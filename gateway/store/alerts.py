"""Budget alerts: one row a window and threshold, whichever worker notices it, and the outbox of the webhook."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.store.locks import ALERT_LOCK
from gateway.store.pool import Connection

TRY_LOCK = "SELECT pg_try_advisory_xact_lock($1)"

# The soft threshold and the whole. Without a webhook ($1) there is nothing to deliver.
RAISE_ALERTS = """
WITH raised AS (
    INSERT INTO budget_alerts (budget_id, subject, window_start, window_end, percent, spent_nusd, amount_nusd, delivered_at)
    SELECT w.budget_id, w.subject, w.window_start, w.window_end, t.percent, w.spent_nusd, a.amount_nusd, CASE WHEN NOT $1 THEN now() END
    FROM budgets b
    JOIN budget_windows w ON w.budget_id = b.id AND w.window_start <= now() AND w.window_end > now()
    CROSS JOIN LATERAL (
        SELECT b.amount_nusd + CASE WHEN b.raise_until > now() THEN b.raise_nusd ELSE 0 END AS amount_nusd
    ) a
    CROSS JOIN LATERAL (VALUES (b.soft_percent), (100)) AS t (percent)
    WHERE b.soft_percent IS NOT NULL AND w.spent_nusd > 0 AND w.spent_nusd * 100.0 >= t.percent * a.amount_nusd::numeric
    ON CONFLICT DO NOTHING
    RETURNING budget_id, subject, window_start, percent, spent_nusd, amount_nusd
), marked AS (
    UPDATE budget_windows w SET alerted_at = coalesce(w.alerted_at, now())
    FROM raised r
    WHERE w.budget_id = r.budget_id AND w.subject = r.subject AND w.window_start = r.window_start
)
SELECT b.scope, r.subject, b."window", r.percent, r.spent_nusd, r.amount_nusd
FROM raised r
JOIN budgets b ON b.id = r.budget_id
ORDER BY r.percent
"""

# Whoever takes one has the time of a lease to deliver it; then it is another try's.
TAKE_ONE = """
UPDATE budget_alerts t SET attempts = t.attempts + 1, next_try_at = now() + ($2::float8[])[t.attempts + 1] * interval '1 second'
FROM (
    SELECT budget_id, subject, window_start, percent FROM budget_alerts
    WHERE delivered_at IS NULL AND attempts < $1 AND next_try_at <= now()
    ORDER BY next_try_at
    LIMIT 1
    FOR UPDATE SKIP LOCKED
) n, budgets b
WHERE t.budget_id = n.budget_id AND t.subject = n.subject AND t.window_start = n.window_start AND t.percent = n.percent AND b.id = t.budget_id
RETURNING t.budget_id, b.scope, b.subject, t.subject, b."window", b.model, b.tier, t.window_start, t.window_end, t.percent, t.spent_nusd,
    t.amount_nusd, t.created_at, t.attempts
"""

DELIVERED = """
UPDATE budget_alerts SET delivered_at = now() WHERE budget_id = $1 AND subject = $2 AND window_start = $3 AND percent = $4
"""


class Raised(msgspec.Struct, frozen=True, array_like=True):
    """A threshold that a budget has just passed."""

    scope: str
    subject: str
    window: str
    percent: int
    spent_nusd: int
    amount_nusd: int


class Alert(msgspec.Struct, frozen=True, array_like=True):
    """One to deliver. `owner` is the budget's subject, `subject` who spent (the end user's name for scope `user`)."""

    budget_id: str
    scope: str
    owner: str
    subject: str
    window: str
    model: str
    tier: str
    window_start: datetime
    window_end: datetime
    percent: int
    spent_nusd: int
    amount_nusd: int
    created_at: datetime
    attempt: int


async def raise_alerts(connection: Connection, has_webhook: bool) -> list[Raised]:
    """What has passed a threshold since the last look; nothing when another worker is looking."""
    async with connection.transaction():
        if not await connection.fetchval(TRY_LOCK, ALERT_LOCK):
            return []
        return [Raised(*row) for row in await connection.fetch(RAISE_ALERTS, has_webhook)]


async def take_one(connection: Connection, pauses_s: list[float]) -> Alert | None:
    """The next that is due, ours until its pause is over: pauses_s[n-1] after the n-th try."""
    row = await connection.fetchrow(TAKE_ONE, len(pauses_s), pauses_s)
    return None if row is None else Alert(*row)


async def delivered(connection: Connection, alert: Alert) -> None:
    await connection.execute(DELIVERED, alert.budget_id, alert.subject, alert.window_start, alert.percent)
