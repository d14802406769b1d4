"""Anthropic's Messages API: chat, whole and streamed. It has no embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.providers import anthropic_answer, anthropic_request, failures
from gateway.providers.chat_request import Unsupported
from gateway.providers.openai import error_parts
from gateway.providers.provider import Answer, Ask, Failure, UpstreamRequest

VERSION = "2023-06-01"


class Anthropic:
    """The adapter; holds nothing."""

    def build(self, ask: Ask, base_url: str, credential: str | None) -> UpstreamRequest | Failure:
        try:
            if ask.endpoint != "chat":
                raise Unsupported("model", "Anthropic has no embeddings.")
            body = anthropic_request.chat_body(ask)
        except Unsupported as error:
            return error.failure()
        except failures.MISREAD:
            return failures.unreadable_request("Anthropic")
        headers = [
            ("Content-Type", "application/json"),
            ("Accept-Encoding", "identity"),
            ("anthropic-version", VERSION),
        ]
        if credential:
            headers.append(("x-api-key", credential))
        path = "/messages" if base_url.rstrip("/").endswith("/v1") else "/v1/messages"
        return UpstreamRequest(path, headers, msgspec.json.encode(body))

    def translate(self, ask: Ask, status: int, headers: Mapping[str, str], body: bytes) -> Answer | Failure:
        if headers.get("content-encoding", "identity") != "identity":
            return Failure("malformed", "the answer came in an encoding that was not asked for", status)
        try:
            return anthropic_answer.whole(ask, msgspec.json.decode(body, type=dict[str, Any]))
        except failures.MISREAD as error:
            return failures.malformed_answer(error, status)

    def stream(self, ask: Ask) -> anthropic_answer.AnthropicStream:
        return anthropic_answer.AnthropicStream(ask)

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        message, kind, _, _ = error_parts(body)
        return failures.from_status(status, headers, message, kind)


ADAPTER = Anthropic()
