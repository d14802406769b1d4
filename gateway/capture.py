"""Bodies of calls, for projects that have switched it on: redacted, sealed and carried to Postgres beside the path of calls.

A call only hands its bytes over (`keep`): nothing waits. What finds the queue full, or no key to seal with, is counted and marked in the
call's record. Nothing is in the clear anywhere but in this process's memory: not in the journal, not in the database. What is in the queue
when a worker dies is gone; a capture is a help, the record is the truth.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from gateway import redaction
from gateway.metrics import Metrics
from gateway.providers import sse
from gateway.sealing import Sealer

log = logging.getLogger(__name__)

MAX_PART = 256 << 10
"""Characters kept of a request and of a response."""
MAX_RAW = 4 << 20
"""Bytes of one body that are looked at. A stream's events are ten times the size of their text."""
MAX_QUEUED = 256
MAX_QUEUED_BYTES = 64 << 20
BATCH = 16
RETRY_S = 1.0

Part = Literal["request", "response"]
Outcome = Literal["kept", "dropped", "no_key"]


class Captured:
    """What a call collects while it runs."""

    __slots__ = ("is_cut", "request", "response", "size")

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.response: list[bytes] = []
        self.size = len(request)
        self.is_cut = False

    def add(self, data: bytes) -> None:
        if self.size - len(self.request) < MAX_RAW:
            self.response.append(data)
            self.size += len(data)
        else:
            self.is_cut = True


class Ticket(msgspec.Struct):
    """Whose bodies they are."""

    call_id: str
    created_at: float
    request_id: str
    project_id: str
    is_stream: bool


class Sealed(msgspec.Struct):
    """A row of `payloads`. `sealed` opens with `seal_name`."""

    ticket: Ticket
    part: Part
    sealed: bytes
    redactions: int
    truncated: bool


class Capture:
    """A worker's queue of bodies. `write` gives True once the rows are stored, False while the database is away."""

    def __init__(
        self, sealer: Sealer | None, metrics: Metrics, write: Callable[[list[Sealed]], Awaitable[bool]]
    ) -> None:
        self._sealer = sealer
        self._metrics = metrics
        self._write = write
        self._queue: deque[tuple[Ticket, Captured]] = deque()
        self._waiting: list[Sealed] = []
        self._size = 0
        self._news = asyncio.Event()

    def keep(self, ticket: Ticket, captured: Captured) -> Outcome:
        """Takes a call's bodies, or says why not. Never waits."""
        if self._sealer is None:
            self._metrics.count("captures_without_key")
            return "no_key"
        if len(self._queue) >= MAX_QUEUED or self._size + captured.size > MAX_QUEUED_BYTES:
            self._metrics.count("captures_dropped")
            return "dropped"
        self._queue.append((ticket, captured))
        self._size += captured.size
        self._news.set()
        return "kept"

    async def run(self) -> None:
        """Until cancelled; the caller flushes afterwards."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._queue or self._waiting:
                if not await self._carry():
                    await asyncio.sleep(RETRY_S)

    async def flush(self, timeout_s: float) -> None:
        """What is in the queue into Postgres, within `timeout_s`; the rest is gone."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while (self._queue or self._waiting) and await self._carry():
                    pass
        left = len(self._queue) + len(self._waiting)
        if left:
            self._metrics.count("captures_dropped", left)

    async def _carry(self) -> bool:
        if not self._waiting:
            batch = list(itertools.islice(self._queue, BATCH))
            self._waiting = await asyncio.to_thread(self._seal, batch)
            for _, captured in batch:  # only now: when we are cancelled meanwhile, `flush` finds them
                self._queue.popleft()
                self._size -= captured.size
        try:
            is_written = await self._write(self._waiting)
        except Exception as error:  # rows that Postgres refuses are no reason to end the worker
            log.warning("%d captured bodies can't be stored: %s", len(self._waiting), type(error).__name__)
            self._metrics.count("captures_dropped", len(self._waiting))
            is_written = True
        if is_written:
            self._waiting = []
        return is_written

    def _seal(self, batch: list[tuple[Ticket, Captured]]) -> list[Sealed]:
        """In a thread: parsing and searching a large body takes milliseconds."""
        assert self._sealer is not None
        rows: list[Sealed] = []
        for ticket, captured in batch:
            answer = b"".join(captured.response)
            if ticket.is_stream:
                answer = assembled(answer)
            parts: tuple[tuple[Part, bytes, bool], ...] = (
                ("request", captured.request, False),
                ("response", answer, captured.is_cut),
            )
            for part, raw, is_cut in parts:
                text, redactions = redaction.redacted(redaction.readable(raw[:MAX_RAW]))
                packed = zlib.compress(text[:MAX_PART].encode(), 1)
                sealed = self._sealer.seal(packed, seal_name(ticket.call_id, part))
                cut = is_cut or len(raw) > MAX_RAW or len(text) > MAX_PART
                rows.append(Sealed(ticket, part, sealed, redactions, cut))
        return rows


def seal_name(call_id: str, part: str) -> str:
    """What a body is sealed as: it opens as no other call's, and as no other part."""
    return f"payload {call_id} {part}"


def opened(sealer: Sealer, sealed: bytes, call_id: str, part: str) -> str:
    """Raises SealError."""
    return zlib.decompress(sealer.open(sealed, seal_name(call_id, part))).decode()


def assembled(data: bytes) -> bytes:
    """A stream as the whole answer it adds up to, so that nothing hides between two events. What is no stream stays as it is."""
    try:
        events = [msgspec.json.decode(e) for e in sse.EventParser().feed(data) if e.strip() != b"[DONE]"]
    except (msgspec.DecodeError, sse.EventTooLarge):
        return data
    if not events or not all(isinstance(event, dict) for event in events):
        return data
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for event in events:
        whole.update({name: value for name, value in event.items() if name != "choices" and value is not None})
        for choice in event.get("choices") or ():
            there = choices.setdefault(choice.get("index", 0), {"index": choice.get("index", 0), "message": {}})
            _grow(there["message"], choice.get("delta") or {})
            if choice.get("finish_reason"):
                there["finish_reason"] = choice["finish_reason"]
    return msgspec.json.encode({**whole, "choices": [choices[index] for index in sorted(choices)]})


def _grow(message: dict[str, Any], delta: dict[str, Any]) -> None:
    """Text grows, tool calls grow by their index, anything else is replaced."""
    for name, value in delta.items():
        if name == "tool_calls" and isinstance(value, list):
            calls = message.setdefault(name, {})
            for call in value:
                _grow(calls.setdefault(str(call.get("index", 0)), {}), call)
        elif isinstance(value, dict) and isinstance(message.get(name), dict):
            _grow(message[name], value)
        elif isinstance(value, str) and isinstance(message.get(name), str) and name not in ("role", "id", "type"):
            message[name] += value
        elif value is not None:
            message[name] = value
