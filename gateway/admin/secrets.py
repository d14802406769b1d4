"""Rotating OPTYX_SECRET_KEY: with `new,old` set and every worker started again, this puts all that is sealed under the new key."""

from __future__ import annotations

import asyncio

from gateway.admin import audit
from gateway.admin.desk import Ask, Nothing
from gateway.admin.schema.upkeep import Resealed
from gateway.capture import seal_name
from gateway.errors import Conflict
from gateway.sealing import Sealer, SealError
from gateway.store import sealed as store
from gateway.store.pool import Connection

CONNECT_TIMEOUT_S = 5.0


async def rotate(ask: Ask[Nothing, Nothing]) -> Resealed:
    """Run again, it finds nothing to do. What no key opens is counted and left as it is."""
    sealer = ask.desk.sealer
    if sealer is None:
        raise Conflict("This gateway has no OPTYX_SECRET_KEY: nothing is sealed with it.")
    told = Resealed()
    async with ask.desk.pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
        await _bodies(connection, sealer, told)
        async with connection.transaction():
            await _credentials(connection, sealer, told)
            after = {"credentials": told.credentials, "bodies": told.bodies, "unreadable": told.unreadable}
            audit.record(ask, "secrets.rotate", ("secrets", None, None), after=after)
            await audit.append(connection, ask)
    return told


async def _credentials(connection: Connection, sealer: Sealer, told: Resealed) -> None:
    for provider_id, version, sealed in await store.credentials(connection):
        fresh = _resealed(sealer, sealed, f"provider {provider_id} {version}", told)
        if fresh is not None:
            await store.reseal_credential(connection, provider_id, fresh)
            told.credentials += 1


async def _bodies(connection: Connection, sealer: Sealer, told: Resealed) -> None:
    last: store.SealedBody | None = None
    while rows := await store.bodies(connection, last):
        fresh = await asyncio.to_thread(_fresh_bodies, sealer, rows, told)
        if fresh:
            await store.reseal_bodies(connection, fresh)
        told.bodies += len(fresh)
        last = rows[-1]


def _fresh_bodies(sealer: Sealer, rows: list[store.SealedBody], told: Resealed) -> list[store.SealedBody]:
    fresh = []
    for row in rows:
        sealed = _resealed(sealer, row.sealed, seal_name(str(row.call_id), row.part), told)
        if sealed is not None:
            fresh.append(store.SealedBody(row.created_at, row.call_id, row.part, sealed))
    return fresh


def _resealed(sealer: Sealer, sealed: bytes, what: str, told: Resealed) -> bytes | None:
    try:
        return sealer.resealed(sealed, what)
    except SealError:
        told.unreadable += 1
        return None
