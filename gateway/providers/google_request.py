"""A chat or embeddings request in OpenAI's shape as the Gemini API takes it. Pure; `google` sends what this builds."""

from __future__ import annotations

import mimetypes
import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.providers import chat_request as chat
from gateway.providers.chat_request import Json, Unsupported
from gateway.providers.google_schema import for_gemini
from gateway.providers.provider import Ask

# no equivalent, and the answer would be another one without them
_REFUSED = ("logit_bias", "functions", "function_call", "audio", "web_search_options")

_PLAIN = {
    "temperature": "temperature", "top_p": "topP", "top_k": "topK", "seed": "seed", "n": "candidateCount",
    "presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty", "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}  # fmt: skip

_BUDGETS = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
_LEVELS = {"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH"}

# What the Gemini API documents for calls that another model made: Gemini 3 refuses a call without a signature.
FOREIGN_SIGNATURE = "skip_thought_signature_validator"

_GENERATION = re.compile(r"gemini-(\d+)")


def generation_of(model: str) -> int:
    """3 for `gemini-3.5-flash`; names without a number (`gemini-flash-latest`) count as the newest."""
    found = _GENERATION.search(model)
    return int(found.group(1)) if found else 99


def chat_body(ask: Ask) -> Json:
    """Raises Unsupported."""
    fields = chat.fields_of(ask)
    chat.refuse(fields, _REFUSED, "Google")
    if fields.get("verbosity", "medium") != "medium":
        raise Unsupported("verbosity", "'verbosity' has no equivalent at Google.")
    if fields.get("modalities", ["text"]) != ["text"]:
        raise Unsupported("modalities", "Only the modality 'text' can be asked of Google.")
    system, contents = _conversation(chat.messages_of(fields), generation_of(ask.model) >= 3)
    body: Json = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in system]}
    body.update(_tools(fields))
    config = _generation_config(ask, fields)
    if config:
        body["generationConfig"] = config
    return body


MOST_A_BATCH = 100
"""BatchEmbedContents refuses more: ai.google.dev/api/embeddings."""
MOST_TEXTS = 2_048
"""What OpenAI's own endpoint takes: platform.openai.com/docs/api-reference/embeddings."""


def embeddings_bodies(ask: Ask) -> list[Json]:
    """One body a batch. Raises Unsupported."""
    fields = chat.fields_of(ask)
    given = fields.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise Unsupported("input", "Google takes text to embed, one string or an array of strings; not token arrays.")
    if len(texts) > MOST_TEXTS:
        raise Unsupported("input", f"'input' has {len(texts)} texts; at most {MOST_TEXTS} go into one request.")
    request: Json = {"model": f"models/{ask.model}"}
    if "dimensions" in fields:
        request["outputDimensionality"] = fields["dimensions"]
    asked = [{**request, "content": {"parts": [{"text": text or " "}]}} for text in texts]
    return [{"requests": asked[at : at + MOST_A_BATCH]} for at in range(0, len(asked), MOST_A_BATCH)]


def _generation_config(ask: Ask, fields: Json) -> Json:
    config: Json = {to: fields[name] for name, to in _PLAIN.items() if name in fields}
    if config.get("candidateCount") == 1:
        del config["candidateCount"]
    if (limit := chat.max_tokens(ask, fields)) is not None:
        config["maxOutputTokens"] = limit
    if "stop" in fields:
        config["stopSequences"] = [fields["stop"]] if isinstance(fields["stop"], str) else fields["stop"]
    if "reasoning_effort" in fields:
        config["thinkingConfig"] = _thinking(ask.model, fields["reasoning_effort"])
    config.update(_format(fields.get("response_format")))
    return config


def _thinking(model: str, effort: object) -> Json:
    """Levels from Gemini 3 on, token budgets before. 2.5 Pro can't stop thinking: its least is 128."""
    if effort not in _LEVELS:
        raise Unsupported("reasoning_effort", f"'reasoning_effort' must be one of {', '.join(_LEVELS)}.")
    if generation_of(model) >= 3:
        level = _LEVELS[str(effort)]
        return {"thinkingLevel": "LOW" if level == "MINIMAL" and "-pro" in model else level}
    budget = _BUDGETS[str(effort)]
    return {"thinkingBudget": max(128, budget) if "-pro" in model else budget}


def _format(wanted: Any) -> Json:
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if wanted is None or kind == "text":
        return {}
    if kind == "json_object":
        return {"responseMimeType": "application/json"}
    if kind == "json_schema" and isinstance(wanted.get("json_schema"), dict):
        return {
            "responseMimeType": "application/json",
            "responseJsonSchema": for_gemini(wanted["json_schema"].get("schema")),
        }
    raise Unsupported("response_format", "'response_format' must be text, json_object or json_schema.")


def _tools(fields: Json) -> Json:
    functions = chat.functions_of(fields)
    if not functions:
        return {}
    if fields.get("parallel_tool_calls") is False:
        raise Unsupported("parallel_tool_calls", "Google can't be told to make one tool call at a time.")
    body: Json = {"tools": [{"functionDeclarations": [_declaration(function) for function in functions]}]}
    if "tool_choice" in fields:
        body["toolConfig"] = {"functionCallingConfig": _calling(fields["tool_choice"])}
    return body


