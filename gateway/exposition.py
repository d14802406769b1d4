"""/metrics for the whole machine: every worker leaves its numbers in a file, whoever is asked adds them up. A dead worker's numbers stay
until its file is a day old, so that counters never go backwards while the gateway runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest

from gateway.metrics import BUCKETS_MS, Metrics

KEEP_S = 86_400.0
TOKEN_KINDS = ("prompt", "completion")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Numbers(msgspec.Struct):
    """One worker's, as they lie in its file. `gauges` are added up too."""

    worker_id: str
    calls: list[tuple[tuple[str, str, str, int], int]]
    attempts: list[tuple[tuple[str, str, str], int]]
    tokens: list[tuple[tuple[str, str, str], int]]
    cost_nusd: list[tuple[tuple[str, str], int]]
    latency: dict[str, list[float]]
    overhead: dict[str, list[float]]
    counters: dict[str, int]
    gauges: dict[str, float]
    unpriced: list[tuple[tuple[str, str], int]] = []
    violations: list[tuple[tuple[str], int]] = []
    refusals: list[tuple[tuple[str, str], int]] = []


def numbers(worker_id: str, metrics: Metrics, gauges: dict[str, float]) -> Numbers:
    return Numbers(
        worker_id,
        list(metrics.calls.items()),
        list(metrics.attempts.items()),
        [((*of, kind), spent[n]) for of, spent in metrics.spendings.items() for n, kind in enumerate(TOKEN_KINDS)],
        [(of, spent[2]) for of, spent in metrics.spendings.items() if spent[2]],
        dict(metrics.latency),
        dict(metrics.overhead),
        metrics.counters,
        gauges,
        list(metrics.unpriced.items()),
        list(metrics.violations.items()),
        list(metrics.refusals.items()),
    )


def leave(folder: Path, mine: Numbers) -> None:
    """Writes a worker's file, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{mine.worker_id}.new"
    fresh.write_bytes(msgspec.json.encode(mine))
    fresh.replace(folder / f"{mine.worker_id}.json")


def gather(folder: Path, mine: Numbers) -> list[Numbers]:
    """Ours as they are, the others' as they left them."""
    found = [mine]
    for path in folder.glob("*.json") if folder.is_dir() else ():
        if path.stem == mine.worker_id:
            continue
        try:
            if time.time() - path.stat().st_mtime > KEEP_S:
                os.unlink(path)
                continue
            other = msgspec.json.decode(path.read_bytes(), type=Numbers)
            if time.time() - path.stat().st_mtime > 15:
                other.gauges = {}  # it is dead: what it had in hand is gone
            found.append(other)
        except (OSError, msgspec.DecodeError):
            continue
    return found


def render(everyone: list[Numbers]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Collector(everyone))
    return generate_latest(registry)


class _Collector:
    def __init__(self, everyone: list[Numbers]) -> None:
        self._everyone = everyone

    def describe(self) -> Iterable[Any]:
        return ()

    def collect(self) -> Iterable[Any]:
        one = self._everyone
        yield _counter(
            "optyx_calls", "Calls answered.", ["endpoint", "provider", "model", "status"], [n.calls for n in one]
        )
        yield _counter(
            "optyx_attempts", "Tries of targets.", ["provider", "model", "outcome"], [n.attempts for n in one]
        )
        yield _counter("optyx_tokens", "Tokens metered.", ["provider", "model", "kind"], [n.tokens for n in one])
        yield _counter("optyx_cost_nusd", "Cost of calls, nano-USD.", ["provider", "model"], [n.cost_nusd for n in one])
        yield _counter(
            "optyx_unpriced_calls",
            "Calls that used tokens and have no price.",
            ["provider", "model"],
            [n.unpriced for n in one],
        )
        yield _counter(
            "optyx_invariant_violations",
            "What the check of the books found wrong.",
            ["check"],
            [n.violations for n in one],
        )
        yield _counter(
            "optyx_limit_refusals",
            "Calls that a limit or budget refused.",
            ["scope", "kind"],
            [n.refusals for n in one],
        )
        yield _histogram("optyx_call_duration_ms", "Whole calls, ms.", [n.latency for n in one])
        yield _histogram("optyx_overhead_ms", "The gateway's own part of calls, ms.", [n.overhead for n in one])
        yield _counter(
            "optyx_events",
            "Everything else that is counted.",
            ["event"],
            [[((k,), v) for k, v in n.counters.items()] for n in one],
        )
        gauge = GaugeMetricFamily("optyx_state", "What the workers have in hand.", labels=["what"])
        sums: dict[str, float] = {}
        for n in one:
            for name, value in n.gauges.items():
                sums[name] = sums.get(name, 0.0) + value
        for name, value in sorted(sums.items()):
            gauge.add_metric([name], value)
        yield gauge


def _counter(name: str, meaning: str, labels: list[str], parts: list[Any]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, meaning, labels=labels)
    sums: dict[tuple[Any, ...], float] = {}
    for part in parts:
        for key, value in part:
            sums[tuple(key)] = sums.get(tuple(key), 0) + value
    for key, value in sorted(sums.items(), key=str):
        family.add_metric([str(item) for item in key], value)
    return family


def _histogram(name: str, meaning: str, parts: list[dict[str, list[float]]]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, meaning, labels=["endpoint"])
    for endpoint in sorted({endpoint for part in parts for endpoint in part}):
        counts = [sum(column) for column in zip(*(part[endpoint] for part in parts if endpoint in part), strict=True)]
        total, buckets = 0.0, []
        for bound, count in zip([*map(str, BUCKETS_MS), "+Inf"], counts[:-1], strict=True):
            total += count
            buckets.append((bound, total))
        family.add_metric([endpoint], buckets, counts[-1])
    return family
