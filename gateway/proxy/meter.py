"""Tokens and money of a call that is over: the provider's own count, an estimate where it gave none, or nothing."""

from __future__ import annotations

from gateway.catalog import Target
from gateway.ledger import Usage, cost_nusd
from gateway.proxy.call import Call


def meter(call: Call, target: Target, usage: Usage | None, tokens_seen: int) -> None:
    """Sets usage, its source, price and cost. Without a count of the provider's an answer that had begun is estimated."""
    if usage is not None:
        call.usage_source = "provider"
    else:
        usage = Usage(call.prompt_estimate, tokens_seen, total_tokens=call.prompt_estimate + tokens_seen)
        call.usage_source = "estimated"
    call.usage = usage
    call.price = price = target.model.price_at(call.created_at)
    call.cost_nusd = None if price is None else cost_nusd(usage, price)
    if call.attempts:
        call.attempts[-1].cost_nusd = call.cost_nusd
