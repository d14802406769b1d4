"""What needs an operator, the urgent first: each entry says since when, which calls are behind it, and where to go."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.admin.allowing import can_answer
from gateway.admin.gauges import of_rows
from gateway.admin.provider_state import states
from gateway.admin.schema.limits import Budget
from gateway.admin.schema.overview import Attention, Severity
from gateway.catalog import Catalog, Target
from gateway.instants import iso, iso_of
from gateway.ledger import usd
from gateway.store import attention as store
from gateway.store import budgets, providers
from gateway.store.pool import Connection

ORDER = {"error": 0, "warning": 1, "info": 2}
BURST_ERRORS, BURST_SHARE = 10, 0.05
BEHIND_S = 30.0
LATE_S = 3_600.0


async def look(db: Connection, catalog: Catalog, now: float) -> list[Attention]:
    """Everything at once: about a dozen short questions."""
    workers = await store.live_workers(db)
    found = [
        *await _circuits(db, catalog),
        *await _errors(db),
        *_routes(catalog),
        *await _budgets(db, now),
        *await _keys(db, workers, now),
        *await _calls(db),
        *_workers(workers),
        *await _records(db),
        *_capture(catalog),
    ]
    return sorted(found, key=lambda one: ORDER[one.severity])


async def _circuits(db: Connection, catalog: Catalog) -> list[Attention]:
    rows = [row for row in await providers.all_of(db) if row.enabled]
    told = await states(db, catalog, rows)
    found = []
    for row in rows:
        state = told[row.id]
        if state["circuit"] == "closed":
            continue
        is_open = state["circuit"] == "open"
        share = f", {state['error_share'] * 100:.0f} % errors" if state.get("error_share") else ""
        found.append(
            Attention(
                severity="error" if is_open else "warning",
                title=f"{row.name} circuit open{share}" if is_open else f"{row.name} is being probed",
                detail="; ".join(state["effect"]) or f"last failure: {state.get('last_error') or 'unknown'}",
                since=state.get("last_error_at"),
                screen="providers",
                object=row.name,
                filter=f"provider:{row.name} status:5xx since:15m",
            )
        )
    return found


async def _errors(db: Connection) -> list[Attention]:
    found = []
    burst = await store.burst(db)
    if burst.errors >= BURST_ERRORS and burst.errors >= BURST_SHARE * burst.calls:
        found.append(
            Attention(
                severity="error", title=f"{burst.errors / max(1, burst.calls) * 100:.0f} % of calls fail",
                detail=f"{burst.errors:,} of {burst.calls:,} in 5 minutes, most of them {burst.top_error or 'without a code'}",
                since=iso(burst.since), screen="logs", filter="status:5xx since:5m",
            )
        )  # fmt: skip
    for provider, calls, since in await store.rows(db, store.CREDENTIALS):
        found.append(
            Attention(
                severity="error", title=f"{provider} refuses the gateway's credential", detail=f"{calls:,} attempts in 15 minutes",
                since=iso(since), screen="providers", object=provider, filter="since:15m attempts:>0 err:upstream_credentials",
            )
        )  # fmt: skip
    return found


def _routes(catalog: Catalog) -> list[Attention]:
    """Tiers that nobody can answer, the gateway's own and those of projects."""
    found = [_route(name, "", targets) for name, targets in catalog.tiers.items()]
    for project in catalog.projects.values():
        if not project.archived:
            own = {name: targets for name, targets in project.tiers.items() if targets is not catalog.tiers.get(name)}
            found += [_route(name, project.slug, targets) for name, targets in own.items()]
    return [one for one in found if one is not None]


def _route(tier: str, project: str, targets: tuple[Target, ...]) -> Attention | None:
    if any(can_answer(target.model) for target in targets):
        return None
    missing = sorted(
        {t.provider.credential_variable or f"a credential of {t.provider.name}" for t in targets if _lacks(t)}
    )
    return Attention(
        severity="error" if not project else "warning",
        title=f"tier {tier} has no target that can answer" + (f" in {project}" if project else ""),
        detail=f"set {' or '.join(missing)}"
        if missing
        else "its targets are switched off"
        if targets
        else "it has no targets",
        screen="settings" if project else "providers",
        object=project,
        filter=f"tier:{tier}" + (f" project:{project}" if project else ""),
    )


def _lacks(target: Target) -> bool:
    return target.provider.needs_credential and target.provider.credential is None


