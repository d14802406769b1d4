"""The official SDK, unchanged, with a base URL and a key."""

import base64
import struct

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from gateway.sandbox import application
from tests.upstream import completion, failing, piece, streamed, whole

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


EXCEPTIONS = [
    (400, 400, openai.BadRequestError),
    (404, 404, openai.NotFoundError),
    (409, 409, openai.ConflictError),
    (413, 413, openai.APIStatusError),
    (418, 418, openai.APIStatusError),
    (422, 422, openai.UnprocessableEntityError),
    (401, 502, openai.InternalServerError),
    (402, 502, openai.InternalServerError),
    (403, 502, openai.InternalServerError),
    (500, 502, openai.InternalServerError),
    (529, 502, openai.InternalServerError),
    (429, 429, openai.RateLimitError),
]


async def test_each_status_of_a_provider_is_its_exception_with_all_its_parts(gateway, client):
    for theirs, ours, expected in EXCEPTIONS:
        gateway.upstream.by_model["gpt-6-luna"] = failing(theirs, "It said no.", param="messages", code="its_code")
        for stream in (False, True):
            with pytest.raises(expected) as raised:
                await client.chat.completions.create(model="gpt-6-luna", messages=MESSAGES, stream=stream)
            error = raised.value
            assert error.status_code == ours
            assert error.message
            assert error.code
            assert error.type
            assert error.request_id.startswith("req_")
            if theirs == ours != 429:
                assert (error.param, error.code) == ("messages", "its_code")
                assert "It said no." in error.message
            gateway.trust_everybody()


async def test_limits_and_refusals_of_ours_are_their_exceptions(gateway, client):
    await gateway.execute("UPDATE project_settings SET allowed_models = '{gpt-6-luna}'")
    with pytest.raises(openai.PermissionDeniedError):
        await client.chat.completions.create(model="gpt-6.1-sol", messages=MESSAGES)
    await gateway.execute(
        "INSERT INTO limits (id, scope, subject, rpm) VALUES ('lim_1', 'project', $1, 1)", gateway.project_id
    )
    first = await client.chat.completions.with_raw_response.create(model="fast", messages=MESSAGES)
    assert first.headers["x-ratelimit-limit-requests"] == "1"
    assert first.headers["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(openai.RateLimitError) as raised:
        await client.chat.completions.create(model="fast", messages=MESSAGES)
    assert raised.value.code == "rate_limit_exceeded"
    assert 1 <= int(raised.value.response.headers["retry-after"]) <= 60


async def test_models_can_be_listed_and_looked_up(client):
    listed = [model.id async for model in client.models.list()]
    assert {"fast", "smart", "embedding", "gpt-6-luna"} <= set(listed)
    assert (await client.models.retrieve("fast")).owned_by == "optyx"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nope")


async def test_pictures_tools_and_what_is_not_known_go_through_as_they_came(gateway, client):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What?"}, picture]}]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
    await client.chat.completions.create(
        model="fast",
        messages=messages,
        tools=[tool],
        tool_choice="auto",
        extra_body={"tomorrow": {"deep": [1.50, None]}},
    )
    sent = gateway.upstream.seen[-1].json
    assert sent["messages"] == messages
    assert sent["tools"] == [tool]
    assert sent["tomorrow"] == {"deep": [1.5, None]}
    gateway.upstream.enqueue(whole(completion(reasoning_content="hm", tomorrow=1)))
    answer = await client.chat.completions.create(model="fast", messages=messages)
    assert answer.model_extra["tomorrow"] == 1


async def test_vectors_are_right_whatever_the_server_answers_with(gateway, client):
    vector = [0.5, -0.25, 1.0]
    packed = base64.b64encode(struct.pack("<3f", *vector)).decode()
    for form in ("float", "base64", "as asked"):

        async def reply(line, form=form):
            wants = line.request.json.get("encoding_format", "float") if form == "as asked" else form
            data = [{"object": "embedding", "index": 0, "embedding": packed if wants == "base64" else vector}]
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            await line.answer(200, {"object": "list", "data": data, "model": "m", "usage": usage})

        for asked in (None, "float", "base64"):
            gateway.upstream.enqueue(reply)
            given = {} if asked is None else {"encoding_format": asked}
            answer = await client.embeddings.create(model="text-embedding-3-small", input="x", **given)
            assert answer.data[0].embedding == (packed if asked == "base64" else vector), (form, asked)


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
