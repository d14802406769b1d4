"""Limits and budgets: what is set, and how much of it is used now."""

from __future__ import annotations

import msgspec

from gateway.admin.schema.logs import LogRow
from gateway.admin.schema.record import Record


class Budget(Record):
    """A gauge. `spent_nusd` is recorded. Workers have drawn `drawn_nusd` beside it, which nobody else may spend: of that `unrecorded_nusd` is
    spent and not recorded yet, `held_nusd` is set aside for calls under way (both as of the workers' last heartbeats), and the rest is unused. The
    gateway computes every time."""

    id: str = ""
    scope: str = ""
    subject: str = ""
    subject_name: str = ""
    model: str = ""
    tier: str = ""
    amount_usd: str = "0"
    amount_nusd: int = 0
    window: str = "1mo"
    spent_nusd: int = 0
    unrecorded_nusd: int = 0
    held_nusd: int = 0
    drawn_nusd: int = 0
    resets_at: str | None = None
    forecast_at: str | None = None
    """When it will be used up if the last 24 hours go on; None: it lasts."""
    raise_nusd: int = 0
    raise_until: str | None = None
    soft_percent: int | None = None
    downgrade_percent: int | None = None


class Gauge(Record):
    """A rate now against its limit; None: no limit."""

    used: float = 0.0
    limit: int | None = None


class LimitRow(Record):
    scope: str = ""
    subject: str = ""
    name: str = ""
    rpm: Gauge = msgspec.field(default_factory=Gauge)
    tpm: Gauge = msgspec.field(default_factory=Gauge)
    concurrency: Gauge = msgspec.field(default_factory=Gauge)
    refused_24h: int = 0


class LimitsOverview(Record):
    """A page: `limit` budgets and rates in all, budgets first. The last refusals come with the first page."""

    timezone: str = "UTC"
    next: str | None = None
    budgets: list[Budget] = []
    rates: list[LimitRow] = []
    latest_refusals: list[LogRow] = []


class BudgetAsked(Record):
    """`soft_percent`: warn there; `downgrade_percent`: use the tier's cheaper targets from there on."""

    id: str = ""
    amount_usd: str = ""
    window: str = "1mo"
    soft_percent: int | None = None
    downgrade_percent: int | None = None


class LimitSet(Record):
    """None: no limit."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    budgets: list[BudgetAsked] = []


class Limits(LimitSet):
    """What `GET` and `PUT …/limits` carry: limits of all calls, and of calls of single models and tiers."""

    models: dict[str, LimitSet] = {}
    tiers: dict[str, LimitSet] = {}


class SavedLimits(Limits):
    audit_id: str | None = None