async def _budgets(db: Connection, now: float) -> list[Attention]:
    found = []
    for budget in await of_rows(db, now, await budgets.in_use(db)):
        whole = budget.amount_nusd + budget.raise_nusd
        share = budget.spent_nusd / whole if whole else 1.0
        name = f"budget of {budget.scope} {budget.subject_name}"
        of = f"{share * 100:.0f} % of ${usd(whole)} ({budget.window})"
        if share >= 1.0:
            found.append(_budget(budget, f"{name} is used up", _resets(of, budget), "error"))
        elif budget.forecast_at is not None:
            found.append(_budget(budget, f"{name}: {of}", f"at this rate used up {budget.forecast_at}"))
        elif budget.soft_percent is not None and share * 100 >= budget.soft_percent:
            detail = f"over its soft limit of {budget.soft_percent} %"
            found.append(_budget(budget, f"{name}: {of}", _resets(detail, budget)))
    return found


def _budget(budget: Budget, title: str, detail: str, severity: Severity = "warning") -> Attention:
    return Attention(
        severity=severity, title=title, detail=detail, screen="limits", object=budget.id, filter=_of_budget(budget)
    )


def _of_budget(budget: Budget) -> str:
    return f"{budget.scope}:{budget.subject}" if budget.scope in ("project", "key") else ""


def _resets(text: str, budget: Budget) -> str:
    return f"{text}; resets {budget.resets_at}" if budget.resets_at else text


async def _keys(db: Connection, workers: list[store.Live], now: float) -> list[Attention]:
    found = []
    for key_id, name, project, expires_at in await store.rows(db, store.EXPIRING_KEYS):
        days = (expires_at - datetime.fromtimestamp(now, UTC)).total_seconds() / 86_400
        found.append(
            Attention(
                title=f"key {name} expires in {days:.0f} days" if days >= 2 else f"key {name} expires in {days * 24:.0f} h",
                detail=f"project {project}, {iso(expires_at)}", screen="keys", object=project, filter=f"key:{key_id}",
            )
        )  # fmt: skip
    late: dict[str, store.LateKey] = {}
    for worker in workers:
        for key_id, one in worker.state.late_keys.items():
            if now - one.last < LATE_S:
                known = late.get(key_id, store.LateKey(0, 0.0))
                late[key_id] = store.LateKey(known.calls + one.calls, max(known.last, one.last))
    for key_id, name, project, disabled_at, revoked_at, expires_at in await store.rows(
        db, store.KEYS_NAMED, list(late)
    ):
        is_expired = expires_at is not None and expires_at.timestamp() <= now
        word = "revoked" if revoked_at else "disabled" if disabled_at else "expired" if is_expired else ""
        if not word:
            continue  # it was enabled again meanwhile
        calls = late[key_id].calls
        found.append(
            Attention(
                title=f"key {name} is {word} and still used", detail=f"{calls:,} call{'s' if calls != 1 else ''} refused, project {project}",
                since=iso_of(late[key_id].last), screen="keys", object=project, filter=f"key:{key_id}",
            )
        )  # fmt: skip
    return found


async def _calls(db: Connection) -> list[Attention]:
    return [
        Attention(
            title=f"{calls:,} calls without a price", detail=f"{provider}/{model}, last 24 hours", since=iso(since), screen="models",
            object=model, filter=f"model:{model} since:24h",
        )
        for provider, model, calls, since in await store.rows(db, store.UNPRICED)
    ]  # fmt: skip


def _workers(workers: list[store.Live]) -> list[Attention]:
    found = []
    versions = sorted({worker.version for worker in workers})
    if len(versions) > 1:
        newest = max(worker.started_at for worker in workers)
        found.append(
            Attention(
                title="workers run different versions",
                detail=" and ".join(versions),
                since=iso(newest),
                screen="overview",
            )
        )
    behind = max((worker.state.journal.behind_s for worker in workers), default=0.0)
    if behind > BEHIND_S:
        found.append(
            Attention(
                severity="error", title="records wait for the database", detail=f"the oldest for {behind:.0f} s; calls are served meanwhile",
                screen="overview",
            )
        )  # fmt: skip
    return found


async def _records(db: Connection) -> list[Attention]:
    found = []
    ((count, since),) = await store.rows(db, store.QUARANTINED)
    if count:
        detail = "Postgres refused them as they were; they are stored cleaned, their originals kept"
        found.append(
            Attention(title=f"{count:,} records were cleaned", detail=detail, since=iso(since), screen="audit")
        )
    ((newest, is_old),) = await store.rows(db, store.NEWEST_PRICE)
    if is_old:
        found.append(
            Attention(
                severity="info",
                title="prices are older than 30 days",
                detail=f"newest of {iso(newest)}",
                screen="models",
            )
        )
    return found


def _capture(catalog: Catalog) -> list[Attention]:
    """Bodies of calls are being kept: somebody should know."""
    return [
        Attention(
            severity="info", title=f"payloads of {project.slug} are captured", detail="encrypted, kept as long as the setting says",
            screen="settings", object=project.slug, filter=f"project:{project.slug}",
        )
        for project in catalog.projects.values()
        if project.capture and not project.archived
    ]  # fmt: skip
