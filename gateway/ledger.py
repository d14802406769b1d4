"""Usage × price = cost, in integer nano-USD. Pure; called by the proxy, `reprice` and the audit, so that all of them agree.

A price is integer nano-USD per million tokens. A call's cost is Σ tokens × price, divided by a million once, rounded half up.
The buckets of a usage are disjoint: `prompt_tokens` includes `cached_tokens` and `cache_write_tokens` (OpenAI's meaning), and
`completion_tokens` includes `reasoning_tokens`; the adapters see to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import msgspec

UsageSource = Literal["provider", "estimated", "none"]

NUSD_PER_USD = 1_000_000_000
TOKENS_PER_PRICE = 1_000_000
HALF_A_NUSD = TOKENS_PER_PRICE // 2

_AMOUNT = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]{1,9}))?")


class Usage(msgspec.Struct, omit_defaults=True):
    """Tokens of one attempt. `cached_tokens` and `cache_write_tokens` are parts of `prompt_tokens`, `reasoning_tokens` of `completion_tokens`."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0


def total(parts: Iterable[Usage]) -> Usage | None:
    """All of them in one; None of none."""
    found: Usage | None = None
    for part in parts:
        added = {name: getattr(part, name) + (getattr(found, name) if found else 0) for name in Usage.__struct_fields__}
        found = Usage(**added)
    return found


class Price(msgspec.Struct, frozen=True):
    """Nano-USD per million tokens, in force from `effective_from` (epoch seconds). `above_tokens`: the long-context price that
    holds for the whole call when its prompt exceeds that many tokens."""

    id: str
    input_nusd: int
    output_nusd: int
    cached_input_nusd: int | None = None
    cache_write_nusd: int | None = None
    effective_from: float = 0.0
    above_tokens: int | None = None
    above: Price | None = None


def cost_nusd(usage: Usage, price: Price) -> int:
    """What `usage` costs at `price`, in nano-USD, rounded half up once."""
    prompt = usage.prompt_tokens
    if price.above is not None and price.above_tokens is not None and prompt > price.above_tokens:
        price = price.above
    total = usage.completion_tokens * price.output_nusd
    if usage.cached_tokens or usage.cache_write_tokens:
        cached = min(usage.cached_tokens, prompt)
        written = min(usage.cache_write_tokens, prompt - cached)
        prompt -= cached + written
        total += cached * (price.input_nusd if price.cached_input_nusd is None else price.cached_input_nusd)
        total += written * (price.input_nusd if price.cache_write_nusd is None else price.cache_write_nusd)
    total += prompt * price.input_nusd
    return (total + HALF_A_NUSD) // TOKENS_PER_PRICE


def uncached_nusd(prompt: int, completion: int, price: Price) -> int:
    """The same of tokens of which no cache has any."""
    if price.above is not None and price.above_tokens is not None and prompt > price.above_tokens:
        price = price.above
    return (prompt * price.input_nusd + completion * price.output_nusd + HALF_A_NUSD) // TOKENS_PER_PRICE


def call_cost(own_nusd: int | None, is_answered: bool, others_nusd: Iterable[int | None]) -> int | None:
    """A call's cost: what its answer costs, and every other attempt that the provider bills. None: the answer has no price, or
    nothing that was billed has one."""
    if is_answered and own_nusd is None:
        return None
    known = [cost for cost in (own_nusd, *others_nusd) if cost is not None]
    return sum(known) if known else None


def usd(nusd: int) -> str:
    """A nano-USD amount as a decimal string: exact, up to nine decimals, at least two (`"0.00"`, `"1.50"`, `"-0.000000001"`)."""
    if nusd < 0:
        return "-" + usd(-nusd)
    whole, part = divmod(nusd, NUSD_PER_USD)
    return f"{whole}.{str(NUSD_PER_USD + part)[1:].rstrip('0').ljust(2, '0')}"


def nusd(amount_usd: str) -> int:
    """A decimal string of up to nine decimals as nano-USD. Raises ValueError that says what is wrong."""
    amount = _AMOUNT.fullmatch(amount_usd.strip())
    if amount is None:
        raise ValueError(f"{amount_usd!r} is not a decimal amount of dollars with at most nine decimals, such as 10.00")
    sign, whole, part = amount.groups(default="")
    value = int(whole) * NUSD_PER_USD + int(part.ljust(9, "0"))
    return -value if sign == "-" else value
