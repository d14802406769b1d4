"""The Anthropic adapter. Anthropic's own types judge what is sent and what is answered, openai's what comes out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent, message_create_params
from openai.types.chat import ChatCompletion
from pydantic import TypeAdapter

from gateway.providers.anthropic import ADAPTER
from gateway.providers.anthropic_answer import FINISH
from gateway.providers.provider import Answer, Ask, Failure
from tests.providers import chunks

URL = "https://api.anthropic.com"
JUDGE: TypeAdapter[Any] = TypeAdapter(message_create_params.MessageCreateParamsNonStreaming)
JUDGE_STREAMING: TypeAdapter[Any] = TypeAdapter(message_create_params.MessageCreateParamsStreaming)
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
USAGE = {"input_tokens": 10, "output_tokens": 9, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3}


def ask(endpoint: Any = "chat", *, stream: bool = False, usage: bool = False, **fields: Any) -> Ask:
    fields.setdefault("messages", [{"role": "user", "content": "Hello"}])
    return Ask(endpoint, "claude-sonnet-5", stream, json.dumps(fields).encode(), include_usage=usage)


def built(**fields: Any) -> dict[str, Any]:
    request = ADAPTER.build(ask(**fields), URL, "key")
    assert not isinstance(request, Failure), request
    assert request.path == "/v1/messages"
    assert ("x-api-key", "key") in request.headers
    body: dict[str, Any] = json.loads(request.body)
    (JUDGE_STREAMING if fields.get("stream") else JUDGE).validate_python(body)
    assert set(body) <= set(message_create_params.MessageCreateParamsStreaming.__annotations__) | set(
        message_create_params.MessageCreateParamsBase.__annotations__
    )
    return body


def message(*content: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5"}
    document = {**head, "content": list(content), "stop_reason": stop, "stop_sequence": None, "usage": USAGE}
    if stop != "invented":
        Message.model_validate(document)
    return document


def events(*more: dict[str, Any], stop: str | None = "end_turn") -> list[dict[str, Any]]:
    start = {**message(), "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    end = [
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    return [{"type": "message_start", "message": start}, {"type": "ping"}, *more, *(end if stop else [])]


def sse(given: list[dict[str, Any]]) -> bytes:
    for event in given:
        if event["type"] not in ("ping", "error") and event.get("delta", {}).get("stop_reason") != "invented":
            EVENT.validate_python(event)
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in given)


def text(words: str, index: int = 0) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": words}},
        {"type": "content_block_stop", "index": index},
    ]


def tool(index: int, *pieces: str) -> list[dict[str, Any]]:
    block = {"type": "tool_use", "id": f"toolu_{index}", "name": "weather", "input": {}}
    deltas = [
        {"type": "content_block_delta", "index": index, "delta": {"type": "input_json_delta", "partial_json": piece}}
        for piece in pieces
    ]
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *deltas,
        {"type": "content_block_stop", "index": index},
    ]


def test_a_conversation_with_parallel_tools_is_what_anthropic_takes():
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}
        for n in (1, 2)
    ]
    function = {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}
    body = built(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "Weather?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            ]},
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "call_2", "content": "rain"},
            {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
            {"role": "user", "content": "And?"},
        ],
        tools=[{"type": "function", "function": function}], tool_choice="required", parallel_tool_calls=False, stop=["END"],
        temperature=1, max_completion_tokens=77, user="u", reasoning_effort="minimal",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    )  # fmt: skip
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    results = body["messages"][2]["content"]
    assert [(r.get("tool_use_id"), r["content"][0]["text"]) for r in results[:2]] == [
        ("call_1", "sun"),
        ("call_2", "rain"),
    ]
    assert results[2] == {"type": "text", "text": "And?"}
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert body["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}
    assert (body["max_tokens"], body["stop_sequences"], body["metadata"]) == (77, ["END"], {"user_id": "u"})


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("n", {"n": 2}),
        ("logprobs", {"logprobs": True}),
        ("logit_bias", {"logit_bias": {"1": 1}}),
        ("presence_penalty", {"presence_penalty": 0.5}),
        ("temperature", {"temperature": 1.5}),
        ("response_format", {"response_format": {"type": "json_object"}}),
        ("messages", {"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]}),
        ("model", {"endpoint": "embeddings"}),
    ],
)
def test_what_anthropic_cannot_do_is_named(param: str, fields: dict[str, Any]):
    failure = ADAPTER.build(ask(**fields), URL, "k")
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.param) == ("unsupported", param)


def test_sampling_goes_to_the_models_that_take_it():
    asked = ask(temperature=0.3, top_p=0.9)
    asked.model = "claude-sonnet-4-5-20250929"
    request = ADAPTER.build(asked, URL, "k")
    assert not isinstance(request, Failure)
    assert json.loads(request.body)["temperature"] == 0.3


@pytest.mark.parametrize(
    "stop",
    [
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
        "invented",
    ],
)
def test_every_stop_reason_is_an_answer_or_a_failure(stop: str):
    whole = ADAPTER.translate(ask(), 200, {}, json.dumps(message({"type": "text", "text": "Hi"}, stop=stop)).encode())
    stream = ADAPTER.stream(ask(stream=True))
    out = stream.feed(sse(events(*text("Hi"), stop=stop))) + stream.close()
    if stop in FINISH:
        assert isinstance(whole, Answer)
        answer = ChatCompletion.model_validate_json(whole.body, strict=True)
        assert answer.choices[0].finish_reason == FINISH[stop]
        assert chunks.read(out, asked_usage=False)[0]["finish"] == FINISH[stop]
    else:
        assert isinstance(whole, Failure)
        assert stream.failure is not None
        assert b"[DONE]" not in out


def test_cached_tokens_are_parts_of_the_prompt():
    answer = ADAPTER.translate(ask(), 200, {}, json.dumps(message({"type": "text", "text": "Hi"})).encode())
    assert isinstance(answer, Answer)
    assert answer.usage is not None
    usage = answer.usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.cache_write_tokens) == (17, 4, 3)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens == 26


def test_a_stream_survives_a_split_at_every_byte():
    whole = sse(events(*text("H\u2028ä"), *tool(1, '{"city":', '"Zürich"}'), *tool(2), stop="tool_use"))
    for at in range(len(whole) + 1):
        stream = ADAPTER.stream(ask(stream=True, usage=True))
        out = stream.feed(whole[:at]) + stream.feed(whole[at:]) + stream.close()
        seen = chunks.read(out, asked_usage=True)[0]
        assert (seen["content"], seen["finish"]) == ("H\u2028ä", "tool_calls")
        assert [json.loads(call["arguments"]) for call in seen["calls"]] == [{"city": "Zürich"}, {}]
        assert stream.usage is not None
        assert (stream.usage.prompt_tokens, stream.usage.completion_tokens) == (17, 9)


def test_a_stream_cut_before_its_stop_reason_never_looks_complete():
    whole = sse(events(*text("Hello there")))
    end = whole.rindex(b"event: message_delta")
    for at in range(0, end, max(1, end // 36)):
        stream = ADAPTER.stream(ask(stream=True))
        out = stream.feed(whole[:at]) + stream.close()
        assert stream.failure is not None
        assert b"[DONE]" not in out


def test_an_error_event_before_anything_else_allows_another_target():
    stream = ADAPTER.stream(ask(stream=True))
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    assert stream.feed(sse([events()[0], error])) == b""
    assert stream.failure is not None
    assert not stream.started


def test_failures_are_told_apart():
    body = json.dumps(
        {"type": "error", "error": {"type": "x_error", "message": "no sk-ant-api03-secretsecret"}}
    ).encode()
    kinds = {status: ADAPTER.classify(status, {}, body).kind for status in (400, 401, 403, 404, 413, 429, 500, 529)}
    assert kinds == {400: "refused", 401: "credentials", 403: "credentials", 404: "refused", 413: "refused",
                     429: "rate_limited", 500: "status", 529: "status"}  # fmt: skip
    assert "sk-ant" not in (ADAPTER.classify(400, {}, body).message or "")
