"""Do the books agree with themselves? Every statement finds what is wrong and nothing else; all of them run in one snapshot.

What has been dropped by retention can't be compared any more: sums are checked from the horizon on, the day from which every row is there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec

from gateway.store.locks import BOOKS_LOCK
from gateway.store.pool import Connection

EXAMPLES = 20
"""As many of the findings are shown; all are counted."""
STATEMENT_TIMEOUT_MS = 120_000
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

HORIZON = "SELECT (SELECT dropped_before FROM retention_horizons WHERE name = 'request_logs'), clock_timestamp()"

IS_MINE = """
SELECT pg_try_advisory_xact_lock($1)
    AND $2 = (SELECT min(id) FROM workers WHERE stopped_at IS NULL AND heartbeat_at > now() - interval '10 seconds')
"""

LIMIT_STATEMENTS = "SELECT set_config('statement_timeout', $1, true), set_config('work_mem', '64MB', true)"
"""There are few groups, but Postgres can't know how few: with less memory it sorts every row."""

UNKNOWN_WORKERS = """
SELECT r.worker_id AS what, format('%s rows, the first at %s', count(*), min(r.created_at)) AS found, count(*) OVER () AS findings
FROM request_logs r
WHERE r.created_at >= greatest($1::timestamptz, now() - interval '6 days') AND r.created_at < now() - interval '10 minutes'
    AND NOT EXISTS (SELECT FROM workers w WHERE w.id = r.worker_id)
GROUP BY r.worker_id
ORDER BY r.worker_id
LIMIT $2
"""
"""Rows that no worker of ours can have written: workers are forgotten after seven days without a sign of life."""

UNFINISHED = """
SELECT w.id AS what, format('on %s: %s calls began and have no record, records are behind by %s s, last heard of at %s', w.machine,
        coalesce(w.state -> 'journal' ->> 'open', '0'), coalesce(w.state -> 'journal' ->> 'behind_s', '0'), w.heartbeat_at) AS found,
    count(*) OVER () AS findings
FROM workers w
WHERE w.stopped_at IS NULL AND jsonb_typeof(w.state -> 'journal') = 'object' AND $1::timestamptz IS NOT NULL AND (
    (w.heartbeat_at < now() - interval '10 minutes'
        AND ((w.state -> 'journal' ->> 'open')::float8 > 0 OR (w.state -> 'journal' ->> 'behind_s')::float8 > 0))
    OR (w.heartbeat_at >= now() - interval '10 minutes'
        AND ((w.state -> 'journal' ->> 'orphans_s')::float8 > 600 OR (w.state -> 'journal' ->> 'behind_s')::float8 > 600)))
ORDER BY w.id
LIMIT $2
"""
"""Intents older than ten minutes without a row: of a dead worker whose journal nobody adopted, or of a living one that is stuck."""

ROLLUP_AGAINST_ROWS = """
WITH logged AS (
    SELECT date_trunc('hour', created_at, 'UTC') AS hour, project_id, key_id, coalesce(provider, '') AS provider, coalesce(model, '') AS model,
        coalesce(tier, '') AS tier, usage_source, count(*) AS calls, count(*) FILTER (WHERE status >= 400) AS errors,
        count(*) FILTER (WHERE stream) AS streams, coalesce(sum(prompt_tokens), 0) AS prompt, coalesce(sum(completion_tokens), 0) AS completion,
        coalesce(sum(cached_tokens), 0) AS cached, coalesce(sum(reasoning_tokens), 0) AS reasoning, coalesce(sum(cost_nusd), 0) AS cost,
        count(*) FILTER (WHERE cost_nusd IS NULL AND total_tokens > 0) AS unpriced
    FROM request_logs
    WHERE created_at >= $1
    GROUP BY 1, 2, 3, 4, 5, 6, 7
), kept AS (
    SELECT hour, project_id, key_id, provider, model, tier, usage_source, calls, errors, streams, prompt_tokens AS prompt,
        completion_tokens AS completion, cached_tokens AS cached, reasoning_tokens AS reasoning, cost_nusd AS cost, unpriced_calls AS unpriced
    FROM usage_hourly
    WHERE hour >= $1
)
SELECT concat_ws(' ', hour, project_id, key_id, nullif(provider, ''), nullif(model, ''), nullif(tier, ''), usage_source) AS what,
    format('rows: %s calls, %s tokens, %s nUSD; usage_hourly: %s calls, %s tokens, %s nUSD', coalesce(l.calls, 0),
        coalesce(l.prompt + l.completion, 0), coalesce(l.cost, 0), coalesce(k.calls, 0), coalesce(k.prompt + k.completion, 0),
        coalesce(k.cost, 0)) AS found,
    count(*) OVER () AS findings
FROM logged l
FULL JOIN kept k USING (hour, project_id, key_id, provider, model, tier, usage_source)
WHERE (coalesce(l.calls, 0), coalesce(l.errors, 0), coalesce(l.streams, 0), coalesce(l.prompt, 0), coalesce(l.completion, 0),
        coalesce(l.cached, 0), coalesce(l.reasoning, 0), coalesce(l.cost, 0), coalesce(l.unpriced, 0))
    <> (coalesce(k.calls, 0), coalesce(k.errors, 0), coalesce(k.streams, 0), coalesce(k.prompt, 0), coalesce(k.completion, 0),
        coalesce(k.cached, 0), coalesce(k.reasoning, 0), coalesce(k.cost, 0), coalesce(k.unpriced, 0))
ORDER BY hour, project_id, key_id
LIMIT $2
"""

