"""Connections to providers: HTTP/1.1 over our own protocol, kept alive per origin. The only module that catches network errors; they
come back as `Failure` values. Called by `proxy/exchange`, and by the admin API's provider test.

aiohttp's client session costs about 200 µs of CPU a request, this about 30 (bench/overhead.py). What it must get right is
listed in the tests: stale keep-alive, 1xx, every framing, truncation, limits, cancellation, back-pressure, caps.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

import httptools

from gateway.addresses import refused_address
from gateway.catalog import Provider, Timeouts
from gateway.providers.provider import Failure, UpstreamRequest

MAX_HEAD = 64 << 10
STREAM_ROOM = 9 << 20
"""What a stream may hold back before its first event is complete: one event of 8 MiB and a little."""
IDLE_S = 30.0
"""An idle connection is closed after this long: before most servers close theirs (nginx: 75 s, node: 5 s, hence the stale retry)."""
DNS_FRESH_S = 30.0
DNS_STALE_S = 3600.0

Address = tuple[int, str, int]

_read_buffer = memoryview(bytearray(64 << 10))


class Origin:
    """One scheme, host and port, with the connections that rest there."""

    __slots__ = ("address_age", "addresses", "busy", "head", "host", "idle", "ipv", "port", "prefix", "secure")

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.secure else 80)
        self.prefix = parts.path.rstrip("/")
        shown = f"[{self.host}]" if ":" in self.host else self.host
        default = self.port == (443 if self.secure else 80)
        self.head = f"Host: {shown if default else f'{shown}:{self.port}'}\r\n"
        self.idle: deque[Connection] = deque()
        self.busy = 0
        self.addresses: list[Address] = []
        self.address_age = float("-inf")


class Reply:
    """What comes back on one connection for one request. Chunks are collected until a `sink` is set, then handed to it at once.

    `ended` with `failure` None is a complete answer; `aborted` says that we closed it ourselves.
    """

    __slots__ = (
        "aborted", "body_started", "chunks", "connection", "ended", "failure", "first_byte_ns", "headers", "idle_s", "is_stream",
        "last_byte", "limit", "on_end", "reused", "sink", "size", "status", "timer", "waiter", "wants",
    )  # fmt: skip

    def __init__(self, is_stream: bool, limit: int) -> None:
        self.is_stream = is_stream
        self.limit = limit
        self.status = 0
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.size = 0
        self.ended = False
        self.aborted = False
        self.failure: Failure | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.sink: Callable[[bytes], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self.connection: Connection | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.first_byte_ns = 0
        self.reused = False
        self.idle_s = 0.0
        self.last_byte = 0.0

    @property
    def is_answer(self) -> bool:
        return 200 <= self.status < 300

    async def ready(self) -> None:
        """Returns when there is something to act on: a chunk of a stream that is an answer, or the end."""
        if self.ended or (self.chunks and self.is_stream and self.is_answer):
            return
        self.waiter = asyncio.get_running_loop().create_future()
        try:
            await self.waiter
        except asyncio.CancelledError:
            self.abort()
            raise

    def take(self) -> bytes:
        """The chunks so far, joined; they are gone from here."""
        chunks, self.chunks, self.size = self.chunks, [], 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def body(self) -> bytes:
        return b"".join(self.chunks)

    def start_idle_timer(self, idle_s: float) -> None:
        """From now on the time between chunks is what counts. One timer that looks at the last byte's time when it fires."""
        self.idle_s = idle_s
        self.last_byte = asyncio.get_running_loop().time()
        self._arm(idle_s)

    def abort(self) -> None:
        """Closes the connection at once; the reply ends without a failure of the upstream's."""
        if not self.ended:
            self.aborted = True
            self.finish(Failure("reset", "closed by us"))
            if self.connection is not None:
                self.connection.close()

    def expire(self, which: str) -> None:
        self.finish(Failure("timeout", which))
        if self.connection is not None:
            self.connection.close()

    def receive(self, chunk: bytes) -> None:
        if self.ended:
            return
        if self.idle_s:
            self.last_byte = asyncio.get_running_loop().time()
        if self.sink is not None:
            self.sink(chunk)
            return
        self.chunks.append(chunk)
        self.size += len(chunk)
        if self.size > self.limit:
            self.finish(Failure("malformed", f"the answer is larger than {self.limit >> 20} MiB"))
            if self.connection is not None:
                self.connection.close()
        elif self.is_stream and self.is_answer:
            self._wake()

    def finish(self, failure: Failure | None) -> None:
        if self.ended:
            return
        self.ended = True
        self.failure = failure
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self._wake()
        if self.on_end is not None:
            self.on_end()

    def pause(self) -> None:
        if self.connection is not None:
            self.connection.pause_reading()

    def resume(self) -> None:
        if self.connection is not None:
            self.last_byte = asyncio.get_running_loop().time()
            self.connection.resume_reading()

    def _wake(self) -> None:
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _arm(self, seconds: float) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        quiet = asyncio.get_running_loop().time() - self.last_byte
        if self.connection is not None and self.connection.is_paused:
            quiet = 0.0  # the client is slow, not the provider
        if quiet >= self.idle_s:
            self.expire(f"no byte for {self.idle_s:g} s")
        else:
            self._arm(self.idle_s - quiet)


