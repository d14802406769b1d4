"""Adapters meet whatever JSON a caller or a provider sends: the result is a value, never an exception that would be a 5xx.

Every node of a rich document is replaced by every kind of value in turn, so that no type check can be forgotten.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.providers import anthropic, google, openai
from gateway.providers.provider import Answer, Ask, Failure, UpstreamRequest

ADAPTERS = [openai.ADAPTER, google.ADAPTER, anthropic.ADAPTER]
REPLACEMENTS: list[Any] = [
    None,
    True,
    0,
    5,
    -1.5,
    1e300,
    "",
    "x",
    [],
    {},
    [5],
    ["x"],
    [[]],
    [None],
    [{}],
    {"a": 1},
    {"type": "x"},
]

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'},
        "extra_content": {"google": {"thought_signature": "c2ln"}}}  # fmt: skip
SCHEMA = {
    "type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/b"}]}, "c": {"type": "array", "items": {"const": 1}}},
    "required": ["a"], "allOf": [{"properties": {"d": {"enum": [1]}}, "required": ["d"]}], "definitions": {"b": {"type": "integer"}},
    "$defs": {"e": {"prefixItems": [{}], "additionalProperties": {"type": "string"}}},
}  # fmt: skip
REQUEST = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "text", "text": "What?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
        ]},
        {"role": "assistant", "content": "Hm", "tool_calls": [CALL], "extra_content": {"google": {"thought_signature": "c2ln"}}},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "1"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    ],
    "temperature": 1, "top_p": 1, "seed": 1, "n": 1, "presence_penalty": 0, "frequency_penalty": 0, "logprobs": True, "top_logprobs": 2,
    "max_tokens": 5, "max_completion_tokens": 5, "stop": ["a"], "reasoning_effort": "low", "parallel_tool_calls": True, "modalities": ["text"],
    "verbosity": "medium", "logit_bias": {}, "stream_options": {"include_usage": True}, "user": "u", "metadata": {"a": "b"}, "store": False,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}}],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}},
}  # fmt: skip


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in inner:
        yield (*path, name)
        yield from places(value, (*path, name))


def mutants(document: Any) -> Iterator[Any]:
    """The document with one node replaced or gone, in every way."""
    for path in places(document):
        for value in [*REPLACEMENTS, "gone"]:
            mutant = copy.deepcopy(document)
            holder = mutant
            for name in path[:-1]:
                holder = holder[name]
            if value == "gone":
                del holder[path[-1]]
            else:
                holder[path[-1]] = value
            yield mutant


def ask(fields: dict[str, Any], endpoint: Any = "chat", stream: bool = False) -> Ask:
    return Ask(endpoint, "gemini-3.5-flash", stream, json.dumps(fields).encode(), include_usage=True)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_any_request_is_built_or_refused(adapter):
    count = 0
    for fields in mutants(REQUEST):
        if "messages" not in fields:
            continue
        count += 1
        built = adapter.build(ask(fields, stream=True), "https://example.com", "secret")
        if isinstance(built, UpstreamRequest):
            json.loads(built.body)
        else:
            assert built.kind == "unsupported", fields
            assert built.message
            assert built.param
    assert count > 1500


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_depth_that_the_gateway_lets_in_is_no_defect(adapter):
    deep: dict[str, Any] = {"type": "object"}
    for _ in range(400):
        deep = {"type": "object", "properties": {"p": deep}}
    for fields in (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": deep}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": deep}}},
    ):
        said = {"messages": [{"role": "user", "content": "x"}]}
        assert isinstance(
            adapter.build(ask({**said, **fields}), "https://example.com", None), UpstreamRequest | Failure
        )


USAGE = {
    "prompt_tokens": 1,
    "completion_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
GEMINI = {
    "candidates": [{
        "content": {"role": "model", "parts": [
            {"text": "a", "thought": True}, {"text": "b", "thoughtSignature": "c2ln"}, {"functionCall": {"name": "f", "args": {"a": 1}}},
        ]},
        "finishReason": "STOP", "index": 0,
        "logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": -1.0}],
                           "topCandidates": [{"candidates": [{"token": "a", "logProbability": -1.0}]}]},
    }],
    "promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"},
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "thoughtsTokenCount": 1, "cachedContentTokenCount": 1},
}  # fmt: skip
MESSAGE = {
    "type": "message", "content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "b"},
                                   {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}],
    "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 1},
}  # fmt: skip
COMPLETION = {
    "id": "c", "object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
    "usage": USAGE,
}  # fmt: skip
ERRORS = [
    {"error": {"code": 429, "message": "m", "status": "S", "details": [{"reason": "R", "retryDelay": "3s"}]}},
    {"error": {"message": "m", "type": "t", "param": "p", "code": "c"}},
    {"type": "error", "error": {"type": "overloaded_error", "message": "m"}},
    {"detail": "m"},
]
EVENTS = {
    google.ADAPTER: [GEMINI],
    openai.ADAPTER: [
        {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}], "usage": None},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE},
    ],
    anthropic.ADAPTER: [
        {"type": "message_start", "message": {"usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "a"}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "thinking_delta", "thinking": "a"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ],
}  # fmt: skip


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_any_answer_is_translated_or_a_failure(adapter):
    document = {openai.ADAPTER: COMPLETION, google.ADAPTER: GEMINI, anthropic.ADAPTER: MESSAGE}[adapter]
    asked = ask({"messages": [{"role": "user", "content": "x"}]})
    for mutant in [*mutants(document), *REPLACEMENTS]:
        outcome = adapter.translate(asked, 200, {}, json.dumps(mutant).encode())
        assert isinstance(outcome, Answer | Failure)
        if isinstance(outcome, Answer):
            assert json.loads(outcome.body)["choices"], mutant


@pytest.mark.parametrize("adapter", [openai.ADAPTER, google.ADAPTER])
def test_any_vectors_are_translated_or_a_failure(adapter):
    documents = {
        openai.ADAPTER: {
            "object": "list",
            "data": [{"index": 0, "embedding": [0.5]}],
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        },
        google.ADAPTER: {"embeddings": [{"values": [0.5]}]},
    }
    for form in ("float", "base64"):
        asked = ask({"input": "x", "encoding_format": form}, "embeddings")
        for mutant in [*mutants(documents[adapter]), *REPLACEMENTS]:
            outcome = adapter.translate(asked, 200, {}, json.dumps(mutant).encode())
            assert isinstance(outcome, Answer | Failure)
            if isinstance(outcome, Answer):
                kind = str if form == "base64" else list
                assert all(isinstance(item["embedding"], kind) for item in json.loads(outcome.body)["data"]), mutant


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_any_error_is_classified(adapter):
    for document in ERRORS:
        for mutant in [*mutants(document), *REPLACEMENTS]:
            for status in (301, 400, 401, 404, 408, 429, 500, 529):
                failure = adapter.classify(status, {"retry-after": "x"}, json.dumps(mutant).encode())
                assert failure.kind in ("malformed", "refused", "credentials", "status", "rate_limited")


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_any_stream_ends_complete_or_as_a_failure(adapter):
    for events in mutants(EVENTS[adapter]):
        stream = adapter.stream(ask({"messages": [{"role": "user", "content": "x"}]}, stream=True))
        out = b"".join(stream.feed(b"data: " + json.dumps(event).encode() + b"\n\n") for event in events)
        out += stream.close()
        assert stream.complete or stream.failure is not None, events
        assert (b"[DONE]" in out) == (stream.failure is None), events
