"""How much a coordinator lends: pure arithmetic over what is left, for Postgres; `rates.lua` says the same for Redis.

A grant is what is asked plus a part of what is left that shrinks with it, so that near the limit shares are single calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

from gateway.limits.pools import RATE_SHARE_S, RATE_WINDOW_S, SLOT_LEASE_S, Back, Drawn

MOST_CALLS = 192
"""A share is at most this many times more than what the call that asks needs."""
RECENT_S = 1.5
"""After this nobody asks which worker an entry of a rate was for."""
BUCKETS_PER_S = 10
"""Older entries are merged by tenths of a second, so that a minute has at most 600 of them however many workers draw."""

Grant = list[float | str]
"""Of a rate: [when, how many, worker]; of slots: [when it ends, how many, worker, how many of them are known to be in use]."""


def grant(least: int, left: int, others: int, call: int = 0) -> int:
    """0 when there is not enough; else `least` and an eighth of the rest, divided by the workers that hold shares, in whole calls (of
    `call`; 0: of `least`): what is left over must not lie about in pieces that are too small for any."""
    if left < least or least == 0:
        return 0
    call = call or least
    return least + call * min((left - least) // (8 * (others + 1) * call), MOST_CALLS)


def draw_rate(grants: list[Grant], worker: str, least: int, size: int, now: float, back: Sequence[Back] = ()) -> Drawn:
    """Of a sliding minute: an entry counts for the window and for the time a share may lie."""
    horizon = now - RATE_WINDOW_S - RATE_SHARE_S
    grants[:] = [entry for entry in grants if float(entry[0]) > horizon]
    give_back_rate(grants, back, now)
    _merge(grants, now)
    left = size - sum(int(entry[1]) for entry in grants)
    recent = [e for e in grants if e[2] not in ("", worker) and float(e[0]) > now - 2 * RATE_SHARE_S]
    granted = grant(least, left, len({entry[2] for entry in recent}))
    if granted:
        grants.append([now, granted, worker])
    wait = 0.0 if granted else _frees_at(grants, least - left, horizon)
    return Drawn(granted, left - granted, sum(int(entry[1]) for entry in recent), wait)


def give_back_rate(grants: list[Grant], back: Sequence[Back], now: float) -> None:
    """Takes each part out of the newest entries that are not younger than it: what was taken later stays counted as long."""
    for age_s, amount in back:
        youngest = now - age_s + 1 / BUCKETS_PER_S
        for entry in reversed(grants):
            if amount > 0 and float(entry[0]) <= youngest:
                part = min(amount, int(entry[1]))
                entry[1] = int(entry[1]) - part
                amount -= part
    grants[:] = [entry for entry in grants if int(entry[1]) > 0]


def draw_slots(grants: list[Grant], worker: str, least: int, size: int, now: float) -> Drawn:
    """Of slots: one entry a worker, which it keeps alive."""
    grants[:] = [entry for entry in grants if float(entry[0]) > now]
    left = size - sum(int(entry[1]) for entry in grants)
    others = [entry for entry in grants if entry[2] != worker]
    granted = grant(least, left, len(others))
    mine = _entry_of(grants, worker)
    if granted:
        if mine is None:
            mine = [now, 0, worker, 0]
            grants.append(mine)
        mine[0], mine[1] = now + SLOT_LEASE_S, int(mine[1]) + granted
    lent = sum(int(entry[1]) - int(entry[3]) for entry in others)
    return Drawn(granted, left - granted, lent, 0.0 if granted else 1.0, int(mine[1]) if mine else 0)


def give_back_slots(grants: list[Grant], worker: str, amount: int) -> None:
    """What stays after this is known to be in use."""
    mine = _entry_of(grants, worker)
    if mine is not None:
        mine[1] = mine[3] = max(0, int(mine[1]) - amount)
    grants[:] = [entry for entry in grants if int(entry[1]) > 0]


def renew_slots(grants: list[Grant], worker: str, amount: int, held: int, now: float) -> int:
    """What is ours afterwards: never more than either side thinks. A forgotten entry comes back with what calls hold, wherever that
    leads: they are under way."""
    grants[:] = [entry for entry in grants if float(entry[0]) > now]
    mine = _entry_of(grants, worker)
    if mine is None:
        mine = [now, held, worker, held]
        grants.append(mine)
    mine[0], mine[1] = now + SLOT_LEASE_S, min(int(mine[1]), amount)
    mine[3] = min(int(mine[3]), int(mine[1]))
    grants[:] = [entry for entry in grants if int(entry[1]) > 0]
    return int(mine[1])


def _entry_of(grants: list[Grant], worker: str) -> Grant | None:
    return next((entry for entry in grants if entry[2] == worker), None)


def _merge(grants: list[Grant], now: float) -> None:
    merged: list[Grant] = []
    for entry in grants:
        if float(entry[0]) <= now - RECENT_S:
            if merged and merged[-1][2] == "" and _bucket(merged[-1]) == _bucket(entry):
                merged[-1][0] = max(float(merged[-1][0]), float(entry[0]))
                merged[-1][1] = int(merged[-1][1]) + int(entry[1])
                continue
            entry[2] = ""
        merged.append(entry)
    grants[:] = merged


def _bucket(entry: Grant) -> int:
    return floor(float(entry[0]) * BUCKETS_PER_S)


def _frees_at(grants: list[Grant], missing: int, horizon: float) -> float:
    """In how many seconds enough of the oldest entries will have left the window."""
    for entry in grants:
        missing -= int(entry[1])
        if missing <= 0:
            return max(0.001, float(entry[0]) - horizon)
    return RATE_WINDOW_S
