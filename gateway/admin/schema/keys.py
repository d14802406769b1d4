"""Keys of a project."""

from __future__ import annotations

from typing import Literal

from gateway.admin.schema.limits import Budget
from gateway.admin.schema.record import Record

KeyStatus = Literal["active", "unused", "disabled", "expired", "grace", "revoked"]


class Key(Record):
    id: str = ""
    name: str = ""
    public_id: str = ""
    project_id: str = ""
    project: str = ""
    status: str = "active"
    created_at: str = ""
    created_by: str = ""
    expires_at: str | None = None
    grace_until: str | None = None
    last_used_at: str | None = None
    allowed_models: list[str] | None = None
    allowed_addresses: list[str] | None = None
    requests_24h: int = 0
    cost_nusd: int = 0
    budget: Budget | None = None
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    requests_series: list[float] = []
    spend_series: list[float] = []


class NewKey(Key):
    """The only answers with a secret: create and rotate. None when a repeated Idempotency-Key finds the key made already."""

    key: str | None = None
    note: str | None = None
    audit_id: str | None = None


class SavedKey(Key):
    audit_id: str | None = None
