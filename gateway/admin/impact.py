"""What a change of a project's settings would have meant to the calls of the last day: refused, served by another target, or left without the
fallback that served them. Pure: the day's sums, both versions and the catalog in, counts out; `settings` shows them in its preview.

A call that the present settings would have treated the same way is not the change's: it is not told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from gateway.admin.allowing import allows, can_answer
from gateway.admin.schema.settings import Impact, Settings
from gateway.catalog import Catalog
from gateway.store.settings import CallsRow

Outcome = Literal["refused", "no_fallback", "elsewhere"]
ORDER = get_args(Outcome)
"""The worst first."""
Effect = tuple[Outcome, str]


class Lines:
    """The targets that one version of the settings puts in line for a tier, as `provider/model`; the same steps as `proxy.choose`."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self.settings = settings
        self._catalog = catalog
        self._allowed: dict[str, bool] = {}
        self._known: dict[tuple[str, tuple[str, ...] | None], list[str]] = {}

    @property
    def default_tier(self) -> str:
        return self.settings.default_tier or "fast"

    def of(self, tier: str, own: list[str] | None) -> list[str]:
        """For a key with that allow-list of its own."""
        key = (tier, None if own is None else tuple(own))
        if key not in self._known:
            self._known[key] = self._line(tier, own)
        return self._known[key]

    def allow(self, name: str, own: list[str] | None) -> bool:
        """The project's list is asked once a name: with a thousand patterns and ten thousand rows that is 0.1 s in place of five."""
        provider, _, model = name.partition("/")
        if name not in self._allowed:
            self._allowed[name] = allows(self.settings.allowed_models, provider, model)
        return self._allowed[name] and allows(own, provider, model)

    def targets(self, tier: str) -> list[str]:
        given = (self.settings.tiers or {}).get(tier)
        if given is not None:
            return [f"{target.provider}/{target.model}" for target in given]
        return [target.model.full_name for target in self._catalog.tiers.get(tier, ())]

    def _line(self, tier: str, own: list[str] | None) -> list[str]:
        models = self._catalog.models
        names = [
            name
            for name in self.targets(tier)
            if self.allow(name, own) and (name not in models or can_answer(models[name]))
        ]
        first = models.get(names[0]) if names else None
        if first is not None and first.mode == "embedding":  # vectors of two models don't mix
            names = [name for name in names if name in models and models[name].upstream_name == first.upstream_name]
        return names if self.settings.failover else names[:1]


def impact(calls: Sequence[CallsRow], before: Lines, after: Lines) -> list[Impact]:
    """The worst outcome first, then most calls."""
    found: dict[tuple[str, Effect], Impact] = {}
    for row in calls:
        effect = _effect(row, before, after)
        if effect is not None and row.calls:
            outcome, reason = effect
            told = Impact(key=row.key, key_id=row.key_id, outcome=outcome, reason=reason)
            found.setdefault((row.key_id, effect), told).requests += row.calls
    return sorted(found.values(), key=lambda one: (ORDER.index(one.outcome), -one.requests))


def total(found: Sequence[Impact], outcome: Outcome) -> int:
    return sum(one.requests for one in found if one.outcome == outcome)


def _effect(row: CallsRow, before: Lines, after: Lines) -> Effect | None:
    if row.tier:
        return _in_line(row, before, after) or _by_default(row, before, after)
    name, own = f"{row.provider}/{row.model}", row.allowed_models  # a call that named its model has it or has nothing
    if after.allow(name, own) or not before.allow(name, own):
        return None
    return "refused", f"model {row.model} is not allowed"


def _in_line(row: CallsRow, before: Lines, after: Lines) -> Effect | None:
    was, now = before.of(row.tier, row.allowed_models), after.of(row.tier, row.allowed_models)
    if was == now or not was:
        return None
    if not now:
        return "refused", _no_target(row, after, row.tier)
    answered = f"{row.provider}/{row.model}"
    in_vain = was[: was.index(answered)] if answered in was else []
    left = [name for name in now if name not in in_vain]
    if not left:
        return "no_fallback", f"the tier {row.tier} asks {' and '.join(now)} alone, and {answered} answered"
    return None if left[0] == answered else ("elsewhere", f"{left[0]} in place of {answered} (tier {row.tier})")


def _by_default(row: CallsRow, before: Lines, after: Lines) -> Effect | None:
    """Another default tier moves the calls that named none. The sums don't know which these are: at most all of the old default's."""
    tier = after.default_tier
    if row.tier != before.default_tier or tier == row.tier:
        return None
    now, may_be = after.of(tier, row.allowed_models), f", unless the call asked for the tier {row.tier}"
    if not now:
        return "refused", _no_target(row, after, tier) + may_be
    return "elsewhere", f"{now[0]} (tier {tier}) in place of {row.provider}/{row.model}{may_be}"


def _no_target(row: CallsRow, after: Lines, tier: str) -> str:
    if any(after.allow(name, row.allowed_models) for name in after.targets(tier)):
        return f"no target of the tier {tier} that is allowed can answer"
    return f"no target of the tier {tier} is allowed"
