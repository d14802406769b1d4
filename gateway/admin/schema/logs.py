"""Calls as the log tells them: rows for lists and the tail, one call in full, and counts of what a search matches."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.admin.schema.explain import ToldLimit
from gateway.admin.schema.record import Record


class Attempt(Record):
    """One try of one target. `start_ms` counts from the call's arrival."""

    provider: str = ""
    model: str = ""
    status: int | None = None
    failure: str | None = None
    detail: str | None = None
    ms: float = 0.0
    start_ms: float = 0.0
    ttft_ms: float | None = None
    cost_nusd: int | None = None
    reused: bool | None = None


class LogRow(Record):
    """A call, as lists and the tail show it."""

    request_id: str = ""
    call_id: str = ""
    created_at: str = ""
    project: str = ""
    project_id: str = ""
    key: str = ""
    key_id: str = ""
    endpoint: str = ""
    tier: str | None = None
    requested_model: str | None = None
    provider: str | None = None
    model: str | None = None
    status: int = 0
    error_code: str | None = None
    end_reason: str = ""
    stream: bool = False
    attempts: list[Attempt] = []
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    usage_source: str = "none"
    cost_nusd: int | None = None
    price_id: str | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None
    overhead_ms: float | None = None
    user: str | None = None
    tags: list[str] | None = None
    gateway_version: str = ""
    trace_id: str | None = None
    """Of the caller's `traceparent`."""


class Trace(Record):
    """What belongs together: the calls with this trace id, and what they came to. `since` is the first one's arrival, `until` the last one's
    end. Nothing is mixed silently: of the tokens those of `estimated_calls` are estimates, and `unpriced_calls` are not in the cost.
    `is_whole` false: there are more calls, and these are only some of them."""

    id: str = ""
    calls: int = 0
    errors: int = 0
    since: str = ""
    until: str = ""
    total_tokens: int = 0
    estimated_calls: int = 0
    cost_nusd: int = 0
    unpriced_calls: int = 0
    is_whole: bool = True


class PriceUsed(Record):
    """Nano-USD per million tokens, as they stood when the call was priced."""

    id: str = ""
    input_nusd: int | None = None
    cached_nusd: int | None = None
    cache_write_nusd: int | None = None
    output_nusd: int | None = None
    valid_from: str | None = None
    source: str = ""


class Body(Record):
    """A captured payload, redacted. `text` is None when nothing was captured; `why_not` then says so."""

    text: str | None = None
    redactions: int = 0
    truncated: bool = False
    why_not: str = ""


class RouteCandidate(Record):
    """`verdict`: answered, failed, passed over (its turn came, and it was not even asked), not reached, left out (of the line). Prices are
    nano-USD per million tokens; `price_basis` says whose: `used` (what the call was priced with), `listed` (what the price list has for the
    time of the call) or `today` (it has none for then: the present one). `tokens_nusd`: what the call's tokens come to at it."""

    provider: str = ""
    model: str = ""
    verdict: str = ""
    why: str = ""
    attempts: int = 0
    input_nusd: int | None = None
    output_nusd: int | None = None
    price_basis: str | None = None
    tokens_nusd: int | None = None


class CallRoute(Record):
    """Why a call went where it went. `policy`: model (the caller named one) or tier; `candidates` in the order of their turns, then those left
    out. `limits` as the worker knew them just before: `left` is what was free then. `refusal` is what we told the caller instead of asking
    anybody. `is_whole` false: the record is from a version that kept only what was tried."""

    why: str = ""
    policy: str = ""
    is_whole: bool = False
    candidates: list[RouteCandidate] = []
    limits: list[ToldLimit] = []
    refusal: str | None = None


class LogDetail(LogRow):
    route: CallRoute = msgspec.field(default_factory=CallRoute)
    price: PriceUsed | None = None
    trace: Trace | None = None
    cache_write_tokens: int | None = None
    worker_id: str = ""
    details: dict[str, Any] | None = None
    request_body: Body | None = None
    response_body: Body | None = None


class LogPage(Record):
    data: list[LogRow] = []
    next: str | None = None
    scanned_to: str | None = None
    """Set when the search stopped before the end of the asked range: how far back it looked."""


class LogCount(Record):
    """What matches, what there is in the same range without the filter, and how it spreads over the range."""

    matched: int = 0
    total: int = 0
    since: str = ""
    until: str = ""
    series: list[float] = []
    error_series: list[float] = []
    truncated: bool = False
