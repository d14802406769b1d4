"""What was used, by whom and when: a range's whole days from the sums of days where they serve, its other whole hours from those of hours, its
ragged ends from the rows. One transaction moves all of them, so they agree to the nano-dollar; a reader asks within one snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec

from gateway.store.pool import Connection

By = Literal["project", "key", "model", "provider", "tier", "user", "endpoint", "tag", "time"]
BYS: tuple[By, ...] = ("project", "key", "model", "provider", "tier", "time", "user", "endpoint", "tag")
"""In the order of the statements' columns."""
NOT_ROLLED: frozenset[By] = frozenset(("user", "endpoint", "tag"))
BY_DAY: frozenset[By] = frozenset(("project", "time"))

SUM_HOURS = """
SELECT CASE WHEN 'project' = ANY ($5::text[]) THEN project_id ELSE '' END, CASE WHEN 'key' = ANY ($5) THEN key_id ELSE '' END,
    CASE WHEN 'model' = ANY ($5) THEN model ELSE '' END, CASE WHEN 'provider' = ANY ($5) THEN provider ELSE '' END,
    CASE WHEN 'tier' = ANY ($5) THEN tier ELSE '' END,
    coalesce(extract(epoch FROM CASE WHEN 'time' = ANY ($5) THEN hour END)::bigint::text, ''), '', '', '',
    sum(calls)::bigint, sum(errors)::bigint, sum(prompt_tokens)::bigint, sum(completion_tokens)::bigint, sum(cached_tokens)::bigint,
    sum(cost_nusd)::numeric, sum(unpriced_calls)::bigint
FROM usage_hourly
WHERE hour >= $1 AND hour < $2 AND ($3::text IS NULL OR project_id = $3) AND ($4::text IS NULL OR key_id = $4)
    AND ($6::text[] IS NULL OR org_id = ANY ($6))
GROUP BY 1, 2, 3, 4, 5, CASE WHEN 'time' = ANY ($5) THEN hour END
"""
"""By the hour and not by its text: writing that of every row took as long as summing."""

WHOLE_DAYS = """
WITH RECURSIVE kept AS (
    SELECT min(org_id) AS org_id FROM usage_daily
    UNION ALL
    SELECT (SELECT min(d.org_id) FROM usage_daily d WHERE d.org_id > kept.org_id) FROM kept WHERE kept.org_id IS NOT NULL
), zones AS (
    SELECT coalesce(known_zone(o.timezone), 'UTC') AS zone, array_agg(kept.org_id) AS orgs
    FROM kept
    LEFT JOIN orgs o ON o.id = kept.org_id
    WHERE kept.org_id IS NOT NULL
    GROUP BY 1
), days AS (
    SELECT zone, orgs, (($1::timestamptz - interval '1 hour') AT TIME ZONE zone)::date + 1 AS first,
        ($2::timestamptz AT TIME ZONE zone)::date AS until
    FROM zones
)
SELECT zone, orgs, first, until,
    (SELECT min(h) FROM generate_series($1, $1 + interval '30 hours', interval '1 hour') h WHERE (h AT TIME ZONE zone)::date >= first),
    (SELECT min(h) FROM generate_series($2 - interval '30 hours', $2, interval '1 hour') h WHERE (h AT TIME ZONE zone)::date >= until)
FROM days
"""
"""Of the hours [$1, $2), by zone of an org: the days that lie in them whole, and the hours with which the first begins and the last has ended.
By Postgres's calendar: it has put the hours together to days. No day is longer than 30 hours: on Troll there is one of 26."""

SUM_DAYS = """
SELECT CASE WHEN 'project' = ANY ($4::text[]) THEN project_id ELSE '' END, '', '', '', '',
    coalesce(extract(epoch FROM (CASE WHEN 'time' = ANY ($4) THEN day END + time '12:00') AT TIME ZONE $5::text)::bigint::text, ''), '', '', '',
    sum(calls)::bigint, sum(errors)::bigint, sum(prompt_tokens)::bigint, sum(completion_tokens)::bigint, sum(cached_tokens)::bigint,
    sum(cost_nusd)::numeric, sum(unpriced_calls)::bigint
FROM usage_daily
WHERE day >= $1 AND day < $2 AND ($3::text IS NULL OR project_id = $3) AND org_id = ANY ($6::text[])
GROUP BY 1, CASE WHEN 'time' = ANY ($4) THEN day END
"""

