"""What one worker may still spend of one pool, and what one call has set aside of several."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from gateway.limits.pools import RATE_WINDOW_S, Back, Drawn, Pool

MERGED_S = 0.1


class Share:
    """Ours of one pool: `available` = amount - held - spent. `spent` is over but not yet in the coordinator's own count (money); what
    calls take of a rate leaves `amount` at once. Times are monotonic."""

    __slots__ = (
        "amount", "asked_back_at", "asking", "back", "empty_at", "empty_for", "excess", "expires", "held", "is_away", "is_rate", "minute", "pool",
        "recorded", "refused_for", "refused_until", "spent", "told", "used_at", "wanted_until",
    )  # fmt: skip

    def __init__(self, pool: Pool, now: float) -> None:
        self.pool = pool
        self.is_rate = pool.kind in ("requests", "tokens")
        self.amount = 0
        self.held = 0
        self.spent = 0
        self.recorded = 0
        """What all workers have spent of a budget, when this one last heard."""
        self.expires = 0.0
        self.used_at = now
        self.told: Drawn | None = None
        self.asking: asyncio.Task[None] | None = None
        self.is_away = False
        """The coordinator was away when it was last asked."""
        self.back: list[tuple[float, int]] = []
        """Of a rate: when it was taken, and how much of it was not used."""
        self.empty_at = self.asked_back_at = self.refused_until = 0.0
        self.wanted_until = 0.0
        """Another worker has asked for it: what becomes free goes back at once. 0: nobody has."""
        self.excess = 0
        """More than the limit allows since it was lowered: goes back before anything is spent."""
        self.empty_for = self.refused_for = 0
        """What was asked for in vain."""
        self.minute: deque[tuple[float, int, bool]] = deque()
        """Of a rate: when and how much this worker took in the last minute, and whether a coordinator has counted it."""

    @property
    def available(self) -> int:
        return self.amount - self.held - self.spent

    def unused(self, taken_at: float, amount: int) -> None:
        """Part of a rate goes back."""
        if self.back and taken_at - self.back[-1][0] < MERGED_S:
            self.back[-1] = (self.back[-1][0], self.back[-1][1] + amount)
        else:
            self.back.append((taken_at, amount))

    def take_backs(self, now: float) -> tuple[Back, ...]:
        """What is to go back, youngest last; an older one than the window counts nowhere any more."""
        given = tuple((now - at, amount) for at, amount in self.back if now - at < RATE_WINDOW_S)
        self.back = []
        return given

    def taken(self, now: float) -> tuple[int, int]:
        """In the last minute: everything, and what no coordinator has counted yet."""
        while self.minute and now - self.minute[0][0] >= RATE_WINDOW_S:
            self.minute.popleft()
        return sum(e[1] for e in self.minute), sum(amount for _, amount, is_counted in self.minute if not is_counted)

    def was_granted(self, now: float, amount: int) -> int:
        """Notes a grant of a rate; returns what of it may be spent: the rest covers what was taken without a coordinator."""
        _, uncounted = self.taken(now)
        if uncounted:
            self.minute = deque((at, n, True) for at, n, _ in self.minute)
        self.minute.append((now, amount - uncounted, True))
        return amount - uncounted

    def reconcile(self, have: int) -> None:
        """The coordinator counts `have` as ours. It may lack what is recorded by now; what else it lacks is not ours any more."""
        missing = self.amount - have
        if missing > self.spent:
            self.amount -= missing - self.spent


class CallHold:
    """What one call holds of every pool."""

    __slots__ = ("_at", "_headers", "_is_over", "_parts", "_wake")

    def __init__(
        self,
        parts: list[tuple[Share, int]],
        at: float,
        wake: Callable[[], None],
        headers: Callable[[list[tuple[Share, int]]], dict[str, str]],
    ) -> None:
        self._parts = parts
        self._is_over = False
        self._at = at
        self._wake = wake
        self._headers = headers

    @property
    def nusd(self) -> int | None:
        """Money set aside; None when no budget counts the call."""
        return next((amount for share, amount in self._parts if share.pool.kind == "money"), None)

    def extend(self, cost_nusd: int) -> bool:
        money = [share for share, _ in self._parts if share.pool.kind == "money"]
        if any(share.amount - share.held - share.spent < cost_nusd for share in money):
            return False
        for share in money:
            share.held += cost_nusd
        self._parts = [
            (share, amount + cost_nusd if share.pool.kind == "money" else amount) for share, amount in self._parts
        ]
        return True

    def settle(self, tokens: int, cost_nusd: int, model: str | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        for share, amount in self._parts:
            pool = share.pool
            if pool.model is not None and model is not None and pool.model != model:
                self._return(share, amount)
            elif not share.is_rate:
                share.held -= amount
                if pool.kind == "money":
                    share.spent += cost_nusd
            elif pool.kind == "tokens":
                if tokens < amount:
                    share.unused(self._at, amount - tokens)
                else:
                    share.amount -= tokens - amount
            if share.wanted_until:
                self._wake()

    def release(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        for share, amount in self._parts:
            self._return(share, amount)
            if share.wanted_until:
                self._wake()

    def headers(self) -> dict[str, str]:
        return self._headers(self._parts)

    def _return(self, share: Share, amount: int) -> None:
        if share.is_rate:
            share.unused(self._at, amount)
        else:
            share.held -= amount
