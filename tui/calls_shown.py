"""A call in the log as the command line shows it: a row of a table, a line of the tail, a page of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tui import figures
from tui.columns import Column, absolute, number, time_of_day, words

Row = Mapping[str, Any]


def target(row: Row) -> str:
    """`openai/gpt-…`: who answered, or was asked last; what was asked for where nobody was."""
    provider, model = row.get("provider"), row.get("model")
    if provider:
        return f"{provider}/{model}"
    return str(row.get("requested_model") or row.get("tier") or figures.NONE)


def tokens(row: Row) -> str:
    """`2104+501`."""
    into, out = row.get("prompt_tokens"), row.get("completion_tokens")
    return figures.NONE if into is None and out is None else f"{into or 0}+{out or 0}"


def attempts(row: Row) -> str:
    """`openai/gpt-… 503 > google/gemini-… 200`."""
    told = [
        f"{one.get('provider')}/{one.get('model')} {one.get('failure') or one.get('status') or ''}".rstrip()
        for one in row.get("attempts", [])
    ]
    return " > ".join(told) or "none"


COLUMNS = [
    Column("TIME", "created_at", absolute),
    number("STATUS", "status"),
    Column("TIER", "tier"),
    Column("TARGET", ".", target),
    number("ATTEMPTS", "attempts", lambda tried: str(len(tried or []))),
    number("TOKENS", ".", tokens),
    number("COST", "cost_nusd", figures.cost),
    number("FIRST BYTE", "ttft_ms", figures.seconds),
    number("TOTAL", "latency_ms", figures.seconds),
    Column("END", "end_reason"),
    Column("ERROR", "error_code"),
    Column("USAGE", "usage_source"),
    Column("PROJECT", "project"),
    Column("KEY", "key"),
    Column("REQUEST", "request_id"),
    Column("TRIED", ".", attempts, wide=True),
    Column("USER", "user", wide=True),
    Column("TAGS", "tags", wide=True),
    Column("TRACE", "trace_id", wide=True),
]

DETAIL = [
    Column("request", "request_id"), Column("call", "call_id"), Column("time", "created_at", absolute), Column("status", "status"),
    Column("error", "error_code"), Column("end", "end_reason"), Column("endpoint", "endpoint"), Column("stream", "stream"),
    Column("project", "project"), Column("key", "key"), Column("tier", "tier"), Column("asked for", "requested_model"),
    Column("target", ".", target), Column("attempts", ".", attempts), Column("prompt tokens", "prompt_tokens"),
    Column("cached tokens", "cached_tokens"), Column("completion tokens", "completion_tokens"),
    Column("reasoning tokens", "reasoning_tokens"), Column("total tokens", "total_tokens"), Column("usage source", "usage_source"),
    Column("cost", "cost_nusd", figures.cost), Column("price", "price_id"), Column("price from", "price.source"),
    Column("first byte", "ttft_ms", figures.duration), Column("total", "latency_ms", figures.duration),
    Column("overhead", "overhead_ms", figures.duration), Column("user", "user"), Column("tags", "tags"),
    Column("trace", "trace_id"), Column("gateway", "gateway_version"), Column("worker", "worker_id"),
]  # fmt: skip


def route(told: Mapping[str, Any]) -> list[str]:
    """Why it went where it went, a line each: the policy, who was in line and what became of them, limits as they stood."""
    lines = [f"Route: {told['why']}"] if told.get("why") else []
    if told.get("refusal"):
        lines.append(f"Refused: {told['refusal']}")
    for index, one in enumerate(told.get("candidates") or [], 1):
        why = f": {one['why']}" if one.get("why") else ""
        price = figures.candidate_price(one)
        lines.append(f"Candidate {index}: {one.get('provider')}/{one.get('model')}, {one.get('verdict')}{why}")
        lines += [f"    {price}"] if price else []
    if lines and not told.get("is_whole"):
        lines.append("(the record is from a version that kept only what was tried)")
    for limit in told.get("limits") or []:
        short_of = "" if limit.get("is_enough") else ", not enough"
        lines.append(f"Limit: {figures.limit_left(limit)}{short_of}")
    return lines


def short(row: Row) -> str:
    """One line of the tail."""
    flags = _flags(row)
    asked = str(row.get("requested_model") or row.get("tier") or figures.NONE)
    parts = [
        f"{time_of_day(str(row.get('created_at') or ''))} {row.get('status')} {asked} → {target(row)}",
        f"{row.get('project')}/{row.get('key')}",
        f"{figures.seconds(row.get('ttft_ms'))}/{figures.seconds(row.get('latency_ms'))}",
        tokens(row) + "t",
        figures.cost(row.get("cost_nusd")),
        flags,
        str(row.get("error_code") or ""),
        str(row.get("request_id") or ""),
    ]
    return "  ".join(part for part in parts if part)


def long(row: Row) -> str:
    """The line, and what else is known of the call below it."""
    rest = f"tier {words(row.get('tier'))} · tried {attempts(row)} · end {row.get('end_reason')} · usage {row.get('usage_source')}"
    return f"{short(row)}\n    {rest}"


def _flags(row: Row) -> str:
    tried = len(row.get("attempts") or [])
    signs = (
        ["S"] * bool(row.get("stream")) + ["C"] * bool(row.get("cached_tokens")) + ([f"F{tried}"] if tried > 1 else [])
    )
    return " ".join(signs)
