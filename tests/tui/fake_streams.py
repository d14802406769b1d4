"""What the scripted gateway streams: the tail of calls, as fast as it is asked to, and an answer word by word."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from gateway.admin.schema.logs import LogRow
from gateway.admin.schema.providers import ProviderTest, Step
from tests.tui import seeded_calls

if TYPE_CHECKING:
    from tests.tui.fake_gateway import Handler


def tail(h: Handler) -> None:
    fake = h.fake
    start_events(h)
    wanted = matcher(h.query.get("filter", ""))
    last = h.headers.get("last-event-id")
    if last is None:
        fake.begin_producing()
    number = int(last.partition(".")[2]) + 1 if last else len(fake.history)
    fake.tail_open.set()
    beat = 0.0
    try:
        if fake.one_in > 1:
            h.wfile.write(b'event: sampled\ndata: {"one_in":%d,"rows_per_s":8000}\n\n' % fake.one_in)
            h.wfile.flush()
        if fake.gap:
            h.wfile.write(b"event: gap\ndata: %b\n\n" % fake.gap)
            h.wfile.flush()
        while not fake.stopping.is_set() and not fake.cut.is_set():
            now = time.monotonic()
            due = len(fake.history) + fake.produced()
            pieces = []
            while number < due:
                row = seeded_calls.call(number, datetime.now(UTC))
                if wanted(row):
                    pieces.append(b"id: 1.%d\nevent: log\ndata: %s\n\n" % (number, msgspec.json.encode(row)))
                    if number > fake.newest_sent:  # not a second time, to a dashboard that is just leaving
                        fake.newest_sent = number
                        fake.sent += 1
                number += 1
            if pieces:
                h.wfile.write(b"".join(pieces))
                h.wfile.flush()
            elif now - beat > 2:
                beat = now
                h.wfile.write(b'event: heartbeat\ndata: {"dropped":0,"behind_s":%f}\n\n' % fake.behind_s)
                h.wfile.flush()
            time.sleep(0.02)
    except OSError:
        pass  # the dashboard left


def start_events(h: Handler) -> None:
    h.send_response(200)
    h.send_header("content-type", "text/event-stream")
    h.send_header("connection", "close")
    h.end_headers()
    h.close_connection = True


def steps(h: Handler, told: ProviderTest) -> None:
    """A provider's test; `step_gate`, where one is set, is passed once for each step."""
    start_events(h)
    for count in range(len(told.steps) + 1):
        if h.fake.step_gate is not None and count:
            h.fake.step_gate.acquire(timeout=10)
        decided, rest = told.steps[:count], told.steps[count:]
        ahead = [Step(name=one.name, state="waiting" if at else "running") for at, one in enumerate(rest)]
        now = ProviderTest(steps=[*decided, *ahead], ok=told.ok and not ahead)
        event = b"progress" if ahead else b"done"
        h.wfile.write(b"event: %s\ndata: %s\n\n" % (event, msgspec.json.encode(now)))
        h.wfile.flush()


def chat(h: Handler) -> None:
    words = [
        "A",
        "half-open",
        "breaker",
        "lets",
        "one",
        "probe",
        "request",
        "through,",
        "so",
        "it",
        "can",
        "learn",
        "whether",
        "the",
        "provider",
        "has",
        "recovered.",
    ]
    if not (h.body or {}).get("stream"):
        h.answer(
            200,
            {"choices": [{"message": {"role": "assistant", "content": " ".join(words)}, "finish_reason": "stop"}]},
        )
        return
    h.send_response(200)
    for name, value in (
        *(("content-type", "text/event-stream"), ("connection", "close"), ("x-request-id", "req_00000000f1a5")),
        *(
            ("x-optyx-provider", "openai"),
            ("x-optyx-model", "gpt-6-luna"),
            ("x-optyx-attempts", "1"),
            ("x-optyx-overhead-ms", "1.7"),
        ),
    ):
        h.send_header(name, value)
    h.end_headers()
    h.close_connection = True
    try:
        for word in words:
            chunk = {"choices": [{"index": 0, "delta": {"content": word + " "}}]}
            h.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            h.wfile.flush()
            time.sleep(0.01)
        usage = {"prompt_tokens": 34, "completion_tokens": len(words), "total_tokens": 34 + len(words)}
        last = {"choices": [], "usage": usage}
        finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        for event in (finish, last):
            h.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        h.wfile.write(b"data: [DONE]\n\n")
        h.wfile.flush()
    except OSError:
        pass  # stopped by the reader


def matcher(text: str) -> Callable[[LogRow], bool]:
    """As much of the filter grammar as the tests need: field:value with commas, negation, words."""
    tests: list[Callable[[LogRow], bool]] = []
    for word in text.split():
        negated, plain = word.startswith("-"), word.lstrip("-")
        name, colon, value = plain.partition(":")
        if name in ("since", "until"):
            continue
        options = value.split(",") if colon else [plain]
        field = {"err": "error_code"}.get(name, name) if colon else ""
        tests.append(lambda row, f=field, o=options, n=negated: any(_fits(row, f, one) for one in o) != n)
    return lambda row: all(test(row) for test in tests)


def _fits(row: LogRow, field: str, value: str) -> bool:
    if not field:
        return value.casefold() in f"{row.request_id} {row.model} {row.project} {row.key} {row.error_code}".casefold()
    held = str(getattr(row, field, "") or "")
    if value.endswith("xx"):
        return held.startswith(value[0])
    return held.startswith(value[:-1]) if value.endswith("*") else held == value
