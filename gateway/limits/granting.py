"""How much a coordinator lends: pure arithmetic over what is left, for Postgres; `rates.lua` does the same for Redis.

A grant is what is asked plus a part of what is left that shrinks with it, so that near the limit shares are single calls.
"""

from __future__ import annotations

from gateway.limits.pools import RATE_SHARE_S, RATE_WINDOW_S, Drawn

SLOT_LEASE_S = 30.0
MOST_CALLS = 64
"""A share is at most this many times what the call that asks needs."""

Grant = list[float | str]
"""A rate's entry: [when, how many, worker]; of a slot: [when it ends, how many, worker]."""


def grant(least: int, left: int, workers: int) -> int:
    """0 when there is not enough; else `least` and an eighth of the rest, divided among the workers that hold shares."""
    if left < least:
        return 0
    return least + min((left - least) // (8 * max(1, workers)), least * MOST_CALLS)


def give_back(grants: list[Grant], worker: str, amount: int) -> None:
    """Takes `amount` out of the worker's newest entries."""
    for entry in reversed(grants):
        if entry[2] == worker and amount > 0:
            part = min(amount, int(entry[1]))
            entry[1] = int(entry[1]) - part
            amount -= part
    grants[:] = [entry for entry in grants if int(entry[1]) > 0]


def draw_rate(grants: list[Grant], worker: str, least: int, size: int, now: float) -> Drawn:
    """Of a sliding minute: entries count for the window and the time a share may lie."""
    horizon = now - RATE_WINDOW_S - RATE_SHARE_S
    grants[:] = [entry for entry in grants if float(entry[0]) > horizon]
    left = size - sum(int(entry[1]) for entry in grants)
    recent = {entry[2]: entry for entry in grants if float(entry[0]) > now - RATE_SHARE_S - 1 and entry[2] != worker}
    lent = sum(int(entry[1]) for entry in recent.values())
    granted = grant(least, left, len(recent) + 1)
    if granted:
        grants.append([now, granted, worker])
    return Drawn(granted, left - granted, lent, _frees_at(grants, least - left, horizon, now))


def draw_slots(grants: list[Grant], worker: str, least: int, size: int, now: float) -> Drawn:
    """Of slots: one entry a worker, which it keeps alive."""
    grants[:] = [entry for entry in grants if float(entry[0]) > now]
    left = size - sum(int(entry[1]) for entry in grants)
    lent = sum(int(entry[1]) for entry in grants if entry[2] != worker)
    granted = grant(least, left, len(grants) + 1)
    if granted:
        mine = next((entry for entry in grants if entry[2] == worker), None)
        if mine is None:
            grants.append([now + SLOT_LEASE_S, granted, worker])
        else:
            mine[0], mine[1] = now + SLOT_LEASE_S, int(mine[1]) + granted
    return Drawn(granted, left - granted, lent, 1.0)


def _frees_at(grants: list[Grant], missing: int, horizon: float, now: float) -> float:
    """When enough of the oldest entries will have left the window."""
    for entry in grants:
        missing -= int(entry[1])
        if missing <= 0:
            return max(1.0, float(entry[0]) - horizon)
    return RATE_WINDOW_S
