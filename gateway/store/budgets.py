"""Budgets as gauges: what is spent of the window that is open now, what workers hold of it, and how fast it goes."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.catalog import Scope, Window
from gateway.ledger import usd
from gateway.store.pool import Connection

BUDGETS = """
SELECT b.id, b.scope, b.subject, coalesce(o.name, p.name, kp.slug || '/' || k.name, b.subject), b.model, b.tier, b.amount_nusd, b."window",
       coalesce(o.timezone, po.timezone, ko.timezone, 'UTC'), b.soft_percent, b.downgrade_percent,
       CASE WHEN b.raise_until > now() THEN b.raise_nusd ELSE 0 END, CASE WHEN b.raise_until > now() THEN b.raise_until END
FROM budgets b
LEFT JOIN orgs o ON b.scope = 'org' AND o.id = b.subject
LEFT JOIN projects p ON b.scope IN ('project', 'user') AND p.id = b.subject
LEFT JOIN orgs po ON po.id = p.org_id
LEFT JOIN api_keys k ON b.scope = 'key' AND k.id = b.subject
LEFT JOIN projects kp ON kp.id = k.project_id
LEFT JOIN orgs ko ON ko.id = kp.org_id
"""

BUDGETS_OF = (
    BUDGETS
    + """
WHERE ($1::text IS NULL OR b.scope = $1) AND ($2::text[] IS NULL OR b.subject = ANY ($2)) AND ($3::text[] IS NULL OR b.id = ANY ($3))
    AND (b.scope <> 'key' OR k.revoked_at IS NULL) AND p.archived_at IS NULL
    AND ($2::text[] IS NOT NULL OR $3::text IS NOT NULL OR k.expires_at IS NULL OR k.expires_at > now())
ORDER BY b.scope, b.subject, b.model, b.tier, b.id
"""
)

IN_USE = """
SELECT b.id FROM budgets b
WHERE b.amount_nusd = 0
    OR EXISTS (SELECT FROM budget_windows w WHERE w.budget_id = b.id AND w.window_end > now() AND w.spent_nusd > 0)
    OR NOT EXISTS (SELECT FROM budget_windows w WHERE w.budget_id = b.id) AND b.created_at > now() - interval '32 days'
"""
"""Of the others nothing is spent, and something may be: a budget without a window has met no call, and only one that is younger than its
window counts calls from before it."""

BUDGETS_AFTER = (
    BUDGETS
    + """
WHERE ($1::text IS NULL OR (b.scope, b.subject, b.model, b.tier, b.id) > ($1, $2, $3, $4, $5))
    AND ($6::text IS NULL OR (b.scope IN ('project', 'user') AND b.subject = $6) OR k.project_id = $6) AND ($7::text IS NULL OR k.id = $7)
    AND (NOT $8 OR b.raise_until > now()) AND (b.scope <> 'key' OR k.revoked_at IS NULL) AND p.archived_at IS NULL
ORDER BY b.scope, b.subject, b.model, b.tier, b.id
LIMIT $9
"""
)

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
), spans AS (
    SELECT id, scope, subject, model, tier, project_id, window_start AS since, false AS is_day FROM unopened
    UNION ALL
    SELECT g.id, g.scope, g.subject, g.model, g.tier, coalesce(k.project_id, g.subject), now() - interval '24 hours', true FROM g
    LEFT JOIN api_keys k ON g.scope = 'key' AND k.id = g.subject
    WHERE g.scope <> 'user'
), sums AS (
    SELECT s.id, s.is_day, sum(u.nusd)::bigint AS nusd FROM spans s
    CROSS JOIN LATERAL (
        SELECT sum(u.cost_nusd) AS nusd FROM usage_hourly u
        WHERE s.scope <> 'org' AND u.project_id = s.project_id AND u.hour >= s.since AND (s.scope = 'project' OR u.key_id = s.subject)
            AND (s.model = '' OR u.model = s.model) AND (s.tier = '' OR u.tier = s.tier)
        UNION ALL
        SELECT sum(u.cost_nusd) FROM usage_hourly u
        WHERE s.scope = 'org' AND u.org_id = s.subject AND u.hour >= s.since
            AND (s.model = '' OR u.model = s.model) AND (s.tier = '' OR u.tier = s.tier)
    ) u
    GROUP BY 1, 2
), lent AS (
    SELECT s.budget_id, s.window_start, sum(s.amount_nusd)::bigint AS nusd FROM budget_shares s
    WHERE s.expires_at > now() AND s.budget_id = ANY ($1)
    GROUP BY 1, 2
), used AS (
    SELECT u.key AS budget_id, sum((u.value ->> 'held')::bigint)::bigint AS held, sum((u.value ->> 'unrecorded')::bigint)::bigint AS unrecorded
    FROM workers
    CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(state -> 'budgets') = 'object' THEN state -> 'budgets' ELSE '{}' END) u
    WHERE stopped_at IS NULL AND heartbeat_at > now() - interval '15 seconds'
    GROUP BY 1
)
SELECT g.id, coalesce(w.spent_nusd, whole.nusd, 0), coalesce(lent.nusd, 0), coalesce(day.nusd, 0), coalesce(used.held, 0),
    coalesce(used.unrecorded, 0)
FROM g
LEFT JOIN budget_windows w ON w.budget_id = g.id AND w.subject = g.subject AND w.window_start = g.window_start
LEFT JOIN sums whole ON whole.id = g.id AND NOT whole.is_day
LEFT JOIN lent ON lent.budget_id = g.id AND lent.window_start = g.window_start
LEFT JOIN sums day ON day.id = g.id AND day.is_day
LEFT JOIN used ON used.budget_id = g.id
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
    """`lent_nusd`: what workers have drawn and not yet recorded as spent. Of it calls under way hold `held_nusd`, and `unrecorded_nusd` is
    spent and on its way here, as the workers said with their last heartbeats. `day_nusd`: spent in the last 24 hours."""

    budget_id: str
    spent_nusd: int
    lent_nusd: int
    day_nusd: int
    held_nusd: int
    unrecorded_nusd: int


async def of(
    connection: Connection, scope: Scope | None = None, subjects: list[str] | None = None, ids: list[str] | None = None
) -> list[BudgetRow]:
    """Budgets of a scope, of some of its subjects, or some by id; None: any. Those of revoked keys and archived projects are left out."""
    return [BudgetRow(*row) for row in await connection.fetch(BUDGETS_OF, scope, subjects, ids)]


async def in_use(connection: Connection) -> list[BudgetRow]:
    """Those of which something may be spent now: what needs somebody is among them."""
    return await of(connection, ids=[row[0] for row in await connection.fetch(IN_USE)])


async def after(
    connection: Connection,
    place: tuple[str, str, str, str, str] | None,
    project_id: str | None,
    key_id: str | None,
    only_raised: bool,
    limit: int,
) -> list[BudgetRow]:
    """A page of those that `of` gives for None: behind `place` (scope, subject, model, tier, id), of a project with its keys, or of a key."""
    rows = await connection.fetch(BUDGETS_AFTER, *(place or [None] * 5), project_id, key_id, only_raised, limit)
    return [BudgetRow(*row) for row in rows]


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
