"""Through a forward proxy to a provider on https: CONNECT, and TLS inside of it, so that the proxy learns the provider's name and nothing else.

What comes out is a connection like any other, with the same timeouts, framing, cancelling and reuse. (A provider on plain http needs no
tunnel: it is asked of the proxy by its absolute URL.) Called by `upstream`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from gateway.egress import Proxy
from gateway.providers.provider import Failure

MAX_HEAD = 16 << 10


async def open_tunnel(
    proxy: Proxy,
    address: tuple[int, str, int],
    host: str,
    port: int,
    context: Callable[[], ssl.SSLContext],
    connection: asyncio.BufferedProtocol,
) -> Failure | None:
    """Connects `connection`, with TLS, to the provider at host:port by way of the proxy at `address`. Raises OSError and ssl.SSLError."""
    loop = asyncio.get_running_loop()
    family, proxy_host, proxy_port = address
    transport, asking = await loop.create_connection(
        _Asking, proxy_host, proxy_port, family=family,
        ssl=context() if proxy.is_secure else None, server_hostname=proxy.host if proxy.is_secure else None,
    )  # fmt: skip
    try:
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        transport.write(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{proxy.header}\r\n".encode("latin-1", "replace"))
        status = await asking.status
        if not 200 <= status < 300:
            transport.abort()
            if status == 407:
                return refused_by(proxy)
            return Failure("connect", f"the proxy of {proxy.variable} does not lead to {place}: it answered {status}")
        secured = await loop.start_tls(transport, connection, context(), server_hostname=host)
    except BaseException:
        transport.abort()
        raise
    connection.connection_made(cast(asyncio.Transport, secured))
    return None


class _Asking(asyncio.Protocol):
    """What the proxy says to CONNECT: `status`, once its head is whole."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._head = bytearray()

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self.status.done():
            return
        if b"\r\n\r\n" in self._head:
            words = bytes(self._head[:64]).split(maxsplit=2)
            if len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1].isdigit():
                self.status.set_result(int(words[1]))
                return
        elif len(self._head) < MAX_HEAD:
            return
        self.status.set_exception(ConnectionError("the proxy does not speak HTTP"))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.status.done():
            self.status.set_exception(ConnectionResetError("the proxy closed the connection"))


def refused_by(proxy: Proxy) -> Failure:
    """A 407, to CONNECT or to a call by absolute URL."""
    return Failure("credentials", f"the proxy of {proxy.variable} wants other credentials (407)", 407)
