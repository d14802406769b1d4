"""The Gemini adapter. The official SDKs judge: google-genai's types what is sent and what is answered, openai's what comes out."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import pytest
from google.genai import types as gemini
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from gateway.providers.google import ADAPTER
from gateway.providers.google_answer import FINISH
from gateway.providers.openai import ADAPTER as OPENAI
from gateway.providers.provider import Answer, Ask, Failure
from tests.providers import chunks

URL = "https://generativelanguage.googleapis.com"
SIGNATURE = base64.b64encode(b"a signature \xff\xfe").decode()
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "minLength": 1, "default": "Bern"}},
            "required": ["city"],
            "$schema": "https://json-schema.org/draft/2020-12/schema",
        },
    },
}


def ask(endpoint: Any = "chat", *, model: str = "gemini-3.5-flash", stream: bool = False, **fields: Any) -> Ask:
    if endpoint == "chat":
        fields.setdefault("messages", [{"role": "user", "content": "Hello"}])
    usage = bool(fields.get("stream_options", {}).get("include_usage"))
    return Ask(endpoint, model, stream, json.dumps(fields).encode(), include_usage=usage)


def built(**fields: Any) -> dict[str, Any]:
    """The body that goes to Google, after Google's own types have accepted it."""
    request = ADAPTER.build(ask(**fields), URL, "AIzaCanary")
    assert not isinstance(request, Failure), request
    assert request.path.startswith("/v1beta/models/")
    assert "AIzaCanary" not in request.path + request.body.decode()
    assert ("x-goog-api-key", "AIzaCanary") in request.headers
    body: dict[str, Any] = json.loads(request.body)
    judge(body)
    return body


def judge(body: dict[str, Any]) -> None:
    assert set(body) <= {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}
    contents = [gemini.Content.model_validate(content) for content in body["contents"]]
    for before, after in itertools.pairwise(contents):
        assert before.role != after.role, "roles alternate"
        calls = [part.function_call.name for part in before.parts or [] if part.function_call]
        answers = [part.function_response.name for part in after.parts or [] if part.function_response]
        assert calls == answers, "each call has its answer, in order"
    for content in contents:
        assert content.parts
        assert all(part.text != "" for part in content.parts)
    if "systemInstruction" in body:
        gemini.Content.model_validate(body["systemInstruction"])
    if "generationConfig" in body:
        gemini.GenerationConfig.model_validate(body["generationConfig"])
    for tool in body.get("tools", []):
        gemini.Tool.model_validate(tool)
    if "toolConfig" in body:
        gemini.ToolConfig.model_validate(body["toolConfig"])


def candidate(*parts: dict[str, Any], finish: str | None = "STOP", index: int = 0) -> dict[str, Any]:
    one: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": index}
    return {**one, "finishReason": finish} if finish else one


def response(*candidates: dict[str, Any], **more: Any) -> dict[str, Any]:
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 7, "thoughtsTokenCount": 5, "cachedContentTokenCount": 3}
    document = {"candidates": list(candidates), "usageMetadata": {**usage, "totalTokenCount": 23}, **more}
    if all(one.get("finishReason") != "INVENTED" for one in candidates):
        gemini.GenerateContentResponse.model_validate(document)
    return document


