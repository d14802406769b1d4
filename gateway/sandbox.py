"""An OpenAI-compatible server that invents deterministic answers: the demo's provider, reached over a socket like any other.

`python -m gateway.sandbox --port 0` prints its port. Model names ask for faults: sandbox-slow, sandbox-500, sandbox-429, sandbox-401,
sandbox-400, sandbox-cut, sandbox-stall, sandbox-timeout, sandbox-garbage. The same request always gets the same answer.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import math
import os
import random
import signal
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

FIRST_TOKEN_S = 0.15
TOKEN_S = 0.02
DIMENSIONS = 768
MODELS = (
    "sandbox-fast", "sandbox-smart", "sandbox-embedding", "sandbox-slow", "sandbox-500", "sandbox-429", "sandbox-401", "sandbox-400",
    "sandbox-cut", "sandbox-stall", "sandbox-timeout", "sandbox-garbage",
)  # fmt: skip
PROSE = (
    "the gateway answers with invented words so that you can see a stream run through keys limits budgets and logs without any provider "
    "being asked every token here is made up but the path it takes is the real one"
)
WORDS = PROSE.split()
PACE = web.AppKey("pace", float)


def _seed(body: dict[str, Any]) -> random.Random:
    text = json.dumps([body.get("model"), body.get("messages") or body.get("input"), body.get("seed")], sort_keys=True)
    return random.Random(hashlib.sha256(text.encode()).digest())


def _tokens(value: object) -> int:
    return max(1, len(json.dumps(value, ensure_ascii=False)) // 4)


def _last_text(messages: list[dict[str, Any]]) -> str:
    for message in reversed(messages):
        content = message.get("content")
        if message.get("role") == "user" and isinstance(content, str):
            return content
        if message.get("role") == "user" and isinstance(content, list):
            return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def invent_value(schema: dict[str, Any], root: dict[str, Any], dice: random.Random) -> Any:
    """A value that is valid under `schema` (the parts of JSON Schema that structured outputs allow)."""
    if "$ref" in schema:
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        return invent_value(target, root, dice)
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    if schema.get("enum"):
        return dice.choice(schema["enum"])
    for word in ("anyOf", "oneOf", "allOf"):
        if schema.get(word):
            return invent_value(schema[word][0], root, dice)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = next((k for k in kind if k != "null"), "null") if isinstance(kind, list) else kind
    if kind == "object":
        required = set(schema.get("required", schema.get("properties", {})))
        return {
            name: invent_value(part, root, dice)
            for name, part in schema.get("properties", {}).items()
            if name in required
        }
    if kind == "array":
        return [
            invent_value(schema.get("items", {}), root, dice) for _ in range(max(1, int(schema.get("minItems", 1))))
        ]
    low = schema.get("minimum", 0)
    numbers = {
        "integer": int(low) + dice.randrange(10),
        "number": float(low) + round(dice.random(), 3),
        "boolean": dice.random() < 0.5,
        "null": None,
    }
    if kind in numbers:
        return (
            min(numbers[kind], schema["maximum"])
            if kind in ("integer", "number") and "maximum" in schema
            else numbers[kind]
        )
    text = dice.choice(WORDS) + " " + dice.choice(WORDS)
    return text[: int(schema.get("maxLength", len(text)))].ljust(int(schema.get("minLength", 0)), "x")


def _wants_tool(body: dict[str, Any]) -> dict[str, Any] | None:
    """The tool to call: a forced one, any when required, or one whose name the last message mentions. Not twice in a row."""
    tools = [tool["function"] for tool in body.get("tools") or [] if tool.get("type") == "function"]
    choice = body.get("tool_choice", "auto")
    if not tools or choice == "none" or (body.get("messages") or [{}])[-1].get("role") == "tool":
        return None
    if isinstance(choice, dict):
        name = choice.get("function", {}).get("name")
        return next((tool for tool in tools if tool["name"] == name), None)
    text = _last_text(body.get("messages") or []).lower()
    mentioned = next((tool for tool in tools if tool["name"].lower() in text), None)
    return mentioned or (tools[0] if choice == "required" or "tool" in text else None)


def invent(body: dict[str, Any]) -> tuple[dict[str, Any], str, list[str]]:
    """The message, the finish reason, and the message's text in tokens."""
    dice = _seed(body)
    tool = _wants_tool(body)
    if tool is not None:
        schema = tool.get("parameters") or {"type": "object", "properties": {}}
        arguments = json.dumps(invent_value(schema, schema, dice))
        call = {
            "id": f"call_{dice.getrandbits(64):016x}",
            "type": "function",
            "function": {"name": tool["name"], "arguments": arguments},
        }
        return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}, "tool_calls", []
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = form["json_schema"].get("schema", {})
        text = json.dumps(invent_value(schema, schema, dice))
        words = [text[at : at + 8] for at in range(0, len(text), 8)]
    elif form.get("type") == "json_object":
        words = ['{"answer": "', *(f"{dice.choice(WORDS)} " for _ in range(5)), '"}']
    else:
        start, count = dice.randrange(len(WORDS)), dice.randrange(20, 48)
        words = [WORDS[(start + index) % len(WORDS)] + " " for index in range(count)]
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    finish = "stop"
    if isinstance(limit, int) and len(words) > limit:
        words, finish = words[:limit], "length"
    return {"role": "assistant", "content": "".join(words), "refusal": None}, finish, words


def usage_of(body: dict[str, Any], completion: int) -> dict[str, Any]:
    prompt = sum(_tokens(message) for message in body.get("messages") or [])
    cached = prompt // 2 if prompt > 1024 else 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def error(
    status: int, message: str, kind: str, code: str | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    body = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return web.json_response(body, status=status, headers=headers)


