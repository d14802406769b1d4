"""Raw sockets to a gateway, for clients that no HTTP library would be."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

GOOD = json.dumps({"messages": [{"role": "user", "content": "Hi"}]}).encode()


async def exchange(port: int, *pieces: bytes, timeout_s: float = 5, eof: bool = False) -> tuple[bytes, bool]:
    """Sends the pieces and reads until the gateway closes or is quiet. All that came, and whether it closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer, closed = b"", False
    try:
        for piece in pieces:
            writer.write(piece)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        if eof:
            writer.write_eof()
        while not closed:
            try:
                data = await asyncio.wait_for(reader.read(65536), timeout_s)
            except TimeoutError:
                break
            except ConnectionError:
                data = b""
            answer, closed = answer + data, not data
    finally:
        writer.close()
    return answer, closed


def answers(data: bytes) -> list[tuple[int, bytes]]:
    """Status and body of every answer in the bytes; only what has a Content-Length is understood."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if status >= 200:
            found.append((status, rest[:length]))
            rest = rest[length:]
        data = rest
    return found


def post(
    key: str, body: bytes = GOOD, *more: bytes, path: bytes = b"/v1/chat/completions", host: bytes = b"x"
) -> bytes:
    """A well-formed call; `more` are further header lines without their ends."""
    lines = [
        b"POST %b HTTP/1.1" % path,
        b"Host: " + host,
        b"Authorization: Bearer " + key.encode(),
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        *more,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def error_of(body: bytes) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error
