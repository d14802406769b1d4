"""Which targets, in which order. Pure: also answers `explain`, which calls no provider."""

from __future__ import annotations

import msgspec

from gateway.catalog import Catalog, Key, Model, Project, Target
from gateway.errors import BadRequest, Forbidden, NotFound
from gateway.providers.provider import Endpoint

MODES = {"chat": "chat", "embeddings": "embedding"}
MOST_KNOWN = 10_000
"""Routes that are kept; only what a caller may use gets one."""


class Route(msgspec.Struct):
    """`targets` in the order they are tried, `names` what they are called (`provider/model`). `tier` is None when the caller named a
    model. `why` says it in one line. Goes into the call's record, so that what was in line can be told long after."""

    targets: tuple[Target, ...]
    tier: str | None
    requested_model: str | None
    why: str
    names: list[str]
    left_out: dict[str, str] | None = None
    """Targets of the tier that are not in line, by name, and why."""


class NobodyInLine(Exception):
    """Why a tier has nobody for a call: the cause of the refusal that its caller gets, kept for its record."""

    def __init__(self, route: Route) -> None:
        super().__init__(route.why)
        self.route = route


class Routes:
    """What has been chosen under one catalog: the same key asks for the same model again (see `heading` for what that saves)."""

    __slots__ = ("_catalog", "_known")

    def __init__(self) -> None:
        self._catalog: Catalog | None = None
        self._known: dict[tuple[Key, Endpoint, str | None, str | None], Route] = {}

    def choose(
        self, catalog: Catalog, project: Project, key: Key, endpoint: Endpoint, model: str | None, tier: str | None
    ) -> Route:
        """What `choose` says. The answer is everybody's: it is not to be changed."""
        if catalog is not self._catalog or len(self._known) >= MOST_KNOWN:
            self._catalog, self._known = catalog, {}
        asked = key, endpoint, model, tier
        route = self._known.get(asked)
        if route is None:
            route = self._known[asked] = choose(catalog, project, key, endpoint, model, tier)
        return route


def choose(
    catalog: Catalog, project: Project, key: Key, endpoint: Endpoint, model: str | None, tier: str | None
) -> Route:
    """An explicit model wins; else the tier by name, by header, or the default. Raises NotFound, Forbidden, BadRequest; from NobodyInLine
    where a tier's targets are the reason."""
    if model is not None and model not in project.tiers:
        return _by_model(catalog, project, key, endpoint, model)
    name = model or tier or ("embedding" if endpoint == "embeddings" else project.default_tier)
    if model is not None:
        why = f"tier {name}, named as the model"
    else:
        why = f"tier {name}, asked for by x-optyx-tier" if tier else f"tier {name}, the default"
    return _by_tier(project, key, endpoint, name, model, why)


def is_allowed(model: Model, project: Project, key: Key) -> bool:
    """On the project's and on the key's list, where they have one; by its id, as `provider/id`, or by a pattern such as `claude-*`."""
    for allowed in (project.allowed_models, key.allowed_models):
        if (
            allowed is not None
            and model.id not in allowed
            and model.full_name not in allowed
            and model.patterns.isdisjoint(allowed)
        ):
            return False
    return True


def known_tier(name: str | None, catalog: Catalog) -> None:
    """Raises BadRequest for an x-optyx-tier that is none."""
    if name is not None and name not in catalog.tiers:
        known = ", ".join(catalog.tiers) or "none"
        raise BadRequest(f"x-optyx-tier {name[:40]!r} is not a tier; there are: {known}.", param="x-optyx-tier")


def _by_model(catalog: Catalog, project: Project, key: Key, endpoint: Endpoint, name: str) -> Route:
    model = catalog.models.get(name)
    if model is None or not model.enabled or not model.provider.enabled:
        raise NotFound(
            f"The model '{name}' does not exist here. GET /v1/models lists what you may call.",
            code="model_not_found",
            param="model",
        )
    if not is_allowed(model, project, key):
        raise Forbidden(
            f"The model '{name}' is not on the allow-list of this {'key' if key.allowed_models else 'project'}.",
            param="model",
        )
    if model.mode != MODES[endpoint]:
        raise BadRequest(f"The model '{name}' is for {model.mode}, not for {endpoint}.", param="model")
    return Route((Target(model, model.provider.timeouts),), None, name, f"the request named {name}", [model.full_name])


def _by_tier(project: Project, key: Key, endpoint: Endpoint, name: str, asked: str | None, why: str) -> Route:
    targets = project.tiers.get(name)
    if not targets:
        raise NotFound(f"The tier '{name}' has no targets here.", code="model_not_found", param="model") from _nobody(
            project, key, endpoint, (), name, asked, why
        )
    fitting = tuple(target for target in targets if target.model.mode == MODES[endpoint])
    if not fitting:
        raise BadRequest(
            f"The tier '{name}' is not for {endpoint}.", param="model" if asked else "x-optyx-tier"
        ) from _nobody(project, key, endpoint, targets, name, asked, why)
    allowed = tuple(target for target in fitting if is_allowed(target.model, project, key))
    if not allowed:
        raise Forbidden(f"No target of the tier '{name}' is on the allow-list.", param="model") from _nobody(
            project, key, endpoint, targets, name, asked, why
        )
    usable = tuple(target for target in allowed if target.model.enabled and target.provider.enabled)
    if not usable:
        raise NotFound(
            f"Every target of the tier '{name}' is switched off.", code="model_not_found", param="model"
        ) from _nobody(project, key, endpoint, targets, name, asked, why)
    if endpoint == "embeddings":  # vectors of two models don't mix
        usable = tuple(target for target in usable if target.model.upstream_name == usable[0].model.upstream_name)
    if not project.failover:
        usable = usable[:1]
    names = [target.model.full_name for target in usable]
    if len(names) == len(targets):
        return Route(usable, name, asked, why, names)
    return Route(usable, name, asked, why, names, left_out(project, key, endpoint, targets, names))


def _nobody(
    project: Project, key: Key, endpoint: Endpoint, targets: tuple[Target, ...], name: str, asked: str | None, why: str
) -> NobodyInLine:
    return NobodyInLine(Route((), name, asked, why, [], left_out(project, key, endpoint, targets, [])))


def left_out(
    project: Project, key: Key, endpoint: Endpoint, targets: tuple[Target, ...], names: list[str]
) -> dict[str, str]:
    """Every target that is not among `names`, by its name, and why a call can't have it."""
    found: dict[str, str] = {}
    for target in targets:
        model = target.model
        if model.full_name in names:
            continue
        if model.mode != MODES[endpoint]:
            why = f"it is for {model.mode}"
        elif not is_allowed(model, project, key):
            why = "it is not on the allow-list"
        elif not model.enabled or not model.provider.enabled:
            why = f"the {'model' if not model.enabled else 'provider'} is switched off"
        elif endpoint == "embeddings" and model.upstream_name != _upstream_name(targets, names):
            why = "another model: vectors of two models don't mix"
        else:
            why = "failover is off for this project"
        found[model.full_name] = why
    return found


def _upstream_name(targets: tuple[Target, ...], names: list[str]) -> str | None:
    return next((target.model.upstream_name for target in targets if target.model.full_name in names), None)
