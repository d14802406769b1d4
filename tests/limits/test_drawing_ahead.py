"""While there is plenty no call waits for a draw but the first: the next part is on its way before the last is used up. The coordinator is
one that answers when it is told to, so that what happens meanwhile can be looked at."""

from __future__ import annotations

import asyncio

import pytest

from gateway.catalog import NO_RULES, Budget, Limit, OrgId, Project, ProjectId, Rules, Settings
from gateway.errors import LimitReached
from gateway.limits import granting
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

    async def give_back(self, returns: list[Return]) -> None: ...

    async def renew(self, renewals: list[Renewal]) -> list[int]:
        return [one.amount for one in renewals]

    async def ask_back(self, pools: list[Pool]) -> None: ...


def lent(kind: str, left: int) -> tuple[Shares, Lender, Need]:
    """A clock that stands still: rates lie as long as they like."""
    lender = Lender(left)
    shares = Shares(lender, lender, Metrics(), Settings, lambda: 1_000.0)
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


class Taking(Lender):
    """Takes back what it is given."""

    async def give_back(self, returns: list[Return]) -> None:
        given = sum(one.amount for one in returns)
        self.left += given
        self.lent -= given


async def test_what_a_worker_has_given_back_may_be_had_again_at_once():
    lender = Taking(CALL["money"])
    shares = Shares(lender, lender, Metrics(), Settings, lambda: 1_000.0)
    plan = shares.plan(Project(ProjectId("prj"), "p", "p", OrgId("org"), {}, rules=LIMITS["money"]), NO_RULES, None)
    assert plan is not None
    need = Need(plan, None, (), None, CALL["tokens"], CALL["money"], 1_000.0)
    hold = await shares.draw(need)
    for _ in range(2):  # the second is refused without a question
        with pytest.raises(LimitReached):
            await shares.draw(need)
    hold.settle(0, 0, None)
    await shares.return_wanted("money", "bud")
    assert lender.left == CALL["money"]
    assert await shares.draw(need) is not None
