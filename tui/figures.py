"""Numbers as people read them: money, tokens, shares, durations, moments. A missing one is an en dash, never a zero."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tui import clock

NONE = "–"
NUSD = 1_000_000_000
KEY_LIMITS = (("rpm", "requests/min"), ("tpm", "tokens/min"), ("concurrency", "at once"))


def dollars(nusd: int | None, places: int | None = None) -> str:
    """`$214.80`; small amounts with as many places as say something: `$0.00978`."""
    if nusd is None:
        return NONE
    if places is None:
        places = 2 if abs(nusd) >= NUSD or nusd % 10_000_000 == 0 else 5
    return f"${nusd / NUSD:,.{places}f}"


def cost(nusd: int | None) -> str:
    """A call's cost, always five places, so that a column lines up; less than that shows `<$0.00001`."""
    if nusd is None:
        return NONE
    if 0 < nusd < 5_000:
        return "<$0.00001"
    return f"${nusd / NUSD:,.5f}"


def count(number: float | None) -> str:
    """`980`, `1.2k`, `88k`, `212k`, `1.84M`."""
    if number is None:
        return NONE
    if number < 1000:
        return f"{number:.0f}"
    size, letter = next((size, letter) for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if number >= size)
    share = number / size
    places = (1 if share < 10 else 0) if letter == "k" else (2 if share < 10 else 1 if share < 100 else 0)
    return f"{share:.{places}f}{letter}"


def calls(number: int) -> str:
    return f"{number:,} call{'' if number == 1 else 's'}"


def rate(number: float | None) -> str:
    if number is None:
        return NONE
    return f"{number:.2f}" if 0 < number < 1 else f"{number:.1f}" if number < 1000 else count(number)


def percent(share: float | None, places: int = 1) -> str:
    """`0.43` of a share of 0.0043, without the sign."""
    return NONE if share is None else f"{share * 100:.{places}f}"


def seconds(ms: float | None) -> str:
    """A column of durations: `0.31s`, `12.4s`, `104s`."""
    if ms is None:
        return NONE
    value = ms / 1000
    return f"{value:.2f}s" if value < 10 else f"{value:.1f}s" if value < 100 else f"{value:.0f}s"


def duration(ms: float | None) -> str:
    """A duration in a sentence: `80 µs`, `0.4 ms`, `612 ms`, `2.84 s`, `3 min`."""
    if ms is None:
        return NONE
    if 0 < ms < 0.1:
        return f"{ms * 1000:.0f} µs"
    if ms < 10:
        return f"{ms:.1f} ms"
    if ms < 1000:
        return f"{ms:.0f} ms"
    return f"{ms / 1000:.2f} s" if ms < 60_000 else span(ms / 1000)


def span(seconds_long: float) -> str:
    """`24 s`, `3 min`, `11h55m`, `21d`."""
    whole = int(seconds_long)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        hours, minutes = divmod(whole // 60, 60)
        return f"{hours}h{minutes:02d}m" if minutes else f"{hours}h"
    return f"{whole // 86400}d"


def parsed(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def ago(text: str | None, never: str = "never") -> str:
    at = parsed(text)
    if at is None:
        return never
    passed = clock.now() - at.timestamp()
    if clock.shows_absolute():
        return f"{at.astimezone(UTC):%H:%M:%S}" if passed < 43_200 else f"{at.astimezone(UTC):%m-%d %H:%M}"
    return "now" if passed < 1 else f"{span(passed)} ago"


def age(text: str | None) -> str:
    """`24 s`, without the word: for a column that says SINCE."""
    at = parsed(text)
    return "" if at is None else span(max(0.0, clock.now() - at.timestamp()))


def until(text: str | None, never: str = "never") -> str:
    at = parsed(text)
    if at is None:
        return never
    left = at.timestamp() - clock.now()
    return f"in {span(left)}" if left > 0 else f"{span(-left)} ago"


def day(text: str | None, never: str = NONE) -> str:
    at = parsed(text)
    return never if at is None else f"{at:%Y-%m-%d}"


def minute(text: str | None, never: str = NONE) -> str:
    """`2026-12-01 00:00 UTC`."""
    at = parsed(text)
    return never if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def time_of_day(text: str, width: int = 12) -> str:
    """`12:04:28.114` out of an ISO time, by cutting: this is drawn for every row of the tail."""
    return text[11 : 11 + width].rstrip("Z") if len(text) > 18 else text


def limit(number: int | None) -> str:
    """A limit as it was set, not rounded; none is a dash."""
    return NONE if number is None else f"{number:,}"


def key_limits(key: Mapping[str, Any]) -> str:
    """`60 requests/min, $10.00 per 1mo`: those of its own; nothing when it has none."""
    budget = key.get("budget")
    parts = [f"{key[name]:,} {what}" for name, what in KEY_LIMITS if key.get(name) is not None]
    return ", ".join([*parts, *([f"{dollars(budget['amount_nusd'])} per {budget['window']}"] if budget else [])])


def trace(told: Mapping[str, Any]) -> str:
    """`14 calls, 1 failed, $0.12400 in 8.20 s`: what belongs to one trace. Says what the sum leaves out."""
    since, until_ = parsed(told["since"]), parsed(told["until"])
    took = (until_ - since).total_seconds() * 1000 if since and until_ else None
    calls = (
        "1 call"
        if told["calls"] == 1
        else f"{told['calls']:,} calls"
        if told["is_whole"]
        else f"over {told['calls']:,} calls"
    )
    failed = f", {told['errors']:,} failed" if told["errors"] else ""
    unpriced = f" and {told['unpriced_calls']:,} without a price" if told["unpriced_calls"] else ""
    return f"{calls}{failed}, {cost(told['cost_nusd'])}{unpriced} in {duration(took)}"


def candidate_price(told: Mapping[str, Any]) -> str:
    """`$0.25/M in, $2.00/M out: $0.00012 for these tokens (today's price)`; nothing where there is no price."""
    if told.get("input_nusd") is None:
        return ""
    tokens = told.get("tokens_nusd")
    come_to = "" if tokens is None else f": {cost(tokens)} for these tokens"
    today = " (today's price)" if told.get("price_basis") == "today" else ""
    return f"{dollars(told['input_nusd'])}/M in, {dollars(told.get('output_nusd'))}/M out{come_to}{today}"


def limit_left(told: Mapping[str, Any]) -> str:
    """`requests of key ci: 411 of 600 a minute were left, 1 needed`. Money is shown as dollars."""
    kind = told["kind"]
    left, size, needs = (
        dollars(told[name]) if kind == "money" else f"{told[name] or 0:,}" for name in ("left", "size", "needs")
    )
    what = {"money": "budget", "slots": "calls at once"}.get(kind, kind)
    per = {"money": f" per {told['window']}", "slots": ""}.get(kind, " a minute")
    return f"{what} of {told['name']}: {left} of {size}{per} were left, {needs} needed"
