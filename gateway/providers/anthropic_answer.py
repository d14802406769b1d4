"""What the Messages API answers, in OpenAI's shape, whole and streamed. Pure; called by `anthropic`."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.ledger import Usage
from gateway.providers import chat_answer, failures, sse
from gateway.providers.chat_answer import ChunkWriter, Json
from gateway.providers.provider import Answer, Ask, Failure

_decode = msgspec.json.decode
_encode = msgspec.json.encode

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Every stop reason that is an answer; any other (`pause_turn`, or one that is invented tomorrow) is a failure."""


def usage_of(said: Any) -> Usage | None:
    """Anthropic counts cached tokens beside the input; here they are parts of the prompt."""
    if not isinstance(said, dict) or not isinstance(said.get("input_tokens"), int):
        return None
    read, written = _count(said, "cache_read_input_tokens"), _count(said, "cache_creation_input_tokens")
    prompt, completion = _count(said, "input_tokens") + read + written, _count(said, "output_tokens")
    details = said.get("output_tokens_details")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=min(completion, _count(details, "thinking_tokens")) if isinstance(details, dict) else 0,
        total_tokens=prompt + completion,
    )


def whole(ask: Ask, document: Json) -> Answer | Failure:
    """`document`: a Message."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Json] = []
    for block in document["content"]:
        match block["type"]:
            case "text":
                texts.append(block["text"])
            case "thinking":
                thoughts.append(block["thinking"])
            case "tool_use":
                calls.append(chat_answer.tool_call(block["id"], block["name"], _encode(block["input"]).decode()))
    usage = usage_of(document.get("usage"))
    finish = FINISH.get(str(document.get("stop_reason")))
    if finish is None:
        failure = ended_badly(document.get("stop_reason"))
        failure.usage = usage
        return failure
    text = "".join(texts)
    if finish == "stop" and not text and not calls and "stop" not in ask.fields:
        return Failure("malformed", "the answer is empty", usage=usage)
    message: Json = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
    if finish == "content_filter" and not text:
        message.update(content=None, refusal="The provider withheld the answer (refusal).")
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    return chat_answer.completion(ask.model, [choice], usage)


def ended_badly(reason: object) -> Failure:
    name = failures.clean(str(reason))[:80]
    return Failure("status", f"stop reason {name}", message=f"Anthropic ended the answer with {name}.")


class AnthropicStream:
    """Anthropic's events as OpenAI's chunks."""

    def __init__(self, ask: Ask) -> None:
        self.usage: Usage | None = None
        self.complete = False
        self.failure: Failure | None = None
        self.started = False
        self.done = False
        self.usage_is_partial = False
        self._generated = 0  # characters
        self.finish: str | None = None
        self._ask = ask
        self._parser = sse.EventParser()
        self._writer = ChunkWriter(ask.model)
        self._said: Json = {}  # usage so far: message_start gives the input, message_delta the output
        self._tools: dict[int, int] = {}  # content block -> index of its tool call
        self._without_arguments: set[int] = set()
        self._spoke = False

    def feed(self, chunk: bytes) -> bytes:
        if self.done or self.failure is not None:
            return b""
        out: list[bytes] = []
        try:
            for data in self._parser.feed(chunk):
                out.append(self._event(_decode(data)))
                if self.failure is not None or self.done:
                    break
        except sse.EventTooLarge:
            self.failure = Failure("malformed", "an event is larger than 8 MiB")
        except (msgspec.DecodeError, TypeError, ValueError, KeyError, AttributeError) as error:
            detail = f"an event of the stream is not what the protocol promises ({error})"[:200]
            self.failure = Failure("malformed", detail)
        return b"".join(out)

    @property
    def tokens_seen(self) -> int:
        """Anthropic puts several tokens into an event: four characters are one."""
        return -(-self._generated // 4)

    def close(self) -> bytes:
        if self.done or self.failure is not None:
            return b""
        tail = self.feed(b"\n\n") if self._parser.has_rest else b""
        if self.failure is None and not self.complete:
            self.failure = Failure("truncated", "the stream ended before the message was finished")
        if self.failure is not None or self.done:
            return tail
        return tail + self._end()

    def _event(self, event: Json) -> bytes:
        match event["type"]:
            case "message_start":
                self._count(event["message"].get("usage"))
                self.usage_is_partial = self.usage is not None  # its output_tokens is a placeholder
            case "content_block_start":
                return self._block(event["index"], event["content_block"])
            case "content_block_delta":
                return self._delta(event["index"], event["delta"])
            case "content_block_stop" if event["index"] in self._without_arguments:
                return self._arguments(event["index"], "{}")
            case "message_delta":
                self._count(event.get("usage"))
                self.usage_is_partial = False
                return self._stop(event["delta"].get("stop_reason"))
            case "message_stop":
                return self._end() if self.complete else b""
            case "error":
                self.failure = error_event(event["error"])
        return b""

    def _count(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self._said.update({name: value for name, value in usage.items() if value is not None})
            self.usage = usage_of(self._said)

    def _block(self, index: int, block: Json) -> bytes:
        if block["type"] == "tool_use":
            number = self._tools[index] = self._writer.next_tool(0)
            self._without_arguments.add(index)
            call = {"index": number, **chat_answer.tool_call(block["id"], block["name"], "")}
            return self._say({"tool_calls": [call]})
        if block["type"] == "text" and block.get("text"):
            return self._say({"content": block["text"]})
        return b""

    def _delta(self, index: int, delta: Json) -> bytes:
        match delta["type"]:
            case "text_delta":
                return self._say({"content": delta["text"]}, len(delta["text"]))
            case "thinking_delta":
                return self._say({"reasoning_content": delta["thinking"]}, len(delta["thinking"]))
            case "input_json_delta" if delta["partial_json"]:
                return self._arguments(index, delta["partial_json"])
        return b""

    def _arguments(self, index: int, text: str) -> bytes:
        self._without_arguments.discard(index)
        call = {"index": self._tools[index], "function": {"arguments": text}}
        return self._say({"tool_calls": [call]}, len(text))

    def _say(self, delta: Json, characters: int = 0) -> bytes:
        self.started = True
        self._spoke = self._spoke or "reasoning_content" not in delta
        self._generated += characters
        return self._writer.delta(0, delta)

    def _stop(self, reason: str | None) -> bytes:
        if reason is None:
            return b""
        finish = FINISH.get(reason)
        if finish is None:
            self.failure = ended_badly(reason)
            return b""
        if finish == "stop" and not self._spoke and "stop" not in self._ask.fields:
            self.failure = Failure("malformed", "the answer is empty")
            return b""
        self.started = self.complete = True
        self.finish = finish
        return self._writer.finish(0, finish)

    def _end(self) -> bytes:
        self.done = True
        usage = self._writer.usage(self.usage) if self._ask.include_usage and self.usage is not None else b""
        return usage + sse.DONE


def error_event(error: Json) -> Failure:
    message = error.get("message")
    said = failures.clean(message) if isinstance(message, str) else None
    if error.get("type") == "rate_limit_error":
        return Failure("rate_limited", "an error event in the stream", 429, said, retry_after_s=1.0)
    return Failure("status", "an error event in the stream", None, said)


def _count(said: Json, name: str) -> int:
    value = said.get(name)
    return max(0, value) if isinstance(value, int) else 0
