"""Tries targets until one answers. A failure is a value that is written down; only when no target is left does this raise.

At most 3 attempts a call and 2 on one target. The same target again only after a refused or reset connection, 408 or 5xx, 100 to 300 ms
after it failed and when every other target has had its turn; never after 429.
"""

from __future__ import annotations

import asyncio
import random
import time

import msgspec

from gateway import batches, errors
from gateway.catalog import Provider, Target
from gateway.providers.provider import Answer, Ask, Failure, StreamTranslator, UpstreamRequest, members
from gateway.proxy.answer import relayed
from gateway.proxy.body import Asked
from gateway.proxy.call import Call, Plane, ms
from gateway.proxy.choose import Route
from gateway.proxy.meter import bill
from gateway.proxy.verdict import no_target_left
from gateway.records import MAX_ATTEMPTS, AttemptRecord
from gateway.reply import Reply

MAX_PER_TARGET = 2
RETRIED_IN_PLACE = frozenset({"connect", "reset", "status"})


class ClientGone(Exception):
    """The client left before anything was sent to it."""


class Whole(msgspec.Struct):
    """A whole answer in OpenAI's shape."""

    target: Target
    answer: Answer


class Streaming(msgspec.Struct):
    """A stream whose first event has come: from here on there is no other target. `head` is what it has given so far."""

    target: Target
    reply: Reply
    translator: StreamTranslator
    head: bytes


async def exchange(
    plane: Plane, call: Call, route: Route, asked: Asked, max_tokens_cap: int | None
) -> Whole | Streaming:
    """Raises a Refusal when no target answered, ClientGone when there is nobody to answer."""
    failures: list[tuple[Target, Failure]] = []
    waiting = list(route.targets)
    tries: dict[int, int] = {}
    failed_at: dict[int, float] = {}
    while waiting and (not failures or call.tried() < MAX_ATTEMPTS):
        target = waiting.pop(0)
        if id(target) in failed_at:
            await asyncio.sleep(failed_at[id(target)] + random.uniform(0.1, 0.3) - time.monotonic())
            if call.is_gone:
                raise ClientGone
        began_ns = time.perf_counter_ns()
        model = target.model
        attempt = AttemptRecord(model.provider.name, model.id, start_ms=ms(began_ns - call.started_ns))
        call.attempts.append(attempt)
        outcome: Whole | Streaming | Failure | None = passed_over(plane, route, target)
        outcome = outcome or plane.health.enter(target, time.monotonic())
        if outcome is None:
            outcome = await _try(plane, call, route, target, asked, max_tokens_cap, attempt)
        attempt.ms = ms(time.perf_counter_ns() - began_ns)
        if not isinstance(outcome, Failure):
            call.answered_by = (attempt.provider, attempt.model)
            plane.metrics.attempt(attempt.provider, attempt.model, "ok")
            if call.is_gone and not call.runs_on and isinstance(outcome, Streaming):
                raise ClientGone
            return outcome  # a whole one also when the client has left: what it cost is known
        _write_down(plane, call, target, attempt, outcome)
        if call.is_gone:
            raise ClientGone
        failures.append((target, outcome))
        if outcome.kind == "refused":
            if not _refuses_to_count(plane, call, target, asked, outcome):
                raise _refused(outcome)
            waiting.insert(0, target)
            continue
        if (
            outcome.usage is not None
            and call.hold is not None
            and not call.hold.extend(call.attempts[-1].cost_nusd or 0)
        ):
            break  # the hold covers one attempt, and no budget has room for another
        tries[id(target)] = tries.get(id(target), 0) + 1
        if outcome.kind in RETRIED_IN_PLACE and tries[id(target)] < MAX_PER_TARGET:
            failed_at[id(target)] = time.monotonic()
            waiting.append(target)
    raise no_target_left(call, route, failures)


def _write_down(plane: Plane, call: Call, target: Target, attempt: AttemptRecord, failure: Failure) -> None:
    """A try that failed: into the call's facts, and counted."""
    attempt.failure = failure.kind if failure.code != "forced" else "forced"
    attempt.status = failure.status
    attempt.detail = failure.detail or failure.message
    plane.metrics.attempt(attempt.provider, attempt.model, attempt.failure)
    if failure.usage is not None:
        bill(plane.metrics, call, attempt, target, failure.usage)
    if not call.is_gone:
        call.target = None


def passed_over(plane: Plane, route: Route, target: Target) -> Failure | None:
    """Why this target is not even tried, however well it is."""
    provider = target.model.provider
    if plane.force_openai_failover and route.tier == "fast" and (provider.name == "openai" or provider.is_sandbox):
        return Failure("resting", "OPTYX_FORCE_OPENAI_FAILOVER is set", code="forced")
    if provider.needs_credential and provider.credential is None:
        return Failure(
            "unconfigured",
            f"{provider.credential_variable or 'its credential'} is not set",
            code=provider.credential_variable,
        )
    return None


