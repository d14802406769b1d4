"""One tail's side of the reader: a bounded queue of what it is to be given. Whoever takes too slowly is told what was left out, and nothing piles
up; over the rate it is given a sample, errors always."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from typing import NamedTuple

import msgspec

from gateway.admin.schema.logs import LogRow
from gateway.errors import Refusal
from gateway.store.log_filter import Filter
from gateway.store.log_tail import Position

HELD_BYTES = 16 << 20
"""What waits for one follower: about 20,000 calls."""
MOST_A_SECOND = 2_000
"""Above this a follower is given one call in n; errors always."""

_encode = msgspec.json.encode


class Event(NamedTuple):
    """One call, encoded once for all followers."""

    position: Position
    is_error: bool
    created_at: str
    data: bytes


class Gap(msgspec.Struct):
    """Calls that a follower was not given. `after` and `before` are what `GET /logs?after=…&before=…` fills it with."""

    missed: int
    after: str
    before: str
    since: str
    until: str


class Beat(msgspec.Struct):
    """What a heartbeat says: where the reader is, how many calls this follower was not given, one in how many it is given now."""

    seq: str
    dropped: int
    sampled: int
    behind_s: float


class Follower:
    """One tail. `ready` is set when there is something to take or the tail is over."""

    def __init__(self, wanted: Filter, may_sample: bool, start: Position) -> None:
        self.wanted = wanted
        self.start = start
        self.ready = asyncio.Event()
        self.problem: Refusal | None = None
        self.dropped = 0
        self.one_in = 1
        self._may_sample = may_sample
        self._queue: deque[bytes] = deque()
        self._held = 0
        self._gap: Gap | None = None
        self._last = start
        self._second_began = time.monotonic()
        self._this_second = 0

    @property
    def is_empty(self) -> bool:
        return not self._queue and self._gap is None

    def offer(self, events: list[Event]) -> None:
        """What matches, in order. Never waits: what finds no room becomes a gap."""
        for event in self._thinned([event for event in events if event.position > self.start]):
            if self._gap is not None or self._held >= HELD_BYTES:
                self._leave_out(event)
            else:
                self._put(event.data)
            self._last = event.position
        if not self.is_empty:
            self.ready.set()

    def fail(self, problem: Refusal) -> None:
        self.problem = problem
        self.ready.set()

    def take(self) -> bytes:
        """All that waits, the gap at its end."""
        self.ready.clear()
        data = b"".join(self._queue)
        self._queue.clear()
        self._held = 0
        if self._gap is not None:
            data += b"event: gap\ndata: %b\n\n" % _encode(self._gap)
            self._gap = None
        return data

    def _put(self, data: bytes) -> None:
        self._queue.append(data)
        self._held += len(data)

    def _leave_out(self, event: Event) -> None:
        self.dropped += 1
        if self._gap is None:
            self._gap = Gap(0, str(self._last), "", event.created_at, "")
        self._gap.missed += 1
        self._gap.before = str(event.position)
        self._gap.until = event.created_at

    def _thinned(self, events: list[Event]) -> list[Event]:
        now = time.monotonic()
        if now - self._second_began >= 1.0:
            rate = self._this_second / (now - self._second_began)
            one_in = max(1, math.ceil(rate / MOST_A_SECOND)) if self._may_sample else 1
            if one_in != self.one_in:
                self.one_in = one_in
                self._put(b'event: sampled\ndata: {"one_in":%d,"rows_per_s":%d}\n\n' % (one_in, rate))
            self._second_began, self._this_second = now, 0
        self._this_second += len(events)
        if self.one_in == 1:
            return events
        return [event for event in events if event.is_error or event.position.seq % self.one_in == 0]


def event_of(position: Position, row: LogRow) -> Event:
    """A row as it goes out: the same bytes for a live tail and for one that catches up."""
    data = b"id: %d.%d\nevent: log\ndata: %b\n\n" % (position.xid, position.seq, _encode(row))
    return Event(position, row.status >= 400, row.created_at, data)


async def wait(follower: Follower, seconds: float) -> bool:
    """True when there is something to take, False when the time is up."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await follower.ready.wait()
    return follower.ready.is_set()
