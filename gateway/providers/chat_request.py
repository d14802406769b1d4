"""Reads an OpenAI chat request for the adapters that translate it (`google`, `anthropic`). Pure.

What can't be expressed is raised as `Unsupported` with the parameter's name, and leaves an adapter as a `Failure` value.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gateway.providers.provider import Ask, Failure

Json = dict[str, Any]

_decode = msgspec.json.decode
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w-]+=[^;,]*)*(;base64)?,", re.IGNORECASE)

# A thought signature rides in the id of its tool call, for clients that drop members they don't know.
_SIGNED_ID = re.compile(r"^(call_[0-9a-f]{20})_sig_([A-Za-z0-9_-]+)$")
_SIGNED_ID_RAW = re.compile(rb'"(call_[0-9a-f]{20})_sig_[A-Za-z0-9_-]+"')


class Unsupported(Exception):
    """The request has something that this kind of provider has no equivalent for."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param

    def failure(self) -> Failure:
        return Failure("unsupported", str(self), message=str(self), code="unsupported_parameter", param=self.param)


def fields_of(ask: Ask) -> Json:
    """The request's members, decoded; a null is as good as absent."""
    return {name: value for name, raw in ask.fields.items() if (value := _decode(raw)) is not None}


def refuse(fields: Json, names: Iterable[str], provider: str) -> None:
    """Raises Unsupported for the first of `names` that is set to something that matters."""
    for name in names:
        if fields.get(name) not in (None, False, {}, []):
            raise Unsupported(name, f"'{name}' has no equivalent at {provider}.")


def choices_asked(fields: Json) -> int:
    value = fields.get("n", 1)
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 128 else 1


def max_tokens(ask: Ask, fields: Json) -> int | None:
    value = fields.get("max_completion_tokens", fields.get("max_tokens", ask.max_tokens_cap))
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def messages_of(fields: Json) -> list[Json]:
    messages = fields.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Unsupported("messages", "'messages' must be an array of objects.")
    return messages


def parts_of(content: object, where: str) -> list[Json]:
    """A message's content as a list of parts: a string is one text part. Empty text is left out: providers refuse it."""
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list):
        raise Unsupported(where, f"'{where}' must be a string or an array of parts.")
    parts: list[Json] = []
    for part in content:
        if not isinstance(part, dict):
            raise Unsupported(where, f"'{where}' has a part that is no object.")
        if part.get("type") in ("text", "refusal"):
            if words := part.get(str(part["type"])):
                parts.append({"type": "text", "text": str(words)})
        else:
            parts.append(part)
    return parts


def text_of(content: object, where: str) -> str:
    """The content's text; raises Unsupported when it has anything else."""
    parts = parts_of(content, where)
    if any(part["type"] != "text" for part in parts):
        raise Unsupported(where, f"'{where}' may only hold text here.")
    return "\n".join(part["text"] for part in parts)


def data_url(url: str, where: str) -> tuple[str | None, str]:
    """Media type and base64 data of a `data:` URL. Raises Unsupported when it can't be read."""
    head = _DATA_URL.match(url)
    if head is None or not head.group(2):
        raise Unsupported(where, f"'{where}' is not a base64 data: URL.")
    data = url[head.end() :]
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise Unsupported(where, f"'{where}' holds broken base64.") from None
    return head.group(1), data


def arguments_of(call: Json) -> Json:
    """A tool call's arguments as an object. Raises Unsupported where they are not one."""
    text = call.get("arguments")
    if not isinstance(text, str) or not text.strip():
        return {}
    try:
        arguments = _decode(text)
    except msgspec.DecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise Unsupported("messages", f"The arguments of the tool call '{call.get('name')}' are no JSON object.")
    return arguments


def calls_of(message: Json) -> list[Json]:
    """An assistant message's function calls: `[{"id","type","function":{"name","arguments"},…}]`."""
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise Unsupported("messages", "'tool_calls' must be an array.")
    for call in calls:
        if not isinstance(call, dict) or not isinstance(call.get("function"), dict) or not call["function"].get("name"):
            raise Unsupported("messages", "Only tool calls of the type 'function' can be carried.")
    return calls


def results_from(messages: list[Json], at: int) -> tuple[dict[str, Json], int]:
    """The tool messages from `at` on, by the id they answer, and where they end."""
    results: dict[str, Json] = {}
    while at < len(messages) and messages[at].get("role") == "tool":
        results[str(messages[at].get("tool_call_id"))] = messages[at]
        at += 1
    return results, at


def require_paired(calls: list[Json], results: Mapping[str, Json]) -> None:
    """Every call has its result and every result its call. Raises Unsupported, as OpenAI refuses the same history."""
    ids = [str(call.get("id")) for call in calls]
    for missing in (one for one in ids if one not in results):
        raise Unsupported("messages", f"The tool call '{missing[:60]}' has no tool message that answers it.")
    for orphan in (one for one in results if one not in ids):
        raise Unsupported("messages", f"A tool message answers '{orphan[:60]}', which the message before did not call.")


def functions_of(fields: Json) -> list[Json]:
    """The `function` objects of `tools`."""
    functions: list[Json] = []
    for tool in fields.get("tools") or []:
        function = (
            tool.get("function") if isinstance(tool, dict) and tool.get("type", "function") == "function" else None
        )
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Unsupported("tools", "Only tools of the type 'function' can be carried.")
        functions.append(function)
    return functions


def signed_id(call_id: str, signature: str) -> str:
    """`signature`: standard base64."""
    return f"{call_id}_sig_{signature.replace('+', '-').replace('/', '_').rstrip('=')}"


def signature_in(call_id: object) -> str | None:
    """The signature that an id carries, as standard base64 with its padding."""
    match = _SIGNED_ID.match(call_id) if isinstance(call_id, str) else None
    if match is None:
        return None
    text = match.group(2).replace("-", "+").replace("_", "/")
    return text + "=" * (-len(text) % 4)


def bare_id(call_id: str) -> str:
    """The id without a signature."""
    match = _SIGNED_ID.match(call_id)
    return match.group(1) if match else call_id


def without_signatures(messages: bytes) -> bytes:
    """Raw messages with the signatures taken out of tool-call ids again: OpenAI takes at most 40 characters for one."""
    return _SIGNED_ID_RAW.sub(rb'"\1"', messages)
