"""Tokens and money of a call that is over: the provider's own count, an estimate where it gave none, or nothing.

An estimate is four bytes a token and four tokens a message for the prompt, and for an answer the tokens its adapter counted as they
came; `usage_source` says so (docs/decisions/0011-no-tokenizer.md has the errors that were measured).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.catalog import Target
from gateway.ledger import Usage, call_cost, cost_nusd
from gateway.mending import MAX_TOKENS
from gateway.metrics import Metrics
from gateway.providers.provider import Answer, StreamTranslator, members
from gateway.proxy.call import Call
from gateway.records import AttemptRecord

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
STRUCTURE = len('{"role":"user","content":""},')
TOKENS_PER_PICTURE = 1_000

_EMBEDDED = re.compile(rb";base64,[A-Za-z0-9+/=]*")
_NUMBERS = re.compile(rb"\[\s*\[?\s*[0-9]")


class _Choice(msgspec.Struct):
    message: dict[str, Any] = {}


class _Whole(msgspec.Struct):
    choices: list[_Choice] = []


_decode_whole = msgspec.json.Decoder(_Whole).decode


def meter(call: Call, target: Target, usage: Usage | None, tokens_seen: int, *, is_partial: bool = False) -> None:
    """Sets usage, its source, price and cost. Without a count of the provider's an answer that had begun is estimated; `is_partial`:
    the provider counted the prompt and not yet what it generated. A count that no call can have is none."""
    if usage is not None and max(usage.prompt_tokens, usage.completion_tokens) > MAX_TOKENS:
        usage = None
    if usage is not None and not is_partial:
        call.usage_source = "provider"
    elif usage is not None:
        usage = msgspec.structs.replace(
            usage, completion_tokens=tokens_seen, total_tokens=usage.prompt_tokens + tokens_seen
        )
        call.usage_source = "estimated"
    else:
        prompt = _guessed_prompt(call)
        usage = Usage(prompt, tokens_seen, total_tokens=prompt + tokens_seen)
        call.usage_source = "estimated"
    call.usage = usage
    call.price = price = target.model.price_at(call.created_at)
    own = None if price is None else cost_nusd(usage, price)
    attempts = call.attempts
    if len(attempts) > 1:
        call.cost_nusd = call_cost(own, True, (attempt.cost_nusd for attempt in attempts[:-1]))
    else:
        call.cost_nusd = own
    if attempts:
        attempts[-1].cost_nusd = own


def seen(call: Call, translator: StreamTranslator) -> Usage:
    """What a stream that is under way has used so far: an estimate where the provider has not counted yet."""
    counted = translator.usage
    prompt = _guessed_prompt(call) if counted is None else counted.prompt_tokens
    output = counted.completion_tokens if counted and not translator.usage_is_partial else translator.tokens_seen
    return Usage(prompt, output, total_tokens=prompt + output)


def _guessed_prompt(call: Call) -> int:
    """Once a call: a stream is asked for it every second."""
    if call.prompt_guess is None:
        call.prompt_guess = prompt_tokens(call.endpoint, call.body)
    return call.prompt_guess


def bill(metrics: Metrics, call: Call, attempt: AttemptRecord, target: Target, usage: Usage) -> None:
    """An attempt that gave no answer, and that the provider counted all the same: it is part of what the call costs."""
    attempt.usage = usage
    price = target.model.price_at(call.created_at)
    if price is None:
        metrics.unpriced_call(attempt.provider, attempt.model)
    else:
        attempt.price_id = price.id
        attempt.cost_nusd = cost_nusd(usage, price)
    metrics.spent(attempt.provider, attempt.model, usage.prompt_tokens, usage.completion_tokens, attempt.cost_nusd)
    call.cost_nusd = call_cost(None, False, (attempt.cost_nusd for attempt in call.attempts))


def metered_tokens(call: Call) -> int | None:
    """All tokens of all attempts; None when nothing was used."""
    total = None if call.usage is None else call.usage.total_tokens
    for attempt in call.attempts:
        if attempt.usage is not None:
            total = (total or 0) + attempt.usage.total_tokens
    return total


def prompt_tokens(endpoint: str, body: bytes) -> int:
    """An estimate of a prompt's tokens from the request. Pictures in it count for a thousand each, whatever their bytes."""
    fields = members(body)
    raw = fields.get("messages" if endpoint == "chat" else "input", b"")
    if endpoint != "chat":
        if _NUMBERS.match(raw):  # an array of tokens, or several
            return raw.count(b",") + 1
        return max(1, -(-len(raw) // BYTES_PER_TOKEN))
    pictures = 0
    if b";base64," in raw:
        raw, pictures = _EMBEDDED.subn(b"", raw)
    messages = max(1, raw.count(b'"role"'))
    text = (
        max(0, len(raw) - STRUCTURE * messages)
        + len(fields.get("tools", b""))
        + len(fields.get("response_format", b""))
    )
    return -(-text // BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * messages + TOKENS_PER_PICTURE * pictures


def answer_tokens(answer: Answer) -> int:
    """An estimate of the tokens of a whole answer whose provider counted none; 0 where it did count, nobody asks then."""
    if answer.usage is not None:
        return 0
    try:
        choices = _decode_whole(answer.body).choices
    except msgspec.DecodeError:
        return 0
    told = sum(
        len(value.encode() if isinstance(value, str) else msgspec.json.encode(value))
        for choice in choices
        for name, value in choice.message.items()
        if value and name in ("content", "refusal", "reasoning", "reasoning_content", "tool_calls")
    )
    return -(-told // BYTES_PER_TOKEN)
