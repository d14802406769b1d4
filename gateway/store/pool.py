"""Connections to Postgres: a pool that may be opened while the database is away."""

from __future__ import annotations

from typing import Any

import asyncpg

from gateway.secret import Secret

Connection = Any
"""An asyncpg connection, or a pool's proxy of one: the package ships no types."""
Pool = Any

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 30.0


async def open_pool(url: Secret, size: int = 4) -> Pool:
    """Connects at first use. `application_name` shows who asks in pg_stat_activity."""
    return await asyncpg.create_pool(
        url.reveal(),
        min_size=0,
        max_size=size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        server_settings={"application_name": "optyx"},
    )


async def connect(url: Secret, name: str, command_timeout_s: float = COMMAND_TIMEOUT_S) -> Connection:
    """A connection of one's own, for what must not share: LISTEN, the logbook, the coordinator."""
    return await asyncpg.connect(
        url.reveal(),
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=command_timeout_s,
        server_settings={"application_name": f"optyx {name}"},
    )


UNREACHABLE = (
    OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,  # shutting down, starting up, cancelled
    asyncpg.InsufficientResourcesError,  # connections, disk, memory
    asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError, asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, in the middle of a failover
)  # fmt: skip
"""What is raised when the database is away or lets nobody in (it is being restored, its password was changed), and not when a statement is
wrong."""

TROUBLE = (*UNREACHABLE, asyncpg.PostgresError)
"""Whatever Postgres can come up with: for tasks beside the calls, which say so and try again. The calls must not end with them."""
