"""Providers that fail, in every way there is: what the client sees, what is tried next, and what is never taken for an answer."""

import asyncio
import json

import pytest

from tests.conftest import eventually
from tests.upstream import completion, piece, raw, streamed, whole

NAMED = {"model": "gpt-6-luna"}
BODY = json.dumps(completion("x" * 2000)).encode()
EVENTS = b"".join(b"data: " + json.dumps(piece(f"{n} ")).encode() + b"\n\n" for n in range(20))


def framed(data: bytes, framing: str, kind: bytes = b"application/json", cut: int | None = None) -> bytes:
    """An answer as raw bytes; `cut`: only so much of the body, though the head promises all of it."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\n"
    part = data if cut is None else data[:cut]
    if framing == "length":
        return head + b"Content-Length: %d\r\n\r\n" % len(data) + part
    if framing == "chunked":
        chunks = b"%x\r\n" % len(data) + part if cut is not None else b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    return head + b"Connection: close\r\n\r\n" + part


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
async def test_a_truncated_answer_is_never_shown_as_complete(gateway, framing):
    for tenth in range(12):
        cut = len(BODY) * tenth // 12
        gateway.upstream.enqueue(raw(framed(BODY, framing, cut=cut)))
        answered = await gateway.chat(**NAMED)
        assert (answered.status, answered.json["error"]["type"]) == (502, "server_error"), (framing, cut)
        gateway.trust_everybody()

        cut = len(EVENTS) * tenth // 12
        gateway.upstream.enqueue(raw(framed(EVENTS, framing, b"text/event-stream", cut)))
        answered = await gateway.chat(stream=True, **NAMED)
        assert b"[DONE]" not in answered.body, (framing, cut)
        if answered.status == 200:
            assert json.loads(answered.events[-1])["error"]["code"] == "upstream_truncated"
        else:
            assert (answered.status, answered.code) == (502, "upstream_truncated")
        gateway.trust_everybody()


RAW_FAULTS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-A: " + b"y" * 100_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"z" * 100) for n in range(1000)) + b"\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
    b"HTTP/1.1 200 OK\r\nX\x00: y\r\n\r\n{}",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_no_proper_answer_is_a_502_and_its_connection_is_not_used_again(gateway, stream):
    await gateway.execute('UPDATE providers SET timeouts = \'{"first_byte_ms": 2000, "whole_ms": 2000}\'')
    for number, data in enumerate(RAW_FAULTS):
        gateway.upstream.enqueue(raw(data, then_close=False))
        answered = await gateway.chat(stream=stream, **NAMED)
        assert answered.status == 502, (data[:80], answered.body)
        assert answered.code in ("upstream_error", "upstream_truncated")
        gateway.upstream.enqueue(whole(completion(f"nonce {number}")))
        gateway.trust_everybody()
        answered = await gateway.chat(**NAMED)
        assert answered.json["choices"][0]["message"]["content"] == f"nonce {number}", data[:80]


SMUGGLED = b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"smuggled": "yes"}'
MINE = json.dumps(completion("mine")).encode()
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(MINE), MINE)
LENGTH = b"Content-Length: %d" % len(MINE)
TWO_WAYS = [
    (b"Content-Length: %d\r\nTransfer-Encoding: chunked" % len(CHUNKED), CHUNKED),
    (b"Transfer-Encoding: chunked\r\n" + LENGTH, CHUNKED),
    (b"Transfer-Encoding: chunked, identity", CHUNKED),
    (b"Transfer-Encoding: identity, chunked", CHUNKED),
    (b"Transfer-Encoding: xchunked", CHUNKED),
    (b"Transfer-Encoding : chunked", CHUNKED),
    (b"Transfer-Encoding:\r\n chunked", CHUNKED),
    (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", CHUNKED),
    (b"Transfer-Encoding:\x0bchunked", CHUNKED),
    (b"X: y\nTransfer-Encoding: chunked\r\n" + LENGTH, CHUNKED),
    (b"X: y\rTransfer-Encoding: chunked\r\n" + LENGTH, CHUNKED),
    (LENGTH + b"\r\n" + LENGTH, MINE),
    (LENGTH + b"\r\nContent-Length: 0", MINE),
    (b"Content-Length: 0\r\n" + LENGTH, MINE),
    (b"Content-Length: +%d" % len(MINE), MINE),
    (b"Content-Length: %d, %d" % (len(MINE), len(MINE)), MINE),
    (b"Content-Length:\r\n %d" % len(MINE), MINE),
    (b"Content-Length: %d" % (len(MINE) + len(SMUGGLED)), MINE),
    (b"Content-Length: 18446744073709551616", MINE),
    (b"X-A: b\r\n c: d\r\n" + LENGTH, MINE),
    (b"Transfer-Encoding: chunked", CHUNKED.replace(b"\r\n", b"\n")),
    (b"Transfer-Encoding: chunked", b"0x" + CHUNKED),
    (b"Transfer-Encoding: chunked", b"F" * 17 + CHUNKED),
    (b"Transfer-Encoding: chunked", CHUNKED.replace(b"\r\n", b";ext=\n\r\n", 1)),
    (b"Transfer-Encoding: chunked", CHUNKED.replace(b"\r\n", b";" + b"e" * 200_000 + b"\r\n", 1)),
    (b"Transfer-Encoding: chunked", CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n"),
    (b"Transfer-Encoding: chunked", CHUNKED[:-5] + b"\r\n" + CHUNKED[-5:]),
]


async def test_an_answer_that_could_be_read_in_two_ways_gives_the_next_caller_nothing(gateway):
    """Behind each of them stands an answer that nobody asked for. Refused, waited for to its end, or taken: that one reaches nobody."""
    await gateway.execute("UPDATE providers SET timeouts = '{\"whole_ms\": 1000}'")
    for number, (head, told) in enumerate(TWO_WAYS):
        gateway.upstream.enqueue(raw(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + told + SMUGGLED, then_close=False))
        answered = await gateway.chat(**NAMED)
        assert answered.status in (502, 504) or answered.body == MINE, (head, answered.body)
        gateway.upstream.enqueue(whole(completion(f"nonce {number}")))
        gateway.trust_everybody()
        answered = await gateway.chat(**NAMED)
        assert answered.json["choices"][0]["message"]["content"] == f"nonce {number}", head


async def test_a_second_answer_behind_the_first_reaches_nobody(gateway):
    first = json.dumps(completion("mine")).encode()
    theirs = json.dumps(completion("not asked for")).encode()
    pair = b"".join(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) for body in (first, theirs))
    gateway.upstream.enqueue(raw(pair, then_close=False))
    assert (await gateway.chat(**NAMED)).body == first
    gateway.upstream.enqueue(whole(completion("next")))
    assert (await gateway.chat(**NAMED)).json["choices"][0]["message"]["content"] == "next"


async def test_redirects_are_not_followed_and_cookies_are_nobodys(gateway):
    for status in (301, 302, 303, 307, 308):
        gateway.upstream.enqueue(whole({}, status, {"Location": f"{gateway.upstream.root_url}/stolen"}))
        answered = await gateway.chat(**NAMED)
        assert (answered.status, answered.code) == (502, "upstream_error")
        assert "location" not in answered.headers
    gateway.upstream.enqueue(whole(completion(), headers={"Set-Cookie": "session=tenant-a"}))
    assert "set-cookie" not in (await gateway.chat(**NAMED)).headers
    await gateway.chat(**NAMED)
    assert all("cookie" not in seen.headers for seen in gateway.upstream.seen)
    assert all(seen.path == "/v1/chat/completions" for seen in gateway.upstream.seen)


@pytest.mark.parametrize("stream", [False, True])
async def test_only_an_allow_list_of_headers_is_relayed(gateway, stream):
    canary = {f"x-secret-{n}": "sk-canary" for n in range(20)} | {
        "x-api-key": "sk-canary", "x-goog-api-key": "sk-canary", "set-cookie": "a=sk-canary", "server": "sk-canary",
        "openai-organization": "sk-canary", "x-request-id": "sk-canary", "x-ratelimit-remaining-tokens": "7", "retry-after": "7",
        "access-control-allow-origin": "*", "openai-processing-ms": "17", "openai-version": "é", "content-language": "sk-canary",
    }  # fmt: skip
    if stream:

        async def reply(line):
            await line.start_stream("".join(f"{name}: {value}\r\n" for name, value in canary.items()))
            for event in (piece("a"), piece(finish="stop"), "[DONE]"):
                await line.event(event)
            await line.end_stream()

        gateway.upstream.enqueue(reply)
    else:
        gateway.upstream.enqueue(whole(completion(), headers=canary))
    answered = await gateway.chat(stream=stream)
    assert answered.status == 200
    assert "canary" not in str(answered.headers)
    assert not {name.lower() for name in answered.headers} & (
        set(canary) - {"openai-processing-ms", "server", "x-request-id"}
    )
    assert answered.headers["openai-processing-ms"] == "17"
    assert answered.headers["server"] == "optyx"


async def test_nothing_of_the_callers_headers_goes_to_a_provider(gateway):
    await gateway.chat(headers={"x-optyx-user": "u", "Cookie": "c=1", "openai-organization": "o", "x-stainless-lang": "python",
                                "Accept-Encoding": "gzip, br", "x-forwarded-for": "1.2.3.4"})  # fmt: skip
    assert set(gateway.upstream.seen[0].headers) == {
        "host", "content-type", "accept-encoding", "authorization", "user-agent", "content-length",
    }  # fmt: skip
    assert gateway.upstream.seen[0].headers["accept-encoding"] == "identity"
    assert gateway.key not in str(gateway.upstream.seen[0].headers)


async def test_an_encoding_that_was_not_asked_for_is_a_502(gateway):
    for encoding in ("gzip", "br", "deflate", "zstd", "made-up"):
        for stream in (False, True):
            gateway.upstream.by_model["gpt-6-luna"] = whole(
                b"\x1f\x8b" + bytes(200), headers={"Content-Encoding": encoding}
            )
            answered = await gateway.chat(stream=stream, **NAMED)
            assert (answered.status, answered.code) == (502, "upstream_error"), encoding
            assert answered.headers["x-should-retry"] == "false"
            gateway.trust_everybody()


async def test_an_answer_that_is_too_large_is_a_502_and_an_event_that_is_ends_the_stream(make_gateway):
    gateway = await make_gateway(GATEWAY_MAX_ANSWER_MB="1")
    gateway.upstream.enqueue(whole(completion("x" * (1 << 20))))
    answered = await gateway.chat(**NAMED)
    assert (answered.status, answered.code) == (502, "upstream_error")
    assert "larger than 1 MiB" in answered.json["error"]["message"]

    gateway.upstream.enqueue(streamed(piece("x" * (1 << 20)), piece(finish="stop"), "[DONE]"))
    answered = await gateway.chat(stream=True)
    assert len(answered.body) > 1 << 20
    assert answered.events[-1] == "[DONE]"

    async def flood(line):
        await line.chunk(b"data: ")
        for _ in range(9 * 16):
            await line.chunk(b"x" * 65536)

    events, size = await begun(gateway, flood)
    assert json.loads(events[-1])["error"]["code"] == "upstream_truncated"
    assert size < 1 << 20


async def begun(gateway, then):
    """A stream whose first event has reached the client before `then(line)` goes on with it: its events and its size."""
    arrived = asyncio.Event()

    async def reply(line):
        await line.start_stream()
        await line.event(piece("first"))
        await arrived.wait()
        await then(line)
        await line.end_stream()

    gateway.upstream.enqueue(reply)
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
    async with gateway.session.post(
        gateway.url + "/v1/chat/completions", json=body, headers=gateway.headers()
    ) as response:
        data = await response.content.readany()
        arrived.set()
        data += await response.read()
    return [line[6:] for line in data.decode().split("\n") if line.startswith("data: ")], len(data)


async def test_an_event_that_can_not_be_read_ends_the_stream_with_an_error(gateway):
    for bad in ['{"choices":[{"de', "plain words", "[1,2]", '"text"', '{"choices":[]} {']:

        async def then(line, bad=bad):
            for event in (bad, piece("b"), piece(finish="stop"), "[DONE]"):
                await line.event(event)

        events, _ = await begun(gateway, then)
        assert json.loads(events[0])["choices"][0]["delta"]["content"] == "first"
        assert json.loads(events[-1])["error"]["code"] == "upstream_truncated"
        assert "[DONE]" not in events
        gateway.trust_everybody()


async def test_no_connection_is_refused_at_once_and_says_why(gateway, unused_port):
    await gateway.execute(
        "UPDATE providers SET base_url = $1 WHERE name = 'openai'", f"http://127.0.0.1:{unused_port}/v1"
    )
    answered = await gateway.chat(**NAMED)
    assert (answered.status, answered.code) == (502, "upstream_error")
    assert answered.headers["x-optyx-attempts"] == "2"
    assert (await gateway.chat()).headers["x-optyx-provider"] == "google"


async def test_no_answer_of_one_caller_reaches_another_when_callers_break_off(gateway):
    async def echo(line):
        said = line.request.json["messages"][0]["content"]
        await asyncio.sleep(0.001)
        await line.answer(200, completion(said))

    for model in ("gpt-6-luna",):
        gateway.upstream.by_model[model] = echo
    wrong: list[str] = []

    async def one(number: int) -> None:
        task = asyncio.create_task(gateway.chat(f"nonce {number}", **NAMED))
        if number % 2:
            await asyncio.sleep(number % 7 / 1000)
            task.cancel()
        try:
            said = (await task).json["choices"][0]["message"]["content"]
        except asyncio.CancelledError:
            return
        if said != f"nonce {number}":
            wrong.append(said)

    for start in range(0, 600, 50):
        await asyncio.gather(*(one(start + offset) for offset in range(50)))
    assert wrong == []


async def test_three_hundred_streams_all_get_their_first_byte(gateway):
    release = asyncio.Event()

    async def hold(line):
        await line.start_stream()
        await line.event(piece("a"))
        await release.wait()
        await line.event(piece(finish="stop"))
        await line.event("[DONE]")
        await line.end_stream()

    gateway.upstream.by_model["gpt-6-luna"] = hold
    calls = [asyncio.create_task(gateway.chat(stream=True, **NAMED)) for _ in range(300)]
    connector = gateway.session.connector
    assert connector is not None
    connector._limit = 1000
    await eventually(lambda: len(gateway.worker.plane.relays) == 300, 20, "three hundred streams")
    release.set()
    for answered in await asyncio.gather(*calls):
        assert answered.events[-1] == "[DONE]"


@pytest.fixture
def unused_port():
    from tests.conftest import free_port

    return free_port()
