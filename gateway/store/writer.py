"""The logbook's hand on the database: one connection, every wait bounded, asyncpg's errors told apart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import asyncpg

from gateway.limits.limits import IngestedCost
from gateway.logbook import DatabaseAway, RecordRefused
from gateway.records import Final
from gateway.secret import Secret
from gateway.store import ingest
from gateway.store.pool import UNREACHABLE, Connection, connect

WRITE_TIMEOUT_S = 10.0
AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.DiskFullError, asyncpg.LockNotAvailableError,
         asyncpg.QueryCanceledError, asyncpg.ReadOnlySQLTransactionError, asyncpg.OperatorInterventionError,
         asyncpg.InsufficientResourcesError, asyncpg.UndefinedTableError)  # fmt: skip
REFUSED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    ValueError,
    TypeError,
    OverflowError,
    UnicodeError,
)

Work = Callable[[Connection], Coroutine[None, None, list[IngestedCost]]]


class PostgresWriter:
    def __init__(self, url: Secret, version: str) -> None:
        self._url = url
        self._version = version
        self._connection: Connection | None = None

    async def write(self, worker_id: str, finals: list[Final]) -> list[IngestedCost]:
        async def work(connection: Connection) -> list[IngestedCost]:
            return await ingest.ingest(connection, worker_id, self._version, finals)

        return await self._bounded(work)

    async def write_cleaned(self, worker_id: str, final: Final, reason: str) -> list[IngestedCost]:
        async def work(connection: Connection) -> list[IngestedCost]:
            costs = await ingest.ingest(connection, worker_id, self._version, [ingest.cleaned(final)])
            await ingest.quarantine(connection, worker_id, final, reason)
            return costs

        try:
            return await self._bounded(work)
        except RecordRefused as still:
            raise DatabaseAway(f"a cleaned record was refused: {still}") from None

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _bounded(self, work: Work) -> list[IngestedCost]:
        """A hung server must not hang us: the wait is ours, and the connection is dropped, never cancelled and waited for."""
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(self._url, "logbook")
                await ingest.prepare(self._connection)
            task = asyncio.ensure_future(work(self._connection))
            task.add_done_callback(_retrieved)
            done, _ = await asyncio.wait({task}, timeout=WRITE_TIMEOUT_S)
            if not done:
                task.cancel()
                raise DatabaseAway(f"no answer in {WRITE_TIMEOUT_S:g} s")
            return task.result()
        except (
            asyncio.CancelledError
        ):  # the connection may be half prepared or inside a transaction: the next write gets its own
            await self.close()
            raise
        except DatabaseAway:
            await self.close()
            raise
        except (
            REFUSED
        ) as error:  # first: asyncpg's own error for a value that can't be encoded is an InterfaceError too
            raise RecordRefused(f"{type(error).__name__}: {error}") from None
        except (*UNREACHABLE, *AGAIN) as error:
            await self.close()
            raise DatabaseAway(f"{type(error).__name__}: {error}") from None


def _retrieved(task: asyncio.Task[list[IngestedCost]]) -> None:
    """A write that nobody waits for any more may fail unheard: its records are still in the journal."""
    if not task.cancelled():
        task.exception()
