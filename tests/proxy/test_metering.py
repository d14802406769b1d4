"""What a call costs when it does not end well: estimates, partial counts, attempts that gave no answer and are billed all the same."""

import asyncio
import json

import pytest

from gateway.ledger import Price, Usage, call_cost, cost_nusd
from gateway.providers.anthropic import ADAPTER as ANTHROPIC
from gateway.providers.openai import ADAPTER as OPENAI
from gateway.providers.openai import encode_fields
from gateway.providers.provider import Answer, Ask
from gateway.proxy.meter import answer_tokens, prompt_tokens
from tests.upstream import completion, failing, piece, streamed, usage_piece, whole


def gemini(finish: str, usage: tuple[int, int]):
    return whole(
        {
            "candidates": [{"content": {"parts": [{"text": "So"}]}, "finishReason": finish, "index": 0}],
            "usageMetadata": {"promptTokenCount": usage[0], "candidatesTokenCount": usage[1]},
        }
    )


async def price_of(gateway, model: str):
    return await gateway.db.fetchrow(
        "SELECT p.* FROM prices p WHERE model_id = $1 AND effective_from <= now() ORDER BY effective_from DESC LIMIT 1",
        model,
    )


@pytest.fixture
async def google_model(gateway) -> str:
    return await gateway.db.fetchval(
        "SELECT g.model_id FROM tier_targets g JOIN providers p ON p.id = g.provider_id WHERE g.tier = 'fast' AND p.name = 'google'"
    )


async def test_a_hundred_abandoned_streams_are_a_hundred_rows_with_what_was_sent(gateway):
    async def abandoned(number: int) -> None:
        sent = number % 20 + 1

        async def some(line):
            await line.start_stream()
            await line.event(piece(""))
            for token in range(sent):
                await line.event(piece(f"data: {token}"))
            await line.request.closed.wait()

        gateway.upstream.by_model["gpt-6-luna"] = some
        async with gateway.session.post(
            gateway.url + "/v1/chat/completions",
            json={"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hi"}], "stream": True},
            headers=gateway.headers(x_request_id=f"left-{sent}-{number}"),
        ) as response:
            read = b""
            while read.count(b"\n\n") < sent + 1:
                read += await response.content.readany()

    for first in range(100):
        await abandoned(first)
    async with asyncio.timeout(10):
        while await gateway.db.fetchval("SELECT count(*) FROM request_logs") < 100:
            await asyncio.sleep(0.02)
    rows = await gateway.db.fetch("SELECT * FROM request_logs")
    assert len(rows) == 100
    for row in rows:
        sent = int(row["request_id"].split("-")[1])
        assert abs(row["completion_tokens"] - sent) <= 1, row["request_id"]
        assert (row["usage_source"], row["end_reason"]) == ("estimated", "client_closed")
        assert row["cost_nusd"] > 0


@pytest.mark.parametrize("completion_tokens", [2, 0])
async def test_usage_seen_before_the_cut_wins_over_an_estimate(gateway, completion_tokens):
    early = {**usage_piece(9, completion_tokens), "choices": [{"index": 0, "delta": {}, "finish_reason": None}]}
    gateway.upstream.enqueue(streamed(piece("a"), piece("b"), piece("c"), early, end=False))
    row = await gateway.row((await gateway.chat(stream=True)).request_id)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (9, completion_tokens)
    assert (row["usage_source"], row["end_reason"]) == ("provider", "upstream_truncated")


async def test_the_last_of_many_usage_frames_counts_and_they_are_not_summed(gateway):
    def counted(text: str, tokens: int):
        return {**usage_piece(9, tokens), "choices": piece(text)["choices"]}

    events = [counted("a", 1), counted("b", 2), counted("c", 3), piece(finish="stop"), "[DONE]"]
    gateway.upstream.enqueue(streamed(*events))
    row = await gateway.row((await gateway.chat(stream=True)).request_id)
    assert (row["prompt_tokens"], row["completion_tokens"], row["total_tokens"]) == (9, 3, 12)


async def test_an_explicit_zero_stays_zero(gateway):
    gateway.upstream.enqueue(whole(completion("words that somebody gives away", usage=(0, 0))))
    row = await gateway.row((await gateway.chat()).request_id)
    assert (row["total_tokens"], row["cost_nusd"], row["usage_source"]) == (0, 0, "provider")


