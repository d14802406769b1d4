"""Why a call went where it went, from its record: who was in line, what became of each and what it asks, and how its limits stood. Pure; used
by `logs`.

Records of the first version hold only what was tried; then `is_whole` is false, and the line is what the attempts show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.admin.schema.explain import ToldLimit
from gateway.admin.schema.logs import Attempt, CallRoute, LogDetail, LogRow, RouteCandidate
from gateway.catalog import Model
from gateway.ledger import Usage, cost_nusd
from gateway.records import MAX_ATTEMPTS, NOT_TRIED

Stood = tuple[int, tuple[tuple[str, str, str, str, int], int, int]]
"""`limits.pools.Stood` as it is read back."""
ENDED = {
    "refused": "no provider was asked: the call was refused",
    "upstream_refused": "the provider refused the request itself, and no other would like it better",
    "client_closed": "the client left before its turn",
    "drained": "the gateway was shut down before its turn",
    "interrupted": "its worker died before it could write down what it tried",
    "replayed": "the answer that this Idempotency-Key had before was given again",
}
BROKEN = {
    "upstream_truncated": "its answer broke off",
    "upstream_timeout": "its answer stood still for too long",
    "interrupted": "its worker died while the answer came",
}


def route_of(row: LogRow, details: Mapping[str, Any]) -> CallRoute:
    attempts: dict[str, list[Attempt]] = {}
    for attempt in row.attempts:
        attempts.setdefault(f"{attempt.provider}/{attempt.model}", []).append(attempt)
    names = _read(details.get("targets"), list[str], [])
    answered = f"{row.provider}/{row.model}" if row.provider else ""
    line = list(dict.fromkeys([*names, *attempts, *([answered] if answered else [])]))
    candidates = [_candidate(row, name, attempts.get(name, []), answered) for name in line]
    for name, why in _read(details.get("left_out"), dict[str, str], {}).items():
        provider, _, model = name.partition("/")
        candidates.append(RouteCandidate(provider=provider, model=model, verdict="left out", why=why))
    return CallRoute(
        why=str(details.get("why") or ""),
        policy="tier" if row.tier else "model" if line else "",
        is_whole="targets" in details,
        candidates=candidates,
        limits=[_limit(row, stood) for stood in _read(details.get("limits"), list[Stood], [])],
        refusal=str(details["refusal"]) if details.get("refusal") else None,
    )


def price(call: LogDetail, models: Mapping[str, Model], called_at: float, now: float) -> None:
    """What each candidate asks, from the price list as it is read: a call keeps the price it was charged with and no other's. `models` by
    `provider/id`; times are epoch seconds."""
    usage = None
    if call.prompt_tokens is not None:
        usage = Usage(
            call.prompt_tokens, call.completion_tokens or 0, call.cached_tokens or 0, call.cache_write_tokens or 0
        )
    for one in call.route.candidates:
        model = models.get(f"{one.provider}/{one.model}")
        if model is None:
            continue
        own = (one.provider, one.model) == (call.provider, call.model) and call.price_id
        found = next((dated for dated in model.prices if dated.id == own), None)
        basis = "used"
        if found is None:
            found, basis = model.price_at(called_at), "listed"
        if found is None:
            found, basis = model.price_at(now), "today"
        if found is None:
            continue
        one.price_basis, one.tokens_nusd = basis, None if usage is None else cost_nusd(usage, found)
        if found.above is not None and (call.prompt_tokens or 0) > (found.above_tokens or 0):
            found = found.above
        one.input_nusd, one.output_nusd = found.input_nusd, found.output_nusd


def _candidate(row: LogRow, name: str, tried: list[Attempt], answered: str) -> RouteCandidate:
    provider, _, model = name.partition("/")
    told = RouteCandidate(provider=provider, model=model, attempts=len(tried))
    last = tried[-1] if tried else None
    failure = (last.detail or last.failure or "") if last is not None else ""
    if name == answered:
        told.verdict = "failed" if row.end_reason in BROKEN else "answered"
        told.why = BROKEN.get(row.end_reason, "")
    elif last is None:
        told.verdict, told.why = "not reached", _not_reached(row, answered)
    elif all(one.failure in NOT_TRIED for one in tried):
        told.verdict, told.why, told.attempts = "passed over", failure, 0
    else:
        told.verdict, told.why = "failed", failure or ENDED.get(row.end_reason, "")
    return told


def _not_reached(row: LogRow, answered: str) -> str:
    if row.end_reason in ENDED:
        return ENDED[row.end_reason]
    if answered:
        return "one before it answered"
    if sum(one.failure not in NOT_TRIED for one in row.attempts) >= MAX_ATTEMPTS:
        return f"a call makes at most {MAX_ATTEMPTS} attempts"
    return "the call ended before its turn"


def _limit(row: LogRow, stood: Stood) -> ToldLimit:
    needs, (scope, name, kind, window, size), free, elsewhere = stood[0], *stood[1]
    left = max(0, free) + elsewhere
    return ToldLimit(
        scope=scope, name=name, kind=kind, window=window, size=size, needs=needs, left=min(left, size),
        is_enough=row.end_reason != "refused" or left >= needs,
    )  # fmt: skip


def _read(value: Any, kind: Any, empty: Any) -> Any:
    """A record that was mended, or comes from another version, may hold anything."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return empty
