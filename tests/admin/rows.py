"""Rows of the log for tests: written by the real ingest where the counters matter, by one statement where the number does."""

from __future__ import annotations

import itertools
import time
import uuid

from gateway.records import AttemptRecord, Final
from gateway.store import ingest

_numbers = itertools.count(1)


def final(**given) -> Final:
    """A call that went well, but for what is given."""
    number = next(_numbers)
    fields = {
        "call_id": str(uuid.uuid4()), "created_at": time.time(), "request_id": f"req_test{number:08d}", "org_id": "org_1",
        "project_id": "prj_1", "key_id": "key_1", "endpoint": "chat", "tier": "fast", "requested_model": None, "provider": "openai",
        "model": "gpt-6-luna", "status": 200, "error_code": None, "end_reason": "complete", "stream": False,
        "attempts": [AttemptRecord("openai", "gpt-6-luna", 200, ms=12.5, start_ms=0.5)], "prompt_tokens": 100, "completion_tokens": 20,
        "cached_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0, "total_tokens": 120, "usage_source": "provider",
        "cost_nusd": 1_000_000, "price_id": "prc_1", "latency_ms": 800.0, "ttft_ms": None, "overhead_ms": 1.5,
    }  # fmt: skip
    return Final(**{**fields, **given})


async def write(connection, *finals: Final, worker_id: str = "wrk_test") -> list[Final]:
    """Through the logbook's own statement, so that rollups and rows agree."""
    await ingest.prepare(connection)
    await ingest.ingest(connection, worker_id, "0.1.0", list(finals))
    return list(finals)


MANY = """
INSERT INTO request_logs (created_at, call_id, request_id, org_id, project_id, key_id, endpoint, provider, model, status, error_code,
    end_reason, gateway_version, worker_id, total_tokens, cost_nusd, latency_ms, ttft_ms, details)
SELECT now() - $2 * interval '1 day' * n / $1, gen_random_uuid(), 'req_' || md5(n::text), 'org_1', 'prj_' || n % 10, 'key_' || n % 500, 'chat',
    CASE WHEN n % 3 = 0 THEN 'google' ELSE 'openai' END, 'model-' || n % 7, CASE WHEN n % 40 = 0 THEN 502 ELSE 200 END,
    CASE WHEN n % 40 = 0 THEN 'upstream_error' END, CASE WHEN n % 40 = 0 THEN 'upstream_failed' ELSE 'complete' END, '0.1.0', 'wrk_1',
    n % 1000, n % 5000, n % 3000, n % 900,
    CASE WHEN n % 2 = 0 THEN jsonb_build_object('traceparent', '00-' || md5((n / 10)::text) || '-00f067aa0ba902b7-01') END
FROM generate_series(1, $1::int) n
"""
