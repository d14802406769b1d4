"""Captured bodies, sealed before they come here."""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import UUID

import msgspec

from gateway.capture import Sealed
from gateway.store.ingest import instant
from gateway.store.pool import UNREACHABLE, Connection, Pool

WRITE_TIMEOUT_S = 10.0

KEEP_PAYLOAD = """
INSERT INTO payloads (created_at, call_id, request_id, project_id, part, sealed, redactions, truncated)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
"""

PAYLOADS_OF = """
SELECT part, sealed, redactions, truncated FROM payloads WHERE created_at = $1 AND call_id = $2
"""


class PayloadRow(msgspec.Struct, frozen=True):
    part: str
    sealed: bytes
    redactions: int
    truncated: bool


async def keep(pool: Pool, rows: list[Sealed]) -> bool:
    """False while the database is away."""
    values = [
        (instant(row.ticket.created_at), UUID(row.ticket.call_id), row.ticket.request_id, row.ticket.project_id, row.part, row.sealed,
         row.redactions, row.truncated)
        for row in rows
    ]  # fmt: skip
    try:
        async with asyncio.timeout(WRITE_TIMEOUT_S), pool.acquire() as connection:
            await connection.executemany(KEEP_PAYLOAD, values)
    except UNREACHABLE:
        return False
    return True


async def of_call(connection: Connection, created_at: datetime, call_id: UUID) -> dict[str, PayloadRow]:
    """By part: `request`, `response`."""
    rows = await connection.fetch(PAYLOADS_OF, created_at, call_id)
    return {row["part"]: PayloadRow(*row) for row in rows}
