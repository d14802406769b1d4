"""What a project or a key may name: allow-lists and targets, checked against what there is."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.admin.decode import refuse
from gateway.admin.schema.models import TierTarget
from gateway.catalog import Model
from gateway.networks import networks_of, read_network
from gateway.store.pool import Connection
from gateway.store.routing import Known, known

Problems = list[tuple[str, str]]


async def require_known_models(db: Connection, allowed: list[str] | None, field: str = "allowed_models") -> None:
    """Raises Unprocessable naming the entries that no model answers to."""
    if allowed and (problems := problems_of(await known(db), allowed, field)):
        refuse(problems)


def networks(given: list[str] | None) -> list[str] | None:
    """Each in its one form, and once. Raises Unprocessable naming the entries that are none."""
    if given is None:
        return None
    problems: Problems = []
    for number, entry in enumerate(given):
        try:
            read_network(entry)
        except ValueError as error:
            problems.append((f"allowed_addresses[{number}]", str(error)))
    if problems:
        refuse(problems)
    return list(networks_of(tuple(given)).cidrs)


def problems_of(there: Known, allowed: list[str] | None, field: str = "allowed_models") -> Problems:
    """Each entry must be a model, a `provider/model`, or a pattern that ends in `*` (which may stand for models to come)."""
    found: Problems = []
    for number, entry in enumerate(allowed or ()):
        place = f"{field}[{number}]"
        provider, _, model = entry.partition("/")
        if "*" in entry:
            if entry.index("*") < len(entry) - 1:
                found.append((place, f"{entry!r}: a pattern is a beginning and one * at its end, such as claude-*"))
        elif entry not in there.ids and (provider, model) not in there.models:
            why = "is a tier; list the models of its targets" if entry in there.tiers else "is no model here"
            found.append((place, f"{entry!r} {why}"))
    return found


def target_problems(there: Known, tier: str, mode: str, targets: Sequence[TierTarget], field: str) -> Problems:
    """Each target must be a model that its provider has, of the tier's mode, and once."""
    found: Problems = []
    seen: set[tuple[str, str]] = set()
    if not targets:
        found.append((field, f"the tier {tier} needs a target"))
    for number, target in enumerate(targets):
        place, pair = f"{field}[{number}]", (target.provider, target.model)
        if pair in seen:
            found.append((place, "it stands here twice"))
        elif pair not in there.models:
            providers = {provider for provider, _ in there.models}
            if target.provider in providers:
                found.append((f"{place}.model", f"{target.provider} has no model {target.model!r}"))
            else:
                found.append((f"{place}.provider", f"there is no provider {target.provider!r} with models"))
        elif there.models[pair] != mode:
            found.append((place, f"{target.model} is for {there.models[pair]}, the tier {tier} for {mode}"))
        seen.add(pair)
    return found


def can_answer(model: Model) -> bool:
    """It is switched on, and its provider is, with the credential that it needs."""
    provider = model.provider
    return model.enabled and provider.enabled and not (provider.needs_credential and provider.credential is None)


def allows(allowed: list[str] | None, provider: str, model: str) -> bool:
    """As the gateway decides it: by id, as `provider/model`, or by a pattern."""
    if allowed is None:
        return True
    names = (model, f"{provider}/{model}")
    return any(
        entry in names or (entry.endswith("*") and any(name.startswith(entry[:-1]) for name in names))
        for entry in allowed
    )
