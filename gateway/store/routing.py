"""Providers, models, prices and tiers as the admin API reads and changes them."""

from __future__ import annotations

import msgspec

from gateway.store.pool import Connection

KNOWN_MODELS = "SELECT p.name, m.id, m.mode FROM models m JOIN providers p ON p.id = m.provider_id"

KNOWN_TIERS = """
SELECT t.name, t.mode, coalesce(array_agg(p.name ORDER BY g.position) FILTER (WHERE p.name IS NOT NULL), '{}'),
       coalesce(array_agg(g.model_id ORDER BY g.position) FILTER (WHERE p.name IS NOT NULL), '{}')
FROM tiers t
LEFT JOIN tier_targets g ON g.tier = t.name
LEFT JOIN providers p ON p.id = g.provider_id
GROUP BY t.name, t.mode
ORDER BY t.name
"""


class Known(msgspec.Struct):
    """What there is, as the database has it now: a worker's catalog may be a moment behind. `models`: the mode by (provider, id);
    `tiers`: mode and targets by name."""

    models: dict[tuple[str, str], str]
    ids: set[str]
    tiers: dict[str, tuple[str, list[tuple[str, str]]]]


async def known(connection: Connection) -> Known:
    models = {(row[0], row[1]): row[2] for row in await connection.fetch(KNOWN_MODELS)}
    tiers = {row[0]: (row[1], list(zip(row[2], row[3], strict=True))) for row in await connection.fetch(KNOWN_TIERS)}
    return Known(models, {model for _, model in models}, tiers)
