"""A fast mock of an OpenAI-compatible provider, so that the gateway is what is measured.

`python -m bench.upstream --port N` answers, by the request's `model`:
  any other name   a whole 0.7 KB chat answer at once, or, with `"stream":true`, 20 events back to back
  `paced-MS`       20 events, one each MS milliseconds (streams)
  `chunks-N`       N events back to back (streams)
  `hold-MS`        a whole answer after MS milliseconds
No framework: one asyncio.Protocol, bytes prepared beforehand.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import ssl
from typing import cast

ANSWER = (
    b'{"id":"chatcmpl-bench","object":"chat.completion","created":1760000000,"model":"bench","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"'
    + b"The quick brown fox jumps over the lazy dog. "
    * 10
    + b'"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":210,"completion_tokens":100,"total_tokens":310}}'
)
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

MODEL = re.compile(rb'"model"\s*:\s*"(?:(paced|chunks|hold)-(\d+))?')
LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(payload), payload)


def event(text: bytes, finish: bytes = b"null") -> bytes:
    return (
        b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"bench","choices":'
        b'[{"index":0,"delta":{"content":"%s"},"finish_reason":%s}]}\n\n' % (text, finish)
    )


TOKEN = chunk(event(b" token"))
TAIL = (
    chunk(event(b"", b'"stop"'))
    + chunk(
        b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"bench","choices":[],'
        b'"usage":{"prompt_tokens":210,"completion_tokens":20,"total_tokens":230}}\n\n'
    )
    + chunk(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests one after the other."""

    def __init__(self) -> None:
        self.buffer = b""
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclasses

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self.buffer, 0, end + 2)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < total:
                return
            body, self.buffer = self.buffer[end + 4 : total], self.buffer[total:]
            self.answer(body)

    def answer(self, body: bytes) -> None:
        asked = MODEL.search(body)
        kind, number = (asked[1], int(asked[2] or 0)) if asked else (None, 0)
        if b'"stream":true' not in body and b'"stream": true' not in body:
            if kind == b"hold":
                self.loop.call_later(number / 1000, self.transport.write, WHOLE)
            else:
                self.transport.write(WHOLE)
        elif kind == b"paced":
            self.transport.write(STREAM_HEAD + TOKEN)
            self.pace(19, number / 1000)
        else:
            self.transport.write(STREAM_HEAD + TOKEN)
            for _ in range((number or 20) - 1):
                self.transport.write(TOKEN)
            self.transport.write(TAIL)

    def pace(self, left: int, gap_s: float) -> None:
        if self.transport.is_closing():
            return
        if left == 0:
            self.transport.write(TAIL)
            return
        self.transport.write(TOKEN)
        self.loop.call_later(gap_s, self.pace, left - 1, gap_s)


def tls(certificate: str | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def serve(port: int, certificate: str | None) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", port, backlog=4096, ssl=tls(certificate))
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--certificate", help="a PEM file with key and certificate: TLS")
    given = parser.parse_args()
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(given.port, given.certificate))
    else:
        uvloop.run(serve(given.port, given.certificate))


if __name__ == "__main__":
    main()
