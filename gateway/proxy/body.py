"""The request's body, opened only at the top level: what we act on is decoded, the rest stays as the caller's bytes."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from gateway.errors import BadRequest, TooLarge, UnsupportedMedia
from gateway.providers.provider import Endpoint
from gateway.proxy.call import Caller

_decode_top = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode = msgspec.json.decode

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_MODEL = re.compile(r"[\x21-\x7e]{1,256}")
MAX_CHOICES = 128


class Asked(msgspec.Struct):
    """What a caller asks for. `fields` has every top-level member as it came, in order."""

    fields: dict[str, bytes]
    body: bytes
    model: str | None
    stream: bool
    include_usage: bool
    max_tokens: int | None
    n: int
    user: str | None


async def read(caller: Caller, limit: int) -> bytes:
    """The body's bytes. Refused by its length before a byte is read. Raises TooLarge, UnsupportedMedia, BadRequest."""
    encoding = caller.header("content-encoding")
    if encoding is not None and encoding.strip().lower() != "identity":
        raise UnsupportedMedia(
            f"Content-Encoding {encoding[:40]!r} is not supported; send the body as it is.", code="unsupported_encoding"
        )
    kind = caller.header("content-type")
    if kind is not None and not _is_json(kind):
        raise UnsupportedMedia(f"Content-Type {kind[:60]!r} is not supported; send application/json.")
    length = caller.header("content-length")
    if length is not None and length.isdigit() and int(length) > limit:
        raise too_large(limit)
    return await caller.body(limit)


def too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body is larger than {limit >> 20} MiB (GATEWAY_MAX_BODY_MB).")


def parse(endpoint: Endpoint, body: bytes) -> Asked:
    """Raises BadRequest with the field and the reason."""
    fields = top_level(body)
    needed = "messages" if endpoint == "chat" else "input"
    if needed not in fields:
        raise BadRequest(f"'{needed}' is missing.", param=needed)
    if endpoint == "chat" and (not fields["messages"].startswith(b"[") or not fields["messages"][1:-1].strip()):
        raise BadRequest("'messages' must be an array with at least one message.", param="messages")
    stream, include_usage = False, False
    if endpoint == "chat":
        stream = _boolean(fields, "stream")
        include_usage = stream and _include_usage(fields)
    limits = [
        value
        for name in ("max_completion_tokens", "max_tokens")
        if (value := _count(fields, name, 1, 1 << 40)) is not None
    ]
    return Asked(
        fields=fields,
        body=body,
        model=_model(fields),
        stream=stream,
        include_usage=include_usage,
        max_tokens=max(limits) if limits else None,
        n=_count(fields, "n", 1, MAX_CHOICES) or 1,
        user=_short_text(fields, "user"),
    )


def top_level(body: bytes) -> dict[str, bytes]:
    """The members of a JSON object as raw bytes. Strict: valid UTF-8, no lone surrogates, no NaN, no duplicate names."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"The body is not valid UTF-8 (byte {error.start}).", code="invalid_json") from None
    try:
        raw = _decode_top(body)
    except msgspec.ValidationError:
        raise BadRequest("The body must be a JSON object.", code="invalid_json") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.", code="invalid_json") from None
    fields = {name: bytes(value) for name, value in raw.items()}
    if b"\\u" in body and _SURROGATE.search(body):
        _require_paired_surrogates(body)
    if not _is_compact(fields, len(body)):
        _require_unique_names(fields, body)
    return fields


def _is_compact(fields: dict[str, bytes], size: int) -> bool:
    """True when the members' own bytes account for the whole body: then no name stands in it twice and none is escaped. A body with
    white space between its members takes the slower look."""
    total = 1 + len(fields) or 2
    for name, value in fields.items():
        total += len(value) + 3 + (len(name) if name.isascii() else len(name.encode()))
    return total == size and bool(fields)


def _require_unique_names(fields: dict[str, bytes], body: bytes) -> None:
    spaced = (
        b"{" + b", ".join([b"%b: %b" % (msgspec.json.encode(name), value) for name, value in fields.items()]) + b"}"
    )
    if spaced == body:  # as Python's json.dumps writes it
        return
    pairs: list[tuple[str, Any]] = []

    def keep(found: list[tuple[str, Any]]) -> None:
        pairs[:] = found

    try:
        json.loads(body, object_pairs_hook=keep)  # the outermost object is the last
    except (ValueError, RecursionError):
        raise BadRequest("The body is not valid JSON.", code="invalid_json") from None
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise BadRequest(f"'{name[:60]}' stands in the body twice.", code="duplicate_key", param=name[:60])
        seen.add(name)


def _require_paired_surrogates(body: bytes) -> None:
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode()
    except (UnicodeEncodeError, ValueError, RecursionError):
        raise BadRequest(
            "The body holds half of a surrogate pair, which is no character.", code="invalid_json"
        ) from None


def _is_json(kind: str) -> bool:
    if kind == "application/json":
        return True
    plain = kind.partition(";")[0].strip().lower()
    return plain == "application/json" or (plain.startswith("application/") and plain.endswith("+json"))


def _value(fields: dict[str, bytes], name: str) -> Any:
    raw = fields.get(name)
    return None if raw is None else _decode(raw)


def _boolean(fields: dict[str, bytes], name: str) -> bool:
    raw = fields.get(name)
    if raw is None or raw == b"false" or raw == b"null":
        return False
    if raw != b"true":
        raise BadRequest(f"'{name}' must be true or false.", param=name)
    return True


def _include_usage(fields: dict[str, bytes]) -> bool:
    options = _value(fields, "stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise BadRequest("'stream_options' must be an object.", param="stream_options")
    return options.get("include_usage") is True


def _count(fields: dict[str, bytes], name: str, low: int, high: int) -> int | None:
    value = _value(fields, name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadRequest(f"'{name}' must be a whole number from {low} to {high}.", param=name)
    return value


def _short_text(fields: dict[str, bytes], name: str) -> str | None:
    value = _value(fields, name)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"'{name}' must be a string.", param=name)
    return value[:256] if value else None


def _model(fields: dict[str, bytes]) -> str | None:
    value = _value(fields, "model")
    if value is None:
        return None
    if not isinstance(value, str) or not _MODEL.fullmatch(value):
        raise BadRequest("'model' must be a model's name: 1 to 256 visible ASCII characters.", param="model")
    return value