DAYS_AGAINST_ROLLUP = """
WITH summed AS (
    SELECT h.project_id, (h.hour AT TIME ZONE coalesce(z.zone, 'UTC'))::date AS day, sum(h.calls) AS calls, sum(h.errors) AS errors,
        sum(h.prompt_tokens) AS prompt, sum(h.completion_tokens) AS completion, sum(h.cached_tokens) AS cached, sum(h.cost_nusd) AS cost,
        sum(h.unpriced_calls) AS unpriced
    FROM usage_hourly h
    LEFT JOIN (SELECT id, known_zone(timezone) AS zone FROM orgs) AS z ON z.id = h.org_id
    GROUP BY 1, 2
)
SELECT concat_ws(' ', project_id, day) AS what, format('usage_hourly: %s calls, %s tokens, %s nUSD; usage_daily: %s calls, %s tokens, %s nUSD',
        coalesce(s.calls, 0), coalesce(s.prompt + s.completion, 0), coalesce(s.cost, 0), coalesce(d.calls, 0),
        coalesce(d.prompt_tokens + d.completion_tokens, 0), coalesce(d.cost_nusd, 0)) AS found,
    count(*) OVER () AS findings
FROM summed s
FULL JOIN usage_daily d USING (project_id, day)
WHERE $1::timestamptz IS NOT NULL
    AND (coalesce(s.calls, 0), coalesce(s.errors, 0), coalesce(s.prompt, 0), coalesce(s.completion, 0), coalesce(s.cached, 0),
            coalesce(s.cost, 0), coalesce(s.unpriced, 0))
        <> (coalesce(d.calls, 0), coalesce(d.errors, 0), coalesce(d.prompt_tokens, 0), coalesce(d.completion_tokens, 0),
            coalesce(d.cached_tokens, 0), coalesce(d.cost_nusd, 0), coalesce(d.unpriced_calls, 0))
ORDER BY project_id, day
LIMIT $2
"""

KEYS_AGAINST_ROLLUP = """
WITH summed AS (
    SELECT key_id, sum(calls) AS calls, sum(cost_nusd) AS cost_nusd FROM usage_hourly GROUP BY key_id
)
SELECT key_id AS what, format('usage_hourly: %s calls, %s nUSD; key_usage: %s calls, %s nUSD', coalesce(s.calls, 0), coalesce(s.cost_nusd, 0),
        coalesce(k.calls, 0), coalesce(k.cost_nusd, 0)) AS found,
    count(*) OVER () AS findings
FROM summed s
FULL JOIN key_usage k USING (key_id)
WHERE $1::timestamptz IS NOT NULL
    AND (coalesce(s.calls, 0), coalesce(s.cost_nusd, 0)) <> (coalesce(k.calls, 0), coalesce(k.cost_nusd, 0))
ORDER BY key_id
LIMIT $2
"""

