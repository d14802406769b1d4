"""A small forward proxy on a real socket, as companies have them: tunnels by CONNECT, and calls by absolute URL. Whatever the name, it leads
to `port` of this machine, so that names nobody resolves are proof of the way that was taken.
"""

from __future__ import annotations

import asyncio
import ssl

from tests.upstream import shut


class ForwardProxy:
    """`asked`: the first line of every request it led on. The rest is set before a call: `wants`, the Proxy-Authorization that lets in;
    `says`, an answer in place of leading on; `is_deaf`, none at all; `cuts_after`, so many bytes pass back and then both sides end."""

    def __init__(self, port: int) -> None:
        self.target_port = port
        self.asked: list[str] = []
        self.wants: str | None = None
        self.says = b""
        self.is_deaf = False
        self.cuts_after: int | None = None
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)

    async def stop(self) -> None:
        await shut(self._server, self._writers)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if self.is_deaf:
                await reader.read()
            elif self._refusal(head):
                writer.write(self._refusal(head))
            else:
                await self._lead(head, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # somebody left
        finally:
            writer.close()
            self._writers.discard(writer)

    def _refusal(self, head: str) -> bytes:
        proof = _fields(head).get("Proxy-Authorization")
        if proof != self.wants:
            return b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
        return self.says

    async def _lead(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Both ways, until either side ends."""
        way_back, onward = await asyncio.open_connection("127.0.0.1", self.target_port)
        if head.startswith("CONNECT "):
            self.asked.append(head.partition(" HTTP/")[0])
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            there = asyncio.create_task(_pass(reader, onward))
        else:
            there = asyncio.create_task(self._pass_calls(head, reader, onward))
        back = asyncio.create_task(_pass(way_back, writer, self.cuts_after))
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        there.cancel()
        back.cancel()
        await asyncio.gather(there, back, return_exceptions=True)
        onward.transport.abort()

    async def _pass_calls(self, head: str, reader: asyncio.StreamReader, onward: asyncio.StreamWriter) -> None:
        while True:
            self.asked.append(head.partition(" HTTP/")[0])
            body = await reader.readexactly(int(_fields(head)["Content-Length"]))
            onward.write(_by_path(head).encode("latin-1") + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None = None) -> None:
    passed = 0
    while (most is None or passed < most) and (data := await reader.read(65536 if most is None else most - passed)):
        passed += len(data)
        writer.write(data)
        await writer.drain()


def _fields(head: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])


def _by_path(head: str) -> str:
    """What the provider is asked: no absolute URL, and nothing that was the proxy's."""
    first, *rest = head.split("\r\n")
    method, url, version = first.split(" ")
    path = "/" + url.split("://", 1)[1].partition("/")[2]
    return "\r\n".join([f"{method} {path} {version}", *(line for line in rest if not line.startswith("Proxy-"))])
