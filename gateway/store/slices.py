"""Looking through time bit by bit: slices that grow while they are quick, so that a search ends by the clock and not by the table. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

FIRST = timedelta(minutes=4)
SHORTEST = timedelta(seconds=1)
GROWTH = 6
QUICK_S = 0.04
AGAIN_S = 0.1
"""Time for another try, with a shorter slice, when the first one was cut off."""


class Slices:
    """The way from one end of [`low`, `high`) to the other. `slice` is the one to look at, None when all has been seen. Call `seen` or
    `cut_off` after each."""

    def __init__(
        self,
        low: datetime,
        high: datetime,
        ascending: bool,
        budget_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.low = low
        self.high = high
        self._ascending = ascending
        self._clock = clock
        self._deadline = clock() + budget_s
        self._span = FIRST
        self._began = 0.0
        self._last_s = 0.0
        self.has_seen = False
        self._edge = high

    @property
    def scanned_to(self) -> datetime:
        """How far it got: what lies beyond has not been looked at."""
        return self.low if self._ascending else self.high

    @property
    def left_s(self) -> float:
        return max(0.01, self._deadline - self._clock())

    @property
    def is_out_of_time(self) -> bool:
        """Another slice as slow as the last would not be done in time."""
        return self.has_seen and self._clock() + self._last_s > self._deadline

    def slice(self) -> tuple[datetime, datetime] | None:
        if self.low >= self.high:
            return None
        self._began = self._clock()
        if self._ascending:
            self._edge = min(self.high, self.low + self._span)
            return self.low, self._edge
        # what lies in the future (a clock set wrong) belongs to the first slice
        newest = self.high if self.has_seen else min(self.high, max(self.low, datetime.now(UTC)))
        self._edge = max(self.low, newest - self._span)
        return self._edge, self.high

    def seen(self) -> None:
        self._last_s = self._clock() - self._began
        self.has_seen = True
        if self._ascending:
            self.low = self._edge
        else:
            self.high = self._edge
        if self._last_s < QUICK_S:
            self._span *= GROWTH

    def cut_off(self) -> bool:
        """The slice took too long. True: try again with a shorter one; only while nothing has been seen at all."""
        if self.has_seen or self._span <= SHORTEST:
            return False
        self._span = max(SHORTEST, self._span / 16)
        self._deadline = max(self._deadline, self._clock() + AGAIN_S)
        return True
