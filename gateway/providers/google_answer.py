"""What the Gemini API answers, in OpenAI's shape: whole, streamed, embeddings. Pure; called by `google`."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from gateway.ledger import Usage, total
from gateway.providers import chat_answer, chat_request, failures, sse
from gateway.providers.chat_answer import ChunkWriter, Json
from gateway.providers.openai import inputs_asked, to_base64
from gateway.providers.provider import Answer, Ask, Failure

_decode = msgspec.json.decode
_encode = msgspec.json.encode

FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
"""Every finish reason that is an answer. All others, known (MALFORMED_FUNCTION_CALL, OTHER, LANGUAGE …) or not, are failures: an
unknown end is never taken for a success."""


def usage_of(document: Json) -> Usage | None:
    """Thinking is part of the completion, tool prompts are part of the prompt. None when the answer counts nothing."""
    said = document.get("usageMetadata")
    if not isinstance(said, dict) or not any(name.endswith("TokenCount") for name in said):
        return None
    prompt = _count(said, "promptTokenCount") + _count(said, "toolUsePromptTokenCount")
    thoughts = _count(said, "thoughtsTokenCount")
    completion = _count(said, "candidatesTokenCount") + thoughts
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=min(prompt, _count(said, "cachedContentTokenCount")),
        reasoning_tokens=thoughts,
        total_tokens=prompt + completion,
    )


def whole(ask: Ask, document: Json) -> Answer | Failure:
    """`document`: a GenerateContentResponse."""
    usage = usage_of(document)
    candidates = document.get("candidates") or []
    if not candidates:
        blocked = block_reason(document)
        if blocked is None:
            return Failure("malformed", "the answer has no candidates")
        message = {"role": "assistant", "content": None, "refusal": f"The provider blocked the prompt ({blocked})."}
        choice = {"index": 0, "message": message, "finish_reason": "content_filter", "logprobs": None}
        return chat_answer.completion(ask.model, [choice], usage)
    choices: list[Json] = []
    for number, candidate in enumerate(candidates):
        choice_or_failure = _choice(ask, candidate, candidate.get("index", number))
        if isinstance(choice_or_failure, Failure):
            choice_or_failure.usage = usage
            return choice_or_failure
        choices.append(choice_or_failure)
    choices.sort(key=lambda choice: int(choice["index"]))
    return chat_answer.completion(ask.model, choices, usage)


def block_reason(document: Json) -> str | None:
    reason = (document.get("promptFeedback") or {}).get("blockReason")
    return str(reason) if reason and reason not in ("BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED") else None


def ended_badly(candidate: Json) -> Failure:
    """An end that is no answer, with Google's own name for it."""
    reason = failures.clean(str(candidate.get("finishReason")))[:80]
    words = candidate.get("finishMessage")
    message = f"Google ended the answer with {reason}" + (
        f": {failures.clean(words)}" if isinstance(words, str) else "."
    )
    return Failure("status", f"finish reason {reason}", message=message)