BUDGETS_AGAINST_ROWS = """
WITH windows AS MATERIALIZED (
    SELECT b.id, b.scope, b.subject AS owner, b.model, b.tier, w.subject, w.window_start, w.window_end, w.spent_nusd
    FROM budget_windows w
    JOIN budgets b ON b.id = w.budget_id
    WHERE w.window_start >= $1
), spent AS MATERIALIZED (
    SELECT org_id, project_id, key_id, coalesce("user", '') AS "user", coalesce(model, '') AS model, coalesce(tier, '') AS tier,
        date_bin('15 minutes', created_at, 'epoch') AS bin, sum(cost_nusd) AS cost_nusd
    FROM request_logs
    WHERE cost_nusd <> 0 AND created_at >= (SELECT min(window_start) FROM windows)
    GROUP BY 1, 2, 3, 4, 5, 6, 7
), owned AS (
    SELECT 'org' AS scope, org_id AS owner, '' AS "user", model, tier, bin, cost_nusd FROM spent
    UNION ALL
    SELECT 'project', project_id, '', model, tier, bin, cost_nusd FROM spent
    UNION ALL
    SELECT 'key', key_id, '', model, tier, bin, cost_nusd FROM spent
    UNION ALL
    SELECT 'user', project_id, "user", model, tier, bin, cost_nusd FROM spent WHERE "user" <> ''
), summed AS (
    SELECT w.id, w.subject, w.window_start, sum(o.cost_nusd) AS cost_nusd
    FROM windows w
    JOIN owned o ON o.scope = w.scope AND o.owner = w.owner AND (w.scope <> 'user' OR o."user" = w.subject)
        AND o.bin >= w.window_start AND o.bin < w.window_end AND (w.model = '' OR w.model = o.model) AND (w.tier = '' OR w.tier = o.tier)
    GROUP BY 1, 2, 3
)
SELECT concat_ws(' ', w.id, w.subject, w.window_start) AS what,
    format('rows: %s nUSD; budget_windows: %s nUSD', coalesce(s.cost_nusd, 0), w.spent_nusd) AS found, count(*) OVER () AS findings
FROM windows w
LEFT JOIN summed s ON s.id = w.id AND s.subject = w.subject AND s.window_start = w.window_start
WHERE w.spent_nusd <> coalesce(s.cost_nusd, 0)
ORDER BY w.id, w.subject, w.window_start
LIMIT $2
"""
"""Windows begin and end at quarters of an hour in every time zone there is."""

OLDER_BUDGETS_AGAINST_ROLLUP = """
WITH windows AS MATERIALIZED (
    SELECT b.id, b.scope, b.subject AS owner, b.model, b.tier, w.subject, w.window_start, w.window_end, w.spent_nusd
    FROM budget_windows w
    JOIN budgets b ON b.id = w.budget_id
    WHERE w.window_start < $1 AND b.scope <> 'user'
        AND date_trunc('hour', w.window_start) = w.window_start AND date_trunc('hour', w.window_end) = w.window_end
), spent AS MATERIALIZED (
    SELECT org_id, project_id, key_id, model, tier, hour, sum(cost_nusd) AS cost_nusd
    FROM usage_hourly
    WHERE cost_nusd <> 0 AND hour >= (SELECT min(window_start) FROM windows)
    GROUP BY 1, 2, 3, 4, 5, 6
), owned AS (
    SELECT 'org' AS scope, org_id AS owner, model, tier, hour, cost_nusd FROM spent
    UNION ALL
    SELECT 'project', project_id, model, tier, hour, cost_nusd FROM spent
    UNION ALL
    SELECT 'key', key_id, model, tier, hour, cost_nusd FROM spent
), summed AS (
    SELECT w.id, w.subject, w.window_start, sum(o.cost_nusd) AS cost_nusd
    FROM windows w
    JOIN owned o ON o.scope = w.scope AND o.owner = w.owner AND o.hour >= w.window_start AND o.hour < w.window_end
        AND (w.model = '' OR w.model = o.model) AND (w.tier = '' OR w.tier = o.tier)
    GROUP BY 1, 2, 3
)
SELECT concat_ws(' ', w.id, w.subject, w.window_start) AS what,
    format('usage_hourly: %s nUSD; budget_windows: %s nUSD', coalesce(s.cost_nusd, 0), w.spent_nusd) AS found, count(*) OVER () AS findings
FROM windows w
LEFT JOIN summed s ON s.id = w.id AND s.subject = w.subject AND s.window_start = w.window_start
WHERE w.spent_nusd <> coalesce(s.cost_nusd, 0)
ORDER BY w.id, w.subject, w.window_start
LIMIT $2
"""
"""Windows that began before the oldest row: `total` after some months. End users are not in the hourly sums."""

NEGATIVES = """
SELECT what, found, count(*) OVER () AS findings FROM (
    SELECT concat_ws(' ', 'share', budget_id, subject, worker_id) AS what, format('%s nUSD', amount_nusd) AS found
    FROM budget_shares WHERE amount_nusd < 0
    UNION ALL
    SELECT concat_ws(' ', 'budget', budget_id, subject, window_start), format('%s nUSD spent', spent_nusd)
    FROM budget_windows WHERE spent_nusd < 0
    UNION ALL
    SELECT concat_ws(' ', 'key', key_id), format('%s calls, %s nUSD', calls, cost_nusd) FROM key_usage WHERE calls < 0 OR cost_nusd < 0
    UNION ALL
    SELECT concat_ws(' ', 'row', request_id, call_id), format('%s nUSD', cost_nusd)
    FROM request_logs WHERE created_at >= $1 AND cost_nusd < 0
) AS negative
ORDER BY what
LIMIT $2
"""

