"""Times as the admin API writes and reads them: ISO 8601 with `Z`, to the millisecond; on the way in a length such as `90d` too."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_LENGTH = re.compile(r"(\d{1,6})(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def iso(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_of(epoch_s: float) -> str:
    """The same of epoch seconds."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def length_s(text: str) -> int:
    """`30s`, `15m`, `24h`, `90d`, `2w` in seconds. Raises ValueError."""
    match = _LENGTH.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:40]!r} is no length such as 30s, 15m, 24h, 90d or 2w")
    return int(match[1]) * _SECONDS[match[2]]


def read(text: str, now: float, *, sign: int = 1) -> datetime:
    """An ISO 8601 time, or a length from now (`sign=-1`: before now). A time without a zone is UTC. Raises ValueError."""
    try:
        return datetime.fromtimestamp(now, UTC) + timedelta(seconds=sign * length_s(text))
    except (ValueError, OverflowError):
        pass
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text[:40]!r} is neither a time such as 2026-12-31T00:00:00Z nor a length such as 90d"
        ) from None
