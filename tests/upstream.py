"""A scripted provider on a real socket, in raw bytes so that it can misbehave. `enqueue` what it answers next, read `.seen`.

Without a script it answers like OpenAI (chat whole and streamed, embeddings) with usage unique to each call, and keeps its own ledger
of what it billed: the judge of what the gateway records. Also a process of its own: `python -m tests.upstream --ledger FILE`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]


@dataclass
class Seen:
    """One request as it came. `closed` is set when the gateway closed the connection before the answer was over."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> Json:
        return json.loads(self.body)


@dataclass
class Line:
    """The way back: whatever bytes, whenever."""

    writer: asyncio.StreamWriter
    request: Seen

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int, body: bytes | Json, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"Content-Type": "application/json", "Content-Length": str(len(data))} | (headers or {})
        head = f"HTTP/1.1 {status} Whatever\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items() if v != "")
        await self.send(head.encode() + b"\r\n" + data)

    async def start_stream(self, headers: str = "") -> None:
        await self.send(
            f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n{headers}\r\n".encode()
        )

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def event(self, data: Json | str) -> None:
        text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
        await self.chunk(f"data: {text}\n\n".encode())

    async def end_stream(self) -> None:
        await self.send(b"0\r\n\r\n")

    def cut(self) -> None:
        self.writer.transport.abort()


Reply = Callable[[Line], Awaitable[None]]


def whole(body: bytes | Json, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    async def reply(line: Line) -> None:
        await line.answer(status, body, headers)

    return reply


def failing(status: int, message: str = "no", headers: dict[str, str] | None = None, **error: Any) -> Reply:
    return whole(
        {"error": {"message": message, "type": "server_error", "param": None, "code": None, **error}}, status, headers
    )


def raw(data: bytes, then_close: bool = True) -> Reply:
    async def reply(line: Line) -> None:
        await line.send(data)
        if then_close:
            line.writer.close()

    return reply


def hang_up() -> Reply:
    async def reply(line: Line) -> None:
        line.cut()

    return reply


def silent() -> Reply:
    async def reply(line: Line) -> None:
        await line.request.closed.wait()

    return reply


def completion(text: str = "Hello there", usage: tuple[int, int] = (7, 3), **more: Any) -> Json:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "upstream-model",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
        ],
        "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)},
        **more,
    }


def piece(content: str | None = None, finish: str | None = None, index: int = 0, **more: Any) -> Json:
    delta: Json = {} if content is None else {"content": content}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "upstream-model",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
        **more,
    }


def usage_piece(prompt: int, completion_tokens: int) -> Json:
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt + completion_tokens,
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [],
        "usage": usage,
    }


def streamed(*events: Json | str, end: bool = True) -> Reply:
    async def reply(line: Line) -> None:
        await line.start_stream()
        for event in events:
            await line.event(event)
        if end:
            await line.end_stream()
        else:
            line.cut()

    return reply


async def shut(server: asyncio.Server | None, writers: set[asyncio.StreamWriter]) -> None:
    """At once, with whatever is still open."""
    assert server is not None
    server.close()
    for writer in list(writers):
        writer.transport.abort()
    await asyncio.sleep(0)


