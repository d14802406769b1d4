"""Budgets as gauges: what is spent of the window that is open now, what workers hold of it, and how fast it goes."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.catalog import Scope, Window
from gateway.ledger import usd
from gateway.store.pool import Connection

BUDGETS_OF = """
SELECT b.id, b.scope, b.subject, coalesce(o.name, p.name, k.name, b.subject), b.model, b.tier, b.amount_nusd, b."window",
       coalesce(o.timezone, po.timezone, ko.timezone, 'UTC'), b.soft_percent, b.downgrade_percent,
       CASE WHEN b.raise_until > now() THEN b.raise_nusd ELSE 0 END, CASE WHEN b.raise_until > now() THEN b.raise_until END
FROM budgets b
LEFT JOIN orgs o ON b.scope = 'org' AND o.id = b.subject
LEFT JOIN projects p ON b.scope IN ('project', 'user') AND p.id = b.subject
LEFT JOIN orgs po ON po.id = p.org_id
LEFT JOIN api_keys k ON b.scope = 'key' AND k.id = b.subject
LEFT JOIN projects kp ON kp.id = k.project_id
LEFT JOIN orgs ko ON ko.id = kp.org_id
WHERE ($1::text IS NULL OR b.scope = $1) AND ($2::text[] IS NULL OR b.subject = ANY ($2)) AND ($3::text IS NULL OR b.id = $3)
    AND (b.scope <> 'key' OR k.revoked_at IS NULL) AND p.archived_at IS NULL
ORDER BY b.scope, b.subject, b.model, b.tier, b.id
"""

STATE_OF = """
WITH g AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
        AS g (id, scope, subject, model, tier, window_start)
), unopened AS (
    SELECT g.*, coalesce(k.project_id, g.subject) AS project_id FROM g
    JOIN budgets b ON b.id = g.id AND b.created_at > g.window_start
    LEFT JOIN api_keys k ON g.scope = 'key' AND k.id = g.subject
    LEFT JOIN budget_windows w ON w.budget_id = g.id AND w.subject = g.subject AND w.window_start = g.window_start
    WHERE w.budget_id IS NULL AND g.scope <> 'user'
), hours AS (
    SELECT g.id, sum(u.nusd)::bigint AS nusd FROM unopened g
    CROSS JOIN LATERAL (
        SELECT sum(u.cost_nusd) AS nusd FROM usage_hourly u
        WHERE g.scope <> 'org' AND u.project_id = g.project_id AND u.hour >= g.window_start AND (g.scope = 'project' OR u.key_id = g.subject)
            AND (g.model = '' OR u.model = g.model) AND (g.tier = '' OR u.tier = g.tier)
        UNION ALL
        SELECT sum(u.cost_nusd) FROM usage_hourly u
        WHERE g.scope = 'org' AND u.org_id = g.subject AND u.hour >= g.window_start
            AND (g.model = '' OR u.model = g.model) AND (g.tier = '' OR u.tier = g.tier)
    ) u
    GROUP BY g.id
), sums AS (
    SELECT org_id, project_id, key_id, model, tier, sum(cost_nusd) AS nusd FROM usage_hourly
    WHERE hour > now() - interval '24 hours'
    GROUP BY 1, 2, 3, 4, 5
), day AS (
    SELECT g.id, sum(s.nusd)::bigint AS nusd FROM sums s
    CROSS JOIN LATERAL (VALUES ('org', s.org_id), ('project', s.project_id), ('key', s.key_id)) AS x (scope, subject)
    JOIN g ON g.scope = x.scope AND g.subject = x.subject
    WHERE (g.model = '' OR s.model = g.model) AND (g.tier = '' OR s.tier = g.tier)
    GROUP BY g.id
), lent AS (
    SELECT s.budget_id, s.window_start, sum(s.amount_nusd)::bigint AS nusd FROM budget_shares s
    WHERE s.expires_at > now() AND s.budget_id = ANY ($1)
    GROUP BY 1, 2
)
SELECT g.id, coalesce(w.spent_nusd, hours.nusd, 0), coalesce(lent.nusd, 0), coalesce(day.nusd, 0)
FROM g
LEFT JOIN budget_windows w ON w.budget_id = g.id AND w.subject = g.subject AND w.window_start = g.window_start
LEFT JOIN hours ON hours.id = g.id
LEFT JOIN lent ON lent.budget_id = g.id AND lent.window_start = g.window_start
LEFT JOIN day ON day.id = g.id
"""

RAISE_BUDGET = """
UPDATE budgets SET raise_nusd = $2, raise_until = $3, updated_at = now() WHERE id = $1
"""


class BudgetRow(msgspec.Struct, frozen=True):
    id: str
    scope: Scope
    subject: str
    subject_name: str
    model: str
    tier: str
    amount_nusd: int
    window: Window
    timezone: str
    soft_percent: int | None
    downgrade_percent: int | None
    raise_nusd: int
    raise_until: datetime | None

    @property
    def amount_usd(self) -> str:
        return usd(self.amount_nusd)


class StateRow(msgspec.Struct, frozen=True):
    """`lent_nusd`: what workers have drawn and not yet recorded as spent. `day_nusd`: spent in the last 24 hours."""

    budget_id: str
    spent_nusd: int
    lent_nusd: int
    day_nusd: int


async def of(
    connection: Connection, scope: Scope | None = None, subjects: list[str] | None = None, budget_id: str | None = None
) -> list[BudgetRow]:
    """Budgets of a scope, of some of its subjects, or one; None: any. Those of revoked keys and archived projects are left out."""
    return [BudgetRow(*row) for row in await connection.fetch(BUDGETS_OF, scope, subjects, budget_id)]


async def state_of(connection: Connection, rows: list[BudgetRow], starts: list[datetime]) -> dict[str, StateRow]:
    """How it stands with each, in the window that began at the same place of `starts`. A budget that is younger than its window and that no
    call has met yet is added up from the hours; end users' budgets (one each) have no single state: theirs are 0."""
    found = await connection.fetch(
        STATE_OF, [row.id for row in rows], [row.scope for row in rows], [row.subject for row in rows],
        [row.model for row in rows], [row.tier for row in rows], starts,
    )  # fmt: skip
    return {row[0]: StateRow(*row) for row in found}


async def raise_until(connection: Connection, budget_id: str, nusd: int, until: datetime | None) -> None:
    await connection.execute(RAISE_BUDGET, budget_id, nusd, until)
