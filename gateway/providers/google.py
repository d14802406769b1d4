"""Gemini's native API: chat whole and streamed, embeddings. Bytes to bytes; `google_request` and `google_answer` hold the translation.

The key goes only into `x-goog-api-key`: in a URL it would end up in logs.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from gateway.ledger import Usage
from gateway.providers import failures, google_answer, google_request, sse
from gateway.providers.openai import to_base64
from gateway.providers.provider import Answer, Ask, Failure, UpstreamRequest

Json = dict[str, Any]

_decode = msgspec.json.decode
_encode = msgspec.json.encode


class Google:
    """The adapter; holds nothing."""

    def build(self, ask: Ask, base_url: str, credential: str | None) -> UpstreamRequest | Failure:
        try:
            body = google_request.chat(ask) if ask.endpoint == "chat" else _embeddings(ask)
        except google_request.Unsupported as error:
            return Failure("unsupported", str(error), param=error.param, message=f"{error}.")
        except google_request.Malformed as error:
            return Failure("unsupported", str(error), param=error.param, message=f"{error}.", code="invalid_request")
        method = "batchEmbedContents" if ask.endpoint == "embeddings" else "generateContent"
        if ask.stream:
            method = "streamGenerateContent?alt=sse"
        version = "" if base_url.endswith(("/v1beta", "/v1", "/v1alpha")) else "/v1beta"
        headers = [("Content-Type", "application/json"), ("Accept-Encoding", "identity")]
        if credential:
            headers.append(("x-goog-api-key", credential))
        return UpstreamRequest(f"{version}/models/{quote(ask.model, safe='')}:{method}", headers, _encode(body))

    def translate(self, ask: Ask, status: int, headers: Mapping[str, str], body: bytes) -> Answer | Failure:
        try:
            given = _decode(body)
            return _embedded(ask, given) if ask.endpoint == "embeddings" else _answered(ask, given)
        except google_answer.BadFinish as bad:
            return Failure("status", f"the model stopped with {bad}", status, f"Gemini stopped with {bad}.")
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            return Failure(
                "malformed", f"the answer is not what the protocol promises ({type(error).__name__})", status
            )

    def stream(self, ask: Ask) -> GoogleStream:
        return GoogleStream(ask)

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        error = _error_of(body)
        message, details = error.get("message"), error.get("details") or []
        reasons = {detail.get("reason") for detail in details if isinstance(detail, dict)}
        if status == 400 and ("API_KEY_INVALID" in reasons or "API key not valid" in str(message)):
            status = 401
        failure = failures.from_status(
            status, headers, message if isinstance(message, str) else None, "invalid_request_error", _code(error)
        )
        if failure.kind == "rate_limited" and "retry-after" not in headers:
            failure.retry_after_s = _retry_delay(details) or failure.retry_after_s
        return failure


class GoogleStream:
    """Gemini's events as chat completion chunks: one id, the role once, dense tool indices, one finish reason a choice."""

    def __init__(self, ask: Ask) -> None:
        self.usage: Usage | None = None
        self.complete = False
        self.done = False
        self.failure: Failure | None = None
        self.started = False
        self.tokens_seen = 0
        self.finish: str | None = None
        self._ask = ask
        self._events = sse.EventParser()
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._calls: dict[int, int] = {}
        self._finished: dict[int, str] = {}
        self._expected = max(1, _decode(ask.fields["n"])) if "n" in ask.fields and ask.fields["n"] != b"null" else 1

    def feed(self, chunk: bytes) -> bytes:
        if self.done or self.failure is not None:
            return b""
        try:
            return b"".join([self._event(data) for data in self._events.feed(chunk)])
        except sse.EventTooLarge:
            self.failure = Failure("malformed", "an event is larger than 8 MiB")
        except google_answer.BadFinish as bad:
            self.failure = Failure("status", f"the model stopped with {bad}", None, f"Gemini stopped with {bad}.")
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
            self.failure = Failure("malformed", f"an event is not what the protocol promises ({type(error).__name__})")
        return b""

    def close(self) -> bytes:
        tail = self.feed(b"\n\n") if self._events.has_rest else b""
        if self.failure is not None or self.done:
            return tail
        if not self.complete:
            self.failure = Failure("truncated", "the stream ended before every candidate was finished")
            return b""
        self.done = True
        if self._ask.include_usage and self.usage is not None:
            tail += self._chunk([], {"usage": google_answer.usage_body(self.usage)})
        return tail + sse.DONE

    def _event(self, data: bytes) -> bytes:
        given: Json = _decode(data)
        if "error" in given:
            error = given["error"]
            message = error.get("message")
            self.failure = Failure(
                "status",
                "an error event in the stream",
                None,
                failures.clean(message) if message else None,
                code=_code(error),
            )
            return b""
        usage = google_answer.usage_of(given.get("usageMetadata"))
        if usage is not None:
            self.usage = usage
        candidates = given.get("candidates") or []
        if not candidates:
            return self._blocked(given)
        return b"".join([self._candidate(candidate, place) for place, candidate in enumerate(candidates)])

    def _blocked(self, given: Json) -> bytes:
        """A prompt that was blocked has no candidate: that is a filtered answer, never an empty success."""
        if not (given.get("promptFeedback") or {}).get("blockReason"):
            return b""
        self.started = True
        out = self._delta(0, {"role": "assistant", "content": ""}, None)
        self._calls.setdefault(0, 0)
        return out + self._end(0, "content_filter")

    def _candidate(self, candidate: Json, place: int) -> bytes:
        index = candidate.get("index", place)
        if index in self._finished:
            return b""
        text, thoughts, calls, signature = google_answer.split_parts(
            (candidate.get("content") or {}).get("parts") or []
        )
        out = b""
        if index not in self._calls:
            self._calls[index] = 0
            self.started = True
            out += self._delta(index, {"role": "assistant", "content": ""}, None)
        if thoughts:
            out += self._delta(index, {"reasoning_content": thoughts}, None)
        if text or signature:
            delta: Json = {"content": text}
            if signature:
                delta["extra_content"] = {"google": {"thought_signature": signature}}
            out += self._delta(index, delta, google_answer.logprobs(candidate))
            self.tokens_seen += max(1, len(text) // 4)
        for call in calls:
            out += self._delta(index, {"tool_calls": [{"index": self._calls[index], **call}]}, None)
            self._calls[index] += 1
            self.tokens_seen += max(1, len(call["function"]["arguments"]) // 4)
        reason = google_answer.finish_reason(candidate.get("finishReason"), self._calls[index] > 0)
        return out if reason is None else out + self._end(index, reason)

    def _end(self, index: int, reason: str) -> bytes:
        self.finish = self._finished[index] = reason
        self.complete = len(self._finished) >= min(self._expected, max(1, len(self._calls)))
        return self._chunk([{"index": index, "delta": {}, "logprobs": None, "finish_reason": reason}])

    def _delta(self, index: int, delta: Json, logprobs: Json | None) -> bytes:
        return self._chunk([{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}])

    def _chunk(self, choices: list[Json], more: Json | None = None) -> bytes:
        base: Json = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._ask.model,
        }
        if more is None and self._ask.include_usage:
            more = {"usage": None}
        return sse.event(_encode({**base, "choices": choices, **(more or {})}))


def _answered(ask: Ask, given: Json) -> Answer | Failure:
    candidates = given.get("candidates") or []
    usage = google_answer.usage_of(given.get("usageMetadata"))
    if candidates:
        choices = [google_answer.choice(candidate, index) for index, candidate in enumerate(candidates)]
    elif (given.get("promptFeedback") or {}).get("blockReason"):
        message = {
            "role": "assistant",
            "content": "",
            "refusal": f"The prompt was blocked: {given['promptFeedback']['blockReason']}.",
        }
        choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": "content_filter"}]
    else:
        return Failure("malformed", "the answer has neither candidates nor a reason for that")
    body: Json = {
        "id": f"chatcmpl-{given.get('responseId') or secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": ask.model,
        "choices": choices,
    }
    if usage is not None:
        body["usage"] = google_answer.usage_body(usage)
    return Answer(_encode(body), usage, choices[0]["finish_reason"], given.get("modelVersion"))


def _embeddings(ask: Ask) -> Json:
    texts = _decode(ask.fields["input"])
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts:
        raise google_request.Malformed("input", "'input' must be a string or an array of strings")
    if any(not isinstance(text, str) for text in texts):
        raise google_request.Unsupported("input", "Gemini takes no token arrays: send text")
    size = _decode(ask.fields["dimensions"]) if "dimensions" in ask.fields else None
    name = f"models/{ask.model}"
    requests: list[Json] = [{"model": name, "content": {"parts": [{"text": text or " "}]}} for text in texts]
    if size is not None:
        for request in requests:
            request["outputDimensionality"] = size
    return {"requests": requests}


def _embedded(ask: Ask, given: Json) -> Answer:
    """Vectors shortened by `dimensions` don't have length one as Gemini sends them; OpenAI's have, and callers count on it."""
    wants_base64 = ask.fields.get("encoding_format") == b'"base64"'
    shorten = "dimensions" in ask.fields
    data = []
    for index, item in enumerate(given["embeddings"]):
        vector = [float(value) for value in item["values"]]
        if shorten:
            length = math.sqrt(sum(value * value for value in vector)) or 1.0
            vector = [value / length for value in vector]
        data.append({"object": "embedding", "index": index, "embedding": to_base64(vector) if wants_base64 else vector})
    usage = google_answer.usage_of(given.get("usageMetadata"))
    tokens = usage.prompt_tokens if usage else max(1, len(ask.fields["input"]) // 4)
    if usage is None and any((item.get("statistics") or {}).get("tokenCount") for item in given["embeddings"]):
        tokens = sum(int(item["statistics"]["tokenCount"]) for item in given["embeddings"])
        usage = Usage(tokens, total_tokens=tokens)
    body = {
        "object": "list",
        "data": data,
        "model": ask.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return Answer(_encode(body), usage)


def _error_of(body: bytes) -> Json:
    try:
        given = _decode(body)
    except msgspec.DecodeError:
        return {}
    if isinstance(given, list) and given:
        given = given[0]
    error = given.get("error") if isinstance(given, dict) else None
    return error if isinstance(error, dict) else {}


def _code(error: Json) -> str | None:
    status = error.get("status")
    return status.lower() if isinstance(status, str) else None


def _retry_delay(details: list[Any]) -> float | None:
    """google.rpc.RetryInfo says `"retryDelay": "34s"`."""
    for detail in details:
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            try:
                return max(1.0, min(failures.MAX_RETRY_AFTER_S, float(delay[:-1])))
            except ValueError:
                return None
    return None


ADAPTER = Google()
