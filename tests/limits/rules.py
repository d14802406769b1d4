"""Limits and budgets of the gateways under test, and calls that cost exactly COST_NUSD each, at most and in fact."""

from __future__ import annotations

import asyncio
from collections import Counter

from gateway import ids
from tests.conftest import eventually
from tests.rig import Answered, Gateway

MODEL = "gpt-6-luna"
TOKENS = 3
COST_NUSD = 3_000


async def fix_price(gateway: Gateway) -> None:
    """Prompts are free, a token of an answer is 1,000 nano-USD; answers have TOKENS tokens, also at most."""
    gateway.upstream.tokens = TOKENS
    await gateway.execute(
        "UPDATE prices SET input_nusd = 0, cache_write_nusd = NULL, output_nusd = 1000000000 WHERE model_id = $1", MODEL
    )


async def add_budget(gateway: Gateway, amount_nusd: int, **more: object) -> str:
    columns = {
        "id": ids.new("bud"), "scope": "project", "subject": gateway.project_id, "amount_nusd": amount_nusd, "window": "total", **more,
    }  # fmt: skip
    return await _insert(gateway, "budgets", columns)


async def add_limit(gateway: Gateway, **more: object) -> str:
    return await _insert(
        gateway, "limits", {"id": ids.new("lim"), "scope": "project", "subject": gateway.project_id, **more}
    )


async def _insert(gateway: Gateway, table: str, columns: dict[str, object]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    await gateway.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", *columns.values())  # noqa: S608
    return str(columns["id"])


async def call(gateway: Gateway, **more: object) -> Answered:
    return await gateway.chat(model=MODEL, max_tokens=TOKENS, **more)


async def storm(gateways: list[Gateway], calls: int, at_once: int = 200, **more: object) -> Counter[int]:
    """`calls` calls over all gateways; how many of each status."""
    gate = asyncio.Semaphore(at_once)

    async def one(number: int) -> int:
        async with gate:
            return (await call(gateways[number % len(gateways)], **more)).status

    return Counter(await asyncio.gather(*(one(number) for number in range(calls))))


async def settled(gateway: Gateway, timeout_s: float = 5) -> int:
    """Waits until nothing of a budget is held or lent; what is spent."""
    await eventually(lambda: _is_settled(gateway), timeout_s, "every hold given back")
    return int(await gateway.db.fetchval("SELECT coalesce(sum(spent_nusd), 0) FROM budget_windows"))


async def _is_settled(gateway: Gateway) -> bool:
    return not await gateway.db.fetchval("SELECT count(*) FROM budget_shares WHERE amount_nusd > 0")