async def test_a_whole_answer_without_usage_is_estimated_and_says_so(gateway):
    body = completion("four bytes are a token: " * 10)
    del body["usage"]
    gateway.upstream.enqueue(whole(body))
    row = await gateway.row((await gateway.chat()).request_id)
    assert (row["completion_tokens"], row["usage_source"]) == (60, "estimated")


async def test_a_failed_attempt_that_the_provider_counted_is_part_of_the_cost(gateway, google_model):
    gateway.upstream.enqueue(gemini("MALFORMED_FUNCTION_CALL", (1_000_000, 2_000)), gemini("STOP", (10, 20)))
    answered = await gateway.chat(model=google_model)
    assert (answered.status, answered.headers["x-optyx-attempts"]) == (200, "2")
    row = await gateway.row(answered.request_id)
    attempts = json.loads(row["attempts"])
    price = await price_of(gateway, google_model)
    failed = (1_000_000 * price["input_nusd"] + 2_000 * price["output_nusd"]) // 1_000_000
    answer = cost_nusd(Usage(10, 20), Price("p", price["input_nusd"], price["output_nusd"]))
    assert attempts[0]["cost_nusd"] == failed
    assert attempts[0]["usage"]["prompt_tokens"] == 1_000_000
    assert attempts[1]["cost_nusd"] == answer
    assert row["cost_nusd"] == failed + answer
    assert (row["prompt_tokens"], row["completion_tokens"]) == (10, 20)


async def test_a_call_without_an_answer_costs_what_its_attempts_were_billed(gateway, google_model):
    gateway.upstream.enqueue(gemini("OTHER", (500_000, 0)), gemini("OTHER", (500_000, 0)))
    answered = await gateway.chat(model=google_model)
    assert answered.status == 502
    row = await gateway.row(answered.request_id)
    price = await price_of(gateway, google_model)
    assert row["cost_nusd"] == price["input_nusd"]
    assert (row["total_tokens"], row["usage_source"]) == (None, "none")


async def test_a_budget_settles_to_the_sum_of_the_attempts(gateway, google_model):
    await gateway.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ('b', 'project', $1, 9000000000, '1d')",
        gateway.project_id,
    )
    gateway.upstream.enqueue(gemini("OTHER", (500_000, 0)), gemini("STOP", (10, 20)))
    row = await gateway.row((await gateway.chat(model=google_model)).request_id)
    spent = await gateway.db.fetchval("SELECT spent_nusd FROM budget_windows WHERE budget_id = 'b'")
    assert spent == row["cost_nusd"] == sum(attempt["cost_nusd"] for attempt in json.loads(row["attempts"]))


@pytest.mark.parametrize(("room", "status", "asked"), [(1, 502, 1), (10**9, 200, 2)])
async def test_another_attempt_is_made_only_where_the_budget_has_room_for_both(
    gateway, google_model, room, status, asked
):
    body = {"model": google_model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}
    price = await price_of(gateway, google_model)
    prompt = -(-len(json.dumps(body)) // 3) + 8
    hold = cost_nusd(Usage(prompt, 50), Price("p", price["input_nusd"], price["output_nusd"]))
    await gateway.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ('b', 'project', $1, $2, '1d')",
        gateway.project_id, hold + room,
    )  # fmt: skip
    gateway.upstream.enqueue(gemini("OTHER", (10, 20)), gemini("STOP", (10, 20)))
    answered = await gateway.post("/v1/chat/completions", body)
    assert (answered.status, len(gateway.upstream.seen)) == (status, asked)
    row = await gateway.row(answered.request_id)
    spent = await gateway.db.fetchval("SELECT spent_nusd FROM budget_windows WHERE budget_id = 'b'")
    assert spent == row["cost_nusd"] <= hold + room


async def test_a_client_that_leaves_after_a_failed_attempt_is_charged_nothing_for_it(gateway):
    answered = asyncio.Event()

    async def no(line):
        await failing(500)(line)
        answered.set()

    gateway.upstream.enqueue(no)
    call = asyncio.create_task(gateway.chat(model="gpt-6-luna", headers={"x-request-id": "gone"}))
    await answered.wait()
    call.cancel()
    row = await gateway.row("gone")
    assert (row["end_reason"], row["cost_nusd"], row["usage_source"]) == ("client_closed", None, "none")


