"""Which targets rest, and until when. Pure: the clock is handed in. Asked by `proxy/exchange`, shown by the admin API.

A target rests for two reasons: its provider said so (429 with Retry-After), or its circuit is open: 5 failures in a row or half of
the last 20. An open circuit lets one probe through after 1 s, doubling to 30 s while probes fail.
"""

from __future__ import annotations

from gateway.catalog import Target
from gateway.providers.provider import Failure

IN_A_ROW = 5
LAST = 20
FIRST_REST_S = 1.0
LONGEST_REST_S = 30.0
MOST_LATENCIES = 256
COUNTED = frozenset({"connect", "reset", "timeout", "status", "truncated", "malformed"})
"""Failures that say something about the target's health; a refusal, a limit or a wrong credential does not."""


class Circuit:
    """What is known of one target on this worker."""

    __slots__ = ("history", "in_a_row", "is_probing", "latencies", "limited_until", "open_until", "rest_s", "seen")

    def __init__(self) -> None:
        self.in_a_row = 0
        self.history = 0  # the last 20 outcomes as bits, 1 a failure
        self.seen = 0
        self.rest_s = 0.0  # 0: closed
        self.open_until = 0.0
        self.limited_until = 0.0
        self.is_probing = False
        self.latencies: list[float] = []

    @property
    def is_closed(self) -> bool:
        return self.rest_s == 0.0


class Health:
    def __init__(self) -> None:
        self._circuits: dict[tuple[str, str], Circuit] = {}

    def enter(self, target: Target, now: float) -> Failure | None:
        """May it be tried now? None: yes (and if the circuit is open, this is its one probe); else what `look` says."""
        circuit = self._circuits.get(target.model.key)
        if circuit is None or (circuit.rest_s == 0.0 and now >= circuit.limited_until):
            return None
        failure = self.look(target, now)
        circuit.is_probing = circuit.is_probing or (failure is None and not circuit.is_closed)
        return failure

    def look(self, target: Target, now: float) -> Failure | None:
        """Whether it rests, without trying it: a Failure of kind `resting`, whose `retry_after_s` is the wait and whose `code` is
        `rate_limited` when a 429 is the reason."""
        circuit = self._circuits.get(target.model.key)
        if circuit is None:
            return None
        if now < circuit.limited_until:
            wait = circuit.limited_until - now
            return Failure(
                "resting", f"the provider asked for a pause, {wait:.1f} s left", code="rate_limited", retry_after_s=wait
            )
        if circuit.is_closed:
            return None
        if now < circuit.open_until or circuit.is_probing:
            wait = max(0.1, circuit.open_until - now)
            return Failure("resting", f"it failed too often; the next try is in {wait:.1f} s", retry_after_s=wait)
        return None

    def leave(self, target: Target, failure: Failure | None, ms: float, now: float) -> None:
        """How the try ended. Every `enter` that gave None has its `leave`."""
        key = target.model.key
        circuit = self._circuits.get(key)
        if circuit is None:
            circuit = self._circuits[key] = Circuit()
        was_probe, circuit.is_probing = circuit.is_probing, False
        if failure is None or failure.kind not in COUNTED:
            if failure is None:
                latencies = circuit.latencies
                latencies.append(ms)
                if len(latencies) > MOST_LATENCIES:
                    del latencies[: MOST_LATENCIES // 2]
            if failure is not None and failure.kind == "rate_limited":
                circuit.limited_until = max(circuit.limited_until, now + (failure.retry_after_s or 1.0))
            if (failure is None and (circuit.in_a_row or circuit.rest_s)) or was_probe:
                self._close(circuit)
            circuit.history = (circuit.history << 1) & (2**LAST - 1)
            circuit.seen += 1
            return
        circuit.in_a_row += 1
        circuit.history = (circuit.history << 1 | 1) & (2**LAST - 1)
        circuit.seen += 1
        half = circuit.seen >= LAST and circuit.history.bit_count() * 2 >= LAST
        if was_probe or circuit.in_a_row >= IN_A_ROW or half:
            circuit.rest_s = min(LONGEST_REST_S, circuit.rest_s * 2 or FIRST_REST_S)
            circuit.open_until = now + circuit.rest_s
            if failure.retry_after_s:
                circuit.open_until = max(circuit.open_until, now + failure.retry_after_s)

    def abandon(self, target: Target) -> None:
        """The try ended for a reason of ours (the client left): says nothing about the target."""
        circuit = self._circuits.get(target.model.key)
        if circuit is not None:
            circuit.is_probing = False

    def close(self, provider_id: str) -> None:
        """An operator says that the provider is well again."""
        for (provider, _), circuit in self._circuits.items():
            if provider == provider_id:
                self._close(circuit)
                circuit.limited_until = circuit.open_until = 0.0
                circuit.history = 0

    def report(self, now: float) -> list[dict[str, object]]:
        """What the provider screen shows, target by target."""
        return [
            {
                "provider_id": provider,
                "model": model,
                "state": "closed" if c.is_closed else ("open" if now < c.open_until else "half_open"),
                "rests_s": round(max(0.0, c.open_until - now, c.limited_until - now), 1),
                "limited": now < c.limited_until,
                "recent": min(c.seen, LAST),
                "recent_failures": c.history.bit_count(),
                "p50_ms": _percentile(c.latencies, 0.5),
                "p95_ms": _percentile(c.latencies, 0.95),
            }
            for (provider, model), c in self._circuits.items()
        ]

    @staticmethod
    def _close(circuit: Circuit) -> None:
        circuit.in_a_row = 0
        if circuit.rest_s:
            circuit.rest_s, circuit.history = 0.0, 0


def _percentile(values: list[float], part: float) -> float | None:
    return round(sorted(values)[int(part * (len(values) - 1))], 1) if values else None
