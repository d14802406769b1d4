"""The path of a call, step by step: this is the table of contents of the product."""

from __future__ import annotations

import functools
import logging

import msgspec

from gateway import errors
from gateway.capture import Captured
from gateway.providers.provider import Endpoint
from gateway.proxy import answer
from gateway.proxy.authenticate import authenticate
from gateway.proxy.body import Asked, parse
from gateway.proxy.call import Call, Caller, Plane, Replay
from gateway.proxy.check import check, downgrade
from gateway.proxy.choose import NobodyInLine, Route, choose, known_tier
from gateway.proxy.exchange import ClientGone, Streaming, exchange
from gateway.proxy.forward import Relay
from gateway.proxy.heading import Heading, read_heading
from gateway.proxy.leave import runs_on
from gateway.proxy.meter import answer_tokens, meter
from gateway.proxy.record import finish, intend, synced_anyhow
from gateway.records import EndReason

log = logging.getLogger(__name__)

DRAINING = errors.Unavailable(
    "The gateway is shutting down and could not wait for this answer.", code="draining", retry_after_s=1
)
_TOLD = (errors.LimitReached, errors.Forbidden, errors.NotFound, errors.Unavailable)
"""Refusals whose words go into the record: they name a model, a tier or a limit. What is said of a malformed request quotes it, and it may
hold anything."""


async def serve(plane: Plane, caller: Caller, endpoint: Endpoint) -> None:
    """Answers one call, whatever happens: every way out writes an answer (unless the client has left) and a record."""
    heading = caller.heading
    if heading is None:
        heading = read_heading(caller)
        if heading.refusal is None:  # an error that is raised again and again grows by where it has been
            caller.heading = heading
    call = Call(endpoint, heading.request_id or "")
    try:
        plane.callers.add(caller)
        if plane.is_draining:
            caller.keep_alive = False
        call.key, call.project = await authenticate(plane, caller, call.created_at)
        take_heading(call, heading)
        body = await caller.body(plane.max_body)
        if call.project.capture:
            call.captured = Captured(body)
        asked = parse(endpoint, body)
        route = route_of(plane, call, asked, heading.tier)
        replay = None
        if heading.idempotency_key is not None and plane.idempotency is not None:
            replay = await plane.idempotency.begin(
                call.key.id, heading.idempotency_key, endpoint, body, call.request_id
            )
        if replay is not None and replay.stored is not None:
            _answer_stored(plane, caller, call, replay.stored)
            return
        try:
            await _answer(plane, caller, call, route, asked, heading.ceiling_nusd, replay)
        except BaseException:
            if replay is not None:
                await replay.abandon()
            raise
    except errors.Refusal as refusal:
        if isinstance(refusal, errors.AddressNotAllowed):
            call.key, call.project = refusal.key, refusal.project
        _refuse(plane, caller, call, refusal)
    except (ClientGone, ConnectionError):
        _gone(plane, caller, call)
    except Exception:
        log.exception("a call ended in a defect of the gateway")
        _refuse(plane, caller, call, errors.Refusal("The gateway has a defect; its log says more."))
    finally:
        if call.runs_on:
            plane.running_on -= 1
        plane.callers.discard(caller)
        if plane.is_draining and not plane.callers:
            plane.on_quiet()


async def _answer(
    plane: Plane, caller: Caller, call: Call, route: Route, asked: Asked, ceiling: int | None, replay: Replay | None
) -> None:
    """From the hold to the client's last byte."""
    assert call.project is not None
    assert call.key is not None
    caller.on_gone = functools.partial(_left, plane, call)
    caller.on_cut = functools.partial(_cut, call)
    call.hold = await check(plane.limits, plane.holder.catalog, call, call.project, call.key, route, asked, ceiling)
    intend(plane, call, route)
    if plane.durable:
        await _synced(plane)
    cap = None
    if (call.hold is not None or ceiling is not None) and asked.max_tokens is None and call.endpoint == "chat":
        cap = plane.holder.catalog.settings.default_max_output_tokens
    outcome = await exchange(plane, call, route, asked, cap)
    if isinstance(outcome, Streaming):
        await Relay(plane, caller, call, outcome, replay).run()
        return
    meter(call, outcome.target, outcome.answer.usage, answer_tokens(outcome.answer))
    if call.captured is not None:
        call.captured.add(outcome.answer.body)
    call.status = 200
    if call.is_gone:
        call.status, call.error_code = 499, "client_closed"
    finish(plane, call, "client_closed" if call.is_gone else "complete")
    if plane.durable:
        await synced_anyhow(plane)
    if replay is not None:
        await replay.finish(200, "application/json", outcome.answer.body)
    caller.write(answer.whole(plane, caller, call, 200, outcome.answer.body, answer.JSON))


