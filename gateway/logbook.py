"""Carries records from journals to Postgres, in batches, and only then lets go of them. The writer is handed in by `app`.

A database that is away costs nothing but disk: the journal grows and the logbook tries again. A record that Postgres refuses is cleaned
and recorded, its original kept aside; one that can't even be read is kept aside alone. Neither holds back the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from gateway.adoption import DeadJournal, adoptable, read_final
from gateway.journal import Journal, Segment
from gateway.limits.limits import IngestedCost
from gateway.metrics import Metrics
from gateway.records import Final

log = logging.getLogger(__name__)

BATCH_ROWS = 500
BATCH_S = 0.25
ADOPT_EVERY_S = 2.0
BACK_OFF_S = (0.2, 0.5, 1.0, 2.0)
CHUNK = 1 << 20
MAX_KEPT = 100_000
ROTATE_S = 600.0
"""However little is written: a segment of last month would be carried once more when its worker dies."""


class DatabaseAway(Exception):
    """The writer could not reach the database: try the same batch again later."""


class Writer(Protocol):
    async def write(self, worker_id: str, finals: list[Final]) -> list[IngestedCost]:
        """All or nothing. Raises DatabaseAway, or RecordRefused when one of them can't be stored as it is."""
        ...

    async def write_cleaned(self, worker_id: str, final: Final, reason: str) -> list[IngestedCost]:
        """One record, cleaned; the original goes into quarantine. Raises DatabaseAway."""
        ...

    async def set_aside(self, worker_id: str, line: bytes, reason: str) -> None:
        """A line that can't be read, into quarantine. Raises DatabaseAway."""
        ...

    async def bury(self, worker_id: str) -> None:
        """A dead worker's journal is carried: what it still held of budgets is free again. Raises DatabaseAway."""
        ...


class RecordRefused(Exception):
    """Postgres refused the batch because of what is in it."""


