"""Tiers: names for ordered lists of targets."""

from __future__ import annotations

import msgspec

from gateway.catalog import Mode
from gateway.store.pool import Connection

TIERS = """
SELECT t.name, t.mode, t.version, p.name, g.model_id, g.timeouts::text
FROM tiers t
LEFT JOIN tier_targets g ON g.tier = t.name
LEFT JOIN providers p ON p.id = g.provider_id
WHERE $1::text IS NULL OR t.name = $1
ORDER BY array_position(ARRAY['fast', 'smart', 'embedding'], t.name), t.name, g.position
"""

LOCK_TIERS = "SELECT 1 FROM tiers WHERE name = ANY ($1::text[]) ORDER BY name FOR UPDATE"

PUT_TIER = """
INSERT INTO tiers (name, mode) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET version = tiers.version + 1, updated_at = now()
"""

DROP_TARGETS = "DELETE FROM tier_targets WHERE tier = $1"

INSERT_TARGET = """
INSERT INTO tier_targets (tier, position, provider_id, model_id, timeouts)
SELECT $1, $2, p.id, $4, $5::jsonb FROM providers p WHERE p.name = $3
"""


class TargetRow(msgspec.Struct, frozen=True):
    """`timeouts` is JSON text."""

    provider: str
    model: str
    timeouts: str | None


class TierRow(msgspec.Struct):
    name: str
    mode: Mode
    version: int
    targets: list[TargetRow]


async def all_of(connection: Connection, name: str | None = None) -> list[TierRow]:
    """fast, smart, embedding, then the others by name."""
    found: dict[str, TierRow] = {}
    for tier, mode, version, provider, model, timeouts in await connection.fetch(TIERS, name):
        row = found.setdefault(tier, TierRow(tier, mode, version, []))
        if provider is not None:
            row.targets.append(TargetRow(provider, model, timeouts))
    return list(found.values())


async def lock(connection: Connection, names: list[str]) -> None:
    await connection.execute(LOCK_TIERS, names)


async def put(connection: Connection, name: str, mode: str, targets: list[TargetRow]) -> None:
    await connection.execute(PUT_TIER, name, mode)
    await connection.execute(DROP_TARGETS, name)
    for position, one in enumerate(targets, 1):
        await connection.execute(INSERT_TARGET, name, position, one.provider, one.model, one.timeouts)
