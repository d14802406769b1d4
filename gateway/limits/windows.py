"""Calendar windows of budgets. Pure: the clock and the time zone are handed in; nothing is ever reset, a window follows from the clock.

`1h` starts with the hour, `1d` at midnight, `7d` on Monday, `1mo` on the first, `30d` every thirty days counted from 1970-01-01 (a
Thursday) in local days, `total` never ends. A day of 23 or 25 hours is one day.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.catalog import Window

FOREVER = 32_503_680_000.0
"""The end of `total`: the year 3000."""

_DAY_ZERO = date(1970, 1, 1)


@lru_cache(maxsize=4096)
def _bounds(window: Window, timezone: str, hour: int) -> tuple[float, float]:
    if window == "total":
        return 0.0, FOREVER
    zone = _zone(timezone)
    local = datetime.fromtimestamp(hour * 900, zone)
    if window == "1h":
        start = local.replace(minute=0, second=0, microsecond=0)
        return start.timestamp(), start.timestamp() + 3600.0
    first, last = _days(window, local.date())
    return _midnight(first, zone), _midnight(last, zone)


def bounds(window: Window, timezone: str, now: float) -> tuple[float, float]:
    """Start (inclusive) and end (exclusive) of the window that `now` is in, epoch seconds. Unknown zones count as UTC. Every zone's
    offset is a multiple of a quarter of an hour, so windows are remembered by quarter."""
    return _bounds(window, timezone, int(now // 900))


def local(epoch_s: float, timezone: str) -> str:
    """An instant as the people of that zone write it, with its offset: `2026-12-01T00:00+01:00`."""
    return datetime.fromtimestamp(epoch_s, _zone(timezone)).isoformat(timespec="minutes")


def _days(window: Window, today: date) -> tuple[date, date]:
    if window == "1d":
        return today, today + timedelta(days=1)
    if window == "7d":
        monday = today - timedelta(days=today.weekday())
        return monday, monday + timedelta(days=7)
    if window == "30d":
        start = today - timedelta(days=(today - _DAY_ZERO).days % 30)
        return start, start + timedelta(days=30)
    first = today.replace(day=1)
    return first, (
        first.replace(year=first.year + 1, month=1) if first.month == 12 else first.replace(month=first.month + 1)
    )


def _midnight(day: date, zone: ZoneInfo) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC).timestamp()


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
