"""The request's body, opened only at the top level: what we act on is decoded, the rest stays as the caller's bytes."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from gateway.depth import MAX_DEPTH, is_too_deep
from gateway.errors import BadRequest, TooLarge
from gateway.providers.provider import Endpoint

_decode = msgspec.json.decode
_encode = msgspec.json.encode

MAX_CHOICES = 128
LIMITS = ("max_completion_tokens", "max_tokens")


class Asked(msgspec.Struct):
    """What a caller asks for; `messages` is how many there are."""

    body: bytes
    messages: int
    has_tool_calls: bool
    model: str | None
    stream: bool
    include_usage: bool
    max_tokens: int | None
    n: int
    user: str | None


def too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body is larger than {limit >> 20} MiB (GATEWAY_MAX_BODY_MB).")


def parse(endpoint: Endpoint, body: bytes) -> Asked:
    """Raises BadRequest with the field and the reason."""
    values = read_strictly(body)
    needed = "messages" if endpoint == "chat" else "input"
    if needed not in values:
        raise BadRequest(f"'{needed}' is missing.", param=needed)
    count = 1
    stream = include_usage = has_tool_calls = False
    if endpoint == "embeddings":
        _require_embeddable(values)
    else:
        messages = values["messages"]
        if not isinstance(messages, list) or not messages:
            raise BadRequest("'messages' must be an array with at least one message.", param="messages")
        count = len(messages)
        stream = _boolean(values, "stream")
        include_usage = stream and _include_usage(values)
        for message in messages:
            if isinstance(message, dict) and ("tool_calls" in message or "tool_call_id" in message):
                has_tool_calls = True
                break
    max_tokens = None
    for name in LIMITS:
        if values.get(name) is not None:
            limit = _count(values, name, 1, 1 << 40)
            max_tokens = limit if max_tokens is None or limit > max_tokens else max_tokens
    n = 1 if values.get("n") is None else _count(values, "n", 1, MAX_CHOICES)
    return Asked(
        body, count, has_tool_calls, _model(values), stream, include_usage, max_tokens, n, _short_text(values, "user")
    )  # fmt: skip


def read_strictly(body: bytes) -> dict[str, Any]:
    """A JSON object's members. The whole body is read strictly: valid UTF-8, no lone surrogates, numbers that are numbers, no name twice in
    any object. What is authorised is then what every other parser reads too."""
    try:
        values = _decode(body)
    except UnicodeDecodeError:
        raise BadRequest("The body is not valid UTF-8.", code="invalid_json") from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(values, dict):
        raise BadRequest("The body is no JSON object.", code="invalid_json")
    if is_too_deep(body):
        raise _too_deep()
    # a name that stood there twice is gone from the values, so written again they are another text; so are odd escapes and numbers
    again = _encode(values)
    if again != body and again != msgspec.json.format(body, indent=-1):
        _require_unique_names(body)
    return values


def _too_deep() -> BadRequest:
    return BadRequest(f"The body is nested too deeply: {MAX_DEPTH} levels are the most.", code="invalid_json")


def _require_unique_names(body: bytes) -> None:
    def keep(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise BadRequest(f"'{name[:60]}' stands twice in one object.", code="duplicate_key", param=name[:60])
            seen.add(name)

    try:
        json.loads(body, object_pairs_hook=keep)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not valid JSON.", code="invalid_json") from None


def _require_embeddable(values: dict[str, Any]) -> None:
    """A text, texts, a token array, or token arrays: the shapes that the API has."""
    given = values["input"]
    is_fine = _are_texts(given) or _are_tokens(given)
    if not is_fine and not (isinstance(given, list) and given and all(_are_tokens(item) for item in given)):
        raise BadRequest(
            "'input' must be a text, an array of texts, or arrays of tokens; none of them empty.", param="input"
        )
    if values.get("encoding_format") not in (None, "float", "base64"):
        raise BadRequest("'encoding_format' must be float or base64.", param="encoding_format")
    if values.get("dimensions") is not None:
        _count(values, "dimensions", 1, 1 << 16)


def _are_texts(given: Any) -> bool:
    texts = given if isinstance(given, list) else [given]
    return bool(texts) and all(isinstance(text, str) and text for text in texts)


def _are_tokens(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(token) is int for token in given)


def _boolean(values: dict[str, Any], name: str) -> bool:
    value = values.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise BadRequest(f"'{name}' must be true or false.", param=name)
    return value


def _include_usage(values: dict[str, Any]) -> bool:
    options = values.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise BadRequest("'stream_options' must be an object.", param="stream_options")
    return options.get("include_usage") is True


def _count(values: dict[str, Any], name: str, low: int, high: int) -> int:
    value = values[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadRequest(f"'{name}' must be a whole number from {low} to {high}.", param=name)
    return value


def _short_text(values: dict[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"'{name}' must be a string.", param=name)
    return value[:256] if value else None


def _model(values: dict[str, Any]) -> str | None:
    value = values.get("model")
    if value is None:
        return None
    if (
        isinstance(value, str)
        and 0 < len(value) <= 256
        and value.isascii()
        and value.isprintable()
        and " " not in value
    ):
        return value
    raise BadRequest("'model' must be a model's name: 1 to 256 visible ASCII characters.", param="model")
