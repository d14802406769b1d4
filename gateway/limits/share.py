"""What one worker may still spend of one pool, and what one call has set aside of several. Walked by every call, share by share: what a call
needs of a share lies in it (its pool's kind and model too), and setting aside is one subtraction whatever the kind."""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec

from gateway.limits.pools import RATE_SHARE_S, RATE_WINDOW_S, Back, Drawn, Pool, Stood
from gateway.limits.refusals import rate_lines

MERGED_S = 0.1
NEVER = -(1 << 62)
AHEAD_CALLS = 8
"""A grant of at least so many calls was drawn from plenty: then the next is drawn when three quarters of it are used. Of less, nothing
is taken before it is needed."""


class Share:
    """Ours of one pool: `amount` is all of it, what is `free`, what calls under way hold, and what is `spent` and not in the coordinator's
    own count yet (money). Times are monotonic."""

    __slots__ = (
        "amount", "asked_back_at", "asking", "back", "drawn_at", "elsewhere", "empty_at", "empty_for", "excess", "expires", "free", "is_away",
        "is_rate", "kind", "label", "low", "minute", "model", "pool", "recorded", "refused_for", "refused_until", "spent", "told", "used_at",
        "wanted_until",
    )  # fmt: skip

    def __init__(self, pool: Pool, now: float) -> None:
        self.set_pool(pool)
        self.kind = pool.kind
        self.is_rate = pool.kind in ("requests", "tokens")
        self.amount = 0
        self.free = 0
        self.elsewhere = 0
        """Free in nobody's or in others' hands, when this worker last heard."""
        self.low = NEVER
        """With less than this free the next part is drawn ahead, before a call has to wait for it."""
        self.spent = 0
        self.recorded = 0
        """What all workers have spent of a budget, when this one last heard."""
        self.expires = 0.0
        self.used_at = self.drawn_at = now
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

    def set_pool(self, pool: Pool) -> None:
        """An operator may change what is limited, and how much."""
        self.pool = pool
        self.model = pool.model
        self.label = msgspec.Raw(msgspec.json.encode((pool.scope, pool.name, pool.kind, pool.window, pool.size)))
        """As every call's record has it."""

    @property
    def held(self) -> int:
        """By calls under way."""
        return self.amount - self.free - self.spent

    @property
    def left(self) -> int:
        """Ours and nobody's, as far as this worker knows."""
        told = self.told
        return max(0, self.free + told.left if told is not None else self.free)

    def grow(self, by: int) -> None:
        """The share becomes larger, or smaller, by what is free of it."""
        self.amount += by
        self.free += by

    def lay_aside(self, now: float, keep: int = 0) -> None:
        """What is free of a rate, and more than `keep`, goes back: the next part is drawn whole, and has its own time."""
        if self.free > keep:
            self.unused(min(now, self.expires - RATE_SHARE_S), self.free - keep)
            self.grow(keep - self.free)

    def was_recorded(self, cost_nusd: int, spent_by_all: int) -> None:
        """So much of it is in the coordinator's own count now, and no part of this share any more."""
        held = self.held
        self.amount = max(0, self.amount - cost_nusd)
        self.spent = max(0, self.spent - cost_nusd)
        self.free = self.amount - held - self.spent
        self.recorded = max(self.recorded, spent_by_all)

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

    def uncounted(self, now: float) -> int:
        """Of a rate: what was taken without a coordinator, and is to be counted with the next draw."""
        return self.taken(now)[1] if self.is_rate else 0

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
            self.grow(self.spent - missing)


Parts = list[tuple[Share, int]]


def standing(parts: Parts) -> list[Stood]:
    """How they stand now, as a call's record has it."""
    return [(amount, (share.label, share.free, share.elsewhere)) for share, amount in parts]


class CallHold:
    """What one call holds of every pool."""

    __slots__ = ("_at", "_is_over", "_parts", "_wake", "standing")

    def __init__(self, parts: Parts, at: float, wake: asyncio.Event, standing: list[Stood]) -> None:
        """`wake` is set when something becomes free that another worker has asked for."""
        self.standing = standing
        self._parts = parts
        self._at = at
        self._wake = wake
        self._is_over = False

    @property
    def nusd(self) -> int | None:
        """Money set aside; None when no budget counts the call."""
        for share, amount in reversed(self._parts):  # budgets stand behind limits
            if share.kind == "money":
                return amount
        return None

    def extend(self, cost_nusd: int) -> bool:
        money = [share for share, _ in self._parts if share.kind == "money"]
        if any(share.free < cost_nusd for share in money):
            return False
        for share in money:
            share.free -= cost_nusd
        self._parts = [
            (share, amount + cost_nusd if share.kind == "money" else amount) for share, amount in self._parts
        ]
        return True

    def settle(self, tokens: int, cost_nusd: int, model: str | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        for share, amount in self._parts:
            kind = share.kind
            if share.model is not None and model is not None and share.model != model:
                self._return(share, amount)
            elif kind == "requests":
                share.amount -= amount
            elif kind == "tokens":
                share.amount -= amount
                if tokens < amount:
                    share.unused(self._at, amount - tokens)
                elif tokens > amount:
                    share.grow(amount - tokens)
            elif kind == "money":
                share.free += amount - cost_nusd
                share.spent += cost_nusd
            else:
                share.free += amount
            if share.wanted_until:
                self._wake.set()

    def release(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        for share, amount in self._parts:
            self._return(share, amount)
            if share.wanted_until:
                self._wake.set()

    def header_lines(self) -> str:
        """Of the tightest limit of requests and of tokens each."""
        requests = tokens = None
        fewest_requests = fewest_tokens = 0
        for share, _ in self._parts:
            if share.is_rate:
                told = share.told
                left = share.free if told is None else share.free + told.left
                if share.kind == "requests":
                    if requests is None or left < fewest_requests:
                        requests, fewest_requests = share, left
                elif tokens is None or left < fewest_tokens:
                    tokens, fewest_tokens = share, left
        lines = "" if requests is None else rate_lines(requests.pool, max(0, fewest_requests))
        return lines if tokens is None else lines + rate_lines(tokens.pool, max(0, fewest_tokens))

    def _return(self, share: Share, amount: int) -> None:
        if share.is_rate:
            share.amount -= amount
            share.unused(self._at, amount)
        else:
            share.free += amount
