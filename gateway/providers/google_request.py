"""A chat completion request as Gemini wants it. Pure; `google` calls it.

What would change the answer and has no equivalent is `Unsupported`; what would not is left out. Thought signatures, which Gemini 3
needs back with every function call, come from `extra_content.google.thought_signature` or, for clients that drop unknown fields, from
inside the tool call's id.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
from typing import Any

import msgspec

from gateway.providers.provider import Ask

Json = dict[str, Any]

SIGNATURE_MARK = "__ts_"
NO_SIGNATURE = "skip_thought_signature_validator"
"""Google's documented stand-in for a function call that some other model made."""

THINKING_BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
THINKING_LEVELS = {
    "none": "minimal",
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
}

PLAIN = {"temperature": "temperature", "top_p": "topP", "seed": "seed", "n": "candidateCount", "presence_penalty": "presencePenalty",
         "frequency_penalty": "frequencyPenalty"}  # fmt: skip
CHANGES_THE_ANSWER = ("logit_bias", "web_search_options", "functions", "function_call", "audio")


class Unsupported(Exception):
    """`param` can't be expressed for Gemini."""

    def __init__(self, param: str, why: str = "") -> None:
        super().__init__(why or f"Gemini has no equivalent of '{param}'")
        self.param = param


class Malformed(Exception):
    """The caller's request is not what the API allows; `param` says where."""

    def __init__(self, param: str, why: str) -> None:
        super().__init__(why)
        self.param = param


def chat(ask: Ask) -> Json:
    """The whole body. Raises Unsupported, Malformed."""
    fields: Json = {name: msgspec.json.decode(value) for name, value in ask.fields.items()}
    for name in CHANGES_THE_ANSWER:
        if fields.get(name):
            raise Unsupported(name)
    if any(kind != "text" for kind in fields.get("modalities") or ()):
        raise Unsupported("modalities")
    system, contents = _contents(fields["messages"], ask.model)
    body: Json = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    tools = _tools(fields)
    if tools:
        body["tools"] = [{"functionDeclarations": tools}]
        body["toolConfig"] = {"functionCallingConfig": _tool_choice(fields)}
    generation = _generation(fields, ask)
    if generation:
        body["generationConfig"] = generation
    return body


def _generation(fields: Json, ask: Ask) -> Json:
    config: Json = {theirs: fields[ours] for ours, theirs in PLAIN.items() if fields.get(ours) is not None}
    most = fields.get("max_completion_tokens") or fields.get("max_tokens") or ask.max_tokens_cap
    if most is not None:
        config["maxOutputTokens"] = most
    stop = fields.get("stop")
    if stop:
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    if fields.get("logprobs"):
        config["responseLogprobs"] = True
        if fields.get("top_logprobs"):
            config["logprobs"] = fields["top_logprobs"]
    effort = fields.get("reasoning_effort")
    if effort is not None:
        config["thinkingConfig"] = _thinking(str(effort), ask.model)
    form = fields.get("response_format") or {}
    if form.get("type") in ("json_object", "json_schema"):
        config["responseMimeType"] = "application/json"
        schema = (form.get("json_schema") or {}).get("schema")
        if schema is not None:
            config["responseJsonSchema"] = _schema(schema)
    return config


def _thinking(effort: str, model: str) -> Json:
    if effort not in THINKING_LEVELS:
        raise Malformed("reasoning_effort", f"'reasoning_effort' must be one of {', '.join(THINKING_LEVELS)}")
    if model.startswith("gemini-2"):
        return {"thinkingBudget": THINKING_BUDGETS[effort]}
    return {"thinkingLevel": THINKING_LEVELS[effort]}


def _tools(fields: Json) -> list[Json]:
    found = []
    for tool in fields.get("tools") or ():
        if tool.get("type") != "function" or not isinstance(tool.get("function"), dict):
            raise Unsupported("tools", "only tools of type 'function' can be expressed for Gemini")
        function = tool["function"]
        declaration: Json = {"name": function.get("name")}
        if function.get("description"):
            declaration["description"] = function["description"]
        parameters = function.get("parameters")
        if parameters and parameters.get("properties"):
            declaration["parametersJsonSchema"] = _schema(parameters)
        found.append(declaration)
    if found and fields.get("parallel_tool_calls") is False:
        raise Unsupported("parallel_tool_calls")
    return found


def _schema(schema: Any) -> Any:
    """JSON Schema as it is, without the two words that Gemini refuses at the top and that change nothing."""
    return (
        {key: value for key, value in schema.items() if key not in ("$schema", "$id")}
        if isinstance(schema, dict)
        else schema
    )


def _tool_choice(fields: Json) -> Json:
    choice = fields.get("tool_choice", "auto")
    if isinstance(choice, dict):
        if choice.get("type") == "allowed_tools":
            allowed = choice.get("allowed_tools") or choice
            names = [tool.get("function", tool).get("name") for tool in allowed.get("tools", ())]
            return {"mode": "ANY" if allowed.get("mode") == "required" else "AUTO", "allowedFunctionNames": names}
        return {"mode": "ANY", "allowedFunctionNames": [(choice.get("function") or {}).get("name")]}
    modes = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
    if choice is not None and choice not in modes:
        raise Malformed("tool_choice", "'tool_choice' must be auto, none, required or name a function")
    return {"mode": modes[choice or "auto"]}


