"""A closed-loop load generator for one URL: N keep-alive connections, whole answers or streams, latencies kept whole.

`python -m bench.load URL --connections 16 --seconds 5 [--stream] [--model M] [--key K]` prints one JSON object. `wrk` is quicker and
is used by `overhead` for req/s where it is present; this one also knows streams and first bytes. Bounded in time; loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from typing import cast
from urllib.parse import urlsplit

PROMPT = "Say something about the sea, the sky and what lies between them. " * 14
LENGTHS = 8
"""Real callers never send the same length twice in a row: what is kept of the request before must not need that."""


def request_bytes(host: str, path: str, key: str, model: str, stream: bool, longer: int = 0) -> bytes:
    """A chat request of about 1 KB, `longer` bytes longer than it needs to be."""
    content = PROMPT + "." * longer
    fields = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 256}
    if stream:
        fields["stream"] = True
    body = json.dumps(fields, separators=(",", ":")).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"User-Agent: bench\r\nAccept: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Caller(asyncio.Protocol):
    """One connection that asks again as soon as it has its answer."""

    def __init__(self, requests: list[bytes], stream: bool, tally: Tally) -> None:
        self.requests, self.stream, self.tally = itertools.cycle(requests), stream, tally
        self.buffer = bytearray()
        self.first_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclasses
        self.ask()

    def ask(self) -> None:
        self.buffer.clear()
        self.first_ns = 0
        self.asked_ns = time.perf_counter_ns()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.first_ns and (not self.stream or b"\n\n" in self.buffer):
            self.first_ns = time.perf_counter_ns()
        if self.is_whole():
            self.tally.add(self)
            if time.perf_counter_ns() < self.tally.until_ns:
                self.ask()
            else:
                self.transport.close()

    def is_whole(self) -> bool:
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self.buffer[:end]).lower()
        if b"transfer-encoding: chunked" in head:
            return self.buffer.endswith(b"0\r\n\r\n")
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        return len(self.buffer) >= end + 4 + length

    def connection_lost(self, exc: Exception | None) -> None:
        self.tally.closed(self, exc)


class Tally:
    """What all callers saw; latencies in nanoseconds."""

    def __init__(self, seconds: float, connections: int) -> None:
        self.until_ns = time.perf_counter_ns() + int(seconds * 1e9)
        self.total_ns: list[int] = []
        self.first_ns: list[int] = []
        self.bad: dict[str, int] = {}
        self.open = connections
        self.done = asyncio.Event()

    def add(self, caller: Caller) -> None:
        now = time.perf_counter_ns()
        status = bytes(caller.buffer[9:12])
        if status != b"200" or (caller.stream and b"[DONE]" not in caller.buffer[-64:]):
            name = status.decode() if status != b"200" else "no [DONE]"
            self.bad[name] = self.bad.get(name, 0) + 1
            return
        self.total_ns.append(now - caller.asked_ns)
        self.first_ns.append(caller.first_ns - caller.asked_ns)

    def closed(self, caller: Caller, exc: Exception | None) -> None:
        if time.perf_counter_ns() < self.until_ns:
            self.bad["closed"] = self.bad.get("closed", 0) + 1
        self.open -= 1
        if self.open <= 0:
            self.done.set()


def percentile(values: list[int], percent: float) -> float:
    """In milliseconds; 0 for no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] / 1e6 if ordered else 0.0


async def run(url: str, connections: int, seconds: float, stream: bool, model: str, key: str) -> dict[str, object]:
    """Drives `url` and returns calls, req/s, latency and first-byte percentiles in ms, and what went wrong by name."""
    where = urlsplit(url)
    host, port = where.hostname or "127.0.0.1", where.port or 80
    requests = [request_bytes(f"{host}:{port}", where.path, key, model, stream, longer) for longer in range(LENGTHS)]
    tally = Tally(seconds, connections)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    await asyncio.gather(
        *(loop.create_connection(lambda: Caller(requests, stream, tally), host, port) for _ in range(connections))
    )
    await asyncio.wait_for(tally.done.wait(), seconds + 60)
    elapsed = time.perf_counter() - started
    return {
        "calls": len(tally.total_ns),
        "seconds": round(elapsed, 3),
        "per_second": round(len(tally.total_ns) / elapsed, 1),
        "p50_ms": round(percentile(tally.total_ns, 50), 3),
        "p99_ms": round(percentile(tally.total_ns, 99), 3),
        "first_p50_ms": round(percentile(tally.first_ns, 50), 3),
        "first_p99_ms": round(percentile(tally.first_ns, 99), 3),
        "bad": tally.bad,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Closed-loop load on one URL.")
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--model", default="gpt-6-luna")
    parser.add_argument("--key", default="none")
    given = parser.parse_args()
    if urlsplit(given.url).hostname not in ("127.0.0.1", "localhost", "::1"):
        parser.error("only a server on this machine is ever loaded")
    import uvloop

    print(
        json.dumps(uvloop.run(run(given.url, given.connections, given.seconds, given.stream, given.model, given.key)))
    )


if __name__ == "__main__":
    main()
