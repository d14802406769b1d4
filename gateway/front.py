"""The HTTP server in front of the steps: aiohttp's own protocol, with what a proxy needs added.

aiohttp parses requests and keeps connections alive; a call's answer is written straight to its transport. Added here: notice of a
client that leaves, back-pressure, time limits for headers, bodies and readers, and our error shape for what is no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web, web_protocol
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import PayloadEncodingError
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from gateway import errors, ids
from gateway.caller import Waiting
from gateway.config import Config
from gateway.proxy.body import too_large
from gateway.proxy.call import Caller
from gateway.reader import ReaderWatch
from gateway.responses import error_response
from gateway.shortcut import Shortcut

log = logging.getLogger(__name__)

BODY_GRACE_S = 10.0
BODY_BYTES_PER_S = 1024
FRAMING_GRACE = 64 << 10
FRAMING_PER_BYTE = 8
"""A chunked body may come with this much framing: chunks of one byte have six bytes of it. More is a chunk extension without end."""

WRONG_VERSION = errors.Refusal(
    "Only HTTP/1.0 and HTTP/1.1 are spoken here.",
    status=505,
    code="http_version_not_supported",
    type="invalid_request_error",
)
NO_TUNNELS = errors.MethodNotAllowed(
    "CONNECT is not a method of anything here: no tunnel is opened.", headers={"Allow": "GET, HEAD, POST"}
)

_OTHER_VERSION = re.compile(rb"[^\r\n]* HTTP/(?!1\.[01]\s)[\d.]+\s")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]*)(:\d{0,5})?")

Serve = Callable[[Caller], Awaitable[None]]


def require_fast_parser() -> None:
    """aiohttp falls back silently to its parser in Python, which is slower and laxer."""
    if HttpRequestParser is HttpRequestParserPy:
        raise RuntimeError("aiohttp's C parser is missing from this installation; install aiohttp from a wheel")


class Connection(web_protocol.RequestHandler):
    """One client connection."""

    __slots__ = ("caller", "header_timer", "is_other_version", "packet", "watch")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.caller: AiohttpCaller | None = None
        self.header_timer: asyncio.TimerHandle | None = None
        self.watch: ReaderWatch | None = None
        self.packet = 0
        """Size of what came last before a call began: its head, and maybe its body."""
        self.is_other_version = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.watch = ReaderWatch(self._loop, cast(asyncio.Transport, transport), self._server().config.write_timeout_s)

    def take_over(self, data: bytes) -> None:
        """What came on this connection before it was ours."""
        if self.transport is not None and not self.transport.is_closing():
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.caller is None:
            self.packet = len(data)
        elif self.caller.is_reading:
            self.caller.count_framing(len(data))
        if self._messages and isinstance(self._messages[-1][0], web_protocol._ErrInfo):
            self.is_other_version = _OTHER_VERSION.match(data) is not None
            if self.caller is not None and self.caller.is_reading:
                self.caller.break_body()
        timer = self.header_timer
        if self._waiter is not None and not self._waiter.done() and not self._messages:
            if timer is None:  # a request has begun to come in
                self.header_timer = self._loop.call_later(self._server().config.header_timeout_s, self.force_close)
        elif timer is not None:
            timer.cancel()
            self.header_timer = None

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.header_timer is not None:
            self.header_timer.cancel()
        if self.watch is not None:
            self.watch.stop()
        caller, self.caller = self.caller, None
        super().connection_lost(exc)
        if caller is not None:
            caller.leave()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.watch is not None:
            self.watch.start()
        if self.caller is not None:
            self.caller.set_paused(True)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.watch is not None:
            self.watch.stop()
        if self.caller is not None:
            self.caller.set_paused(False)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is no HTTP, in our shape; a defect of ours is logged, a client's never."""
        if status >= 500:
            log.error("a request ended in a defect of the gateway", exc_info=exc)
            refusal = errors.Refusal("The gateway has a defect; its log says more.")
        elif self.is_other_version or (message is not None and "HTTP version" in message):
            refusal = WRONG_VERSION
        else:
            refusal = errors.BadRequest("The request is not valid HTTP/1.1.")
        return _closing(refusal)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A body that breaks off or is cut off is the client's doing: nobody can fill our log from outside."""
        if not isinstance(
            kw.get("exc_info"), errors.Refusal | PayloadEncodingError | ConnectionError | web.RequestPayloadError
        ):
            super().log_exception(*args, **kw)

    def _server(self) -> Server:
        return cast(Server, self._manager)


class Server(web.Server):
    """Makes our connections, and sends calls to the steps and everything else to the application."""

    def __init__(
        self, app: web.Application, config: Config, routes: dict[str, Serve], shortcuts: set[Shortcut]
    ) -> None:
        super().__init__(
            self._dispatch,
            request_factory=app._make_request,
            keepalive_timeout=config.idle_timeout_s,
            access_log=None,
            max_line_size=16384,
            max_field_size=16384,
            auto_decompress=False,
        )
        self.config = config
        self.routes = routes
        self.shortcuts = shortcuts
        self._app = app
        self._kwargs.pop("access_log_class", None)

    def __call__(self) -> asyncio.Protocol:  # type: ignore[override]  # aiohttp names its own class; a socket wants any protocol
        return Shortcut(self, self._loop)

    def connection(self) -> Connection:
        """One of aiohttp's, for what the shortcut does not take."""
        return Connection(self, loop=self._loop, **self._kwargs)

    def pre_shutdown(self) -> None:
        for shortcut in list(self.shortcuts):
            shortcut.close_if_idle()
        super().pre_shutdown()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's signature
        tasks = [shortcut.task for shortcut in self.shortcuts if shortcut.task is not None]
        for shortcut in list(self.shortcuts):
            shortcut.close()
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)
        await super().shutdown(timeout)

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        message = request._message
        refusal = _refused_at_once(message)
        if refusal is not None:
            return _closing(refusal)
        serve = None
        if message.method == "POST":
            serve = self.routes.get(message.path) or self.routes.get(message.url.path_safe)
        if serve is None:
            response = await self._app._handle(cast(web.Request, request))
            if message.upgrade:
                response.force_close()
            return response
        caller = AiohttpCaller.of(request)
        connection = cast(Connection, request._protocol)
        connection.caller = caller
        try:
            await serve(caller)
        finally:
            connection.caller = None
        return cast(web.StreamResponse, Sent(caller.keep_alive and not caller.is_gone))


