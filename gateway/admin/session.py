"""Who is asking, and what can be asked."""

from __future__ import annotations

from typing import Any

from gateway.admin.desk import Ask, Nothing
from gateway.admin.schema.people import Whoami
from gateway.store import orgs


async def whoami(ask: Ask[Nothing, Nothing]) -> Whoami:
    org = await orgs.of_user(ask.db, ask.who.user_id)
    return Whoami(
        name=ask.who.name,
        token_id=ask.who.token_id,
        role=ask.who.role,
        org_id=org.id if org else "",
        version=ask.desk.version,
        timezone=org.timezone if org else "UTC",
    )


async def openapi(ask: Ask[Nothing, Nothing]) -> dict[str, Any]:
    from gateway.admin.openapi import document  # it reads the table, which holds this handler
    from gateway.admin.routes import ROUTES

    return document(ROUTES, ask.desk.version)
