"""Clients that mean harm: requests two servers would read differently, broken bodies, slow sockets. Each is refused once and closed."""

import asyncio
import contextlib
import json
import logging
import os
import time

import pytest

from tests import wire
from tests.conftest import eventually
from tests.upstream import piece, whole
from tests.wire import GOOD

SIZE = len(GOOD)
NEXT = b"GET /v1/models/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (SIZE, GOOD)

TRANSFER_ENCODINGS = [
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: , chunked",
    b"Transfer-Encoding: chunked ,",
    b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: chunked;foo=bar",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding: \x00chunked",
    b"Transfer-Encoding: ch\xc3\xbcnked",
    b"\x00Transfer-Encoding: chunked",
    b" Transfer-Encoding: chunked",
    b"Transfer-Encoding:\r\n chunked",
    b"transfer-encoding\t: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    b"Transfer-Encoding: chunked\n",
    b"X: y\rTransfer-Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked",
]
LENGTHS = [
    b"Content-Length: +%d" % SIZE,
    b"Content-Length: -1",
    b"Content-Length: 0x31",
    b"Content-Length: 1e2",
    b"Content-Length: 1_0",
    b"Content-Length: %d.0" % SIZE,
    b"Content-Length: %d a" % SIZE,
    b"Content-Length: %d, %d" % (SIZE, SIZE),
    b"Content-Length: \xb2",
    b"Content-Length: ",
    b"Content-Length : %d" % SIZE,
    b"Content-Length:\n %d" % SIZE,
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 18446744073709551616",
    b"Content-Length: %d\r\nContent-Length: %d" % (SIZE, SIZE + 5),
    b"Content-Length: %d\r\nContent-Length: %d" % (SIZE, SIZE),
    b"Content-Length: %d\r\nTransfer-Encoding: chunked" % SIZE,
    b"Transfer-Encoding: chunked\r\nContent-Length: 4",
]
CHUNK_SIZES = [
    b"0x31",
    b"+31",
    b"-31",
    b" 31",
    b"31 ",
    b"31\t",
    b"31g",
    b"_31",
    b"31\n",
    b"31;a\n",
    b"31;\x00",
    b"F" * 18 + b"31",
]
HEADERS = [
    b"X-A: b\r\n c",
    b"X-A: b\rc",
    b"X-A: b\x00c",
    b"X A: b",
    b"XA",
    b": b",
    b"X-\xff: b",
    b"X-A: " + b"y" * 40_000,
    b"\r\n".join(b"X-%d: y" % number for number in range(500)),
    b"Host: other",
    b"Host: x",
]
HOSTS = [b"a/#@b", b"a b", b"\xff", b"a@b", b"a?b", b"localhost/#@x", b"a:b", b"a,b", b"<script>", b"[::1", b"a:4000:1"]
LINES = [
    b"GET\t/health\tHTTP/1.1",
    b" GET /health HTTP/1.1",
    b"get /health HTTP/1.1",
    b"FOO /health HTTP/1.1",
    b"GET health HTTP/1.1",
    b"GET /\xff HTTP/1.1",
    b"GET http://[ HTTP/1.1",
    b"GET /" + b"a" * 40_000 + b" HTTP/1.1",
    b"GET /health HTTPS/1.1",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
]


def headed(key: str, *lines: bytes, body: bytes = GOOD) -> bytes:
    head = [b"POST /v1/chat/completions HTTP/1.1", b"Host: x", b"Authorization: Bearer " + key.encode()]
    return b"\r\n".join([*head, *lines]) + b"\r\n\r\n" + body


