"""Connections to providers: HTTP/1.1 over our own protocol, kept alive per origin. The only module that catches network errors; they
come back as `Failure` values. Called by `proxy/exchange`, and by the admin API's provider test.

aiohttp's client session costs about 200 µs of CPU a request (docs/performance.md). What it must get right is
listed in the tests: stale keep-alive, 1xx, every framing, truncation, limits, cancellation, back-pressure, caps.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from typing import Protocol

from gateway import dns
from gateway.addresses import refused_address
from gateway.catalog import Provider, Timeouts
from gateway.connection import Address, Connection, Origin, encode_request
from gateway.egress import Egress
from gateway.providers.provider import Failure, UpstreamRequest
from gateway.reply import Reply
from gateway.tunnel import open_tunnel, refused_by

STREAM_ROOM = 9 << 20
"""What a stream may hold back before its first event is complete: one event of 8 MiB and a little."""
IDLE_S = 30.0
"""An idle connection is closed after this long: before most servers close theirs (nginx: 75 s, node: 5 s, hence the stale retry)."""
DNS_FRESH_S = 30.0
DNS_STALE_S = 3600.0
DNS_PATIENCE_S = 0.5
"""So long a call waits for a name whose last addresses are known; then it goes there."""


class Asker(Protocol):
    """Who asks: a call, or whoever has `reply` to be told."""

    reply: Reply | None
    is_gone: bool


class Upstream:
    """The pools of one worker."""

    def __init__(self, max_answer: int, egress: Egress | None = None) -> None:
        self._max_answer = max_answer
        self._egress = egress
        self._origins: dict[str, Origin] = {}
        self._tls: ssl.SSLContext | None = None
        self._lookups: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    async def fetch(
        self,
        provider: Provider,
        request: UpstreamRequest,
        timeouts: Timeouts,
        is_stream: bool,
        asker: Asker,
    ) -> Reply:
        """Sends, and waits until the reply is ready. `asker` has the reply before anything is waited for, so that it can be aborted. A
        connection that had been kept alive and died without one byte of answer is replaced, once."""
        origin = self._origins.get(provider.base_url) or self._origin(provider.base_url)
        data = encode_request(origin, request)
        limit, wait_ms = self._max_answer, timeouts.whole_ms
        if is_stream:
            limit = max(limit, STREAM_ROOM)
            wait_ms = min(timeouts.first_byte_ms, timeouts.total_ms or timeouts.first_byte_ms)
        may_rest = True
        while True:
            reply = Reply(is_stream, limit)
            asker.reply = reply
            connection = self._resting(origin) if may_rest else None
            if connection is None:
                connection = await self._open(provider, origin, timeouts, reply)
                if connection is None:
                    return reply
            else:
                reply.reused = True
            connection.send(reply, data, wait_ms / 1000)
            await reply.ready()
            if reply.status == 407 and origin.proxy is not None:
                reply.failure = refused_by(origin.proxy)
            failure = reply.failure
            if failure is None or failure.kind != "reset" or not reply.reused or connection.received or reply.aborted:
                return reply
            may_rest = False  # whatever else has rested may be as dead

    async def connect(self, base_url: str, timeout_s: float) -> Connection | Failure:
        """A connection that asks nothing, for the test of a provider; the caller closes it."""
        return await self._connect(self._origin(base_url), timeout_s)

    def sweep(self) -> None:
        """Closes what has rested too long; called every few seconds."""
        before = time.monotonic() - IDLE_S
        for origin in self._origins.values():
            while origin.idle and origin.idle[0].rested_at < before:
                origin.idle.popleft().close()

    def close(self) -> None:
        for origin in self._origins.values():
            while origin.idle:
                origin.idle.popleft().close()

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Busy and resting connections by base URL."""
        return {url: (origin.busy, len(origin.idle)) for url, origin in self._origins.items()}

    def _origin(self, base_url: str) -> Origin:
        return self._origins.setdefault(base_url, Origin(base_url, self._egress))

    @staticmethod
    def _resting(origin: Origin) -> Connection | None:
        while origin.idle:
            connection = origin.idle.pop()
            if connection.is_open and connection.rested_at >= time.monotonic() - IDLE_S:
                return connection
            connection.close()
        return None

    async def _open(self, provider: Provider, origin: Origin, timeouts: Timeouts, reply: Reply) -> Connection | None:
        """A new connection; None when there is none to be had, or nobody wants it any more: then the reply has ended."""
        if origin.busy >= provider.max_connections:
            reply.finish(Failure("overloaded", f"{provider.max_connections} connections to {provider.name} are busy"))
            return None
        opened = await self._connect(origin, timeouts.connect_ms / 1000)
        if isinstance(opened, Failure):
            reply.finish(opened)
            return None
        if reply.ended:  # aborted while we were connecting: nothing has been asked
            opened.close()
            return None
        return opened

    async def _connect(self, origin: Origin, timeout_s: float) -> Connection | Failure:
        via = f"the proxy of {origin.proxy.variable}: " if origin.proxy else ""
        try:
            async with asyncio.timeout(timeout_s):
                error: OSError | None = None
                for address in await self._resolve(origin):
                    refused_here = refused_address(address[1]) or refused_address(origin.host)
                    if refused_here is not None:
                        return Failure("connect", refused_here)
                    try:
                        return await self._dial(origin, address)
                    except ssl.SSLError as refused:
                        return Failure("connect", f"{via}TLS: {_said_by_tls(refused)}")
                    except OSError as refused:
                        error = refused
                return Failure("connect", via + _said(error))
        except TimeoutError:
            return Failure("timeout", f"{via}no connection in {timeout_s:g} s")
        except socket.gaierror as failed:
            return Failure("connect", f"{via}DNS: {origin.dialed[0]}: {failed.strerror}")
        except OSError as failed:
            return Failure("connect", via + _said(failed))

    async def _dial(self, origin: Origin, address: Address) -> Connection | Failure:
        """Straight, or by way of the proxy at `address`. Raises OSError and ssl.SSLError."""
        proxy, connection = origin.proxy, Connection(origin)
        if proxy is not None and origin.secure:
            failure = await open_tunnel(proxy, address, origin.host, origin.port, self._context, connection)
            return failure or connection
        family, host, port = address
        is_secure = proxy.is_secure if proxy else origin.secure
        await asyncio.get_running_loop().create_connection(
            lambda: connection, host, port, family=family,
            ssl=self._context() if is_secure else None, server_hostname=origin.dialed[0] if is_secure else None,
        )  # fmt: skip
        return connection

    async def _resolve(self, origin: Origin) -> list[Address]:
        """Cached half a minute; a name that can't be resolved any more keeps its last addresses for an hour. Off the loop."""
        now = time.monotonic()
        if now - origin.address_age < DNS_FRESH_S:
            return origin.addresses
        try:
            family = socket.AF_INET6 if ipaddress.ip_address(origin.dialed[0]).version == 6 else socket.AF_INET
        except ValueError:
            pass
        else:
            origin.addresses, origin.address_age = [(family, *origin.dialed)], float("inf")
            return origin.addresses
        key = origin.dialed
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._lookups[key] = asyncio.create_task(dns.look_up(*key), name=f"dns {key[0]}")
            lookup.add_done_callback(lambda over: self._looked_up(key, over))
        is_known = bool(origin.addresses) and now - origin.address_age <= DNS_STALE_S
        await asyncio.wait({lookup}, timeout=DNS_PATIENCE_S if is_known else None)
        if lookup.done() and (lookup.exception() is None or not is_known):
            origin.addresses, origin.address_age = lookup.result(), now
        return origin.addresses

    def _looked_up(self, key: tuple[str, int], lookup: asyncio.Task[list[Address]]) -> None:
        del self._lookups[key]
        if not lookup.cancelled():
            lookup.exception()  # whoever waits hears it; there may be nobody any more

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _said_by_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return error.reason or "handshake failed"


def _said(error: OSError | None) -> str:
    return "no address" if error is None else (error.strerror or str(error) or "the connection was closed")
