"""The bytes of answers: status line, headers, body. Constants are encoded once; a head is one join."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from http import HTTPStatus

from gateway import errors
from gateway.ledger import usd
from gateway.proxy.call import NOT_TRIED, Call, Caller, Plane

RELAYED = ("openai-processing-ms", "openai-version")
"""All that is relayed of a provider's headers. Its request id, rate limits and cookies are between the provider and us."""
EXPOSED = (
    "x-request-id, x-optyx-provider, x-optyx-model, x-optyx-tier, x-optyx-attempts, x-optyx-overhead-ms, x-optyx-cost-usd, "
    "x-ratelimit-limit-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, "
    "x-ratelimit-reset-requests, x-ratelimit-reset-tokens, retry-after, x-should-retry, x-optyx-replayed, openai-processing-ms, openai-version"
)

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
JSON = b"Content-Type: application/json\r\n"
EVENT_STREAM = "text/event-stream; charset=utf-8"
EVENTS = b"Content-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"
_CLOSE = b"Connection: close\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class _Clock:
    """The Date header of the current second."""

    second = 0
    line = b""


def date_line() -> bytes:
    second = int(time.time())
    if second != _Clock.second:
        _Clock.second = second
        _Clock.line = b"Date: " + email.utils.formatdate(second, usegmt=True).encode() + b"\r\nServer: optyx\r\n"
    return _Clock.line


def status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Status\r\n".encode()


def call_headers(call: Call) -> list[bytes]:
    """What every answer of a call says about it. One text, encoded once: many small ones cost three times as much."""
    text = f"x-request-id: {call.request_id}\r\n"
    named = call.answered_by or asked_last(call)
    if named is not None:
        text += f"x-optyx-provider: {named[0]}\r\nx-optyx-model: {named[1]}\r\n"
    if call.tier is not None:
        text += f"x-optyx-tier: {call.tier}\r\n"
    text += f"x-optyx-attempts: {call.tried()}\r\nx-optyx-overhead-ms: {call.overhead_ms():.3f}\r\n"
    if call.hold is not None:
        for name, value in call.hold.headers().items():
            text += f"{name}: {value}\r\n"
    return [text.encode("latin-1", "replace"), call.relayed]


def asked_last(call: Call) -> tuple[str, str] | None:
    """Who said no last, when nobody answered; None when no provider was asked."""
    for attempt in reversed(call.attempts):
        if attempt.failure not in NOT_TRIED:
            return attempt.provider, attempt.model
    return None


def relayed(headers: Mapping[str, str]) -> bytes:
    """The lines of a provider's headers that are on the list. `headers` has lower-case names."""
    lines = b""
    for name in RELAYED:
        value = headers.get(name)
        if value is not None and value.isascii() and value.isprintable() and len(value) <= 128:
            lines += f"{name}: {value}\r\n".encode()
    return lines


def cors_headers(plane: Plane, caller: Caller) -> list[bytes]:
    """Nothing without DASHBOARD_ORIGIN; `Vary` always with it, the rest for an origin that is on the list."""
    if not plane.cors_origins:
        return []
    lines = [b"Vary: Origin\r\n"]
    origin = caller.header("origin")
    if origin is not None and origin in plane.cors_origins:
        lines.append(
            f"Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Expose-Headers: {EXPOSED}\r\n".encode(
                "latin-1", "replace"
            )
        )
    return lines


def whole(plane: Plane, caller: Caller, call: Call, status: int, body: bytes, extra: list[bytes]) -> bytes:
    """Head and body of an answer in one piece."""
    parts = [status_line(status), date_line(), *extra, *call_headers(call), *cors_headers(plane, caller)]
    if call.cost_nusd is not None:
        parts.append(f"x-optyx-cost-usd: {usd(call.cost_nusd)}\r\n".encode())
    parts.append(b"Content-Length: %d\r\n" % len(body))
    parts.append(_connection(caller))
    parts.append(b"\r\n")
    parts.append(body)
    return b"".join(parts)


def stream_head(plane: Plane, caller: Caller, call: Call) -> bytes:
    """The head of a stream; HTTP/1.0 knows no chunks and gets the end of the connection as the end."""
    framing = _CLOSE if caller.is_http_10 else _CHUNKED + _connection(caller)
    parts = [status_line(200), date_line(), EVENTS, *call_headers(call), *cors_headers(plane, caller), framing, b"\r\n"]
    return b"".join(parts)


def error_extra(error: errors.Refusal) -> list[bytes]:
    return [f"{name}: {value}\r\n".encode("latin-1", "replace") for name, value in errors.headers(error).items()]


def _connection(caller: Caller) -> bytes:
    if not caller.keep_alive:
        return _CLOSE
    return b"Connection: keep-alive\r\n" if caller.is_http_10 else b""
