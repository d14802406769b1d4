"""Connections to providers: kept alive, used again, replaced when they have died meanwhile."""

from __future__ import annotations

import asyncio

from tests.upstream import completion, whole


async def test_a_connection_is_used_again_for_whole_answers_and_streams(gateway, upstream):
    for _ in range(3):
        assert (await gateway.chat()).status == 200
        assert (await gateway.chat(stream=True)).status == 200
    assert len(upstream.seen) == 6
    assert upstream.connections == 1
    row = await gateway.row((await gateway.chat()).request_id)
    assert '"reused": true' in row["attempts"]


async def test_a_provider_that_wants_to_close_is_let_go(gateway, upstream):
    upstream.enqueue(whole(completion(), 200, {"Connection": "close"}))
    assert (await gateway.chat()).status == 200
    assert (await gateway.chat()).status == 200
    assert upstream.connections == 2


async def test_a_kept_connection_that_died_meanwhile_is_replaced_without_a_word(gateway, upstream):
    assert (await gateway.chat()).status == 200

    async def closes_unread(line):
        line.writer.transport.abort()

    upstream.enqueue(closes_unread)
    answer = await gateway.chat()
    assert answer.status == 200
    assert answer.headers["x-optyx-attempts"] == "1"
    assert upstream.connections == 2


async def test_as_many_connections_as_calls_at_once_and_no_more(gateway, upstream):
    upstream.pace_s = 0.1
    for _ in range(2):
        answers = await asyncio.gather(*(gateway.chat() for _ in range(8)))
        assert {answer.status for answer in answers} == {200}
    assert upstream.connections == 8
