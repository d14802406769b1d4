"""Limits that are far from reached refuse nobody, however many calls come at once."""

from __future__ import annotations

import asyncio
from collections import Counter


async def test_many_calls_at_once_are_all_admitted_while_there_is_plenty(gateway, upstream):
    await gateway.execute(
        "INSERT INTO limits (id, scope, subject, rpm, tpm) VALUES ('lim_1', 'project', $1, 1000000, 1000000000)",
        gateway.project_id,
    )
    await gateway.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ('bud_1', 'project', $1, 1000000000000000, '1mo')",
        gateway.project_id,
    )
    answers = []
    for _ in range(3):  # the later rounds meet shares that are half used
        answers += await asyncio.gather(*(gateway.chat(max_tokens=64) for _ in range(100)))
    assert Counter(answer.status for answer in answers) == {200: 300}
    assert len(upstream.seen) == 300
