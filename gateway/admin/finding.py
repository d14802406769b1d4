"""What a path or a parameter names, or 404: the one place that says so."""

from __future__ import annotations

from typing import Any

from gateway.admin.desk import Ask
from gateway.errors import BadRequest, NotFound
from gateway.store import keys, log_filter, orgs, projects
from gateway.store.pool import Connection


async def org_of(ask: Ask[Any, Any], name: str | None = None) -> orgs.OrgRow:
    """The org of the path, or `name`, by id or slug. Raises NotFound."""
    wanted = name if name is not None else ask.path["o"]
    found = await orgs.by_name(ask.db, wanted)
    if found is None:
        raise NotFound(f"There is no org {wanted[:80]!r}.")
    return found


async def project_of(ask: Ask[Any, Any], *, lock: bool = False) -> projects.ProjectRow:
    """The project of the path, by id or slug; `lock` where it is about to change. Raises NotFound."""
    wanted = ask.path["p"]
    found = await projects.by_name(ask.db, wanted)
    if found is not None and lock:
        await ask.db.execute(projects.LOCK_PROJECT, found.id)
        found = await projects.by_name(ask.db, found.id)
    if found is None:
        raise NotFound(f"There is no project {wanted[:80]!r}.")
    return found


async def key_of(ask: Ask[Any, Any], *, lock: bool = False) -> keys.KeyRow:
    """The key of the path, by id. Raises NotFound."""
    wanted = ask.path["k"]
    if lock:
        await keys.lock(ask.db, wanted)
    found = await keys.by_id(ask.db, wanted)
    if found is None:
        raise NotFound(f"There is no key {wanted[:80]!r}.")
    return found


async def id_of(connection: Connection, field: str, value: str) -> str | None:
    """The id of a project or key by id, slug or name; None for no name. Raises NotFound, and BadRequest when several have the name."""
    if not value:
        return None
    term = await log_filter.resolve_term(connection, log_filter.Term(field, "=", value))
    if term.op == "=":
        return str(term.value)
    if not term.value:
        raise NotFound(f"There is no {field} {value[:60]!r}.", param=field)
    raise BadRequest(f"{len(term.value)} {field}s are called {value[:60]!r}; say the id.", param=field)
