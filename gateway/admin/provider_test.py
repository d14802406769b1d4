"""A provider tried step by step: configuration, name and connection, TLS, credential, and one token of an answer where asked for.

It goes the way calls go (the same connector and adapters), with the provider's own credential and never a caller's; a step that fails says
what the network or the provider said, with the credential taken out.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.addresses import refused_address
from gateway.admin import asked as a
from gateway.admin import schema as s
from gateway.admin.desk import Ask, Nothing
from gateway.catalog import Model, Provider, Timeouts
from gateway.errors import NotFound
from gateway.providers.provider import Adapter, Failure, UpstreamRequest
from gateway.providers.provider import Ask as Call
from gateway.reply import Reply
from gateway.upstream import Upstream

CONNECT_S = 5.0
PATIENCE = Timeouts(connect_ms=5_000, whole_ms=30_000)
LARGEST_ANSWER = 8 << 20


class Failed(Exception):
    """A step's no; its text is shown."""


async def test(ask: Ask[a.ProviderTest, Nothing]) -> s.ProviderTest:
    provider = _provider(ask)
    adapter = ask.desk.adapters[provider.kind]
    upstream = Upstream(LARGEST_ANSWER)
    steps: list[tuple[str, Callable[[], Awaitable[str]]]] = [
        ("configuration", lambda: _configuration(provider)),
        ("dns + tcp", lambda: _connect(provider)),
        ("tls", lambda: _tls(provider)),
        ("auth", lambda: _models(upstream, provider, adapter)),
    ]
    if ask.body.chat:
        model = _model(ask, provider)
        steps.append(("chat 1 token", lambda: _chat(upstream, provider, adapter, model)))
    try:
        done = await _walk(steps, provider)
    finally:
        upstream.close()
    return s.ProviderTest(steps=done, ok=all(step.state != "failed" for step in done))


async def _walk(steps: list[tuple[str, Callable[[], Awaitable[str]]]], provider: Provider) -> list[s.Step]:
    """One after the other; what stands behind a failure is skipped."""
    done: list[s.Step] = []
    has_failed = False
    for name, run in steps:
        if has_failed:
            done.append(s.Step(name=name, state="skipped"))
            continue
        begun = time.perf_counter()
        try:
            state, detail = "ok", await run()
        except Failed as failed:
            state, detail, has_failed = "failed", _without_secret(str(failed), provider), True
        done.append(s.Step(name=name, state=state, ms=round((time.perf_counter() - begun) * 1e3, 1), detail=detail))
    return done


def _provider(ask: Ask[a.ProviderTest, Nothing]) -> Provider:
    """As this worker would use it, with its address and credential resolved."""
    wanted = ask.path["id"]
    for provider in ask.desk.catalog.providers.values():
        if wanted in (provider.id, provider.name):
            return provider
    raise NotFound(f"There is no provider {wanted[:80]!r}.")


def _model(ask: Ask[a.ProviderTest, Nothing], provider: Provider) -> Model:
    """The model that was asked for, else the first of the provider's in a tier, else its first."""
    catalog, wanted = ask.desk.catalog, ask.body.model
    in_tiers = [target.model for targets in catalog.tiers.values() for target in targets]
    for model in (*in_tiers, *catalog.models.values()):
        if model.provider is provider and model.mode == "chat" and (wanted is None or model.id == wanted):
            return model
    raise NotFound(f"{provider.name} has no chat model{'' if wanted is None else f' {wanted[:80]!r}'}.")


async def _configuration(provider: Provider) -> str:
    if not provider.base_url:
        raise Failed("it has no base URL")
    if provider.credential is None and provider.needs_credential:
        variable = provider.credential_variable
        raise Failed(
            f"{variable} is not set" if variable else "its stored credential can't be opened: OPTYX_SECRET_KEY differs"
        )
    return "" if provider.enabled else "it is switched off; tested all the same"


