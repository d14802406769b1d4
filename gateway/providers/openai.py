"""Every server that speaks OpenAI's protocol: the request is re-encoded around the caller's raw values, the answer passes through.

Streams are not parsed: a chunk is searched for the few markers that matter, and only an event that has one is decoded. Searching a
350-byte chunk costs about 0.5 µs, decoding its events 8–11 (bench/steps.py).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.ledger import Usage
from gateway.providers import failures, sse
from gateway.providers.chat_request import without_signatures
from gateway.providers.provider import Answer, Ask, Failure, UpstreamRequest

PATHS = {"chat": "/chat/completions", "embeddings": "/embeddings"}

JSON_ASKED = [("Content-Type", "application/json"), ("Accept-Encoding", "identity")]

GENERATED = ("content", "reasoning", "reasoning_content", "tool_calls", "refusal")
"""The members of a delta that cost tokens."""

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode = msgspec.json.decode
_encode = msgspec.json.encode


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek's name for cached tokens
    completion_tokens_details: _CompletionDetails | None = None


class _Completion(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: _Usage | None = None
    error: Any = None


class _Vector(msgspec.Struct):
    embedding: msgspec.Raw


class _Vectors(msgspec.Struct):
    data: list[_Vector]
    usage: _Usage | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    finish_reason: str | None = None
    delta: Any = None


class _Event(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None  # an object or a string, by server; a union with Raw would take neither


_decode_completion = msgspec.json.Decoder(_Completion).decode
_decode_vectors = msgspec.json.Decoder(_Vectors).decode
_decode_event = msgspec.json.Decoder(_Event).decode


class OpenAI:
    """The adapter; holds nothing."""

    def build(self, ask: Ask, base_url: str, credential: str | None) -> UpstreamRequest | Failure:
        """The caller's body as it came where nothing in it has to change, else its raw values around what does."""
        changed: dict[str, bytes] = {}
        if ask.given_model != ask.model:
            changed["model"] = _encode(ask.model)
        if ask.endpoint == "chat":
            if ask.has_tool_calls and b"_sig_" in ask.body:
                changed["messages"] = without_signatures(ask.fields["messages"])
            if ask.stream and (ask.can_count or ask.include_usage):
                try:
                    changed["stream_options"] = _with_usage_asked(ask.fields.get("stream_options"))
                except msgspec.MsgspecError:
                    return failures.unreadable_request("OpenAI")
            if ask.max_tokens_cap is not None:
                # api.openai.com's newer models refuse `max_tokens`; most compatible servers know only that name
                name = "max_completion_tokens" if "api.openai.com" in base_url else "max_tokens"
                changed[name] = str(ask.max_tokens_cap).encode()
        headers = [*JSON_ASKED, ("Authorization", f"Bearer {credential}")] if credential else JSON_ASKED
        body = encode_fields({**ask.fields, **changed}) if changed else ask.body
        return UpstreamRequest(PATHS[ask.endpoint], headers, body)

    def translate(self, ask: Ask, status: int, headers: Mapping[str, str], body: bytes) -> Answer | Failure:
        if headers.get("content-encoding", "identity") != "identity":
            return Failure("malformed", "the answer came in an encoding that was not asked for", status)
        try:
            if ask.endpoint == "embeddings":
                return self._translate_embeddings(ask, body)
            answer = _decode_completion(body)
        except failures.MISREAD as error:
            return failures.malformed_answer(error, status)
        if answer.choices:
            return Answer(body, usage_of(answer.usage))
        if answer.error is not None:  # some servers say 200 to everything
            message, kind, code, _ = error_parts(body)
            return Failure(
                "status", "an error in an answer that said 200", status, message and failures.clean(message), kind, code
            )
        return Failure("malformed", "the answer has no choices", status)

    def stream(self, ask: Ask) -> OpenAIStream:
        return OpenAIStream(ask.include_usage, _choices_asked(ask))

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        return failures.from_status(status, headers, *error_parts(body))

    def _translate_embeddings(self, ask: Ask, body: bytes) -> Answer | Failure:
        """Vectors in the form that was asked for, whatever form the server gives them in."""
        in_base64 = "encoding_format" in ask.fields and _decode(ask.fields["encoding_format"]) == "base64"
        answer = _decode_vectors(body)
        if len(answer.data) != inputs_asked(ask):
            return Failure("malformed", f"the answer has {len(answer.data)} vectors for {inputs_asked(ask)} inputs")
        forms = {bytes(item.embedding)[:1] for item in answer.data}
        if forms == {b'"' if in_base64 else b"["}:
            return Answer(body, usage_of(answer.usage))
        if not forms <= {b'"', b"["}:
            return Failure("malformed", "the answer has something that is no vector")
        document: dict[str, Any] = _decode(body)
        for item in document["data"]:
            vector = item["embedding"]
            if isinstance(vector, str) != in_base64:
                item["embedding"] = to_base64(vector) if in_base64 else from_base64(vector)
        return Answer(_encode(document), usage_of(answer.usage))


