"""What Gemini answers, in OpenAI's shape: parts, finish reasons, usage, logprobs. Pure; `google` calls it for whole answers and streams."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from gateway.ledger import Usage
from gateway.providers.google_request import SIGNATURE_MARK

Json = dict[str, Any]

FINISHED = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
}
"""Every other reason (MALFORMED_FUNCTION_CALL, UNEXPECTED_TOOL_CALL, OTHER, one invented tomorrow) is a failure, never a `stop`."""


class BadFinish(Exception):
    """The model stopped for a reason that is no answer."""


def finish_reason(reason: str | None, has_calls: bool) -> str | None:
    """None while it goes on. Raises BadFinish."""
    if reason is None:
        return None
    if reason not in FINISHED:
        raise BadFinish(reason)
    found = FINISHED[reason]
    return "tool_calls" if has_calls and found == "stop" else found


def usage_of(metadata: Json | None) -> Usage | None:
    """Thinking counts as completion; the total is what the parts say."""
    if not metadata:
        return None
    prompt = int(metadata.get("promptTokenCount") or 0) + int(metadata.get("toolUsePromptTokenCount") or 0)
    thoughts = int(metadata.get("thoughtsTokenCount") or 0)
    completion = int(metadata.get("candidatesTokenCount") or 0) + thoughts
    cached = min(prompt, int(metadata.get("cachedContentTokenCount") or 0))
    return Usage(prompt, completion, cached, 0, thoughts, prompt + completion)


def usage_body(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def tool_call(part: Json) -> Json:
    """One functionCall part as a tool call; its signature goes along twice (see google_request)."""
    function = part["functionCall"]
    signature = part.get("thoughtSignature")
    call: Json = {
        "id": call_id(function.get("id"), signature),
        "type": "function",
        "function": {
            "name": function.get("name", ""),
            "arguments": msgspec.json.encode(function.get("args") or {}).decode(),
        },
    }
    if signature:
        call["extra_content"] = {"google": {"thought_signature": signature}}
    return call


def call_id(given: str | None, signature: str | None) -> str:
    """An id that carries the signature, for clients that send back nothing but ids."""
    own = f"call_{secrets.token_hex(8)}" if not given else (given if given.startswith("call_") else f"call_{given}")
    if not signature:
        return own
    return own + SIGNATURE_MARK + signature.rstrip("=").replace("+", "-").replace("/", "_")


def split_parts(parts: list[Json]) -> tuple[str, str, list[Json], str | None]:
    """Text, thoughts, tool calls, and the signature of a text part."""
    text: list[str] = []
    thoughts: list[str] = []
    calls: list[Json] = []
    signature: str | None = None
    for part in parts:
        if "functionCall" in part:
            calls.append(tool_call(part))
        elif "text" in part:
            (thoughts if part.get("thought") else text).append(str(part["text"]))
            signature = part.get("thoughtSignature") or signature
        elif "executableCode" in part:
            text.append(str(part["executableCode"].get("code", "")))
        elif part.get("thoughtSignature"):
            signature = part["thoughtSignature"]
    return "".join(text), "".join(thoughts), calls, signature


def choice(candidate: Json, index: int) -> Json:
    """A whole candidate as a choice. Raises BadFinish."""
    text, thoughts, calls, signature = split_parts((candidate.get("content") or {}).get("parts") or [])
    reason = finish_reason(candidate.get("finishReason"), bool(calls))
    if reason is None:
        raise BadFinish("no finishReason")
    message: Json = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
    if thoughts:
        message["reasoning_content"] = thoughts
    if calls:
        message["tool_calls"] = calls
    if signature:
        message["extra_content"] = {"google": {"thought_signature": signature}}
    return {
        "index": candidate.get("index", index),
        "message": message,
        "logprobs": logprobs(candidate),
        "finish_reason": reason,
    }


def logprobs(candidate: Json) -> Json | None:
    result = candidate.get("logprobsResult")
    if not result:
        return None
    tops = result.get("topCandidates") or []
    content = []
    for place, chosen in enumerate(result.get("chosenCandidates") or []):
        others = tops[place].get("candidates", []) if place < len(tops) else []
        content.append({**_logprob(chosen), "top_logprobs": [_logprob(other) for other in others]})
    return {"content": content, "refusal": None}


def _logprob(candidate: Json) -> Json:
    token = str(candidate.get("token", ""))
    return {"token": token, "logprob": candidate.get("logProbability", 0.0), "bytes": list(token.encode())}
