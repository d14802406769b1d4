"""Writes OpenAI's chat answers for the adapters that translate: whole completions, and chunks of one stream. Pure but for the clock
and random ids."""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec

from gateway.ledger import Usage
from gateway.providers import sse
from gateway.providers.provider import Answer

Json = dict[str, Any]

_encode = msgspec.json.encode


def new_call_id() -> str:
    return f"call_{secrets.token_hex(10)}"


def usage_json(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def tool_call(call_id: str, name: str, arguments: str, extra: Json | None = None) -> Json:
    call: Json = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    if extra:
        call["extra_content"] = extra
    return call


def completion(model: str, choices: list[Json], usage: Usage | None) -> Answer:
    """A whole answer. `choices`: `{"index","message","finish_reason","logprobs"}` each."""
    document: Json = {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
    }
    if usage is not None:
        document["usage"] = usage_json(usage)
    return Answer(_encode(document), usage, choices[0]["finish_reason"])


class ChunkWriter:
    """The chunks of one stream: one id, the role once a choice, dense tool indexes, one finish_reason a choice."""

    def __init__(self, model: str) -> None:
        self._head: Json = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._begun: set[int] = set()
        self._tools: dict[int, int] = {}
        self._finished: set[int] = set()

    def delta(self, index: int, delta: Json, logprobs: Json | None = None) -> bytes:
        return self._chunk(index, self._with_role(index, delta), None, logprobs)

    def next_tool(self, index: int) -> int:
        """The index of the choice's next tool call."""
        number = self._tools.get(index, 0)
        self._tools[index] = number + 1
        return number

    def has_tools(self, index: int) -> bool:
        return index in self._tools

    def finish(self, index: int, reason: str) -> bytes:
        """Nothing when the choice is finished already."""
        if index in self._finished:
            return b""
        self._finished.add(index)
        return self._chunk(index, self._with_role(index, {}), reason, None)

    def usage(self, usage: Usage) -> bytes:
        return sse.event(_encode({**self._head, "choices": [], "usage": usage_json(usage)}))

    def _with_role(self, index: int, delta: Json) -> Json:
        if index in self._begun:
            return delta
        self._begun.add(index)
        return (
            {"role": "assistant", "content": None, **delta} if "tool_calls" in delta else {"role": "assistant", **delta}
        )

    def _chunk(self, index: int, delta: Json, reason: str | None, logprobs: Json | None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return sse.event(_encode({**self._head, "choices": [choice]}))
