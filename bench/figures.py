"""Measured values as figures with a target: `value`, `unit`, whether it is `ok`, and every value it is made of."""

from __future__ import annotations

import datetime
import re
import statistics
from typing import Any

from tests.tui.terminal import SEQUENCE

Figure = dict[str, Any]


def figure(values: list[float], target: float, unit: str, share: float) -> Figure:
    """One number out of many: the value below which `share` of them lie."""
    ordered = sorted(values)
    value = ordered[min(len(ordered) - 1, int(share * len(ordered)))] if share < 1 else ordered[-1]
    if share == 0.5:
        value = statistics.median(ordered)
    return {
        "value": round(value, 2),
        "target": target,
        "unit": unit,
        "ok": value <= target,
        "n": len(values),
        "values": [round(one, 2) for one in ordered][:200],
    }


def none_lost(sent: int, held: int, lost: int) -> Figure:
    return {"value": sent - held + lost, "target": 0, "unit": f"of {sent:,}", "ok": sent == held and not lost}


def ages_at_draw(reads: list[tuple[float, bytes]], offset: float) -> list[float]:
    """ms between the time that the newest row of a write carries and the write. `offset`: wall clock minus perf_counter."""
    ages = []
    midnight = datetime.datetime.now(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    for moment, data in reads:
        times = re.findall(rb"(\d\d):(\d\d):(\d\d\.\d{3})", SEQUENCE.sub(b"", data))
        if times:
            newest = max(int(hours) * 3600 + int(minutes) * 60 + float(seconds) for hours, minutes, seconds in times)
            ages.append((moment + offset - midnight - newest) * 1000)
    return [age for age in ages if 0 <= age < 60_000]
