"""One run of the playground: a real streamed call with a real key, read in a thread, measured as it comes."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from typing import Any

import msgspec

from gateway.admin.schema.keys import NewKey
from gateway.admin.schema.logs import LogDetail
from tui import clock
from tui.calls import Client
from tui.wire import EventStream, GatewayError, Unreachable, Wire

ANSWER_TIMEOUT_S = 180.0


class Run:
    """`text`, `reasoning` and the figures grow while it goes on; `done` says that nothing more will come."""

    def __init__(self, url: str, secret: str, body: dict[str, Any]) -> None:
        self.model = str(body.get("model", ""))
        self.body = body
        self.text = ""
        self.reasoning = ""
        self.error = ""
        self.cancelled = False
        self.done = False
        self.begun = time.perf_counter()
        self.first_ms: float | None = None
        self.total_ms: float | None = None
        self.pieces = 0
        self.speeds: list[float] = []
        self.usage: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.record: LogDetail | None = None
        self._wire = Wire(url, secret)
        self._stream: EventStream | None = None
        self._mark = (self.begun, 0)
        self._thread = threading.Thread(target=self._run, name="playground", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The gateway sees the client leave, and records the call as such. One that has ended stays as it is."""
        if self.done:
            return
        self.cancelled = True
        if self._stream is not None:
            self._stream.close()

    @property
    def word(self) -> str:
        return "streaming" if not self.done else "stopped" if self.cancelled else "failed" if self.error else "whole"

    @property
    def elapsed_ms(self) -> float:
        return self.total_ms if self.total_ms is not None else (time.perf_counter() - self.begun) * 1000

    @property
    def tokens_out(self) -> int:
        return int(self.usage.get("completion_tokens") or self.pieces)

    @property
    def tokens_per_s(self) -> float | None:
        if self.first_ms is None or self.tokens_out < 2:
            return None
        passed = (self.elapsed_ms - self.first_ms) / 1000
        return self.tokens_out / passed if passed > 0 else None

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "")

    def _run(self) -> None:
        try:
            if self.body.get("stream"):
                self._read_stream()
            else:
                self._read_whole()
        except (GatewayError, Unreachable) as error:
            if not self.cancelled:
                code = f" ({error.code})" if isinstance(error, GatewayError) else ""
                self.error = f"{error}{code}"
                if isinstance(error, GatewayError) and error.request_id:
                    self.headers.setdefault("x-request-id", error.request_id)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.error = f"the answer is not what this dashboard understands: {error}"
        self.total_ms = (time.perf_counter() - self.begun) * 1000
        self.done = True

    def _read_whole(self) -> None:
        answer = self._wire.send("POST", "/v1/chat/completions", body=self.body)
        self.first_ms = (time.perf_counter() - self.begun) * 1000
        self.text = str(answer.body["choices"][0]["message"].get("content") or "")
        self.usage = answer.body.get("usage") or {}

    def _read_stream(self) -> None:
        self._stream = EventStream(self._wire, "/v1/chat/completions", {}, body=self.body, timeout_s=ANSWER_TIMEOUT_S)
        self.headers = self._stream.headers
        for _, _, data in self._stream.events():
            if data == b"[DONE]":
                self._stream.close()
                return
            self._take(msgspec.json.decode(data))

    def _take(self, chunk: dict[str, Any]) -> None:
        if chunk.get("error"):
            self.error = str(chunk["error"].get("message", "the answer broke off"))
        if chunk.get("usage"):
            self.usage = chunk["usage"]
        for choice in chunk.get("choices") or []:
            delta = choice.get("delta") or {}
            piece = delta.get("content") or ""
            thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
            if piece or thought:
                self._count()
            self.text += piece
            self.reasoning += thought if isinstance(thought, str) else ""
            for call in delta.get("tool_calls") or []:
                self.text += json.dumps(call, ensure_ascii=False)

    def _count(self) -> None:
        now = time.perf_counter()
        if self.first_ms is None:
            self.first_ms = (now - self.begun) * 1000
            self._mark = (now, self.pieces)
        self.pieces += 1
        since, pieces = self._mark
        if now - since >= 0.25:
            self.speeds.append((self.pieces - pieces) / (now - since))
            self._mark = (now, self.pieces)


def session_key(client: Client, project: str) -> NewKey:
    """A key of the project that ends after an hour and may spend $1."""
    ends = f"{clock.moment() + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    made = client.create_key(project, {"name": f"playground-{clock.moment():%H%M%S}", "expires_at": ends})
    budgets = [{"amount_usd": "1", "window": "total"}]
    client.save_limits("key", made.id, {"rpm": None, "tpm": None, "concurrency": None, "budgets": budgets})
    return made


def recorded(client: Client, request_id: str) -> LogDetail:
    """The call's record; it is written a moment after the answer, so it is asked for more than once. Raises GatewayError."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return client.log(request_id)
        except GatewayError as error:
            if error.status != 404 or time.monotonic() > deadline:
                raise
        time.sleep(0.25)
