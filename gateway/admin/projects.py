"""Projects: lists, life and death. A project is archived (its keys stop, its data stays) before it can be deleted."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, TypeVar

from msgspec import UNSET

from gateway import ids
from gateway.admin import asked as a
from gateway.admin import audit, keys
from gateway.admin.desk import Ask, Nothing, Reply, moment
from gateway.admin.finding import org_of, project_of
from gateway.admin.gauges import tightest
from gateway.admin.paging import decode_cursor, page
from gateway.admin.schema.limits import Budget
from gateway.admin.schema.projects import NewProject, Project, SavedProject
from gateway.admin.schema.record import Changed, Page
from gateway.errors import Conflict
from gateway.instants import iso
from gateway.store import orgs, rules
from gateway.store import projects as store

DAYS = 30
P = TypeVar("P", bound=Project)


async def list_projects(ask: Ask[Nothing, a.ProjectsQuery]) -> Page[Project]:
    """By name. Everything beside the rows comes in a handful of statements, however many projects there are."""
    q = ask.query
    rows = await store.after(ask.db, decode_cursor(q.cursor, tuple[str, str]), q.status, q.limit + 1)
    listed = page(rows, q.limit, lambda row: (row.name.lower(), row.id))
    return Page(data=await _told(ask, listed.data, Project), next=listed.next)


async def create(ask: Ask[a.NewProject, Nothing]) -> NewProject:
    body = ask.body
    org = await (org_of(ask, body.org) if body.org else orgs.of_user(ask.db, ask.who.user_id))
    if org is None:
        raise Conflict("There is no org yet. Run: optyx seed")
    slug = body.slug or await store.free_slug(ask.db, slug_of(body.name))
    project_id = ids.new("prj")
    await store.insert(ask.db, project_id, org.id, slug, body.name, ask.who.name)
    audit_id = audit.record(
        ask, "project.create", ("project", project_id, body.name), project_id=project_id, after={"name": body.name, "slug": slug}
    )  # fmt: skip
    row = await store.by_name(ask.db, project_id)
    assert row is not None
    first = None
    if body.with_key is not None:
        first = await keys.make(ask, row, a.NewKey(name=body.with_key))
    (made,) = await _told(ask, [row], NewProject)
    made.key, made.audit_id = first, audit_id
    return made


async def get(ask: Ask[Nothing, Nothing]) -> Reply:
    row = await project_of(ask)
    return Reply((await _told(ask, [row], Project))[0], version=moment(row.updated_at))


async def update(ask: Ask[a.ProjectChange, Nothing]) -> SavedProject:
    row = await project_of(ask, lock=True)
    ask.require_match(moment(row.updated_at))
    name = row.name if ask.body.name is UNSET else ask.body.name
    slug = row.slug if ask.body.slug is UNSET else ask.body.slug
    await store.update(ask.db, row.id, name, slug)
    audit_id = audit.record(
        ask, "project.update", ("project", row.id, name), project_id=row.id,
        before={"name": row.name, "slug": row.slug}, after={"name": name, "slug": slug},
    )  # fmt: skip
    return await _saved(ask, row.id, audit_id)


async def archive(ask: Ask[Nothing, Nothing]) -> SavedProject:
    return await _set_archived(ask, True)


async def restore(ask: Ask[Nothing, Nothing]) -> SavedProject:
    return await _set_archived(ask, False)


async def delete(ask: Ask[Nothing, Nothing]) -> Changed:
    """For ever: the project, its keys, settings and limits. The calls it made stay in the logs and the bills."""
    row = await project_of(ask, lock=True)
    if row.archived_at is None:
        raise Conflict(f"{row.slug} is in use: archive it first (POST /projects/{row.slug}/archive), then delete it.")
    await store.delete(ask.db, row.id)
    before = {"name": row.name, "slug": row.slug, "org_id": row.org_id}
    return Changed(
        audit_id=audit.record(ask, "project.delete", ("project", row.id, row.name), project_id=row.id, before=before)
    )


async def undo_archive(ask: Ask[Any, Any], project_id: str, before: str, after: str) -> None:
    await ask.db.execute(store.LOCK_PROJECT, project_id)
    row = await store.by_name(ask.db, project_id)
    if row is None or _status(row) != after:
        raise Conflict("The project was changed again meanwhile.")
    await store.set_archived(ask.db, project_id, before == "archived")


def slug_of(name: str) -> str:
    """`Café & Co` is `cafe-co`; a name without a letter or digit is `project`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:58].strip("-") or "project"


async def _set_archived(ask: Ask[Nothing, Nothing], is_archived: bool) -> SavedProject:
    row = await project_of(ask, lock=True)
    await store.set_archived(ask.db, row.id, is_archived)
    audit_id = audit.record(
        ask, "project.archive" if is_archived else "project.restore", ("project", row.id, row.name), project_id=row.id,
        before={"status": _status(row)}, after={"status": "archived" if is_archived else "active"},
    )  # fmt: skip
    return await _saved(ask, row.id, audit_id)


async def _saved(ask: Ask[Any, Any], project_id: str, audit_id: str) -> SavedProject:
    row = await store.by_name(ask.db, project_id)
    assert row is not None
    (saved,) = await _told(ask, [row], SavedProject)
    saved.audit_id = audit_id
    return saved


def _status(row: store.ProjectRow) -> str:
    return "active" if row.archived_at is None else "archived"


async def _told(ask: Ask[Any, Any], rows: list[store.ProjectRow], kind: type[P]) -> list[P]:
    wanted = [row.id for row in rows]
    beside = await store.beside(ask.db, wanted)
    budgets = await tightest(ask.db, ask.desk.clock(), "project", wanted)
    limits = await rules.plain_of(ask.db, "project", wanted)
    return [_one(row, beside[row.id], budgets.get(row.id), limits.get(row.id), kind) for row in rows]


def _one(
    row: store.ProjectRow, beside: store.Beside, budget: Budget | None, limit: rules.PlainRow | None, kind: type[P]
) -> P:  # fmt: skip
    return kind(
        id=row.id,
        slug=row.slug,
        name=row.name,
        status=_status(row),
        created_at=iso(row.created_at) or "",
        updated_at=iso(row.updated_at) or "",
        created_by=row.created_by or "",
        keys_total=beside.keys_total,
        keys_usable=beside.keys_usable if row.archived_at is None else 0,
        default_tier=row.default_tier or "fast",
        allowed_models=row.allowed_models,
        capture=row.capture,
        requests_per_s=beside.requests_per_s,
        error_share=beside.error_share,
        today_nusd=beside.days.get(0, 0),
        month_nusd=beside.month_nusd,
        budget=budget,
        rpm=limit.rpm if limit else None,
        tpm=limit.tpm if limit else None,
        concurrency=limit.concurrency if limit else None,
        last_used_at=iso(beside.last_used_at),
        spend_series=[beside.days.get(ago, 0) / 1e9 for ago in reversed(range(DAYS))] if beside.days else [],
    )
