"""A real OpenAI-compatible server as the provider, reached as any other: OPENAI_BASE_URL and no key."""

import subprocess
import sys
from pathlib import Path

import pytest
from openai import AsyncOpenAI

ROOT = Path(__file__).parent.parent
MESSAGES = [{"role": "user", "content": "hello world"}]


@pytest.fixture(scope="module")
def llama_url(tmp_path_factory):
    command = [sys.executable, "-m", "tests.llama", str(tmp_path_factory.mktemp("llama"))]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    port = int(process.stdout.readline())
    yield f"http://127.0.0.1:{port}/v1"
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


@pytest.fixture
async def client(make_gateway, llama_url):
    gateway = await make_gateway(OPENAI_BASE_URL=llama_url, OPENAI_API_KEY="", GOOGLE_API_KEY="", GOOGLE_BASE_URL="")
    async with AsyncOpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0) as made:
        made.gateway = gateway
        yield made


async def test_chat_whole_and_streamed_with_its_real_usage(client):
    whole = await client.chat.completions.create(model="fast", messages=MESSAGES, max_tokens=8, temperature=0, seed=1)
    assert whole.choices[0].finish_reason in ("length", "stop")
    assert whole.usage.prompt_tokens > 5
    assert 1 <= whole.usage.completion_tokens <= 8
    stream = await client.chat.completions.create(
        model="fast",
        messages=MESSAGES,
        max_tokens=8,
        temperature=0,
        seed=1,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        == whole.choices[0].message.content
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    quiet = await client.chat.completions.create(model="fast", messages=MESSAGES, max_tokens=4, stream=True)
    assert all(chunk.usage is None and chunk.choices for chunk in [chunk async for chunk in quiet])


async def test_its_usage_and_ends_are_in_the_log(client):
    raw = await client.chat.completions.with_raw_response.create(
        model="fast", messages=MESSAGES, max_tokens=5, stream=True
    )
    async for _ in raw.parse():
        pass
    row = await client.gateway.row(raw.headers["x-request-id"])
    assert (row["usage_source"], row["end_reason"], row["status"]) == ("provider", "complete", 200)
    assert 1 <= row["completion_tokens"] <= 5
    assert row["cost_nusd"] > 0


async def test_embeddings_in_both_forms_are_the_same_vector(client):
    floats = await client.embeddings.create(model="text-embedding-3-small", input="hello", encoding_format="float")
    default = await client.embeddings.create(model="text-embedding-3-small", input=["hello", "world"])
    assert len(floats.data[0].embedding) == 64
    assert default.data[0].embedding == pytest.approx(floats.data[0].embedding, abs=1e-4)
    assert len(default.data) == 2
    assert default.usage.prompt_tokens > 0


async def test_its_own_refusal_comes_through(client):
    from openai import BadRequestError

    with pytest.raises(BadRequestError, match="context"):
        await client.chat.completions.create(model="fast", messages=[{"role": "user", "content": "word " * 5000}])