def translated(document: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = ADAPTER.translate(ask(**fields), 200, {}, json.dumps(document).encode())
    assert isinstance(answer, Answer), answer
    ChatCompletion.model_validate_json(answer.body, strict=True)
    out: dict[str, Any] = json.loads(answer.body)
    return out


def sse(*documents: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(document).encode() + b"\r\n\r\n" for document in documents)


def test_roles_systems_images_and_settings_are_what_google_takes():
    body = built(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "And kind."}]},
            {"role": "user", "content": "Hello"},
            {"role": "user", "content": [
                {"type": "text", "text": ""},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                {"type": "image_url", "image_url": {"url": "https://example.com/cat.png?x=1"}},
            ]},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": "Well?"},
        ],
        temperature=0.5, top_p=0.9, max_tokens=50, max_completion_tokens=60, stop="END", seed=7, n=2, logprobs=True, top_logprobs=3,
        presence_penalty=0.1, frequency_penalty=0.2, user="u", metadata={"a": "b"}, store=True, logit_bias={}, invented=1,
    )  # fmt: skip
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "And kind."}]}
    assert body["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "Hello"},
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
                {"fileData": {"fileUri": "https://example.com/cat.png?x=1", "mimeType": "image/png"}},
                {"text": "Well?"},
            ],
        }
    ]
    assert body["generationConfig"] == {
        "temperature": 0.5, "topP": 0.9, "maxOutputTokens": 60, "stopSequences": ["END"], "seed": 7, "candidateCount": 2,
        "responseLogprobs": True, "logprobs": 3, "presencePenalty": 0.1, "frequencyPenalty": 0.2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("logit_bias", {"logit_bias": {"50256": -100}}),
        ("functions", {"functions": [{"name": "f"}]}),
        ("audio", {"audio": {"voice": "alloy"}}),
        ("modalities", {"modalities": ["text", "audio"]}),
        ("verbosity", {"verbosity": "low"}),
        ("parallel_tool_calls", {"parallel_tool_calls": False, "tools": [WEATHER]}),
        ("tools", {"tools": [{"type": "custom", "custom": {"name": "x"}}]}),
        ("tool_choice", {"tools": [WEATHER], "tool_choice": "sometimes"}),
        ("response_format", {"response_format": {"type": "grammar"}}),
        ("reasoning_effort", {"reasoning_effort": "enormous"}),
        ("messages", {"messages": [{"role": "tool", "tool_call_id": "x", "content": "1"}]}),
        ("messages", {"messages": [{"role": "narrator", "content": "1"}]}),
    ],
)
def test_what_google_cannot_do_is_named(param: str, fields: dict[str, Any]):
    failure = ADAPTER.build(ask(**fields), URL, "k")
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.param) == ("unsupported", param)


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        ("gemini-2.5-flash", "high", {"thinkingBudget": 24576}),
        ("gemini-3.5-flash", "minimal", {"thinkingLevel": "MINIMAL"}),
        ("gemini-3.1-pro-preview", "minimal", {"thinkingLevel": "LOW"}),
        ("gemini-flash-latest", "medium", {"thinkingLevel": "MEDIUM"}),
    ],
)
def test_reasoning_effort_becomes_a_level_or_a_budget(model: str, effort: str, thinking: dict[str, Any]):
    assert built(model=model, reasoning_effort=effort)["generationConfig"] == {"thinkingConfig": thinking}


def test_schemas_lose_what_google_refuses():
    schema = {
        "definitions": {"Kind": {"const": "a", "default": "a"}},
        "allOf": [{"properties": {"b": {"type": "integer"}}, "required": ["b"]}],
        "type": "object",
        "properties": {"a": {"$ref": "#/definitions/Kind"}, "default": {"type": ["string", "null"], "pattern": "x"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    body = built(
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}, tools=[WEATHER]
    )
    assert body["generationConfig"]["responseJsonSchema"] == {
        "$defs": {"Kind": {"enum": ["a"]}},
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/Kind"},
            "default": {"type": ["string", "null"]},
            "b": {"type": "integer"},
        },
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    declaration = body["tools"][0]["functionDeclarations"][0]
    assert declaration["parametersJsonSchema"] == {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }


@pytest.mark.parametrize("keeps_unknown_members", [True, False])
@pytest.mark.parametrize("streamed", [True, False])
def test_thought_signatures_come_back_over_turns(keeps_unknown_members: bool, streamed: bool):
    parts = [
        {"functionCall": {"name": "weather", "args": {"city": "Bern"}}, "thoughtSignature": SIGNATURE},
        {"functionCall": {"name": "weather", "args": {"city": "Rome"}}},
    ]
    if streamed:
        stream = ADAPTER.stream(ask(stream=True))
        out = stream.feed(sse(response(candidate(*parts)))) + stream.close()
        seen = chunks.read(out, asked_usage=False)[0]
        assert seen["finish"] == "tool_calls"
        calls = [
            {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}}
            for c in seen["calls"]
        ]
    else:
        choice = translated(response(candidate(*parts)))["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        calls = choice["message"]["tool_calls"]
        if keeps_unknown_members:  # and the id lost: the member alone is enough
            calls[0]["id"] = "call_renamed"
        else:
            calls = [{name: value for name, value in call.items() if name != "extra_content"} for call in calls]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in reversed(calls)]
    question = {"role": "user", "content": "Weather?"}
    body = built(messages=[question, {"role": "assistant", "content": None, "tool_calls": calls}, *results])
    assert body["contents"][1]["parts"] == parts
    assert len(body["contents"][2]["parts"]) == 2


def test_a_call_that_another_model_made_gets_the_signature_that_google_accepts():
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
    ]
    part = built(messages=messages)["contents"][1]["parts"][0]
    assert part["thoughtSignature"] == "skip_thought_signature_validator"
    assert "thoughtSignature" not in built(model="gemini-2.5-flash", messages=messages)["contents"][1]["parts"][0]


