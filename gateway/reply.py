"""What comes back from a provider for one request, as `connection` fills it and `proxy/exchange` and `proxy/forward` read it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.providers.provider import Failure


class Carrier(Protocol):
    """The connection that a reply comes on."""

    is_paused: bool

    def close(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def look_at(self, at: float) -> None: ...


class Reply:
    """Chunks are collected until a `sink` is set, then handed to it at once. `ended` with `failure` None is a complete answer; `aborted`
    says that we closed it ourselves."""

    __slots__ = (
        "aborted", "chunks", "connection", "due", "due_in_s", "ended", "failure", "first_byte_ns", "headers", "idle_s", "is_stream",
        "last_byte", "limit", "on_end", "reused", "sink", "size", "status", "waiter",
    )  # fmt: skip

    def __init__(self, is_stream: bool, limit: int) -> None:
        self.is_stream = is_stream
        self.limit = limit
        """The most bytes that are collected."""
        self.status = 0
        self.headers: dict[str, str] = {}
        """Those of `connection.READ`."""
        self.chunks: list[bytes] = []
        self.size = 0
        self.ended = False
        self.aborted = False
        self.failure: Failure | None = None
        self.sink: Callable[[bytes], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self.connection: Carrier | None = None
        self.first_byte_ns = 0
        self.reused = False
        self.due = 0.0
        """When the answer must be whole, or the stream's first byte be here: the loop's time."""
        self.due_in_s = 0.0
        self.idle_s = 0.0
        """From the first event on: how long a stream may be silent."""
        self.last_byte = 0.0
        self.waiter: asyncio.Future[None] | None = None

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
        return self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)

    def start_idle_timer(self, idle_s: float) -> None:
        """From now on the time between chunks is what counts."""
        self.idle_s = idle_s
        self.last_byte = asyncio.get_running_loop().time()
        if self.connection is not None:
            self.connection.look_at(self.last_byte + idle_s)

    def look(self, now: float) -> float:
        """Seconds until it has taken too long; 0 when it just has, and is ended."""
        if self.idle_s:
            is_paused = self.connection is not None and self.connection.is_paused
            left = (
                self.idle_s if is_paused else self.last_byte + self.idle_s - now
            )  # paused: the client is slow, not the provider
            why = f"no byte for {self.idle_s:g} s"
        else:
            left = self.due - now
            why = f"no {'first byte' if self.is_stream else 'whole answer'} in {self.due_in_s:g} s"
        if left > 0:
            return left
        self.expire(why)
        return 0.0

    def abort(self) -> None:
        """Closes the connection at once; the reply ends without a failure of the upstream's."""
        if not self.ended:
            self.aborted = True
            self.finish(Failure("reset", "closed by us"))
            if self.connection is not None:
                self.connection.close()

    def expire(self, why: str) -> None:
        self.finish(Failure("timeout", why))
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
