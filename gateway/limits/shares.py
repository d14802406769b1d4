"""Holds and shares: what this worker may still spend of every limit and budget, spent locally without asking anybody.

A share is drawn from the coordinator, used up call by call, and what is not needed goes back within three seconds. The sum of all
shares and of what is spent never exceeds a limit, whoever asks how often. A call that finds every share large enough pays about a
microsecond per limit; one that does not waits for a single round trip, shared with every call that waits for the same pool.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from gateway.catalog import Settings
from gateway.errors import Unavailable
from gateway.limits.limits import Hold, IngestedCost, Need
from gateway.limits.pools import RATE_SHARE_S, Coordinator, CoordinatorAway, Draw, Drawn, Pool, pools_of
from gateway.limits.refusals import no_coordinator, reached
from gateway.metrics import Metrics

log = logging.getLogger(__name__)

WAIT_S = 1.0
"""How long a call may wait for shares that others hold and may give back."""
ASK_AGAIN_S = 0.05
IDLE_S = 2.0
RENEW_S = 10.0
TICK_S = 0.5
REFUSED_S = 0.2
"""A pool found empty is not asked again for this long: a flood of refusals must not become a flood of queries."""

Key = tuple[str, str, str, float]


class Share:
    """Ours of one pool. `available` = amount - held - spent; `spent` is over but not yet in the coordinator's own count."""

    __slots__ = ("amount", "asking", "empty_until", "expires", "held", "pool", "spent", "stale", "told", "used_at")

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.amount = 0
        self.held = 0
        self.spent = 0
        self.stale = 0  # a rate's unused part from a second that is over: on its way back
        self.expires = 0.0
        self.used_at = 0.0
        self.empty_until = 0.0
        self.told: Drawn | None = None
        self.asking: asyncio.Task[None] | None = None

    @property
    def available(self) -> int:
        return self.amount - self.held - self.spent


class CallHold:
    """What one call holds of every pool."""

    __slots__ = ("_parts", "_shares")

    def __init__(self, shares: Shares, parts: list[tuple[Share, int]]) -> None:
        self._shares = shares
        self._parts = parts

    def settle(self, tokens: int, cost_nusd: int) -> None:
        parts, self._parts = self._parts, []
        for share, amount in parts:
            kind = share.pool.kind
            share.held -= amount
            if kind == "money":
                share.spent += cost_nusd
            elif kind == "tokens":
                share.amount -= min(share.amount, tokens)  # used up: the coordinator counted it when it was drawn
            elif kind == "requests":
                share.amount -= 1

    def release(self) -> None:
        parts, self._parts = self._parts, []
        for share, amount in parts:
            share.held -= amount

    def headers(self) -> dict[str, str]:
        return self._shares.headers([share for share, _ in self._parts])