def embeddings(ask: Ask, answered: Json | list[Json]) -> Answer | Failure:
    """A BatchEmbedContentsResponse, or those of several batches in order. Vectors shortened by `dimensions` are brought back to length 1, as
    OpenAI's are."""
    batches = answered if isinstance(answered, list) else [answered]
    items = [item for batch in batches for item in batch["embeddings"]]
    fields = chat_request.fields_of(ask)
    in_base64 = fields.get("encoding_format") == "base64"
    data: list[Json] = []
    if len(items) != inputs_asked(ask):
        return Failure("malformed", f"the answer has {len(items)} vectors for {inputs_asked(ask)} inputs")
    for index, item in enumerate(items):
        vector = [float(value) for value in item["values"]]
        if "dimensions" in fields and (length := math.sqrt(sum(value * value for value in vector))) > 0:
            vector = [value / length for value in vector]
        data.append({"object": "embedding", "index": index, "embedding": to_base64(vector) if in_base64 else vector})
    usages = [usage_of(batch) for batch in batches]
    usage = total(one for one in usages if one is not None) if None not in usages else None
    counted = (
        usage.prompt_tokens if usage else max(1, len(ask.fields["input"]) // 4)
    )  # the member is required; metered as an estimate
    answer = {
        "object": "list",
        "data": data,
        "model": ask.model,
        "usage": {"prompt_tokens": counted, "total_tokens": counted},
    }
    return Answer(_encode(answer), usage)


def counted(body: bytes) -> Usage | None:
    """What one batch says was used; None when that can't be read."""
    try:
        return usage_of(msgspec.json.decode(body, type=dict[str, Any]))
    except failures.MISREAD:
        return None


class GoogleStream:
    """Gemini's events as OpenAI's chunks. Gemini sends no end marker: the end of the stream is the end, if every choice is finished."""

    usage_is_partial = False

    def __init__(self, ask: Ask) -> None:
        self.usage: Usage | None = None
        self.complete = False
        self.failure: Failure | None = None
        self.started = False
        self.done = False
        self._generated = 0  # characters
        self.finish: str | None = None
        self._ask = ask
        self._choices = chat_request.choices_asked(chat_request.fields_of(ask))
        self._may_be_empty = "stop" in ask.fields
        self._parser = sse.EventParser()
        self._writer = ChunkWriter(ask.model)
        self._open: set[int] = set()
        self._finished: set[int] = set()
        self._spoke: set[int] = set()

    def feed(self, chunk: bytes) -> bytes:
        if self.done or self.failure is not None:
            return b""
        try:
            events = self._parser.feed(chunk)
        except sse.EventTooLarge:
            self.failure = Failure("malformed", "an event is larger than 8 MiB")
            return b""
        out: list[bytes] = []
        for data in events:
            out.append(self._event(data))
            if self.failure is not None:
                break
        return b"".join(out)

    @property
    def tokens_seen(self) -> int:
        """Gemini puts many tokens into an event: four characters are one."""
        return -(-self._generated // 4)

    def close(self) -> bytes:
        if self.done or self.failure is not None:
            return b""
        tail = self.feed(b"\n\n") if self._parser.has_rest else b""  # the last event may lack its empty line
        if self.failure is None and (not self._finished or self._open):
            self.failure = Failure("truncated", "the stream ended before every choice was finished")
        if self.failure is not None:
            return tail
        self.complete = self.done = True
        usage = self._writer.usage(self.usage) if self._ask.include_usage and self.usage is not None else b""
        return tail + usage + sse.DONE

    def _event(self, data: bytes) -> bytes:
        try:
            document = _decode(data)
            if not isinstance(document, dict):
                raise TypeError("an event is no object")
            if document.get("error"):
                self.failure = _error_event(document["error"])
                return b""
            return self._document(document)
        except (msgspec.DecodeError, TypeError, ValueError, KeyError, AttributeError) as error:
            self.failure = Failure(
                "malformed", f"an event of the stream is not what the protocol promises ({error})"[:200]
            )
            return b""

    def _document(self, document: Json) -> bytes:
        self.usage = usage_of(document) or self.usage
        candidates = document.get("candidates") or []
        out: list[bytes] = []
        if not candidates and (blocked := block_reason(document)) is not None and not self._finished:
            out.append(self._writer.delta(0, {"refusal": f"The provider blocked the prompt ({blocked})."}))
            out.append(self._finish(0, "content_filter"))
        for number, candidate in enumerate(candidates):
            out.append(self._candidate(candidate, candidate.get("index", number)))
            if self.failure is not None:
                break
        if out and self.failure is None:
            self.started = True
        return b"".join(out)

    def _candidate(self, candidate: Json, index: int) -> bytes:
        if index in self._finished:
            return b""
        self._open.add(index)
        out: list[bytes] = []
        for delta in self._deltas(index, (candidate.get("content") or {}).get("parts") or []):
            self._spoke.add(index)
            self._generated += _length(delta)
            out.append(self._writer.delta(index, delta))
        if out or candidate.get("logprobsResult"):
            logs = logprobs_of(candidate)
            if logs is not None:
                out.append(self._writer.delta(index, {}, logs))
        if reason := candidate.get("finishReason"):
            if reason == "FINISH_REASON_UNSPECIFIED":
                return b"".join(out)
            finish = FINISH.get(reason)
            if finish == "stop":
                if self._writer.has_tools(index):
                    finish = "tool_calls"
                elif index not in self._spoke and not self._may_be_empty:
                    self.failure = Failure("malformed", "the answer is empty")
                    return b""
            if finish is None:
                self.failure = ended_badly(candidate)
                return b"".join(out)
            out.append(self._finish(index, finish))
        return b"".join(out)

    def _finish(self, index: int, reason: str) -> bytes:
        self.finish = reason
        self._finished.add(index)
        self._open.discard(index)
        self.complete = not self._open and len(self._finished) >= self._choices
        return self._writer.finish(index, reason)

    def _deltas(self, index: int, parts: list[Json]) -> list[Json]:
        deltas: list[Json] = []
        for part in parts:
            signature = part.get("thoughtSignature")
            if "functionCall" in part:
                call = {"index": self._writer.next_tool(index), **_tool_call(part)}
                deltas.append({"tool_calls": [call]})
                continue
            delta: Json = {}
            if part.get("text"):
                delta["reasoning_content" if part.get("thought") else "content"] = part["text"]
            if signature and not part.get("thought"):
                delta["extra_content"] = {"google": {"thought_signature": signature}}
            if delta:
                deltas.append(delta)
        return deltas


def _length(delta: Json) -> int:
    """Characters that were generated."""
    calls = sum(len(call["function"]["name"] + call["function"]["arguments"]) for call in delta.get("tool_calls", ()))
    return calls + len(delta.get("content", "")) + len(delta.get("reasoning_content", ""))


def logprobs_of(candidate: Json) -> Json | None:
    """`{"content":[{"token","logprob","bytes","top_logprobs"}],"refusal":null}` from a LogprobsResult."""
    result = candidate.get("logprobsResult")
    if not isinstance(result, dict):
        return None
    tops = result.get("topCandidates") or []
    content: list[Json] = []
    for at, chosen in enumerate(result.get("chosenCandidates") or []):
        top = tops[at].get("candidates", []) if at < len(tops) else []
        content.append({**_logprob(chosen), "top_logprobs": [_logprob(one) for one in top]})
    return {"content": content, "refusal": None}


def _choice(ask: Ask, candidate: Json, index: int) -> Json | Failure:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Json] = []
    signature: str | None = None
    for part in (candidate.get("content") or {}).get("parts") or []:
        if "functionCall" in part:
            calls.append(_tool_call(part))
        elif part.get("thought"):
            thoughts.append(part.get("text") or "")
        else:
            texts.append(part.get("text") or "")
            signature = part.get("thoughtSignature") or signature
    finish = FINISH.get(str(candidate.get("finishReason")))
    if finish is None:
        return ended_badly(candidate)
    text = "".join(texts)
    if finish == "stop" and not text and not calls and "stop" not in ask.fields:
        return Failure("malformed", "the answer is empty")
    message: Json = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
    if finish == "content_filter" and not text:
        message["content"] = None
        message["refusal"] = f"The provider withheld the answer ({candidate['finishReason']})."
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
        finish = "tool_calls" if finish == "stop" else finish
    if signature:
        message["extra_content"] = {"google": {"thought_signature": signature}}
    return {"index": index, "message": message, "finish_reason": finish, "logprobs": logprobs_of(candidate)}


def _tool_call(part: Json) -> Json:
    """The signature goes into a member of its own, and into the id for clients that drop members they don't know."""
    call, signature = part["functionCall"], part.get("thoughtSignature")
    call_id = chat_answer.new_call_id()
    extra = None
    if signature:
        call_id = chat_request.signed_id(call_id, signature)
        extra = {"google": {"thought_signature": signature}}
    return chat_answer.tool_call(call_id, call["name"], _encode(call.get("args") or {}).decode(), extra)


def _logprob(one: Json) -> Json:
    token = str(one.get("token", ""))
    return {"token": token, "logprob": one.get("logProbability", 0.0), "bytes": list(token.encode())}


def _error_event(error: Any) -> Failure:
    status, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, str(error))
    if status == 429:
        return Failure("rate_limited", "an error event in the stream", 429, retry_after_s=1.0)
    said = failures.clean(message) if isinstance(message, str) else None
    return Failure("status", "an error event in the stream", status if isinstance(status, int) else None, said)


def _count(said: Json, name: str) -> int:
    value = said.get(name)
    return max(0, value) if isinstance(value, int) else 0
