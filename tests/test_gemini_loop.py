"""Gemini behind the gateway, with OpenAI's SDK unchanged: a tool loop over several turns at a server that refuses lost signatures."""

import base64
import json

import pytest
from google.genai import types as gemini
from openai import AsyncOpenAI

QUESTION = {"role": "user", "content": "How warm is it in Bern, Rome and Oslo?"}
CITIES = ["Bern", "Rome", "Oslo"]
TOOL = {
    "type": "function",
    "function": {
        "name": "degrees",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
USAGE = {"promptTokenCount": 11, "candidatesTokenCount": 4, "thoughtsTokenCount": 2, "totalTokenCount": 17}


class Strict:
    """Gemini as it is about signatures: the first function call of every earlier turn must carry the one that it was given."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.bodies: list[dict] = []

    async def __call__(self, line) -> None:
        body = line.request.json
        gemini.GenerateContentConfig.model_validate(
            {"tools": body.get("tools"), "system_instruction": body.get("systemInstruction")}
            | body.get("generationConfig", {})
        )
        self.bodies.append(body)
        turn = 0
        for content in body["contents"]:
            gemini.Content.model_validate(content)
            parts = [part for part in content["parts"] if "functionCall" in part]
            if parts:
                turn += 1
                if parts[0].get("thoughtSignature") != self.signature(turn):
                    await line.answer(
                        400,
                        {
                            "error": {
                                "code": 400,
                                "message": "Function call is missing a thought_signature",
                                "status": "INVALID_ARGUMENT",
                            }
                        },
                    )
                    return
        parts = [{"text": "It is mild."}]
        if turn < 2:
            cities = CITIES[: self.calls] if turn == 0 else ["Cork"]
            parts = [{"functionCall": {"name": "degrees", "args": {"city": city}}} for city in cities]
            parts[0]["thoughtSignature"] = self.signature(turn + 1)
        answer = {
            "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": USAGE,
        }
        if "streamGenerateContent" in line.request.path:
            await line.start_stream()
            await line.event(answer)
            await line.end_stream()
        else:
            await line.answer(200, answer)

    @staticmethod
    def signature(turn: int) -> str:
        return base64.b64encode(b"\xff\xfe signature of turn " + str(turn).encode() * 30).decode()


async def said(client, messages, stream: bool) -> dict:
    """The assistant's message as a careless client keeps it: role, content and calls, and no member it does not know."""
    asked = {"model": "gemini-3.5-flash-lite", "messages": messages, "tools": [TOOL]}
    if not stream:
        message = (await client.chat.completions.create(**asked)).choices[0].message
        calls = [
            {"id": c.id, "name": c.function.name, "arguments": c.function.arguments} for c in message.tool_calls or []
        ]
        content = message.content
    else:
        calls, content = [], None
        async for chunk in await client.chat.completions.create(**asked, stream=True):
            delta = chunk.choices[0].delta
            content = (content or "") + delta.content if delta.content else content
            for call in delta.tool_calls or []:
                if call.index == len(calls):
                    calls.append({"id": call.id, "name": call.function.name, "arguments": ""})
                calls[call.index]["arguments"] += call.function.arguments or ""
    kept = [
        {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}} for c in calls
    ]
    return {"role": "assistant", "content": content, **({"tool_calls": kept} if kept else {})}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("calls", [1, 3])
async def test_a_tool_loop_keeps_its_signatures_over_turns_and_gateways(make_gateway, stream, calls):
    gateways = [await make_gateway(), await make_gateway()]
    server = Strict(calls)
    clients = [
        AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateways[0].key, max_retries=0) for gateway in gateways
    ]
    messages = [QUESTION]
    for turn in range(3):
        gateways[0].upstream.enqueue(server)
        answer = await said(clients[turn % 2], messages, stream)
        messages.append(answer)
        for call in answer.get("tool_calls", []):
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": json.dumps({"degrees": 12})})
    assert messages[-1] == {"role": "assistant", "content": "It is mild."}
    assert [len(message.get("tool_calls", [])) for message in messages if message["role"] == "assistant"] == [
        calls,
        1,
        0,
    ]
    last = server.bodies[-1]["contents"]
    assert [part["functionCall"]["args"]["city"] for part in last[1]["parts"]] == CITIES[:calls]
    assert len(last[2]["parts"]) == calls
    for client in clients:
        await client.close()


async def test_the_same_history_goes_to_openai_when_google_is_down(make_gateway):
    """A conversation that Google began goes on at OpenAI: ids without signatures, results still matched."""
    gateway = await make_gateway()
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as client:
        gateway.upstream.enqueue(Strict(3))
        answer = await said(client, [QUESTION], False)
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "12"} for call in answer["tool_calls"]]
        whole = await client.chat.completions.create(model="fast", messages=[QUESTION, answer, *results], tools=[TOOL])
    assert whole.choices[0].message.content
    sent = gateway.upstream.seen[-1].json["messages"]
    assert [call["id"] for call in sent[1]["tool_calls"]] == [message["tool_call_id"] for message in sent[2:]]
    assert all(len(call["id"]) <= 40 for call in sent[1]["tool_calls"])


async def test_blocks_and_thoughts_are_what_the_sdk_expects(make_gateway):
    from tests.upstream import whole

    gateway = await make_gateway()
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as client:
        gateway.upstream.enqueue(
            whole({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 5}})
        )
        blocked = await client.chat.completions.create(model="gemini-3.5-flash-lite", messages=[QUESTION])
        assert blocked.choices[0].finish_reason == "content_filter"
        gateway.upstream.enqueue(whole({
            "candidates": [{"content": {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "Mild."}]}, "finishReason": "STOP"}],
            "usageMetadata": USAGE,
        }))  # fmt: skip
        answer = await client.chat.completions.create(
            model="gemini-3.5-flash-lite", messages=[QUESTION], reasoning_effort="low"
        )
        assert answer.choices[0].message.content == "Mild."
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 6, 17)
        assert answer.usage.completion_tokens_details.reasoning_tokens == 2
        assert gateway.upstream.seen[-1].headers["x-goog-api-key"] == "google-secret"
        assert "google-secret" not in gateway.upstream.seen[-1].path
        one = await client.embeddings.create(model="embedding", input="x", dimensions=2)
        assert one.data[0].embedding == pytest.approx([0.6, 0.8])
