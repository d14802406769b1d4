"""The overviews of the seeded gateway: of everything, the same some seconds later, and of its limits."""

from __future__ import annotations

import math
from datetime import timedelta

from gateway.admin.schema.limits import Gauge, LimitRow, LimitsOverview
from gateway.admin.schema.overview import Attention, InFlight, Overview, Rates, Spend, TopRow
from gateway.admin.schema.providers import TargetHealth
from tests.tui.seeded import GIGA, NOW, ago, budget, iso, projects, providers, wave
from tests.tui.seeded_calls import call


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
