"""Holds and shares: what this worker may still spend of every limit and budget, spent locally without asking anybody.

A share is drawn from the coordinator, used up call by call, and what is not needed goes back within three seconds, or at once when another
worker asks for it. The sum of all shares and of what is spent never exceeds a limit, whoever asks how often. A call that finds every share
large enough pays about a microsecond a limit; one that does not waits for a round trip, shared with every call that waits for the same pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

from gateway.catalog import NO_RULES, Budget, Project, Rules, Settings
from gateway.limits.drawing import Drawing, Later
from gateway.limits.limits import IngestedCost, Need, Standing
from gateway.limits.lines import Line, Plan, lines_of
from gateway.limits.pools import RATE_SHARE_S, RATE_WINDOW_S, Coordinator, Drawn, Key, Stood
from gateway.limits.refusals import no_coordinator, reached
from gateway.limits.share import CallHold, Parts, Share, standing
from gateway.limits.windows import FOREVER
from gateway.metrics import Metrics

WAIT_S = 1.0
"""How long a call may wait for shares that others hold and may give back."""
ASK_AGAIN_S = 0.05
WANTED_S = 3.0
IDLE_S = {"money": 2.0, "slots": 1.0, "requests": RATE_SHARE_S, "tokens": RATE_SHARE_S}
RENEW_S = 5.0
TICK_S = 0.5
REFUSED_S = 0.2
"""What was asked for in vain is not asked for again this long: a flood of refusals must not become a flood of queries."""
FORGET_S = 60.0
MOST_USERS = 10_000
MOST_TOLD = 1_000
"""Budgets whose use a heartbeat tells of."""
"""End users whose shares a rule finds without building their pool anew."""


class Shares:
    """All shares of one worker. `money` and `rates` are the coordinators; `workers` is how many live workers there are; `clock` is
    monotonic, and `later` calls something by it."""

    def __init__(
        self,
        money: Coordinator,
        rates: Coordinator,
        metrics: Metrics,
        settings: Callable[[], Settings],
        clock: Callable[[], float] = time.monotonic,
        later: Later | None = None,
    ) -> None:
        self.drawing = Drawing(money, rates, metrics, clock, later)
        self.workers = 1
        self._metrics = metrics
        self._settings = settings
        self._shares: dict[Key, Share] = {}
        self._lines: dict[int, tuple[Rules, tuple[Line, ...]]] = {}
        """By the id of the rules, which are kept with them, so that their id stays theirs."""
        self._plans: dict[tuple[int, int, bool], Plan] = {}
        self._renewed_at = 0.0
        self._wake = asyncio.Event()
        self._clock = clock

    # what the request path calls

    def plan(self, project: Project, own: Rules, user: str | None) -> Plan | None:
        """One object for all calls of a key (of all keys of a project that have no rules of their own), until the catalog changes."""
        known = (id(project), id(own), user is None)
        plan = self._plans.get(known)
        if plan is None:
            rules = (project.org_rules, project.rules, own, project.user_rules if user else NO_RULES)
            lines = tuple(line for one in rules for line in self._lines_of(one))
            plan = self._plans[known] = Plan(lines, project, own)
        return plan if plan.lines else None

    def take(self, need: Need) -> CallHold | None:
        """At once, or None: then `draw`."""
        now = self._clock()
        parts = self._parts(need)
        for share, amount in parts:
            if share.free < amount or now >= share.expires:
                return None
        return self._hold(parts, now)

    async def draw(self, need: Need) -> CallHold:
        """Draws what is short, and waits a little for what others may give back. All or nothing."""
        parts = self._parts(need)
        deadline = self._clock() + WAIT_S
        while True:
            now = self._clock()
            short = [(share, amount) for share, amount in parts if self._is_short(share, amount, now)]
            if not short:
                return self._hold(parts, now)
            for share, amount in short:
                if amount > share.pool.size or (now < share.refused_until and amount >= share.refused_for):
                    raise self._refused(share, amount)
            if not any(_is_known_empty(share, amount, now) for share, amount in short):
                await self.drawing.ask(short)
                now = self._clock()
                for share, amount in short:
                    if share.is_away:
                        self._without_coordinator(share, amount, now)
                if any(share.excess for share, _ in short):
                    await self.drawing.give_back([share for share, _ in short if share.excess])
            empty = [(share, amount) for share, amount in short if _is_known_empty(share, amount, now)]
            for share, amount in empty:
                if now >= deadline or not _may_come(share.told, amount - share.free):
                    share.refused_until, share.refused_for = now + REFUSED_S, amount
                    raise self._refused(share, amount)
            if empty:
                await self._ask_back([share for share, _ in empty], now)

    def standing(self, need: Need) -> list[Stood]:
        return standing(self._parts(need))

    async def look(self, need: Need) -> list[Standing]:
        """How every limit that counts this call stands: what nobody holds, with what workers hold and don't need."""
        parts = self._parts(need)
        told = await self.drawing.look([share.pool for share, _ in parts])
        return [_standing(share, amount, drawn) for (share, amount), drawn in zip(parts, told, strict=True)]

    def downgrade(self, need: Need) -> str | None:
        for line in need.plan.lines:
            budget = line.rule
            if (
                isinstance(budget, Budget)
                and budget.downgrade_percent is not None
                and line.counts(need.user, need.targets, need.tier)
            ):
                share = self._share(line, need)
                used = share.recorded + share.spent + share.held
                if used * 100 >= budget.downgrade_percent * share.pool.size:
                    return f"{budget.downgrade_percent} % of the budget of {share.pool.name} are used"
        return None

    def ingested(self, costs: list[IngestedCost]) -> None:
        """The logbook has committed these: their amounts left this worker's shares in the same transaction."""
        for cost in costs:
            share = self._shares.get(("money", cost.budget_id, cost.subject, cost.window_start))
            if share is not None:
                share.was_recorded(cost.cost_nusd, cost.spent_nusd)

    # what runs beside it

    async def run(self) -> None:
        """Gives back what is idle or wanted, renews what is held. Until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
            self._wake.clear()
            await self.tidy()

    async def tidy(self) -> None:
        now = self._clock()
        shares = list(self._shares.values())
        for share in shares:
            if share.wanted_until and now >= share.wanted_until:
                share.wanted_until = 0.0
        if now - self._renewed_at >= RENEW_S and await self.drawing.renew(shares):
            self._renewed_at = now
        await self.drawing.give_back([share for share in shares if _may_go_back(share, now)])
        over = [key for key, share in self._shares.items() if _is_over(share, now)]
        for key in over:
            del self._shares[key]
        if over:
            self._forget_lines()

    async def return_wanted(self, kind: str, id_: str) -> None:
        """Another worker needs what we may not: what is free goes back at once and for a while, and what is not is said to be in use."""
        now = self._clock()
        wanted = [s for s in self._shares.values() if s.pool.id == id_ and s.pool.kind == kind and s.asking is None]
        for share in wanted:
            share.wanted_until = now + WANTED_S
            share.asked_back_at = now  # the others have heard it too: one question is enough for all who wait
        await self.drawing.give_back([share for share in wanted if share.amount > 0 or share.back], answer=True)

    async def close(self) -> None:
        """Everything that is free goes back. With the coordinator away shares end by themselves."""
        self.drawing.is_closed = True
        asked = [share.asking for share in self._shares.values() if share.asking is not None]
        if asked:
            await asyncio.wait(asked)
        await self.drawing.give_back(self._shares.values())

    def catalog_changed(self) -> None:
        """A limit may have been changed: what was empty may not be any more."""
        self._forget_lines()
        for share in self._shares.values():
            share.refused_until = share.empty_at = 0.0

    def held(self) -> dict[str, float]:
        """In hand now, for /metrics."""
        shares = self._shares.values()
        money = [share for share in shares if share.kind == "money"]
        return {
            "budget_held_nusd": sum(share.held for share in money),
            "budget_share_nusd": sum(share.amount for share in money),
            "budget_unrecorded_nusd": sum(share.spent for share in money),
            "slots_held": sum(share.held for share in shares if share.kind == "slots"),
        }

    def budgets_in_use(self) -> dict[str, dict[str, int]]:
        """By budget, what calls under way hold and what is spent and not recorded: for the heartbeat. The largest, if there are very many."""
        found: dict[str, dict[str, int]] = {}
        for share in self._shares.values():
            if share.kind == "money" and (share.held or share.spent):
                one = found.setdefault(share.pool.id, {"held": 0, "unrecorded": 0})
                one["held"] += share.held
                one["unrecorded"] += share.spent
        if len(found) > MOST_TOLD:
            order = sorted(found, key=lambda budget: -sum(found[budget].values()))
            found = {budget: found[budget] for budget in order[:MOST_TOLD]}
        return found

    # inside

    def _forget_lines(self) -> None:
        self._plans.clear()
        self._lines.clear()

    def _parts(self, need: Need) -> Parts:
        found: Parts = []
        at = need.created_at
        measures = 1, need.tokens, need.cost_nusd
        for line in need.plan.lines:
            if line.is_plain:
                share = line.share
            elif line.counts(need.user, need.targets, need.tier):
                share = line.of_user.get(need.user or "") if line.is_user else line.share
            else:
                continue
            if share is None or not line.since <= at < line.until:
                share = self._share(line, need)
            found.append((share, measures[line.measure]))
        return found

    def _lines_of(self, rules: Rules) -> tuple[Line, ...]:
        known = self._lines.get(id(rules))
        if known is None:
            known = self._lines[id(rules)] = (rules, lines_of(rules))
        return known[1]

    def _share(self, line: Line, need: Need) -> Share:
        before = line.since, line.until
        pool = line.pool(need.user, need.created_at)
        share = self._shares.get(pool.key)
        if share is None:
            share = self._shares[pool.key] = Share(pool, self._clock())
        elif share.pool != pool:
            if pool.size < share.pool.size:
                share.expires = 0.0  # lowered: the coordinator says how much of the share is still ours
            share.set_pool(pool)
        if not line.is_user:
            line.share = share
        elif need.user is not None:
            if len(line.of_user) >= MOST_USERS or (line.since, line.until) != before:
                line.of_user.clear()
            line.of_user[need.user] = share
        return share

    def _hold(self, parts: Parts, now: float) -> CallHold:
        stood: list[Stood] = []  # as `standing` says, in the same walk: 2,300 instructions less of a call's 334,000
        is_low = False
        for share, amount in parts:
            free = share.free
            stood.append((amount, (share.label, free, share.elsewhere)))
            share.free = free = free - amount
            share.used_at = now
            if free < share.low:
                is_low = True
        if is_low:
            self.drawing.ahead([(share, amount) for share, amount in parts if share.free < share.low])
        return CallHold(parts, now, self._wake, stood)

    def _is_short(self, share: Share, amount: int, now: float) -> bool:
        """A rate's share that has lain too long goes back; so does the rest of one that is too small: the next is drawn whole."""
        if not share.is_rate:
            return share.free < amount or now >= share.expires
        if share.free >= amount and now < share.expires:
            return False
        if share.asking is None:
            share.lay_aside(now)
        return True

    def _without_coordinator(self, share: Share, amount: int, now: float) -> None:
        """Money refuses; rates and slots follow the setting: by default each live worker has its part of the limit."""
        pool = share.pool
        setting = self._settings().rate_without_coordinator
        if pool.kind == "money" or setting == "refuse":
            raise no_coordinator(pool)
        taken = share.taken(now)[0] if share.is_rate else share.held
        part = pool.size // max(1, self.workers)
        if pool.kind == "slots":
            part = max(1, part)
        if setting == "share" and taken + amount > part:
            wait = share.minute[0][0] + RATE_WINDOW_S - now if share.minute else 1.0
            share.told = Drawn(0, max(0, part - taken), 0, wait)
            share.elsewhere = max(0, part - taken)
            raise self._refused(share, amount)
        self._metrics.count("rates_unchecked")
        missing = amount - share.free
        share.grow(missing)
        share.expires = now + RATE_SHARE_S
        if share.is_rate:
            share.minute.append((now, missing, False))

    def _refused(self, share: Share, amount: int) -> Exception:
        self._metrics.refuse(share.pool.scope, share.pool.kind)
        return reached(share.pool, share.told, amount, share.left)

    async def _ask_back(self, shares: list[Share], now: float) -> None:
        asked = [share for share in shares if now - share.asked_back_at >= ASK_AGAIN_S]
        for share in asked:
            share.asked_back_at = now
        if asked:
            await self.drawing.ask_back(asked)
        await asyncio.sleep(ASK_AGAIN_S * random.uniform(0.8, 1.6))  # not all workers in the same moment


