"""The audit: who changed what, and whether its hash chain holds."""

from __future__ import annotations

from typing import Any

from gateway.admin.schema.record import Record


class AuditEntry(Record):
    """`before` and `after` hold what changed; secrets never do. `id` grows with time."""

    id: str = ""
    at: str = ""
    actor: str = ""
    action: str = ""
    object_type: str = ""
    object_id: str = ""
    object_name: str = ""
    project: str = ""
    origin: str = ""
    result: str = "ok"
    reason: str = ""
    request_id: str = ""
    undone_by: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    digest: str = ""


class Chain(Record):
    """The audit's hash chain, checked from its first entry."""

    ok: bool = False
    entries: int = 0
    head: str = ""
    broken_at: str | None = None
