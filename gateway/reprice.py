"""What recorded calls cost at the prices of today's price table. Pure; `admin/reprice` reads the rows and writes what comes out.

A row is repriced from itself alone: its tokens are the answer's, and an attempt that was billed without an answer keeps its own.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from gateway.ledger import Price, Usage, call_cost, cost_nusd
from gateway.records import AttemptRecord

_decode_attempts = msgspec.json.Decoder(list[AttemptRecord]).decode
_encode = msgspec.json.encode


class PricedRow(msgspec.Struct):
    """What of a row of request_logs its cost hangs on, and what sums it is part of. `attempts` is JSON."""

    created_at: datetime
    call_id: UUID
    org_id: str
    project_id: str
    key_id: str
    user: str | None
    tier: str | None
    provider: str | None
    model: str | None
    usage_source: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    total_tokens: int | None
    cost_nusd: int | None
    price_id: str | None
    attempts: str

    @property
    def is_unpriced(self) -> bool:
        """It used tokens, and nobody knows what they cost."""
        return self.cost_nusd is None and bool(self.total_tokens)


class PriceTable:
    """Prices by the names that rows have: provider and model."""

    def __init__(self, prices: dict[tuple[str, str], tuple[Price, ...]]) -> None:
        self._prices = prices

    def at(self, provider: str | None, model: str | None, at: datetime) -> Price | None:
        """The price in force then. None: there is none, or the model is gone; what was recorded then stays."""
        epoch_s = at.timestamp()
        for price in reversed(self._prices.get((provider or "", model or ""), ())):
            if price.effective_from <= epoch_s:
                return price
        return None


def repriced(row: PricedRow, prices: PriceTable) -> PricedRow | None:
    """The row as it should be, or None when it is so already."""
    attempts = _decode_attempts(row.attempts)
    is_answered = row.total_tokens is not None
    own, price_id = None, row.price_id
    if is_answered:
        own, price_id = _own_cost(row, attempts, prices)
        if attempts and attempts[-1].usage is None:
            attempts[-1].cost_nusd = own
    others = [attempt for attempt in attempts if attempt.usage is not None]
    if (
        not is_answered and not others
    ):  # nothing that a price could change: a refusal, or a stored answer given again for nothing
        return None
    for attempt in others:
        price = prices.at(attempt.provider, attempt.model, row.created_at)
        if price is not None and attempt.usage is not None:
            attempt.cost_nusd, attempt.price_id = cost_nusd(attempt.usage, price), price.id
    cost = call_cost(own, is_answered, (attempt.cost_nusd for attempt in others))
    if cost == row.cost_nusd and price_id == row.price_id:
        return None
    return msgspec.structs.replace(row, cost_nusd=cost, price_id=price_id, attempts=_encode(attempts).decode())


def _own_cost(row: PricedRow, attempts: list[AttemptRecord], prices: PriceTable) -> tuple[int | None, str | None]:
    """The answer's part, and its price's id. Without a price it stays what it was: the rest of the cost is the attempts'."""
    price = prices.at(row.provider, row.model, row.created_at)
    if price is not None:
        usage = Usage(
            prompt_tokens=row.prompt_tokens or 0,
            completion_tokens=row.completion_tokens or 0,
            cached_tokens=row.cached_tokens or 0,
            cache_write_tokens=row.cache_write_tokens or 0,
        )
        return cost_nusd(usage, price), price.id
    if row.cost_nusd is None:
        return None, row.price_id
    return row.cost_nusd - sum(a.cost_nusd or 0 for a in attempts if a.usage is not None), row.price_id


class Tally(msgspec.Struct):
    """Rows of one provider's model, before and after."""

    rows: int = 0
    changed: int = 0
    before_nusd: int = 0
    after_nusd: int = 0
    unpriced_before: int = 0
    unpriced_after: int = 0

    def count(self, before: PricedRow, after: PricedRow | None) -> None:
        self.rows += 1
        self.changed += after is not None
        new = before if after is None else after
        self.before_nusd += before.cost_nusd or 0
        self.after_nusd += new.cost_nusd or 0
        self.unpriced_before += before.is_unpriced
        self.unpriced_after += new.is_unpriced

    def add(self, other: Tally) -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
