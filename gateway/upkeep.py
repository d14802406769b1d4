"""What a worker does besides calls: partitions and retention, a look at the books every minute, and what its journal still holds.
Started by `app`; every failure of the database is waited out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any, Protocol

from gateway.catalog import Catalog
from gateway.journal import Journal
from gateway.logbook import Logbook
from gateway.metrics import Metrics
from gateway.store import books, partitions
from gateway.store.pool import TROUBLE, Pool

log = logging.getLogger(__name__)

HOUSEKEEPING_S = 600.0
HOUSE_AGAIN_S = 5.0
BOOKS_S = 60.0
BOOKS_SHARE = 20
"""A look that takes long (millions of calls an hour) comes less often: a twentieth of the time at most."""
FIRST_DAYS_S = 3.0


class Holder(Protocol):
    @property
    def catalog(self) -> Catalog: ...


class Backlog:
    """What the journal of this worker still holds, for its heartbeat: the check of the books reads it there."""

    def __init__(self, journal: Journal, logbook: Logbook) -> None:
        self._journal = journal
        self._logbook = logbook
        self._orphans_since: float | None = None

    def report(self, in_flight: int) -> dict[str, float]:
        """`open`: calls that began and have no record. `orphans_s`: for how long there have been more of them than calls in flight.
        `behind_s`: for how long something has waited for Postgres."""
        now = time.monotonic()
        if self._journal.open_calls <= in_flight:
            self._orphans_since = None
        elif self._orphans_since is None:
            self._orphans_since = now
        orphans_s = 0.0 if self._orphans_since is None else now - self._orphans_since
        return {
            "open": self._journal.open_calls,
            "orphans_s": round(orphans_s, 1),
            "behind_s": round(self._logbook.behind_s(), 1),
        }


async def first_days(pool: Pool, holder: Holder) -> bool:
    """Before the first call: today's partitions, so that no row has to go where rows of no day go. Not waited for long."""
    with contextlib.suppress(*TROUBLE):
        async with asyncio.timeout(FIRST_DAYS_S):
            return await _keep_house(pool, holder)
    return False


async def keep_house(pool: Pool, holder: Holder, is_done: bool) -> None:
    """Until cancelled. `is_done`: it has been done just now."""
    if is_done:
        await asyncio.sleep(HOUSEKEEPING_S)
    while True:
        try:
            await asyncio.sleep(HOUSEKEEPING_S if await _keep_house(pool, holder) else HOUSE_AGAIN_S)
        except TROUBLE as error:
            log.warning("housekeeping has to wait: %s", error)
            await asyncio.sleep(HOUSE_AGAIN_S)


async def _keep_house(pool: Pool, holder: Holder) -> bool:
    """False while nobody knows what the operator has set: the retention that is shipped must not drop what another one keeps."""
    if not holder.catalog.complete:
        return False
    settings = holder.catalog.settings
    days = {
        "request_logs": settings.log_retention_days,
        "payloads": min(settings.capture_retention_days, settings.log_retention_days),
    }
    async with pool.acquire() as connection:
        dropped = await partitions.keep_house(connection, days)
    if dropped:
        log.info("dropped by retention: %s", ", ".join(dropped))
    return True


async def check_books(pool: Pool, metrics: Metrics, worker_id: str) -> None:
    """Until cancelled: every minute one worker of all looks at the last two hours, counts what is wrong and says it once."""
    for name in books.RECENT:
        metrics.violation(name, 0)  # there from the start: an alert on an increase needs something to increase
    told: set[Any] = set()
    pause_s = BOOKS_S
    while True:
        await asyncio.sleep(pause_s)
        began = time.monotonic()
        try:
            wrong = await look(pool, metrics, worker_id)
        except TROUBLE as error:
            log.warning("the books could not be checked: %s", error)
            continue
        pause_s = max(BOOKS_S, (time.monotonic() - began) * BOOKS_SHARE)
        for name, finding in wrong - told:
            log.error("the books are wrong (%s): %s: %s", name, finding.what, finding.found)
        told = wrong


async def look(pool: Pool, metrics: Metrics, worker_id: str) -> set[tuple[str, books.Finding]]:
    """One look at the last two hours; nothing when that is another worker's part. Raises asyncpg's errors."""
    async with pool.acquire() as connection, books.snapshot(connection, recent=True) as seen:
        if not await books.is_mine(connection, worker_id):
            return set()
        checked = await books.run(connection, seen, recent=True)
    for check in checked:
        if check.findings:
            metrics.violation(check.name, check.findings)
    return {(check.name, finding) for check in checked for finding in check.examples}
