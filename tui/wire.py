"""HTTP between the dashboard's threads and a gateway: one kept connection per client, JSON in and out, server-sent events.

Standard library and msgspec only. A client belongs to one thread. Errors come in two kinds: the gateway said no (`GatewayError`), or it
could not be reached (`Unreachable`).
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import msgspec

TIMEOUT_S = 10.0
SILENCE_S = 40.0
BEATS_S = 16.0
"""A stream of the gateway's own says something every 5 s: three times nothing, and the line is dead."""


class Unreachable(Exception):
    """No answer: refused, no such host, TLS, timeout, or cut off. Says which, and where. `is_slow`: connected, and then no answer."""

    is_slow = False


class GatewayError(Exception):
    """The gateway's no, in its own words."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None, request_id: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.param, self.request_id = status, code, param, request_id


class Answer(msgspec.Struct):
    """What came back: the decoded body and the headers that matter to a caller."""

    body: Any
    etag: str = ""
    status: int = 200
    request_id: str = ""


class Wire:
    """One connection to one gateway."""

    def __init__(self, url: str, token: str, *, timeout_s: float = TIMEOUT_S, ca: str = "", proxy: str = "") -> None:
        """`ca`: a file with the certificates to trust in place of the system's. `proxy`: `http://host:port`."""
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or "127.0.0.1"
        self.port = parts.port or (443 if self.secure else 80)
        self.base = parts.path.rstrip("/")
        self.token = token
        self.timeout_s = timeout_s
        self.ca, self.proxy = ca, proxy
        self._kept: http.client.HTTPConnection | None = None

    def connection(self, timeout_s: float) -> http.client.HTTPConnection:
        through = urlsplit(self.proxy) if self.proxy else None
        host, port = (through.hostname or "", through.port or 3128) if through else (self.host, self.port)
        made: http.client.HTTPConnection
        if self.secure:
            context = ssl.create_default_context(cafile=self.ca or None)
            made = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
        else:
            made = http.client.HTTPConnection(host, port, timeout=timeout_s)
        if through:
            made.set_tunnel(self.host, self.port)
        return made

    def headers(self, more: Mapping[str, str | bytes] | None = None) -> dict[str, str | bytes]:
        signed = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return {"accept": "application/json", **signed, **(more or {})}

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str | bytes] | None = None,
    ) -> Answer:
        """One call. A kept connection that the gateway has closed meanwhile is replaced once, if nothing was answered on it."""
        target = self.target(path, query)
        payload = None if body is None else msgspec.json.encode(body)
        sent = self.headers(headers)
        if payload is not None:
            sent["content-type"] = "application/json"
        reused = self._kept is not None
        try:
            response = self._exchange(method, target, payload, sent)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.close()
            if not reused:
                raise Unreachable(f"the gateway at {self.url} closed the connection") from error
            response = self._retry(method, target, payload, sent)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise unreachable(self.url, error) from error
        return self._read(response)

    def _exchange(
        self, method: str, target: str, payload: bytes | None, headers: dict[str, str | bytes]
    ) -> http.client.HTTPResponse:
        if self._kept is None:
            self._kept = self.connection(self.timeout_s)
            self._kept.connect()
        try:
            self._kept.request(method, target, payload, headers)
            return self._kept.getresponse()
        except TimeoutError as error:
            self.close()
            raise too_slow(self.url, self.timeout_s) from error

    def _retry(
        self, method: str, target: str, payload: bytes | None, headers: dict[str, str | bytes]
    ) -> http.client.HTTPResponse:
        try:
            return self._exchange(method, target, payload, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise unreachable(self.url, error) from error

    def _read(self, response: http.client.HTTPResponse) -> Answer:
        try:
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise unreachable(self.url, error) from error
        if response.status >= 400:
            raise refusal(response.status, raw, response.getheader("x-request-id") or "")
        try:
            body = msgspec.json.decode(raw) if raw else None
        except msgspec.DecodeError as error:
            raise GatewayError(502, "not_json", f"what answers at {self.url} is no Optyx gateway: {error}") from error
        return Answer(body, response.getheader("etag") or "", response.status, response.getheader("x-request-id") or "")

    def target(self, path: str, query: Mapping[str, Any] | None = None) -> str:
        given = {name: _plain(value) for name, value in (query or {}).items() if value not in (None, "")}
        return f"{self.base}{path}" + (f"?{urlencode(given)}" if given else "")

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None


class EventStream:
    """Server-sent events on a connection of their own. `close` may be called from another thread and ends the reading at once."""

    def __init__(
        self,
        wire: Wire,
        path: str,
        query: Mapping[str, Any],
        last_id: str = "",
        *,
        body: Any = None,
        timeout_s: float = SILENCE_S,
    ) -> None:
        """With a `body` it is a POST: a streamed completion is read the same way."""
        self._connection = wire.connection(timeout_s)
        self.closed = False
        headers = wire.headers({"accept": "text/event-stream", **({"last-event-id": last_id} if last_id else {})})
        payload = None if body is None else msgspec.json.encode(body)
        if payload is not None:
            headers["content-type"] = "application/json"
        try:
            self._connection.request("GET" if payload is None else "POST", wire.target(path, query), payload, headers)
            self._response = self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise unreachable(wire.url, error) from error
        if self._response.status != 200:
            raw = self._response.read()
            self._connection.close()
            raise refusal(self._response.status, raw, self._response.getheader("x-request-id") or "")
        self._url = wire.url
        self.headers = {name.lower(): value for name, value in self._response.getheaders()}

    def events(self) -> Iterator[tuple[str, str, bytes]]:
        """(event, id, data) as they come; data lines joined by a newline. Ends when closed; raises Unreachable when it breaks off."""
        try:
            yield from self._events()
        finally:
            self._response.close()
            self._connection.close()

    def _events(self) -> Iterator[tuple[str, str, bytes]]:
        rest = b""
        event, ident = "message", ""
        data: list[bytes] = []
        while True:
            try:
                piece = self._response.read1(65536)
            except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
                if self.closed:
                    return
                raise Unreachable(f"the stream from {self._url} broke off") from error
            if not piece:
                if self.closed:
                    return
                raise Unreachable(f"the stream from {self._url} ended")
            lines = (rest + piece).split(b"\n")
            rest = lines.pop()
            for raw in lines:
                line = raw[:-1] if raw.endswith(b"\r") else raw
                if not line:
                    if data:
                        yield event, ident, b"\n".join(data)
                    event, data = "message", []
                elif line.startswith(b"data:"):
                    data.append(line[6:] if line[5:6] == b" " else line[5:])
                elif line.startswith(b"id:"):
                    ident = line[3:].strip().decode("ascii", "replace")
                elif line.startswith(b"event:"):
                    event = line[6:].strip().decode("ascii", "replace")

    def close(self) -> None:
        self.closed = True
        sock = getattr(self._connection, "sock", None) or getattr(getattr(self._response, "fp", None), "raw", None)
        raw = getattr(sock, "_sock", sock)
        if isinstance(raw, socket.socket):
            with contextlib.suppress(OSError):  # already gone: that is what was wanted
                raw.shutdown(socket.SHUT_RDWR)


def quoted(part: str) -> str:
    return quote(part, safe="")


def _plain(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def unreachable(url: str, error: Exception) -> Unreachable:
    reasons: dict[type[Exception], str] = {
        ConnectionRefusedError: "connection refused",
        socket.gaierror: "no such host",
        TimeoutError: "no answer in time",
        ConnectionResetError: "connection reset",
    }
    reason = reasons.get(type(error), str(error) or type(error).__name__)
    return Unreachable(f"{reason} ({url})")


def too_slow(url: str, timeout_s: float) -> Unreachable:
    error = Unreachable(f"no answer in {timeout_s:g} s ({url})")
    error.is_slow = True
    return error


def refusal(status: int, raw: bytes, request_id: str) -> GatewayError:
    try:
        error = msgspec.json.decode(raw)["error"]
        return GatewayError(status, str(error.get("code") or ""), str(error["message"]), error.get("param"), request_id)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return GatewayError(status, f"http_{status}", f"the gateway answered {status}", None, request_id)
