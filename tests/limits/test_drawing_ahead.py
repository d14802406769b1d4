"""While there is plenty no call waits for a draw but the first: the next part is on its way before the last is used up, or has lain too long.
The coordinator is one that answers when it is told to, and the clock is the test's, so that what happens meanwhile can be looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.catalog import NO_RULES, Budget, Limit, OrgId, Project, ProjectId, Rules, Settings
from gateway.errors import LimitReached
from gateway.limits import granting
from gateway.limits.drawing import FRESH_S
from gateway.limits.limits import Need
from gateway.limits.pools import Draw, Drawn, Pool, Renewal, Return
from gateway.limits.shares import Shares
from gateway.metrics import Metrics

CALL = {"requests": 1, "tokens": 100, "money": 1_000}
LIMITS = {
    "requests": Rules((Limit("lim", "project", "prj", "p", rpm=1_000_000),)),
    "tokens": Rules((Limit("lim", "project", "prj", "p", tpm=100_000_000),)),
    "money": Rules((), (Budget("bud", "project", "prj", 1_000_000_000, "total"),)),
}


class Lender:
    """Lends of `left`; keeps whoever asks waiting while `open` is not set."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.lent = 0
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def draw(self, draws: list[Draw]) -> list[Drawn]:
        self.asked += 1
        await self.open.wait()
        return [self._lend(draw) for draw in draws]

    def _lend(self, draw: Draw) -> Drawn:
        self.left += sum(amount for _, amount in draw.back)
        self.lent -= sum(amount for _, amount in draw.back)
        granted = granting.grant(draw.least, self.left, 0, draw.call)
        self.left -= granted
        self.lent += granted
        return Drawn(granted, self.left, 0, 0.0, self.lent)

    async def give_back(self, returns: list[Return]) -> None:
        given = sum(one.amount + sum(amount for _, amount in one.back) for one in returns)
        self.left += given
        self.lent -= given

    async def renew(self, renewals: list[Renewal]) -> list[int]:
        return [one.amount for one in renewals]

    async def ask_back(self, pools: list[Pool]) -> None: ...


class Time:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._due: list[tuple[float, Callable[[], None]]] = []

    def later(self, delay_s: float, then: Callable[[], None]) -> None:
        self._due.append((self.now + delay_s, then))

    async def go_on(self, seconds: float) -> None:
        self.now += seconds
        due = [then for at, then in self._due if at <= self.now]
        self._due = [(at, then) for at, then in self._due if at > self.now]
        for then in due:
            then()
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # what was begun has asked and been answered


def lent(kind: str, left: int, time: Time | None = None) -> tuple[Shares, Lender, Need]:
    """Without a time the clock stands still: rates lie as long as they like."""
    lender, clock = Lender(left), time or Time()
    shares = Shares(lender, lender, Metrics(), Settings, lambda: clock.now, clock.later)
    plan = shares.plan(Project(ProjectId("prj"), "p", "p", OrgId("org"), {}, rules=LIMITS[kind]), NO_RULES, None)
    assert plan is not None
    return shares, lender, Need(plan, None, (), None, CALL["tokens"], CALL["money"], 1_000.0)


@pytest.mark.parametrize("kind", LIMITS)
async def test_only_the_first_call_waits_while_there_is_plenty(kind):
    shares, lender, need = lent(kind, CALL[kind] * 100_000)
    await shares.draw(need)
    for _ in range(2_000):
        assert shares.take(need) is not None
        await asyncio.sleep(0)
    assert lender.asked < 2_000 / (granting.MOST_CALLS / 2)
    assert lender.lent >= CALL[kind] * 2_001


@pytest.mark.parametrize("kind", LIMITS)
async def test_what_is_left_is_spent_while_the_next_part_is_on_its_way(kind):
    shares, lender, need = lent(kind, CALL[kind] * 100_000)
    await shares.draw(need)
    lender.open.clear()
    taken = 0
    while shares.take(need) is not None:
        taken += 1
        await asyncio.sleep(0)
    assert taken == granting.MOST_CALLS
    assert lender.asked == 2, "one draw ahead, however many calls came meanwhile"
    waiting = asyncio.create_task(shares.draw(need))
    await asyncio.sleep(0)
    assert not waiting.done()
    lender.open.set()
    assert await waiting is not None
    assert lender.asked == 2, "who is short meanwhile waits for the same draw"


