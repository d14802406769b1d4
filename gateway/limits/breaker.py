"""Nobody waits twice for a coordinator that does not answer: after a failure it counts as away until a probe, beside the calls, is
answered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from gateway.limits.pools import CoordinatorAway

log = logging.getLogger(__name__)

PROBE_EVERY_S = 0.5


class Breaker:
    """`probe` raises CoordinatorAway while there is no answer. `closed_since` (monotonic) says how long there has been one."""

    def __init__(self, name: str, probe: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self.closed_since = time.monotonic()
        self._probe = probe
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._probing is not None

    def require_closed(self) -> None:
        if self._probing is not None:
            raise CoordinatorAway(f"{self.name} has failed and is being probed")

    def trip(self, error: Exception) -> CoordinatorAway:
        """Opens it; returns what to raise."""
        if self._probing is None:
            log.warning("%s does not answer for limits (%s): %s", self.name, type(error).__name__, error)
            self._probing = asyncio.create_task(self._until_answered(), name=f"probe {self.name}")
        return CoordinatorAway(f"{type(error).__name__}: {error}")

    async def close(self) -> None:
        probing, self._probing = self._probing, None
        if probing is not None:
            probing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await probing

    async def _until_answered(self) -> None:
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            try:
                await self._probe()
            except CoordinatorAway:
                continue
            self.closed_since = time.monotonic()
            self._probing = None
            log.info("%s answers again for limits", self.name)
            return