class Shares:
    """All shares of one worker. `money` and `rates` are the coordinators."""

    def __init__(
        self,
        money: Coordinator,
        rates: Coordinator,
        metrics: Metrics,
        settings: Callable[[], Settings],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._money = money
        self._rates = rates
        self._metrics = metrics
        self._settings = settings
        self._clock = clock
        self._shares: dict[Key, Share] = {}
        self._renewed_at = 0.0
        self._returned = asyncio.Event()

    # what the request path calls

    def take(self, need: Need) -> Hold | Awaitable[Hold]:
        now = self._clock()
        wanted = pools_of(need, now)
        parts = self._find(wanted, now)
        if self._suffice(parts, now):
            return self._hold(parts, now)
        return self._take_after_drawing(wanted)

    def ingested(self, costs: list[IngestedCost]) -> None:
        for cost in costs:
            share = self._shares.get(("money", cost.budget_id, cost.subject, cost.window_start))
            if share is not None:
                share.amount = max(0, share.amount - cost.cost_nusd)
                share.spent = max(0, share.spent - cost.cost_nusd)

    def headers(self, shares: list[Share]) -> dict[str, str]:
        """OpenAI's names for the tightest limit of each kind; what is left is what this worker knows."""
        found: dict[str, str] = {}
        for kind in ("requests", "tokens"):
            of_kind = [share for share in shares if share.pool.kind == kind]
            if of_kind:
                tightest = min(of_kind, key=_left)
                left = max(0, _left(tightest))
                found[f"x-ratelimit-limit-{kind}"] = str(tightest.pool.size)
                found[f"x-ratelimit-remaining-{kind}"] = str(left)
                found[f"x-ratelimit-reset-{kind}"] = _duration((1 - left / max(1, tightest.pool.size)) * 60)
        return found

    # what runs beside it

    async def run(self) -> None:
        """Gives back what is idle, renews what is held. Until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self.tidy()
            except CoordinatorAway:
                continue

    async def tidy(self) -> None:
        now = self._clock()
        await self._give_back([share for share in self._shares.values() if self._is_idle(share, now)])
        if now - self._renewed_at >= RENEW_S:
            self._renewed_at = now
            for coordinator, kinds in ((self._money, ("money",)), (self._rates, ("slots",))):
                alive = [(s.pool, s.amount) for s in self._shares.values() if s.pool.kind in kinds and s.amount > 0]
                if alive:
                    await coordinator.renew(alive)
        for key in [key for key, share in self._shares.items() if _is_over(share, now)]:
            del self._shares[key]

    async def return_wanted(self, kind: str, id_: str) -> None:
        """Another worker needs what we may not: idle or not, what is free goes back at once."""
        wanted = [
            s
            for s in self._shares.values()
            if s.pool.id == id_ and s.pool.kind == kind and s.available > 0 and s.asking is None
        ]
        if wanted:
            await self._give_back(wanted)

    async def close(self) -> None:
        """Everything that is free goes back."""
        try:
            await self._give_back([share for share in self._shares.values() if share.available > 0])
        except CoordinatorAway:
            log.info("the coordinator is away; shares end by themselves")

    @property
    def held(self) -> int:
        return sum(1 for share in self._shares.values() if share.held > 0)

    def forget_refusals(self) -> None:
        """A limit has been changed: what was empty may not be any more."""
        for share in self._shares.values():
            share.empty_until = 0.0

    # inside

    def _find(self, wanted: list[tuple[Pool, int]], now: float) -> list[tuple[Share, int]]:
        found = []
        for pool, amount in wanted:
            share = self._shares.get(pool.key)
            if share is None:
                share = self._shares[pool.key] = Share(pool)
            elif share.pool.size != pool.size:
                share.pool = pool
            if share.available > 0 and now >= share.expires and pool.kind in ("requests", "tokens"):
                share.stale += share.available  # a rate's share is for its second only
                share.amount -= share.available
            found.append((share, amount))
        return found

    def _suffice(self, parts: Iterable[tuple[Share, int]], now: float) -> bool:
        return all(share.available >= amount for share, amount in parts)

    def _hold(self, parts: list[tuple[Share, int]], now: float) -> CallHold:
        for share, amount in parts:
            share.held += amount
            share.used_at = now
        return CallHold(self, parts)

    async def _take_after_drawing(self, wanted: list[tuple[Pool, int]]) -> Hold:
        """Draws what is short, and waits a little for what others may give back. All or nothing."""
        deadline = self._clock() + WAIT_S
        while True:
            now = self._clock()
            parts = self._find(wanted, now)
            if self._suffice(parts, now):
                return self._hold(parts, now)
            short = [(share, amount) for share, amount in parts if share.available < amount]
            for share, amount in short:
                if amount > share.pool.size:
                    raise reached(share.pool, share.told, amount, now)
                if now < share.empty_until and share.told is not None:
                    raise reached(share.pool, share.told, amount, now)
            try:
                await self._draw(short)
            except CoordinatorAway:
                return self._without_coordinator(parts, now)
            now = self._clock()
            parts = self._find(wanted, now)
            empty = [(share, amount) for share, amount in parts if share.available < amount]
            if not empty:
                continue
            if now < deadline and all(_is_there(share, amount - share.available) for share, amount in empty):
                continue  # calls that waited with us took what was drawn; there is more
            lent = [
                (share, amount)
                for share, amount in empty
                if share.told is not None and _may_come(share.told, amount - share.available)
            ]
            if len(lent) < len(empty) or now >= deadline:
                share, amount = next(((s, a) for s, a in empty if (s, a) not in lent), empty[0])
                share.empty_until = now + REFUSED_S
                raise reached(share.pool, share.told, amount, now)
            await self._ask_back([share.pool for share, _ in lent])

    def _without_coordinator(self, parts: list[tuple[Share, int]], now: float) -> Hold:
        """Money refuses, rates follow the setting; slots are rates."""
        short = [share for share, amount in parts if share.available < amount]
        if any(share.pool.kind == "money" for share in short) or self._settings().rate_without_coordinator == "refuse":
            raise no_coordinator(next((s.pool for s in short if s.pool.kind == "money"), short[0].pool))
        self._metrics.count("rates_unchecked")
        return self._hold([(share, amount) for share, amount in parts if share not in short], now)

    async def _draw(self, short: list[tuple[Share, int]]) -> None:
        """One round trip per coordinator; whoever waits for the same pool waits for the same trip."""
        busy = [share.asking for share, _ in short if share.asking is not None]
        if busy:
            await asyncio.wait(busy)
            return
        task = asyncio.create_task(self._ask(short), name="draw shares")

        def over(_: asyncio.Task[None]) -> None:
            for share, _amount in short:
                share.asking = None

        for share, _ in short:
            share.asking = task
        task.add_done_callback(over)
        await asyncio.shield(task)

    async def _ask(self, short: list[tuple[Share, int]]) -> None:
        for coordinator, of_money in ((self._money, True), (self._rates, False)):
            mine = [(share, amount) for share, amount in short if (share.pool.kind == "money") is of_money]
            if not mine:
                continue
            self._metrics.count("coordinator_draws")
            # never less than one: a call that ended meanwhile may have freed what was short
            draws = [Draw(share.pool, max(1, amount - share.available), share.stale) for share, amount in mine]
            for share, _ in mine:
                share.stale = 0
            drawn = await coordinator.draw(draws)
            now = self._clock()
            for (share, _), got in zip(mine, drawn, strict=True):
                share.told = got
                share.amount += got.granted
                if got.granted:
                    share.used_at = now
                    share.expires = now + RATE_SHARE_S

    async def _ask_back(self, pools: list[Pool]) -> None:
        for coordinator, of_money in ((self._money, True), (self._rates, False)):
            mine = [pool for pool in pools if (pool.kind == "money") is of_money]
            if mine:
                try:
                    await coordinator.ask_back(mine)
                except CoordinatorAway:
                    raise Unavailable(
                        "The coordinator of limits can't be asked.", code="budget_unavailable", retry_after_s=2
                    ) from None
        await asyncio.sleep(ASK_AGAIN_S)

    async def _give_back(self, shares: list[Share]) -> None:
        for coordinator, of_money in ((self._money, True), (self._rates, False)):
            back = [
                (share, share.available)
                for share in shares
                if (share.pool.kind == "money") is of_money and share.available > 0
            ]
            if not back:
                continue
            for share, amount in back:
                share.amount -= amount  # first: nobody may spend what is on its way back
            try:
                await coordinator.give_back([(share.pool, amount) for share, amount in back])
            except CoordinatorAway:
                for share, amount in back:
                    if of_money or share.pool.kind == "slots":
                        share.amount += amount
                    else:
                        share.stale += amount
                raise

    def _is_idle(self, share: Share, now: float) -> bool:
        if share.available + share.stale <= 0 or share.asking is not None:
            return False
        return now - share.used_at >= (RATE_SHARE_S if share.pool.kind in ("requests", "tokens", "slots") else IDLE_S)


def _left(share: Share) -> int:
    return share.available + (share.told.left if share.told else 0)


def _is_there(share: Share, missing: int) -> bool:
    return share.told is not None and share.told.left >= missing


def _may_come(told: Drawn, missing: int) -> bool:
    return told.left + told.lent >= missing and told.lent > 0


def _is_over(share: Share, now: float) -> bool:
    if share.held or share.asking is not None:
        return False
    if share.pool.kind == "money":
        return share.amount == 0 and share.spent == 0 and now - share.used_at > 60
    return share.amount <= 0 and now - share.used_at > 60


def _duration(seconds: float) -> str:
    """OpenAI's spelling: `6m0s`, `1.5s`, `20ms`."""
    if seconds < 1:
        return f"{int(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:.0f}s" if minutes else f"{rest:.3g}s"
