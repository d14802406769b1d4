"""The quick way in: takes plain calls off the socket itself and hands every other connection, unchanged, to aiohttp (`front`).

Plain is what every SDK sends: `POST` to a call's path in HTTP/1.1, a head that comes in one piece, well-formed to the letter and in
ASCII, no header twice, a `Content-Length` and no other framing, a body of at most 1 MiB that is there within a second. Anything else,
from `GET /health` to a smuggler's try, goes to aiohttp's parser with all bytes it sent so far, and so does the rest of that connection.
Both ways lead to the same steps; what the shorter one saves is what bench/overhead.py measures.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from gateway.caller import Waiting
from gateway.proxy.body import too_large
from gateway.reader import ReaderWatch

if TYPE_CHECKING:
    from gateway.front import Serve, Server
    from gateway.proxy.heading import Heading

MAX_HEAD = 16 << 10
MAX_FIELDS = 64
MAX_BODY = 1 << 20
MAX_PIPELINED = 256 << 10
WHOLE_IN_S = 1.0

_LINE = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*\r\n"
"""No two of its parts can match the same byte, so that a line that fails costs no more than its length."""
_HEAD = re.compile(rb"POST (/[a-z0-9/_]+) HTTP/1\.1\r\n((?:" + _LINE + rb")+)\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[\t ]*(\d+)[\t ]*\r\n", re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_NOT_PLAIN = frozenset({"transfer-encoding", "expect", "upgrade", "te", "trailer", "http2-settings"})


class Head:
    """A request's head, read; `fields` without the length. `total` is the size of the head and its body; `serve` is who answers it. What a
    call has made of it (`digest` of the key it brings, `heading`) the next call with the same head need not make again."""

    __slots__ = ("_after", "_before", "body_at", "digest", "fields", "heading", "keep_alive", "path", "serve", "total")

    def __init__(self, raw: bytes, path: str, fields: dict[str, str], length: int) -> None:
        self.path = path
        self.fields = fields
        self.body_at = len(raw)
        self.total = len(raw) + length
        self.keep_alive = fields.get("connection", "keep-alive").lower() != "close"
        self.serve: Serve | None = None
        self.digest: bytes | None = None
        self.heading: Heading | None = None
        found = _LENGTH.search(raw)
        assert found is not None
        self._before, self._after = raw[: found.start(1)], raw[found.end(1) :]

    def is_again(self, data: bytes) -> bool:
        """Does `data` begin with this head, but for the length? That is then the new one. Clients that keep a connection send the same
        head again and again: reading it costs 5.4 µs, seeing that 0.7."""
        start = len(self._before)
        end = data.find(b"\r", start, start + 8)
        length = data[start:end]
        if (
            end < 0
            or not length.isdigit()
            or not data.startswith(self._before)
            or not data.startswith(self._after, end)
        ):
            return False
        size = int(length)
        self.body_at = end + len(self._after)
        self.total = self.body_at + size
        return size <= MAX_BODY


def read_head(data: bytes) -> Head | None:
    """The head at the start of `data`; None when it is not plain, or not all there."""
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD) + 4
    found = _HEAD.fullmatch(data, 0, end) if end > 4 else None
    if found is None:
        return None
    fields: dict[str, str] = {}
    lines = found[2].decode().split("\r\n")
    lines.pop()
    for line in lines:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip(" \t")
    if len(fields) != len(lines) or len(lines) > MAX_FIELDS or not _NOT_PLAIN.isdisjoint(fields):
        return None
    length = fields.pop("content-length", "")
    if not (length.isascii() and length.isdigit() and len(length) < 8) or int(length) > MAX_BODY:
        return None
    if not _HOST.fullmatch(fields.get("host", "")) or fields.get("connection", "").lower() not in (
        "",
        "keep-alive",
        "close",
    ):
        return None
    return Head(found[0], found[1].decode(), fields, int(length))


class PlainCaller(Waiting, eq=False):
    """A plain request as the steps want it (proxy.call.Caller). Its body has come."""

    header: Callable[[str], str | None]
    transport: asyncio.Transport
    whole_body: bytes

    async def body(self, limit: int) -> bytes:
        if len(self.whole_body) > limit:
            raise too_large(limit)
        return self.whole_body

    def write(self, data: bytes) -> None:
        if not self.is_gone:
            self.transport.write(data)

    @property
    def address(self) -> str | None:
        peer = self.transport.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else None

    @property
    def forwarded_for(self) -> str:
        """A plain head has no header twice."""
        return self.header("x-forwarded-for") or ""


class Shortcut(asyncio.Protocol):
    """One client connection, until it sends something that is not plain. One task serves all its calls: a task a call would cost 9 µs."""

    transport: asyncio.Transport

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.is_paused = False
        self._server = server
        self._loop = loop
        self._buffer = b""
        self._head: Head | None = None
        self._last: Head | None = None
        """The head before: a client that keeps its connection mostly sends the same again."""
        self._caller: PlainCaller | None = None
        self._served: Head | None = None
        """That of the call under way."""
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._whole_timer: asyncio.TimerHandle | None = None
        self._idle_since = loop.time()
        self._reading = True

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._watch = ReaderWatch(self._loop, self.transport, self._server.config.write_timeout_s)
        self._server.shortcuts.add(self)
        self._timer = self._loop.call_later(self._server.config.idle_timeout_s, self._look_if_idle)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if self._caller is None:
            self._next()
        elif len(self._buffer) > MAX_PIPELINED and self._reading:
            self._reading = False
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        self._watch.stop()
        caller, self._caller = self._caller, None
        if caller is not None:
            caller.leave()
        elif self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self.is_paused = True
        self._watch.start()
        if self._caller is not None:
            self._caller.set_paused(True)

    def resume_writing(self) -> None:
        self.is_paused = False
        self._watch.stop()
        if self._caller is not None:
            self._caller.set_paused(False)

    # what the server calls

    @property
    def task(self) -> asyncio.Task[None] | None:
        return self._task

    def close(self) -> None:
        """The gateway stops: whatever is under way was given its time."""
        self.transport.close()

    def close_if_idle(self) -> None:
        if self._caller is None:
            self.transport.close()

    # inside

    def _next(self) -> None:
        """Begins the call whose bytes are all here; waits for what is missing; hands over what is not plain."""
        buffer, head = self._buffer, self._head
        if head is None:
            head = self._last
            if head is None or not head.is_again(buffer):
                head = read_head(buffer)
                if head is not None:
                    head.serve = self._server.routes.get(head.path)
                if head is None or head.serve is None:
                    self._hand_over()
                    return
                self._last = head
        if len(buffer) < head.total:
            self._head = head
            if self._whole_timer is None:
                self._whole_timer = self._loop.call_later(WHOLE_IN_S, self._hand_over)
            return
        if self._whole_timer is not None:
            self._whole_timer.cancel()
            self._whole_timer = self._head = None
        self._buffer = buffer[head.total :]
        self._served = head
        self._caller = PlainCaller(
            head.fields.get,
            self.transport,
            buffer[head.body_at : head.total],
            keep_alive=head.keep_alive,
            digest=head.digest,
            heading=head.heading,
            is_paused=self.is_paused,
        )
        if self._waiter is not None:
            self._waiter.set_result(None)
        else:
            self._task = self._loop.create_task(self._serve_calls(), name="calls of a connection")

    async def _serve_calls(self) -> None:
        """Call after call, as long as the connection is ours."""
        while True:
            caller, head = self._caller, self._served
            assert caller is not None
            assert head is not None
            assert head.serve is not None
            await head.serve(caller)
            self._caller = None
            head.digest, head.heading = caller.digest, caller.heading
            if caller.is_gone:
                return
            if not caller.keep_alive:
                self.transport.close()
                return
            self._idle_since = self._loop.time()
            self._waiter = self._loop.create_future()
            if self._buffer:
                self._loop.call_soon(self._after)
            await self._waiter
            self._waiter = None

    def _after(self) -> None:
        """What came in while a call was under way."""
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()
        if self._buffer and self._caller is None and not self.transport.is_closing():
            self._next()

    def _hand_over(self) -> None:
        """From here on the connection is aiohttp's, with every byte that was not served."""
        if self.transport.is_closing():
            return
        self._forget()
        if self._task is not None:
            self._task.cancel()
        data, self._buffer = self._buffer, b""
        heir = self._server.connection()
        self.transport.set_protocol(heir)
        heir.connection_made(self.transport)
        self._loop.call_soon(heir.take_over, data)  # after the task that connection_made has just begun

    def _look_if_idle(self) -> None:
        """One timer a connection, set anew only when it fires."""
        timeout_s = self._server.config.idle_timeout_s
        left = timeout_s - (self._loop.time() - self._idle_since)
        if self._caller is not None:
            left = timeout_s
        if left > 0:
            self._timer = self._loop.call_later(left, self._look_if_idle)
        else:
            self.transport.close()

    def _forget(self) -> None:
        self._server.shortcuts.discard(self)
        for timer in (self._timer, self._whole_timer):
            if timer is not None:
                timer.cancel()
