"""How providers fare: what each worker's heartbeat says of its circuits, what the last calls met, and what that means for tiers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.catalog import Catalog
from gateway.instants import iso
from gateway.store import glance
from gateway.store import providers as store
from gateway.store.glance import Figures, Glance
from gateway.store.pool import Connection

LATELY = timedelta(minutes=15)
SLOW_MS = 10_000.0
SLOW_FACTOR = 3.0
WORST = {"closed": 0, "half_open": 1, "open": 2}


async def states(
    db: Connection,
    catalog: Catalog,
    rows: list[store.ProviderRow],
    seen: Glance | None = None,
    span: timedelta = LATELY,
) -> dict[str, dict[str, Any]]:
    """By provider id the fields of `schema.Provider` that are not in its row. `seen`: what was seen of the last `span`, where the caller has
    looked already."""
    if seen is None:
        seen = await glance.look(db, datetime.now(UTC) - span, span, [], [])
    by_provider: dict[str, list[store.TargetState]] = {}
    for worker in await store.live_states(db):
        for target in worker.targets:
            by_provider.setdefault(target.provider_id, []).append(target)
    failures, figures, lines = await store.last_failures(db), seen.groups["provider"], seen.lines["provider"]
    return {
        row.id: _state(row, catalog, by_provider.get(row.id, []), figures.get(row.name), failures.get(row.name))
        | {"series": lines.get(row.name, [])}
        | _rate(figures.get(row.name), span)
        for row in rows
    }


def _state(
    row: store.ProviderRow,
    catalog: Catalog,
    targets: list[store.TargetState],
    figures: Figures | None,
    failure: store.FailureRow | None,
) -> dict[str, Any]:
    worst = max(targets, key=lambda one: (WORST[one.state], one.rests_s, one.recent_failures), default=None)
    circuit = worst.state if worst else "closed"
    credential = _credential_state(row, catalog)
    found: dict[str, Any] = {
        "circuit": circuit,
        "failures": f"{worst.recent_failures}/{worst.recent}" if worst and worst.recent else "",
        "next_probe_s": worst.rests_s if worst and circuit == "open" else None,
        "credential_state": credential,
        "state": _word(row, circuit, credential, figures),
        "effect": effect(catalog, row.name, is_out=not row.enabled or circuit == "open"),
    }
    if failure is not None:
        found |= {"last_error": f"{failure.status or ''} {failure.failure}".strip(), "last_error_at": iso(failure.at)}
    return found


def _rate(figures: Figures | None, span: timedelta) -> dict[str, Any]:
    if figures is None or not figures.calls:
        return {}
    p50, p95 = figures.latency
    return {
        "error_share": figures.errors_5xx / figures.calls,
        "requests_per_s": figures.calls / span.total_seconds(),
        "latency_p50_ms": p50,
        "latency_p95_ms": p95,
        "ttft_p95_ms": figures.ttft[1],
    }


def _word(row: store.ProviderRow, circuit: str, credential: str, figures: Figures | None) -> str:
    if not row.enabled:
        return "disabled"
    if credential:
        return "not configured"
    if circuit != "closed":
        return "open" if circuit == "open" else "probing"
    if figures is None:
        return "unknown"
    p50, p95 = (each or 0.0 for each in figures.latency)
    return "slow" if p95 > SLOW_MS and p95 > SLOW_FACTOR * p50 else "ok"


def _credential_state(row: store.ProviderRow, catalog: Catalog) -> str:
    """Empty: nothing is wrong with it."""
    provider = catalog.providers.get(row.name)
    if provider is None or provider.credential is not None or not provider.needs_credential:
        return ""
    return "can't be opened" if row.credential_source == "sealed" else "missing"


def effect(catalog: Catalog, name: str, *, is_out: bool) -> list[str]:
    """What it means for tiers that this provider is out (or would be)."""
    if not is_out:
        return []
    lines = []
    for tier, targets in catalog.tiers.items():
        if not any(target.provider.name == name for target in targets):
            continue
        others = [t for t in targets if t.provider.name != name and t.provider.enabled and t.model.enabled]
        lines.append(f"tier {tier} → {others[0].provider.name}" if others else f"tier {tier} has no other target")
    own = {model.id for model in catalog.models.values() if model.enabled and model.provider.name == name}
    elsewhere = {model.id for model in catalog.models.values() if model.enabled and model.provider.name != name}
    if only_here := len(own - elsewhere):
        lines.append(f"{only_here} models that only {name} has are refused")
    return lines
