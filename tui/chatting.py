"""Real calls through the gateway, for `optyx chat`, `quickstart` and `logs replay`: with a project's key, never with the admin token."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from tui import faults
from tui.faults import usage
from tui.invocation import Invocation
from tui.wire import EventStream, GatewayError, Unreachable, Wire


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


def posted(run: Invocation, path: str, body: bytes, key: str) -> str:
    """The answer's body, as it came, formatted."""
    wire = wire_with(run, key)
    try:
        answer = wire.send("POST", path, body=msgspec.Raw(body))
    except GatewayError as error:
        raise faults.said_no(error) from None
    except Unreachable as error:
        raise faults.not_reached(error) from None
    finally:
        wire.close()
    return msgspec.json.format(msgspec.json.encode(answer.body), indent=2).decode()


class Streamed:
    """A streamed completion: iterate over its text; afterwards `usage`, `headers` and `problem` are known."""

    def __init__(self, run: Invocation, body: dict[str, Any], key: str) -> None:
        wire = wire_with(run, key)
        try:
            self._stream = EventStream(wire, "/v1/chat/completions", {}, body=body, timeout_s=wire.timeout_s)
        except GatewayError as error:
            raise faults.said_no(error) from None
        except Unreachable as error:
            raise faults.not_reached(error) from None
        self.headers = self._stream.headers
        self.usage: dict[str, Any] = {}

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
                self.usage = chunk.get("usage") or self.usage
                for choice in chunk.get("choices", []):
                    yield (choice.get("delta") or {}).get("content") or ""
        except Unreachable as error:
            raise faults.not_reached(error) from None


def prompt_from_stdin() -> str:
    return "" if sys.stdin.isatty() else sys.stdin.read()
