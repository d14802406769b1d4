"""What a call may use at most, and the hold for it."""

from __future__ import annotations

from gateway.catalog import NO_RULES, Catalog, Key, Project, Target
from gateway.errors import LimitReached, Refusal, Unprocessable
from gateway.ledger import Price, uncached_nusd, usd
from gateway.limits.limits import Hold, Limits, Need
from gateway.proxy.body import Asked
from gateway.proxy.call import Call
from gateway.proxy.choose import Route

BYTES_PER_TOKEN = 3  # from above: English text has about four bytes a token
TOKENS_PER_MESSAGE = 8


def estimate_prompt(asked: Asked) -> int:
    """Prompt tokens from above: the body's bytes ÷ 3, and 8 a message."""
    return -(-len(asked.body) // BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * asked.messages


def output_bound(catalog: Catalog, target: Target, asked: Asked) -> int:
    """The most tokens an answer may have: what the caller set, else the model's limit capped by the setting, for every choice."""
    if target.model.mode == "embedding":
        return 0
    bound = asked.max_tokens
    if bound is None:
        cap = catalog.settings.default_max_output_tokens
        bound = min(target.model.max_output_tokens or cap, cap)
    return bound * asked.n


def worst_case(catalog: Catalog, route: Route, asked: Asked, prompt: int, now: float) -> tuple[int, int | None]:
    """Of the targets that may be tried: the longest answer in tokens, and the dearest cost; None when one of them has no price."""
    longest = worst = 0
    is_priced = True
    for target in route.targets:
        output = output_bound(catalog, target, asked)
        if output > longest:
            longest = output
        price = target.model.price_at(now)
        if price is None:
            is_priced = False
        elif (cost := uncached_nusd(prompt, output, dearest(price))) > worst:
            worst = cost
    return longest, worst if is_priced else None


def dearest(price: Price) -> Price:
    """The price with every prompt token at its dearest: nothing is known to be cached, and writing a cache may cost more."""
    written = price.cache_write_nusd or 0
    if written <= price.input_nusd and price.above is None:
        return price
    above = dearest(price.above) if price.above else None
    return Price(
        price.id,
        max(price.input_nusd, written),
        price.output_nusd,
        None,
        None,
        price.effective_from,
        price.above_tokens,
        above,
    )


async def check(
    limits: Limits,
    catalog: Catalog,
    call: Call,
    project: Project,
    key: Key,
    route: Route,
    asked: Asked,
    ceiling: int | None,
) -> Hold | None:
    """The hold for this call, or None when nothing limits it. Raises LimitReached, Unavailable, Unprocessable; sets the call's
    estimate, and how its limits stand."""
    need = need_of(limits, catalog, call, project, key, route, asked, ceiling)
    if need is None:
        return None
    try:
        hold = limits.take(need) or await limits.draw(need)
    except Refusal:
        call.standing = limits.standing(need)
        raise
    call.standing = hold.standing
    return hold


def need_of(
    limits: Limits,
    catalog: Catalog,
    call: Call,
    project: Project,
    key: Key,
    route: Route,
    asked: Asked,
    ceiling: int | None,
) -> Need | None:
    """What this call may use at most, or None when nothing limits it. Raises LimitReached, Unprocessable; sets the call's estimate."""
    call.prompt_estimate = prompt = estimate_prompt(asked)
    call.body = asked.body
    plan = limits.plan(project, catalog.key_rules.get(key.id, NO_RULES), call.user)
    if plan is None and ceiling is None:
        return None
    output, cost = worst_case(catalog, route, asked, prompt, call.created_at)
    if ceiling is not None:
        _require_under_ceiling(cost, ceiling)
    if plan is None:
        return None
    if cost is None:
        if catalog.settings.unpriced_with_budget == "refuse" and plan.has_budget:
            raise LimitReached(
                f"The model '{route.targets[0].model.id}' has no price, and a money budget applies: add a price, or set "
                "unpriced_with_budget to allow.",
                type="insufficient_quota",
                code="insufficient_quota",
            )
        cost = 0
    return Need(plan, call.user, route.targets, route.tier, prompt + output, cost, call.created_at)


def downgrade(limits: Limits, catalog: Catalog, call: Call, project: Project, key: Key, route: Route) -> str | None:
    """Why this call should take a cheaper tier, or None."""
    plan = limits.plan(project, catalog.key_rules.get(key.id, NO_RULES), call.user)
    if plan is None or not plan.has_budget:
        return None
    return limits.downgrade(Need(plan, call.user, route.targets, route.tier, 0, 0, call.created_at))


def _require_under_ceiling(cost: int | None, ceiling: int) -> None:
    if cost is None:
        raise Unprocessable(
            "x-optyx-max-cost-usd is set, and a target of this call has no price.", code="max_cost_exceeded", status=400
        )
    if cost > ceiling:
        raise Unprocessable(
            f"This call could cost up to ${usd(cost)}, more than x-optyx-max-cost-usd ${usd(ceiling)}: lower max_tokens or raise the ceiling.",
            code="max_cost_exceeded",
            param="x-optyx-max-cost-usd",
            status=400,
        )