@pytest.mark.parametrize("kind", LIMITS)
async def test_near_the_limit_nothing_is_drawn_before_it_is_needed(kind):
    shares, lender, need = lent(kind, CALL[kind] * 20)
    waited = 0
    for _ in range(20):
        if shares.take(need) is None:
            waited += 1
            await shares.draw(need)
        await asyncio.sleep(0)
        assert lender.asked == waited
    assert lender.lent == CALL[kind] * 20


async def test_what_a_worker_has_given_back_may_be_had_again_at_once():
    shares, lender, need = lent("money", CALL["money"])
    hold = await shares.draw(need)
    for _ in range(2):  # the second is refused without a question
        with pytest.raises(LimitReached):
            await shares.draw(need)
    hold.settle(0, 0, None)
    await shares.return_wanted("money", "bud")
    assert lender.left == CALL["money"]
    assert await shares.draw(need) is not None


RATES = ["requests", "tokens"]


@pytest.mark.parametrize("kind", RATES)
async def test_no_call_waits_while_calls_keep_coming(kind):
    time = Time()
    shares, lender, need = lent(kind, CALL[kind] * 1_000_000, time)
    await shares.draw(need)
    for _ in range(200):
        await time.go_on(0.05)
        assert shares.take(need) is not None
    assert lender.asked <= 10 / FRESH_S + 1
    await shares.close()
    assert lender.lent >= CALL[kind] * 201


@pytest.mark.parametrize("kind", RATES)
async def test_who_has_stopped_calling_draws_nothing_more(kind):
    time = Time()
    shares, lender, need = lent(kind, CALL[kind] * 1_000_000, time)
    await shares.draw(need)
    for _ in range(20):
        shares.take(need)  # a burst within the first moment says nothing of what comes
    for _ in range(100):
        await time.go_on(0.05)
    assert lender.asked == 1
    assert shares.take(need) is None


@pytest.mark.parametrize("kind", RATES)
async def test_near_the_limit_time_draws_nothing_ahead(kind):
    """What lay unused would be missing elsewhere."""
    time = Time()
    shares, lender, need = lent(kind, CALL[kind] * 50, time)
    await shares.draw(need)
    for _ in range(7):
        await time.go_on(0.05)
        shares.take(need)
    assert lender.asked == 1


async def test_the_question_for_the_next_share_brings_back_what_is_not_needed_until_then():
    """So that it is missing to no other worker: what is kept is a quarter of what was used, and one call at least."""
    time = Time()
    shares, lender, need = lent("requests", 1_000_000, time)
    await shares.draw(need)
    for _ in range(11):
        await time.go_on(0.02)
        assert shares.take(need) is not None
    lender.open.clear()
    await time.go_on(0.11)
    assert lender.asked == 2
    for _ in range(3):
        assert shares.take(need) is not None, "what is kept is spent while the next is on its way"
    assert shares.take(need) is None
    lender.open.set()
    await time.go_on(0.01)
    assert lender.lent == 12 + 3 + (granting.MOST_CALLS + 1)
    for _ in range(granting.MOST_CALLS + 1):
        assert shares.take(need) is not None


async def test_a_worker_that_ends_draws_nothing_ahead():
    time = Time()
    shares, lender, need = lent("requests", 1_000_000, time)
    await shares.draw(need)
    await time.go_on(0.2)
    assert shares.take(need) is not None
    await shares.close()
    await time.go_on(0.2)
    assert lender.asked == 1


async def test_what_calls_did_not_use_takes_no_share_away_that_may_still_be_spent():
    """The share went back with it, twice a second, and the next call waited."""
    time = Time()
    shares, lender, need = lent("tokens", CALL["tokens"] * 1_000_000, time)
    hold = await shares.draw(need)
    hold.settle(CALL["tokens"] - 40, 0, None)
    await time.go_on(0.2)
    await shares.tidy()
    assert lender.lent == CALL["tokens"] * (granting.MOST_CALLS + 1) - 40
    hold = shares.take(need)
    assert hold is not None
    hold.release()
    await time.go_on(0.3)  # a call came, so there is one draw more
    await time.go_on(0.5)
    await shares.tidy()
    assert lender.lent == CALL["tokens"] - 40