def corpus(key: str) -> list[bytes]:
    length = b"Content-Length: %d" % SIZE
    chunked = b"Transfer-Encoding: chunked"
    return [
        *(headed(key, line, body=CHUNKS) for line in TRANSFER_ENCODINGS),
        *(headed(key, b"Content-Length: %d" % len(CHUNKS), line, body=CHUNKS) for line in TRANSFER_ENCODINGS),
        *(headed(key, line) for line in LENGTHS),
        *(headed(key, chunked, body=size + b"\r\n" + GOOD + b"\r\n0\r\n\r\n") for size in CHUNK_SIZES),
        headed(key, chunked, body=CHUNKS.replace(b"\r\n", b"\n")),
        headed(key, chunked, body=b"%x\r\n%b0\r\n\r\n" % (SIZE, GOOD)),
        headed(key, chunked, body=CHUNKS[:-2] + b"no trailer\r\n\r\n"),
        *(headed(key, line, length) for line in HEADERS),
        headed(key, length).replace(b"\r\n", b"\n"),
        *(b"GET /health HTTP/1.1\r\nHost: %b\r\n\r\n" % host for host in HOSTS),
        *(line + b"\r\nHost: x\r\n\r\n" for line in LINES),
    ]


async def test_no_request_is_read_in_two_ways(gateway, caplog):
    cases = corpus(gateway.key)
    assert len(cases) >= 62

    async def try_one(data: bytes) -> None:
        answer, closed = await wire.exchange(gateway.config.port, data + NEXT)
        found = wire.answers(answer)
        assert [status for status, _ in found] == [400], (data[:200], found)
        assert closed, data[:200]
        assert b"smuggled" not in answer, data[:200]
        assert wire.error_of(found[0][1])["code"] == "invalid_request"
        assert b"x-request-id: req_" in answer

    for start in range(0, len(cases), 16):
        await asyncio.gather(*(try_one(data) for data in cases[start : start + 16]))
    assert gateway.upstream.seen == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == [], (
        "nobody can fill the log from outside"
    )


@pytest.mark.parametrize("trailing", [b"", NEXT])
async def test_only_two_versions_of_http_are_spoken(gateway, trailing):
    lines = [
        b"GET /health HTTP/" + version for version in (b"0.9", b"1.2", b"2.0", b"3.7", b"1.10", b"1.1.1", b"2", b"11")
    ]
    for line in [*lines, b"PRI * HTTP/2.0", b"POST /v1/chat/completions HTTP/2.0"]:
        answer, closed = await wire.exchange(gateway.config.port, line + b"\r\nHost: x\r\n\r\n" + trailing)
        found = wire.answers(answer)
        assert [status for status, _ in found] == [505], (line, answer)
        assert wire.error_of(found[0][1])["code"] == "http_version_not_supported"
        assert closed
        assert b"content-type: application/json" in answer.lower()


async def test_tunnels_and_upgrades_are_not_opened_and_nothing_follows_them(gateway):
    upgrade = b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n"
    websocket = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    for data, status in (
        (b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n", 200),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n" + websocket + b"\r\n", 200),
        (wire.post(gateway.key, GOOD, websocket.strip()), 200),
    ):
        answer, closed = await wire.exchange(gateway.config.port, data + NEXT)
        assert [found for found, _ in wire.answers(answer)] == [status], data
        assert closed


async def test_forms_that_are_odd_and_plain_are_served(gateway):
    chunked = b"Transfer-Encoding: Chunked"
    for data in (
        headed(gateway.key, chunked, body=CHUNKS),
        headed(gateway.key, chunked, body=b"%x;ext=1\r\n%b\r\n0\r\n\r\n" % (SIZE, GOOD)),
        headed(gateway.key, chunked, body=b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD) + b"0\r\n\r\n"),
        headed(gateway.key, chunked, body=CHUNKS[:-2] + b"X-Trailer: 1\r\n\r\n"),
        headed(gateway.key, b"Content-Length: 00%d" % SIZE),
        b"\r\n" + wire.post(gateway.key),
        wire.post(gateway.key, path=b"/v1/chat/completions?api-version=2026-01-01"),
        wire.post(gateway.key, path=b"http://x/v1/chat/completions"),
        wire.post(gateway.key, host=b"[::1]:4000"),
        wire.post(gateway.key, host=b"gateway.example:4000"),
        wire.post(gateway.key, GOOD, b"Expect: 100-continue"),
    ):
        answer, _ = await wire.exchange(gateway.config.port, data + NEXT.replace(b"Host", b"Connection: close\r\nHost"))
        found = wire.answers(answer)
        assert [status for status, _ in found] == [200, 404], (data[:120], answer[:300])


