"""The time that calls and budget windows are dated by: Postgres's clock, carried on by this machine's monotonic one.

Every worker then agrees on which window a call falls in, and a wall clock that jumps (NTP, an operator, a resumed virtual machine) moves
nothing. Until Postgres has been asked once it is the wall clock of the start.
"""

from __future__ import annotations

import time

TOLERATED_S = 0.02
"""Differences below this are the round trip's, not the clock's."""

_offset = time.time() - time.monotonic()


def now() -> float:
    """Epoch seconds."""
    return time.monotonic() + _offset


def steer(epoch_s: float, asked_at: float, answered_at: float) -> None:
    """Postgres said `epoch_s` between two readings of the monotonic clock."""
    global _offset
    offset = epoch_s - (asked_at + answered_at) / 2
    if abs(offset - _offset) > TOLERATED_S:
        _offset = offset