def _is_known_empty(share: Share, amount: int, now: float) -> bool:
    """It has just been asked for in vain: by this call or by another one."""
    return now - share.empty_at < ASK_AGAIN_S and max(0, amount - share.free) >= share.empty_for > 0


def _standing(share: Share, amount: int, told: Drawn | None) -> Standing:
    pool = share.pool
    left = None if told is None else max(0, share.free) + max(0, told.left) + told.lent
    resets_at = pool.end if pool.kind == "money" and pool.end < FOREVER else None
    standing = Standing(pool.scope, pool.name, pool.kind, pool.window, pool.size, amount, left, resets_at)
    if amount > pool.size or (left is not None and left < amount):
        standing.refusal = reached(pool, told, amount, left or 0)
    return standing


def _may_come(told: Drawn | None, missing: int) -> bool:
    return told is not None and told.lent > 0 and told.left + told.lent >= missing


def _may_go_back(share: Share, now: float) -> bool:
    if share.asking is not None:
        return False
    if share.is_rate:
        return bool(share.back) or (share.free > 0 and now >= share.expires)
    return share.free > 0 and (bool(share.wanted_until) or now - share.used_at >= IDLE_S[share.kind])


def _is_over(share: Share, now: float) -> bool:
    if share.held or share.asking is not None or now - share.used_at < FORGET_S:
        return False
    if share.back and now - share.back[-1][0] < RATE_WINDOW_S:
        return False
    return share.amount <= 0 and share.spent == 0 and not share.wanted_until
