"""The first screen in one answer: rates, money, calls under way, health, and what needs an operator."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.admin.schema.logs import LogRow
from gateway.admin.schema.providers import TargetHealth
from gateway.admin.schema.record import Record

Severity = Literal["error", "warning", "info"]


class Rates(Record):
    """One span of time, and how it went inside: the lists have one value a step, oldest first."""

    requests_per_s: float = 0.0
    requests_per_s_before: float | None = None
    """The same an hour before."""
    requests: int = 0
    looked_at: int = 0
    """How many of them the figures come from: fewer than `requests` on a busy log, and then each stands for several."""
    errors: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    top_error: str = ""
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    ttft_p50_ms: float | None = None
    ttft_p95_ms: float | None = None
    overhead_p95_ms: float | None = None
    stream_share: float = 0.0
    prompt_tokens_per_min: float = 0.0
    completion_tokens_per_min: float = 0.0
    cached_share: float = 0.0
    failover_share: float = 0.0
    retry_share: float = 0.0
    requests_series: list[float] = []
    errors_series: list[float] = []
    latency_series: list[float] = []
    ttft_series: list[float] = []
    tokens_series: list[float] = []
    failover_series: list[float] = []


class Spend(Record):
    today_nusd: int = 0
    yesterday_nusd: int = 0
    forecast_nusd: int | None = None
    """Where today ends if it goes on like this."""
    series: list[float] = []
    unpriced_calls: int = 0


class InFlight(Record):
    calls: int = 0
    streams: int = 0
    oldest_s: float = 0.0
    workers: int = 0
    series: list[float] = []


class TopRow(Record):
    """A project, key or model by spend."""

    id: str = ""
    name: str = ""
    requests_per_s: float = 0.0
    error_share: float = 0.0
    ttft_p95_ms: float | None = None
    tokens_per_min: float = 0.0
    today_nusd: int = 0
    budget_share: float | None = None
    series: list[float] = []


class Attention(Record):
    """`filter`: of the logs behind it; `screen` and `object`: where to go."""

    severity: Severity = "warning"
    title: str = ""
    detail: str = ""
    since: str | None = None
    screen: str = ""
    object: str = ""
    filter: str = ""


class Overview(Record):
    window: str = "15m"
    generated_at: str = ""
    timezone: str = "UTC"
    price_table_at: str | None = None
    rates: Rates = msgspec.field(default_factory=Rates)
    spend: Spend = msgspec.field(default_factory=Spend)
    in_flight: InFlight = msgspec.field(default_factory=InFlight)
    providers: list[TargetHealth] = []
    models: list[TargetHealth] = []
    top_projects: list[TopRow] = []
    top_keys: list[TopRow] = []
    top_models: list[TopRow] = []
    attention: list[Attention] = []
    latest_errors: list[LogRow] = []
