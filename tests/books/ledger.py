"""Records to write, and the questions that the books must answer the same way after every test."""

from __future__ import annotations

import time
from typing import Any

import asyncpg

from gateway import ids
from gateway.proxy.call import new_call_id
from gateway.records import Final, Intent
from gateway.store import books as store

PRICE = 7


def an_intent(**more: Any) -> Intent:
    given: dict[str, Any] = {
        "call_id": new_call_id(), "created_at": round(time.time(), 6), "request_id": ids.new("req"), "org_id": "org_1",
        "project_id": "prj_1", "key_id": "key_1", "endpoint": "chat", "tier": "fast", "requested_model": None, "stream": False,
        "targets": ["openai/m"], "hold_nusd": None, "prompt_tokens_estimate": 5,
    }  # fmt: skip
    return Intent(**{**given, **more})


def a_final(tokens: int = 10, **more: Any) -> Final:
    """Its cost is seven times its tokens, so that sums tell which records are in them."""
    given: dict[str, Any] = {
        "call_id": new_call_id(), "created_at": round(time.time(), 6), "request_id": ids.new("req"), "org_id": "org_1",
        "project_id": "prj_1", "key_id": "key_1", "endpoint": "chat", "tier": "fast", "requested_model": None, "provider": "openai",
        "model": "m", "status": 200, "error_code": None, "end_reason": "complete", "stream": False, "attempts": [],
        "prompt_tokens": tokens, "completion_tokens": 0, "cached_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0,
        "total_tokens": tokens, "usage_source": "provider", "cost_nusd": tokens * PRICE, "price_id": None, "latency_ms": 1.0,
        "ttft_ms": None, "overhead_ms": 0.1,
    }  # fmt: skip
    return Final(**{**given, **more})


def of_intent(intent: Intent, tokens: int = 10, **more: Any) -> Final:
    return a_final(tokens, call_id=intent.call_id, created_at=intent.created_at, request_id=intent.request_id, **more)


SUMS = """
SELECT (SELECT count(*) FROM request_logs), (SELECT count(DISTINCT call_id) FROM request_logs),
    (SELECT coalesce(sum(total_tokens), 0) FROM request_logs), (SELECT coalesce(sum(cost_nusd), 0) FROM request_logs),
    (SELECT coalesce(sum(calls), 0) FROM usage_hourly), (SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) FROM usage_hourly),
    (SELECT coalesce(sum(cost_nusd), 0) FROM usage_hourly), (SELECT coalesce(sum(calls), 0) FROM key_usage),
    (SELECT coalesce(sum(cost_nusd), 0) FROM key_usage)
"""

WRONG_WINDOWS = """
SELECT w.budget_id, w.subject, w.spent_nusd FROM budget_windows w JOIN budgets b ON b.id = w.budget_id
WHERE w.spent_nusd <> (SELECT coalesce(sum(r.cost_nusd), 0) FROM request_logs r
    WHERE r.created_at >= w.window_start AND r.created_at < w.window_end
        AND CASE b.scope WHEN 'org' THEN r.org_id = b.subject WHEN 'key' THEN r.key_id = b.subject ELSE r.project_id = b.subject END)
"""


class Books:
    """What Postgres says all in all."""

    def __init__(self, row: Any) -> None:
        self.rows, self.calls, self.tokens, self.cost = int(row[0]), int(row[1]), int(row[2]), int(row[3])
        self.rolled_calls, self.rolled_tokens, self.rolled_cost = int(row[4]), int(row[5]), int(row[6])
        self.key_calls, self.key_cost = int(row[7]), int(row[8])

    def agree(self) -> bool:
        return (
            self.rows == self.calls == self.rolled_calls == self.key_calls
            and self.tokens == self.rolled_tokens
            and self.cost == self.rolled_cost == self.key_cost
        )

    def __repr__(self) -> str:
        return str(vars(self))


async def books(connection: asyncpg.Connection) -> Books:
    """Asserts that rows, rollups, counters and budget windows say the same, by questions of its own and by the gateway's; what they say."""
    found = Books(await connection.fetchrow(SUMS))
    assert found.agree(), found
    assert await connection.fetch(WRONG_WINDOWS) == []
    async with store.snapshot(connection) as seen:
        checked = await store.run(connection, seen)
    assert {check.name: check.examples for check in checked if check.findings} == {}
    return found


async def with_budget(connection: asyncpg.Connection, amount_nusd: int = 10**12) -> None:
    """A monthly budget of the key with its window begun, as a first draw does it."""
    await connection.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ('bud_1', 'key', 'key_1', $1, 'total')",
        amount_nusd,
    )
    await connection.execute(
        "INSERT INTO budget_windows (budget_id, subject, window_start, window_end) "
        "VALUES ('bud_1', 'key_1', '2020-01-01', '2100-01-01')"
    )