async def fault(model: str) -> web.Response | None:
    """What the model's name asks for, before any answer."""
    if model == "sandbox-500":
        return error(500, "The sandbox was asked to fail.", "server_error")
    if model == "sandbox-429":
        return error(
            429, "The sandbox was asked to be at its limit.", "requests", "rate_limit_exceeded", {"Retry-After": "2"}
        )
    if model == "sandbox-401":
        return error(401, "The sandbox was asked to know no key.", "invalid_request_error", "invalid_api_key")
    if model == "sandbox-400":
        return error(400, "The sandbox was asked to refuse this request.", "invalid_request_error", "sandbox_refused")
    if model == "sandbox-timeout":
        await asyncio.sleep(3600)
    if model == "sandbox-garbage":
        return web.Response(text="<html>this is no answer</html>", content_type="application/json")
    return None


async def chat(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    model = str(body.get("model", "sandbox-fast"))
    refused = await fault(model)
    if refused is not None:
        return refused
    pace = request.app[PACE] * (5 if model == "sandbox-slow" else 1)
    n = body.get("n") or 1
    messages = [invent({**body, "seed": [body.get("seed"), index]}) for index in range(n)]
    made = {
        "id": f"chatcmpl-{_seed(body).getrandbits(96):024x}",
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": "sandbox",
    }
    completion = sum(len(words) or _tokens(message["tool_calls"]) for message, _, words in messages)
    if body.get("stream"):
        return await stream(request, body, made, messages, completion, pace)
    await asyncio.sleep(pace * (FIRST_TOKEN_S + TOKEN_S * min(completion, 50)))
    choices = [
        {"index": index, "message": m, "finish_reason": finish, "logprobs": None}
        for index, (m, finish, _) in enumerate(messages)
    ]
    return web.json_response(
        {**made, "object": "chat.completion", "choices": choices, "usage": usage_of(body, completion)}
    )


async def stream(
    request: web.Request,
    body: dict[str, Any],
    made: dict[str, Any],
    messages: list[tuple[dict[str, Any], str, list[str]]],
    completion: int,
    pace: float,
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    wants_usage = (body.get("stream_options") or {}).get("include_usage")
    await asyncio.sleep(pace * FIRST_TOKEN_S)
    sent = 0
    async for choices in deltas(messages, pace):
        chunk = {**made, "object": "chat.completion.chunk", "choices": choices}
        if wants_usage:
            chunk["usage"] = None
        await response.write(f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n".encode())
        sent += 1
        if sent == 5 and body.get("model") in ("sandbox-cut", "sandbox-stall"):
            if body["model"] == "sandbox-stall":
                await asyncio.sleep(3600)
            if request.transport is not None:
                request.transport.abort()
            return response
    if wants_usage:
        last = {**made, "object": "chat.completion.chunk", "choices": [], "usage": usage_of(body, completion)}
        await response.write(f"data: {json.dumps(last, separators=(',', ':'))}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    return response


async def deltas(
    messages: list[tuple[dict[str, Any], str, list[str]]], pace: float
) -> AsyncIterator[list[dict[str, Any]]]:
    """Role, words one by one at a model's pace, the finish; choice after choice."""
    for index, (message, finish, words) in enumerate(messages):
        yield [
            {"index": index, "delta": {"role": "assistant", "content": "" if words else None}, "finish_reason": None}
        ]
        for word in words:
            await asyncio.sleep(pace * TOKEN_S)
            yield [{"index": index, "delta": {"content": word}, "finish_reason": None}]
        for place, call in enumerate(message.get("tool_calls") or []):
            yield [{"index": index, "delta": {"tool_calls": [{"index": place, **call}]}, "finish_reason": None}]
        yield [{"index": index, "delta": {}, "finish_reason": finish}]


async def embeddings(request: web.Request) -> web.Response:
    body = await request.json()
    refused = await fault(str(body.get("model")))
    if refused is not None:
        return refused
    given = body.get("input")
    inputs = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    size = body.get("dimensions") or DIMENSIONS
    data = []
    for index, text in enumerate(inputs):
        vector: list[float] | str = unit_vector(text, size)
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    tokens = sum(len(text) if isinstance(text, list) else _tokens(text) for text in inputs)
    return web.json_response(
        {
            "object": "list",
            "data": data,
            "model": body.get("model"),
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def unit_vector(text: object, size: int) -> list[float]:
    dice = random.Random(hashlib.sha256(json.dumps(text).encode()).digest())
    raw = [dice.gauss(0, 1) for _ in range(size)]
    length = math.sqrt(sum(x * x for x in raw))
    return [x / length for x in raw]


async def models(_: web.Request) -> web.Response:
    return web.json_response(
        {
            "object": "list",
            "data": [{"id": name, "object": "model", "created": 0, "owned_by": "sandbox"} for name in MODELS],
        }
    )


def application(pace: float = 1.0) -> web.Application:
    """`pace` scales every wait: 0 for tests."""
    app = web.Application(client_max_size=64 << 20)
    app[PACE] = pace
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_post("/v1/embeddings", embeddings)
    app.router.add_get("/v1/models", models)
    return app


async def serve(port: int, pace: float) -> None:
    runner = web.AppRunner(application(pace), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    assert runner.addresses
    print(runner.addresses[0][1], flush=True)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for order in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(order, stopped.set)
    parent = os.getppid()
    while not stopped.is_set() and os.getppid() == parent:  # never outlives the gateway that started it
        try:
            await asyncio.wait_for(stopped.wait(), 1)
        except TimeoutError:
            continue
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gateway.sandbox")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--pace", type=float, default=1.0)
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.pace))


if __name__ == "__main__":
    main()
