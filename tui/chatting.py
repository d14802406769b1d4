"""Real calls through the gateway, for `optyx chat`, `quickstart` and `logs replay`: with a project's key, never with the admin token."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from tui import calls_shown, faults, figures
from tui.faults import usage
from tui.invocation import Invocation, path_of
from tui.safe import escaped
from tui.wire import Answer, EventStream, GatewayError, Unreachable, Wire

RATED_S = 0.05
"""Of an answer that came in one piece no rate can be told."""
LOOKS, LOOK_EVERY_S = 20, 0.1
"""A record is in the log well within two seconds of its call's end."""


def key_from(run: Invocation, source: str) -> str:
    """`-`: from stdin; `@FILE`: a file; nothing: OPTYX_API_KEY. Never from the command line itself."""
    if source == "-":
        return run.secret_from_stdin("Project key")
    if source.startswith("@"):
        with open(source[1:], encoding="utf-8") as file:
            return file.read().strip()
    if source:
        raise usage(
            "a key is no argument: every user of this machine could read it",
            "-k - reads it from stdin, OPTYX_API_KEY holds it",
        )
    key = os.environ.get("OPTYX_API_KEY", "")
    if not key:
        raise usage("which project key?", "export OPTYX_API_KEY=…, or -k - and the key on stdin")
    return key


def wire_with(run: Invocation, key: str) -> Wire:
    here = run.place
    return Wire(here.url, key, timeout_s=max(run.flags.timeout_s, 120.0), ca=here.ca, proxy=here.proxy)


def posted(run: Invocation, path: str, body: bytes, key: str) -> Answer:
    """A call whose answer comes whole."""
    wire = wire_with(run, key)
    try:
        return wire.send("POST", path, body=msgspec.Raw(body))
    except GatewayError as error:
        raise faults.said_no(error) from None
    except Unreachable as error:
        raise faults.not_reached(error) from None
    finally:
        wire.close()


def document(answer: Answer) -> str:
    """The answer's body, formatted."""
    return escaped(msgspec.json.format(msgspec.json.encode(answer.body), indent=2).decode())


def as_whole(body: bytes) -> bytes:
    """A captured request that asks for its answer at once; what is no JSON (any more) stays as it is."""
    try:
        read = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return body
    for name in ("stream", "stream_options"):
        read.pop(name, None)
    return msgspec.json.encode(read)


def meter(run: Invocation, request_id: str, first_s: float | None, whole_s: float) -> str:
    """What a call came to: times as they were here, the rest as the log has it as soon as it is there."""
    parts = [f"first word {figures.duration(first_s * 1000)}"] if first_s is not None else []
    parts.append(f"in all {figures.duration(whole_s * 1000)}")
    call = _logged(run, request_id)
    if call is not None:
        out = call.get("completion_tokens")
        parts.insert(0, f"{call.get('provider')}/{call.get('model')}")
        parts.append(f"{calls_shown.tokens(call)} tokens")
        if out and first_s is not None and whole_s - first_s > RATED_S:
            parts.append(f"{out / (whole_s - first_s):.0f} a second")
        parts.append(figures.cost(call.get("cost_nusd")))
    return "  ".join([*parts, f"request {request_id}"])


def _logged(run: Invocation, request_id: str) -> dict[str, Any] | None:
    """The call's record; None where it does not come or may not be read: a project's key is enough for a chat."""
    for _ in range(LOOKS):
        try:
            return dict(run.get(path_of("logs", request_id), bodies="false"))
        except faults.Fault as fault:
            if fault.exit != faults.NOT_FOUND:
                return None
        time.sleep(LOOK_EVERY_S)
    return None


class Streamed:
    """A streamed completion: iterate over its text; `headers` are known before it."""

    def __init__(self, run: Invocation, body: dict[str, Any], key: str) -> None:
        wire = wire_with(run, key)
        try:
            self._stream = EventStream(wire, "/v1/chat/completions", {}, body=body, timeout_s=wire.timeout_s)
        except GatewayError as error:
            raise faults.said_no(error) from None
        except Unreachable as error:
            raise faults.not_reached(error) from None
        self.headers = self._stream.headers

    def __iter__(self) -> Iterator[str]:
        try:
            for _, _, data in self._stream.events():
                if data == b"[DONE]":
                    return
                chunk = msgspec.json.decode(data)
                if "error" in chunk:
                    problem = chunk["error"]
                    raise faults.Fault(
                        str(problem.get("message")),
                        code=str(problem.get("code")),
                        request_id=self.headers.get("x-request-id", ""),
                    )
                for choice in chunk.get("choices", []):
                    yield (choice.get("delta") or {}).get("content") or ""
        except Unreachable as error:
            raise faults.not_reached(error) from None


def prompt_from_stdin() -> str:
    return "" if sys.stdin.isatty() else sys.stdin.read()