def test_openai_never_sees_a_signature_in_an_id():
    call = translated(response(candidate({"functionCall": {"name": "f"}, "thoughtSignature": SIGNATURE})))
    made = call["choices"][0]["message"]["tool_calls"][0]
    messages = [
        {"role": "assistant", "tool_calls": [made]},
        {"role": "tool", "tool_call_id": made["id"], "content": "1"},
    ]
    request = OPENAI.build(ask(messages=messages), "https://api.openai.com/v1", None)
    assert not isinstance(request, Failure)
    sent = json.loads(request.body)["messages"]
    assert sent[0]["tool_calls"][0]["id"] == sent[1]["tool_call_id"]
    assert len(sent[1]["tool_call_id"]) <= 40


@pytest.mark.parametrize("reason", [*[one.value for one in gemini.FinishReason], "INVENTED"])
def test_every_finish_reason_is_an_answer_or_a_failure(reason: str):
    document = response(candidate({"text": "Hi"}, finish=reason))
    whole = ADAPTER.translate(ask(), 200, {}, json.dumps(document).encode())
    stream = ADAPTER.stream(ask(stream=True))
    out = stream.feed(sse(document)) + stream.close()
    if reason in FINISH:
        assert isinstance(whole, Answer)
        assert json.loads(whole.body)["choices"][0]["finish_reason"] == FINISH[reason]
        assert chunks.read(out, asked_usage=False)[0]["finish"] == FINISH[reason]
    else:
        assert isinstance(whole, Failure)
        assert stream.failure is not None
        assert b"[DONE]" not in out


@pytest.mark.parametrize("reason", [one.value for one in gemini.BlockedReason if "UNSPECIFIED" not in one.value])
def test_a_blocked_prompt_is_filtered_content_and_no_empty_success(reason: str):
    document = response(promptFeedback={"blockReason": reason})
    choice = translated(document)["choices"][0]
    assert choice["finish_reason"] == "content_filter"
    assert reason in choice["message"]["refusal"]
    stream = ADAPTER.stream(ask(stream=True))
    seen = chunks.read(stream.feed(sse(document)) + stream.close(), asked_usage=False)[0]
    assert seen["finish"] == "content_filter"
    assert reason in seen["refusal"]


@pytest.mark.parametrize(
    "document", [{}, response(), response(candidate()), response(promptFeedback={}), {"candidates": [7]}]
)
def test_nothing_is_no_success(document: dict[str, Any]):
    assert isinstance(ADAPTER.translate(ask(), 200, {}, json.dumps(document).encode()), Failure)
    stream = ADAPTER.stream(ask(stream=True))
    stream.feed(sse(document))
    stream.close()
    assert stream.failure is not None
    assert not stream.started


def test_usage_adds_up_with_thoughts_inside_the_completion():
    usage = translated(response(candidate({"text": "Hi"})))["usage"]
    assert usage["completion_tokens"] == 12
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] == 23
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 5
    assert usage["prompt_tokens_details"]["cached_tokens"] == 3


def a_stream() -> bytes:
    return b"\xef\xbb\xbf" + sse(
        response(candidate({"text": "thinking", "thought": True}, finish=None)),
        response(candidate({"text": "H\u2028ä"}, finish=None), candidate({"text": "O"}, finish=None, index=1)),
        response(candidate({"functionCall": {"name": "weather", "args": {"city": "Zürich"}}}, finish=None)),
        response(candidate({"functionCall": {"name": "weather"}}), candidate({"text": "ther"}, index=1)),
    )