def route_of(plane: Plane, call: Call, asked: Asked, tier: str | None) -> Route:
    """Where the call goes, written into its facts. Raises NotFound, Forbidden, BadRequest."""
    assert call.project is not None
    assert call.key is not None
    call.requested_model = asked.model
    call.stream = asked.stream
    if call.user is None:
        call.user = asked.user
    catalog = plane.holder.catalog
    known_tier(tier, catalog)
    try:
        route = plane.routes.choose(catalog, call.project, call.key, call.endpoint, asked.model, tier)
    except errors.Refusal as refusal:
        if isinstance(refusal.__cause__, NobodyInLine):
            call.route = refusal.__cause__.route
            call.tier = call.route.tier
        raise
    if route.tier == "smart":
        route = _downgraded(plane, call, route)
    call.tier = route.tier
    call.route = route
    return route


def _downgraded(plane: Plane, call: Call, route: Route) -> Route:
    """The fast tier instead of the smart one when a budget is nearly used up and its operator wants that."""
    assert call.project is not None
    assert call.key is not None
    catalog = plane.holder.catalog
    reason = downgrade(plane.limits, catalog, call, call.project, call.key, route)
    if reason is None:
        return route
    try:
        fast = choose(catalog, call.project, call.key, call.endpoint, None, "fast")
    except errors.Refusal:  # there is nothing cheaper that this caller may use
        return route
    plane.metrics.count("downgraded_calls")
    return msgspec.structs.replace(fast, why=f"tier fast instead of smart: {reason}")


def take_heading(call: Call, heading: Heading) -> None:
    """Attribution goes to the call, also of one that is refused for its head. Raises that refusal."""
    call.user, call.tags, call.traceparent = heading.user, heading.tags, heading.traceparent
    if heading.refusal is not None:
        raise heading.refusal


def _answer_stored(plane: Plane, caller: Caller, call: Call, stored: tuple[int, str, bytes]) -> None:
    """The answer that this Idempotency-Key has had: it was paid for then."""
    status, content_type, body = stored
    call.status = status
    call.cost_nusd = 0
    call.captured = None  # the call that is repeated has it
    finish(plane, call, "replayed")
    extra = f"Content-Type: {content_type}\r\nx-optyx-replayed: true\r\n"
    caller.write(answer.whole(plane, caller, call, status, body, extra))


async def _synced(plane: Plane) -> None:
    try:
        await plane.journal.synced()
    except OSError:
        plane.metrics.count("journal_errors")
        raise errors.Unavailable(
            "This call can't be recorded safely (the journal's disk fails).",
            code="accounting_unavailable",
            retry_after_s=5,
        ) from None


def _refuse(plane: Plane, caller: Caller, call: Call, refusal: errors.Refusal) -> None:
    """Our no, or every provider's."""
    call.status, call.error_code = refusal.status, refusal.code
    if isinstance(refusal, _TOLD):
        call.refusal = refusal.message
    reason: EndReason = "refused"
    if isinstance(refusal, errors.UpstreamRefused):
        reason = "upstream_refused"
    elif isinstance(refusal, errors.UpstreamFailed | errors.UpstreamTimeout) or refusal.code in (
        "upstream_unavailable",
        "upstream_rate_limited",
    ):
        reason = "upstream_failed"
    if call.captured is not None:
        call.captured.add(errors.body(refusal))
    finish(plane, call, reason)
    if refusal.status == 413:
        caller.keep_alive = False
    caller.write(answer.whole(plane, caller, call, refusal.status, errors.body(refusal), answer.error_extra(refusal)))


def _left(plane: Plane, call: Call) -> None:
    call.is_gone = True
    if call.reply is not None and not runs_on(plane, call):
        call.reply.abort()


def _cut(call: Call) -> None:
    """Our own shutdown can't wait any longer."""
    call.is_cut = call.is_gone = True
    if call.reply is not None:
        call.reply.abort()


def _gone(plane: Plane, caller: Caller, call: Call) -> None:
    """The client left before it was sent anything, or we go. Whoever was asked may bill it: what is known is an estimate of the prompt."""
    call.status, call.error_code = (503, "draining") if call.is_cut else (499, "client_closed")
    if call.target is not None:
        call.answered_by = (call.target.provider.name, call.target.model.id)
        meter(call, call.target, None, 0)
    finish(plane, call, "drained" if call.is_cut else "client_closed")
    if call.is_cut:
        caller.keep_alive = False
        caller.write(answer.whole(plane, caller, call, 503, errors.body(DRAINING), answer.error_extra(DRAINING)))
