"""Shares and their two coordinators (of money; of rates and slots): every question about several shares, asked of whom it concerns, and
what the answers do to the shares."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

from gateway.limits.pools import (
    MONEY_LEASE_S,
    RATE_SHARE_S,
    SLOT_LEASE_S,
    Coordinator,
    CoordinatorAway,
    Draw,
    Drawn,
    Key,
    Pool,
    Renewal,
    Return,
)
from gateway.limits.share import AHEAD_CALLS, NEVER, Share
from gateway.metrics import Metrics

USED_PART = 0.9
"""Of a lease: a worker stops spending before others may take it for dead."""
FRESH_S = RATE_SHARE_S * 0.8
"""After this a rate's share is drawn anew in the background, where calls keep coming: the next of them would wait for a draw."""
KEEPS_COMING_S = RATE_SHARE_S / 4
"""What has been used so long after it was drawn is used by more calls than those that waited for it."""
LIFE_S = {
    "money": MONEY_LEASE_S * USED_PART,
    "slots": SLOT_LEASE_S * USED_PART,
    "requests": RATE_SHARE_S,
    "tokens": RATE_SHARE_S,
}


Later = Callable[[float, Callable[[], None]], object]
"""Call this in so many seconds."""


class Drawing:
    """`clock` is monotonic."""

    def __init__(
        self,
        money: Coordinator,
        rates: Coordinator,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        later: Later | None = None,
    ) -> None:
        self._money, self._rates = money, rates
        self._coordinators = ((money, True), (rates, False))
        self._metrics = metrics
        self._one_word = asyncio.Lock()
        """A renewal says how much a share is: nothing of it may be on its way back then."""
        self.clock = clock
        self.is_closed = False
        """Nothing is drawn in the background any more."""
        self._later = later or (lambda delay_s, then: asyncio.get_running_loop().call_later(delay_s, then))

    async def ask(self, short: list[tuple[Share, int]]) -> None:
        """One round trip per coordinator; whoever waits for the same pool waits for the same trip. Shares whose coordinator is away say
        so."""
        busy = [share.asking for share, _ in short if share.asking is not None]
        if busy:
            await asyncio.wait(busy)
            return
        await asyncio.shield(self._begin(short))

    def ahead(self, low: list[tuple[Share, int]]) -> None:
        """Draws what is running low, and nobody waits for it: at 16 connections every sixth call had to wait for a draw, with ten others."""
        for share, _ in low:
            share.low = NEVER
        idle = [(share, amount) for share, amount in low if share.asking is None]
        if idle:
            self._begin(idle, is_ahead=True)

    def _keep_fresh(self, drawn: list[tuple[Share, int]], at: float) -> None:
        """What was drawn then, while calls keep coming: they find the next part before this one ends. What they can't need until it is here
        goes back with the question, so that it is missing to nobody. Whoever has stopped calling draws nothing."""
        busy = [
            (share, amount)
            for share, amount in drawn
            if share.drawn_at == at and share.asking is None and share.used_at - at >= KEEPS_COMING_S
        ]
        if busy and not self.is_closed:
            for share, amount in busy:
                used = share.told.granted - share.free if share.told is not None else 0
                share.lay_aside(self.clock(), max(amount, used // 4))
            self._begin(busy, is_ahead=True)

    def _begin(self, short: list[tuple[Share, int]], *, is_ahead: bool = False) -> asyncio.Task[None]:
        task = asyncio.create_task(self._ask_both(short, is_ahead), name="draw shares")

        def over(done: asyncio.Task[None]) -> None:
            for share, _ in short:
                share.asking = None
                if is_ahead and share.excess:
                    share.expires = 0.0  # the limit was lowered: the next call draws itself, and gives back first
            if not done.cancelled():
                done.exception()  # whoever waits hears it; when nobody does, the next who is short asks again and will

        for share, _ in short:
            share.asking = task
        task.add_done_callback(over)
        return task

    async def look(self, pools: list[Pool]) -> list[Drawn | None]:
        """How each stands, drawing nothing; None where its coordinator is away."""
        told: dict[Key, Drawn] = {}
        for coordinator, of_money in self._coordinators:
            mine = [pool for pool in pools if (pool.kind == "money") is of_money]
            if mine:
                with contextlib.suppress(CoordinatorAway):
                    drawn = await coordinator.draw([Draw(pool, 0) for pool in mine])
                    told.update(zip([pool.key for pool in mine], drawn, strict=True))
        return [told.get(pool.key) for pool in pools]

    async def ask_back(self, shares: list[Share]) -> None:
        for coordinator, mine in self._split(shares):
            with contextlib.suppress(CoordinatorAway):
                await coordinator.ask_back([share.pool for share in mine])

    async def give_back(self, shares: Iterable[Share], *, answer: bool = False) -> None:
        """What is free; with `answer` also the news that nothing is. What was on its way when the coordinator failed is not ours any
        more, whether it arrived or not: the next renewal, or the end of the window, makes both sides agree."""
        async with self._one_word:
            await self._give_back(shares, answer)

    async def _give_back(self, shares: Iterable[Share], answer: bool) -> None:
        for coordinator, mine in self._split([share for share in shares if not share.is_away]):
            now = self.clock()
            returns = []
            for share in mine:
                free = max(0, share.free) if share.excess == 0 else share.excess
                if share.is_rate and now < share.expires and not share.wanted_until and not self.is_closed:
                    free = 0  # it may still be spent; what was not used of others goes back
                share.grow(-free)
                share.excess = 0
                if free:  # and may be had again, whatever was refused a moment ago
                    share.refused_until = share.empty_at = 0.0
                if share.is_rate:
                    if free:
                        share.unused(min(now, share.expires - RATE_SHARE_S), free)
                    back = share.take_backs(now)
                    if back:
                        returns.append(Return(share.pool, 0, back))
                elif free or answer:
                    returns.append(Return(share.pool, free))
            if returns:
                with contextlib.suppress(CoordinatorAway):
                    await coordinator.give_back(returns)

    async def renew(self, shares: Iterable[Share]) -> bool:
        """Of money also without shares: it shows that the coordinator is there. False when one was away."""
        async with self._one_word:
            return await self._renew(shares)

    async def _renew(self, shares: Iterable[Share]) -> bool:
        leased = [share for share in shares if not share.is_rate and share.asking is None and share.told is not None]
        is_done = True
        for coordinator, of_money in self._coordinators:
            mine = [share for share in leased if (share.kind == "money") is of_money]
            if not mine and not of_money:
                continue
            asked_at = self.clock()
            try:
                counted = await coordinator.renew([Renewal(s.pool, s.amount, max(0, s.held)) for s in mine])
            except CoordinatorAway:
                is_done = False
                continue
            for share, have in zip(mine, counted, strict=True):
                share.reconcile(have)
                share.expires = asked_at + LIFE_S[share.kind]
                share.is_away = False
        return is_done

    async def _ask_both(self, short: list[tuple[Share, int]], is_ahead: bool) -> None:
        money = [(share, amount) for share, amount in short if share.kind == "money"]
        rates = [(share, amount) for share, amount in short if share.kind != "money"]
        if money and rates:
            await asyncio.gather(self._ask(self._money, money, is_ahead), self._ask(self._rates, rates, is_ahead))
        elif money:
            await self._ask(self._money, money, is_ahead)
        else:
            await self._ask(self._rates, rates, is_ahead)

    async def _ask(self, coordinator: Coordinator, short: list[tuple[Share, int]], is_ahead: bool) -> None:
        self._metrics.count("coordinator_draws")
        asked_at = self.clock()
        draws = []
        for share, amount in short:
            least = (amount if is_ahead else max(0, amount - share.free)) + share.uncounted(asked_at)
            draws.append(Draw(share.pool, least, share.take_backs(asked_at), 0 if share.is_rate else amount))
        try:
            drawn = await coordinator.draw(draws)
        except CoordinatorAway:
            for share, _ in short:
                share.is_away = True
            return
        now = self.clock()
        plenty: list[tuple[Share, int]] = []
        for (share, amount), draw, got in zip(short, draws, drawn, strict=True):
            share.is_away = False
            share.told = got
            share.elsewhere = max(0, got.left) + got.lent
            if not share.is_rate:
                share.reconcile(got.have - got.granted)
                share.grow(got.granted)
                share.recorded = got.recorded
                share.expires = asked_at + LIFE_S[share.kind]
                if got.left < 0:  # the limit was lowered
                    share.excess = min(max(0, share.free), -got.left)
            elif got.granted:
                share.lay_aside(now)
                share.grow(share.was_granted(asked_at, got.granted))
                # a share that took longer to come than it may lie is for the calls that wait for it
                share.expires = max(asked_at + RATE_SHARE_S, now + 0.01)
            share.used_at = share.drawn_at = now
            if got.granted >= AHEAD_CALLS * amount:
                share.low = got.granted // 4
                plenty += [(share, amount)] if share.is_rate else []
            else:
                share.low = NEVER
            if got.granted < draw.least:
                share.empty_at, share.empty_for = now, draw.least
        if plenty:
            self._later(FRESH_S - (now - asked_at), lambda: self._keep_fresh(plenty, now))

    def _split(self, shares: list[Share]) -> list[tuple[Coordinator, list[Share]]]:
        parted = [
            (coordinator, [share for share in shares if (share.kind == "money") is of_money])
            for coordinator, of_money in self._coordinators
        ]
        return [(coordinator, mine) for coordinator, mine in parted if mine]