def _refused_at_once(message: RawRequestMessage) -> errors.Refusal | None:
    """What aiohttp's parser lets pass and a careful server does not."""
    if message.version != HttpVersion11 and message.version != HttpVersion10:
        return WRONG_VERSION
    if message.method == "CONNECT":
        return NO_TUNNELS
    headers = message.headers
    host = headers.get("Host")
    if host is not None and not _HOST.fullmatch(host):
        return errors.BadRequest("The Host header is not a host name with an optional port.")
    if message.chunked and headers.get("Transfer-Encoding", "").strip().lower() != "chunked":
        return errors.BadRequest("Transfer-Encoding can only be chunked.")
    return None


class Sent:
    """An answer that is already on its way: tells aiohttp only whether the connection lives on."""

    __slots__ = ("keep_alive",)

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def prepare(self, _request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self) -> None:
        return None


class AiohttpCaller(Waiting, eq=False):
    """A request of aiohttp's as the steps want it (proxy.call.Caller)."""

    header: Callable[[str], str | None]
    _request: web.BaseRequest
    _raw: int = 0
    is_reading: bool = False

    @classmethod
    def of(cls, request: web.BaseRequest) -> AiohttpCaller:
        message = request._message
        keep_alive = not (message.should_close or message.upgrade)
        return cls(message.headers.get, request, keep_alive=keep_alive, is_http_10=message.version == HttpVersion10)

    async def body(self, limit: int) -> bytes:
        length = self.header("content-length")
        if length is not None and length.isdigit() and int(length) > limit:
            raise too_large(limit)
        if (self.header("expect") or "").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        content = self._request._payload
        self._raw = cast(Connection, self._request._protocol).packet
        if not content.is_eof():
            return await self._slow_body(limit)
        data = content.read_nowait()
        if len(data) > limit:
            raise too_large(limit)
        if self._raw > FRAMING_GRACE + FRAMING_PER_BYTE * len(data):
            raise mostly_framing()
        return data

    async def _slow_body(self, limit: int) -> bytes:
        """Chunk by chunk; after ten seconds a body must come with a kilobyte a second at least."""
        content, loop = self._request._payload, asyncio.get_running_loop()
        started = loop.time()
        chunks: list[bytes] = []
        size = 0
        self.count_framing(0)
        while True:
            self.is_reading = True
            allowed = BODY_GRACE_S + size / BODY_BYTES_PER_S - (loop.time() - started)
            try:
                async with asyncio.timeout(max(0.0, allowed)):
                    chunk = await content.readany()
            except TimeoutError:
                self.keep_alive = False
                raise errors.BadRequest(
                    "The body came too slowly: at least 1 KB a second after 10 s.", status=408, code="request_timeout"
                ) from None
            except (errors.Refusal, web.HTTPException, ConnectionError):
                raise
            except Exception as error:  # aiohttp's payload errors: a broken chunk, a connection that ended
                self.keep_alive = False
                if self.is_gone:
                    raise ConnectionResetError from None
                raise errors.BadRequest(f"The body is broken: {type(error).__name__}.") from None
            finally:
                self.is_reading = False
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
            size += len(chunk)
            if size > limit:
                raise too_large(limit)

    def count_framing(self, received: int) -> None:
        """Ends a body that is hardly more than framing."""
        self._raw += received
        content = self._request._payload
        if self._raw > FRAMING_GRACE + FRAMING_PER_BYTE * content.total_bytes:
            self.keep_alive = False
            content.set_exception(mostly_framing())

    def break_body(self) -> None:
        """What came is no chunk: the rest of this body can't be found any more."""
        self.keep_alive = False
        if self._request._payload.exception() is None:
            self._request._payload.set_exception(errors.BadRequest("The body is broken: it is not chunked as it says."))

    def write(self, data: bytes) -> None:
        transport = self._request._protocol.transport
        if transport is not None:
            transport.write(data)

    @property
    def address(self) -> str | None:
        peer = self._request._protocol.peername
        return str(peer[0]) if isinstance(peer, tuple) else None

    @property
    def forwarded_for(self) -> str:
        return ",".join(self._request.headers.getall("x-forwarded-for", ()))


def mostly_framing() -> errors.BadRequest:
    return errors.BadRequest("The body is mostly framing: a chunk extension or a trailer of many kilobytes.")


def _closing(refusal: errors.Refusal) -> web.Response:
    """The last answer on its connection."""
    response = error_response(refusal)
    response.headers["x-request-id"] = ids.of_request(None)
    response.force_close()
    return response


_is_a_caller: type[Caller] = AiohttpCaller