def anthropic_event(**event) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def test_anthropics_first_count_is_a_placeholder_until_the_last_one_comes():
    ask = Ask("chat", "claude", True, b'{"messages":[]}')
    stream = ANTHROPIC.stream(ask)
    usage = {"input_tokens": 50, "cache_read_input_tokens": 30, "output_tokens": 1}
    stream.feed(anthropic_event(type="message_start", message={"usage": usage}))
    stream.feed(anthropic_event(type="content_block_start", index=0, content_block={"type": "text", "text": ""}))
    for _ in range(5):
        delta = {"type": "text_delta", "text": "four"}
        stream.feed(anthropic_event(type="content_block_delta", index=0, delta=delta))
    assert (stream.usage_is_partial, stream.tokens_seen) == (True, 5)
    assert stream.usage is not None
    assert stream.usage.prompt_tokens == 80
    delta = {"stop_reason": "end_turn"}
    stream.feed(anthropic_event(type="message_delta", delta=delta, usage={"output_tokens": 7}))
    assert stream.usage_is_partial is False
    assert stream.usage == Usage(80, 7, cached_tokens=30, total_tokens=87)


def test_only_what_was_generated_counts_as_a_token():
    stream = OPENAI.stream(Ask("chat", "m", True, b'{"messages":[]}'))

    def event(delta) -> bytes:
        return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta}]})}\n\n".encode()

    stream.feed(event({"role": "assistant", "content": ""}))
    assert stream.tokens_seen == 0
    stream.feed(event({"content": "a line end\n\nand data: in the text"}) + event({"reasoning": "b"}))
    stream.feed(b": a comment\n\n" + event({"tool_calls": [{"index": 0}]}))
    assert stream.tokens_seen == 3


@pytest.mark.parametrize(
    ("endpoint", "fields", "tokens"),
    [
        ("chat", {"messages": b'[{"role":"user","content":"' + b"x" * 400 + b'"}]'}, (100, 110)),
        ("chat", {"messages": b'[{"role":"user","content":"x"}]', "tools": b'"' + b"t" * 400 + b'"'}, (100, 110)),
        ("chat", {"messages": b'[{"role":"user","content":";base64,' + b"A" * 100_000 + b'"}]'}, (1_000, 1_010)),
        ("embeddings", {"input": b'"' + b"x" * 398 + b'"'}, (100, 100)),
        ("embeddings", {"input": b"[1, 2, 3]"}, (3, 3)),
        ("embeddings", {"input": b"[[1, 2], [3]]"}, (3, 3)),
        ("embeddings", {}, (1, 1)),
    ],
)
def test_a_prompt_is_estimated_at_four_bytes_a_token(endpoint, fields, tokens):
    body = encode_fields(fields)
    assert tokens[0] <= prompt_tokens(endpoint, body) <= tokens[1]


def test_an_answer_that_is_no_completion_has_no_tokens():
    assert answer_tokens(Answer(b'{"choices": 3}', None)) == 0
    assert answer_tokens(Answer(b'{"data": []}', None)) == 0


@pytest.mark.parametrize(
    ("own", "is_answered", "others", "cost"),
    [
        (5, True, [], 5),
        (5, True, [None, 2], 7),
        (None, True, [2], None),
        (None, False, [2, None], 2),
        (None, False, [], None),
        (0, True, [None], 0),
    ],
)
def test_the_cost_of_a_call_is_the_sum_of_its_attempts(own, is_answered, others, cost):
    assert call_cost(own, is_answered, others) == cost


async def test_the_gateways_own_part_of_a_stream_is_recorded(gateway):
    async def pondering(line):
        await line.start_stream()
        await asyncio.sleep(0.05)  # between its head and its first word: that is the provider's time, once
        for event in (piece("a"), piece(finish="stop"), "[DONE]"):
            await line.event(event)
        await line.end_stream()

    gateway.upstream.by_model["gpt-6-luna"] = pondering
    row = await gateway.row((await gateway.chat(model="gpt-6-luna", stream=True)).request_id)
    assert 0 < row["overhead_ms"] < row["latency_ms"] - 50
