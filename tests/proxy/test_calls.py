"""The path of a call, end to end: whole, streamed, embeddings, failover, refusals, records."""

import asyncio
import base64
import json
import struct

import pytest

from tests.upstream import completion, failing, hang_up, piece, raw, silent, streamed, usage_piece, whole


async def test_a_whole_answer_passes_byte_for_byte_and_is_recorded(gateway):
    sent = json.dumps(completion(usage=(100, 50), future_field={"a": 1})).encode()
    gateway.upstream.enqueue(whole(sent))
    answered = await gateway.chat(max_tokens=64, tomorrow={"x": [1, 2]})
    assert answered.status == 200
    assert answered.body == sent
    assert answered.headers["x-optyx-provider"] == "openai"
    assert answered.headers["x-optyx-tier"] == "fast"
    assert answered.headers["x-optyx-attempts"] == "1"
    # gpt-6-luna: $0.10 in, $0.50 out a million tokens
    assert answered.headers["x-optyx-cost-usd"] == "0.000035"
    asked = gateway.upstream.seen[0]
    assert asked.json["model"] == "gpt-6-luna"
    assert asked.json["tomorrow"] == {"x": [1, 2]}
    assert asked.headers["authorization"] == "Bearer sk-upstream-secret"
    row = await gateway.row(answered.request_id)
    assert (row["status"], row["cost_nusd"], row["total_tokens"], row["usage_source"]) == (200, 35_000, 150, "provider")
    assert row["end_reason"] == "complete"


async def test_a_stream_passes_and_usage_stays_hidden_from_who_did_not_ask(gateway):
    gateway.upstream.enqueue(streamed(piece("a"), piece("b"), piece(finish="stop"), usage_piece(9, 2), "[DONE]"))
    answered = await gateway.chat(stream=True)
    assert [event for event in answered.events if "usage" in event] == []
    assert answered.events[-1] == "[DONE]"
    assert gateway.upstream.seen[0].json["stream_options"] == {"include_usage": True}
    row = await gateway.row(answered.request_id)
    assert (row["prompt_tokens"], row["completion_tokens"], row["usage_source"]) == (9, 2, "provider")
    assert row["ttft_ms"] > 0


async def test_the_usage_chunk_comes_once_for_who_asked(gateway):
    gateway.upstream.enqueue(streamed(piece("a"), piece(finish="stop"), usage_piece(9, 2), "[DONE]"))
    answered = await gateway.chat(stream=True, stream_options={"include_usage": True})
    with_usage = [json.loads(event) for event in answered.events[:-1] if '"usage"' in event]
    assert [event["usage"]["total_tokens"] for event in with_usage] == [11]


async def test_a_missing_done_is_added_when_every_choice_is_finished(gateway):
    gateway.upstream.enqueue(streamed(piece("a"), piece(finish="stop")))
    answered = await gateway.chat(stream=True)
    assert answered.events[-1] == "[DONE]"


async def test_a_cut_stream_ends_with_an_error_and_without_done(gateway):
    gateway.upstream.enqueue(streamed(piece("a"), piece("b"), end=False))
    answered = await gateway.chat(stream=True)
    assert answered.status == 200
    assert "[DONE]" not in answered.events
    assert json.loads(answered.events[-1])["error"]["code"] == "upstream_truncated"
    row = await gateway.row(answered.request_id)
    assert (row["end_reason"], row["usage_source"]) == ("upstream_truncated", "estimated")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "first", [failing(500), hang_up(), raw(b"garbage\r\n\r\n"), whole(b"<html>", 200), failing(429), failing(401)]
)
async def test_the_next_target_answers_when_the_first_fails(gateway, stream, first):
    gateway.upstream.enqueue(first)
    answered = await gateway.chat(stream=stream)
    assert answered.status == 200
    assert answered.headers["x-optyx-provider"] == "google"
    assert "Gemini" in answered.body.decode()
    row = await gateway.row(answered.request_id)
    assert [attempt["provider"] for attempt in json.loads(row["attempts"])] == ["openai", "google"]
    assert "sk-upstream-secret" not in row["attempts"]


async def test_an_error_event_before_anything_else_lets_the_next_target_answer(gateway):
    gateway.upstream.enqueue(streamed({"error": {"message": "overloaded"}}))
    answered = await gateway.chat(stream=True)
    assert answered.headers["x-optyx-provider"] == "google"
    assert answered.events[-1] == "[DONE]"


async def test_a_provider_own_refusal_reaches_the_caller_and_nobody_else_is_asked(gateway):
    gateway.upstream.enqueue(failing(400, "messages[0] is odd", type="invalid_request_error", param="messages"))
    answered = await gateway.chat()
    assert (answered.status, answered.json["error"]["message"]) == (400, "messages[0] is odd")
    assert len(gateway.upstream.seen) == 1