SUM_ROWS = """
SELECT CASE WHEN 'project' = ANY ($5::text[]) THEN project_id ELSE '' END, CASE WHEN 'key' = ANY ($5) THEN key_id ELSE '' END,
    CASE WHEN 'model' = ANY ($5) THEN coalesce(model, '') ELSE '' END, CASE WHEN 'provider' = ANY ($5) THEN coalesce(provider, '') ELSE '' END,
    CASE WHEN 'tier' = ANY ($5) THEN coalesce(tier, '') ELSE '' END,
    CASE WHEN 'time' = ANY ($5)
        THEN extract(epoch FROM date_bin('15 minutes', created_at, '2000-01-01T00:00:00Z'))::bigint::text ELSE '' END,
    CASE WHEN 'user' = ANY ($5) THEN coalesce("user", '') ELSE '' END, CASE WHEN 'endpoint' = ANY ($5) THEN endpoint ELSE '' END,
    CASE WHEN NOT 'tag' = ANY ($5) THEN ''
        WHEN $6::text = '' THEN array_to_string(ARRAY(SELECT DISTINCT t FROM unnest(tags) t ORDER BY t), ', ')
        ELSE coalesce((SELECT min(substr(t, length($6) + 2)) FROM unnest(tags) t WHERE starts_with(t, $6 || '=')), '') END,
    count(*), count(*) FILTER (WHERE status >= 400), coalesce(sum(prompt_tokens), 0)::bigint,
    coalesce(sum(completion_tokens), 0)::bigint, coalesce(sum(cached_tokens), 0)::bigint, coalesce(sum(cost_nusd), 0)::numeric,
    count(*) FILTER (WHERE cost_nusd IS NULL AND total_tokens > 0)
FROM request_logs
WHERE created_at >= $1 AND created_at < $2 AND ($3::text IS NULL OR project_id = $3) AND ($4::text IS NULL OR key_id = $4)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
"""
"""Every zone's days begin on a quarter of an hour."""

DEAREST = """
WITH hours AS (
    SELECT CASE $4::text WHEN 'project' THEN project_id WHEN 'key' THEN key_id ELSE model END AS id, sum(cost_nusd) AS cost_nusd, sum(calls) AS calls
    FROM usage_hourly
    WHERE hour >= $2 AND hour < $3
    GROUP BY 1
), ragged AS (
    SELECT CASE $4 WHEN 'project' THEN project_id WHEN 'key' THEN key_id ELSE coalesce(model, '') END AS id, sum(cost_nusd) AS cost_nusd,
        count(*) AS calls
    FROM request_logs
    WHERE created_at >= $1 AND created_at < $2
    GROUP BY 1
)
SELECT id, (coalesce(h.cost_nusd, 0) + coalesce(r.cost_nusd, 0))::bigint
FROM hours h
FULL JOIN ragged r USING (id)
WHERE id <> ''
ORDER BY 2 DESC, coalesce(h.calls, 0) + coalesce(r.calls, 0) DESC, id
LIMIT $5
"""
"""From $1 on, of which $2 is the first whole hour. Who is not among them stays in Postgres: a day of 100,000 keys took longer to carry than
to sum."""

PROJECT_NAMES = "SELECT id, slug FROM projects WHERE id = ANY($1::text[])"
KEY_NAMES = "SELECT id, name FROM api_keys WHERE id = ANY($1::text[])"

HOUR = timedelta(hours=1)
SHORTEST_DAY = 23 * HOUR


class Sums(msgspec.Struct):
    requests: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost_nusd: int = 0
    unpriced_calls: int = 0

    def add(self, other: Sums) -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.cached_tokens += other.cached_tokens
        self.cost_nusd += other.cost_nusd
        self.unpriced_calls += other.unpriced_calls


