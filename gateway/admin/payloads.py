"""Captured bodies, opened for whoever may read them; each look is an entry of the audit."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from gateway import capture
from gateway.admin import audit
from gateway.admin.desk import Ask
from gateway.admin.schema.logs import Body
from gateway.sealing import SealError
from gateway.store import payloads as store

READERS = frozenset({"operator", "owner"})
WHY_NOT = {
    "dropped": "it was not kept: too many bodies were waiting",
    "no_key": "it was not kept: OPTYX_SECRET_KEY was not set, and nothing is stored unsealed",
    "kept": "it has been dropped by retention, or never reached the database",
}


async def bodies(
    ask: Ask[Any, Any], project_id: str, created_at: datetime, call_id: UUID, outcome: str | None
) -> tuple[Body, Body]:
    """Request and response of a call. `outcome`: what its record says of the capture, None when there was none."""
    if outcome is None:
        project = ask.desk.catalog.projects.get(project_id)
        is_on = project is not None and project.capture
        why_not = "nothing was captured of this call" if is_on else "capture is off for this project"
        return Body(why_not=why_not), Body(why_not=why_not)
    if ask.who.role not in READERS:
        why_not = "bodies are for operators and owners"
        return Body(why_not=why_not), Body(why_not=why_not)
    parts = await store.of_call(ask.db, created_at, call_id)
    request, response = (_body(ask, parts.get(part), str(call_id), part, outcome) for part in ("request", "response"))
    if request.text is not None or response.text is not None:
        audit.record(ask, "payload.view", ("call", str(call_id), None), project_id=project_id)
        async with ask.db.transaction():
            await audit.append(ask.db, ask)
    return request, response


def _body(ask: Ask[Any, Any], row: store.PayloadRow | None, call_id: str, part: str, outcome: str) -> Body:
    if row is None:
        return Body(why_not=WHY_NOT.get(outcome, WHY_NOT["kept"]))
    known = Body(redactions=row.redactions, truncated=row.truncated)
    if ask.desk.sealer is None:
        known.why_not = "it is sealed, and this gateway has no OPTYX_SECRET_KEY"
        return known
    try:
        known.text = capture.opened(ask.desk.sealer, row.sealed, call_id, part)
    except SealError:
        known.why_not = "it can't be opened: it was sealed with another OPTYX_SECRET_KEY, or changed since"
    return known
