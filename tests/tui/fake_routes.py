"""The routes of the scripted gateway: every one answers out of `seeded` and what was changed since."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.admin.schema.audit import Chain
from gateway.admin.schema.limits import BudgetAsked, Limits, LimitsOverview
from gateway.admin.schema.logs import Body, LogCount, LogPage
from gateway.admin.schema.overview import Overview
from gateway.admin.schema.people import Whoami
from gateway.admin.schema.providers import ProviderTest, Step
from gateway.admin.schema.settings import Difference, Impact, Preview, Problem, SettingsVersion
from gateway.admin.schema.usage import Usage, UsageRow
from tests.tui import fake_changes as changes
from tests.tui import fake_streams, seeded, seeded_calls, seeded_overviews
from tests.tui.fake_streams import matcher

if TYPE_CHECKING:
    from tests.tui.fake_gateway import FakeGateway, Handler


def logs(h: Handler) -> Any:
    wanted = matcher(h.query.get("filter", ""))
    first, limit = int(h.query.get("cursor") or 0), int(h.query.get("limit", 100))
    if h.fake.scanned_to and not first:
        return LogPage(next="1", scanned_to=h.fake.scanned_to)
    rows = [row for row in reversed(h.fake.history) if wanted(row)]
    return LogPage(data=rows[first : first + limit], next=str(first + limit) if len(rows) > first + limit else None)


def log_count(h: Handler) -> Any:
    wanted = matcher(h.query.get("filter", ""))
    matched = sum(1 for row in h.fake.history if wanted(row))
    series = seeded.wave(60, 100, 40)
    return LogCount(
        matched=matched, total=len(h.fake.history), since=seeded.ago(minutes=15), until=seeded.iso(seeded.NOW), series=series,
        error_series=[1.0 if index % 13 == 5 else 0.0 for index in range(60)],
    )  # fmt: skip


def log_one(h: Handler, ident: str) -> Any:
    number = int(ident.rpartition("-")[2].removeprefix("req_") or "0", 16)
    calls = (row for row in h.fake.history if ident in (row.request_id, row.call_id))
    told = seeded_calls.detail(next(calls, None) or seeded_calls.call(number, seeded.NOW))
    if h.fake.captured:
        told.request_body = Body(text=h.fake.captured)
    if h.query.get("bodies") == "false":
        told.request_body = told.response_body = None
    return told


def preview(h: Handler, project: str) -> Any:
    fields = {name: value for name, value in h.body.items() if getattr(h.fake.settings, name, None) != value}
    problems = (
        [Problem(field="timezone", message="there is no such time zone")]
        if h.body.get("timezone") == "Mars/Base"
        else []
    )
    refused = h.body.get("allowed_models") is not None and "gpt-6*" not in h.body["allowed_models"]
    impact = (
        [Impact(key="ci-deploy", key_id="key_ci-deploy", requests=212_140, reason="model gpt-6-luna is not allowed")]
        if refused
        else []
    )
    moved = h.fake.moved if fields else []
    return Preview(
        problems=problems, impact=impact + moved, refused=212_140 if refused else 0, examined=2_116_755,
        elsewhere=sum(one.requests for one in moved if one.outcome == "elsewhere"),
        no_fallback=sum(one.requests for one in moved if one.outcome == "no_fallback"),
        differences=[Difference(field=name, before=getattr(h.fake.settings, name, None), after=value) for name, value in fields.items()],
    )  # fmt: skip


def test_provider(h: Handler, name: str) -> Any:
    told = ProviderTest(steps=steps_of(h.fake, name))
    told.ok = all(one.state == "ok" for one in told.steps)
    return partial(fake_streams.steps, told=told) if (h.body or {}).get("stream") else told


def steps_of(fake: FakeGateway, name: str) -> list[Step]:
    if name in fake.test_steps:
        return [Step(name=step, state=state, detail=detail) for step, state, detail in fake.test_steps[name]]
    took = (0.0, 3.0, 6.0, 14.0, 41.0, 0.2, 210.0, 190.0)
    names = ("configuration", "dns", "connect", "tls", "auth", "models", "chat 1 token", "stream")
    steps = [Step(name=step, ms=ms) for step, ms in zip(names, took, strict=True)]
    steps[5].detail, steps[7].detail = "22 models", "first byte after 120 ms"
    if name == "groq":
        steps[6] = Step(name="chat 1 token", ms=90.0, state="failed", detail="503 over capacity")
        steps[7] = Step(name="stream", state="skipped")
    return steps


def usage(h: Handler) -> Any:
    rows = [
        UsageRow(
            group=one.name,
            group_id=one.id,
            groups={"project": one.name},
            requests=int(one.requests_per_s * 86400),
            prompt_tokens=10_000,
            completion_tokens=2_000,
            cost_nusd=one.today_nusd,
        )
        for one in h.fake.projects
    ]
    total = UsageRow(
        group="total", requests=sum(one.requests for one in rows), cost_nusd=sum(one.cost_nusd for one in rows)
    )
    return Usage(
        group_by=h.query.get("group_by", "project"),
        since=seeded.ago(days=1),
        until=seeded.iso(seeded.NOW),
        data=rows,
        total=total,
    )


def overview(h: Handler) -> Any:
    window = h.query.get("window", "15m")
    if h.fake.empty:
        return Overview(window=window)
    told = seeded_overviews.overview(window)
    return seeded_overviews.moved(told, int(time.monotonic())) if h.fake.is_busy else told


def limits_of(h: Handler, subject: str) -> Any:
    return Limits(rpm=600, tpm=200_000, budgets=[BudgetAsked(amount_usd="500", window="1mo")])


def audit_one(h: Handler, ident: str) -> Any:
    found = [one for one in h.fake.audit if one.id == ident]
    if not found:
        h.refuse(404, "not_found", "There is no such entry.")
    return found[0] if found else None


def models_of_key(h: Handler) -> Any:
    return {"data": [{"id": one.id, "object": "model"} for one in seeded.models()]}


def audit_list(h: Handler) -> Any:
    words = [word.rpartition(":")[2].casefold() for word in h.query.get("filter", "").split()]
    found = [
        one
        for one in h.fake.audit
        if all(word in f"{one.actor} {one.action} {one.object_name} {one.project}".casefold() for word in words)
    ]
    return {"data": found, "next": None}


def control(h: Handler) -> Any:
    """For measurements: another rate, a burst; how many rows the tail has sent."""
    given = h.body or {}
    h.fake.rate = float(given.get("rate", h.fake.rate))
    h.fake.burst += int(given.get("burst", 0))
    return {"sent": h.fake.sent}


P = "/admin/v1"
ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", f"{P}/whoami", lambda h: Whoami(name="test", role=h.fake.role, version=h.fake.version)),
    ("GET", f"{P}/overview", overview),
    ("GET", f"{P}/logs", logs),
    ("GET", f"{P}/logs/count", log_count),
    ("GET", f"{P}/logs/([^/]+)", log_one),
    ("GET", f"{P}/projects", lambda h: {"data": h.fake.projects, "next": None}),
    ("POST", f"{P}/projects", changes.create_project),
    ("PATCH", f"{P}/projects/([^/]+)", changes.update_project),
    ("POST", f"{P}/projects/([^/]+)/archive", changes.archive),
    ("GET", f"{P}/projects/([^/]+)/keys", lambda h, p: {"data": h.fake.keys.get(p, []), "next": None}),
    ("POST", f"{P}/projects/([^/]+)/keys", changes.create_key),
    ("GET", f"{P}/projects/([^/]+)/settings", lambda h, p: h.fake.settings),
    ("PATCH", f"{P}/projects/([^/]+)/settings", changes.save_settings),
    ("POST", f"{P}/projects/([^/]+)/settings:preview", preview),
    ("POST", f"{P}/projects/([^/]+)/settings:restore", lambda h, p: {"audit_id": h.fake.record("settings.restore", "project", p, {}, h.body)}),
    ("GET", f"{P}/projects/([^/]+)/settings/history", lambda h, p: {"data": [
        SettingsVersion(version=41, at=seeded.ago(hours=2), by="lena", summary="allowed_models + gemini-4-argon",
                          values={"allowed_models": ["gemini-4-argon"], "failover": True}),
        SettingsVersion(version=40, at=seeded.ago(days=3), by="omar", summary="default_tier fast → smart"),
    ]}),
    ("GET", f"{P}/keys/whois/([^/]+)", lambda h, p: next(k for ks in h.fake.keys.values() for k in ks if k.public_id == p)),
    ("GET", f"{P}/keys/([^/]+)", changes.key_of),
    ("POST", f"{P}/keys/([^/]+)/rotate", changes.rotate_key),
    ("POST", f"{P}/keys/([^/]+)/(disable|enable)", changes.switch_key),
    ("DELETE", f"{P}/keys/([^/]+)", changes.revoke_key),
    ("GET", f"{P}/limits", lambda h: LimitsOverview() if h.fake.empty else seeded_overviews.limits()),
    ("GET", f"{P}/(?:project|key|org)s/([^/]+)/limits", limits_of),
    ("PUT", f"{P}/(?:project|key|org)s/([^/]+)/limits", lambda h, p: {"audit_id": h.fake.record("limits.update", "limits", p, {}, h.body)}),
    ("POST", f"{P}/budgets/([^/]+)/raise", changes.raised),
    ("GET", f"{P}/usage", usage),
    ("GET", f"{P}/providers", lambda h: {"data": [] if h.fake.empty else h.fake.providers}),
    ("PATCH", f"{P}/providers/([^/]+)", changes.update_provider),
    ("POST", f"{P}/providers/([^/]+)/test", test_provider),
    ("POST", f"{P}/providers/([^/]+)/circuit/close", changes.close_circuit),
    ("GET", f"{P}/models", lambda h: {"data": seeded.models()}),
    ("GET", f"{P}/tiers", lambda h: {"data": seeded.TIERS}),
    ("GET", f"{P}/audit", audit_list),
    ("GET", f"{P}/audit/verify", lambda h: Chain(ok=True, entries=18_402, head="9f2c04a1")),
    ("GET", f"{P}/audit/([^/]+)", audit_one),
    ("POST", f"{P}/undo/([^/]+)", changes.undo),
    ("GET", "/health", lambda h: {"status": "ok", "service": "optyx-gateway", "version": "0.1.0"}),
    ("GET", "/health/ready", lambda h: {"status": "ready", "components": {"database": "ok"}}),
    ("POST", "/control", control),
    ("GET", "/v1/models", models_of_key),
]  # fmt: skip
STREAMS: dict[tuple[str, str], Callable[[Handler], None]] = {
    ("GET", f"{P}/logs/tail"): fake_streams.tail,
    ("POST", "/v1/chat/completions"): fake_streams.chat,
}
