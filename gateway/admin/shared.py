"""Answers that are worked out once for everybody who asks within a second: a dashboard on every desk costs what one costs."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

FRESH_S = 1.0
REMEMBERED = 60


class Shared:
    """Answers that are made once for all who ask within a second. `in_flight` remembers the last minutes, as long as somebody looks."""

    def __init__(self) -> None:
        self.in_flight: deque[float] = deque(maxlen=REMEMBERED)
        self._made: dict[tuple[str, ...], tuple[float, asyncio.Task[Any]]] = {}

    async def once(self, key: tuple[str, ...], make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        now = time.monotonic()
        known = self._made.get(key)
        if known is None or (known[1].done() and (now - known[0] > FRESH_S or known[1].exception() is not None)):
            known = now, asyncio.create_task(make(), name=key[0])
            self._made[key] = known
        answer: T = await asyncio.shield(known[1])
        return answer