class OpenAIStream:
    """Passes chunks on. `[DONE]` and the caller's unwanted usage chunk are the only things ever held back or removed."""

    usage_is_partial = False

    def __init__(self, include_usage: bool, choices: int) -> None:
        self.usage: Usage | None = None
        self.complete = False
        self.done = False
        self.failure: Failure | None = None
        self.started = False
        self.tokens_seen = 0
        self.finish: str | None = None
        self._include_usage = include_usage
        self._usage_sent = False
        self._usage_event: bytes | None = None
        self._open = set(range(choices))
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        """Whole events only are passed on, so that an event that must go can still be taken out."""
        if self.done or self.failure is not None:
            return b""
        data = self._rest + chunk if self._rest else chunk
        if b"\r" in data:
            data = _with_lf(data) if data[-1:] != b"\r" else _with_lf(data[:-1]) + b"\r"  # an LF may follow
        end = data.rfind(b"\n\n")
        if end < 0:
            self._rest = data
            if len(data) > sse.MAX_EVENT:
                self.failure = Failure("malformed", "an event is larger than 8 MiB")
            return b""
        end += 2
        self._rest = data[end:]
        whole = data if end == len(data) else data[:end]
        if not self.started:
            return self._careful(whole)
        if not _is_plain(whole):
            return self._careful(whole)
        self.tokens_seen += _events_in(whole)
        return whole

    def close(self) -> bytes:
        if self.failure is not None:
            return b""
        tail = b""
        if self._rest.strip():
            tail = self.feed(b"\n\n")
            if self.failure is not None:
                return b""
        if self.done:
            return tail
        if not self.complete:
            self.failure = Failure("truncated", "the stream ended before every choice was finished")
            return b""
        self.done = True
        return tail + self._owed_usage() + sse.DONE

    def _careful(self, whole: bytes) -> bytes:
        """Event by event. Returns what may go to the client."""
        out: list[bytes] = []
        for raw in whole.split(b"\n\n"):
            if not raw:
                continue
            kept = self._one(raw + b"\n\n")
            if self.failure is not None:
                return b"".join(out)
            out.append(kept)
            if self.done:
                break
        return b"".join(out)

    def _one(self, raw: bytes) -> bytes:
        try:
            parsed = sse.EventParser().feed(raw)
        except sse.EventTooLarge:
            self.failure = Failure("malformed", "an event is larger than 8 MiB")
            return b""
        if not parsed:
            return raw if self.started else b""  # a comment: passed on, but no sign of an answer
        data = parsed[0]
        if data.strip() == b"[DONE]":
            self.complete = self.done = True
            return self._owed_usage() + raw
        try:
            event = _decode_event(data)
        except msgspec.DecodeError:
            self.failure = Failure("malformed", "an event of the stream is not a chat completion chunk")
            return b""
        if event.error is not None:
            message, kind, code, _ = error_parts(data)
            self.failure = Failure(
                "status", "an error event in the stream", None, message and failures.clean(message), kind, code
            )
            return b""
        self.started = self.started or event.choices is not None
        return self._accept(raw, data, event)

    def _accept(self, raw: bytes, data: bytes, event: _Event) -> bytes:
        for choice in event.choices or ():
            if choice.finish_reason is not None:
                self.finish = choice.finish_reason
                self._open.discard(choice.index)
                self.complete = not self._open
            if isinstance(choice.delta, dict) and any(choice.delta.get(name) for name in GENERATED):
                self.tokens_seen += 1
        if event.usage is None:
            return raw
        self.usage = usage_of(event.usage) or self.usage
        if event.choices:  # usage beside text (some servers): kept out of the chunk, owed at the end to who asked
            fields: dict[str, Any] = _decode(data)
            self._usage_event = _encode({**fields, "choices": []})
            fields.pop("usage", None)
            return sse.event(_encode(fields))
        self._usage_event = data
        return b""

    def _owed_usage(self) -> bytes:
        """The usage chunk, once, for a caller who asked."""
        if not self._include_usage or self._usage_sent or self._usage_event is None:
            return b""
        self._usage_sent = True
        return sse.event(self._usage_event)


