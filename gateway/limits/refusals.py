"""A limit's no, in words: its name, scope, window, and when it resets. Pure but for the clock."""

from __future__ import annotations

from gateway import clock
from gateway.errors import LimitReached, Unavailable
from gateway.ledger import usd
from gateway.limits import windows
from gateway.limits.pools import RATE_WINDOW_S, Drawn, Pool
from gateway.limits.windows import FOREVER

LONGEST_WAIT_S = 60.0
RATE_WINDOW_MS = int(RATE_WINDOW_S * 1000)
NEVER = {"x-should-retry": "false"}
"""For SDKs: asking again within a minute is of no use."""


def rate_lines(pool: Pool, left: int) -> str:
    """OpenAI's three names for a limit of requests or tokens, as lines of an answer's head; what is used comes back evenly."""
    kind, size = pool.kind, pool.size
    reset_ms = (size - left) * RATE_WINDOW_MS // size if size > left else 0
    reset = f"{reset_ms}ms" if reset_ms < 1000 else _duration(reset_ms / 1000)
    return f"x-ratelimit-limit-{kind}: {size}\r\nx-ratelimit-remaining-{kind}: {left}\r\nx-ratelimit-reset-{kind}: {reset}\r\n"


def rate_headers(kind: str, size: int, left: int, reset_s: float) -> dict[str, str]:
    """The same three names for a refusal, which knows the true wait."""
    return {
        f"x-ratelimit-limit-{kind}": str(size),
        f"x-ratelimit-remaining-{kind}": str(left),
        f"x-ratelimit-reset-{kind}": _duration(reset_s),
    }


def _duration(seconds: float) -> str:
    """OpenAI's spelling: `6m0s`, `1.5s`, `20ms`."""
    if seconds < 1:
        return f"{int(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:.0f}s" if minutes else f"{rest:.3g}s"


def reached(pool: Pool, told: Drawn | None, amount: int, left: int) -> LimitReached:
    """429, with the true wait where there is one."""
    if pool.kind == "money":
        return _budget(pool, amount, left)
    if pool.kind == "slots":
        text = (
            f"The concurrency limit of {pool.name} is reached: {pool.size} calls at once. One of them must end first."
        )
        return LimitReached(text, type="concurrency", retry_after_s=1.0)
    what = pool.kind
    if amount > pool.size:
        text = f"This call counts as up to {amount} {what}, and the limit of {pool.name} is {pool.size} {what} a minute"
        mend = ": lower max_tokens or shorten the prompt." if what == "tokens" and pool.size else "."
        headers = {**NEVER, **rate_headers(what, pool.size, max(0, left), LONGEST_WAIT_S)}
        return LimitReached(text + mend, type=what, retry_after_s=LONGEST_WAIT_S, headers=headers)
    wait = max(1.0, told.retry_after_s if told else 1.0)
    text = f"The rate limit of {pool.name} is reached: {pool.size} {what} a minute. This call fits again in {-int(-wait // 1)} s."
    return LimitReached(text, type=what, retry_after_s=wait, headers=rate_headers(what, pool.size, max(0, left), wait))


def _budget(pool: Pool, amount: int, left: int) -> LimitReached:
    wait = pool.end - clock.now()
    when = "It never resets" if pool.end >= FOREVER else f"It resets at {windows.local(pool.end, pool.timezone)}"
    return LimitReached(
        f"The budget of {pool.name} per {pool.window}, can't cover this call: it may cost ${usd(amount)}, and ${usd(left)} is left. {when}.",
        type="insufficient_quota",
        code="insufficient_quota",
        retry_after_s=max(1.0, wait),
        headers=NEVER if wait > LONGEST_WAIT_S else None,
    )


def no_coordinator(pool: Pool) -> Unavailable:
    what = "budget" if pool.kind == "money" else "limit"
    return Unavailable(
        f"The {what} of {pool.name} can't be checked now, and this worker's share of it is used up. Try again shortly.",
        code="budget_unavailable",
        retry_after_s=2,
    )
