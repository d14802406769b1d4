"""The logbook's hand on the database: one connection, every wait bounded, asyncpg's errors told apart."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine

import asyncpg
import msgspec

from gateway.limits.limits import IngestedCost
from gateway.logbook import DatabaseAway, RecordRefused
from gateway.records import Final
from gateway.secret import Secret
from gateway.store import ingest, workers
from gateway.store.pool import UNREACHABLE, Connection, connect

WRITE_TIMEOUT_S = 10.0
REFUSED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    TypeError,
    OverflowError,
)
"""What says that a record can't be stored as it is. Everything else is the database's trouble, and is tried again."""

Work = Callable[[Connection], Coroutine[None, None, list[IngestedCost]]]


class PostgresWriter:
    def __init__(self, url: Secret, version: str) -> None:
        self._url = url
        self._version = version
        self._connection: Connection | None = None

    async def write(self, worker_id: str, finals: list[Final]) -> list[IngestedCost]:
        return await self._bounded(lambda connection: ingest.ingest(connection, worker_id, self._version, finals))

    async def write_cleaned(self, worker_id: str, final: Final, reason: str) -> list[IngestedCost]:
        try:
            return await self._bounded(
                lambda connection: ingest.ingest_cleaned(connection, worker_id, self._version, final, reason)
            )
        except RecordRefused as still:
            await self.set_aside(worker_id, msgspec.json.encode(final), f"refused even when cleaned: {still}")
            return []

    async def set_aside(self, worker_id: str, line: bytes, reason: str) -> None:
        async def work(connection: Connection) -> list[IngestedCost]:
            name = hashlib.sha256(line).hexdigest()
            await ingest.quarantine(connection, worker_id, name, line, reason)
            return []

        await self._bounded(work)

    async def bury(self, worker_id: str) -> None:
        async def work(connection: Connection) -> list[IngestedCost]:
            await workers.bury(connection, worker_id)
            return []

        await self._bounded(work)

    async def close(self) -> None:
        self._drop()

    async def _bounded(self, work: Work) -> list[IngestedCost]:
        """A hung server must not hang us: the wait is ours, and the connection is dropped, never cancelled and waited for. So it is when
        we are cancelled: whoever writes next must not meet a statement under way."""
        task = asyncio.ensure_future(self._connected(work))
        try:
            done, _ = await asyncio.wait({task}, timeout=WRITE_TIMEOUT_S)
            if not done:
                raise DatabaseAway(f"no answer in {WRITE_TIMEOUT_S:g} s")
            return task.result()
        except REFUSED as error:  # first: what asyncpg raises for a value it can't encode is an InterfaceError too
            raise RecordRefused(f"{type(error).__name__}: {error}") from None
        except (*UNREACHABLE, asyncpg.PostgresError) as error:
            self._drop()
            raise DatabaseAway(f"{type(error).__name__}: {error}") from None
        finally:
            if not task.done():
                self._drop()
                task.cancel()
                task.add_done_callback(_heard)

    async def _connected(self, work: Work) -> list[IngestedCost]:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, "logbook", WRITE_TIMEOUT_S)
            await ingest.prepare(self._connection)
        return await work(self._connection)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _heard(task: asyncio.Task[list[IngestedCost]]) -> None:
    """Whatever a dropped attempt still ends with is of no interest."""
    if not task.cancelled():
        task.exception()
