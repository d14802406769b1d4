"""A gateway's worth of data, the same every time: what snapshots, pictures and measurements of the dashboard show."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from gateway.admin.schema.audit import AuditEntry
from gateway.admin.schema.keys import Key
from gateway.admin.schema.limits import Budget
from gateway.admin.schema.models import Model, Tier, TierTarget
from gateway.admin.schema.projects import Project
from gateway.admin.schema.providers import Provider

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
