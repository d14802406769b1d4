"""A strict reader of chat completion streams: what every stream that an adapter generates must satisfy."""

from __future__ import annotations

import json
from typing import Any

from openai.types.chat import ChatCompletionChunk


def read(stream: bytes, *, asked_usage: bool) -> dict[int, dict[str, Any]]:
    """Asserts the shape of a whole, successful stream; gives each choice's role, content, calls and finish."""
    assert stream.endswith(b"data: [DONE]\n\n")
    events = stream.split(b"\n\n")[:-2]
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    with_usage = [at for at, chunk in enumerate(chunks) if not chunk["choices"]]
    assert with_usage == ([len(chunks) - 1] if asked_usage else [])
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            first = choice["index"] not in choices
            seen = choices.setdefault(choice["index"], {"content": "", "calls": [], "finish": None, "refusal": ""})
            delta = choice["delta"]
            assert ("role" in delta) == first, "the role comes once, first"
            assert seen["finish"] is None, "nothing follows a finish_reason"
            seen["content"] += delta.get("content") or ""
            seen["refusal"] += delta.get("refusal") or ""
            for call in delta.get("tool_calls", []):
                assert call["index"] in (len(seen["calls"]), len(seen["calls"]) - 1), "tool indexes are dense"
                if call["index"] == len(seen["calls"]):
                    assert call["id"]
                    assert call["function"]["name"]
                    seen["calls"].append({"id": call["id"], "name": call["function"]["name"], "arguments": ""})
                seen["calls"][-1]["arguments"] += call["function"].get("arguments", "")
            seen["finish"] = choice["finish_reason"]
    for seen in choices.values():
        assert seen["finish"] is not None, "every choice ends"
        for call in seen["calls"]:
            assert isinstance(json.loads(call["arguments"]), dict)
    if asked_usage:
        usage = chunks[-1]["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    return choices
