"""What is written down about a call: an `Intent` before the first upstream byte, `Progress` while a long stream runs, a `Final` before
the client's last byte. Pure.

Made by `proxy/record`, appended by `journal`, carried to Postgres by `logbook`. A line of a journal is one JSON array (the structs are
array-like: names would be half the bytes); fields are only ever appended, so that an older journal can still be read.
Times are epoch seconds, durations milliseconds, money nano-USD.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.ledger import Usage, UsageSource

EndReason = Literal[
    "complete",  # a whole answer, or a stream with its proper end
    "refused",  # our no, after authentication
    "upstream_refused",  # the provider's own 4xx, passed on
    "upstream_failed",  # no target answered
    "upstream_truncated",  # the answer broke off after its first byte
    "upstream_timeout",  # idle or total timeout after the first byte
    "client_closed",  # the client left
    "drained",  # cut by our own shutdown deadline
    "interrupted",  # the worker died in the middle: written by whoever adopted its journal
    "replayed",  # an Idempotency-Key's stored answer
]


MAX_ATTEMPTS = 3
"""Of one call, on all its targets; those of `NOT_TRIED` don't count."""
NOT_TRIED = frozenset({"resting", "unconfigured", "overloaded", "unsupported", "forced"})
"""Failures of attempts that reached for no provider."""


class AttemptRecord(msgspec.Struct, omit_defaults=True):
    """One try of one target, as the log shows it. `failure` is a FailureKind or None; `cost_nusd` where the provider bills it."""

    provider: str
    model: str
    status: int | None = None
    failure: str | None = None
    detail: str | None = None
    ms: float = 0.0
    start_ms: float = 0.0
    """When the attempt began, counted from the call's start."""
    ttft_ms: float | None = None
    cost_nusd: int | None = None
    reused: bool | None = None
    usage: Usage | None = None
    """What the provider counted for an attempt that gave no answer; the answer's own usage is the call's."""
    price_id: str | None = None
    """The price of `usage`."""


class Intent(msgspec.Struct, array_like=True, tag="i"):
    """Before the first upstream byte. Enough to write an `interrupted` row if no Final follows."""

    call_id: str
    created_at: float
    request_id: str
    org_id: str
    project_id: str
    key_id: str
    endpoint: str
    tier: str | None
    requested_model: str | None
    stream: bool
    targets: list[str]
    """`provider/model`, in order."""
    hold_nusd: int | None
    prompt_tokens_estimate: int
    user: str | None = None
    tags: list[str] | None = None


class Progress(msgspec.Struct, array_like=True, tag="p"):
    """How far a stream has come, once a second: what an `interrupted` row can say of it. Always an estimate."""

    call_id: str
    provider: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost_nusd: int | None
    price_id: str | None


class Final(msgspec.Struct, array_like=True, tag="f"):
    """Everything a row of `request_logs` has but what the database adds. Refusals after authentication have a Final alone."""

    call_id: str
    created_at: float
    request_id: str
    org_id: str
    project_id: str
    key_id: str
    endpoint: str
    tier: str | None
    requested_model: str | None
    provider: str | None
    model: str | None
    status: int
    error_code: str | None
    end_reason: EndReason
    stream: bool
    attempts: list[AttemptRecord]
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    total_tokens: int | None
    usage_source: UsageSource
    cost_nusd: int | None
    price_id: str | None
    latency_ms: float
    ttft_ms: float | None
    overhead_ms: float | None
    user: str | None = None
    tags: list[str] | None = None
    details: dict[str, object] | None = None
    """What the detail screen shows beside: why this route, finish_reason, upstream's request id, client address and agent."""


class ReadFinal(Final, array_like=True, tag="f"):
    """A final as the logbook reads it: what goes on as JSON is not opened on the way."""

    details: msgspec.Raw = msgspec.Raw(b"null")  # type: ignore[assignment]  # it is only read


Record = Intent | Progress | Final


def interrupted(intent: Intent, progress: Progress | None = None) -> Final:
    """What is known of a call whose worker died: that it began, and how far its stream had come. The same input always gives the
    same row."""
    seen = None if progress is None else progress.prompt_tokens + progress.completion_tokens
    return Final(
        call_id=intent.call_id,
        created_at=intent.created_at,
        request_id=intent.request_id,
        org_id=intent.org_id,
        project_id=intent.project_id,
        key_id=intent.key_id,
        endpoint=intent.endpoint,
        tier=intent.tier,
        requested_model=intent.requested_model,
        provider=progress.provider if progress else None,
        model=progress.model if progress else None,
        status=500,
        error_code="interrupted",
        end_reason="interrupted",
        stream=intent.stream,
        attempts=[],
        prompt_tokens=progress.prompt_tokens if progress else None,
        completion_tokens=progress.completion_tokens if progress else None,
        cached_tokens=None,
        cache_write_tokens=None,
        reasoning_tokens=None,
        total_tokens=seen,
        usage_source="estimated" if progress else "none",
        cost_nusd=progress.cost_nusd if progress else None,
        price_id=progress.price_id if progress else None,
        latency_ms=0.0,
        ttft_ms=None,
        overhead_ms=None,
        user=intent.user,
        tags=intent.tags,
        details={"targets": intent.targets, "hold_nusd": intent.hold_nusd},
    )
