"""Everything that is sealed in the database: providers' credentials and captured bodies."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from gateway.store.pool import Connection

BATCH = 200
NIL = UUID(int=0)

SEALED_CREDENTIALS = """
SELECT id, credential_version, credential_sealed FROM providers WHERE credential_sealed IS NOT NULL ORDER BY id FOR UPDATE
"""

RESEAL_CREDENTIAL = "UPDATE providers SET credential_sealed = $2 WHERE id = $1"

SEALED_BODIES = """
SELECT created_at, call_id, part, sealed FROM payloads
WHERE (created_at, call_id, part) > ($1, $2, $3)
ORDER BY created_at, call_id, part
LIMIT $4
"""

RESEAL_BODY = "UPDATE payloads SET sealed = $4 WHERE created_at = $1 AND call_id = $2 AND part = $3"


class SealedBody(msgspec.Struct, frozen=True):
    created_at: datetime
    call_id: UUID
    part: str
    sealed: bytes


async def credentials(connection: Connection) -> list[tuple[str, int, bytes]]:
    """Ids, versions and what is sealed; locked until the transaction ends."""
    return [tuple(row) for row in await connection.fetch(SEALED_CREDENTIALS)]


async def reseal_credential(connection: Connection, provider_id: str, sealed: bytes) -> None:
    await connection.execute(RESEAL_CREDENTIAL, provider_id, sealed)


async def bodies(connection: Connection, after: SealedBody | None) -> list[SealedBody]:
    """The next batch."""
    place = (datetime.min, NIL, "") if after is None else (after.created_at, after.call_id, after.part)
    return [SealedBody(*row) for row in await connection.fetch(SEALED_BODIES, *place, BATCH)]


async def reseal_bodies(connection: Connection, fresh: list[SealedBody]) -> None:
    await connection.executemany(RESEAL_BODY, [(row.created_at, row.call_id, row.part, row.sealed) for row in fresh])