class Logbook:
    def __init__(
        self,
        journal: Journal,
        root: Path,
        writer: Writer,
        metrics: Metrics,
        ingested: Callable[[list[IngestedCost]], None],
    ) -> None:
        self._journal = journal
        self._root = root
        self._writer = writer
        self._metrics = metrics
        self._ingested = ingested
        self._unrecorded: deque[Final] = deque()
        self._failures = 0
        self._carrying = asyncio.Lock()
        self._caught_up_at = time.monotonic()

    @property
    def is_healthy(self) -> bool:
        return self._failures < 3

    def behind_s(self) -> float:
        """For how long there has been something that is not in Postgres yet; 0 when nothing waits."""
        if self._unrecorded or any(segment.carried < segment.size for segment in self._journal.segments):
            return time.monotonic() - self._caught_up_at
        return 0.0

    def keep(self, final: Final) -> None:
        """A final that the journal could not take: kept in memory until it is in Postgres. With a hundred thousand of them, those that
        cost nothing are let go (refusals: without a journal no other call begins)."""
        if len(self._unrecorded) >= MAX_KEPT and final.cost_nusd is None:
            self._metrics.count("records_lost")
            return
        self._unrecorded.append(final)
        self._journal.has_news.set()

    async def run(self) -> None:
        """Until cancelled; the caller flushes afterwards. A batch that is cut off is sent again: whatever of it landed is known by its key."""
        journal = self._journal
        adopt_at = 0.0
        loop = asyncio.get_running_loop()
        while True:
            if loop.time() >= adopt_at:
                await self._adopt()
                adopt_at = loop.time() + ADOPT_EVERY_S
            journal.news_at = journal.finals + BATCH_ROWS
            journal.has_news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BATCH_S):
                    await journal.has_news.wait()
            await self._attempt(self._carry)

    async def flush(self, timeout_s: float) -> bool:
        """Everything so far into Postgres, within `timeout_s`; what is left stays in the journal. True when nothing is left."""
        with contextlib.suppress(TimeoutError, DatabaseAway, OSError):
            async with asyncio.timeout(timeout_s):
                self._journal.rotate()
                await self._carry()
                return True
        return False

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (DatabaseAway, OSError) as away:  # OSError: the journal's disk can't be read
            wait = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
            self._failures += 1
            if self._failures == 3:
                log.warning("records wait in the journal: %s", away)
            await asyncio.sleep(wait)
        else:
            if self._failures >= 3:
                log.info("records are being carried to Postgres again")
            self._failures = 0

    async def _carry(self) -> None:
        """Everything that this worker has written since the last time; one at a time."""
        async with self._carrying:
            await self._carry_all()

    async def _carry_all(self) -> None:
        for segment in list(self._journal.segments):
            while segment.carried < segment.size:
                records, end = self._read(segment)
                await self._write_read(self._journal.worker_id, records)
                segment.carried = end
        while self._unrecorded:
            batch = [self._unrecorded[index] for index in range(min(BATCH_ROWS, len(self._unrecorded)))]
            await self._write(self._journal.worker_id, batch)
            for _ in batch:
                self._unrecorded.popleft()
        self._caught_up_at = time.monotonic()
        self._journal.rotate(ROTATE_S)
        if self._journal.segments[0].is_sealed:
            self._journal.drop_spent()

    @staticmethod
    def _read(segment: Segment) -> tuple[list[Final | bytes], int]:
        """Up to a batch of finals from where we stand, and where the last line read ends."""
        data = os.pread(segment.fd, min(CHUNK, segment.size - segment.carried), segment.carried)
        end = data.rfind(b"\n") + 1
        if end == 0:  # one record larger than a chunk
            data = os.pread(segment.fd, segment.size - segment.carried, segment.carried)
            end = data.find(b"\n") + 1
        if end == 0:
            raise OSError(errno.EIO, f"{segment.path.name} is shorter than what was written to it")
        found: list[Final | bytes] = []
        position = 0
        while position < end and len(found) < BATCH_ROWS:
            line_end = data.index(b"\n", position) + 1
            if data.startswith(b'["f"', position):
                found.append(read_final(data[position:line_end]))
            position = line_end
        return found, segment.carried + position

    async def _write_read(self, worker_id: str, records: list[Final | bytes]) -> None:
        finals = [record for record in records if isinstance(record, Final)]
        if finals:
            await self._write(worker_id, finals)
        for line in records:
            if isinstance(line, bytes):
                log.warning("a line of the journal of %s can't be read; it goes into quarantine", worker_id)
                self._metrics.count("records_unreadable")
                await self._writer.set_aside(worker_id, line, "can't be read")

    async def _write(self, worker_id: str, finals: list[Final]) -> None:
        try:
            costs = await self._writer.write(worker_id, finals)
        except RecordRefused as refused:
            if len(finals) == 1:
                log.warning("a record was refused by Postgres and is stored cleaned: %s", refused)
                self._metrics.count("records_cleaned")
                costs = await self._writer.write_cleaned(worker_id, finals[0], str(refused))
            else:
                half = len(finals) // 2
                await self._write(worker_id, finals[:half])
                await self._write(worker_id, finals[half:])
                return
        self._metrics.count("records_ingested", len(finals))
        if costs and worker_id == self._journal.worker_id:
            self._ingested(costs)

    async def _adopt(self) -> None:
        """The journals of workers that are gone. One that can't be carried now is left for the next time."""
        for dead in adoptable(self._root):
            try:
                await self._carry_dead(dead)
                await self._writer.bury(dead.worker_id)
            except DatabaseAway:
                dead.close()
                return
            except OSError as error:
                log.warning("the journal of worker %s can't be read: %s", dead.worker_id, error.strerror)
                dead.close()
                continue
            except BaseException:
                dead.close()
                raise
            dead.remove()
            log.info("adopted the journal of worker %s", dead.worker_id)

    async def _carry_dead(self, dead: DeadJournal) -> None:
        records = dead.records()
        while batch := await asyncio.to_thread(lambda: list(itertools.islice(records, BATCH_ROWS))):
            await self._write_read(dead.worker_id, batch)
