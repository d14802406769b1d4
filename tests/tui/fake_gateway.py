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
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from gateway.admin import schema as s
from tests.tui import seeded

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
SECRET = "sk-optyx-55d0q7w2-Kq7Wn2pZr8Vt4Hs6Jm1Xc9Lb3Yd5Fg0Ra"


class FakeGateway:
    def __init__(self, *, empty: bool = False, rate: float = 0.0, port: int = 0) -> None:
        self.empty = empty
        self.rate = rate
        self.burst = 0
        """Rows that the tail sends at once, on top of its rate."""
        self.sent = 0
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
        self.test_steps: dict[str, list[tuple[str, str, str]]] = {}
        self._owed, self._owed_at = 0.0, time.monotonic()

    def reset(self) -> None:
        self.projects = [] if self.empty else seeded.projects()
        self.keys = {} if self.empty else {one.slug: seeded.keys(one.slug) for one in self.projects}
        self.settings = s.Settings(
            allowed_models=["gpt-6*", "gemini-4-argon"], version=41, updated_at=seeded.ago(hours=2), updated_by="lena"
        )
        self.providers = seeded.providers()
        self.audit = [] if self.empty else seeded.audit()
        self.history = (
            []
            if self.empty
            else [seeded.call(n, seeded.NOW - timedelta(milliseconds=90 * (500 - n))) for n in range(500)]
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
        entry = s.AuditEntry(
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
        if parts.path.startswith("/admin/") and self.headers.get("authorization") != f"Bearer {TOKEN}":
            self.refuse(401, "invalid_admin_token", "This admin token is not known here.")
            return
        for method, pattern, handler in ROUTES:
            match = re.fullmatch(pattern, parts.path)
            if match and method == self.command:
                with self.fake.lock:
                    answer = handler(self, *map(unquote, match.groups()))
                if answer is not None:
                    self.answer(200, answer)
                elif handler in STREAMS:
                    STREAMS[handler](self)
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

    # The tail

    def tail(self) -> None:
        fake = self.fake
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        wanted = matcher(self.query.get("filter", ""))
        last = self.headers.get("last-event-id")
        if last is None:
            fake.begin_producing()
        number = int(last.partition(".")[2]) + 1 if last else len(fake.history)
        fake.tail_open.set()
        beat = 0.0
        try:
            while not fake.stopping.is_set() and not fake.cut.is_set():
                now = time.monotonic()
                due = len(fake.history) + fake.produced()
                pieces = []
                while number < due:
                    row = seeded.call(number, datetime.now(UTC))
                    if wanted(row):
                        pieces.append(b"id: 1.%d\nevent: log\ndata: %s\n\n" % (number, msgspec.json.encode(row)))
                        fake.sent += 1
                    number += 1
                if pieces:
                    self.wfile.write(b"".join(pieces))
                    self.wfile.flush()
                elif now - beat > 2:
                    beat = now
                    self.wfile.write(b'event: heartbeat\ndata: {"dropped":0}\n\n')
                    self.wfile.flush()
                time.sleep(0.02)
        except OSError:
            pass  # the dashboard left

    def chat(self) -> None:
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
        if not (self.body or {}).get("stream"):
            self.answer(
                200,
                {"choices": [{"message": {"role": "assistant", "content": " ".join(words)}, "finish_reason": "stop"}]},
            )
            return
        self.send_response(200)
        for name, value in (
            *(("content-type", "text/event-stream"), ("connection", "close"), ("x-request-id", "req_play0001")),
            *(
                ("x-optyx-provider", "openai"),
                ("x-optyx-model", "gpt-6-luna"),
                ("x-optyx-attempts", "1"),
                ("x-optyx-overhead-ms", "1.7"),
            ),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        try:
            for word in words:
                chunk = {"choices": [{"index": 0, "delta": {"content": word + " "}}]}
                self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
                self.wfile.flush()
                time.sleep(0.01)
            usage = {"prompt_tokens": 34, "completion_tokens": len(words), "total_tokens": 34 + len(words)}
            last = {"choices": [], "usage": usage}
            finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            for event in (finish, last):
                self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            self.wfile.write(b"data: [DONE]\n\n")
            self.wfile.flush()
        except OSError:
            pass  # stopped by the reader


def matcher(text: str) -> Callable[[s.LogRow], bool]:
    """As much of the filter grammar as the tests need: field:value with commas, negation, words."""
    tests: list[Callable[[s.LogRow], bool]] = []
    for word in text.split():
        negated, plain = word.startswith("-"), word.lstrip("-")
        name, colon, value = plain.partition(":")
        if name in ("since", "until"):
            continue
        options = value.split(",") if colon else [plain]
        field = {"err": "error_code"}.get(name, name) if colon else ""
        tests.append(lambda row, f=field, o=options, n=negated: any(_fits(row, f, one) for one in o) != n)
    return lambda row: all(test(row) for test in tests)


def _fits(row: s.LogRow, field: str, value: str) -> bool:
    if not field:
        return value.casefold() in f"{row.request_id} {row.model} {row.project} {row.key} {row.error_code}".casefold()
    held = str(getattr(row, field, "") or "")
    if value.endswith("xx"):
        return held.startswith(value[0])
    return held.startswith(value[:-1]) if value.endswith("*") else held == value


def logs(h: Handler) -> Any:
    wanted = matcher(h.query.get("filter", ""))
    rows = [row for row in reversed(h.fake.history) if wanted(row)][: int(h.query.get("limit", 100))]
    return s.LogPage(data=rows)


def log_count(h: Handler) -> Any:
    wanted = matcher(h.query.get("filter", ""))
    matched = sum(1 for row in h.fake.history if wanted(row))
    series = seeded.wave(60, 100, 40)
    return s.LogCount(
        matched=matched, total=len(h.fake.history), since=seeded.ago(minutes=15), until=seeded.iso(seeded.NOW), series=series,
        error_series=[1.0 if index % 13 == 5 else 0.0 for index in range(60)],
    )  # fmt: skip


def log_one(h: Handler, ident: str) -> Any:
    number = int(ident.rpartition("-")[2].removeprefix("req_") or "0", 16)
    calls = (row for row in h.fake.history if ident in (row.request_id, row.call_id))
    told = seeded.detail(next(calls, None) or seeded.call(number, seeded.NOW))
    if h.query.get("bodies") == "false":
        told.request_body = told.response_body = None
    return told


def create_project(h: Handler) -> Any:
    name = h.body["name"]
    project = s.Project(
        id=f"prj_{name}",
        slug=name.lower().replace(" ", "-"),
        name=name,
        created_at=seeded.iso(seeded.NOW),
        default_tier="fast",
    )
    h.fake.projects.append(project)
    h.fake.keys[project.slug] = []
    h.fake.record("project.create", "project", name, None, {"name": name})
    return project


def update_project(h: Handler, slug: str) -> Any:
    for one in h.fake.projects:
        if slug in (one.slug, one.id):
            before = one.name
            one.name = h.body["name"]
            return {"audit_id": h.fake.record("project.update", "project", slug, {"name": before}, {"name": one.name})}
    return {}


def archive(h: Handler, slug: str) -> Any:
    for one in h.fake.projects:
        if slug in (one.slug, one.id):
            one.status = "archived"
    return {"audit_id": h.fake.record("project.archive", "project", slug, {"status": "active"}, {"status": "archived"})}


def _key(h: Handler, key_id: str) -> s.Key:
    return next(key for keys in h.fake.keys.values() for key in keys if key.id == key_id)


def create_key(h: Handler, project: str) -> Any:
    given = {
        name: value
        for name, value in h.body.items()
        if name in s.Key.__struct_fields__ and name not in ("id", "budget")
    }
    made = s.NewKey(
        **{**given, "id": f"key_{h.body['name']}", "public_id": "55d0q7w2", "project": project, "project_id": f"prj_{project}",
           "status": "unused", "created_at": seeded.iso(seeded.NOW)},
        key=SECRET,
    )  # fmt: skip
    listed = s.Key(**{name: getattr(made, name) for name in s.Key.__struct_fields__})
    h.fake.keys.setdefault(project, []).append(listed)
    h.fake.record("key.create", "key", made.name, None, {"name": made.name})
    return made


def switch_key(h: Handler, key_id: str, verb: str) -> Any:
    if key_id in h.fake.refused_keys:
        h.refuse(409, "conflict", "This key is being changed by somebody else.")
        return None
    key = _key(h, key_id)
    before, key.status = key.status, "disabled" if verb == "disable" else "active"
    return {"audit_id": h.fake.record(f"key.{verb}", "key", key.name, {"status": before}, {"status": key.status})}


def rotate_key(h: Handler, key_id: str) -> Any:
    key = _key(h, key_id)
    key.status = "grace"
    return s.NewKey(**{name: getattr(key, name) for name in s.Key.__struct_fields__}, key=SECRET)


def revoke_key(h: Handler, key_id: str) -> Any:
    key = _key(h, key_id)
    key.status = "revoked"
    return {"audit_id": h.fake.record("key.revoke", "key", key.name, {"status": "active"}, {"status": "revoked"})}


def preview(h: Handler, project: str) -> Any:
    fields = {name: value for name, value in h.body.items() if getattr(h.fake.settings, name, None) != value}
    problems = (
        [s.Problem(field="timezone", message="there is no such time zone")]
        if h.body.get("timezone") == "Mars/Base"
        else []
    )
    refused = h.body.get("allowed_models") is not None and "gpt-6*" not in h.body["allowed_models"]
    impact = (
        [s.Impact(key="ci-deploy", key_id="key_ci-deploy", requests=212_140, reason="model gpt-6-luna is not allowed")]
        if refused
        else []
    )
    return s.Preview(
        problems=problems, impact=impact, refused=212_140 if refused else 0, examined=2_116_755,
        differences=[s.Difference(field=name, before=getattr(h.fake.settings, name, None), after=value) for name, value in fields.items()],
    )  # fmt: skip


def save_settings(h: Handler, project: str) -> Any:
    current = h.fake.settings
    if h.headers.get("if-match") != f'"{current.version}"':
        h.refuse(
            412,
            "precondition_failed",
            f"The settings changed meanwhile: version {current.version} by {current.updated_by}.",
        )
        return None
    before = {name: getattr(current, name) for name in h.body}
    for name, value in h.body.items():
        setattr(current, name, value)
    current.version += 1
    return {"audit_id": h.fake.record("settings.update", "project", project, before, h.body)}


def undo(h: Handler, audit_id: str) -> Any:
    entry = next(one for one in h.fake.audit if one.id == audit_id)
    h.fake.undone.append(audit_id)
    for keys in h.fake.keys.values():
        for key in keys:
            if key.name == entry.object_name and entry.before and "status" in entry.before:
                key.status = entry.before["status"]
    return {
        "audit_id": h.fake.record(
            f"undo.{entry.action}", entry.object_type, entry.object_name, entry.after, entry.before
        )
    }


def test_provider(h: Handler, name: str) -> Any:
    if name in h.fake.test_steps:
        told = [s.Step(name=step, state=state, detail=detail) for step, state, detail in h.fake.test_steps[name]]
        return s.ProviderTest(steps=told, ok=all(one.state == "ok" for one in told))
    failing = name == "groq"
    steps = [("dns", 3.0, "ok"), ("tcp", 6.0, "ok"), ("tls", 14.0, "ok"), ("auth", 41.0, "ok"), ("models", 38.0, "ok")]
    done = [
        s.Step(name=step, ms=ms, state=state, detail="22 models" if step == "models" else "")
        for step, ms, state in steps
    ]
    if failing:
        done += [
            s.Step(name="chat", ms=90.0, state="failed", detail="503 over capacity"),
            s.Step(name="stream", state="skipped"),
        ]
    else:
        done += [
            s.Step(name="chat", ms=210.0, detail="1 token"),
            s.Step(name="stream", ms=190.0, detail="first byte after 120 ms"),
        ]
    return s.ProviderTest(steps=done, ok=not failing)


def update_provider(h: Handler, name: str) -> Any:
    provider = next(one for one in h.fake.providers if name in (one.id, one.name))
    if "enabled" in h.body:
        provider.enabled = h.body["enabled"]
        provider.state = "ok" if provider.enabled else "disabled"
    return {
        "audit_id": h.fake.record(
            "provider.update", "provider", name, {}, {k: v for k, v in h.body.items() if k != "credential"}
        )
    }


def close_circuit(h: Handler, name: str) -> Any:
    provider = next(one for one in h.fake.providers if name in (one.id, one.name))
    provider.circuit, provider.state, provider.open_for_s = "closed", "ok", None
    return {"audit_id": h.fake.record("circuit.close", "provider", name, {"circuit": "open"}, {"circuit": "closed"})}


def usage(h: Handler) -> Any:
    rows = [
        s.UsageRow(
            group=one.name,
            group_id=one.id,
            requests=int(one.requests_per_s * 86400),
            prompt_tokens=10_000,
            completion_tokens=2_000,
            cost_nusd=one.today_nusd,
        )
        for one in h.fake.projects
    ]
    total = s.UsageRow(
        group="total", requests=sum(one.requests for one in rows), cost_nusd=sum(one.cost_nusd for one in rows)
    )
    return s.Usage(
        group_by=h.query.get("group_by", "project"),
        since=seeded.ago(days=1),
        until=seeded.iso(seeded.NOW),
        data=rows,
        total=total,
    )


def overview(h: Handler) -> Any:
    window = h.query.get("window", "15m")
    return s.Overview(window=window) if h.fake.empty else seeded.overview(window)


def limits_of(h: Handler, subject: str) -> Any:
    return s.Limits(rpm=600, tpm=200_000, budgets=[s.BudgetAsked(amount_usd="500", window="1mo")])


def raised(h: Handler, budget_id: str) -> Any:
    return {"audit_id": h.fake.record("budget.raise", "budget", budget_id, {}, h.body)}


def audit_one(h: Handler, ident: str) -> Any:
    found = [one for one in h.fake.audit if one.id == ident]
    if not found:
        h.refuse(404, "not_found", "There is no such entry.")
    return found[0] if found else None


def models_of_key(h: Handler) -> Any:
    return {"data": [{"id": one.id, "object": "model"} for one in seeded.models()]}


def audit_list(h: Handler) -> Any:
    words = [word.rpartition(":")[2].casefold() for word in h.query.get("filter", "").split()]
    found = [
        one
        for one in h.fake.audit
        if all(word in f"{one.actor} {one.action} {one.object_name} {one.project}".casefold() for word in words)
    ]
    return {"data": found, "next": None}


def control(h: Handler) -> Any:
    """For measurements: another rate, a burst; how many rows the tail has sent."""
    given = h.body or {}
    h.fake.rate = float(given.get("rate", h.fake.rate))
    h.fake.burst += int(given.get("burst", 0))
    return {"sent": h.fake.sent}


P = "/admin/v1"
ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", f"{P}/whoami", lambda h: s.Whoami(name="test", role=h.fake.role, version="0.1.0")),
    ("GET", f"{P}/overview", overview),
    ("GET", f"{P}/logs", logs),
    ("GET", f"{P}/logs/count", log_count),
    ("GET", f"{P}/logs/tail", lambda h: None),
    ("GET", f"{P}/logs/([^/]+)", log_one),
    ("GET", f"{P}/projects", lambda h: {"data": h.fake.projects, "next": None}),
    ("POST", f"{P}/projects", create_project),
    ("PATCH", f"{P}/projects/([^/]+)", update_project),
    ("POST", f"{P}/projects/([^/]+)/archive", archive),
    ("GET", f"{P}/projects/([^/]+)/keys", lambda h, p: {"data": h.fake.keys.get(p, []), "next": None}),
    ("POST", f"{P}/projects/([^/]+)/keys", create_key),
    ("GET", f"{P}/projects/([^/]+)/settings", lambda h, p: h.fake.settings),
    ("PATCH", f"{P}/projects/([^/]+)/settings", save_settings),
    ("POST", f"{P}/projects/([^/]+)/settings:preview", preview),
    ("POST", f"{P}/projects/([^/]+)/settings:restore", lambda h, p: {"audit_id": h.fake.record("settings.restore", "project", p, {}, h.body)}),
    ("GET", f"{P}/projects/([^/]+)/settings/history", lambda h, p: {"data": [
        s.SettingsVersion(version=41, at=seeded.ago(hours=2), by="lena", summary="allowed_models + gemini-4-argon"),
        s.SettingsVersion(version=40, at=seeded.ago(days=3), by="omar", summary="default_tier fast → smart"),
    ]}),
    ("GET", f"{P}/keys/whois/([^/]+)", lambda h, p: next(k for ks in h.fake.keys.values() for k in ks if k.public_id == p)),
    ("GET", f"{P}/keys/([^/]+)", _key),
    ("POST", f"{P}/keys/([^/]+)/rotate", rotate_key),
    ("POST", f"{P}/keys/([^/]+)/(disable|enable)", switch_key),
    ("DELETE", f"{P}/keys/([^/]+)", revoke_key),
    ("GET", f"{P}/limits", lambda h: s.LimitsOverview() if h.fake.empty else seeded.limits()),
    ("GET", f"{P}/(?:project|key|org)s/([^/]+)/limits", limits_of),
    ("PUT", f"{P}/(?:project|key|org)s/([^/]+)/limits", lambda h, p: {"audit_id": h.fake.record("limits.update", "limits", p, {}, h.body)}),
    ("POST", f"{P}/budgets/([^/]+)/raise", raised),
    ("GET", f"{P}/usage", usage),
    ("GET", f"{P}/providers", lambda h: {"data": [] if h.fake.empty else h.fake.providers}),
    ("PATCH", f"{P}/providers/([^/]+)", update_provider),
    ("POST", f"{P}/providers/([^/]+)/test", test_provider),
    ("POST", f"{P}/providers/([^/]+)/circuit/close", close_circuit),
    ("GET", f"{P}/models", lambda h: {"data": seeded.models()}),
    ("GET", f"{P}/tiers", lambda h: {"data": seeded.TIERS}),
    ("GET", f"{P}/audit", audit_list),
    ("GET", f"{P}/audit/verify", lambda h: s.Chain(ok=True, entries=18_402, head="9f2c04a1")),
    ("GET", f"{P}/audit/([^/]+)", audit_one),
    ("POST", f"{P}/undo/([^/]+)", undo),
    ("GET", "/health", lambda h: {"status": "ok", "service": "optyx-gateway", "version": "0.1.0"}),
    ("GET", "/health/ready", lambda h: {"status": "ready", "components": {"database": "ok"}}),
    ("POST", "/control", control),
    ("GET", "/v1/models", models_of_key),
    ("POST", "/v1/chat/completions", lambda h: None),
]  # fmt: skip
STREAMS: dict[Callable[..., Any], Callable[[Handler], None]] = {
    next(handler for _, pattern, handler in ROUTES if pattern.endswith("/logs/tail")): Handler.tail,
    next(handler for _, pattern, handler in ROUTES if pattern.endswith("completions")): Handler.chat,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0, help="calls a second in the tail")
    parser.add_argument("--empty", action="store_true")
    given = parser.parse_args()
    with FakeGateway(empty=given.empty, rate=given.rate, port=given.port) as fake:
        print(fake.url, flush=True)
        fake.thread.join()


if __name__ == "__main__":
    main()
