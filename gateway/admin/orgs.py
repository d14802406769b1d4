"""Organisations: a name, and the time zone in which budgets and reports turn over."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from gateway.admin import asked as a
from gateway.admin import audit
from gateway.admin.decode import refuse
from gateway.admin.desk import Ask, Nothing
from gateway.admin.finding import org_of
from gateway.admin.paging import PageQuery, decode_cursor, page
from gateway.admin.schema.people import Org, SavedOrg
from gateway.admin.schema.record import Page
from gateway.admin.settings import is_zone
from gateway.instants import iso
from gateway.store import orgs as store


async def list_orgs(ask: Ask[Nothing, PageQuery]) -> Page[Org]:
    place = decode_cursor(ask.query.cursor, tuple[str])
    rows = await store.after(ask.db, place[0] if place else None, ask.query.limit + 1)
    listed = page(rows, ask.query.limit, lambda row: (row.id,))
    return Page(data=[Org(**_fields(row)) for row in listed.data], next=listed.next)


async def get(ask: Ask[Nothing, Nothing]) -> Org:
    return Org(**_fields(await org_of(ask)))


async def update(ask: Ask[a.OrgChange, Nothing]) -> SavedOrg:
    row, body = await org_of(ask), ask.body
    name = row.name if body.name is UNSET else body.name
    timezone = row.timezone if body.timezone is UNSET else body.timezone
    if not is_zone(timezone) or not await store.knows_zone(ask.db, timezone):
        refuse([("timezone", f"there is no time zone {timezone[:80]!r}; one is Europe/Berlin")])
    await store.update(ask.db, row.id, name, timezone)
    audit_id = audit.record(
        ask, "org.update", ("org", row.id, name),
        before={"name": row.name, "timezone": row.timezone}, after={"name": name, "timezone": timezone},
    )  # fmt: skip
    return SavedOrg(**_fields(await org_of(ask, row.id)), audit_id=audit_id)


def _fields(row: store.OrgRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "slug": row.slug,
        "name": row.name,
        "timezone": row.timezone,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
    }