async def test_the_same_target_is_tried_again_when_there_is_no_other(gateway):
    gateway.upstream.enqueue(failing(500), whole(completion()))
    answered = await gateway.chat(model="gpt-6-luna")
    assert (answered.status, answered.headers["x-optyx-attempts"]) == (200, "2")
    assert "x-optyx-tier" not in answered.headers


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (failing(500), 502, "upstream_error"),
        (failing(401), 502, "upstream_credentials"),
        (failing(429, headers={"Retry-After": "7"}), 429, "upstream_rate_limited"),
        (raw(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":'), 502, "upstream_truncated"),
        (whole({}, 302, {"Location": "http://127.0.0.1:1/"}), 502, "upstream_error"),
    ],
)
async def test_when_every_attempt_fails_the_status_says_why(gateway, reply, status, code):
    gateway.upstream.by_model["gpt-6-luna"] = reply
    answered = await gateway.chat(model="gpt-6-luna")
    assert (answered.status, answered.code) == (status, code)
    if status == 429:
        assert answered.headers["Retry-After"] == "7"
    else:
        assert answered.headers["x-should-retry"] == "false"
    row = await gateway.row(answered.request_id)
    assert (row["status"], row["error_code"], row["end_reason"]) == (status, code, "upstream_failed")


async def test_a_provider_that_stays_silent_is_given_up(gateway):
    await gateway.execute('UPDATE providers SET timeouts = \'{"whole_ms": 100, "first_byte_ms": 100}\'')
    gateway.upstream.by_model["gpt-6-luna"] = silent()
    assert (await gateway.chat(model="gpt-6-luna")).code == "upstream_timeout"
    assert (await gateway.chat(model="gpt-6-luna", stream=True)).status == 504


async def test_a_stream_that_stalls_ends_with_an_error(gateway):
    await gateway.execute("UPDATE providers SET timeouts = '{\"idle_ms\": 100}'")

    async def stall(line):
        await line.start_stream()
        await line.event(piece("a"))
        await line.request.closed.wait()

    gateway.upstream.enqueue(stall)
    answered = await gateway.chat(stream=True)
    assert json.loads(answered.events[-1])["error"]["code"] == "upstream_timeout"


async def test_a_client_that_leaves_closes_upstream_and_is_recorded(gateway):
    began = asyncio.Event()

    async def endless(line):
        await line.start_stream()
        await line.event(piece("a"))
        began.set()
        await line.request.closed.wait()

    gateway.upstream.enqueue(endless)
    response = await gateway.session.post(
        gateway.url + "/v1/chat/completions",
        json={"messages": [{"role": "user", "content": "Hi"}], "stream": True},
        headers=gateway.headers(x_request_id="left-early"),
    )
    await began.wait()
    await response.content.readany()
    response.close()
    await asyncio.wait_for(gateway.upstream.seen[0].closed.wait(), 0.25)
    row = await gateway.row("left-early")
    assert (row["end_reason"], row["status"], row["usage_source"]) == ("client_closed", 200, "estimated")


async def test_a_client_that_leaves_before_any_answer_is_recorded_as_499(gateway):
    began = asyncio.Event()

    async def wait(line):
        began.set()
        await line.request.closed.wait()

    gateway.upstream.enqueue(wait)
    call = asyncio.create_task(gateway.chat(headers={"x-request-id": "gone"}))
    await began.wait()
    call.cancel()
    await asyncio.wait_for(gateway.upstream.seen[0].closed.wait(), 0.25)
    row = await gateway.row("gone")
    assert (row["end_reason"], row["status"]) == ("client_closed", 499)


async def test_forced_failover_passes_openai_by_and_says_so_when_nobody_is_left(make_gateway):
    gateway = await make_gateway(OPTYX_FORCE_OPENAI_FAILOVER="1")
    answered = await gateway.chat()
    assert answered.headers["x-optyx-provider"] == "google"
    assert (await gateway.chat(headers={"x-optyx-tier": "smart"})).headers["x-optyx-provider"] == "openai"
    alone = await make_gateway(OPTYX_FORCE_OPENAI_FAILOVER="1", GOOGLE_API_KEY="", GOOGLE_BASE_URL="")
    answered = await alone.chat()
    assert (answered.status, answered.code) == (503, "upstream_unavailable")
    assert "OPTYX_FORCE_OPENAI_FAILOVER" in answered.json["error"]["message"]


async def test_without_a_provider_the_answer_names_the_variables(make_gateway):
    gateway = await make_gateway(OPENAI_API_KEY="", OPENAI_BASE_URL="", GOOGLE_API_KEY="", GOOGLE_BASE_URL="")
    answered = await gateway.chat()
    assert (answered.status, answered.code) == (503, "provider_not_configured")
    assert "OPENAI_API_KEY" in answered.json["error"]["message"]


async def test_embeddings_go_to_google_in_the_form_that_was_asked(gateway):
    for given, count in (("one", 1), (["one", "two"], 2), (["a", "b", "c"], 3)):
        answered = await gateway.post("/v1/embeddings", {"input": given})
        assert answered.headers["x-optyx-provider"] == "google"
        assert [item["embedding"] for item in answered.json["data"]] == [[3.0, 4.0]] * count
    answered = await gateway.post("/v1/embeddings", {"input": "one", "encoding_format": "base64", "dimensions": 2})
    vector = struct.unpack("<2f", base64.b64decode(answered.json["data"][0]["embedding"]))
    assert vector == pytest.approx((0.6, 0.8))
    assert gateway.upstream.seen[-1].json["requests"][0]["outputDimensionality"] == 2


