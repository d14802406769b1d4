"""Counters of one worker: plain numbers on the hot path, rendered for Prometheus by `exposition`. Labels come from the catalog and from
closed sets, never from a caller's text, so that the number of series is bounded."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict

BUCKETS_MS = (
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    120_000.0,
)


class Metrics:
    __slots__ = (
        "attempts",
        "calls",
        "counters",
        "latency",
        "overhead",
        "refusals",
        "spendings",
        "unpriced",
        "violations",
    )

    def __init__(self) -> None:
        self.calls: defaultdict[tuple[str, str, str, int], int] = defaultdict(int)
        """By endpoint, provider, model, status."""
        self.attempts: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        """By provider, model, outcome (`ok` or the failure's kind)."""
        self.spendings: dict[tuple[str, str], list[int]] = {}
        """By provider, model: tokens of prompts, tokens of completions, nano-USD."""
        self.refusals: dict[tuple[str, str], int] = {}
        """By a limit's scope and kind (`requests`, `tokens`, `slots`, `money`)."""
        self.latency: defaultdict[str, list[float]] = defaultdict(_no_counts)
        """Endpoint: one count per bucket, then the sum."""
        self.overhead: defaultdict[str, list[float]] = defaultdict(_no_counts)
        self.counters: dict[str, int] = {}
        """Everything without labels: `records_lost`, `journal_errors`, `refused_keys`, …"""
        self.unpriced: dict[tuple[str, str], int] = {}
        """Calls that used tokens and have no price, by provider and model."""
        self.violations: dict[tuple[str], int] = {}
        """What the check of the books has found, by the name of the check."""

    def call(
        self, endpoint: str, provider: str, model: str, status: int, latency_ms: float, overhead_ms: float
    ) -> None:
        self.calls[endpoint, provider, model, status] += 1
        counts = self.latency[endpoint]
        counts[bisect_left(BUCKETS_MS, latency_ms)] += 1
        counts[-1] += latency_ms
        counts = self.overhead[endpoint]
        counts[bisect_left(BUCKETS_MS, overhead_ms)] += 1
        counts[-1] += overhead_ms

    def spent(self, provider: str, model: str, prompt: int, completion: int, cost_nusd: int | None) -> None:
        spending = self.spendings.get((provider, model))
        if spending is None:
            spending = self.spendings[provider, model] = [0, 0, 0]
        spending[0] += prompt
        spending[1] += completion
        spending[2] += cost_nusd or 0

    def unpriced_call(self, provider: str, model: str) -> None:
        self.unpriced[provider, model] = self.unpriced.get((provider, model), 0) + 1

    def violation(self, check: str, by: int) -> None:
        self.violations[(check,)] = self.violations.get((check,), 0) + by

    def attempt(self, provider: str, model: str, outcome: str) -> None:
        self.attempts[provider, model, outcome] += 1

    def refuse(self, scope: str, kind: str) -> None:
        key = (scope, kind)
        self.refusals[key] = self.refusals.get(key, 0) + 1

    def count(self, name: str, by: int = 1) -> None:
        self.counters[name] = self.counters.get(name, 0) + by


def _no_counts() -> list[float]:
    return [0.0] * (len(BUCKETS_MS) + 2)