class Connection(asyncio.BufferedProtocol):
    """One TCP or TLS connection; one request at a time. httptools (llhttp) parses what comes back.

    What is read at once bounds what a client that reads slowly makes us hold: 64 KiB, where asyncio and uvloop read 250 otherwise. All
    connections read into one buffer, since nothing of it is needed once `buffer_updated` returns.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.reply: Reply | None = None
        self.rested_at = 0.0
        self.is_open = False
        self.is_paused = False
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._head_size = 0
        self._fields_size = 0
        self._in_head = True
        self._framed = False
        self._complete = False
        self._keeps = False
        self._received = False
        self._is_spoilt = False

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def get_buffer(self, _size_hint: int) -> memoryview:
        return _read_buffer

    def buffer_updated(self, size: int) -> None:
        data = _read_buffer[:size]
        reply = self.reply
        if reply is None:  # nobody asked: whatever this is, the next answer could not be trusted
            self.close()
            return
        self._received = True
        if self._in_head:
            self._head_size += len(data)
            if not reply.first_byte_ns:
                reply.first_byte_ns = time.perf_counter_ns()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                reply.finish(Failure("malformed", f"the answer is not HTTP ({type(error).__name__})"))
            self.close()
            return
        if max(self._head_size if self._in_head else 0, self._fields_size) > MAX_HEAD:
            reply.finish(Failure("malformed", "the answer's headers are larger than 64 KiB"))
            self.close()
        elif self._complete:
            self._end_of_message(reply)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        reply, self.reply = self.reply, None
        if reply is None:
            if self in self.origin.idle:
                self.origin.idle.remove(self)
            return
        self.origin.busy -= 1
        if not self._received:
            reply.finish(Failure("reset", "the connection was closed before any answer"))
        elif self._in_head:
            reply.finish(Failure("truncated", "the connection was closed inside the headers", reply.status or None))
        elif self._framed or error is not None:
            reply.finish(Failure("truncated", "the connection was closed inside the answer", reply.status))
        else:
            reply.finish(None)  # neither a length nor chunks: the end of the connection is the end of the answer

    def pause_writing(self) -> None:
        """A large body is on its way; asyncio keeps what was written."""

    def resume_writing(self) -> None:
        """See pause_writing."""

    # what the parser calls

    def on_message_begin(self) -> None:
        """A second answer behind the first was not asked for: it must not become the next caller's."""
        self._is_spoilt = self._complete

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields_size += len(name) + len(value)
        if self.reply is not None and not self._is_spoilt:
            self.reply.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        reply = self.reply
        if reply is None or self._is_spoilt:
            return
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue, 103 Early Hints: not the answer
            reply.headers.clear()
            return
        reply.status = status
        self._in_head = False
        self._framed = "content-length" in reply.headers or "transfer-encoding" in reply.headers or status in (204, 304)

    def on_body(self, body: bytes) -> None:
        if self.reply is not None and not self._is_spoilt:
            self.reply.receive(body)

    def on_message_complete(self) -> None:
        if not self._in_head:
            self._complete = True
            self._keeps = (
                self._parser.should_keep_alive()
            )  # only known here: the parser forgets the framing right after

    # what upstream and replies call

    def send(self, reply: Reply, data: list[bytes]) -> None:
        """Writes the request; the reply is filled as bytes come."""
        self.reply = reply
        reply.connection = self
        self._head_size = self._fields_size = 0
        self._in_head = True
        self._complete = self._keeps = self._received = self._framed = False
        self.origin.busy += 1
        if self._transport is not None:
            self._transport.writelines(data)

    def close(self) -> None:
        """Aborts: nothing that is still to be sent matters any more."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        if self._transport is not None and not self.is_paused and self.is_open:
            self.is_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and self.is_paused:
            self.is_paused = False
            if self.is_open:
                self._transport.resume_reading()

    @property
    def received(self) -> bool:
        return self._received

    def _end_of_message(self, reply: Reply) -> None:
        self.reply = None
        self.origin.busy -= 1
        reply.connection = None
        if self._keeps and self.is_open and not self._is_spoilt and reply.status >= 200:
            self.resume_reading()
            self.rested_at = time.monotonic()
            self.origin.idle.append(self)
        else:
            self.close()
        reply.finish(None)


class Upstream:
    """The pools of one worker."""

    def __init__(self, max_answer: int, tls: ssl.SSLContext | None = None) -> None:
        self._max_answer = max_answer
        self._origins: dict[str, Origin] = {}
        self._tls = tls
        self._lookups: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    async def fetch(
        self,
        provider: Provider,
        request: UpstreamRequest,
        timeouts: Timeouts,
        is_stream: bool,
        on_reply: Callable[[Reply], None],
    ) -> Reply:
        """Sends, and waits until the reply is ready. `on_reply` is told of the reply before anything is waited for, so that it can
        be aborted. A connection that had been kept alive and died without one byte of answer is replaced, once."""
        origin = self._origins.get(provider.base_url)
        if origin is None:
            origin = self._origins[provider.base_url] = Origin(provider.base_url)
        data = encode_request(origin, request)
        may_rest = True
        while True:
            reply = Reply(is_stream, max(self._max_answer, STREAM_ROOM) if is_stream else self._max_answer)
            on_reply(reply)
            connection = self._resting(origin) if may_rest else None
            reply.reused = connection is not None
            if connection is None:
                if origin.busy >= provider.max_connections:
                    reply.finish(
                        Failure("overloaded", f"{provider.max_connections} connections to {provider.name} are busy")
                    )
                    return reply
                opened = await self._connect(origin, timeouts.connect_ms / 1000)
                if isinstance(opened, Failure):
                    reply.finish(opened)
                    return reply
                connection = opened
                if reply.ended:  # aborted while we were connecting: nothing has been asked
                    connection.close()
                    return reply
            wait_ms = timeouts.whole_ms
            if is_stream:
                wait_ms = min(timeouts.first_byte_ms, timeouts.total_ms or timeouts.first_byte_ms)
            what = "no first byte" if is_stream else "no whole answer"
            loop = asyncio.get_running_loop()
            reply.timer = loop.call_later(wait_ms / 1000, reply.expire, f"{what} in {wait_ms / 1000:g} s")
            connection.send(reply, data)
            await reply.ready()
            failure = reply.failure
            if (
                failure is not None
                and failure.kind == "reset"
                and reply.reused
                and not connection.received
                and not reply.aborted
            ):
                may_rest = False  # whatever else has rested may be as dead
                continue
            return reply

    def sweep(self) -> None:
        """Closes what has rested too long; called every few seconds."""
        before = time.monotonic() - IDLE_S
        for origin in self._origins.values():
            while origin.idle and origin.idle[0].rested_at < before:
                origin.idle.popleft().close()

    def close(self) -> None:
        for origin in self._origins.values():
            while origin.idle:
                origin.idle.popleft().close()

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Busy and resting connections by base URL."""
        return {url: (origin.busy, len(origin.idle)) for url, origin in self._origins.items()}

    @staticmethod
    def _resting(origin: Origin) -> Connection | None:
        before = time.monotonic() - IDLE_S
        while origin.idle:
            connection = origin.idle.pop()
            if connection.is_open and connection.rested_at >= before:
                return connection
            connection.close()
        return None

    async def _connect(self, origin: Origin, timeout_s: float) -> Connection | Failure:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                addresses = await self._resolve(origin)
                tls = self._context() if origin.secure else None
                error: OSError | None = None
                for family, host, port in addresses:
                    refused_here = refused_address(host)
                    if refused_here is not None:
                        return Failure("connect", refused_here)
                    try:
                        _, connection = await loop.create_connection(
                            lambda: Connection(origin),
                            host,
                            port,
                            family=family,
                            ssl=tls,
                            server_hostname=origin.host if tls else None,
                        )
                    except ssl.SSLError as refused:
                        return Failure("connect", f"TLS: {refused.reason or 'handshake failed'}")
                    except OSError as refused:
                        error = refused
                    else:
                        return connection
                return Failure("connect", _said(error))
        except TimeoutError:
            return Failure("timeout", f"no connection in {timeout_s:g} s")
        except socket.gaierror as failed:
            return Failure("connect", f"DNS: {origin.host}: {failed.strerror}")
        except OSError as failed:
            return Failure("connect", _said(failed))

    async def _resolve(self, origin: Origin) -> list[Address]:
        """Cached half a minute; a name that can't be resolved any more keeps its last addresses for an hour. Off the loop."""
        now = time.monotonic()
        if now - origin.address_age < DNS_FRESH_S:
            return origin.addresses
        try:
            family = socket.AF_INET6 if ipaddress.ip_address(origin.host).version == 6 else socket.AF_INET
        except ValueError:
            pass
        else:
            origin.addresses, origin.address_age = [(family, origin.host, origin.port)], float("inf")
            return origin.addresses
        key = (origin.host, origin.port)
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._lookups[key] = asyncio.create_task(_look_up(*key), name=f"dns {origin.host}")
            lookup.add_done_callback(lambda _: self._lookups.pop(key, None))
        try:
            origin.addresses = await asyncio.shield(lookup)
            origin.address_age = now
        except OSError:
            if not origin.addresses or now - origin.address_age > DNS_STALE_S:
                raise
        return origin.addresses

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def encode_request(origin: Origin, request: UpstreamRequest) -> list[bytes]:
    """The request's bytes: head and body apart, so that a large body is not copied."""
    lines = [f"{request.method} {origin.prefix}{request.path} HTTP/1.1\r\n", origin.head]
    lines += [f"{name}: {_one_line(value)}\r\n" for name, value in request.headers]
    lines.append(f"User-Agent: optyx\r\nContent-Length: {len(request.body)}\r\n\r\n")
    head = "".join(lines).encode("latin-1", "replace")
    return [head, request.body] if len(request.body) > 16384 else [head + request.body]


def _one_line(value: str) -> str:
    return value.replace("\r", "").replace("\n", "") if "\n" in value or "\r" in value else value


async def _look_up(host: str, port: int) -> list[Address]:
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(int(family), str(address[0]), int(address[1])) for family, _, _, _, address in infos]


def _said(error: OSError | None) -> str:
    return "no address" if error is None else (error.strerror or str(error) or type(error).__name__)
