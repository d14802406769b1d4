"""The bytes of answers: status line, headers, body. A head is one text, encoded once: many small pieces cost three times as much."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from http import HTTPStatus

from gateway import errors
from gateway.ledger import usd
from gateway.proxy.call import Call, Caller, Plane
from gateway.records import NOT_TRIED

RELAYED = ("openai-processing-ms", "openai-version")
"""All that is relayed of a provider's headers. Its request id, rate limits and cookies are between the provider and us."""
EXPOSED = (
    "x-request-id, x-optyx-provider, x-optyx-model, x-optyx-tier, x-optyx-attempts, x-optyx-overhead-ms, x-optyx-cost-usd, "
    "x-ratelimit-limit-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, "
    "x-ratelimit-reset-requests, x-ratelimit-reset-tokens, retry-after, x-should-retry, x-optyx-replayed, openai-processing-ms, openai-version"
)

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
JSON = "Content-Type: application/json\r\n"
EVENT_STREAM = "text/event-stream; charset=utf-8"
EVENTS = "Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"
_CLOSE = "Connection: close\r\n"
_CHUNKED = "Transfer-Encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class _Clock:
    """The Date header of the current second, which is over at `until`."""

    second = until = 0
    line = ""


def whole(plane: Plane, caller: Caller, call: Call, status: int, body: bytes, extra: str) -> bytes:
    """Head and body of an answer in one piece. `extra`: header lines of this answer."""
    cost = "" if call.cost_nusd is None else f"x-optyx-cost-usd: {usd(call.cost_nusd)}\r\n"
    cors = _cors_headers(plane, caller) if plane.cors_origins else ""
    head = (
        f"{_status_line(status)}{_date_line()}{extra}{_call_headers(call)}{cors}{cost}"
        f"Content-Length: {len(body)}\r\n{_connection(caller)}\r\n"
    )
    return head.encode("latin-1", "replace") + body


def stream_head(plane: Plane, caller: Caller, call: Call) -> bytes:
    """The head of a stream; HTTP/1.0 knows no chunks and gets the end of the connection as the end."""
    framing = _CLOSE if caller.is_http_10 else _CHUNKED + _connection(caller)
    head = f"{_status_line(200)}{_date_line()}{EVENTS}{_call_headers(call)}{_cors_headers(plane, caller)}{framing}\r\n"
    return head.encode("latin-1", "replace")


def error_extra(error: errors.Refusal) -> str:
    """The header lines that an error brings."""
    return "".join([f"{name}: {value}\r\n" for name, value in errors.headers(error).items()])


def relayed(headers: Mapping[str, str]) -> str:
    """The lines of a provider's headers that are on the list. `headers` has lower-case names."""
    lines = ""
    for name in RELAYED:
        value = headers.get(name)
        if value is not None and value.isascii() and value.isprintable() and len(value) <= 128:
            lines += f"{name}: {value}\r\n"
    return lines


def asked_last(call: Call) -> tuple[str, str] | None:
    """Who said no last, when nobody answered; None when no provider was asked."""
    for attempt in reversed(call.attempts):
        if attempt.failure not in NOT_TRIED:
            return attempt.provider, attempt.model
    return None


def _status_line(status: int) -> str:
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Status\r\n"


def _date_line() -> str:
    now = time.time()
    if not _Clock.second <= now < _Clock.until:
        _Clock.second = second = int(now)
        _Clock.until = second + 1
        _Clock.line = f"Date: {email.utils.formatdate(second, usegmt=True)}\r\nServer: optyx\r\n"
    return _Clock.line


def _call_headers(call: Call) -> str:
    """What every answer of a call says about it."""
    text = f"x-request-id: {call.request_id}\r\n"
    named = call.answered_by or asked_last(call)
    if named is not None:
        text += f"x-optyx-provider: {named[0]}\r\nx-optyx-model: {named[1]}\r\n"
    if call.tier is not None:
        text += f"x-optyx-tier: {call.tier}\r\n"
    text += f"x-optyx-attempts: {call.tried()}\r\nx-optyx-overhead-ms: {call.overhead_ms():.3f}\r\n"
    if call.hold is not None:
        text += call.hold.header_lines()
    return text + call.relayed


def _cors_headers(plane: Plane, caller: Caller) -> str:
    """Nothing without DASHBOARD_ORIGIN; `Vary` always with it, the rest for an origin that is on the list."""
    if not plane.cors_origins:
        return ""
    origin = caller.header("origin")
    if origin is None or origin not in plane.cors_origins:
        return "Vary: Origin\r\n"
    return f"Vary: Origin\r\nAccess-Control-Allow-Origin: {origin}\r\nAccess-Control-Expose-Headers: {EXPOSED}\r\n"


def _connection(caller: Caller) -> str:
    if not caller.keep_alive:
        return _CLOSE
    return "Connection: keep-alive\r\n" if caller.is_http_10 else ""
