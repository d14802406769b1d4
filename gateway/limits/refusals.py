"""A limit's no, in words: its name, scope, window, and when it resets. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.errors import LimitReached, Unavailable
from gateway.ledger import usd
from gateway.limits.pools import Drawn, Pool
from gateway.limits.windows import FOREVER

TYPES = {"requests": "requests", "tokens": "tokens", "slots": "concurrency", "money": "insufficient_quota"}


def reached(pool: Pool, told: Drawn | None, amount: int, now: float) -> LimitReached:
    """429, with the true wait where there is one."""
    if pool.kind == "money":
        return _budget(pool, told, amount, now)
    wait = max(1.0, told.retry_after_s if told else 1.0)
    if pool.kind == "slots":
        text = f"The concurrency limit of {pool.name} is reached: {pool.size} calls at once. One must end first."
        return LimitReached(text, type="concurrency", retry_after_s=1.0)
    what = "requests" if pool.kind == "requests" else "tokens"
    if amount > pool.size:
        text = f"This call may need {amount} {what}, more than the limit of {pool.name} of {pool.size} a minute allows at all: lower max_tokens."
    else:
        text = f"The rate limit of {pool.name} is reached: {pool.size} {what} a minute. It frees up in {wait:.0f} s."
    return LimitReached(text, type=TYPES[pool.kind], retry_after_s=wait)


def _budget(pool: Pool, told: Drawn | None, amount: int, now: float) -> LimitReached:
    when = (
        "never resets"
        if pool.end >= FOREVER
        else f"resets at {datetime.fromtimestamp(pool.end, UTC):%Y-%m-%dT%H:%M:%SZ}"
    )
    left = max(0, told.left) if told else 0
    return LimitReached(
        f"The budget of {pool.name} per {pool.window} is used up: this call may cost ${usd(amount)}, ${usd(left)} is left. It {when}.",
        type="insufficient_quota",
        code="insufficient_quota",
        retry_after_s=max(1.0, pool.end - now),
    )


def no_coordinator(pool: Pool) -> Unavailable:
    what = "budget" if pool.kind == "money" else "limit"
    return Unavailable(
        f"The {what} of {pool.name} can't be checked now, and this worker's share of it is used up. Try again shortly.",
        code="budget_unavailable",
        retry_after_s=2,
    )
