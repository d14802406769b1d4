"""What would happen to a request, by the very steps of `serve`, with nothing sent, held or written down. `app` hands this to the admin API."""

from __future__ import annotations

import time
from collections.abc import Mapping

from gateway.catalog import Key, KeyId, Project, Target
from gateway.errors import InvalidApiKey, Refusal, Unavailable
from gateway.explanation import Explained, TargetTold
from gateway.ledger import uncached_nusd, usd
from gateway.networks import Address
from gateway.providers.provider import Endpoint, Failure
from gateway.proxy.authenticate import require_address
from gateway.proxy.body import Asked, parse
from gateway.proxy.call import Call, Plane
from gateway.proxy.check import dearest, estimate_prompt, need_of, output_bound
from gateway.proxy.choose import Route, left_out
from gateway.proxy.exchange import built, passed_over, unsupported
from gateway.proxy.heading import read_heading
from gateway.proxy.serve import route_of, take_heading
from gateway.proxy.verdict import no_target_left
from gateway.records import MAX_ATTEMPTS


class _Headers:
    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = {name.lower(): value for name, value in given.items()}

    def header(self, name: str) -> str | None:
        return self._given.get(name)


async def explain(
    plane: Plane,
    project: Project,
    key: Key | None,
    endpoint: Endpoint,
    headers: Mapping[str, str],
    body: bytes,
    client: Address | None,
) -> Explained:
    """`key` None: as a key of the project would fare that has no limits and no allow-list of its own. `client` None: from wherever the key
    may be used."""
    told = Explained(endpoint, project.slug, key.name if key else "")
    call = Call(endpoint)
    call.project = project
    call.key = key or Key(KeyId(""), "", "", project.id, b"")
    networks = call.key.networks
    told.allowed_addresses = None if networks is None else list(networks.cidrs)
    try:
        if call.key.works_until <= call.created_at or project.archived:
            raise InvalidApiKey
        if networks is not None and client is not None:
            require_address(call.key, project, networks, client)
        await _follow(plane, call, _Headers(headers), body, told)
    except Refusal as refusal:
        told.refusal, told.status = refusal, refusal.status
    return told


async def _follow(plane: Plane, call: Call, caller: _Headers, body: bytes, told: Explained) -> None:
    """The steps of `serve`, in its order. Raises what the caller would get."""
    project, key = call.project, call.key
    assert project is not None
    assert key is not None
    heading = read_heading(caller)
    take_heading(call, heading)
    tier = heading.tier
    told.user, told.tags = call.user, call.tags
    asked = parse(call.endpoint, body)
    told.requested_model, told.stream, told.user = asked.model, asked.stream, call.user or asked.user
    told.prompt_tokens_estimate = estimate_prompt(asked)
    named = asked.model if asked.model in project.tiers else None
    told.tier = named or (None if asked.model else tier or _default_tier(call, project))
    told.targets = _left_out(call, project, key, told.tier)
    route = route_of(plane, call, asked, tier)
    told.tier, told.why = route.tier, route.why
    told.targets = _targets(plane, call, route, asked, told)
    need = need_of(plane.limits, plane.holder.catalog, call, project, key, route, asked, heading.ceiling_nusd)
    if need is not None:
        told.limits = await plane.limits.look(need)
        for standing in told.limits:
            if standing.refusal is not None:
                raise standing.refusal
            if standing.left is None and standing.kind == "money":
                raise Unavailable(
                    f"The budget of {standing.name} can't be checked now.", code="budget_unavailable", retry_after_s=2
                )
    _try(plane, call, route, asked, told, has_hold=need is not None)


def _default_tier(call: Call, project: Project) -> str:
    return "embedding" if call.endpoint == "embeddings" else project.default_tier


def _targets(plane: Plane, call: Call, route: Route, asked: Asked, told: Explained) -> list[TargetTold]:
    """The route's own with their cost, then what is left out of it; sets the call's worst case, which is the dearest of them."""
    found = [_priced(plane, call, target, asked, told.prompt_tokens_estimate or 0) for target in route.targets]
    bounds = [one for one in found if one.cost_ceiling_nusd is not None]
    if len(bounds) == len(found) and bounds:
        worst = max(bounds, key=lambda one: one.cost_ceiling_nusd or 0)
        told.cost_ceiling_nusd, told.arithmetic = worst.cost_ceiling_nusd, worst.arithmetic
    told.max_output_tokens = max(one.max_output_tokens or 0 for one in found)
    chosen = {(one.provider, one.model) for one in found}
    return found + [one for one in told.targets if (one.provider, one.model) not in chosen]


def _priced(plane: Plane, call: Call, target: Target, asked: Asked, prompt: int) -> TargetTold:
    output = output_bound(plane.holder.catalog, target, asked)
    told = TargetTold(target.provider.name, target.model.id, "not reached", "", max_output_tokens=output)
    price = target.model.price_at(call.created_at)
    if price is None:
        told.arithmetic = "this model has no price"
        return told
    told.input_nusd, told.output_nusd = price.input_nusd, price.output_nusd
    dear = dearest(price)
    told.cost_ceiling_nusd = uncached_nusd(prompt, output, dear)
    if price.above is not None and price.above_tokens is not None and prompt > price.above_tokens:
        dear = dear.above or dear
    told.arithmetic = (
        f"{prompt:,} prompt tokens x ${usd(dear.input_nusd)}/M + {output:,} output tokens x ${usd(dear.output_nusd)}/M"
        f" = ${usd(told.cost_ceiling_nusd)}"
    )
    return told


def _left_out(call: Call, project: Project, key: Key, tier: str | None) -> list[TargetTold]:
    """Every target of the tier with the reason why it may not be in the route; those that are get a better word later."""
    targets = project.tiers.get(tier or "", ())
    reasons = left_out(project, key, call.endpoint, targets, [])
    return [TargetTold(t.provider.name, t.model.id, "left out", reasons[t.model.full_name]) for t in targets]


def _try(plane: Plane, call: Call, route: Route, asked: Asked, told: Explained, *, has_hold: bool) -> None:
    """Which target would be asked first, and which would stand behind it. Raises when there is none."""
    cap = None
    if has_hold and asked.max_tokens is None and call.endpoint == "chat":
        cap = plane.holder.catalog.settings.default_max_output_tokens
    failures: list[tuple[Target, Failure]] = []
    ready = 0
    for target, one in zip(route.targets, told.targets, strict=False):
        failure = passed_over(plane, route, target) or plane.health.look(target, time.monotonic())
        if failure is None:
            request = built(plane, call, route, target, asked, cap)[1]
            if isinstance(request, Failure):
                if route.tier is None:
                    raise unsupported(target.provider, request)
                failure = request
        if failure is not None:
            failures.append((target, failure))
            one.verdict, one.why = "passed over", failure.detail or failure.message or failure.kind
        elif ready < MAX_ATTEMPTS:
            one.verdict, one.why = ("fallback", "if those before it fail") if ready else ("asked", route.why)
            ready += 1
        else:
            one.why = f"a call makes at most {MAX_ATTEMPTS} attempts"
    if not ready:
        raise no_target_left(call, route, failures)
