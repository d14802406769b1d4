"""Two ways in, one behaviour: plain calls are taken off the socket at once, everything else is aiohttp's from its first byte on."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.shortcut import read_head
from tests import wire
from tests.conftest import eventually
from tests.upstream import silent

GOOD = wire.GOOD


def plain(key: str = "sk-x", *more: bytes, body: bytes = GOOD) -> bytes:
    return wire.post(key, body, *more)


def test_a_plain_head_is_read():
    head = read_head(plain("sk-x", b"X-Request-Id:  abc \t"))
    assert head is not None
    assert head.path == "/v1/chat/completions"
    assert head.fields["x-request-id"] == "abc"
    assert head.keep_alive
    assert head.total == len(plain("sk-x", b"X-Request-Id:  abc \t"))


NOT_PLAIN = [
    plain().replace(b"POST", b"GET"),
    plain().replace(b"HTTP/1.1", b"HTTP/1.0"),
    plain().replace(b"completions HTTP", b"completions?x=1 HTTP"),
    plain().replace(b"\r\n", b"\n"),
    plain()[:40],
    plain("sk-x", b"Transfer-Encoding: chunked"),
    plain("sk-x", b"Expect: 100-continue"),
    plain("sk-x", b"Connection: upgrade"),
    plain("sk-x", b"Host: again"),
    plain("sk-x", b"Content-Length: 3"),
    plain("sk-x", b"X-A: b\r\n folded"),
    plain("sk-x", b"X-A : b"),
    plain("sk-x", b"X-A: \xff"),
    plain("sk-x", b"X-A: a\x00b"),
    plain("sk-x", b"X-A: a\rb"),
    plain("sk-x", *(b"X-%d: y" % number for number in range(80))),
    plain("sk-x", b"X-A: " + b"y" * 20_000),
    plain().replace(b"Content-Length: ", b"Content-Length: +"),
    plain().replace(b"Host: x", b"Host: a/#@b"),
    plain().replace(b"Content-Length: ", b"Content-Length: 9999999"),
]


@pytest.mark.parametrize("data", NOT_PLAIN, ids=range(len(NOT_PLAIN)))
def test_what_is_not_plain_to_the_letter_is_left_to_the_parser(data: bytes):
    assert read_head(data) is None


@pytest.mark.parametrize(
    ("then", "is_again"),
    [
        (plain(), True),
        (plain().replace(b"Content-Length: ", b"Content-Length: 1"), True),
        (plain().replace(b"Content-Length: ", b"Content-Length: 00"), True),
        (plain().replace(b"Content-Length: ", b"Content-Length: +"), False),
        (plain().replace(b"Content-Length: ", b"Content-Length: 9999999"), False),
        (plain().replace(b"Content-Length: ", b"Content-Length: x"), False),
        (plain("sk-other"), False),
        (plain("sk-x", b"X-A: b"), False),
        (plain()[:60], False),
        (plain().replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), False),
    ],
)
def test_the_same_head_with_another_length_is_known_again(then: bytes, is_again: bool):
    head = read_head(plain())
    assert head is not None
    assert head.is_again(then) is is_again
    if is_again:
        fresh = read_head(then)
        assert fresh is not None
        assert (head.body_at, head.total, head.fields) == (fresh.body_at, fresh.total, fresh.fields)


def test_a_hostile_head_costs_no_more_than_its_length():
    spaces = plain("sk-x", b"X-A: " + b" " * 15_000 + b"\x00")
    for _ in range(200):  # a head that made the pattern look twice at every byte would take minutes
        assert read_head(spaces) is None


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        return int(head.split(b" ")[1]), await asyncio.wait_for(self.reader.readexactly(length), 10)


@pytest.fixture
async def client(gateway):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
    yield Client(reader, writer)
    writer.close()
    await writer.wait_closed()


def shortcuts(gateway) -> int:
    return len(gateway.worker.shortcuts)


async def test_one_connection_serves_call_after_call_and_then_whatever_else_comes(gateway, client):
    call = plain(gateway.key)
    for _ in range(3):
        await client.send(call)
        assert (await client.answer())[0] == 200
    assert shortcuts(gateway) == 1
    await client.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    status, body = await client.answer()
    assert (status, json.loads(body)["status"]) == (200, "ok")
    assert shortcuts(gateway) == 0
    await client.send(call)
    assert (await client.answer())[0] == 200


async def test_a_body_in_many_pieces_and_one_that_is_late_are_served(gateway, client):
    call = plain(gateway.key)
    head, _, body = call.partition(b"\r\n\r\n")
    for pieces in ([head + b"\r\n\r\n", body], [head + b"\r\n\r\n" + body[:5], body[5:9], body[9:]]):
        for piece in pieces:
            await client.send(piece)
            await asyncio.sleep(0.02)  # so that they come apart
        assert (await client.answer())[0] == 200
    assert shortcuts(gateway) == 1
    await client.send(head + b"\r\n\r\n" + body[:5])
    await eventually(lambda: shortcuts(gateway) == 0, what="the hand-over of a body that does not come")
    await client.send(body[5:])
    assert (await client.answer())[0] == 200


async def test_a_head_in_two_pieces_is_served(gateway, client):
    call = plain(gateway.key)
    await client.send(call[:30])
    await asyncio.sleep(0.02)  # so that they come apart
    await client.send(call[30:])
    assert (await client.answer())[0] == 200


async def test_requests_sent_at_once_are_answered_in_their_order(gateway, upstream, client):
    calls = [
        plain(gateway.key, b"X-Request-Id: call-%d" % n, body=json.dumps({"messages": [{"role": "user", "content": str(n)}]}).encode())
        for n in range(3)
    ]  # fmt: skip
    await client.send(b"".join(calls) + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    statuses = [(await client.answer())[0] for _ in range(4)]
    assert statuses == [200, 200, 200, 200]
    assert [seen.json["messages"][0]["content"] for seen in upstream.seen] == ["0", "1", "2"]


async def test_every_call_of_a_connection_is_that_of_its_own_key(gateway, client):
    keys = [gateway.key, await gateway.new_key("second"), "sk-optyx-nobody"]
    order = [0, 0, 1, 1, 0, 2, 2, 0, 1]
    await client.send(b"".join(plain(keys[n]) for n in order[:5]))  # pipelined
    statuses = [(await client.answer())[0] for _ in range(5)]
    for n in order[5:]:
        await client.send(plain(keys[n]))
        statuses.append((await client.answer())[0])
    assert statuses == [401 if n == 2 else 200 for n in order]
    recorded = "SELECT k.name FROM request_logs r JOIN api_keys k ON k.id = r.key_id ORDER BY r.created_at"
    async with asyncio.timeout(10):
        while len(rows := await gateway.db.fetch(recorded)) < 7:
            await asyncio.sleep(0.02)
    names = [row["name"] for row in rows]
    assert [name == "second" for name in names] == [n == 1 for n in order if n != 2]


async def test_a_key_that_is_disabled_stops_on_a_connection_that_has_used_it(gateway, client):
    key = await gateway.new_key("brief")
    await client.send(plain(key))
    assert (await client.answer())[0] == 200
    await gateway.db.execute("UPDATE api_keys SET disabled_at = now() WHERE name = 'brief'")
    await gateway.changed()
    await client.send(plain(key))
    assert (await client.answer())[0] == 401


async def test_both_ways_give_the_same_answers(gateway):
    async def ask(*more: bytes, body: bytes = GOOD, key: str | None = None) -> tuple[int, bytes]:
        data = plain(gateway.key if key is None else key, b"Connection: close", *more, body=body)
        answer, closed = await wire.exchange(gateway.config.port, data)
        assert closed
        [(status, given)] = wire.answers(answer)
        names = sorted(line.partition(b":")[0].lower() for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:])
        return status, b" ".join(names) + given

    async def both(**how) -> int:
        quick, slow = await ask(**how), await ask(b"X-Not-Plain: \xc3\xa4", **how)
        assert quick[0] == slow[0]
        if quick[0] != 200:
            assert quick == slow
        else:
            assert quick[1].split(b"{")[0] == slow[1].split(b"{")[0]  # the same headers
        return quick[0]

    assert await both() == 200
    assert await both(key="sk-optyx-unknown") == 401
    assert await both(body=b"{") == 400
    assert await both(body=b'{"model":"nobody","messages":[{"role":"user","content":"x"}]}') == 404


async def test_a_call_without_a_key_or_with_a_content_encoding_is_refused_on_the_quick_way(gateway, client):
    bare = plain(gateway.key).replace(b"Authorization: Bearer " + gateway.key.encode() + b"\r\n", b"")
    await client.send(bare)
    assert (await client.answer())[0] == 401
    await client.send(plain(gateway.key, b"Content-Encoding: gzip"))
    assert (await client.answer())[0] == 415
    assert shortcuts(gateway) == 1


async def test_an_idle_connection_is_closed(make_gateway):
    gateway = await make_gateway(GATEWAY_IDLE_TIMEOUT_S="1")
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
    client = Client(reader, writer)
    await client.send(plain(gateway.key))
    assert (await client.answer())[0] == 200
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_a_client_that_leaves_closes_upstream_at_once(gateway, upstream, client):
    upstream.enqueue(silent())
    await client.send(plain(gateway.key, b"X-Request-Id: left"))
    await eventually(lambda: len(upstream.seen) == 1)
    client.writer.transport.abort()
    await asyncio.wait_for(upstream.seen[0].closed.wait(), 1)
    row = await gateway.row("left")
    assert (row["status"], row["end_reason"]) == (499, "client_closed")