async def _try(
    plane: Plane,
    call: Call,
    route: Route,
    target: Target,
    asked: Asked,
    max_tokens_cap: int | None,
    attempt: AttemptRecord,
) -> Whole | Streaming | Failure:
    provider = target.model.provider
    ask, request = built(plane, call, route, target, asked, max_tokens_cap)
    if isinstance(request, Failure):
        plane.health.abandon(target)
        if route.tier is None:
            attempt.failure, attempt.detail = request.kind, request.detail
            raise unsupported(provider, request)
        return request
    if call.is_gone:
        plane.health.abandon(target)
        return Failure("reset", "the client left")
    call.target = target
    began_ns = time.perf_counter_ns()
    counted = None
    if request.more:
        reply, counted = await batches.fetch(plane.upstream, provider, request, target.timeouts, call)
    else:
        reply = await plane.upstream.fetch(provider, request, target.timeouts, call.stream, call)
    outcome: Whole | Streaming | Failure
    if call.stream and reply.is_answer:
        outcome = await _first_event(plane, target, ask, reply)
    else:
        outcome = _understand(plane, target, ask, reply)
        if counted is not None and isinstance(outcome, Failure):
            outcome.usage = counted
    ended_ns = time.perf_counter_ns()
    call.upstream_ns += ended_ns - began_ns
    call.exchanged_ns = ended_ns
    attempt.reused = reply.reused
    attempt.status = reply.status or None
    if reply.first_byte_ns:
        attempt.ttft_ms = ms(reply.first_byte_ns - began_ns)
        if not isinstance(outcome, Failure):
            call.first_byte_ns = reply.first_byte_ns
            call.relayed = relayed(reply.headers)
    if not isinstance(outcome, Streaming):
        call.reply = None
    if reply.aborted:
        plane.health.abandon(target)
        if reply.connection is None:  # the client left while we were connecting: nobody was asked
            call.target = None
    elif isinstance(outcome, Whole):
        plane.health.leave(target, None, (ended_ns - began_ns) / 1e6, time.monotonic())
    elif isinstance(outcome, Failure):  # how a stream ends is known later
        plane.health.leave(target, outcome, 0.0, time.monotonic())
    return outcome


def built(
    plane: Plane, call: Call, route: Route, target: Target, asked: Asked, max_tokens_cap: int | None
) -> tuple[Ask, UpstreamRequest | Failure]:
    """What the provider would be sent, or why its kind can't be."""
    provider = target.model.provider
    ask = Ask(
        endpoint=call.endpoint,
        model=target.model.upstream_name,
        stream=call.stream,
        body=asked.body,
        given_model=asked.model,
        has_tool_calls=asked.has_tool_calls,
        include_usage=asked.include_usage,
        strict=route.tier is None,
        max_tokens_cap=max_tokens_cap,
        can_count=provider.id not in plane.uncounting,
    )
    credential = provider.credential.reveal() if provider.credential else None
    return ask, plane.adapters[provider.kind].build(ask, provider.base_url, credential)


def unsupported(provider: Provider, failure: Failure) -> errors.BadRequest:
    """The caller named this provider's model: then what it can't do is said, and not passed over."""
    return errors.BadRequest(
        failure.message or f"{provider.name} can't do '{failure.param}'.",
        code=failure.code or "unsupported_parameter",
        param=failure.param,
    )


def _understand(plane: Plane, target: Target, ask: Ask, reply: Reply) -> Whole | Failure:
    """What came back whole, as an answer or as a failure."""
    if reply.failure is not None:
        return reply.failure
    adapter = plane.adapters[target.model.provider.kind]
    if not reply.is_answer:
        return adapter.classify(reply.status, reply.headers, reply.body())
    answer = adapter.translate(ask, reply.status, reply.headers, reply.body())
    return answer if isinstance(answer, Failure) else Whole(target, answer)


async def _first_event(plane: Plane, target: Target, ask: Ask, reply: Reply) -> Streaming | Failure:
    """A stream up to its first event, or why there is none."""
    if reply.headers.get("content-encoding", "identity") != "identity":
        reply.abort()
        reply.aborted = False
        return Failure("malformed", "the stream came in an encoding that was not asked for", reply.status)
    translator = plane.adapters[target.model.provider.kind].stream(ask)
    head: list[bytes] = []
    while True:
        await reply.ready()
        head.append(translator.feed(reply.take()))
        if translator.started and translator.failure is None:
            return Streaming(target, reply, translator, b"".join(head))
        if translator.failure is not None:
            failure = translator.failure
            failure.usage = None if translator.usage_is_partial else translator.usage
            reply.abort()
            reply.aborted = False
            return failure
        if reply.ended:
            failure = reply.failure or Failure("truncated", "the stream ended before its first event", reply.status)
            failure.usage = None if translator.usage_is_partial else translator.usage
            return failure


def _refuses_to_count(plane: Plane, call: Call, target: Target, asked: Asked, failure: Failure) -> bool:
    """Some servers refuse `stream_options`, which the caller never sent: asked once more without it, and without it from then on."""
    if (
        not call.stream
        or "stream_options" not in f"{failure.param} {failure.message}"
        or "stream_options" in members(asked.body)
    ):
        return False
    plane.uncounting.add(target.provider.id)
    return sum(attempt.failure == "refused" for attempt in call.attempts) == 1


def _refused(failure: Failure) -> errors.UpstreamRefused:
    """The provider's own no to the request, in our shape with its status and words."""
    return errors.UpstreamRefused(
        failure.message or failure.detail,
        status=failure.status or 400,
        type=failure.type or "invalid_request_error",
        code=failure.code,
        param=failure.param,
    )