def one_batch(prompt_tokens):
    """Each text is a number: it comes back as its vector."""

    async def reply(line):
        texts = [one["content"]["parts"][0]["text"] for one in line.request.json["requests"]]
        vectors = [{"values": [float(text), 1.0]} for text in texts]
        await line.answer(200, {"embeddings": vectors, "usageMetadata": {"promptTokenCount": prompt_tokens}})

    return reply


async def test_more_texts_than_google_takes_at_once_go_in_batches_behind_one_answer(gateway):
    gateway.upstream.enqueue(one_batch(100), one_batch(101), one_batch(50))
    answered = await gateway.post("/v1/embeddings", {"input": [str(n) for n in range(250)]})
    assert answered.status == 200, answered.json
    assert [item["embedding"][0] for item in answered.json["data"]] == [float(n) for n in range(250)]
    assert [item["index"] for item in answered.json["data"]] == list(range(250))
    assert answered.json["usage"]["prompt_tokens"] == 251
    assert [len(seen.json["requests"]) for seen in gateway.upstream.seen] == [100, 100, 50]
    assert answered.headers["x-optyx-attempts"] == "1"
    row = await gateway.row(answered.request_id)
    assert (row["prompt_tokens"], row["usage_source"]) == (251, "provider")


async def test_one_batch_that_fails_fails_the_call_and_what_was_counted_is_paid(gateway):
    gateway.upstream.enqueue(one_batch(100), failing(429), one_batch(7))
    answered = await gateway.post("/v1/embeddings", {"input": [str(n) for n in range(250)]})
    assert (answered.status, answered.code) == (429, "upstream_rate_limited")
    assert len(gateway.upstream.seen) == 2
    row = await gateway.row(answered.request_id)
    (attempt,) = json.loads(row["attempts"])
    assert (attempt["failure"], attempt["usage"]["prompt_tokens"]) == ("rate_limited", 100)
    assert row["cost_nusd"] == attempt["cost_nusd"] > 0


async def test_more_texts_than_openai_takes_are_a_400(gateway):
    answered = await gateway.post("/v1/embeddings", {"model": "gemini-embedding-001", "input": ["x"] * 2049})
    assert (answered.status, answered.json["error"]["param"]) == (400, "input")
    assert "2048" in answered.json["error"]["message"]
    assert gateway.upstream.seen == []


async def test_openai_embeddings_are_turned_into_what_was_asked(gateway):
    body = {"model": "text-embedding-3-small", "input": ["a", "b"], "encoding_format": "base64"}
    answered = await gateway.post("/v1/embeddings", body)
    assert struct.unpack("<3f", base64.b64decode(answered.json["data"][1]["embedding"])) == (0.5, 0.25, 1.0)


async def test_embeddings_never_fail_over_to_another_model(gateway):
    await gateway.execute(
        "INSERT INTO tier_targets (tier, position, provider_id, model_id) "
        "SELECT 'embedding', 2, id, 'text-embedding-3-small' FROM providers WHERE name = 'openai'"
    )
    gateway.upstream.enqueue(failing(500), failing(500))
    answered = await gateway.post("/v1/embeddings", {"input": "x"})
    assert answered.status == 502
    assert all("batchEmbedContents" in seen.path for seen in gateway.upstream.seen)


async def test_a_resting_target_is_passed_by_and_comes_back(gateway):
    gateway.upstream.by_model["gpt-6-luna"] = failing(500)
    for _ in range(3):
        await gateway.chat(model="gpt-6-luna")
    asked = len(gateway.upstream.seen)
    answered = await gateway.chat(model="gpt-6-luna")
    assert (answered.status, answered.code) == (503, "upstream_unavailable")
    assert int(answered.headers["Retry-After"]) >= 1
    assert len(gateway.upstream.seen) == asked
    del gateway.upstream.by_model["gpt-6-luna"]
    async with asyncio.timeout(5):
        while (await gateway.chat(model="gpt-6-luna")).status != 200:
            await asyncio.sleep(0.05)


async def test_a_big_stream_to_a_slow_reader_is_not_buffered(gateway):
    sent = 0

    async def flood(line):
        nonlocal sent
        await line.start_stream()
        for _ in range(4000):
            await line.event(piece("x" * 4000))
            sent += 4000
        await line.event(piece(finish="stop"))
        await line.event("[DONE]")
        await line.end_stream()

    gateway.upstream.enqueue(flood)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port, limit=65536)
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await reader.readuntil(b"\r\n\r\n")
    seen, quiet = -1, 0
    while quiet < 20:  # until upstream has been stuck for a fifth of a second
        quiet = quiet + 1 if sent == seen else 0
        seen = sent
        await asyncio.sleep(0.01)
    assert sent < 14_000_000, "upstream must be paused, not read into memory"
    while not (await reader.read(1 << 20)).endswith(b"0\r\n\r\n"):
        pass
    writer.close()