def _is_plain(whole: bytes) -> bool:
    """True when nothing in these events matters to us: each is one line that begins and ends like an object, and none has a usage, a
    finish reason or an error. api.openai.com sends `"usage":null` and `"finish_reason":null` on every chunk."""
    return (
        whole.startswith(b"data: {")
        and whole.endswith(b"}\n\n")
        and whole.count(b"}\n\ndata: {") == whole.count(b"\n") // 2 - 1
        and whole.count(b'"usage"') == whole.count(b'"usage":null')
        and whole.count(b'"finish_reason"')
        == whole.count(b'"finish_reason":null') + whole.count(b'"finish_reason": null')
        and b'"error"' not in whole
    )


def _events_in(whole: bytes) -> int:
    """Servers send a token an event. A line starts with `data:`; inside an event's JSON a line end is escaped."""
    return whole.count(b"\ndata:") + whole.startswith(b"data:")


def _with_lf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def encode_fields(fields: Mapping[str, bytes]) -> bytes:
    """A JSON object around raw values, which stay as they came."""
    return b"{" + b",".join([b"%b:%b" % (_encode(name), value) for name, value in fields.items()]) + b"}"


def usage_of(usage: _Usage | None) -> Usage | None:
    """None unless the provider reported a prompt or completion count. The total is what the parts say, but for servers that count
    reasoning beside the completion (xAI): there the total says that it comes on top."""
    if usage is None or (usage.prompt_tokens is None and usage.completion_tokens is None):
        return None
    prompt, completion = max(0, usage.prompt_tokens or 0), max(0, usage.completion_tokens or 0)
    found = Usage(prompt, completion, total_tokens=prompt + completion)
    details, spent = usage.prompt_tokens_details, usage.completion_tokens_details
    if spent is not None and spent.reasoning_tokens:
        reasoning = max(0, spent.reasoning_tokens)
        if usage.total_tokens == prompt + completion + reasoning:
            found.completion_tokens += reasoning
            found.total_tokens += reasoning
        found.reasoning_tokens = min(found.completion_tokens, reasoning)
    cached = (details.cached_tokens if details else None) or usage.prompt_cache_hit_tokens
    if cached:
        found.cached_tokens = min(prompt, max(0, cached))
    if details is not None and details.cache_write_tokens:
        found.cache_write_tokens = min(prompt, max(0, details.cache_write_tokens))
    return found


def error_parts(body: bytes) -> tuple[str | None, str | None, str | None, str | None]:
    """Message, type, code and param of an error body in any of the usual shapes; None where there is none."""
    try:
        document = _decode(body)
    except msgspec.DecodeError:
        return None, None, None, None
    error = document.get("error", document) if isinstance(document, dict) else None
    if isinstance(error, str):
        return error, None, None, None
    if not isinstance(error, dict):
        return None, None, None, None
    message, kind, code, param = (error.get(name) for name in ("message", "type", "code", "param"))
    if message is None:
        message = _detail(document.get("detail"))
    return (
        message if isinstance(message, str) else None,
        kind if isinstance(kind, str) else None,
        str(code) if isinstance(code, str | int) else None,
        param if isinstance(param, str) else None,
    )


def _detail(detail: Any) -> str | None:
    """FastAPI's servers say `detail`: a text, or a list of what is wrong where."""
    if not isinstance(detail, list):
        return detail if isinstance(detail, str) else None
    wrong = [item for item in detail if isinstance(item, dict) and isinstance(item.get("msg"), str)]
    places = [item["loc"] if isinstance(item.get("loc"), list) else [] for item in wrong]
    return (
        "; ".join(
            ": ".join([*(".".join(map(str, place)),) * bool(place), item["msg"]])
            for item, place in zip(wrong, places, strict=True)
        )
        or None
    )


def inputs_asked(ask: Ask) -> int:
    """How many vectors an embeddings request asks for: one for a text or a token array, else one an item."""
    given = _decode(ask.fields["input"])
    return len(given) if isinstance(given, list) and not isinstance(given[0], int) else 1


def to_base64(vector: list[float]) -> str:
    """Little-endian float32, as the SDKs expect."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def from_base64(text: str) -> list[float]:
    """The reverse; raises ValueError or struct.error when it is no vector."""
    raw = base64.b64decode(text, validate=True)
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))


def _with_usage_asked(options: bytes | None) -> bytes:
    if options is None or options == b"null":
        return b'{"include_usage":true}'
    fields = dict(_decode_fields(options))
    fields["include_usage"] = msgspec.Raw(b"true")
    return encode_fields({name: bytes(value) for name, value in fields.items()})


def _choices_asked(ask: Ask) -> int:
    value = _decode(ask.fields["n"]) if "n" in ask.fields else 1
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 128 else 1


ADAPTER = OpenAI()
