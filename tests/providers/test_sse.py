"""Server-sent events in any split: what comes out depends on the bytes and never on where they were cut."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.providers import anthropic, google, openai, sse
from gateway.providers.provider import Ask

# a stream's own oddities: line ends, a BOM, comments, several data lines, other fields, no last line end, text that looks like line ends to others
CORPUS = [
    b"data: a\n\ndata: b\n\n",
    b"data: a\r\n\r\ndata: b\r\n\r\n",
    b"data: a\r\rdata: b\r\r",
    b"\xef\xbb\xbfdata: a\n\n",
    b": comment\n\n: another\r\ndata: a\n\n",
    b"event: message\nid: 7\nretry: 10\ndata: a\n\n",
    b"data: one\ndata: two\ndata:\ndata\ndata:  spaced \n\n",
    b"data:nospace\n\n\n\n\ndata: after empty ones\n\n",
    "data: \u2028\u0085\x0b\x0c\x1c€😀\n\n".encode(),
    b"dat: no\n\ndatas: no\n\ndata: yes\n\n",
    b"data: a\r\n\ndata: b\n\r\n",
    b"data: unfinished",
]
EXPECTED = [
    [b"a", b"b"],
    [b"a", b"b"],
    [b"a", b"b"],
    [b"a"],
    [b"a"],
    [b"a"],
    [b"one\ntwo\n\n\n spaced "],
    [b"nospace", b"after empty ones"],
    ["\u2028\u0085\x0b\x0c\x1c€😀".encode()],
    [b"yes"],
    [b"a", b"b"],
    [],
]


@pytest.mark.parametrize(("data", "expected"), list(zip(CORPUS, EXPECTED, strict=True)))
def test_events_are_the_same_in_every_split(data: bytes, expected: list[bytes]):
    for cuts in itertools.combinations(range(len(data) + 1), 2):
        parser, found = sse.EventParser(), []
        for start, end in itertools.pairwise((0, *cuts, len(data))):
            found += parser.feed(data[start:end])
        assert found == expected, cuts


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 65536 + b"\n", b"x" * 65536])
def test_an_event_over_the_limit_is_refused_however_it_comes(piece: bytes):
    parser = sse.EventParser()
    for _ in range(sse.MAX_EVENT // 65536 - 1):
        assert parser.feed(piece) == []
    with pytest.raises(sse.EventTooLarge):
        parser.feed(piece * 3)


def openai_stream(end: str) -> bytes:
    events: list[Any] = [
        {
            "id": "x",
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
            "usage": None,
        },
        {
            "id": "x",
            "choices": [{"index": 0, "delta": {"content": "h\u2028é😀"}, "finish_reason": None}],
            "usage": None,
        },
        {"id": "x", "choices": [{"index": 0, "delta": {"content": '"usage": [DONE] "error"'}, "finish_reason": None}]},
        {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"id": "x", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}},
    ]
    lines = [f"data: {json.dumps(event, ensure_ascii=False, separators=(',', ':'))}{end}{end}" for event in events]
    return ("".join([lines[0], f": ping{end}{end}", *lines[1:]]) + f"data: [DONE]{end}{end}").encode()


GEMINI = b"".join(
    b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\r\n\r\n"
    for event in (
        {"candidates": [{"content": {"parts": [{"text": "h\u2028é😀"}]}, "index": 0}]},
        {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": "é"}}}]}, "index": 0}]},
        {
            "candidates": [{"finishReason": "STOP", "index": 0}],
            "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2},
        },
    )
)
ANTHROPIC = b"".join(
    b"event: " + event["type"].encode() + b"\ndata: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"
    for event in (
        {"type": "message_start", "message": {"usage": {"input_tokens": 3}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "h\u2028é😀"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    )
)
STREAMS = [
    (openai.ADAPTER, openai_stream("\n")),
    (openai.ADAPTER, openai_stream("\r\n")),
    (openai.ADAPTER, openai_stream("\r")),
    (google.ADAPTER, GEMINI),
    (anthropic.ADAPTER, ANTHROPIC),
]


def outcome(adapter: Any, pieces: list[bytes]) -> tuple[list[Any], Any, str | None]:
    """Events without what is random in them, usage, and the end."""
    stream = adapter.stream(Ask("chat", "m", True, b"{}", include_usage=True))
    out = b"".join(stream.feed(piece) for piece in pieces) + stream.close()
    assert stream.failure is None, stream.failure
    assert out.endswith(b"data: [DONE]\n\n")
    events = [json.loads(data) for data in sse.EventParser().feed(out) if data != b"[DONE]"]
    for event in events:
        event.pop("id", None)
        event.pop("created", None)
        for choice in event["choices"]:
            for call in choice["delta"].get("tool_calls", []):
                call.pop("id", None)
    return events, stream.usage, stream.finish


@pytest.mark.parametrize(("adapter", "data"), STREAMS)
@settings(max_examples=400, derandomize=True, deadline=None)
@given(cuts=st.lists(st.integers(0, 2000), max_size=12))
def test_every_adapter_gives_the_same_in_any_split(adapter: Any, data: bytes, cuts: list[int]):
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    pieces = [data[start:end] for start, end in itertools.pairwise((0, *places, len(data)))]
    assert outcome(adapter, pieces) == outcome(adapter, [data])


@pytest.mark.parametrize(("adapter", "data"), STREAMS)
def test_a_stream_that_is_cut_anywhere_never_looks_complete(adapter: Any, data: bytes):
    whole = adapter.stream(Ask("chat", "m", True, b"{}"))
    whole.feed(data)
    whole.close()
    for at in range(len(data)):
        stream = adapter.stream(Ask("chat", "m", True, b"{}"))
        out = stream.feed(data[:at]) + stream.close()
        if b"data: [DONE]" in out:  # every choice had its finish reason: only the usage or the end marker is missing
            assert (stream.complete, stream.finish) == (True, whole.finish), at
        else:
            assert stream.failure is not None, at
