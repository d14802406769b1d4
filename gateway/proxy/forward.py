"""Carries a stream from a provider to the client, chunk by chunk, without a task or an await in between.

Upstream's chunks come into `receive`, go through the translator and straight to the client's transport. A client that reads slowly
pauses upstream; one that leaves closes it. However it ends, `_end` writes the record before the client's last byte.
"""

from __future__ import annotations

import asyncio
import time

from gateway import errors
from gateway.providers import sse
from gateway.providers.provider import Failure
from gateway.proxy import answer
from gateway.proxy.call import Call, Caller, Plane, Replay
from gateway.proxy.exchange import Streaming
from gateway.proxy.leave import runs_on
from gateway.proxy.meter import meter, seen
from gateway.proxy.record import finish, note, synced_anyhow
from gateway.records import EndReason

FIRST_NOTE_S = 0.25
NOTE_EVERY_S = 1.0
"""How often a stream's progress is journaled: 3 µs each, and none for the short ones."""


class Relay:
    """One stream under way."""

    __slots__ = (
        "_call", "_caller", "_captured", "_chunked", "_giving", "_has_begun", "_is_deaf", "_is_recorded", "_kept", "_kept_size", "_note_at", "_over",
        "_plane", "_replay", "_reply", "_streaming", "_total",
    )  # fmt: skip

    def __init__(
        self, plane: Plane, caller: Caller, call: Call, streaming: Streaming, replay: Replay | None = None
    ) -> None:
        self._plane = plane
        self._caller = caller
        self._call = call
        self._captured = call.captured
        self._streaming = streaming
        self._reply = streaming.reply
        self._chunked = not caller.is_http_10
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._total: asyncio.TimerHandle | None = None
        self._note_at = asyncio.get_running_loop().time() + FIRST_NOTE_S
        self._is_recorded = False
        self._giving: asyncio.Task[None] | None = None
        self._is_deaf = call.is_gone  # nobody listens: upstream is read for the record's sake
        self._has_begun = not call.is_gone
        self._replay = replay
        self._kept: list[bytes] | None = None if replay is None else []
        self._kept_size = 0

    async def run(self) -> None:
        """Returns when the client has its last byte, or has left."""
        plane, caller, reply = self._plane, self._caller, self._reply
        timeouts = self._streaming.target.timeouts
        plane.relays.add(self)
        caller.on_gone = self.client_gone
        caller.on_cut = self.cut
        caller.on_resume = self._pause_or_resume
        if timeouts.total_ms is not None:
            left_s = timeouts.total_ms / 1000 - self._call.elapsed_ms() / 1000
            self._total = asyncio.get_running_loop().call_later(
                max(0.0, left_s), reply.expire, "the stream took too long in all"
            )
        try:
            if not self._is_deaf:
                caller.write(answer.stream_head(plane, caller, self._call))
            self._pass_on(self._streaming.head)
            if not self._is_recorded:
                reply.sink = self.receive
                reply.on_end = self._upstream_ended
                if reply.chunks:
                    self.receive(reply.take())
                if reply.ended:
                    self._upstream_ended()
                else:
                    reply.start_idle_timer(timeouts.idle_ms / 1000)
                if caller.is_paused:
                    reply.pause()
            await self._over
        finally:
            plane.relays.discard(self)
            caller.on_gone = caller.on_cut = caller.on_resume = None
            if self._total is not None:
                self._total.cancel()

    def receive(self, chunk: bytes) -> None:
        """Upstream's bytes, at once to the client."""
        if not self._is_recorded:
            self._pass_on(self._streaming.translator.feed(chunk))

    def client_gone(self) -> None:
        """Upstream is closed at once and what was seen so far is recorded, unless the provider's answers are read to their end."""
        if self._is_recorded:
            return
        self._call.is_gone = self._is_deaf = True
        if runs_on(self._plane, self._call):
            self._reply.resume()
        else:
            self._end("client_closed", 200, None)

    def cut(self) -> None:
        """Our own shutdown can't wait any longer."""
        self._fail(Failure("truncated", "the gateway is shutting down"), "drained")

    def _pass_on(self, data: bytes) -> None:
        translator = self._streaming.translator
        if translator.failure is not None:
            self._write(data)
            self._fail(translator.failure, "upstream_truncated")
        elif translator.done:
            self._end("complete", 200, data)
        else:
            self._write(data)
            if self._reply.last_byte >= self._note_at:
                self._note()

    def _note(self) -> None:
        translator, target = self._streaming.translator, self._streaming.target
        self._note_at = self._reply.last_byte + NOTE_EVERY_S
        note(self._plane, self._call, target, seen(self._call, translator))

    def _write(self, data: bytes) -> None:
        if data and self._captured is not None:
            self._captured.add(data)
        if data and self._kept is not None:
            self._keep(data)
        if data and not self._is_deaf:
            self._caller.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def _keep(self, data: bytes) -> None:
        """For the Idempotency-Key; an answer that is too large is not kept."""
        assert self._kept is not None
        assert self._replay is not None
        self._kept.append(data)
        self._kept_size += len(data)
        if self._kept_size > self._replay.max_size:
            self._kept = None

    def _upstream_ended(self) -> None:
        if self._is_recorded:
            return
        translator = self._streaming.translator
        if self._reply.failure is not None and not translator.complete:
            failure = self._reply.failure
            self._fail(failure, "upstream_timeout" if failure.kind == "timeout" else "upstream_truncated")
            return
        tail = translator.close()
        if translator.failure is not None:
            self._fail(translator.failure, "upstream_truncated")
        else:
            self._end("complete", 200, tail)

    def _fail(self, failure: Failure, reason: EndReason) -> None:
        """After the first byte a failure is an error event and an end without [DONE]: SDKs take a clean end for success."""
        if self._is_recorded:
            return
        code = {"upstream_timeout": "upstream_timeout", "drained": "draining"}.get(reason, "upstream_truncated")
        if failure.kind == "status":
            code = "upstream_error"
        error = errors.UpstreamFailed(
            failure.message or f"The stream broke off: {failure.detail or failure.kind}.", code=code
        )
        self._call.error_code = code
        if self._call.attempts:
            self._call.attempts[-1].failure = failure.kind
            self._call.attempts[-1].detail = failure.detail
        self._end(reason, 200, sse.event(errors.body(error)), failure)

    def _end(self, reason: EndReason, status: int, last: bytes | None, failure: Failure | None = None) -> None:
        """Meters, records, and only then gives the client its last bytes. `last` None: there is nobody to give them to."""
        if self._is_recorded:
            return
        self._is_recorded = True
        call, streaming, plane = self._call, self._streaming, self._plane
        translator, target = streaming.translator, streaming.target
        is_whole = reason == "complete"
        if self._is_deaf and reason != "drained":
            reason = "client_closed"
        call.status = status if self._has_begun else 499
        call.finish = translator.finish
        call.error_code = "client_closed" if reason == "client_closed" else call.error_code
        if call.attempts:
            call.attempts[-1].ms = round(call.elapsed_ms() - call.attempts[-1].start_ms, 3)
        call.upstream_ns += max(0, time.perf_counter_ns() - call.exchanged_ns)
        meter(call, target, translator.usage, translator.tokens_seen, is_partial=translator.usage_is_partial)
        if self._captured is not None:
            self._captured.add(last or b"")
            self._captured = None  # it is handed over with the record
        finish(plane, call, reason)
        if not is_whole and reason in ("client_closed", "drained"):
            plane.health.abandon(target)
        else:
            plane.health.leave(target, failure, call.elapsed_ms(), time.monotonic())
        self._reply.sink = _ignore
        self._reply.on_end = None
        if not is_whole:
            self._reply.abort()
        if self._replay is not None or (plane.durable and last is not None):
            self._giving = asyncio.create_task(self._give_later(last, is_whole), name="last bytes")
        else:
            self._give_last(last)

    async def _give_later(self, last: bytes | None, is_whole: bool) -> None:
        """The last bytes wait for the disk, and for the answer to be kept for its Idempotency-Key. They are given whatever happens."""
        try:
            if self._plane.durable:
                await synced_anyhow(self._plane)
            if self._replay is not None:
                kept, self._kept = self._kept, None
                if is_whole and kept is not None:
                    await self._replay.finish(200, answer.EVENT_STREAM, b"".join([*kept, last or b""]))
                else:
                    await self._replay.abandon()
        finally:
            self._give_last(last)

    def _give_last(self, last: bytes | None) -> None:
        if last is not None and not self._is_deaf:
            self._write(last)
            if self._chunked:
                self._caller.write(answer.LAST_CHUNK)
        if not self._over.done():
            self._over.set_result(None)

    def _pause_or_resume(self, paused: bool) -> None:
        if paused:
            self._reply.pause()
        else:
            self._reply.resume()


def _ignore(_: bytes) -> None:
    """What upstream sends after its last event is only the end of its framing."""
