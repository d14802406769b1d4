"""A gateway's worth of data, the same every time: what snapshots, pictures and measurements of the dashboard show."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from gateway.admin.log_route import route_of
from gateway.admin.schema.audit import AuditEntry
from gateway.admin.schema.keys import Key
from gateway.admin.schema.limits import Budget, Gauge, LimitRow, LimitsOverview
from gateway.admin.schema.logs import Attempt, Body, LogDetail, LogRow, PriceUsed, Trace
from gateway.admin.schema.models import Model, Tier, TierTarget
from gateway.admin.schema.overview import Attention, InFlight, Overview, Rates, Spend, TopRow
from gateway.admin.schema.projects import Project
from gateway.admin.schema.providers import Provider, TargetHealth

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
NOW = datetime(2026, 11, 24, 12, 4, 31, tzinfo=UTC)
GIGA = 1_000_000_000


def iso(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def ago(**span: float) -> str:
    return iso(NOW - timedelta(**span))


def ahead(**span: float) -> str:
    return iso(NOW + timedelta(**span))


def wave(count: int, base: float, swing: float, phase: float = 0.0) -> list[float]:
    return [
        round(base + swing * math.sin(index / 4 + phase) + swing * 0.4 * math.sin(index * 1.7 + phase), 3)
        for index in range(count)
    ]


CALLS = [
    # model, project, key, provider, status, ttft, total, in, out, cached, nusd, stream, failed provider, code
    ("gpt-6.1-sol", "acme", "ci-deploy", "openai", 200, 310, 2100, 1204, 412, 0, 9_780_000, True, None, None),
    ("gpt-6-luna", "support-bot", "web-prod", "openai", 200, 220, 900, 640, 120, 512, 450_000, True, None, None),
    (
        "gemini-3.5-flash-lite",
        "research",
        "nb-lena",
        None,
        429,
        None,
        40,
        None,
        None,
        None,
        None,
        False,
        None,
        "rate_limit_exceeded",
    ),
    ("gpt-6.1-sol", "acme", "web-prod", "openai", 200, 290, 1740, 980, 233, 0, 6_440_000, True, None, None),
    ("gemini-4-argon", "acme", "web-prod", "google", 200, 1410, 3020, 2104, 501, 0, 11_020_000, True, "openai", None),
    (
        "gpt-6.1-sol",
        "sandbox",
        "dev-omar",
        "openai",
        502,
        None,
        8000,
        310,
        None,
        None,
        None,
        False,
        "openai",
        "upstream_error",
    ),
    (
        "gemini-embedding-001",
        "research",
        "nb-lena",
        "google",
        200,
        None,
        110,
        8012,
        None,
        None,
        160_000,
        False,
        None,
        None,
    ),
    ("gpt-6.1-sol", "acme", "ci-deploy", "openai", 200, 340, 2220, 1402, 390, 256, 10_050_000, True, None, None),
    ("gpt-6-luna", "support-bot", "web-prod", "openai", 200, 190, 710, 602, 88, 0, 380_000, True, None, None),
    ("gpt-7", "acme", "ci-deploy", None, 403, None, 1, None, None, None, None, False, None, "model_not_allowed"),
]


def call(number: int, at: datetime) -> LogRow:
    """The call of this number; every tenth of a kind."""
    model, project, key, provider, status, ttft, total, tokens_in, tokens_out, cached, nusd, stream, failed, code = (
        CALLS[number % len(CALLS)]
    )
    attempts = []
    start = 1.2
    if failed is not None:
        attempts.append(
            Attempt(
                provider=failed,
                model="gpt-6.1-sol",
                status=503,
                failure="status",
                detail="over capacity",
                ms=812,
                start_ms=start,
            )
        )
        start += 812 + 120
    if provider is not None and status == 200:
        attempts.append(
            Attempt(
                provider=provider,
                model=model,
                status=200,
                ms=total - start,
                start_ms=start,
                ttft_ms=(ttft or total) - start,
                reused=True,
            )
        )
    return LogRow(
        request_id=f"req_{number:012x}",
        call_id=f"00000000-0000-7000-8000-{number:012x}",
        created_at=iso(at),
        project=project,
        project_id=f"prj_{project}",
        key=key,
        key_id=f"key_{key}",
        endpoint="embeddings" if "embedding" in model else "chat",
        tier="smart" if failed else None,
        requested_model=None if failed else model,
        provider=provider,
        model=model if provider else None,
        status=status,
        error_code=code,
        end_reason="complete" if status == 200 else "refused" if status in (403, 429) else "upstream_failed",
        stream=stream,
        attempts=attempts,
        prompt_tokens=tokens_in,
        completion_tokens=tokens_out,
        cached_tokens=cached,
        reasoning_tokens=0,
        total_tokens=(tokens_in or 0) + (tokens_out or 0) if tokens_in else None,
        usage_source="provider" if nusd else "none",
        cost_nusd=nusd,
        price_id="prc_2026_11_02" if nusd else None,
        latency_ms=float(total),
        ttft_ms=None if ttft is None else float(ttft),
        overhead_ms=1.9,
        user="u-17" if number % 3 == 0 else None,
        tags=["env=prod", "feature=search"] if number % 2 == 0 else None,
        gateway_version="0.1.0",
        trace_id=TRACE if number % 2 == 0 else None,
    )


def detail(row: LogRow) -> LogDetail:
    price = PriceUsed(
        id="prc_2026_11_02", input_nusd=2_500 * 1_000_000, cached_nusd=250 * 1_000_000, output_nusd=10_000 * 1_000_000,
        valid_from="2026-11-02T00:00:00Z", source="https://openai.com/api/pricing",
    )  # fmt: skip
    missing = Body(why_not="capture is off for this project")
    details = {
        "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
        "why": "tier smart, asked for by x-optyx-tier" if row.tier else f"the request named {row.requested_model}",
        "targets": [*dict.fromkeys(f"{one.provider}/{one.model}" for one in row.attempts), "google/gemini-4-argon"],
        "left_out": {"anthropic/claude-opus-5": "it is not on the allow-list"},
        "limits": [
            (1, (("key", f"key {row.key}", "requests", "minute", 600), 411, 0)),
            (2605, (("project", f"project {row.project}", "money", "month", 500_000_000_000), 284_500_000_000, 0)),
        ],
    }
    route = route_of(row, details)
    for number, one in enumerate(route.candidates, 2):
        used = one.verdict == "answered"
        one.input_nusd, one.output_nusd = (2_500_000_000, 10**10) if used else (number * 10**9, number * 4 * 10**9)
        one.price_basis = "used" if used else "listed"
        tokens = (row.prompt_tokens or 0) * one.input_nusd + (row.completion_tokens or 0) * one.output_nusd
        one.tokens_nusd = tokens // 1_000_000
    return LogDetail(
        **{name: getattr(row, name) for name in row.__struct_fields__},
        price=price if row.cost_nusd else None,
        worker_id="wrk_a1",
        trace=Trace(
            id=TRACE,
            calls=14,
            errors=1,
            since=row.created_at,
            until=iso(datetime.fromisoformat(row.created_at) + timedelta(seconds=8.2)),
            total_tokens=20_412,
            cost_nusd=124_000_000,
        ),
        details=details,
        route=route,
        request_body=missing,
        response_body=missing,
    )


def providers() -> list[Provider]:
    return [
        Provider(
            id="prv_openai", name="openai", kind="openai", base_url="https://api.openai.com/v1", state="ok", circuit="closed",
            failures="1/20", error_share=0.003, latency_p50_ms=600, latency_p95_ms=2020, ttft_p95_ms=810, requests_per_s=44.0,
            last_error="429", last_error_at=ago(minutes=3), series=wave(30, 40, 8), credential="env:OPENAI_API_KEY",
            credential_state="valid", models=14, error_series=wave(30, 0.2, 0.2),
        ),
        Provider(
            id="prv_google", name="google", kind="google", base_url="https://generativelanguage.googleapis.com", state="slow",
            circuit="closed", failures="2/20", error_share=0.004, latency_p50_ms=3100, latency_p95_ms=6900, ttft_p95_ms=4410,
            requests_per_s=12.7, last_error="timeout", last_error_at=ago(seconds=9), series=wave(30, 12, 6, 2),
            credential="env:GOOGLE_API_KEY", credential_state="valid", models=9,
            effect=["p95 of the last 5 minutes is over 5 s"], error_series=wave(30, 0.1, 0.1),
        ),
        Provider(
            id="prv_groq", name="groq", kind="openai", base_url="https://api.groq.com/openai/v1", state="open", circuit="open",
            open_for_s=24, failures="5/5", error_share=0.48, requests_per_s=0.0, last_error="503", last_error_at=ago(seconds=24),
            series=[0.0] * 20 + [1, 2, 5, 8, 8, 8, 1, 0, 0, 0], credential="stored", credential_state="valid", models=3,
            effect=["llama-3.3-70b goes to openai", "qwen3-32b has no other target: 503"], next_probe_s=6,
            error_series=[0.0] * 20 + [1, 2, 5, 8, 8, 8, 8, 8, 8, 8],
        ),
        Provider(
            id="prv_anthropic", name="anthropic", kind="anthropic", base_url="https://api.anthropic.com", state="half_open",
            circuit="half_open", failures="1/3", error_share=0.021, latency_p50_ms=1000, latency_p95_ms=3100, ttft_p95_ms=1020,
            requests_per_s=0.4, last_error="overloaded", last_error_at=ago(minutes=4), series=wave(30, 0.4, 0.3),
            credential="env:ANTHROPIC_API_KEY", credential_state="valid", models=7,
        ),
        Provider(
            id="prv_sandbox", name="sandbox", kind="openai", base_url="http://127.0.0.1:4001/v1", state="disabled", enabled=False,
            circuit="closed", models=3,
        ),
    ]  # fmt: skip


def budget(name: str, scope: str, amount: int, spent: int, window: str = "1mo", forecast: str | None = None) -> Budget:
    return Budget(
        id=f"bud_{name}", scope=scope, subject=f"{'prj' if scope == 'project' else scope}_{name}", subject_name=name,
        amount_usd=str(amount), amount_nusd=amount * GIGA, window=window, spent_nusd=spent * GIGA // 100, held_nusd=120_000_000,
        resets_at="2026-12-01T00:00:00Z" if window == "1mo" else "2026-11-25T00:00:00Z", forecast_at=forecast,
    )  # fmt: skip


def projects() -> list[Project]:
    rows = [
        ("acme", 7, 5, 61.0, 0.002, 98_20, 435_98, 500, "smart", ["gpt-6*", "gemini-4-argon"], ago(hours=2), 0.1),
        ("research", 4, 4, 38.4, 0.001, 71_44, 205_10, 500, "fast", None, ago(days=1), 2),
        ("support-bot", 3, 2, 22.9, 0.014, 31_02, 44_01, 200, "fast", ["gpt-6-luna"], ago(days=3), 1),
        ("sandbox", 14, 9, 6.1, 0.0, 14_14, 61_77, 0, "", None, ago(days=12), 40),
        ("legacy-import", 2, 0, 0.0, None, 0, 0, 50, "fast", None, ago(days=90), 0),
    ]
    return [
        Project(
            id=f"prj_{name}", slug=name, name=name, created_at="2026-03-02T09:00:00Z", created_by="lena", updated_at=updated,
            keys_total=total, keys_usable=usable, requests_per_s=rps, error_share=errors, today_nusd=today * GIGA // 100,
            month_nusd=month * GIGA // 100, budget=budget(name, "project", amount, month) if amount else None, default_tier=tier,
            allowed_models=allowed, rpm=600 if name == "acme" else None, tpm=200_000 if name == "acme" else None,
            concurrency=20 if name == "acme" else None, last_used_at=ago(seconds=idle) if idle else None,
            spend_series=[max(0.0, value) for value in wave(30, 12, 6, rps)] if rps else [0.0] * 30,
        )
        for name, total, usable, rps, errors, today, month, amount, tier, allowed, updated, idle in rows
    ]  # fmt: skip


def keys(project: str) -> list[Key]:
    rows = [
        ("web-prod", "7f3a9k2m", "active", "2026-03-02", None, 0.1, 1_900_000, 300_32, 0, None),
        (
            "ci-deploy",
            "c91e77aq",
            "active",
            "2026-08-10",
            ahead(days=2),
            3,
            212_140,
            88_40,
            100,
            ["gpt-6.1-sol", "gpt-6-luna"],
        ),
        ("nb-lena", "02bd4410", "active", "2026-10-01", "2027-01-01T00:00:00Z", 7200, 1_204, 12_90, 20, None),
        ("batch-eval", "55d0q7w2", "unused", "2026-11-20", "2026-12-20T00:00:00Z", None, 0, 0, 50, ["gpt-6-luna"]),
        ("old-worker", "a1180c3v", "disabled", "2026-03-15", None, 3_542_400, 0, 33_01, 0, None),
        ("demo-key", "be20m5n8", "expired", "2026-09-01", "2026-10-01T00:00:00Z", 3_283_200, 0, 55, 5, ["gpt-6-luna"]),
        ("rotated-ci", "77aa1b2c", "grace", "2026-05-02", None, 39_600, 3_411, 80, 0, ["gpt-6.1-sol", "gpt-6-luna"]),
    ]
    return [
        Key(
            id=f"key_{name}", name=name, public_id=public, project_id=f"prj_{project}", project=project, status=status,
            created_at=f"{made}T09:12:00Z", created_by="omar", expires_at=expires, last_used_at=None if idle is None else ago(seconds=idle),
            grace_until=ahead(hours=22) if status == "grace" else None, allowed_models=models, requests_24h=requests,
            cost_nusd=spent * GIGA // 100, budget=budget(name, "key", amount, spent) if amount else None,
            rpm=120 if name == "ci-deploy" else None, tpm=40_000 if name == "ci-deploy" else None,
            requests_series=wave(24, 50, 30, index) if requests else [], spend_series=wave(24, 5, 4, index) if requests else [],
        )
        for index, (name, public, status, made, expires, idle, requests, spent, amount, models) in enumerate(rows)
    ]  # fmt: skip


def overview(window: str) -> Overview:
    tops = [
        TopRow(
            id=one.id, name=one.name, requests_per_s=one.requests_per_s, error_share=one.error_share or 0.0,
            ttft_p95_ms=900 + 200 * index, tokens_per_min=912_000 / (index + 1), today_nusd=one.today_nusd,
            budget_share=None if one.budget is None else one.budget.spent_nusd / one.budget.amount_nusd, series=wave(16, 5, 3, index),
        )
        for index, one in enumerate(projects())
    ]  # fmt: skip
    return Overview(
        window=window,
        generated_at=iso(NOW),
        price_table_at="2026-11-02T00:00:00Z",
        rates=Rates(
            requests_per_s=128.4, requests_per_s_before=114.6, requests=7704, errors=33, errors_4xx=25, errors_5xx=8, top_error="429",
            latency_p50_ms=612, latency_p95_ms=2840, ttft_p50_ms=287, ttft_p95_ms=1120, overhead_p95_ms=1.9, stream_share=0.81,
            prompt_tokens_per_min=1_840_000, completion_tokens_per_min=312_000, cached_share=0.38, failover_share=0.009,
            retry_share=0.014, requests_series=wave(60, 120, 30), errors_series=[0.0] * 50 + [3.0] + [0.0] * 9,
            latency_series=wave(60, 700, 200, 1), ttft_series=wave(60, 300, 80, 2), tokens_series=wave(60, 2_000_000, 500_000, 3),
            failover_series=wave(60, 0.9, 0.4, 4),
        ),
        spend=Spend(
            today_nusd=214_80 * GIGA // 100, yesterday_nusd=371_02 * GIGA // 100, forecast_nusd=402 * GIGA,
            series=[float(index) for index in range(26)], unpriced_calls=14,
        ),
        in_flight=InFlight(calls=212, streams=187, oldest_s=41.2, workers=2, series=wave(40, 200, 20)),
        providers=list(providers()),
        models=[
            TargetHealth(id="gpt-6.1-sol", name="gpt-6.1-sol", state="ok", error_share=0.002, latency_p95_ms=2100, ttft_p95_ms=800,
                           requests_per_s=40.2, series=wave(30, 40, 8)),
            TargetHealth(id="gemini-4-argon", name="gemini-4-argon", state="slow", error_share=0.004, latency_p95_ms=6900,
                           ttft_p95_ms=4400, requests_per_s=12.7, series=wave(30, 12, 6)),
        ],
        top_projects=tops[:4],
        top_keys=[TopRow(id="key_web-prod", name="web-prod", requests_per_s=41.0, today_nusd=70 * GIGA, series=wave(16, 5, 3))],
        top_models=[TopRow(id="gpt-6.1-sol", name="gpt-6.1-sol", requests_per_s=40.2, today_nusd=120 * GIGA, series=wave(16, 5, 3))],
        attention=[
            Attention(severity="error", title="groq circuit open, 48 % errors", detail="3 models fail over to openai",
                        since=ago(seconds=24), screen="providers", object="groq"),
            Attention(title="budget acme 87 % of $500 a month", detail="used up Thu 14:10", screen="limits", object="bud_acme"),
            Attention(title="key ci-deploy expires in 2 days", screen="keys", object="acme"),
            Attention(title="14 calls of an unpriced model", detail="google/gemini-3-flash-preview", screen="logs",
                        filter="model:gemini-3-flash-preview"),
        ],
        latest_errors=[row for row in (call(number, NOW - timedelta(seconds=number)) for number in (5, 2, 9, 15)) if row.status >= 400],
    )  # fmt: skip


def moved(told: Overview, beat: int) -> Overview:
    """The same some seconds later, as of a busy gateway: most figures differ a little from second to second."""
    rates, sway = told.rates, 1 + 0.1 * math.sin(beat)
    for name in ("requests_per_s", "latency_p50_ms", "latency_p95_ms", "ttft_p50_ms", "ttft_p95_ms", "overhead_p95_ms",
                 "prompt_tokens_per_min", "completion_tokens_per_min"):  # fmt: skip
        setattr(rates, name, getattr(rates, name) * sway)
    rates.requests += 128 * beat
    told.spend.today_nusd += beat * GIGA // 100
    told.in_flight.calls += beat % 7
    told.in_flight.oldest_s += beat % 5
    for series in (
        rates.requests_series,
        rates.latency_series,
        rates.ttft_series,
        rates.tokens_series,
        told.in_flight.series,
    ):
        series.append(series.pop(beat // 15 % len(series)))
    for one in [*told.providers, *told.top_projects]:
        one.requests_per_s = (one.requests_per_s or 0.0) * sway
    return told


def limits() -> LimitsOverview:
    return LimitsOverview(
        budgets=[
            budget("acme", "project", 500, 435_98, forecast="2026-11-26T14:10:00Z"),
            budget("ci-deploy", "key", 100, 88_40, forecast="2026-11-25T09:00:00Z"),
            budget("nb-lena", "key", 20, 12_90),
            budget("research", "project", 500, 205_10),
            budget("support-bot", "project", 200, 44_01),
            budget("gateway", "org", 5000, 746_86),
            budget("sandbox", "project", 50, 4_40, window="1d"),
        ],
        rates=[
            LimitRow(scope="project", subject="prj_acme", name="acme", rpm=Gauge(used=412, limit=600),
                       tpm=Gauge(used=88_000, limit=200_000), concurrency=Gauge(used=14, limit=20), refused_24h=31),
            LimitRow(scope="key", subject="key_web-prod", name="web-prod", rpm=Gauge(used=301), tpm=Gauge(used=61_000),
                       concurrency=Gauge(used=9)),
            LimitRow(scope="key", subject="key_ci-deploy", name="ci-deploy", rpm=Gauge(used=111, limit=120),
                       tpm=Gauge(used=27_000, limit=40_000), concurrency=Gauge(used=5), refused_24h=31),
        ],
        latest_refusals=[call(2, NOW - timedelta(seconds=33)), call(12, NOW - timedelta(seconds=110))],
    )  # fmt: skip


def audit() -> list[AuditEntry]:
    rows = [
        (
            2,
            "lena",
            "settings.update",
            "project",
            "acme",
            "tui 10.2.0.9",
            {"allowed_models": ["gpt-6*"]},
            {"allowed_models": ["gpt-6*", "gemini-4-argon"]},
        ),
        (
            6,
            "omar",
            "key.create",
            "key",
            "batch-eval",
            "cli 10.2.0.7",
            None,
            {"name": "batch-eval", "expires_at": "2026-12-20"},
        ),
        (
            24,
            "omar",
            "key.rotate",
            "key",
            "rotated-ci",
            "cli 10.2.0.7",
            {"grace_until": None},
            {"grace_until": "2026-11-25T10:04:31Z"},
        ),
        (62, "lena", "provider.disable", "provider", "sandbox", "tui 10.2.0.9", {"enabled": True}, {"enabled": False}),
        (80, "svc-backup", "log.export", "project", "research", "api 10.9.1.2", None, {"rows": 90_112}),
        (84, "dave", "key.revoke", "key", "web-prod", "tui 10.2.0.3", None, None),
        (830, "system", "circuit.open", "provider", "groq", "", None, {"failures": 5}),
    ]
    return [
        AuditEntry(
            id=f"aud_{1000 - index}", at=ago(minutes=minutes), actor=actor, action=action, object_type=kind, object_id=f"{kind[:3]}_{name}",
            object_name=name, project="acme" if kind == "key" else "", origin=origin, result="refused" if actor == "dave" else "ok",
            reason="leaked in build log" if action == "key.rotate" else "", request_id=f"adm_{7700 + index}", before=before, after=after,
            digest=f"{index:02d}9f2c",
        )
        for index, (minutes, actor, action, kind, name, origin, before, after) in enumerate(rows)
    ]  # fmt: skip


def models() -> list[Model]:
    rows = [
        ("gpt-6.1-sol", "openai", "chat", 400_000, 128_000, 2_500, 10_000, 250, 92_010),
        ("gpt-6-luna", "openai", "chat", 400_000, 128_000, 250, 2_000, 25, 212_140),
        ("gemini-4-argon", "google", "chat", 1_048_576, 65_536, 2_000, 12_000, 200, 31_000),
        ("gemini-3.5-flash-lite", "google", "chat", 1_048_576, 65_536, 100, 400, 25, 4_100),
        ("gemini-embedding-001", "google", "embedding", 2_048, None, 150, None, None, 71_000),
        ("gemini-3-flash-preview", "google", "chat", 1_048_576, 65_536, None, None, None, 14),
    ]
    return [
        Model(
            id=name, provider=provider, mode=mode, max_input_tokens=most_in, max_output_tokens=most_out,
            input_nusd=None if price_in is None else price_in * 1_000_000, output_nusd=None if price_out is None else price_out * 1_000_000,
            cached_nusd=None if cached is None else cached * 1_000_000, requests_24h=requests, ttft_p95_ms=800.0,
        )
        for name, provider, mode, most_in, most_out, price_in, price_out, cached, requests in rows
    ]  # fmt: skip


TIERS = [
    Tier(
        name="fast",
        targets=[
            TierTarget(provider="openai", model="gpt-6-luna"),
            TierTarget(provider="google", model="gemini-3.5-flash-lite"),
        ],
    ),
    Tier(
        name="smart",
        targets=[
            TierTarget(provider="openai", model="gpt-6.1-sol"),
            TierTarget(provider="google", model="gemini-4-argon"),
        ],
    ),
    Tier(name="embedding", targets=[TierTarget(provider="google", model="gemini-embedding-001")]),
]
