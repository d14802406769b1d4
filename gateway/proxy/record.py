"""What is written down: the intent before the first upstream byte, how far a stream has come, the final before the client's last byte."""

from __future__ import annotations

import contextlib
import logging
import time

from gateway.capture import Captured, Outcome, Ticket
from gateway.catalog import Target
from gateway.errors import Unavailable
from gateway.ledger import Usage, call_cost, cost_nusd
from gateway.proxy.call import Call, Plane, ms
from gateway.proxy.choose import Route
from gateway.proxy.meter import metered_tokens
from gateway.records import EndReason, Final, Intent, Progress

log = logging.getLogger(__name__)

LONGEST_REFUSAL = 500


def intend(plane: Plane, call: Call, route: Route) -> None:
    """Raises Unavailable `accounting_unavailable` when the journal can't take it: then no provider is asked."""
    assert call.project is not None
    assert call.key is not None
    project = call.project
    hold_nusd = call.hold.nusd if call.hold is not None else None
    # by position, as in to_final: a third of what names would cost
    intent = Intent(
        call.call_id, call.created_at, call.request_id, project.org_id, project.id, call.key.id, call.endpoint, call.tier, call.requested_model,
        call.stream, route.names, hold_nusd, call.prompt_estimate, call.user, call.tags,
    )  # fmt: skip
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
    elapsed_ns = time.perf_counter_ns() - call.started_ns
    latency_ms = ms(elapsed_ns)
    overhead_ms = call.own_ms = ms(max(0, elapsed_ns - call.upstream_ns))
    call.is_recorded = True
    call.end_reason = end_reason
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
    prompt = completion = cached = written = reasoning = total = None
    if usage is not None:
        prompt, completion, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
        cached, written, reasoning = usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens
    price_id = call.price.id if call.price is not None else None
    ttft_ms = ms(call.first_byte_ns - call.started_ns) if call.first_byte_ns else None
    # by position: 31 names cost a microsecond of the 1.4 that a final with names takes
    return Final(
        call.call_id, call.created_at, call.request_id, project.org_id, project.id, key.id, call.endpoint, call.tier, call.requested_model,
        provider, model, call.status, call.error_code, end_reason, call.stream, call.attempts,
        prompt, completion, cached, written, reasoning, total, call.usage_source, call.cost_nusd, price_id,
        latency_ms, ttft_ms, overhead_ms, call.user, call.tags, _details(call, captured),
    )  # fmt: skip


def _details(call: Call, captured: Outcome | None) -> dict[str, object] | None:
    details: dict[str, object] = {}
    route = call.route
    if route is not None:
        details["why"] = route.why
        details["targets"] = route.names
        if route.left_out is not None:
            details["left_out"] = route.left_out
    if call.standing is not None:
        details["limits"] = call.standing
    if call.refusal is not None and call.end_reason == "refused":
        details["refusal"] = call.refusal[:LONGEST_REFUSAL]
    if call.finish is not None:
        details["finish_reason"] = call.finish
    if call.traceparent is not None:
        details["traceparent"] = call.traceparent
    if captured is not None:
        details["capture"] = captured
    return details or None


async def synced_anyhow(plane: Plane) -> None:
    """The final onto the disk. When that fails the answer is given all the same, since the provider has been paid: the record stands in
    the file as it does without `power`, and the next call is refused before it begins."""
    try:
        await plane.journal.synced()
    except OSError as error:
        plane.metrics.count("journal_errors")
        log.error("a final record may not survive a power cut: %s", error.strerror)