def _declaration(function: Json) -> Json:
    declaration: Json = {"name": function["name"]}
    if function.get("description"):
        declaration["description"] = function["description"]
    if function.get("parameters"):
        declaration["parametersJsonSchema"] = for_gemini(function["parameters"])
    return declaration


def _calling(choice: Any) -> Json:
    modes = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
    if isinstance(choice, str) and choice in modes:
        return {"mode": modes[choice]}
    if isinstance(choice, dict) and choice.get("type") == "function" and isinstance(choice.get("function"), dict):
        return {"mode": "ANY", "allowedFunctionNames": [choice["function"].get("name")]}
    if (
        isinstance(choice, dict)
        and choice.get("type") == "allowed_tools"
        and isinstance(choice.get("allowed_tools"), dict)
    ):
        allowed = choice["allowed_tools"]
        names = [
            tool["function"]["name"] for tool in allowed.get("tools", []) if isinstance(tool.get("function"), dict)
        ]
        return {"mode": "ANY" if allowed.get("mode") == "required" else "VALIDATED", "allowedFunctionNames": names}
    raise Unsupported("tool_choice", "'tool_choice' must be auto, none, required or a function.")


def _conversation(messages: list[Json], needs_signatures: bool) -> tuple[list[str], list[Json]]:
    """System texts, and contents whose roles alternate: results of parallel calls stand together in the order of the calls."""
    system: list[str] = []
    contents: list[Json] = []
    at = 0
    while at < len(messages):
        message, where = messages[at], f"messages[{at}].content"
        at += 1
        match message.get("role"):
            case "system" | "developer":
                if text := chat.text_of(message.get("content"), where):
                    system.append(text)
            case "user":
                _add(contents, "user", [_part(part, where) for part in chat.parts_of(message.get("content"), where)])
            case "assistant":
                calls = chat.calls_of(message)
                _add(contents, "model", _said(message, where, needs_signatures))
                results, at = chat.results_from(messages, at)
                chat.require_paired(calls, results)
                _add(contents, "user", [_response(call, results[str(call.get("id"))]) for call in calls])
            case "tool":
                raise Unsupported("messages", f"'messages[{at - 1}]' is a tool message without a tool call before it.")
            case role:
                raise Unsupported("messages", f"Google knows no role '{str(role)[:40]}'.")
    if not contents:  # a system message alone is a prompt all the same
        contents, system = [{"role": "user", "parts": [{"text": text} for text in system] or [{"text": " "}]}], []
    return system, contents


def _add(contents: list[Json], role: str, parts: list[Json]) -> None:
    if not parts:
        return
    if contents and contents[-1]["role"] == role:
        contents[-1]["parts"].extend(parts)
    else:
        contents.append({"role": role, "parts": parts})


def _said(message: Json, where: str, needs_signatures: bool) -> list[Json]:
    """What the model said and called before, with the signatures it gave."""
    parts: list[Json] = [_part(part, where) for part in chat.parts_of(message.get("content"), where)]
    if parts and (signature := _signature_of(message)):
        parts[-1]["thoughtSignature"] = signature
    for number, call in enumerate(chat.calls_of(message)):
        function = call["function"]
        part: Json = {"functionCall": {"name": function["name"], "args": chat.arguments_of(function)}}
        signature = _signature_of(call) or chat.signature_in(call.get("id"))
        if signature is None and needs_signatures and number == 0:  # only the first of parallel calls carries one
            signature = FOREIGN_SIGNATURE
        if signature is not None:
            part["thoughtSignature"] = signature
        parts.append(part)
    return parts


def _signature_of(holder: Json) -> str | None:
    extra = holder.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) and signature else None


def _response(call: Json, result: Json) -> Json:
    """Gemini takes objects only: a result that is one goes as it is, any other as its `result`."""
    text = chat.text_of(result.get("content"), "messages")
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        value = text
    response = value if isinstance(value, dict) else {"result": value}
    return {"functionResponse": {"name": call["function"]["name"], "response": response}}


def _part(part: Json, where: str) -> Json:
    match part.get("type"):
        case "text":
            return {"text": part["text"]}
        case "image_url":
            image = part.get("image_url")
            url = image.get("url") if isinstance(image, dict) else image
            return _media(url, where, "image/jpeg")
        case "input_audio":
            audio = part.get("input_audio") or {}
            return {"inlineData": {"mimeType": f"audio/{audio.get('format', 'wav')}", "data": audio.get("data", "")}}
        case "file" if isinstance(part.get("file"), dict) and part["file"].get("file_data"):
            return _media(part["file"]["file_data"], where, "application/pdf")
        case kind:
            raise Unsupported(
                "messages", f"'{where}' has a part of the type '{str(kind)[:40]}', which Google can't take."
            )


def _media(url: object, where: str, otherwise: str) -> Json:
    """`data:` goes inline; a web address goes as one, for Google to fetch: the gateway itself never does."""
    if isinstance(url, str) and url[:5].lower() == "data:":
        kind, data = chat.data_url(url, where)
        return {"inlineData": {"mimeType": kind or otherwise, "data": data}}
    if isinstance(url, str) and url.startswith(("https://", "http://", "gs://")):
        kind = mimetypes.guess_type(urlsplit(url).path)[0] or otherwise
        return {"fileData": {"fileUri": url, "mimeType": kind}}
    raise Unsupported("messages", f"'{where}' must be a data: or an https: URL.")