class Upstream:
    """The server. `base_url` is what a provider row gets."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.replies: deque[Reply] = deque()
        self.by_model: dict[str, Reply] = {}
        self.ledger: list[Json] = []
        self.ledger_path: Path | None = None
        self.pace_s = 0.0
        self.tokens = 3
        self.connections = 0
        self.open_connections = 0
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def root_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def enqueue(self, *replies: Reply) -> None:
        self.replies.extend(replies)

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, backlog=1024, ssl=tls)

    async def stop(self) -> None:
        await shut(self._server, self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        number = self.connections
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                request = await self._read(head, reader, number)
                self.seen.append(request)
                watcher = asyncio.create_task(self._watch(reader, request))
                try:
                    await self._pick(request)(Line(writer, request))
                    await writer.drain()
                finally:
                    watcher.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await watcher
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.open_connections -= 1
            self._writers.discard(writer)
            writer.close()

    @staticmethod
    async def _read(head: bytes, reader: asyncio.StreamReader, number: int) -> Seen:
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        headers = {name.lower(): value for name, value in headers.items()}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Seen(method, path, headers, body, number)

    @staticmethod
    async def _watch(reader: asyncio.StreamReader, request: Seen) -> None:
        """Notices that the gateway hung up, without eating a next request."""
        while not reader.at_eof():
            if reader._buffer:  # type: ignore[attr-defined]
                return
            await asyncio.sleep(0.005)
        request.closed.set()

    def _pick(self, request: Seen) -> Reply:
        if self.replies:
            return self.replies.popleft()
        with contextlib.suppress(ValueError):
            reply = self.by_model.get(str(request.json.get("model")))
            if reply is not None:
                return reply
        if ":" in request.path.rpartition("/")[2]:
            return self._gemini(request)
        return self._embeddings(request) if request.path.endswith("/embeddings") else self._chat(request)

    def _bill(self, request: Seen, prompt: int, completion_tokens: int) -> int:
        number = next(self._numbers)
        entry = {"n": number, "model": request.json.get("model"), "prompt": prompt, "completion": completion_tokens}
        self.ledger.append(entry)
        if self.ledger_path is not None:
            with self.ledger_path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        return number

    def _chat(self, request: Seen) -> Reply:
        async def reply(line: Line) -> None:
            asked = request.json
            prompt = 10 + len(self.ledger) % 7
            number = self._bill(request, prompt, self.tokens)
            if not asked.get("stream"):
                await asyncio.sleep(self.pace_s)
                await line.answer(200, completion(f"answer {number}", (prompt, self.tokens)))
                return
            await line.start_stream()
            for token in range(self.tokens):
                await line.event(piece(f"{token} "))
                await asyncio.sleep(self.pace_s / max(1, self.tokens))
            await line.event(piece(finish="stop"))
            if (asked.get("stream_options") or {}).get("include_usage"):
                await line.event(usage_piece(prompt, self.tokens))
            await line.event("[DONE]")
            await line.end_stream()

        return reply

    def _embeddings(self, request: Seen) -> Reply:
        async def reply(line: Line) -> None:
            given = request.json["input"]
            inputs = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
            self._bill(request, 4 * len(inputs), 0)
            data = [{"object": "embedding", "index": i, "embedding": [0.5, 0.25, float(i)]} for i in range(len(inputs))]
            usage = {"prompt_tokens": 4 * len(inputs), "total_tokens": 4 * len(inputs)}
            await line.answer(200, {"object": "list", "data": data, "model": "m", "usage": usage})

        return reply

    def _gemini(self, request: Seen) -> Reply:
        async def reply(line: Line) -> None:
            asked = request.json
            if request.path.endswith(":batchEmbedContents"):
                await line.answer(200, {"embeddings": [{"values": [3.0, 4.0]} for _ in asked["requests"]]})
                return
            usage = {"promptTokenCount": 11, "candidatesTokenCount": 4, "thoughtsTokenCount": 2, "totalTokenCount": 17}
            last: Json = {
                "candidates": [
                    {
                        "content": {"role": "model", "parts": [{"text": "from Gemini"}]},
                        "finishReason": "STOP",
                        "index": 0,
                    }
                ]
            }
            if "streamGenerateContent" not in request.path:
                await line.answer(200, {**last, "usageMetadata": usage, "responseId": "r1"})
                return
            await line.start_stream()
            await line.event(
                {"candidates": [{"content": {"role": "model", "parts": [{"text": "streamed "}]}, "index": 0}]}
            )
            await line.event({**last, "usageMetadata": usage})
            await line.end_stream()

        return reply


async def _main(port: int, ledger: Path, pace_s: float) -> None:
    server = Upstream()
    server.ledger_path, server.pace_s = ledger, pace_s
    await server.start(port)
    print(server.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--pace", type=float, default=0.0)
    given = parser.parse_args()
    asyncio.run(_main(given.port, given.ledger, given.pace))
