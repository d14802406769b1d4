"""What was used, by whom and when: whole hours from the rollups, the ragged ends of a range from the rows. Both are moved by one transaction,
so their sums agree to the nano-dollar.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from gateway.store.pool import Connection

By = Literal["project", "key", "model", "provider", "tier", "user", "endpoint", "tag", "time"]
BYS: tuple[By, ...] = ("project", "key", "model", "provider", "tier", "time", "user", "endpoint", "tag")
"""In the order of the statements' columns."""
NOT_ROLLED: frozenset[By] = frozenset(("user", "endpoint", "tag"))

SUM_ROLLUPS = """
SELECT CASE WHEN 'project' = ANY ($5::text[]) THEN project_id ELSE '' END, CASE WHEN 'key' = ANY ($5) THEN key_id ELSE '' END,
    CASE WHEN 'model' = ANY ($5) THEN model ELSE '' END, CASE WHEN 'provider' = ANY ($5) THEN provider ELSE '' END,
    CASE WHEN 'tier' = ANY ($5) THEN tier ELSE '' END,
    CASE WHEN 'time' = ANY ($5) THEN extract(epoch FROM hour)::bigint::text ELSE '' END, '', '', '',
    sum(calls)::bigint, sum(errors)::bigint, sum(prompt_tokens)::bigint, sum(completion_tokens)::bigint, sum(cached_tokens)::bigint,
    sum(cost_nusd)::numeric, sum(unpriced_calls)::bigint
FROM usage_hourly
WHERE hour >= $1 AND hour < $2 AND ($3::text IS NULL OR project_id = $3) AND ($4::text IS NULL OR key_id = $4)
GROUP BY 1, 2, 3, 4, 5, 6
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

PROJECT_NAMES = "SELECT id, slug FROM projects WHERE id = ANY($1::text[])"
KEY_NAMES = "SELECT id, name FROM api_keys WHERE id = ANY($1::text[])"

HOUR = timedelta(hours=1)


class Sums(msgspec.Struct):
    requests: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost_nusd: int = 0
    unpriced_calls: int = 0

    def add(self, other: Sums) -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


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
) -> dict[tuple[str, ...], Sums]:
    """By groups, in the order of `by`, of [`since`, `until`). A group of `time` is epoch seconds of an hour, or of a quarter of one where
    rows were read. `rows_only`: hours won't do, because a day of the zone begins within one."""
    places = [BYS.index(one) for one in by]
    found: dict[tuple[str, ...], Sums] = {}
    for source, low, high in _parts(since, until, rows_only or not NOT_ROLLED.isdisjoint(by)):
        if source == "rollups":
            rows = await connection.fetch(SUM_ROLLUPS, low, high, project_id, key_id, by)
        else:
            rows = await connection.fetch(SUM_ROWS, low, high, project_id, key_id, by, tag)
        for row in rows:
            group = tuple(row[place] for place in places)
            found.setdefault(group, Sums()).add(Sums(*(int(value) for value in row[len(BYS) :])))
    return found


def _parts(since: datetime, until: datetime, rows_only: bool) -> list[tuple[str, datetime, datetime]]:
    first, last = _hour(since + HOUR - timedelta(microseconds=1)), _hour(until)
    if rows_only or first >= last:
        return [("rows", since, until)]
    parts = [("rows", since, first), ("rollups", first, last), ("rows", last, until)]
    return [(source, low, high) for source, low, high in parts if low < high]


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


async def names(connection: Connection, by: str, ids: Iterable[str]) -> dict[str, Any]:
    """What people call these projects or keys."""
    if by not in ("project", "key"):
        return {}
    return dict(await connection.fetch(PROJECT_NAMES if by == "project" else KEY_NAMES, list(ids)))
