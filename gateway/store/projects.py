"""Projects, and what their lists show beside them."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.store.pool import Connection

PROJECT_COLUMNS = """
SELECT p.id, p.slug, p.name, p.org_id, p.created_by, p.created_at, p.updated_at, p.archived_at, s.default_tier, s.allowed_models,
       coalesce(s.capture, false), o.timezone
FROM projects p
JOIN orgs o ON o.id = p.org_id
LEFT JOIN project_settings s ON s.project_id = p.id
"""

PROJECT_BY_NAME = PROJECT_COLUMNS + "WHERE p.id = $1 OR p.slug = $1 ORDER BY p.id <> $1, p.created_at LIMIT 1"

LOCK_PROJECT = "SELECT 1 FROM projects WHERE id = $1 FOR UPDATE"

PROJECTS_AFTER = (
    PROJECT_COLUMNS
    + """
WHERE ($1::text IS NULL OR (lower(p.name), p.id) > ($1, $2))
    AND CASE $3::text WHEN 'active' THEN p.archived_at IS NULL WHEN 'archived' THEN p.archived_at IS NOT NULL ELSE true END
ORDER BY lower(p.name), p.id
LIMIT $4
"""
)

INSERT_PROJECT = "INSERT INTO projects (id, org_id, slug, name, created_by) VALUES ($1, $2, $3, $4, $5)"

INSERT_SETTINGS = "INSERT INTO project_settings (project_id, updated_by) VALUES ($1, $2)"

SLUGS_LIKE = "SELECT slug FROM projects WHERE slug = $1 OR slug LIKE $1 || '-%'"

UPDATE_PROJECT = "UPDATE projects SET name = $2, slug = $3, updated_at = now() WHERE id = $1"

ARCHIVE_PROJECT = """
UPDATE projects SET archived_at = CASE WHEN $2 THEN coalesce(archived_at, now()) END, updated_at = now() WHERE id = $1
"""

DELETE_PROJECT = """
WITH gone_keys AS (SELECT id FROM api_keys WHERE project_id = $1),
subjects AS (SELECT id FROM gone_keys UNION ALL SELECT $1),
budgets_gone AS (DELETE FROM budgets WHERE scope IN ('project', 'key', 'user') AND subject IN (SELECT id FROM subjects)),
limits_gone AS (DELETE FROM limits WHERE scope IN ('project', 'key', 'user') AND subject IN (SELECT id FROM subjects)),
secrets_gone AS (DELETE FROM rotated_secrets WHERE key_id IN (SELECT id FROM gone_keys)),
history_gone AS (DELETE FROM project_settings_history WHERE project_id = $1),
settings_gone AS (DELETE FROM project_settings WHERE project_id = $1)
DELETE FROM api_keys WHERE project_id = $1
"""

DELETE_PROJECT_ROW = "DELETE FROM projects WHERE id = $1"

KEYS_OF_PROJECTS = """
SELECT k.project_id, count(*) FILTER (WHERE k.revoked_at IS NULL),
       count(*) FILTER (WHERE k.revoked_at IS NULL AND k.disabled_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())),
       max(u.last_used_at)
FROM api_keys k
LEFT JOIN key_usage u ON u.key_id = k.id
WHERE k.project_id = ANY ($1::text[])
GROUP BY k.project_id
"""

RATES_OF_PROJECTS = """
SELECT project_id, count(*) / 300.0::float8, count(*) FILTER (WHERE status >= 400)::float8 / count(*)
FROM request_logs
WHERE created_at > now() - interval '5 minutes' AND project_id = ANY ($1::text[])
GROUP BY project_id
"""

DAYS_OF_PROJECTS = """
SELECT d.project_id, t.today - d.day, t.today - d.day < extract(day FROM t.today), d.cost_nusd
FROM usage_daily d
JOIN projects p ON p.id = d.project_id
JOIN orgs o ON o.id = p.org_id
CROSS JOIN LATERAL (SELECT (now() AT TIME ZONE known_zone(o.timezone))::date AS today) t
WHERE d.project_id = ANY ($1::text[]) AND d.day > (now() AT TIME ZONE 'UTC')::date - 33
"""


class ProjectRow(msgspec.Struct, frozen=True):
    id: str
    slug: str
    name: str
    org_id: str
    created_by: str | None
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None
    default_tier: str | None
    allowed_models: list[str] | None
    capture: bool
    timezone: str


class Beside(msgspec.Struct):
    """What a list shows of a project that is not in its row. `days`: nano-USD a day, today first."""

    keys_total: int = 0
    keys_usable: int = 0
    last_used_at: datetime | None = None
    requests_per_s: float = 0.0
    error_share: float | None = None
    month_nusd: int = 0
    days: dict[int, int] = {}


async def by_name(connection: Connection, name: str) -> ProjectRow | None:
    """By id or slug; an id wins."""
    row = await connection.fetchrow(PROJECT_BY_NAME, name)
    return None if row is None else ProjectRow(*row)


async def after(
    connection: Connection, place: tuple[str, str] | None, status: str | None, limit: int
) -> list[ProjectRow]:
    name, last_id = place or (None, None)
    return [ProjectRow(*row) for row in await connection.fetch(PROJECTS_AFTER, name, last_id, status, limit)]


async def beside(connection: Connection, ids: list[str]) -> dict[str, Beside]:
    """Three statements for any number of projects."""
    found = {project_id: Beside() for project_id in ids}
    for project_id, total, usable, used in await connection.fetch(KEYS_OF_PROJECTS, ids):
        one = found[project_id]
        one.keys_total, one.keys_usable, one.last_used_at = total, usable, used
    for project_id, rate, errors in await connection.fetch(RATES_OF_PROJECTS, ids):
        found[project_id].requests_per_s, found[project_id].error_share = rate, errors
    for project_id, days_ago, is_this_month, nusd in await connection.fetch(DAYS_OF_PROJECTS, ids):
        one = found[project_id]
        one.days[days_ago] = nusd
        one.month_nusd += nusd if is_this_month else 0
    return found


async def free_slug(connection: Connection, wanted: str) -> str:
    """`wanted`, or with the first number behind it that is free."""
    taken = {row[0] for row in await connection.fetch(SLUGS_LIKE, wanted)}
    number, slug = 1, wanted
    while slug in taken:
        number += 1
        slug = f"{wanted[:58]}-{number}"
    return slug


async def insert(connection: Connection, project_id: str, org_id: str, slug: str, name: str, by: str) -> None:
    """Raises UniqueViolationError when the slug is taken."""
    await connection.execute(INSERT_PROJECT, project_id, org_id, slug, name, by)
    await connection.execute(INSERT_SETTINGS, project_id, by)


async def update(connection: Connection, project_id: str, name: str, slug: str) -> None:
    await connection.execute(UPDATE_PROJECT, project_id, name, slug)


async def set_archived(connection: Connection, project_id: str, is_archived: bool) -> None:
    await connection.execute(ARCHIVE_PROJECT, project_id, is_archived)


async def delete(connection: Connection, project_id: str) -> None:
    """The project with its keys, settings and limits. Its calls stay in the logs and in the bills."""
    await connection.execute(DELETE_PROJECT, project_id)
    await connection.execute(DELETE_PROJECT_ROW, project_id)
