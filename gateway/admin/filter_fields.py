"""The fields of the filter grammar: how a value of each is read. A reader raises ValueError that says what is wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from uuid import UUID

from gateway.ledger import nusd
from gateway.store.log_filter import Op, Term

_TRACE = re.compile(r"(?:[0-9A-Fa-f]{2}-)?(?P<id>[0-9A-Fa-f]{32})(?:-[\x21-\x7e]*)?")
_NUMBER = re.compile(r"(?P<op>>=|<=|>|<|=)?\$?(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>[A-Za-z]*)")
_COUNTS = {"": 1, "k": 1_000, "K": 1_000, "m": 1_000_000, "M": 1_000_000}
_UNITS = {"ttft": "2s or 800ms", "total": "8s or 800ms", "overhead": "5ms"}
_MS = {"ms": 1.0, "s": 1_000.0, "m": 60_000.0}

Read = Callable[[str], Term]


def pattern(text: str) -> str:
    """As a pattern of LIKE: `*` stands for anything, everything else for itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")


def _text(field: str) -> Read:
    def read(value: str) -> Term:
        return Term(field, "like", pattern(value)) if "*" in value else Term(field, "=", value)

    return read


def _one_of(field: str, *allowed: str) -> Read:
    def read(value: str) -> Term:
        if "*" in value:
            return Term(field, "like", pattern(value))
        if value not in allowed:
            near = difflib.get_close_matches(value, allowed, 1, 0.5)
            raise ValueError(
                f"{field} has no {value!r}; "
                + (f"the nearest is {near[0]!r}" if near else "there are: " + ", ".join(allowed))
            )
        return Term(field, "=", value)

    return read


def _yes(field: str, yes: str = "yes", no: str = "no") -> Read:
    def read(value: str) -> Term:
        if value.lower() in (yes, "true"):
            return Term(field, "=", True)
        if value.lower() in (no, "false"):
            return Term(field, "=", False)
        raise ValueError(f"{field} is {yes} or {no}, not {value!r}")

    return read


def _number(field: str, convert: Callable[[str, str], float]) -> Read:
    def read(value: str) -> Term:
        match = _NUMBER.fullmatch(value)
        if match is None:
            raise ValueError(f"{value!r} is no number with a comparison, such as {EXAMPLES[field]}")
        op: Op = match["op"] or "="  # type: ignore[assignment]  # the pattern knows these alone
        number = convert(match["number"], match["unit"])
        if abs(number) >= 1 << 62:
            raise ValueError(f"{value!r} is too large")
        return Term(field, op, number)

    return read


def _ms(field: str) -> Callable[[str, str], float]:
    def convert(number: str, unit: str) -> float:
        if unit not in _MS:
            raise ValueError(f"say the unit: {_UNITS[field]}")
        return float(number) * _MS[unit]

    return convert


def _count(number: str, unit: str) -> float:
    if unit not in _COUNTS:
        raise ValueError(f"{unit!r} is no unit of a count; k and M are")
    return round(float(number) * _COUNTS[unit])


def _dollars(number: str, unit: str) -> float:
    if unit:
        raise ValueError("an amount is in dollars, without a unit")
    return nusd(number)


def _status(value: str) -> Term:
    if re.fullmatch(r"[1-5][xX]{2}", value):
        return Term("status", "class", int(value[0]) * 100)
    match = _NUMBER.fullmatch(value)
    if match is None or match["unit"] or not match["number"].isdigit() or not 100 <= int(match["number"]) <= 599:
        raise ValueError(f"{value!r} is no status; write 429, 5xx or >=500")
    op: Op = match["op"] or "="  # type: ignore[assignment]  # the pattern knows these alone
    return Term("status", op, int(match["number"]))


def _error(value: str) -> Term:
    return Term("err", "like", pattern(value) if "*" in value else f"%{pattern(value)}%")


def _id(value: str) -> Term:
    try:
        return Term("call", "=", UUID(value))
    except ValueError:
        return _text("id")(value)


def _trace(value: str) -> Term:
    match = _TRACE.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is no trace id: 32 hexadecimal digits, or a whole traceparent")
    return Term("trace", "=", match["id"].lower())


FIELDS: dict[str, Read] = {
    "status": _status,
    "project": _text("project"),
    "key": _text("key"),
    "provider": _text("provider"),
    "model": _text("model"),
    "tier": _text("tier"),
    "endpoint": _one_of("endpoint", "chat", "embeddings"),
    "err": _error,
    "end": _one_of(
        "end", "complete", "refused", "upstream_refused", "upstream_failed", "upstream_truncated", "upstream_timeout", "client_closed",
        "drained", "interrupted", "replayed",
    ),
    "id": _id,
    "call": _id,
    "trace": _trace,
    "ttft": _number("ttft", _ms("ttft")),
    "total": _number("total", _ms("total")),
    "overhead": _number("overhead", _ms("overhead")),
    "cost": _number("cost", _dollars),
    "tokens": _number("tokens", _count),
    "in": _number("in", _count),
    "out": _number("out", _count),
    "cached": _number("cached", _count),
    "reasoning": _number("reasoning", _count),
    "attempts": _number("attempts", _count),
    "stream": _yes("stream"),
    "cache": _yes("cache", "hit", "miss"),
    "user": _text("user"),
    "tag": _text("tag"),
    "source": _one_of("source", "provider", "estimated", "none"),
    "price": _text("price"),
    "version": _text("version"),
    "worker": _text("worker"),
}  # fmt: skip
EXAMPLES = {
    "status": "status:5xx", "ttft": "ttft:>2s", "total": "total:>=8s", "overhead": "overhead:>5ms", "cost": "cost:>0.05",
    "tokens": "tokens:>10k", "in": "in:>10k", "out": "out:>1k", "cached": "cached:>0", "reasoning": "reasoning:>0",
    "attempts": "attempts:>1", "tag": "tag:env=prod", "stream": "stream:yes",
}  # fmt: skip
