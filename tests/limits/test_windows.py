"""Windows follow from the clock: by the calendar of a time zone, with its short and long days."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.limits.windows import FOREVER, bounds

HOUR = 3600.0


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("window", "zone", "now", "start", "end"),
    [
        ("1h", "UTC", "2026-03-01T10:59:59", "2026-03-01T10:00", "2026-03-01T11:00"),
        ("1h", "Asia/Kathmandu", "2026-03-01T10:10", "2026-03-01T10:00", "2026-03-01T11:00"),
        ("1d", "UTC", "2024-02-29T23:59:59", "2024-02-29T00:00", "2024-03-01T00:00"),
        ("1d", "Pacific/Auckland", "2026-06-01T00:00", "2026-06-01T00:00", "2026-06-02T00:00"),
        ("7d", "UTC", "2026-11-22T23:00", "2026-11-16T00:00", "2026-11-23T00:00"),
        ("7d", "UTC", "2026-11-23T00:00", "2026-11-23T00:00", "2026-11-30T00:00"),
        ("30d", "UTC", "1970-01-30T12:00", "1970-01-01T00:00", "1970-01-31T00:00"),
        ("30d", "UTC", "1970-01-31T00:00", "1970-01-31T00:00", "1970-03-02T00:00"),
        ("1mo", "UTC", "2024-02-29T12:00", "2024-02-01T00:00", "2024-03-01T00:00"),
        ("1mo", "UTC", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("1mo", "America/New_York", "2026-01-31T23:59", "2026-01-01T00:00", "2026-02-01T00:00"),
    ],
)
def test_a_window_begins_and_ends_with_the_local_calendar(window, zone, now, start, end):
    assert bounds(window, zone, at(now, zone)) == (at(start, zone), at(end, zone))


def test_a_day_has_23_or_25_hours_when_the_clocks_change():
    start, end = bounds("1d", "Europe/Berlin", at("2026-03-29T12:00", "Europe/Berlin"))
    assert end - start == 23 * HOUR
    start, end = bounds("1d", "Europe/Berlin", at("2026-10-25T12:00", "Europe/Berlin"))
    assert end - start == 25 * HOUR


def test_an_hour_that_comes_twice_is_two_windows():
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()  # 02:30 summer time
    second = first + HOUR  # 02:30 winter time
    assert bounds("1h", "Europe/Berlin", first)[1] == bounds("1h", "Europe/Berlin", second)[0]


def test_windows_touch_without_gap_or_overlap():
    for window in ("1h", "1d", "7d", "30d", "1mo"):
        for zone in ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"):
            now = at("2026-01-01T00:00", zone)
            for _ in range(50):
                start, end = bounds(window, zone, now)
                assert start <= now < end
                assert bounds(window, zone, end)[0] == end
                assert bounds(window, zone, end - 1) == (start, end)
                now = end


def test_total_never_ends_and_an_unknown_zone_is_utc():
    assert bounds("total", "Europe/Berlin", 1.0) == (0.0, FOREVER)
    assert bounds("1d", "Not/AZone", at("2026-05-05T05:00")) == bounds("1d", "UTC", at("2026-05-05T05:00"))
