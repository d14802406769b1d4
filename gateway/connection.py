"""One connection to a provider: our request's bytes out, an answer in HTTP/1.1 back into a `Reply`. Opened, kept and closed by `upstream`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, cast
from urllib.parse import urlsplit

import httptools

from gateway.egress import Egress
from gateway.providers.provider import Failure, UpstreamRequest
from gateway.reply import Reply

MAX_HEAD = 64 << 10
READ = {
    name.encode(): name
    for name in (
        "content-length", "transfer-encoding", "content-encoding", "retry-after", "retry-after-ms", "openai-processing-ms",
        "openai-version",
    )
}  # fmt: skip
"""The headers of an answer that anybody reads; a provider sends a dozen more, cookies among them, which are not even decoded."""
SMALL = 16 << 10
"""Up to here a body is copied behind its head: one packet, one call."""
MOST_HEADS = 256

Address = tuple[int, str, int]

_read_buffer = memoryview(bytearray(64 << 10))


class Origin:
    """One scheme, host and port, with the connections that rest there. `dialed`: whom we connect to, a proxy or the provider itself."""

    __slots__ = (
        "address_age", "addresses", "busy", "dialed", "heads", "host", "host_line", "idle", "port", "prefix", "proxy", "secure",
    )  # fmt: skip

    def __init__(self, base_url: str, egress: Egress | None = None) -> None:
        parts = urlsplit(base_url)
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if self.secure else 80)
        self.prefix = parts.path.rstrip("/")
        shown = f"[{self.host}]" if ":" in self.host else self.host
        default = self.port == (443 if self.secure else 80)
        place = shown if default else f"{shown}:{self.port}"
        self.host_line = f"Host: {place}\r\n"
        self.proxy = egress.toward(parts.scheme, self.host, self.port) if egress else None
        self.dialed = (self.proxy.host, self.proxy.port) if self.proxy else (self.host, self.port)
        if self.proxy is not None and not self.secure:  # asked for by absolute URL; https goes through a tunnel
            self.prefix = f"http://{place}{self.prefix}"
            self.host_line += self.proxy.header
        self.idle: deque[Connection] = deque()
        self.busy = 0
        self.addresses: list[Address] = []
        self.address_age = float("-inf")
        self.heads: dict[str, tuple[list[tuple[str, str]], bytes]] = {}
        """By path, the headers and the head that was made of them last: but for its length it is the same for call after call."""


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
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = float("inf")
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
        reply = self.reply
        if reply is None:  # nobody asked: whatever this is, the next answer could not be trusted
            self.close()
            return
        self._received = True
        if self._in_head:
            self._head_size += size
            if not reply.first_byte_ns:
                reply.first_byte_ns = time.perf_counter_ns()
        try:
            self._parser.feed_data(_read_buffer[:size])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                reply.finish(Failure("malformed", f"the answer is not HTTP ({type(error).__name__})"))
            self.close()
            return
        if self._fields_size > MAX_HEAD or (self._in_head and self._head_size > MAX_HEAD):
            reply.finish(Failure("malformed", "the answer's headers are larger than 64 KiB"))
            self.close()
        elif self._complete:
            self._end_of_message(reply)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self._timer is not None:
            self._timer.cancel()
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
        read = READ.get(name.lower())
        if read is not None:
            reply = self.reply
            if reply is not None and not self._is_spoilt:
                reply.headers[read] = value.decode("latin-1")

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

    def send(self, reply: Reply, data: list[bytes], within_s: float) -> None:
        """Writes the request; the reply is filled as bytes come, and ends as a timeout when they don't come in time."""
        self.reply = reply
        reply.connection = self
        self._head_size = self._fields_size = 0
        self._in_head = True
        self._complete = self._keeps = self._received = self._framed = False
        self.origin.busy += 1
        reply.due_in_s = within_s
        reply.due = due = asyncio.get_running_loop().time() + within_s
        if due < self._looks_at:
            self.look_at(due)
        if self._transport is not None:
            self._transport.writelines(data)

    def look_at(self, at: float) -> None:
        """Looks at the reply's time limit then, or before. One timer a connection: it looks again when it fires too early, since setting
        and clearing one for each call costs 0.7 µs in a tight loop, and more in a call."""
        if at < self._looks_at:
            if self._timer is not None:
                self._timer.cancel()
            self._looks_at = at
            self._timer = asyncio.get_running_loop().call_at(at, self._look)

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

    def _look(self) -> None:
        self._timer = None
        self._looks_at = float("inf")
        if self.reply is not None:
            now = asyncio.get_running_loop().time()
            left = self.reply.look(now)
            if left > 0:
                self.look_at(now + left)

    @property
    def certificate(self) -> dict[str, Any]:
        """The provider's, as `ssl` reads it; empty without TLS."""
        return (self._transport and self._transport.get_extra_info("peercert")) or {}

    @property
    def received(self) -> bool:
        return self._received

    def _end_of_message(self, reply: Reply) -> None:
        self.reply = None
        self.origin.busy -= 1
        reply.connection = None
        if self._keeps and self.is_open and not self._is_spoilt:
            if self.is_paused:
                self.resume_reading()
            self.rested_at = time.monotonic()
            self.origin.idle.append(self)
        else:
            self.close()
        reply.finish(None)


def encode_request(origin: Origin, request: UpstreamRequest) -> list[bytes]:
    """The request's bytes. A large body stays apart from its head, so that it is not copied."""
    headers, head = origin.heads.get(request.path, ([], b""))
    if headers != request.headers or request.method != "POST":
        head = _encode_head(origin, request)
    body = request.body
    if len(body) > SMALL:
        return [b"%bContent-Length: %d\r\n\r\n" % (head, len(body)), body]
    return [b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)]


def _encode_head(origin: Origin, request: UpstreamRequest) -> bytes:
    lines = [f"{request.method} {origin.prefix}{request.path} HTTP/1.1\r\n", origin.host_line]
    lines += [f"{name}: {_one_line(value)}\r\n" for name, value in request.headers]
    lines.append("User-Agent: optyx\r\n")
    head = "".join(lines).encode("latin-1", "replace")
    if request.method == "POST":
        if len(origin.heads) >= MOST_HEADS:
            origin.heads.clear()
        origin.heads[request.path] = request.headers, head
    return head


def _one_line(value: str) -> str:
    return value.replace("\r", "").replace("\n", "") if "\n" in value or "\r" in value else value
