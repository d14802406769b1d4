"""A gateway that is there: the way to it, its clock, whether streams come through, the token, and what it says of itself."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from tui.checks.finding import Finding, ok, problem, skipped
from tui.checks.services import clock, no_provider
from tui.faults import Fault
from tui.invocation import Invocation, path_of
from tui.versions import skew

CERTIFICATE_DAYS = 14
FIRST_BYTES_S = 3.0
SLOW_MS = 500.0
UNABLE = ("missing", "can't be opened")
"""What the gateway says of a credential it does not have."""


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


def gateway(run: Invocation, way: Way) -> Iterator[Finding]:
    """What the gateway says of itself: readiness, providers and their credentials, circuits, prices."""
    if not way.is_there:
        return
    yield from _ready(run)
    sandbox = _live_sandbox(run)
    yield from _providers(run, sandbox)
    yield from _models(run)
    if sandbox:  # it stands first in every tier, without being written there
        yield ok("gateway", "tiers", "The sandbox answers for every tier.")
    else:
        yield from _tiers(run)
    yield from _usage(run)


def _ready(run: Invocation) -> Iterator[Finding]:
    try:
        told = run.get("/health/ready")
    except Fault as fault:
        yield problem(
            "gateway",
            "ready",
            f"The gateway can't serve: {fault.message}",
            "Calls are refused.",
            "Its log says more; it starts again by itself when what it misses is back.",
        )
        return
    for name, state in told.get("components", {}).items():
        if state != "ok":
            fix = {"database": "Start Postgres; the gateway connects again by itself."}.get(
                name, "It mends itself when Postgres is back; the gateway's log says more."
            )
            yield problem(
                "gateway",
                name,
                f"{name.capitalize()}: {state}.",
                "The gateway goes on with what it knows; records wait on its disk.",
                fix,
            )
    if told.get("status") == "ready":
        yield ok("gateway", "ready", "The gateway is ready.")


def _live_sandbox(run: Invocation) -> str:
    """Its name when it runs: `optyx demo` starts one, every other gateway has the row alone."""
    try:
        for one in run.get("/providers")["data"]:
            if one.get("is_sandbox") and one.get("enabled"):
                return (
                    str(one["name"])
                    if run.ask("POST", path_of("providers", one["name"], "test"), body={}).body["ok"]
                    else ""
                )
    except Fault:
        pass  # a viewer may not test; what follows says so of each provider
    return ""


def _providers(run: Invocation, sandbox: str) -> Iterator[Finding]:
    try:
        there: list[dict[str, Any]] = [
            one
            for one in run.get("/providers")["data"]
            if one.get("enabled") and (one["name"] == sandbox or not one.get("is_sandbox"))
        ]
    except Fault as fault:
        yield skipped("gateway", "providers", f"Providers can't be listed: {fault.message}")
        return
    able = [one for one in there if one.get("credential_state") not in UNABLE]
    if not able:
        yield no_provider()
        return
    for one in able:
        yield from _tried(run, one)
        if one.get("circuit") == "open":
            yield problem(
                "gateway", "circuit", f"The circuit of {one['name']} is open: {one.get('last_error') or one.get('failures')}.",
                "No call goes to it; tiers use their next target.",
                f"optyx providers test {one['name']}; optyx providers circuit close {one['name']}",
            )  # fmt: skip


def _tried(run: Invocation, one: dict[str, Any]) -> Iterator[Finding]:
    """Asks the provider for its list of models, through the gateway: costs nothing, and proves the credential."""
    if one.get("is_sandbox"):
        yield ok("gateway", "provider " + one["name"], f"{one['name']} is the sandbox: its answers are invented.")
        return
    try:
        told = run.ask("POST", path_of("providers", one["name"], "test"), body={}).body
    except Fault as fault:
        yield skipped("gateway", "provider " + one["name"], f"{one['name']} can't be tested: {fault.message}")
        return
    failed = next((step for step in told["steps"] if step["state"] == "failed"), None)
    if failed is None:
        yield ok("gateway", "provider " + one["name"], f"{one['name']} answers, and takes the credential.")
        return
    variable = str(one.get("credential", "")).removeprefix("env:")
    if failed["name"] in ("auth", "credential", "models") and any(
        word in failed["detail"] for word in ("401", "403", "credential")
    ):
        how = (
            f"Correct {variable} and start the gateway again"
            if str(one.get("credential", "")).startswith("env:")
            else f"optyx providers credential rotate {one['name']}"
        )
        yield problem(
            "gateway",
            "provider " + one["name"],
            f"{one['name']} refuses the credential: {failed['detail']}.",
            "Every call to it fails; tiers go to their next target.",
            how,
        )
    else:
        yield problem(
            "gateway", "provider " + one["name"], f"{one['name']} fails at {failed['name']}: {failed['detail']}.",
            "Calls to it fail; tiers go to their next target.",
            f"optyx providers test {one['name']} shows every step; its address is {one.get('base_url')}",
        )  # fmt: skip


def _models(run: Invocation) -> Iterator[Finding]:
    try:
        unpriced = [
            one["id"]
            for one in run.every("/models")
            if one.get("enabled") and one.get("input_nusd") is None and not one.get("is_free")
        ]
    except Fault as fault:
        yield skipped("gateway", "prices", f"Models can't be listed: {fault.message}")
        return
    if unpriced:
        yield problem(
            "gateway", "prices", f"{len(unpriced)} enabled models have no price: {', '.join(unpriced[:5])}{' …' if len(unpriced) > 5 else ''}.",
            "Their calls cost nothing in the books, and keys with a budget can't use them.",
            "optyx prices add MODEL --provider NAME --input USD --output-price USD",
        )  # fmt: skip
    else:
        yield ok("gateway", "prices", "Every enabled model has a price.")


def _tiers(run: Invocation) -> Iterator[Finding]:
    """A tier whose targets are all out answers nobody."""
    try:
        out = {
            one["name"]
            for one in run.get("/providers")["data"]
            if not one["enabled"] or one.get("credential_state") in UNABLE
        }
        tiers = run.get("/tiers")["data"]
    except Fault as fault:
        yield skipped("gateway", "tiers", f"Tiers can't be listed: {fault.message}")
        return
    dead = [one["name"] for one in tiers if all(target["provider"] in out for target in one["targets"])]
    for name in dead:
        targets = (
            ", ".join(sorted({target["provider"] for one in tiers if one["name"] == name for target in one["targets"]}))
            or "none"
        )
        yield problem(
            "gateway", f"tier {name}", f"No target of the tier {name} can be called (providers: {targets}).", "Its calls get 503.",
            f"Give one of them a credential, or: optyx tiers set {name} PROVIDER/MODEL",
        )  # fmt: skip
    if not dead:
        yield ok("gateway", "tiers", "Every tier has a target that can be called.")


def _usage(run: Invocation) -> Iterator[Finding]:
    """The days of a week must add up to the week."""
    try:
        told = run.get("/usage", group_by="day", since="7d")
    except Fault as fault:
        yield skipped("gateway", "usage", f"Usage can't be asked for: {fault.message}")
        return
    days, total = sum(one["cost_nusd"] for one in told["data"]), told["total"]["cost_nusd"]
    if days == total:
        yield ok("gateway", "usage", f"The last days add up to their total; days begin in {told.get('timezone')}.")
    else:
        yield problem(
            "gateway", "usage", f"The last days don't add up: {days} against {total} nano-USD.", "Reports and bills disagree.",
            "optyx audit says which sums are wrong",
        )  # fmt: skip
