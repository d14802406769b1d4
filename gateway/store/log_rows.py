"""A row of request_logs as the admin API shows it: the columns that lists read, and the struct they become."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.admin.schema.logs import Attempt, LogRow

TRACE_ID = "substring(r.details ->> 'traceparent' FROM 4 FOR 32)"
"""Of a W3C traceparent, `00-TRACE-SPAN-01`; as the index of migration 0014 has it. NULL for a call that came with none."""

COLUMNS = f"""r.created_at, r.call_id, r.request_id, r.project_id, r.key_id, r.endpoint, r.tier, r.requested_model, r.provider, r.model,
    r.status, r.error_code, r.end_reason, r.stream, r.attempts::text AS attempts, r.prompt_tokens, r.completion_tokens, r.cached_tokens,
    r.reasoning_tokens, r.total_tokens, r.usage_source, r.cost_nusd, r.price_id, r.latency_ms, r.ttft_ms, r.overhead_ms, r."user", r.tags,
    r.gateway_version, {TRACE_ID} AS trace_id"""

WITH_NAMES = "SELECT f.*, p.slug, k.name"
"""Of the rows `f` of a page, joined with OF_NAMES: names are looked up for the rows that are shown, never for those looked through."""

OF_NAMES = "LEFT JOIN projects p ON p.id = f.project_id\nLEFT JOIN api_keys k ON k.id = f.key_id"

_attempts = msgspec.json.Decoder(list[Attempt], strict=False).decode


def iso(at: datetime) -> str:
    """ISO 8601 in UTC, to the microsecond."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def to_row(row: Any) -> LogRow:
    """A record of COLUMNS with `slug` and `name`."""
    return LogRow(**fields(row))


def fields(row: Any) -> dict[str, Any]:
    found = dict(zip(_SHARED, row[:_END], strict=True))
    found["created_at"] = iso(row[0])
    found["call_id"] = str(row[1])
    found["attempts"] = _attempts(row["attempts"])
    found["project"] = row["slug"] or row["project_id"]
    found["key"] = row["name"] or row["key_id"]
    return found


_SHARED = tuple(name.strip().split(" AS ")[-1].removeprefix("r.").strip('"') for name in COLUMNS.split(","))
_END = len(_SHARED)
