"""Models and their dated prices. A price that a call has used is never changed: a correction is a new row."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.catalog import Mode
from gateway.store.pool import Connection

MODEL_COLUMNS = """
SELECT m.id, p.name, m.provider_id, m.upstream_name, m.mode, m.max_input_tokens, m.max_output_tokens, m.enabled, m.is_free, m.version,
       pr.id, pr.input_nusd, pr.output_nusd, pr.cached_input_nusd, coalesce(u.calls, 0)
FROM models m
JOIN providers p ON p.id = m.provider_id
LEFT JOIN LATERAL (
    SELECT * FROM prices x WHERE x.provider_id = m.provider_id AND x.model_id = m.id AND x.effective_from <= now()
    ORDER BY x.effective_from DESC LIMIT 1
) pr ON true
LEFT JOIN (
    SELECT provider, model, sum(calls)::bigint AS calls FROM usage_hourly WHERE hour > now() - interval '24 hours' GROUP BY 1, 2
) u ON u.provider = p.name AND u.model = m.id
"""

MODELS_AFTER = (
    MODEL_COLUMNS
    + """
WHERE ($1::text IS NULL OR p.name = $1 OR p.id = $1) AND ($2::text IS NULL OR (m.id, p.name) > ($2, $3))
ORDER BY m.id, p.name
LIMIT $4
"""
)

MODEL_BY_NAME = (
    MODEL_COLUMNS
    + """
WHERE m.id = $1 AND ($2::text IS NULL OR p.name = $2 OR p.id = $2)
ORDER BY m.enabled AND p.enabled DESC, p.position, p.name
LIMIT 1
"""
)

LOCK_MODEL = "SELECT 1 FROM models WHERE provider_id = $1 AND id = $2 FOR UPDATE"

INSERT_MODEL = """
INSERT INTO models (id, provider_id, upstream_name, mode, max_input_tokens, max_output_tokens, enabled, is_free)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""

UPDATE_MODEL = """
UPDATE models SET upstream_name = $3, max_input_tokens = $4, max_output_tokens = $5, enabled = $6, is_free = $7, version = version + 1,
    updated_at = now()
WHERE provider_id = $1 AND id = $2
"""

PRICE_COLUMNS = """
SELECT x.id, p.name, x.model_id, x.effective_from, x.input_nusd, x.output_nusd, x.cached_input_nusd, x.cache_write_nusd, x.above_tokens,
       x.above_input_nusd, x.above_output_nusd, x.above_cached_input_nusd, x.above_cache_write_nusd, x.source, x.created_at
FROM prices x
JOIN providers p ON p.id = x.provider_id
"""

PRICES_AFTER = (
    PRICE_COLUMNS
    + """
WHERE ($1::text IS NULL OR p.name = $1 OR p.id = $1) AND ($2::text IS NULL OR x.model_id = $2)
    AND ($3::text IS NULL OR (p.name, x.model_id, x.effective_from, x.id) > ($3, $4, $5, $6))
ORDER BY p.name, x.model_id, x.effective_from, x.id
LIMIT $7
"""
)

INSERT_PRICE = """
INSERT INTO prices (id, provider_id, model_id, effective_from, input_nusd, output_nusd, cached_input_nusd, cache_write_nusd, above_tokens,
    above_input_nusd, above_output_nusd, above_cached_input_nusd, above_cache_write_nusd, source)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
"""

NEWEST_CALL = """
SELECT max(hour) + interval '1 hour' FROM usage_hourly WHERE provider = $1 AND model = $2
"""


class ModelRow(msgspec.Struct, frozen=True):
    id: str
    provider: str
    provider_id: str
    upstream_name: str
    mode: Mode
    max_input_tokens: int | None
    max_output_tokens: int | None
    enabled: bool
    is_free: bool
    version: int
    price_id: str | None
    input_nusd: int | None
    output_nusd: int | None
    cached_nusd: int | None
    calls: int


class PriceRow(msgspec.Struct, frozen=True):
    """Nano-USD per million tokens."""

    id: str
    provider: str
    model: str
    effective_from: datetime
    input_nusd: int
    output_nusd: int
    cached_input_nusd: int | None
    cache_write_nusd: int | None
    above_tokens: int | None
    above_input_nusd: int | None
    above_output_nusd: int | None
    above_cached_input_nusd: int | None
    above_cache_write_nusd: int | None
    source: str
    created_at: datetime


async def after(
    connection: Connection, provider: str | None, place: tuple[str, str] | None, limit: int
) -> list[ModelRow]:
    model, of = place or (None, None)
    return [ModelRow(*row) for row in await connection.fetch(MODELS_AFTER, provider, model, of, limit)]


async def by_name(connection: Connection, model: str, provider: str | None = None) -> ModelRow | None:
    """Of several providers' models of that name, the one that a caller gets."""
    row = await connection.fetchrow(MODEL_BY_NAME, model, provider)
    return None if row is None else ModelRow(*row)


async def insert(connection: Connection, row: ModelRow) -> None:
    await connection.execute(
        INSERT_MODEL, row.id, row.provider_id, row.upstream_name, row.mode, row.max_input_tokens, row.max_output_tokens, row.enabled,
        row.is_free,
    )  # fmt: skip


async def lock(connection: Connection, row: ModelRow) -> None:
    await connection.execute(LOCK_MODEL, row.provider_id, row.id)


async def update(connection: Connection, row: ModelRow) -> None:
    await connection.execute(
        UPDATE_MODEL, row.provider_id, row.id, row.upstream_name, row.max_input_tokens, row.max_output_tokens, row.enabled, row.is_free
    )  # fmt: skip


async def prices_after(
    connection: Connection, provider: str | None, model: str | None, place: tuple[str, str, datetime, str] | None, limit: int
) -> list[PriceRow]:  # fmt: skip
    of, name, since, last_id = place or (None, None, None, None)
    rows = await connection.fetch(PRICES_AFTER, provider, model, of, name, since, last_id, limit)
    return [PriceRow(*row) for row in rows]


async def insert_price(connection: Connection, provider_id: str, row: PriceRow) -> None:
    """Raises UniqueViolationError when the model has a price from that instant."""
    await connection.execute(
        INSERT_PRICE, row.id, provider_id, row.model, row.effective_from, row.input_nusd, row.output_nusd, row.cached_input_nusd,
        row.cache_write_nusd, row.above_tokens, row.above_input_nusd, row.above_output_nusd, row.above_cached_input_nusd,
        row.above_cache_write_nusd, row.source,
    )  # fmt: skip


async def newest_call(connection: Connection, provider: str, model: str) -> datetime | None:
    """The end of the last hour that has calls of the model."""
    found: datetime | None = await connection.fetchval(NEWEST_CALL, provider, model)
    return found
