"""Projects."""

from __future__ import annotations

from gateway.admin.schema.keys import NewKey
from gateway.admin.schema.limits import Budget
from gateway.admin.schema.record import Record


class Project(Record):
    id: str = ""
    slug: str = ""
    name: str = ""
    status: str = "active"
    created_at: str = ""
    updated_at: str = ""
    created_by: str = ""
    keys_total: int = 0
    keys_usable: int = 0
    default_tier: str = ""
    allowed_models: list[str] | None = None
    capture: bool = False
    requests_per_s: float = 0.0
    error_share: float | None = None
    today_nusd: int = 0
    month_nusd: int = 0
    budget: Budget | None = None
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    last_used_at: str | None = None
    spend_series: list[float] = []
    """Dollars a day, the last 30."""


class SavedProject(Project):
    audit_id: str | None = None


class NewProject(Project):
    """`key`: the first key, where one was asked for; shown once like any other."""

    key: NewKey | None = None
    note: str | None = None
    audit_id: str | None = None
