"""Carries records from journals to Postgres, in batches, and only then lets go of them. The writer is handed in by `app`.

A database that is away costs nothing but disk: the journal grows and the logbook tries again. A record that Postgres refuses is cleaned
and recorded, its original kept aside; it never holds back the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from gateway.journal import DeadJournal, Journal, Segment, adoptable, read_records
from gateway.limits.limits import IngestedCost
from gateway.metrics import Metrics
from gateway.records import Final

log = logging.getLogger(__name__)

BATCH_ROWS = 500
BATCH_S = 0.25
ADOPT_EVERY_S = 5.0
BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
CHUNK = 1 << 20


class DatabaseAway(Exception):
    """The writer could not reach the database: try the same batch again later."""


class Writer(Protocol):
    async def write(self, worker_id: str, finals: list[Final]) -> list[IngestedCost]:
        """All or nothing. Raises DatabaseAway, or RecordRefused when one of them can't be stored as it is."""
        ...

    async def write_cleaned(self, worker_id: str, final: Final, reason: str) -> list[IngestedCost]:
        """One record, cleaned; the original goes into quarantine. Raises DatabaseAway."""
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
        self._unrecorded: deque[Final] = deque(maxlen=100_000)
        self._failures = 0
        self._idle = asyncio.Event()
        self.backlog_rows = 0

    @property
    def is_healthy(self) -> bool:
        return self._failures < 3

    def keep(self, final: Final) -> None:
        """A final that the journal could not take: kept in memory until it is in Postgres."""
        self._unrecorded.append(final)
        self._journal.has_news.set()

    async def run(self) -> None:
        """Until cancelled; the caller flushes afterwards."""
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
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                self._journal.rotate()
                await self._carry()
                return True
        return False

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except DatabaseAway as away:
            wait = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
            self._failures += 1
            if self._failures == 3:
                log.warning("records wait in the journal, Postgres is away: %s", away)
            await asyncio.sleep(wait)
        else:
            if self._failures >= 3:
                log.info("Postgres is back; records are being carried over")
            self._failures = 0

    async def _carry(self) -> None:
        """Everything that this worker has written since the last time."""
        for segment in list(self._journal.segments):
            while segment.carried < segment.size:
                finals, end = self._read(segment)
                if finals:
                    await self._write(self._journal.worker_id, finals)
                segment.carried = end
        while self._unrecorded:
            batch = [self._unrecorded[index] for index in range(min(BATCH_ROWS, len(self._unrecorded)))]
            await self._write(self._journal.worker_id, batch)
            for _ in batch:
                self._unrecorded.popleft()
        if self._journal.segments and self._journal.segments[0].is_sealed:
            self._journal.drop_spent()

    @staticmethod
    def _read(segment: Segment) -> tuple[list[Final], int]:
        """Up to a batch of finals from where we stand, and where the last line read ends."""
        data = os.pread(segment.fd, min(CHUNK, segment.size - segment.carried), segment.carried)
        end = data.rfind(b"\n") + 1
        if end == 0:  # one record larger than a chunk
            data = os.pread(segment.fd, segment.size - segment.carried, segment.carried)
            end = data.find(b"\n") + 1 or len(data)
        finals: list[Final] = []
        position = 0
        while position < end and len(finals) < BATCH_ROWS:
            line_end = data.index(b"\n", position)
            if data.startswith(b'["f"', position):
                finals += [record for record in read_records(data[position:line_end]) if isinstance(record, Final)]
            position = line_end + 1
        return finals, segment.carried + position

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
        for dead in await asyncio.to_thread(adoptable, self._root):
            try:
                await self._carry_dead(dead)
            except (DatabaseAway, OSError):
                dead.close()
                return
            except BaseException:
                dead.close()
                raise
            await asyncio.to_thread(dead.remove)
            log.info("adopted the journal of worker %s", dead.worker_id)

    async def _carry_dead(self, dead: DeadJournal) -> None:
        batch: list[Final] = []
        for final in dead.records():
            batch.append(final)
            if len(batch) == BATCH_ROWS:
                await self._write(dead.worker_id, batch)
                batch = []
        if batch:
            await self._write(dead.worker_id, batch)