class Days(NamedTuple):
    """Whole days [`first`, `until`) of the orgs of a zone: their hours are [`begin`, `end`)."""

    zone: str
    orgs: list[str]
    first: date
    until: date
    begin: datetime
    end: datetime


async def sums(
    connection: Connection,
    by: By,
    since: datetime,
    until: datetime,
    *,
    project_id: str | None = None,
    key_id: str | None = None,
) -> dict[str, Sums]:
    """By group, of [`since`, `until`): `sums_by` of one kind."""
    found = await sums_by(connection, (by,), since, until, project_id=project_id, key_id=key_id)
    return {group[0]: one for group, one in found.items()}


async def dearest(
    connection: Connection, by: Literal["project", "key", "model"], since: datetime, until: datetime, limit: int
) -> dict[str, int]:
    """Cost in nano-USD of those that cost most from `since` to `until` (a whole hour), the dearest first; of equal ones those that call most."""
    first = min(_first_hour(since), until)
    return dict(await connection.fetch(DEAREST, since, first, until, by, limit))


async def sums_by(
    connection: Connection,
    by: Sequence[By],
    since: datetime,
    until: datetime,
    *,
    project_id: str | None = None,
    key_id: str | None = None,
    tag: str = "",
    rows_only: bool = False,
    days_of: str = "",
) -> dict[tuple[str, ...], Sums]:
    """By groups, in the order of `by`, of [`since`, `until`). A group of `time` is epoch seconds of an hour, or of a quarter of one where
    rows were read; with `days_of` a zone also of a moment within one of its days. `rows_only`: hours won't do, because a day of the zone
    begins within one."""
    found: dict[tuple[str, ...], Sums] = {}
    places = [BYS.index(one) for one in by]

    def add(rows: Iterable[Any]) -> None:
        for row in rows:
            group = tuple([row[place] for place in places])
            one = Sums(*row[len(BYS) :])
            one.cost_nusd = int(one.cost_nusd)
            known = found.setdefault(group, one)
            if known is not one:
                known.add(one)

    async def add_hours(low: datetime, high: datetime, orgs: list[str] | None = None) -> None:
        add(await connection.fetch(SUM_HOURS, low, high, project_id, key_id, by, orgs))

    for source, low, high in _parts(since, until, rows_only or not NOT_ROLLED.isdisjoint(by)):
        if source == "rows":
            add(await connection.fetch(SUM_ROWS, low, high, project_id, key_id, by, tag))
        elif key_id is not None or not BY_DAY.issuperset(by) or high - low < SHORTEST_DAY:
            await add_hours(low, high)
        else:
            for days in [Days(*row) for row in await connection.fetch(WHOLE_DAYS, low, high)]:
                if days.first >= days.until or ("time" in by and days.zone != days_of):
                    await add_hours(low, high, days.orgs)
                    continue
                await add_hours(low, days.begin, days.orgs)
                add(await connection.fetch(SUM_DAYS, days.first, days.until, project_id, by, days.zone, days.orgs))
                await add_hours(days.end, high, days.orgs)
    return found


def _parts(since: datetime, until: datetime, rows_only: bool) -> list[tuple[str, datetime, datetime]]:
    first, last = _first_hour(since), _hour(until)
    if rows_only or first >= last:
        return [("rows", since, until)]
    parts = [("rows", since, first), ("hours", first, last), ("rows", last, until)]
    return [(source, low, high) for source, low, high in parts if low < high]


def _first_hour(since: datetime) -> datetime:
    """The first that lies after it whole."""
    return _hour(since + HOUR - timedelta(microseconds=1))


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


async def names(connection: Connection, by: str, ids: Iterable[str]) -> dict[str, Any]:
    """What people call these projects or keys."""
    if by not in ("project", "key"):
        return {}
    return dict(await connection.fetch(PROJECT_NAMES if by == "project" else KEY_NAMES, list(ids)))
