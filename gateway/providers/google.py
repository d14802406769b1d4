"""The Gemini API itself: chat through `generateContent`, streams through `streamGenerateContent`, embeddings in batches
of a hundred.

The key goes into `x-goog-api-key` and never into an address, where logs and proxies would keep it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from gateway.providers import failures, google_answer, google_request
from gateway.providers.chat_request import Unsupported
from gateway.providers.provider import Answer, Ask, Failure, UpstreamRequest


class Google:
    """The adapter; holds nothing."""

    def build(self, ask: Ask, base_url: str, credential: str | None) -> UpstreamRequest | Failure:
        try:
            if ask.endpoint == "embeddings":
                bodies, verb = google_request.embeddings_bodies(ask), "batchEmbedContents"
            else:
                bodies = [google_request.chat_body(ask)]
                verb = "streamGenerateContent?alt=sse" if ask.stream else "generateContent"
        except Unsupported as error:
            return error.failure()
        except failures.MISREAD:
            return failures.unreadable_request("Google")
        headers = [("Content-Type", "application/json"), ("Accept-Encoding", "identity")]
        if credential:
            headers.append(("x-goog-api-key", credential))
        version = "" if base_url.rstrip("/").endswith(("/v1", "/v1beta")) else "/v1beta"
        path = f"{version}/models/{quote(ask.model, safe='')}:{verb}"
        body, *more = (msgspec.json.encode(one) for one in bodies)
        return UpstreamRequest(path, headers, body, more=more, count=google_answer.counted if more else None)

    def translate(self, ask: Ask, status: int, headers: Mapping[str, str], body: bytes) -> Answer | Failure:
        if headers.get("content-encoding", "identity") != "identity":
            return Failure("malformed", "the answer came in an encoding that was not asked for", status)
        try:
            if ask.endpoint == "embeddings":
                return google_answer.embeddings(
                    ask, msgspec.json.decode(body, type=dict[str, Any] | list[dict[str, Any]])
                )
            return google_answer.whole(ask, msgspec.json.decode(body, type=dict[str, Any]))
        except failures.MISREAD as error:
            return failures.malformed_answer(error, status)

    def stream(self, ask: Ask) -> google_answer.GoogleStream:
        return google_answer.GoogleStream(ask)

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        message, reason, wait_s = _error(body)
        if reason == "API_KEY_INVALID" or (
            status == 400 and "API key not valid" in (message or "")
        ):  # Google says 400 where others say 401
            return Failure("credentials", f"HTTP {status}", status, message and failures.clean(message))
        if wait_s is not None and "retry-after" not in headers:
            headers = {**headers, "retry-after": wait_s}
        return failures.from_status(status, headers, message, "invalid_request_error" if status < 500 else None, None)


def _error(body: bytes) -> tuple[str | None, str | None, str | None]:
    """Message, `ErrorInfo` reason and `RetryInfo` seconds of a google.rpc.Status; None where there is none."""
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None, None, None
    if isinstance(document, list) and document:
        document = document[0]
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict):
        return None, None, None
    reason = wait_s = None
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            reason = detail.get("reason") or reason
            delay = detail.get("retryDelay")
            wait_s = delay.removesuffix("s") if isinstance(delay, str) else wait_s
    message = error.get("message")
    return message if isinstance(message, str) else None, reason, wait_s


ADAPTER = Google()
