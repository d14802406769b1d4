"""The calls of the seeded gateway: as many as asked for, of ten kinds, and each one in detail."""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.admin.log_route import route_of
from gateway.admin.schema.logs import Attempt, Body, LogDetail, LogRow, PriceUsed, Trace
from tests.tui.seeded import iso

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
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