def _contents(messages: Any, model: str) -> tuple[list[Json], list[Json]]:
    """System parts, and turns: neighbours of one role are one turn, the results of parallel calls too."""
    if not isinstance(messages, list):
        raise Malformed("messages", "'messages' must be an array")
    system: list[Json] = []
    turns: list[Json] = []
    names: dict[str, str] = {}
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise Malformed(f"messages[{index}]", "a message must be an object")
        role = message.get("role")
        if role in ("system", "developer"):
            system += _parts(message.get("content"), index)
            continue
        if role == "assistant":
            speaker, parts = "model", _assistant(message, index, names, model)
        elif role in ("tool", "function"):
            speaker, parts = "user", [_result(message, names)]
        elif role == "user":
            speaker, parts = "user", _parts(message.get("content"), index)
        else:
            raise Malformed(
                f"messages[{index}].role", f"role {role!r} is not one of system, developer, user, assistant, tool"
            )
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["parts"] += parts
        elif parts:
            turns.append({"role": speaker, "parts": parts})
    for turn in turns:
        turn["parts"] = _no_empty_text(turn["parts"])
    return _no_empty_text(system) if system else [], turns or [{"role": "user", "parts": [{"text": " "}]}]


def _no_empty_text(parts: list[Json]) -> list[Json]:
    """Gemini refuses empty parts; a turn of nothing but them keeps one space."""
    kept = [part for part in parts if part.get("text") != "" or "thoughtSignature" in part]
    return kept or [{"text": " "}]


def _assistant(message: Json, index: int, names: dict[str, str], model: str) -> list[Json]:
    parts = _parts(message.get("content"), index) if message.get("content") is not None else []
    signature = _signature_of(message)
    if signature is not None and parts:
        parts[-1]["thoughtSignature"] = signature
    if message.get("refusal") and not parts:
        parts.append({"text": str(message["refusal"])})
    first = True
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        names[str(call.get("id"))] = str(function.get("name"))
        part: Json = {
            "functionCall": {"name": function.get("name"), "args": _arguments(function.get("arguments"), index)}
        }
        signature = _signature_of(call) or signature_in(str(call.get("id") or ""))
        if signature is None and first and not model.startswith(("gemini-1", "gemini-2")):
            signature = NO_SIGNATURE
        if signature is not None:
            part["thoughtSignature"] = signature
        first = False
        parts.append(part)
    return parts


def _arguments(text: Any, index: int) -> Json:
    if not text:
        return {}
    try:
        value = msgspec.json.decode(text) if isinstance(text, str) else text
    except msgspec.DecodeError:
        raise Malformed(f"messages[{index}].tool_calls", "a tool call's arguments must be JSON") from None
    return value if isinstance(value, dict) else {"value": value}


def _result(message: Json, names: dict[str, str]) -> Json:
    call_id = str(message.get("tool_call_id") or "")
    name = names.get(call_id) or message.get("name") or "function"
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    try:
        value = msgspec.json.decode(content) if isinstance(content, str) else content
    except msgspec.DecodeError:
        value = content
    return {"functionResponse": {"name": name, "response": value if isinstance(value, dict) else {"result": value}}}


def _parts(content: Any, index: int) -> list[Json]:
    if isinstance(content, str):
        return [{"text": content}]
    if content is None:
        return [{"text": ""}]
    if not isinstance(content, list):
        raise Malformed(f"messages[{index}].content", "content must be a string or an array of parts")
    return [_part(part, f"messages[{index}].content[{place}]") for place, part in enumerate(content)]


def _part(part: Any, where: str) -> Json:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "refusal"):
        return {"text": str(part.get(kind) or "")}
    if kind == "image_url":
        image = part.get("image_url")
        return _media(str(image.get("url") if isinstance(image, dict) else image), where, "image/jpeg")
    if kind == "input_audio":
        audio = part.get("input_audio") or {}
        return {"inlineData": {"mimeType": f"audio/{audio.get('format', 'wav')}", "data": audio.get("data", "")}}
    if kind == "file":
        data = (part.get("file") or {}).get("file_data")
        if not data:
            raise Unsupported(where, "only files given inline (file_data) can be sent to Gemini")
        return _media(str(data), where, "application/pdf")
    raise Unsupported(where, f"a content part of type {kind!r} can't be expressed for Gemini")


def _media(url: str, where: str, default: str) -> Json:
    """A data: URL inline; a http(s) one by reference, which Gemini fetches itself."""
    if url.startswith("data:"):
        head, _, data = url[5:].partition(",")
        if not head.endswith(";base64"):
            raise Malformed(where, "a data: URL must be base64")
        try:
            base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise Malformed(where, "the data: URL is not valid base64") from None
        return {"inlineData": {"mimeType": head.removesuffix(";base64") or default, "data": data}}
    if url.startswith(("http://", "https://")):
        kind, _ = mimetypes.guess_type(url.partition("?")[0])
        return {"fileData": {"mimeType": kind or default, "fileUri": url}}
    raise Malformed(where, "a URL must start with https:// or data:")


def _signature_of(thing: Json) -> str | None:
    google = (thing.get("extra_content") or {}).get("google") or {}
    signature = google.get("thought_signature")
    return signature if isinstance(signature, str) and signature else None


def signature_in(call_id: str) -> str | None:
    """The signature carried in a tool call's id (see google_answer.call_id)."""
    _, mark, tail = call_id.partition(SIGNATURE_MARK)
    return tail.replace("-", "+").replace("_", "/") + "=" * (-len(tail) % 4) if mark and tail else None
