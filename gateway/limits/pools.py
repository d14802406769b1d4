"""What calls draw from: a budget's window, a minute of requests or tokens, a set of slots. Pure; and what the coordinators are asked."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from gateway.catalog import Budget, Limit, Rules
from gateway.ledger import usd
from gateway.limits import windows
from gateway.limits.limits import Need

Kind = Literal["money", "requests", "tokens", "slots"]

RATE_WINDOW_S = 60.0
RATE_SHARE_S = 1.0
"""A share of a rate must be used within this; it counts in the window for RATE_WINDOW_S + RATE_SHARE_S."""


class Pool(msgspec.Struct, frozen=True):
    """One thing that is limited. `key` is its identity; `size` may change while it lives (an operator raises a limit)."""

    kind: Kind
    id: str
    subject: str
    size: int
    name: str
    """For messages: `project Default project`."""
    window: str
    start: float = 0.0
    end: float = 0.0

    @property
    def key(self) -> tuple[str, str, str, float]:
        return self.kind, self.id, self.subject, self.start


class Draw(msgspec.Struct, frozen=True):
    """Ask for at least `least` of a pool; more is welcome when there is plenty. `back` of an older share of ours goes back first."""

    pool: Pool
    least: int
    back: int = 0


class Drawn(msgspec.Struct):
    """`granted` is 0 or at least what was asked. `left` is what nobody holds, `lent` what other workers hold and may not need,
    `retry_after_s` when there may be more."""

    granted: int
    left: int
    lent: int
    retry_after_s: float


class CoordinatorAway(Exception):
    """The coordinator can't be asked."""


class Coordinator(Protocol):
    async def draw(self, draws: list[Draw]) -> list[Drawn]:
        """In one round trip. Raises CoordinatorAway."""
        ...

    async def give_back(self, pools: list[tuple[Pool, int]]) -> None: ...

    async def renew(self, pools: list[tuple[Pool, int]]) -> None:
        """These shares (with what is held of each) live on."""
        ...

    async def ask_back(self, pools: list[Pool]) -> None:
        """Tell the other workers that what they don't need of these is wanted."""
        ...


def pools_of(need: Need, now: float) -> list[tuple[Pool, int]]:
    """Every pool this call draws from, with how much: in one order for all workers."""
    found: list[tuple[Pool, int]] = []
    for rules in need.rules:
        for limit in rules.limits:
            if _counts(limit, need):
                found += _of_limit(limit, need)
        for budget in rules.budgets:
            if _counts(budget, need) and need.cost_nusd is not None:
                found.append((_of_budget(budget, need, now), need.cost_nusd))
    return found


def has_rules(rules: tuple[Rules, ...]) -> bool:
    return any(rule.limits or rule.budgets for rule in rules)


def _counts(rule: Limit | Budget, need: Need) -> bool:
    if rule.model is not None and rule.model != need.model:
        return False
    if rule.tier is not None and rule.tier != need.tier:
        return False
    return rule.scope != "user" or need.user is not None


def _of_limit(limit: Limit, need: Need) -> list[tuple[Pool, int]]:
    subject = need.user or "" if limit.scope == "user" else limit.subject
    name = f"end user {subject}" if limit.scope == "user" else f"{limit.scope} {limit.name}"
    found: list[tuple[Pool, int]] = []
    if limit.concurrency is not None:
        found.append((Pool("slots", limit.id, subject, limit.concurrency, name, "at once"), 1))
    if limit.rpm is not None:
        found.append((Pool("requests", limit.id, subject, limit.rpm, name, "minute"), 1))
    if limit.tpm is not None:
        found.append((Pool("tokens", limit.id, subject, limit.tpm, name, "minute"), need.tokens))
    return found


def _of_budget(budget: Budget, need: Need, now: float) -> Pool:
    start, end = windows.bounds(budget.window, budget.timezone, need.created_at)
    subject = need.user or "" if budget.scope == "user" else budget.subject
    size = budget.amount_nusd + (budget.raise_nusd if now < budget.raise_until else 0)
    name = f"end user {subject}" if budget.scope == "user" else budget.scope
    return Pool("money", budget.id, subject, size, f"{name} ${usd(size)}", budget.window, start, end)
