"""What an operator sets: for a project, with the preview and history of changes, and for the whole gateway."""

from __future__ import annotations

from typing import Any

from gateway.admin.schema.models import TierTarget
from gateway.admin.schema.record import Record


class Settings(Record):
    """None: the gateway's own value holds."""

    default_tier: str | None = None
    tiers: dict[str, list[TierTarget]] | None = None
    allowed_models: list[str] | None = None
    failover: bool = True
    capture: bool = False
    timezone: str | None = None
    version: int = 0
    updated_at: str = ""
    updated_by: str = ""


class SavedSettings(Settings):
    audit_id: str | None = None


class Problem(Record):
    field: str = ""
    message: str = ""


class Difference(Record):
    field: str = ""
    before: Any = None
    after: Any = None


class Impact(Record):
    """What calls of one key in the last 24 hours would have met. `refused`: our no. `elsewhere`: another target is asked first, and serves
    it. `no_fallback`: only targets are left that had not answered before the one that did."""

    key: str = ""
    key_id: str = ""
    requests: int = 0
    outcome: str = "refused"
    reason: str = ""


class Preview(Record):
    problems: list[Problem] = []
    differences: list[Difference] = []
    refused: int = 0
    no_fallback: int = 0
    elsewhere: int = 0
    examined: int = 0
    impact: list[Impact] = []


class SettingsVersion(Record):
    version: int = 0
    at: str = ""
    by: str = ""
    summary: str = ""
    """What it changed, in a line."""
    values: dict[str, Any] = {}
    """All that it says, as in the settings themselves."""


class GatewaySettings(Record):
    """What an operator sets for the whole gateway; docs/settings.md says what each means."""

    default_max_output_tokens: int = 4_096
    rate_without_coordinator: str = "share"
    unpriced_with_budget: str = "refuse"
    log_retention_days: int = 90
    capture_retention_days: int = 7
    alert_webhook: str | None = None


class SavedGatewaySettings(GatewaySettings):
    audit_id: str | None = None
