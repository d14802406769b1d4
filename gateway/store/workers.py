"""Who is alive: each worker's heartbeat with what it has in hand, for the screens and for the arithmetic of shares."""

from __future__ import annotations

import time

from gateway import clock
from gateway.store.pool import Connection

BEAT = """
INSERT INTO workers (id, machine, pid, version, state) VALUES ($1, $2, $3, $4, $5::jsonb)
ON CONFLICT (id) DO UPDATE SET heartbeat_at = now(), state = excluded.state, stopped_at = NULL
"""

STOPPED = "UPDATE workers SET stopped_at = now(), state = '{}' WHERE id = $1"

FREE_SHARES = "DELETE FROM budget_shares WHERE worker_id = $1"

FREE_ANSWERS = "DELETE FROM idempotency WHERE worker_id = $1 AND state = 'in_progress'"

BURY = """
INSERT INTO workers (id, machine, pid, version, stopped_at) VALUES ($1, '', 0, '', now())
ON CONFLICT (id) DO UPDATE SET stopped_at = coalesce(workers.stopped_at, now()), state = '{}'
"""

FORGET_OLD = "DELETE FROM workers WHERE heartbeat_at < now() - interval '7 days'"

SERVER_TIME = "SELECT extract(epoch FROM clock_timestamp())::float8"

ALIVE = "SELECT count(*) FROM workers WHERE stopped_at IS NULL AND heartbeat_at > now() - interval '10 seconds'"


async def beat(connection: Connection, worker_id: str, machine: str, pid: int, version: str, state: str) -> int:
    """Writes the heartbeat and sets our clock by Postgres's; returns how many workers are alive."""
    await connection.execute(BEAT, worker_id, machine, pid, version, state)
    await read_clock(connection)
    return int(await connection.fetchval(ALIVE))


async def read_clock(connection: Connection) -> None:
    asked_at = time.monotonic()
    epoch_s = await connection.fetchval(SERVER_TIME)
    clock.steer(epoch_s, asked_at, time.monotonic())


async def stopped(connection: Connection, worker_id: str) -> None:
    await connection.execute(STOPPED, worker_id)


async def bury(connection: Connection, worker_id: str) -> None:
    """A worker that died, once its journal is carried: nothing is held in its name any more. One that never got to its first
    heartbeat is known from now on."""
    async with connection.transaction():
        await connection.execute(FREE_SHARES, worker_id)
        await connection.execute(FREE_ANSWERS, worker_id)
        await connection.execute(BURY, worker_id)
