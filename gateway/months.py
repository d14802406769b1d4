"""Months of bills: `2026-11` in a time zone. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_MONTH = re.compile(r"([12][0-9]{3})-(0[1-9]|1[0-2])")
HOUR = timedelta(hours=1)


def bounds(month: str, timezone: str) -> tuple[datetime, datetime]:
    """Start (inclusive) and end (exclusive) in UTC: midnight of the first by the zone's clock, also where a month has an hour more or
    less. Raises ValueError for what is no month, ZoneInfoNotFoundError."""
    match = _MONTH.fullmatch(month)
    if match is None:
        raise ValueError(f"{month[:20]!r} is no month such as 2026-11")
    year, number = int(match[1]), int(match[2])
    zone = ZoneInfo(timezone)
    after = (year + 1, 1) if number == 12 else (year, number + 1)
    return (
        datetime(year, number, 1, tzinfo=zone).astimezone(UTC),
        datetime(*after, 1, tzinfo=zone).astimezone(UTC),
    )


def month_of(at: datetime, timezone: str) -> str:
    return at.astimezone(ZoneInfo(timezone)).strftime("%Y-%m")


def before(month: str) -> str:
    """The month before."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year - 1}-12" if number == 1 else f"{year}-{number - 1:02d}"


def hours_inside(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """The whole hours of [start, end): what hourly sums can answer. The rest at both ends is less than an hour each."""
    first = start.replace(minute=0, second=0, microsecond=0)
    if first < start:
        first += HOUR
    last = end.replace(minute=0, second=0, microsecond=0)
    return first, max(first, last)
