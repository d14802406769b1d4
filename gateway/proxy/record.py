"""What is written down: the intent before the first upstream byte, how far a stream has come, the final before the client's last byte."""

from __future__ import annotations

import contextlib
import logging

from gateway.capture import Captured, Outcome, Ticket
from gateway.catalog import Target
from gateway.errors import Unavailable
from gateway.ledger import Usage, call_cost, cost_nusd
from gateway.proxy.call import Call, Plane, ms
from gateway.proxy.choose import Route
from gateway.proxy.meter import metered_tokens
from gateway.records import EndReason, Final, Intent, Progress

log = logging.getLogger(__name__)


def intend(plane: Plane, call: Call, route: Route) -> None:
    """Raises Unavailable `accounting_unavailable` when the journal can't take it: then no provider is asked."""
    assert call.project is not None
    assert call.key is not None
    intent = Intent(
        call_id=call.call_id,
        created_at=call.created_at,
        request_id=call.request_id,
        org_id=call.project.org_id,
        project_id=call.project.id,
        key_id=call.key.id,
        endpoint=call.endpoint,
        tier=call.tier,
        requested_model=call.requested_model,
        stream=call.stream,
        targets=[f"{target.model.provider.name}/{target.model.id}" for target in route.targets],
        hold_nusd=call.hold.nusd if call.hold is not None else None,
        prompt_tokens_estimate=call.prompt_estimate,
        user=call.user,
        tags=call.tags,
    )
    try:
        plane.journal.append(intent)
    except OSError as error:
        plane.metrics.count("journal_errors")
        log.error("the journal can't be written: %s", error.strerror)
        raise Unavailable(
            "This call can't be recorded (the gateway's journal can't be written), so no provider was asked. Try again later.",
            code="accounting_unavailable",
            retry_after_s=5,
        ) from None


def note(plane: Plane, call: Call, target: Target, usage: Usage) -> None:
    """How far a stream has come, for the case that this worker is killed. A journal that fails now is found out by the next call."""
    price = target.model.price_at(call.created_at)
    own = None if price is None else cost_nusd(usage, price)
    progress = Progress(
        call_id=call.call_id,
        provider=target.provider.name,
        model=target.model.id,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cost_nusd=call_cost(own, True, (attempt.cost_nusd for attempt in call.attempts[:-1])),
        price_id=price.id if price else None,
    )
    with contextlib.suppress(OSError):
        plane.journal.append(progress)


def finish(plane: Plane, call: Call, end_reason: EndReason) -> None:
    """Journals the final record, settles the hold and counts: once per call, whoever comes first."""
    if call.is_recorded:
        return
    call.is_recorded = True
    call.end_reason = end_reason
    latency_ms = call.elapsed_ms()
    overhead_ms = call.overhead_ms()
    captured = None if call.captured is None else _hand_over(plane, call, call.captured)
    final = to_final(call, end_reason, latency_ms, overhead_ms, captured)
    if final is not None:
        try:
            plane.journal.append(final)
        except Exception as error:  # whatever it is: the charge must not be lost, nor the hold be kept
            plane.metrics.count("journal_errors")
            log.error("a final record can't be journaled: %s", error)
            if plane.on_unrecorded is not None:
                plane.on_unrecorded(final)
    usage = call.usage
    provider, model = call.answered_by or ("", "")
    if call.hold is not None:
        tokens = metered_tokens(call)
        if tokens is None and call.target is None:
            call.hold.release()
        else:  # a provider that was asked in vain: that is a request, without tokens and money
            call.hold.settle(tokens or 0, call.cost_nusd or 0, model or None)
    plane.metrics.call(call.endpoint, provider, model, call.status, latency_ms, overhead_ms)
    if usage is not None:
        own_nusd = call.attempts[-1].cost_nusd if call.attempts else None
        plane.metrics.spent(provider, model, usage.prompt_tokens, usage.completion_tokens, own_nusd)
        if call.price is None:
            plane.metrics.unpriced_call(provider, model)


def _hand_over(plane: Plane, call: Call, captured: Captured) -> Outcome | None:
    """The bodies of a call that has a record; what became of them goes into it."""
    if plane.capture is None or call.project is None:
        return None
    call.captured = None
    ticket = Ticket(call.call_id, call.created_at, call.request_id, call.project.id, call.stream and call.status == 200)
    return plane.capture.keep(ticket, captured)


def to_final(
    call: Call, end_reason: EndReason, latency_ms: float, overhead_ms: float, captured: Outcome | None = None
) -> Final | None:
    """The row of this call; None before authentication (nobody's call is not logged)."""
    project, key, usage = call.project, call.key, call.usage
    if project is None or key is None:
        return None
    provider, model = call.answered_by or (None, None)
    details: dict[str, object] = {}
    if call.why is not None:
        details["why"] = call.why
    if call.finish is not None:
        details["finish_reason"] = call.finish
    if call.traceparent is not None:
        details["traceparent"] = call.traceparent
    if captured is not None:
        details["capture"] = captured
    return Final(
        call_id=call.call_id,
        created_at=call.created_at,
        request_id=call.request_id,
        org_id=project.org_id,
        project_id=project.id,
        key_id=key.id,
        endpoint=call.endpoint,
        tier=call.tier,
        requested_model=call.requested_model,
        provider=provider,
        model=model,
        status=call.status,
        error_code=call.error_code,
        end_reason=end_reason,
        stream=call.stream,
        attempts=call.attempts,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        cache_write_tokens=usage.cache_write_tokens if usage else None,
        reasoning_tokens=usage.reasoning_tokens if usage else None,
        total_tokens=usage.total_tokens if usage else None,
        usage_source=call.usage_source,
        cost_nusd=call.cost_nusd,
        price_id=call.price.id if call.price else None,
        latency_ms=latency_ms,
        ttft_ms=ms(call.first_byte_ns - call.started_ns) if call.first_byte_ns else None,
        overhead_ms=overhead_ms,
        user=call.user,
        tags=call.tags,
        details=details or None,
    )


async def synced_anyhow(plane: Plane) -> None:
    """The final onto the disk. When that fails the answer is given all the same, since the provider has been paid: the record stands in
    the file as it does without `power`, and the next call is refused before it begins."""
    try:
        await plane.journal.synced()
    except OSError as error:
        plane.metrics.count("journal_errors")
        log.error("a final record may not survive a power cut: %s", error.strerror)
