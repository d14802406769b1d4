"""Who follows the log on this worker: one reader with one connection for all of them, and a bounded queue for each.

The reader moves along the order in which rows became visible (`store/log_tail`), so that it misses none and gives none twice. A filter is
evaluated by Postgres, once for all who asked the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import asyncpg

from gateway.admin.follower import Follower, event_of
from gateway.admin.schema.logs import LogRow
from gateway.errors import BadRequest, Unavailable
from gateway.store import log_filter, log_search, log_tail
from gateway.store.log_filter import Filter
from gateway.store.log_tail import Position
from gateway.store.pool import UNREACHABLE, Connection

log = logging.getLogger(__name__)

POLL_S = 0.1
BATCH = 2_000
LOOK_ANYWAY_S = 2.0
RESOLVE_AGAIN_S = 5.0
MATCH_S = 0.5
START_S = 5.0
MOST_FOLLOWERS = 100

EVERYTHING = Filter()


class Tail:
    """The reader. `run` belongs to the worker's background tasks; it works only while somebody follows."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self.followers: set[Follower] = set()
        self.position: Position | None = None
        self.ending = asyncio.Event()
        self._connect = connect
        self._wanted = asyncio.Event()
        self._started = asyncio.Event()
        self._lock = asyncio.Lock()
        self._resolved: dict[Filter, tuple[float, Filter]] = {}
        self._candidate = (-1, -1)
        self._steady = 0
        self._looked_at = 0.0
        self._mark = (0.0, 0)
        self._whole_at = 0.0

    @property
    def behind_s(self) -> float:
        """How old what is given is: everything recorded before that has been read. A transaction that hangs, or a database that is away,
        makes it grow."""
        return round(max(0.0, time.monotonic() - self._whole_at), 1)

    async def follow(self, wanted: Filter, may_sample: bool, after: Position | None = None) -> Follower:
        """A new tail, from now on or from `after`. Raises Unavailable when the log can't be read, or when there are too many."""
        if self.ending.is_set():
            raise Unavailable("This worker is shutting down; ask again.", code="draining")
        if len(self.followers) >= MOST_FOLLOWERS:
            raise Unavailable(f"{MOST_FOLLOWERS} tails are open on this worker already.", code="overloaded")
        follower = Follower(wanted, may_sample, after or Position(0, 0))
        self.followers.add(follower)
        self._wanted.set()
        try:
            async with asyncio.timeout(START_S):
                await self._started.wait()
                async with self._lock:
                    assert self.position is not None  # `_started` says so
                    follower.start = max(follower.start, self.position)
                    follower.take()
        except TimeoutError:
            self.leave(follower)
            raise Unavailable("The log can't be read now.", code="database_unavailable", retry_after_s=2) from None
        return follower

    def leave(self, follower: Follower) -> None:
        self.followers.discard(follower)
        if not self.followers:
            self._wanted.clear()

    def end(self) -> None:
        """The worker drains: every tail says so and closes; its follower goes on elsewhere from where it was."""
        self.ending.set()
        for follower in self.followers:
            follower.ready.set()

    async def run(self) -> None:
        """Until cancelled."""
        is_away = False
        while True:
            await self._wanted.wait()
            try:
                await self._follow()
                is_away = False
            except (*UNREACHABLE, asyncpg.PostgresError) as error:
                if not is_away:
                    log.warning("the live tail waits for the database: %s", type(error).__name__)
                is_away = True
                await asyncio.sleep(0.5)

    async def _follow(self) -> None:
        connection = await self._connect()
        try:
            await connection.execute(log_tail.STEADY)
            while self.followers:
                while await self._look(connection):
                    pass
                await asyncio.sleep(POLL_S)
            self.position = None
            self._started.clear()
            self._resolved.clear()
        finally:
            connection.terminate()

    async def _look(self, connection: Connection) -> bool:
        """One look at what is new. True: there is more already."""
        here = await log_tail.horizon(connection)
        if self.position is not None and self.position.xid > here.next_xid:
            self._start_again()
        if self.position is None:
            self.position = Position(here.xid, 0)
            self._mark = time.monotonic(), here.next_xid
            self._whole_at = time.monotonic()
            self._started.set()
        if self._is_settled(here):
            self._keep_time(here)
            return False
        self._looked_at = time.monotonic()
        page = await log_tail.read(connection, EVERYTHING, self.position, None, BATCH, here.xid)
        async with self._lock:
            if page.rows:
                await self._give(connection, page.rows)
            if not page.is_full:
                self.position = max(self.position, Position(here.xid, 0))
                self._keep_time(here)
        return page.is_full

    def _start_again(self) -> None:
        """The database is an older one than before: it was restored. Every tail ends, and comes back with an id that shows it."""
        for follower in self.followers:
            follower.fail(Unavailable("The database was restored from a backup.", code="database_unavailable"))
        self.position = None
        self._candidate, self._steady = (-1, -1), 0

    def _keep_time(self, here: log_tail.Horizon) -> None:
        """All that had begun at the mark has ended and been read: that moment is whole."""
        if here.xid >= self._mark[1]:
            self._whole_at = self._mark[0]
            self._mark = time.monotonic(), here.next_xid

    def _is_settled(self, here: log_tail.Horizon) -> bool:
        """No number was given out since everything was read and every transaction of then had ended. Looked at anyway now and then."""
        if here.last_seq != self._candidate[0]:
            self._candidate, self._steady = (here.last_seq, -1), 0
        elif (
            self._candidate[1] < 0
        ):  # the same a whole round later: whoever took that number has its transaction's id by now
            self._candidate = (here.last_seq, here.next_xid)
        elif here.xid >= self._candidate[1]:
            self._steady += 1
        return self._steady > 1 and time.monotonic() - self._looked_at < LOOK_ANYWAY_S

    async def _give(self, connection: Connection, rows: list[tuple[Position, LogRow]]) -> None:
        events = [event_of(position, row) for position, row in rows]
        assert self.position is not None
        upto = events[-1].position
        for wanted in {follower.wanted for follower in self.followers}:
            same = [follower for follower in self.followers if follower.wanted == wanted]
            if wanted == EVERYTHING:
                chosen = events
            else:
                try:
                    numbers = await self._matching(connection, wanted, upto)
                except BadRequest as problem:
                    for follower in same:
                        follower.fail(problem)
                    continue
                chosen = [event for event in events if event.position.seq in numbers]
            for follower in same:
                follower.offer(chosen)
        self.position = upto

    async def _matching(self, connection: Connection, wanted: Filter, upto: Position) -> set[int]:
        assert self.position is not None
        with log_search.told_plainly():
            async with log_search.bounded(connection, MATCH_S):
                known = self._resolved.get(wanted)
                if known is None or time.monotonic() - known[0] > RESOLVE_AGAIN_S:
                    known = time.monotonic(), await log_filter.resolve(connection, wanted)
                    self._resolved[wanted] = known
                return await log_tail.matching(connection, known[1], self.position, upto)