SHARES_OF_DEAD = """
SELECT concat_ws(' ', s.budget_id, s.subject, s.worker_id) AS what,
    format('%s nUSD until %s, the worker was last heard of at %s', s.amount_nusd, s.expires_at, coalesce(w.heartbeat_at::text, 'no time')) AS found,
    count(*) OVER () AS findings
FROM budget_shares s
LEFT JOIN workers w ON w.id = s.worker_id
WHERE $1::timestamptz IS NOT NULL AND s.expires_at > now() AND s.amount_nusd <> 0
    AND (w.id IS NULL OR w.stopped_at < now() - interval '90 seconds' OR w.heartbeat_at < now() - interval '90 seconds')
ORDER BY 1
LIMIT $2
"""
"""A dead worker's shares end 30 s after it last renewed them."""

ENTRIES_AGAINST_PERIODS = """
SELECT concat_ws(' ', p.account_id, p.month) AS what,
    format('closed at %s nUSD; its entries say %s nUSD', p.posted_nusd, -coalesce(e.amount_nusd, 0)) AS found, count(*) OVER () AS findings
FROM billing_periods p
LEFT JOIN (
    SELECT account_id, month, sum(amount_nusd) AS amount_nusd FROM billing_entries WHERE month IS NOT NULL GROUP BY 1, 2
) AS e ON e.account_id = p.account_id AND e.month = p.month
WHERE $1::timestamptz IS NOT NULL AND p.posted_nusd <> -coalesce(e.amount_nusd, 0)
ORDER BY 1
LIMIT $2
"""

CHECKS: tuple[tuple[str, str, str], ...] = (
    ("row_without_intent", "Every row was written by a worker of this gateway.", UNKNOWN_WORKERS),
    ("intent_without_row", "Every call that began has a record ten minutes later.", UNFINISHED),
    ("usage_hourly", "The hourly sums are what the rows add up to.", ROLLUP_AGAINST_ROWS),
    ("usage_daily", "The sums of days are what the hourly sums add up to.", DAYS_AGAINST_ROLLUP),
    ("key_usage", "The sums of keys are what the hourly sums add up to.", KEYS_AGAINST_ROLLUP),
    ("budget_windows", "What budgets have spent is what the rows add up to.", BUDGETS_AGAINST_ROWS),
    (
        "older_budget_windows",
        "Budgets that began before the oldest row have spent what the hourly sums add up to.",
        OLDER_BUDGETS_AGAINST_ROLLUP,
    ),
    ("negative", "No hold, share, sum or cost is negative.", NEGATIVES),
    ("dead_shares", "No dead worker holds a share of a budget.", SHARES_OF_DEAD),
    ("billing_entries", "The entries of a closed month are what it was closed at.", ENTRIES_AGAINST_PERIODS),
)
RECENT = frozenset(
    {"row_without_intent", "intent_without_row", "usage_hourly", "budget_windows", "negative", "dead_shares"}
)
"""What the check of every minute looks at; it reads the last two hours of rows."""


class Finding(msgspec.Struct, frozen=True):
    what: str
    found: str


class Checked(msgspec.Struct):
    name: str
    claim: str
    findings: int
    examples: list[Finding]


class Snapshot(msgspec.Struct):
    """What is looked at: rows from `since` on, as the database stood `at`."""

    since: datetime
    at: datetime


@asynccontextmanager
async def snapshot(connection: Connection, *, recent: bool = False) -> AsyncIterator[Snapshot]:
    """One REPEATABLE READ transaction: whatever runs inside sees the same moment, and a busy gateway raises no false alarm."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.fetchval(LIMIT_STATEMENTS, str(STATEMENT_TIMEOUT_MS))
        horizon, now = await connection.fetchrow(HORIZON)
        since = horizon or LONG_AGO
        if recent:
            hour = now.replace(minute=0, second=0, microsecond=0)
            since = max(since, hour - timedelta(hours=1))
        yield Snapshot(since, now)


async def is_mine(connection: Connection, worker_id: str) -> bool:
    """Inside `snapshot`: True for the one worker of all that checks, the first by its id."""
    return bool(await connection.fetchval(IS_MINE, BOOKS_LOCK, worker_id))


async def run(connection: Connection, seen: Snapshot, *, recent: bool = False) -> list[Checked]:
    """Inside `snapshot`. Every check, or only the cheap ones."""
    return [
        await _check(connection, name, claim, statement, seen.since)
        for name, claim, statement in CHECKS
        if not recent or name in RECENT
    ]


async def _check(connection: Connection, name: str, claim: str, statement: str, since: datetime) -> Checked:
    rows = await connection.fetch(statement, since, EXAMPLES, timeout=STATEMENT_TIMEOUT_MS / 1000 + 5)
    return Checked(
        name, claim, rows[0]["findings"] if rows else 0, [Finding(row["what"], row["found"]) for row in rows]
    )
