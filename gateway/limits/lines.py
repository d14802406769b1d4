"""Rules as what a call is counted by: a line is one dimension of one rule, with this worker's share of it at hand; a plan is all lines of
a key's calls. Compiled once per change of the catalog, so that a call only walks them."""

from __future__ import annotations

from gateway.catalog import Budget, Limit, Project, Rules, Target
from gateway.ledger import usd
from gateway.limits import windows
from gateway.limits.pools import Kind, Pool
from gateway.limits.share import Share

FOREVER = windows.FOREVER
MEASURES: dict[Kind, int] = {"slots": 0, "requests": 0, "tokens": 1, "money": 2}


class Line:
    """`share` (of an end user: in `of_user`) is the one to use while `since` <= a call's time < `until`."""

    __slots__ = ("is_plain", "is_user", "kind", "measure", "of_user", "rule", "share", "since", "until")

    def __init__(self, kind: Kind, rule: Limit | Budget) -> None:
        self.kind: Kind = kind
        self.measure = MEASURES[kind]
        """Where in (1, its tokens, its cost) a call's part of it stands."""
        self.rule = rule
        self.is_user = rule.scope == "user"
        self.is_plain = not self.is_user and rule.model is None and rule.tier is None
        self.share: Share | None = None
        self.of_user: dict[str, Share] = {}
        self.since = self.until = 0.0

    def counts(self, user: str | None, targets: tuple[Target, ...], tier: str | None) -> bool:
        """A rule of a model counts every call that this model may answer; the end of the call shows whether it did."""
        rule = self.rule
        if rule.model is not None and all(target.model.id != rule.model for target in targets):
            return False
        if rule.tier is not None and rule.tier != tier:
            return False
        return not self.is_user or user is not None

    def pool(self, user: str | None, at: float) -> Pool:
        """The pool that a call of that user at that time draws from; sets how long that is so."""
        subject = user or "" if self.is_user else self.rule.subject
        if isinstance(self.rule, Budget):
            return self._budget_pool(self.rule, subject, at)
        self.until = FOREVER
        limit = self.rule
        size = {"requests": limit.rpm, "tokens": limit.tpm, "slots": limit.concurrency}[self.kind] or 0
        name = f"end user {subject}" if self.is_user else f"{limit.scope} {limit.name}"
        return Pool(self.kind, limit.scope, limit.id, subject, size, _of(name, limit), "minute", limit.model)

    def _budget_pool(self, budget: Budget, subject: str, at: float) -> Pool:
        start, end = windows.bounds(budget.window, budget.timezone, at)
        is_raised = at < budget.raise_until
        self.since, self.until = start, min(end, budget.raise_until) if is_raised else end
        size = budget.amount_nusd + (budget.raise_nusd if is_raised else 0)
        name = f"end user {subject}" if self.is_user else f"{budget.scope} {budget.name}".rstrip()
        name = f"{_of(name, budget)}, ${usd(size)}"
        return Pool(
            "money",
            budget.scope,
            budget.id,
            subject,
            size,
            name,
            budget.window,
            budget.model,
            start,
            end,
            budget.timezone,
        )


class Plan:
    """What counts the calls of one key: the lines of its org, its project, its own, and of end users where the call names one; in this
    order. Keeps what it was made from, so that their ids stay theirs."""

    __slots__ = ("has_budget", "lines", "made_from")

    def __init__(self, lines: tuple[Line, ...], project: Project, own: Rules) -> None:
        self.lines = lines
        self.has_budget = any(line.kind == "money" for line in lines)
        self.made_from = project, own


def lines_of(rules: Rules) -> tuple[Line, ...]:
    found: list[Line] = []
    for limit in rules.limits:
        if limit.concurrency is not None:
            found.append(Line("slots", limit))
        if limit.rpm is not None:
            found.append(Line("requests", limit))
        if limit.tpm is not None:
            found.append(Line("tokens", limit))
    found += [Line("money", budget) for budget in rules.budgets]
    return tuple(found)


def _of(name: str, rule: Limit | Budget) -> str:
    narrowed = [f"model {rule.model}" if rule.model else "", f"tier {rule.tier}" if rule.tier else ""]
    inside = ", ".join(part for part in narrowed if part)
    return f"{name} ({inside})" if inside else name
