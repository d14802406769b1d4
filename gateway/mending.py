"""Records that can't be encoded, read or stored as they are, made so that they can: whatever is odd about one, the charge is not lost.
Pure; called by `journal` and `store/ingest`, and only for the odd ones."""

from __future__ import annotations

import math
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from gateway.ledger import UsageSource
from gateway.records import EndReason, Final, Intent, Progress, Record

AnyRecord = TypeVar("AnyRecord", bound=Record)

MAX_TOKENS = 1_000_000_000_000
MAX_COST_NUSD = 1_000_000_000_000_000
"""More is no count of one call but a defect, and sums of it would leave 64 bits and stop every other record of the hour."""

_INT8 = 1 << 63
_LAST_SECOND = 253_402_214_400.0  # 9999-12-31: what a timestamp holds
_TOKENS = (
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "total_tokens",
)


def is_plausible(final: Final) -> bool:
    """Can this be one call's usage? Sums of it must stay within 64 bits."""
    for count in (
        final.prompt_tokens,
        final.completion_tokens,
        final.cached_tokens,
        final.cache_write_tokens,
        final.reasoning_tokens,
        final.total_tokens,
    ):
        if count and not 0 < count <= MAX_TOKENS:
            return False
    return not final.cost_nusd or 0 < final.cost_nusd <= MAX_COST_NUSD


def cleaned(record: AnyRecord) -> AnyRecord:
    """The same record without what JSON or Postgres can't hold: NUL and lone surrogates in text, NaN, numbers over 64 bits."""
    raw = msgspec.structs.asdict(record)
    return type(record)(**{name: _clean(value) for name, value in raw.items()})


def storable(final: Final) -> Final:
    """A cleaned final that any sum can take: a usage that can't be one is left out (quarantine keeps the original), and a time that
    no timestamp holds becomes the nearest."""
    fresh = cleaned(final)
    fresh.created_at = min(max(fresh.created_at, 0.0), _LAST_SECOND)
    fresh.status = fresh.status if abs(fresh.status) < 1 << 31 else 500
    if fresh.usage_source not in get_args(UsageSource) or not is_plausible(fresh):
        for name in (*_TOKENS, "cost_nusd", "price_id"):
            setattr(fresh, name, None)
        fresh.usage_source = "none"
    return fresh


def repaired(line: bytes) -> Record | None:
    """A line that the strict reader refused, read field by field: a field that is no such value (a NaN became null, a newer version
    wrote another word) gets an empty one. None: this is no record (a torn line, or one of a kind we don't know)."""
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    kinds: dict[object, type[Record]] = {"i": Intent, "p": Progress, "f": Final}
    kind = kinds.get(fields[0]) if isinstance(fields, list) and fields and isinstance(fields[0], str) else None
    if kind is None or len(fields) < 2 or not isinstance(fields[1], str):
        return None
    hints = get_type_hints(kind)
    given: dict[str, Any] = {}
    for name, value in zip(kind.__struct_fields__, fields[1:], strict=False):
        given[name] = _as(value, hints[name])
    try:
        return kind(**given)
    except TypeError:  # fields are missing that no default stands for
        return None


def _as(value: Any, wanted: Any) -> Any:
    """`value` as the type a field wants, else the value itself for a word, else that type's empty value."""
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        if isinstance(value, str) and wanted == EndReason:
            return value
    empties: tuple[Any, ...] = (None, 0, 0.0, "", [], {})
    for empty in empties:
        try:
            return msgspec.convert(empty, wanted)
        except msgspec.ValidationError:
            continue
    return "none" if wanted == UsageSource else False


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return max(-_INT8, min(_INT8 - 1, value))
    if isinstance(value, float):
        return value if math.isfinite(value) else 0.0
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(name): _clean(item) for name, item in value.items()}
    if isinstance(value, msgspec.Raw):
        try:
            return _clean(msgspec.json.decode(value))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
    if isinstance(value, msgspec.Struct):
        return type(value)(**{name: _clean(item) for name, item in msgspec.structs.asdict(value).items()})
    return value