async def _connect(provider: Provider) -> str:
    host, port, _ = _place(provider)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_S):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            address = str(found[0][4][0])
            why = refused_address(address)
            if why is not None:
                raise Failed(why)
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        raise Failed(f"no connection to {host}:{port} in {CONNECT_S:g} s") from None
    except socket.gaierror as error:
        raise Failed(f"DNS: {host}: {error.strerror}") from None
    except OSError as error:
        raise Failed(f"{host}:{port}: {os.strerror(error.errno) if error.errno else type(error).__name__}") from None
    writer.close()
    return f"{address}:{port}"


async def _tls(provider: Provider) -> str:
    host, port, secure = _place(provider)
    if not secure:
        return "none: plain http"
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    except TimeoutError:
        raise Failed(f"no handshake in {CONNECT_S:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise Failed(f"certificate: {error.verify_message}") from None
    except OSError as error:
        raise Failed(getattr(error, "reason", None) or error.strerror or type(error).__name__) from None
    certificate: dict[str, Any] = writer.get_extra_info("peercert") or {}
    writer.transport.abort()
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    return f"certificate good for {(ends - datetime.now(UTC)).days} d"


async def _models(upstream: Upstream, provider: Provider, adapter: Adapter) -> str:
    """The list of models: needs the credential and costs nothing."""
    path, headers = _list_request(provider)
    body = await _fetch(upstream, provider, adapter, UpstreamRequest(path, headers, b"", method="GET"))
    try:
        listed = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        raise Failed("what answers there does not speak this protocol: no JSON") from None
    models = listed.get("data", listed.get("models"))
    return f"{len(models)} models" if isinstance(models, list) else "it answered"


async def _chat(upstream: Upstream, provider: Provider, adapter: Adapter, model: Model) -> str:
    messages = b'[{"role":"user","content":"Say hi."}]'
    fields = {"model": msgspec.json.encode(model.upstream_name), "messages": messages, "max_tokens": b"1"}
    raw = b"{" + b",".join(b'"%b":%b' % (name.encode(), value) for name, value in fields.items()) + b"}"
    call = Call("chat", model.upstream_name, False, fields, raw, strict=False)
    request = adapter.build(call, provider.base_url, provider.credential.reveal() if provider.credential else None)
    if isinstance(request, Failure):
        raise Failed(_said(request))
    answer = adapter.translate(call, 200, {}, await _fetch(upstream, provider, adapter, request))
    if isinstance(answer, Failure):
        raise Failed(_said(answer))
    return f"{model.id}: {answer.usage.completion_tokens if answer.usage else '?'} tokens"


async def _fetch(upstream: Upstream, provider: Provider, adapter: Adapter, request: UpstreamRequest) -> bytes:
    def on_reply(_: Reply) -> None:
        return None

    reply = await upstream.fetch(provider, request, PATIENCE, False, on_reply)
    if reply.failure is not None:
        raise Failed(_said(reply.failure))
    if not 200 <= reply.status < 300:
        raise Failed(_said(adapter.classify(reply.status, reply.headers, reply.body())))
    return reply.body()


def _list_request(provider: Provider) -> tuple[str, list[tuple[str, str]]]:
    key = provider.credential.reveal() if provider.credential else ""
    headers = [("Accept", "application/json"), ("Accept-Encoding", "identity")]
    if provider.kind == "google":
        version = "" if provider.base_url.endswith(("/v1", "/v1beta")) else "/v1beta"
        return f"{version}/models", [*headers, *([("x-goog-api-key", key)] if key else [])]
    if provider.kind == "anthropic":
        version = "" if provider.base_url.endswith("/v1") else "/v1"
        return f"{version}/models", [*headers, ("anthropic-version", "2023-06-01"), ("x-api-key", key)]
    return "/models", [*headers, *([("Authorization", f"Bearer {key}")] if key else [])]


def _place(provider: Provider) -> tuple[str, int, bool]:
    parts = urlsplit(provider.base_url)
    secure = parts.scheme == "https"
    return parts.hostname or "", parts.port or (443 if secure else 80), secure


def _said(failure: Failure) -> str:
    status = f"{failure.status} " if failure.status else ""
    return f"{status}{failure.message or failure.detail or failure.kind}"


def _without_secret(text: str, provider: Provider) -> str:
    """Some providers repeat the key they were given."""
    if provider.credential:
        text = text.replace(provider.credential.reveal(), "***")
    return text[:500]
