"""A scripted gateway for tests, pictures and measurements: the admin API over seeded data, a tail as fast as asked, a streamed answer.

In a test: `with FakeGateway() as gateway:` then `gateway.url`. As a process: `python -m tests.tui.fake_gateway --rate 1000` prints its
address. `fail_with` makes every answer an error, `seen` holds what was asked, `rate` and `burst` drive the tail.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from gateway.admin.schema.audit import AuditEntry
from gateway.admin.schema.settings import Impact, Settings
from gateway.version import VERSION
from tests.tui import seeded, seeded_calls
from tests.tui.fake_routes import ROUTES, STREAMS

TOKEN = "optyx-admin-test"
STRANGERS = (
    b"acme",
    b"gpt-6.1-sol",
    b"ci-deploy",
    b"lena",
    b"groq",
    b"over capacity",
    b"rate_limit_exceeded",
    b"tui 10.2.0.9",
    b"429",
)
"""What `hostile` takes the place of in every answer: names of every kind, errors, addresses."""


class FakeGateway:
    def __init__(self, *, empty: bool = False, is_busy: bool = False, rate: float = 0.0, port: int = 0) -> None:
        self.empty = empty
        self.is_busy = is_busy
        """Whether the overview's figures change from second to second."""
        self.rate = rate
        self.burst = 0
        """Rows that the tail sends at once, on top of its rate."""
        self.sent = 0
        self.newest_sent = -1
        self.fail_with: tuple[int, str, str] | None = None
        self.seen: list[tuple[str, str, dict[str, str], Any]] = []
        self.first_call_of: str | None = None
        self.hostile = ""
        self.role = "owner"
        self.refused_keys: set[str] = set()
        self.lock = threading.Lock()
        self.reset()
        gateway = self

        class Bound(Handler):
            fake = gateway

        self.server = Server(("127.0.0.1", port), Bound)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.stopping = threading.Event()
        self.tail_open = threading.Event()
        self.cut = threading.Event()
        self.scanned_to = ""
        """Where a search stops that finds nothing in its time; its next page has everything."""
        self.one_in = 1
        self.behind_s = 0.0
        self.gap = b""
        """The data of a gap that a tail is told of when it begins."""
        self.moved: list[Impact] = []
        """What a preview of any change says of calls that it would not refuse."""
        self.captured = ""
        """The request body of every call."""
        self.version = VERSION
        self.token = TOKEN
        self.step_gate: threading.Semaphore | None = None
        self.test_steps: dict[str, list[tuple[str, str, str]]] = {}
        self._owed, self._owed_at = 0.0, time.monotonic()

    def reset(self) -> None:
        self.projects = [] if self.empty else seeded.projects()
        self.keys = {} if self.empty else {one.slug: seeded.keys(one.slug) for one in self.projects}
        self.settings = Settings(
            allowed_models=["gpt-6*", "gemini-4-argon"], version=41, updated_at=seeded.ago(hours=2), updated_by="lena"
        )
        self.providers = seeded.providers()
        self.audit = [] if self.empty else seeded.audit()
        self.history = (
            []
            if self.empty
            else [seeded_calls.call(n, seeded.NOW - timedelta(milliseconds=90 * (500 - n))) for n in range(500)]
        )
        self.undone: list[str] = []

    def begin_producing(self) -> None:
        self._owed, self._owed_at = 0.0, time.monotonic()

    def produced(self) -> int:
        """How many calls there have been since a tail was opened, at whatever rates."""
        now = time.monotonic()
        self._owed += (now - self._owed_at) * self.rate + self.burst
        self._owed_at, self.burst = now, 0
        return int(self._owed)

    def __enter__(self) -> FakeGateway:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.server.shutdown()
        self.server.server_close()

    def record(self, action: str, kind: str, name: str, before: Any, after: Any) -> str:
        entry = AuditEntry(
            id=f"aud_{2000 + len(self.audit)}", at=seeded.iso(seeded.NOW), actor="test", action=action, object_type=kind,
            object_id=f"{kind}_{name}", object_name=name, before=before, after=after, origin="tui",
        )  # fmt: skip
        self.audit.insert(0, entry)
        return entry.id


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A dashboard that left in the middle of an answer is no news."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    fake: FakeGateway
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.route()

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET

    def route(self) -> None:
        if self.fake.stopping.is_set():
            self.close_connection = True  # a kept connection ends with the gateway
            return
        parts = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        length = int(self.headers.get("content-length") or 0)
        self.body: Any = json.loads(self.rfile.read(length)) if length else None
        self.fake.seen.append((self.command, parts.path, self.query, self.body))
        if self.fake.fail_with is not None:
            self.refuse(*self.fake.fail_with)
            return
        if parts.path.startswith("/admin/") and self.headers.get("authorization") != f"Bearer {self.fake.token}":
            self.refuse(401, "invalid_admin_token", "This admin token is not known here.")
            return
        stream = STREAMS.get((self.command, parts.path))
        if stream is not None:
            stream(self)
            return
        for method, pattern, handler in ROUTES:
            match = re.fullmatch(pattern, parts.path)
            if match and method == self.command:
                with self.fake.lock:
                    answer = handler(self, *map(unquote, match.groups()))
                if callable(answer):
                    answer(self)
                elif answer is not None:
                    self.answer(200, answer)
                return
        self.refuse(404, "not_found", f"There is no {parts.path} here.")

    def answer(self, status: int, body: Any) -> None:
        raw = msgspec.json.encode(body)
        if self.fake.hostile:
            for name in STRANGERS:
                raw = raw.replace(name, json.dumps(self.fake.hostile)[1:-1].encode())
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.send_header("etag", f'"{self.fake.settings.version}"')
        self.end_headers()
        self.wfile.write(raw)
        self.wfile.flush()

    def refuse(self, status: int, code: str, message: str) -> None:
        self.answer(status, {"error": {"message": message, "type": "error", "param": None, "code": code}})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0, help="calls a second in the tail")
    parser.add_argument("--empty", action="store_true")
    parser.add_argument("--busy", action="store_true", help="the overview's figures change all the time")
    given = parser.parse_args()
    with FakeGateway(empty=given.empty, is_busy=given.busy, rate=given.rate, port=given.port) as fake:
        print(fake.url, flush=True)
        fake.thread.join()


if __name__ == "__main__":
    main()
