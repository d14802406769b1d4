"""The official SDK, unchanged, with a base URL and a key."""

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from gateway.sandbox import application
from tests.upstream import failing, piece, streamed

MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture
async def client(gateway):
    async with AsyncOpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0) as made:
        yield made


@pytest.fixture
async def sandboxed(make_gateway):
    """A gateway with the sandbox as first target, reached over a socket as in the demo."""
    from aiohttp import web

    runner = web.AppRunner(application(pace=0), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gateway = await make_gateway()
    await gateway.stop_worker()
    await gateway.start_worker(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
    async with AsyncOpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0) as made:
        yield made
    await runner.cleanup()


async def test_whole_and_streamed(client):
    answer = await client.chat.completions.create(model="fast", messages=MESSAGES, max_tokens=64)
    assert answer.choices[0].message.content.startswith("answer")
    stream = await client.chat.completions.create(
        model="fast", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "0 1 2 "
    assert chunks[-1].usage.completion_tokens == 3


async def test_raw_responses_show_our_headers(client):
    raw = await client.chat.completions.with_raw_response.create(model="smart", messages=MESSAGES)
    assert raw.headers["x-optyx-tier"] == "smart"
    assert raw.parse().usage.total_tokens > 0


async def test_embeddings_with_the_default_encoding(client):
    answer = await client.embeddings.create(model="embedding", input=["a", "b"])
    assert [item.embedding for item in answer.data] == [[3.0, 4.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, openai.BadRequestError), (422, openai.UnprocessableEntityError), (404, openai.NotFoundError)],
)
async def test_a_refusal_is_the_right_exception(gateway, client, status, expected):
    gateway.upstream.enqueue(failing(status, "no good"))
    with pytest.raises(expected, match="no good"):
        await client.chat.completions.create(model="gpt-6-luna", messages=MESSAGES)


async def test_our_own_errors_are_the_right_exceptions(gateway, client):
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="wrong").chat.completions.create(model="fast", messages=MESSAGES)
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="nope", messages=MESSAGES)
    gateway.upstream.by_model["gpt-6-luna"] = failing(429)
    with pytest.raises(openai.RateLimitError):
        await client.chat.completions.create(model="gpt-6-luna", messages=MESSAGES)
    gateway.upstream.by_model["gpt-6.1-sol"] = failing(500)
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(model="gpt-6.1-sol", messages=MESSAGES)


async def test_a_broken_stream_raises_and_never_looks_complete(gateway, client):
    gateway.upstream.enqueue(streamed(piece("a"), end=False))
    stream = await client.chat.completions.create(model="fast", messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError, match="broke off"):
        _ = [chunk async for chunk in stream]


async def test_our_spent_attempts_are_not_multiplied_by_retries(gateway):
    gateway.upstream.by_model["gpt-6-luna"] = failing(500)
    async with AsyncOpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=3) as patient:
        with pytest.raises(openai.InternalServerError):
            await patient.chat.completions.create(model="gpt-6-luna", messages=MESSAGES)
    assert len(gateway.upstream.seen) == 2


async def test_tools_structured_outputs_and_vision(sandboxed):
    class Weather(BaseModel):
        city: str
        degrees: int

    parsed = await sandboxed.chat.completions.parse(model="fast", messages=MESSAGES, response_format=Weather)
    assert isinstance(parsed.choices[0].message.parsed, Weather)
    tool = {"type": "function", "function": {"name": "look", "parameters": Weather.model_json_schema()}}
    answer = await sandboxed.chat.completions.create(
        model="fast", messages=MESSAGES, tools=[tool], tool_choice="required"
    )
    assert Weather.model_validate_json(answer.choices[0].message.tool_calls[0].function.arguments)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    message = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}
    assert (await sandboxed.chat.completions.create(model="fast", messages=[message])).choices[0].message.content
    async with sandboxed.chat.completions.stream(model="fast", messages=MESSAGES) as stream:
        events = [event.type async for event in stream]
    assert events[-1] == "content.done" or "chunk" in events


async def test_the_synchronous_client(gateway):
    import asyncio

    def ask() -> str:
        with OpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0) as client:
            text = client.chat.completions.create(model="fast", messages=MESSAGES).choices[0].message.content
            chunks = list(client.chat.completions.create(model="fast", messages=MESSAGES, stream=True))
            models = {model.id for model in client.models.list()}
        assert {"fast", "gpt-6-luna"} <= models
        return f"{text} {len(chunks)}"

    assert (await asyncio.to_thread(ask)).startswith("answer")
