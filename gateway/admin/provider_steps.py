"""The steps of a provider's test, each a question that the network or the provider answers with yes or with a reason.

They go the way calls go (the same connector and adapters), with the provider's own credential and never a caller's. A step returns what is
worth knowing beside "it worked", or raises Failed. Called by `provider_test`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway import dns
from gateway.addresses import refused_address
from gateway.catalog import Model, Provider, Timeouts
from gateway.connection import Origin
from gateway.egress import Egress
from gateway.providers.provider import Adapter, Answer, Endpoint, Failure, UpstreamRequest
from gateway.providers.provider import Ask as Call
from gateway.reply import Reply
from gateway.upstream import Upstream

CONNECT_S = 5.0
PATIENCE = Timeouts(connect_ms=5_000, first_byte_ms=30_000, whole_ms=30_000)
IDLE_S = 10.0
LARGEST_ANSWER = 8 << 20

Run = Callable[[], Awaitable[str]]


class Failed(Exception):
    """A step's no; its text is shown."""


class Trial:
    """One provider being tried. `model` None: nothing is asked that costs. `used`: the models that tiers send to it."""

    def __init__(
        self, provider: Provider, adapter: Adapter, model: Model | None, used: Iterable[str], egress: Egress
    ) -> None:
        self.provider, self.adapter, self.model, self.used = provider, adapter, model, sorted(set(used))
        self.upstream = Upstream(LARGEST_ANSWER, egress)
        origin = Origin(provider.base_url, egress)
        self.is_secure = origin.secure
        self.host, self.port = origin.dialed
        self.via = f"the proxy of {origin.proxy.variable}, " if origin.proxy else ""
        self.address = ""
        self.listed = b""

    def steps(self) -> list[tuple[str, Run]]:
        """In the order they are taken; each builds on the one before."""
        free: list[tuple[str, Run]] = [
            ("configuration", self.configuration),
            ("dns", self.dns),
            ("connect", self.connect),
            ("tls", self.tls),
            ("auth", self.auth),
            ("models", self.models),
        ]
        if self.model is None:
            return free
        if self.model.mode == "embedding":
            return [*free, ("embed 1 text", self.embed)]
        return [*free, ("chat 1 token", self.chat), ("stream", self.stream)]

    def close(self) -> None:
        self.upstream.close()

    async def configuration(self) -> str:
        provider = self.provider
        if not provider.base_url:
            raise Failed("it has no base URL")
        if provider.credential is None and provider.needs_credential:
            variable = provider.credential_variable
            raise Failed(
                f"{variable} is not set"
                if variable
                else "its stored credential can't be opened: OPTYX_SECRET_KEY differs"
            )
        return "" if provider.enabled else "it is switched off; tested all the same"

    async def dns(self) -> str:
        try:
            async with asyncio.timeout(CONNECT_S):
                found = await dns.look_up(self.host, self.port)
        except TimeoutError:
            raise Failed(f"{self.via}no answer about {self.host} in {CONNECT_S:g} s") from None
        except socket.gaierror as error:
            raise Failed(f"{self.via}{self.host}: {error.strerror}") from None
        self.address = found[0][1]
        why = refused_address(self.address)
        if why is not None:
            raise Failed(why)
        return self.via + self.address

    async def connect(self) -> str:
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(self.address, self.port)
        except TimeoutError:
            raise Failed(f"{self.via}no connection to {self.host}:{self.port} in {CONNECT_S:g} s") from None
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else type(error).__name__
            raise Failed(f"{self.via}{self.host}:{self.port}: {why}") from None
        writer.close()
        return f"{self.via}port {self.port}"

    async def tls(self) -> str:
        if not self.is_secure:
            return "none: plain http"
        opened = await self.upstream.connect(self.provider.base_url, CONNECT_S)
        if isinstance(opened, Failure):
            raise Failed(_said(opened))
        certificate = opened.certificate
        opened.close()
        ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
        return f"certificate good for {(ends - datetime.now(UTC)).days} d"

    async def auth(self) -> str:
        """The list of models is asked for: that needs the credential and costs nothing."""
        path, headers = _list_request(self.provider)
        self.listed = await self._fetch(UpstreamRequest(path, headers, b"", method="GET"))
        return "credential taken" if self.provider.credential else "no credential needed"

    async def models(self) -> str:
        """Whether the list names what tiers send there. Not every server lists all it has: what is missing is told, and no failure."""
        try:
            told = msgspec.json.decode(self.listed, type=dict[str, Any])
        except msgspec.DecodeError:
            raise Failed("what answers there does not speak this protocol: no JSON") from None
        models = told.get("data", told.get("models"))
        if not isinstance(models, list):
            return "it answered, and listed none"
        named = {
            str(one.get("id") or one.get("name")).removeprefix("models/") for one in models if isinstance(one, dict)
        }
        missing = [name for name in self.used if name not in named]
        count = f"{len(models)} model{'' if len(models) == 1 else 's'}"
        return f"{count}; not listed: {', '.join(missing)}" if missing else count

    async def chat(self) -> str:
        assert self.model is not None
        answer = await self._answer(*self._completion(self.model, stream=False))
        return f"{self.model.id}: {answer.usage.completion_tokens if answer.usage else '?'} tokens"

    async def embed(self) -> str:
        assert self.model is not None
        answer = await self._answer(*self._asked(self.model, "embeddings", {"input": b'"Hi."'}))
        vector = msgspec.json.decode(answer.body)["data"][0]["embedding"]
        return f"{self.model.id}: a vector of {len(vector)}"

    async def stream(self) -> str:
        """The same question streamed: a proxy that holds answers back shows here, by a first byte as late as the last."""
        assert self.model is not None
        call, request = self._completion(self.model, stream=True)
        translator = self.adapter.stream(call)
        begun = time.perf_counter()
        reply = await self.upstream.fetch(self.provider, request, PATIENCE, True, _Unwatched())
        first_ms = (time.perf_counter() - begun) * 1e3
        self._require_answer(reply)
        reply.start_idle_timer(IDLE_S)
        translator.feed(reply.take())
        while not reply.ended:
            await reply.ready()
            translator.feed(reply.take())
        translator.close()
        failure = reply.failure or translator.failure
        if failure is not None:
            raise Failed(_said(failure))
        return f"first byte after {first_ms:.0f} ms"

    def _completion(self, model: Model, *, stream: bool) -> tuple[Call, UpstreamRequest]:
        fields = {"messages": b'[{"role":"user","content":"Say hi."}]', "max_tokens": b"1"}
        return self._asked(model, "chat", {**fields, "stream": b"true"} if stream else fields)

    def _asked(self, model: Model, endpoint: Endpoint, given: dict[str, bytes]) -> tuple[Call, UpstreamRequest]:
        fields = {"model": msgspec.json.encode(model.upstream_name), **given}
        raw = b"{" + b",".join(b'"%b":%b' % (name.encode(), value) for name, value in fields.items()) + b"}"
        call = Call(endpoint, model.upstream_name, "stream" in given, raw, model.upstream_name, strict=False)
        credential = self.provider.credential
        request = self.adapter.build(call, self.provider.base_url, credential.reveal() if credential else None)
        if isinstance(request, Failure):
            raise Failed(_said(request))
        return call, request

    async def _answer(self, call: Call, request: UpstreamRequest) -> Answer:
        answer = self.adapter.translate(call, 200, {}, await self._fetch(request))
        if isinstance(answer, Failure):
            raise Failed(_said(answer))
        return answer

    async def _fetch(self, request: UpstreamRequest) -> bytes:
        reply = await self.upstream.fetch(self.provider, request, PATIENCE, False, _Unwatched())
        self._require_answer(reply)
        return reply.body()

    def _require_answer(self, reply: Reply) -> None:
        if reply.failure is not None:
            raise Failed(_said(reply.failure))
        if not reply.is_answer:
            raise Failed(_said(self.adapter.classify(reply.status, reply.headers, reply.body())))


class _Unwatched:
    """Nobody aborts a step."""

    reply: Reply | None = None
    is_gone = False


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


def _said(failure: Failure) -> str:
    status = f"{failure.status} " if failure.status else ""
    return f"{status}{failure.message or failure.detail or failure.kind}"
