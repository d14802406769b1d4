"""What an upstream's status means, for every kind of provider alike; and how its message is cleaned before anybody sees it. Pure."""

from __future__ import annotations

import email.utils
import re
import struct
import time
from collections.abc import Mapping

import msgspec

from gateway.providers.provider import Failure

MAX_MESSAGE = 2_000
MAX_RETRY_AFTER_S = 60.0

MISREAD = (
    msgspec.MsgspecError, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError, struct.error,
)  # fmt: skip
"""What reading a document raises that is not what it should be. Adapters turn these into values at their edge, in one place each."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CREDENTIAL = re.compile(
    r"(sk-[A-Za-z0-9_*.-]{6,}|AIza[0-9A-Za-z_*-]{10,}|Bearer\s+\S+|\b[A-Za-z0-9_-]{4,}\*{4,}[A-Za-z0-9_-]*|(?i:[?&]key=)[^&\s]+)"
)


def clean(message: str) -> str:
    """A provider's words without control characters and without anything that looks like a credential, at most 2,000 characters."""
    text = _CREDENTIAL.sub("[redacted]", _CONTROL.sub(" ", message))
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def unreadable_request(provider: str) -> Failure:
    """The caller's request has a member of the wrong kind somewhere: it can't be translated for this kind of provider."""
    said = f"The request is not what the chat API describes, so it can't be translated for {provider}."
    return Failure("unsupported", said, message=said, code="invalid_request", param="messages")


def malformed_answer(error: Exception, status: int) -> Failure:
    return Failure("malformed", f"the answer is not what the protocol promises ({clean(str(error))})"[:200], status)


def retry_after_s(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The wait a provider asks for, in seconds: `retry-after-ms`, or `retry-after` as seconds or a date. Capped at 60; a value
    that can't be read counts as 1; None when none is given. `headers` has lower-case names."""
    milliseconds, seconds = headers.get("retry-after-ms"), headers.get("retry-after")
    if milliseconds is None and seconds is None:
        return None
    wait = _number(milliseconds, 0.001)
    if wait is None:
        wait = _number(seconds, 1.0)
    if wait is None and seconds is not None:
        wait = _until_date(seconds, time.time() if now is None else now)
    return 1.0 if wait is None else max(0.0, min(MAX_RETRY_AFTER_S, wait))


def _number(text: str | None, unit_s: float) -> float | None:
    try:
        value = float(text or "") * unit_s
    except ValueError:
        return None
    return value if 0.0 <= value < float("inf") else None


def _until_date(text: str, now: float) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None


def from_status(
    status: int,
    headers: Mapping[str, str],
    message: str | None,
    type: str | None = None,
    code: str | None = None,
    param: str | None = None,
) -> Failure:
    """The one table of what a non-2xx status means. A redirect is never followed."""
    said = clean(message) if message else None
    detail = f"HTTP {status}"
    if status in (401, 402, 403):  # 402: the operator's account is empty, which no caller can mend
        return Failure("credentials", detail, status, said)
    if status == 429:
        return Failure("rate_limited", detail, status, said, retry_after_s=retry_after_s(headers) or 1.0)
    if status == 408 or status >= 500:
        return Failure("status", detail, status, said, retry_after_s=retry_after_s(headers))
    if status < 400:
        return Failure("malformed", f"an answer with status {status}, which is never followed", status, said)
    return Failure(
        "refused", detail, status, said or f"The provider refused the request with status {status}.", type, code, param
    )