async def test_the_path_decides_and_no_form_of_it_opens_another(gateway):
    for path, status in (
        (b"http://evil.example/health", 200),
        (b"/health?x=1", 200),
        (b"/%68ealth", 200),
        (b"//health", 404),
        (b"/health/", 404),
        (b"/HEALTH", 404),
        (b"/./health", 404),
        (b"/v1/../health", 404),
        (b"/v1/..%2fhealth", 404),
        (b"/health%00", 404),
        (b"/health;x", 404),
        (b"/health\\", 404),
        (b"/%", 404),
        (b"/v1//models", 404),
        (b"/v1/models/%2e%2e/%2e%2e/health", 404),
        (b"/v1/models/%ff", 404),
        (b"http://evil.example/v1/models/%2e%2e/%2e%2e/admin/v1/whoami", 404),
    ):
        answer, _ = await wire.exchange(
            gateway.config.port, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert [found for found, _ in wire.answers(answer)] == [status], (path, answer)


async def test_a_chunk_extension_without_end_is_cut_off(gateway):
    answer, closed = await wire.exchange(
        gateway.config.port, headed(gateway.key, b"Transfer-Encoding: chunked", body=b"31;" + b"a" * 200_000)
    )
    assert wire.answers(answer)[0][0] == 400
    assert closed


async def test_a_body_that_breaks_in_the_middle_is_said_and_not_logged(gateway, caplog):
    chunked = b"Transfer-Encoding: chunked"
    start = b"%x\r\n" % SIZE
    for pieces in (
        (start + GOOD[:10], GOOD[10:] + b"XX0\r\n\r\n"),
        (start + GOOD + b"\r\n", b"zz\r\n"),
        (start + GOOD, b"\r\n1;" + b"a" * 300_000),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
        writer.write(headed(gateway.key, chunked, body=pieces[0]))
        await eventually(lambda: gateway.worker.plane.callers, 5, "the call having begun")
        writer.write(pieces[1])
        answer = await asyncio.wait_for(reader.read(), 5)
        assert [status for status, _ in wire.answers(answer)] == [400], pieces
        writer.close()
    whole = b"Content-Length: 5000"
    for data in (headed(gateway.key, whole, body=GOOD), headed("nobody", whole, body=GOOD)):
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
        writer.write(data)
        await asyncio.sleep(0.02)
        writer.close()
    await eventually(lambda: not gateway.worker.plane.callers, 5, "every call being over")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_huge_body_is_refused_before_a_byte_of_it_is_read(gateway):
    started = time.monotonic()
    head = headed(gateway.key, b"Content-Length: 1073741824", b"Expect: 100-continue", body=b"")
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
    writer.write(head)
    answer = await reader.readuntil(b"}}")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    assert time.monotonic() - started < 1


async def test_bombs_are_not_inflated(gateway):
    for encoding in ("gzip", "deflate", "br", "zstd", "x-gzip", "gzip, identity", "identity, gzip"):
        answered = await gateway.post("/v1/chat/completions", b"\x1f\x8b" + bytes(1000), content_encoding=encoding)
        assert (answered.status, answered.code) == (415, "unsupported_encoding"), encoding
    assert (await gateway.post("/v1/chat/completions", GOOD, content_encoding="Identity")).status == 200


async def test_header_values_that_break_things_are_refused_or_replaced_and_never_a_defect(gateway):
    bad = [b"\xff", b"\xc2\x9b31m", b"a\x1bb", "\u202e".encode(), b"\xed\xa0\x80", b"\x01", b"x" * 300]
    for value in bad:
        for name, statuses in (
            (b"x-optyx-user", (400,)),
            (b"x-optyx-tags", (400,)),
            (b"x-optyx-tier", (400,)),
            (b"Idempotency-Key", (400,)),
            (b"x-request-id", (200, 400)),  # aiohttp refuses control characters itself
            (b"traceparent", (200, 400)),
            (b"User-Agent", (200, 400)),
            (b"Origin", (200, 400)),
        ):
            answer, _ = await wire.exchange(
                gateway.config.port, wire.post(gateway.key, GOOD, name + b": " + value, b"Connection: close")
            )
            [(status, body)] = wire.answers(answer)
            assert status in statuses, (name, value, body)
            assert value not in answer
    for key in ("sk-optyx-\xff", "ö", "sk-optyx-" + "x" * 10_000, "' OR 1=1 --"):
        answer, _ = await wire.exchange(
            gateway.config.port, wire.post("", GOOD, b"x-api-key: " + key.encode(), b"Connection: close")
        )
        assert wire.answers(answer)[0][0] == 401


async def test_slow_headers_and_idle_sockets_are_closed_and_do_not_hurt_a_healthy_call(make_gateway):
    gateway = await make_gateway(GATEWAY_HEADER_TIMEOUT_S="1", GATEWAY_IDLE_TIMEOUT_S="1.5")
    writers, readers = [], []
    for number in range(1000):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
        if number % 2:
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        writers.append(writer)
        readers.append(reader)
    started = time.monotonic()
    for _ in range(20):
        for writer in writers[1:200:2]:
            writer.write(b"a")
        assert (await gateway.chat()).status == 200
    assert time.monotonic() - started < 5, "twenty healthy calls among a thousand slow sockets"
    async with asyncio.timeout(15):
        for reader in readers:
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
    for writer in writers:
        writer.close()


async def test_a_slow_body_is_cut_off(gateway, monkeypatch):
    monkeypatch.setattr("gateway.front.BODY_GRACE_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
    writer.write(headed(gateway.key, b"Content-Length: 5000", body=b"{"))
    answer = await asyncio.wait_for(reader.readuntil(b"}}"), 3)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"
    writer.close()


async def test_a_keep_alive_connection_that_idles_is_closed(make_gateway):
    gateway = await make_gateway(GATEWAY_IDLE_TIMEOUT_S="0.3")
    answer, closed = await wire.exchange(gateway.config.port, wire.post(gateway.key))
    assert wire.answers(answer)[0][0] == 200
    assert closed


async def test_a_reader_that_takes_nothing_is_cut_off_and_recorded(make_gateway):
    gateway = await make_gateway(GATEWAY_WRITE_TIMEOUT_S="0.3")

    async def flood(line):
        await line.start_stream()
        while not line.request.closed.is_set():
            await line.event(piece("x" * 8000))

    gateway.upstream.enqueue(flood)
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "stream": True}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port, limit=1024)
    writer.write(wire.post(gateway.key, body, b"x-request-id: stuck"))
    await reader.readuntil(b"\r\n\r\n")
    row = await gateway.row("stuck")
    assert (row["end_reason"], row["status"]) == ("client_closed", 200)
    writer.close()


async def test_a_reader_that_is_only_slow_gets_the_whole_answer(make_gateway):
    gateway = await make_gateway(GATEWAY_WRITE_TIMEOUT_S="0.2")
    big = {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "x" * 12_000_000}, "finish_reason": "stop"}
        ]
    }
    gateway.upstream.enqueue(whole(big))
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port, limit=65536)
    writer.write(wire.post(gateway.key, GOOD, b"Connection: close"))
    size = 0
    while data := await reader.read(500_000):
        size += len(data)
        await asyncio.sleep(0.02)
    assert size > 12_000_000
    writer.close()


async def test_connections_that_break_off_leave_nothing_behind(gateway):
    await gateway.chat()
    fds, tasks = open_descriptors(), len(asyncio.all_tasks())
    sent = wire.post(gateway.key)

    async def half_open(data: bytes, reset: bool) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
        writer.write(data)
        await asyncio.sleep(0)
        if reset:
            writer.transport.abort()
        else:
            writer.close()

    for cut in (10, len(sent) - SIZE, len(sent) - 5, len(sent)):
        for reset in (True, False):
            await asyncio.gather(*(half_open(sent[:cut], reset) for _ in range(60)))
    await eventually(
        lambda: open_descriptors() <= fds + 4 and len(asyncio.all_tasks()) <= tasks + 2, 5, "descriptors going back"
    )
    assert (await gateway.chat()).status == 200


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))
