"""A chat request in OpenAI's shape as Anthropic's Messages API takes it. Pure; `anthropic` sends what this builds."""

from __future__ import annotations

import re
from typing import Any

from gateway.providers import chat_request as chat
from gateway.providers.chat_request import Json, Unsupported
from gateway.providers.provider import Ask

DEFAULT_MAX_TOKENS = 8192
"""The Messages API demands a limit; this one holds where neither the caller nor the hold set any."""

# `seed` is left out: OpenAI promises no more than to try
_REFUSED = ("logit_bias", "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty", "functions", "function_call", "audio",
            "web_search_options")  # fmt: skip
_SAMPLED = re.compile(r"claude-(?:3|(?:opus|sonnet|haiku)-4(?:-[0-6])?(?:-\d{8})?$)")
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh"}


def chat_body(ask: Ask) -> Json:
    """Raises Unsupported."""
    fields = chat.fields_of(ask)
    chat.refuse(fields, _REFUSED, "Anthropic")
    if chat.choices_asked(fields) > 1:
        raise Unsupported("n", "Anthropic gives one choice a call.")
    if fields.get("verbosity", "medium") != "medium":
        raise Unsupported("verbosity", "'verbosity' has no equivalent at Anthropic.")
    if fields.get("modalities", ["text"]) != ["text"]:
        raise Unsupported("modalities", "Only the modality 'text' can be asked of Anthropic.")
    system, messages = _conversation(chat.messages_of(fields))
    body: Json = {
        "model": ask.model,
        "max_tokens": chat.max_tokens(ask, fields) or DEFAULT_MAX_TOKENS,
        "messages": messages,
    }
    if system:
        body["system"] = [{"type": "text", "text": text} for text in system]
    if ask.stream:
        body["stream"] = True
    body.update(_sampling(ask.model, fields))
    body.update(_settings(fields))
    body.update(_tools(fields))
    return body


def _sampling(model: str, fields: Json) -> Json:
    """Newer models take no sampling parameters, and the API's own types have none any more: 1 is what they do anyway."""
    given: Json = {name: fields[name] for name in ("temperature", "top_p", "top_k") if name in fields}
    if not _SAMPLED.match(model):
        for name in (name for name, value in given.items() if value != 1 or name == "top_k"):
            raise Unsupported(name, f"Anthropic's model '{model}' takes no '{name}'.")
        return {}
    if isinstance(given.get("temperature"), int | float) and given["temperature"] > 1:
        raise Unsupported("temperature", "Anthropic takes a 'temperature' from 0 to 1.")
    return given


def _settings(fields: Json) -> Json:
    body: Json = {}
    if "stop" in fields:
        body["stop_sequences"] = [fields["stop"]] if isinstance(fields["stop"], str) else fields["stop"]
    if isinstance(fields.get("user"), str):
        body["metadata"] = {"user_id": fields["user"]}
    output: Json = {}
    effort = fields.get("reasoning_effort")
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif effort is not None:
        if effort not in _EFFORTS:
            raise Unsupported("reasoning_effort", f"'reasoning_effort' must be one of none, {', '.join(_EFFORTS)}.")
        output["effort"] = _EFFORTS[effort]
    if (form := _format(fields.get("response_format"))) is not None:
        output["format"] = form
    return {**body, "output_config": output} if output else body


def _format(wanted: Any) -> Json | None:
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if wanted is None or kind == "text":
        return None
    if kind == "json_schema" and isinstance(wanted.get("json_schema"), dict):
        return {"type": "json_schema", "schema": wanted["json_schema"].get("schema") or {"type": "object"}}
    raise Unsupported(
        "response_format", "Anthropic answers in text or by a 'json_schema'; 'json_object' has no equivalent."
    )


def _tools(fields: Json) -> Json:
    functions = chat.functions_of(fields)
    if not functions:
        return {}
    choice = _choice(fields.get("tool_choice", "auto"))
    if fields.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": [_tool(function) for function in functions], "tool_choice": choice}


