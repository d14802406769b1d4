"""A gateway that is there: the way to it, its clock, whether streams come through, and the token. `serving` asks it about itself."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from tui import clock as now
from tui import figures
from tui.checks.finding import Finding, ok, problem, skipped
from tui.checks.services import clock
from tui.faults import Fault
from tui.invocation import Invocation
from tui.versions import skew

CERTIFICATE_DAYS = 14
FIRST_BYTES_S = 3.0
SLOW_MS = 500.0
ENDS_SOON = timedelta(days=7)


class Way:
    """How far one gets: filled by `net`, read by the groups after it."""

    is_there = False


def net(run: Invocation, way: Way) -> Iterator[Finding]:
    """Name, connection, certificate, clock, round trip."""
    parts = urlsplit(run.place.url)
    host, number = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    through = run.place.proxy or next(
        (os.environ[name] for name in ("HTTPS_PROXY", "https_proxy") if os.environ.get(name)), ""
    )
    try:
        socket.getaddrinfo(host, number, proto=socket.IPPROTO_TCP)
        with socket.create_connection((host, number), 4) as plain:
            if parts.scheme == "https":
                yield from _certificate(plain, host, run.place.ca)
    except socket.gaierror:
        yield problem(
            "net",
            "dns",
            f"There is no host {host}.",
            "Nothing can be asked.",
            "Correct the gateway's address (optyx ctx edit NAME --url …), or the name server.",
        )
        return
    except ssl.SSLError as error:
        yield problem(
            "net",
            "tls",
            f"The certificate of {host} is not trusted: {error.reason}.",
            "A stranger could read the token.",
            "optyx ctx edit NAME --ca FILE, or renew the certificate.",
        )
        return
    except OSError as error:
        yield problem(
            "net", "tcp", f"Nothing answers at {host}:{number}: {error.strerror or error}.", "The gateway does not run, or a firewall is in between.",
            "optyx up starts one here; optyx status --wait 60s waits for one." + (f" A proxy is set: {through}." if through else ""),
        )  # fmt: skip
        return
    yield ok("net", "tcp", f"{host}:{number} answers.")
    yield from _health(run, way)


def _certificate(plain: socket.socket, host: str, ca: str) -> Iterator[Finding]:
    context = ssl.create_default_context(cafile=ca or None)
    with context.wrap_socket(plain, server_hostname=host) as secured:
        ends = ssl.cert_time_to_seconds(str((secured.getpeercert() or {}).get("notAfter")))
    days = (ends - time.time()) / 86_400
    if days < CERTIFICATE_DAYS:
        yield problem(
            "net", "tls", f"The certificate of {host} ends in {days:.0f} days.", "Every client fails then.", "Renew it."
        )
    else:
        yield ok("net", "tls", f"The certificate of {host} is good for {days:.0f} days.")


def _health(run: Invocation, way: Way) -> Iterator[Finding]:
    connection = run.plain_wire.connection(4.0)
    try:
        began = time.time()
        connection.request("GET", urlsplit(run.place.url).path.rstrip("/") + "/health")
        answer = connection.getresponse()
        body, date = answer.read(65536), answer.getheader("date")
        took = time.time() - began
    except (OSError, http.client.HTTPException) as error:
        yield problem(
            "net",
            "http",
            f"What listens there speaks no HTTP: {error or type(error).__name__}.",
            "It is no gateway.",
            "Correct the address.",
        )
        return
    finally:
        connection.close()
    if b"optyx-gateway" not in body:
        yield problem(
            "net",
            "http",
            f"What answers at {run.place.url} is no Optyx gateway.",
            "Commands talk to a stranger.",
            "Correct the address, or the proxy in front of it.",
        )
        return
    way.is_there = True
    if took * 1000 > SLOW_MS:
        yield problem(
            "net",
            "round trip",
            f"An answer takes {took * 1000:.0f} ms.",
            "Everything feels slow, and calls wait as long.",
            "Look at the network in between, and at the gateway's load.",
        )
    else:
        yield ok("net", "round trip", f"An answer takes {took * 1000:.0f} ms.")
    if date:
        there = parsedate_to_datetime(date).timestamp() + 0.5  # the header has whole seconds
        yield from clock(there - (began + took / 2), "the gateway", "net")


def stream(run: Invocation, way: Way) -> Iterator[Finding]:
    """Server-sent events must come as they are sent: a proxy that buffers holds them back."""
    if not way.is_there:
        yield skipped("stream", "events", "No gateway answers.")
        return
    connection = run.wire.connection(FIRST_BYTES_S)
    began = time.monotonic()
    try:
        connection.request(
            "GET", run.wire.target("/admin/v1/logs/tail"), headers=run.wire.headers({"accept": "text/event-stream"})
        )
        answer = connection.getresponse()
        if answer.status != 200:
            yield skipped("stream", "events", f"The tail answers {answer.status}.")
            return
        piece = answer.read1(4096)
    except TimeoutError:
        piece = b""
    except (OSError, http.client.HTTPException) as error:
        yield problem(
            "stream",
            "events",
            f"The tail breaks off: {error or type(error).__name__}.",
            "optyx logs tail and the dashboard show nothing live.",
            "Look at the proxy in between.",
        )
        return
    finally:
        connection.close()
    took = time.monotonic() - began
    if piece:
        yield ok("stream", "events", f"Events come through, the first after {took * 1000:.0f} ms.")
    else:
        yield problem(
            "stream", "events", f"No event came in {FIRST_BYTES_S:.0f} s: a proxy in between buffers them.",
            "The live tail stands still, and answers that clients stream come all at once.",
            "nginx: proxy_buffering off; and no gzip for text/event-stream. Other proxies: switch response buffering off for /admin and /v1.",
        )  # fmt: skip


def auth(run: Invocation, way: Way) -> Iterator[Finding]:
    if not way.is_there:
        yield skipped("auth", "token", "No gateway answers.")
        return
    try:
        who = run.get("/whoami")
    except Fault as fault:
        yield problem(
            "auth",
            "token",
            f"The admin token does not work: {fault.message}",
            "Nothing can be looked at or changed.",
            fault.hint or "optyx login",
        )
        way.is_there = False
        return
    yield ok("auth", "token", f"Signed in as {who.get('name')}, {who.get('role')}.")
    from gateway.version import VERSION

    found = skew(VERSION, who["version"]) if who.get("version") else None
    if found is not None:
        yield problem("auth", "version", *found)
    yield from _end_of(run, str(who.get("token_id")))


def _end_of(run: Invocation, token_id: str) -> Iterator[Finding]:
    try:
        mine = next((one for one in run.every("/tokens") if one["id"] == token_id), {})
    except Fault:
        return  # only owners may list tokens
    ends = figures.parsed(mine.get("expires_at"))
    if ends is not None and ends - datetime.fromtimestamp(now.now(), UTC) < ENDS_SOON:
        yield problem(
            "auth", "token's end", f"The admin token ends {figures.until(mine['expires_at'])}.", "Nothing can be looked at or changed then.",
            f"optyx tokens create --name NAME --role {mine.get('role')}, then optyx login",
        )  # fmt: skip
    elif mine:
        yield ok("auth", "token's end", f"The admin token ends: {figures.until(mine.get('expires_at'))}.")