def check(stream: Any, out: bytes) -> None:
    choices = chunks.read(out, asked_usage=True)
    assert choices[0]["content"] == "H\u2028ä"
    assert [json.loads(call["arguments"]) for call in choices[0]["calls"]] == [{"city": "Zürich"}, {}]
    assert (choices[0]["finish"], choices[1]["finish"], choices[1]["content"]) == ("tool_calls", "stop", "Other")
    assert stream.usage.completion_tokens == 12
    assert stream.complete
    assert stream.done


def two_choices() -> Any:
    return ADAPTER.stream(ask(stream=True, n=2, stream_options={"include_usage": True}))


def test_a_stream_survives_a_split_at_every_byte():
    whole = a_stream()
    for at in range(len(whole) + 1):
        stream = two_choices()
        check(stream, stream.feed(whole[:at]) + stream.feed(whole[at:]) + stream.close())


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=80))
def test_a_stream_survives_random_splits(sizes: list[int]):
    stream, rest, out = two_choices(), a_stream(), b""
    for size in sizes:
        out += stream.feed(rest[:size])
        rest = rest[size:]
    check(stream, out + stream.feed(rest) + stream.close())


def test_a_stream_cut_at_any_byte_before_its_end_never_looks_complete():
    whole = a_stream()
    end = whole.rindex(b"data: ")
    for at in range(0, end, max(1, end // 36)):
        stream = two_choices()
        out = stream.feed(whole[:at]) + stream.close()
        assert stream.failure is not None, at
        assert b"[DONE]" not in out


def test_an_error_event_before_anything_else_allows_another_target():
    stream = ADAPTER.stream(ask(stream=True))
    assert stream.feed(sse({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}})) == b""
    assert stream.failure is not None
    assert not stream.started


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings_go_in_batches_and_come_back_in_the_asked_encoding(encoding: str):
    asked = ask("embeddings", model="gemini-embedding-001", input=["a", "b"], dimensions=2, encoding_format=encoding)
    request = ADAPTER.build(asked, URL, "k")
    assert not isinstance(request, Failure)
    assert request.path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    sent = json.loads(request.body)["requests"]
    assert [gemini.Content.model_validate(one["content"]).parts[0].text for one in sent] == ["a", "b"]  # type: ignore[index]
    assert {(one["model"], one["outputDimensionality"]) for one in sent} == {("models/gemini-embedding-001", 2)}
    answered = {
        "embeddings": [{"values": [3.0, 4.0]}, {"values": [0.0, 2.0]}],
        "usageMetadata": {"promptTokenCount": 2},
    }
    answer = ADAPTER.translate(asked, 200, {}, json.dumps(answered).encode())
    assert isinstance(answer, Answer)
    document = json.loads(answer.body)
    if encoding == "float":
        CreateEmbeddingResponse.model_validate(document)
        assert document["data"][0]["embedding"] == pytest.approx([0.6, 0.8])
    else:
        assert base64.b64decode(document["data"][1]["embedding"]) == b"\0\0\0\0\0\0\x80\x3f"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 2


def test_token_arrays_are_refused_by_name():
    failure = ADAPTER.build(ask("embeddings", input=[[1, 2]]), URL, "k")
    assert isinstance(failure, Failure)
    assert failure.param == "input"


def test_failures_are_told_apart():
    def classify(status: int, message: str, *details: dict[str, Any]) -> Failure:
        body = {"error": {"code": status, "message": message, "status": "X", "details": list(details)}}
        return ADAPTER.classify(status, {}, json.dumps(body).encode())

    assert classify(400, "API key not valid", {"reason": "API_KEY_INVALID"}).kind == "credentials"
    assert classify(403, "no").kind == "credentials"
    limited = classify(429, "slow down", {"@type": "RetryInfo", "retryDelay": "7.5s"})
    assert (limited.kind, limited.retry_after_s) == ("rate_limited", 7.5)
    assert classify(503, "busy").kind == "status"
    refused = classify(400, "bad \x1b[31m key AIzaSyA1234567890123456789")
    assert refused.kind == "refused"
    assert "AIza" not in (refused.message or "")
    assert "\x1b" not in (refused.message or "")


def test_a_models_name_stays_one_segment_of_the_path():
    request = ADAPTER.build(ask(model="tuned/../x?y#z", stream=True), URL, "k")
    assert not isinstance(request, Failure)
    assert request.path == "/v1beta/models/tuned%2F..%2Fx%3Fy%23z:streamGenerateContent?alt=sse"
