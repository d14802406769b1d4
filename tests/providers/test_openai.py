"""The pass-through adapter's streams: bytes untouched, usage found in any split, nothing cut taken for complete."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.providers.openai import ADAPTER, OpenAIStream
from gateway.providers.provider import Ask, Failure

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
DONE = b"data: [DONE]\n\n"


def stream_of(*, usage: bool = False, n: int = 1) -> OpenAIStream:
    return ADAPTER.stream(Ask("chat", "m", True, b'{"n":%d}' % n, include_usage=usage))


def event(document: dict[str, Any], end: str = "\n") -> bytes:
    return f"data: {json.dumps(document, separators=(',', ':'), ensure_ascii=False)}{end}{end}".encode()


def chunk(text: str, finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"id": "x", "choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}], **more}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("asked", [True, False])
def test_a_stream_survives_a_split_at_every_byte(end: str, asked: bool):
    whole = event(chunk("a\u2028ä"), end) + event(chunk("b", "stop"), end) + event({"choices": [], "usage": USAGE}, end)
    whole += f"data: [DONE]{end}{end}".encode()
    for at in range(len(whole) + 1):
        stream = stream_of(usage=asked)
        out = stream.feed(whole[:at]) + stream.feed(whole[at:]) + stream.close()
        assert stream.failure is None, at
        assert (stream.done, stream.finish) == (True, "stop")
        assert stream.usage is not None
        assert stream.usage.completion_tokens == 2
        assert out.count(b'"completion_tokens"') == asked
        assert out.endswith(DONE)
        assert out.count(DONE) == 1
        assert "a\u2028ä".encode() in out


@pytest.mark.parametrize("asked", [True, False])
def test_usage_on_every_chunk_becomes_one_chunk_or_none(asked: bool):
    whole = event(chunk("a", usage=USAGE)) + event(chunk("b", "stop", usage=USAGE)) + DONE
    stream = stream_of(usage=asked)
    out = stream.feed(whole) + stream.close()
    assert out.count(b'"completion_tokens"') == asked
    assert stream.usage is not None


def test_a_missing_end_marker_is_added_only_when_every_choice_finished():
    half = stream_of(n=2)
    out = half.feed(event(chunk("a", "stop")) + event(chunk("b", index=1))) + half.close()
    assert half.failure is not None
    assert half.failure.kind == "truncated"
    assert DONE not in out
    both = stream_of(n=2)
    whole = event(chunk("a", "stop")) + event(chunk("b", "length", index=1))
    assert both.feed(whole) + both.close() == whole + DONE


@pytest.mark.parametrize("error", [{"message": "over\x1bloaded", "type": "server_error"}, "over\x1bloaded"])
@pytest.mark.parametrize("before", [b"", b": ping\n\n", event(chunk("a"))])
def test_an_error_event_is_a_failure_with_the_providers_words(error: Any, before: bytes):
    stream = stream_of()
    out = stream.feed(before + event({"error": error}))
    assert isinstance(stream.failure, Failure)
    assert (stream.failure.kind, stream.failure.message) == ("status", "over loaded")
    assert stream.started == (b"choices" in before)
    assert b"error" not in out


def test_words_that_look_like_markers_pass_untouched():
    stream = stream_of()
    stream.feed(event(chunk("a")))
    said = event(chunk('he said "error": "usage":{} [DONE] "finish_reason":"stop"'))
    assert stream.feed(said) == said
    assert not stream.complete
    assert stream.failure is None


def test_an_event_that_is_no_chunk_does_not_start_an_answer():
    stream = stream_of()
    stream.feed(event({"hello": 1}) + DONE)
    assert not stream.started