def _tool(function: Json) -> Json:
    tool: Json = {"name": function["name"], "input_schema": function.get("parameters") or {"type": "object"}}
    if function.get("description"):
        tool["description"] = function["description"]
    return tool


def _choice(choice: Any) -> Json:
    kinds = {"auto": "auto", "none": "none", "required": "any"}
    if isinstance(choice, str) and choice in kinds:
        return {"type": kinds[choice]}
    if isinstance(choice, dict) and choice.get("type") == "function" and isinstance(choice.get("function"), dict):
        return {"type": "tool", "name": choice["function"].get("name")}
    raise Unsupported("tool_choice", "'tool_choice' must be auto, none, required or a function.")


def _conversation(messages: list[Json]) -> tuple[list[str], list[Json]]:
    """System texts, and messages whose roles alternate: results of parallel calls stand first in one user message."""
    system: list[str] = []
    turns: list[Json] = []
    at = 0
    while at < len(messages):
        message, where = messages[at], f"messages[{at}].content"
        at += 1
        match message.get("role"):
            case "system" | "developer":
                if text := chat.text_of(message.get("content"), where):
                    system.append(text)
            case "user":
                _add(turns, "user", [_block(part, where) for part in chat.parts_of(message.get("content"), where)])
            case "assistant":
                calls = chat.calls_of(message)
                said = [_block(part, where) for part in chat.parts_of(message.get("content"), where)]
                _add(turns, "assistant", said + [_use(call) for call in calls])
                results, at = chat.results_from(messages, at)
                chat.require_paired(calls, results)
                _add(turns, "user", [_result(call, results[str(call.get("id"))]) for call in calls])
            case "tool":
                raise Unsupported("messages", f"'messages[{at - 1}]' is a tool message without a tool call before it.")
            case role:
                raise Unsupported("messages", f"Anthropic knows no role '{str(role)[:40]}'.")
    if not turns:
        turns, system = [{"role": "user", "content": [{"type": "text", "text": "\n".join(system) or "."}]}], []
    return system, turns


def _add(turns: list[Json], role: str, blocks: list[Json]) -> None:
    if not blocks:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"].extend(blocks)
    else:
        turns.append({"role": role, "content": blocks})


def _use(call: Json) -> Json:
    function = call["function"]
    name = chat.bare_id(str(call.get("id")))
    return {"type": "tool_use", "id": name, "name": function["name"], "input": chat.arguments_of(function)}


def _result(call: Json, result: Json) -> Json:
    blocks = [_block(part, "messages") for part in chat.parts_of(result.get("content"), "messages")]
    return {"type": "tool_result", "tool_use_id": chat.bare_id(str(call.get("id"))), "content": blocks}


def _block(part: Json, where: str) -> Json:
    match part.get("type"):
        case "text":
            return {"type": "text", "text": part["text"]}
        case "image_url":
            image = part.get("image_url")
            return {"type": "image", "source": _source(image.get("url") if isinstance(image, dict) else image, where)}
        case "file" if isinstance(part.get("file"), dict) and part["file"].get("file_data"):
            return {"type": "document", "source": _source(part["file"]["file_data"], where, "application/pdf")}
        case kind:
            raise Unsupported(
                "messages", f"'{where}' has a part of the type '{str(kind)[:40]}', which Anthropic can't take."
            )


def _source(url: object, where: str, otherwise: str = "image/jpeg") -> Json:
    """`data:` goes inline; a web address goes as one, for Anthropic to fetch: the gateway itself never does."""
    if isinstance(url, str) and url[:5].lower() == "data:":
        kind, data = chat.data_url(url, where)
        return {"type": "base64", "media_type": kind or otherwise, "data": data}
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    raise Unsupported("messages", f"'{where}' must be a data: or an https: URL.")
