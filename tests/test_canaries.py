"""No secret, and nothing that people wrote, where it doesn't belong: on every way a call can go wrong, at the most talkative log level."""

import base64
import json
import logging

import pytest

from tests.test_capture import dump, forms
from tests.upstream import Line, completion, failing, piece, raw, streamed, whole

OPENAI_KEY = "sk-proj-canary5b1e0c77aa90f3d2"
GOOGLE_KEY = "AIzaCanary7f21c04be98a6d5310fe42bb7c1d90aa"
SEALING_KEY = base64.b64encode(b"canary-sealing-key-of-32-bytes!!").decode()
PROMPT = "canary-9d0f-what-somebody-asked"
ANSWER = "canary-3e77-what-a-model-said"
GUESSED = "sk-optyx-abcdefgh-canary1c9fguessedbysomebody"


def echoing(status: int):
    """A provider that says back what it was sent: its own key and the prompt."""

    async def reply(line: Line) -> None:
        headers = {name: value for name, value in line.request.headers.items() if "key" in name or "auth" in name}
        body = {
            "error": {
                "message": f"no: {json.dumps(headers)} for {line.request.body[:2000].decode()}",
                "type": "x",
                "code": "y",
            }
        }
        await line.answer(status, body, {"x-echo": json.dumps(headers), "set-cookie": f"k={OPENAI_KEY}"})  # fmt: skip

    return reply


async def dripping(line: Line) -> None:
    await line.start_stream()
    await line.event(piece(ANSWER))
    await line.event({"error": {"message": f"it broke: {line.request.headers} {ANSWER}"}})
    await line.end_stream()


REPLIES = {
    "an answer": whole(completion(ANSWER)),
    "no usage": whole({**completion(ANSWER), "usage": None}),
    **{f"an echoed {status}": echoing(status) for status in (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 302)},
    "a redirect": whole({}, 307, {"Location": f"http://127.0.0.1:1/?key={OPENAI_KEY}"}),
    "an error event": dripping,
    "a cut stream": streamed(piece(ANSWER), end=False),
    "no json": whole(f"<html>{OPENAI_KEY} {ANSWER}</html>".encode()),
    "half an answer": raw(b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"a":"' + ANSWER.encode()),
    "no http": raw(f"{OPENAI_KEY} {ANSWER}\r\n\r\n".encode()),
    "odd headers": raw(f"HTTP/1.1 200 OK\r\n{OPENAI_KEY}\r\nContent-Length: x\r\n\r\n".encode()),
    "an encoding": whole(completion(ANSWER), 200, {"Content-Encoding": "gzip"}),
    "a failure with a secret": failing(500, f"key {OPENAI_KEY} and {GOOGLE_KEY}: {PROMPT}"),
}  # fmt: skip

MESSAGES = [{"role": "user", "content": PROMPT}]
ODD_BODIES = (
    f'{{"messages": "{PROMPT}"'.encode(),
    f'{{"messages": [], "note": "{PROMPT}"}}'.encode(),
    f'{{"messages": "{PROMPT}"}}'.encode(),
    f'{{"messages": [{{"role": "user", "content": "{PROMPT}\\ud800"}}]}}'.encode(),
    f'{{"messages": [{{"role": "{PROMPT}", "content": 7}}], "model": "gemini-3.1-pro"}}'.encode(),
    f'{{"messages": [{{"role": "user", "content": "{PROMPT}"}}], "stream": "{PROMPT}"}}'.encode(),
    f'{{"messages": [{{"role": "user", "content": "{PROMPT}"}}], "n": 0}}'.encode(),
    f'{{"messages": [{{"role": "user", "content": "{PROMPT}"}}], "tools": 9, "response_format": {{"type": "x"}}}}'.encode(),
    b"\xff\xfe" + PROMPT.encode(),
    b"[" * 5000 + PROMPT.encode(),
)
ODD_ADMIN = (
    ("POST", "/projects", {"name": 7}),
    ("POST", "/projects", b"{broken"),
    ("GET", "/logs?filter=status:wat", None),
    ("GET", "/logs/no-such-call", None),
    ("PATCH", "/providers/nobody", {"credential": OPENAI_KEY}),
    ("POST", "/providers", {"name": "x", "kind": "openai", "base_url": "nowhere", "credential": OPENAI_KEY}),
    ("POST", "/reprice", {"since": "never"}),
    ("POST", "/billing/entries", {"kind": "credit", "amount_usd": "x", "note": "n"}),
    ("POST", "/explain", {"headers": {"authorization": f"Bearer {OPENAI_KEY}"}, "body": {"messages": MESSAGES}}),
)


@pytest.fixture
async def talkative(make_gateway, caplog):
    caplog.set_level(logging.DEBUG)
    return await make_gateway(
        OPENAI_API_KEY=OPENAI_KEY, GOOGLE_API_KEY=GOOGLE_KEY, OPTYX_SECRET_KEY=SEALING_KEY, LOG_LEVEL="debug"
    )


@pytest.mark.slow
async def test_nothing_leaks_on_any_way_to_fail(talkative, caplog, capfd):
    gateway = talkative
    told: list[bytes] = []
    paths = 0

    def keep(answered) -> None:
        nonlocal paths
        paths += 1
        told.append(repr(sorted(answered.headers.items())).encode() + answered.body)

    for reply in REPLIES.values():
        for stream in (False, True):
            for model in ("gpt-6-luna", None):
                gateway.upstream.replies.clear()
                gateway.upstream.enqueue(*[reply] * 6)
                body = {"messages": MESSAGES, "stream": stream, **({"model": model} if model else {})}
                keep(await gateway.post("/v1/chat/completions", body))
                gateway.worker.health.__init__()  # a target that rests would not be asked
        gateway.upstream.replies.clear()
        gateway.upstream.enqueue(*[reply] * 6)
        keep(await gateway.post("/v1/embeddings", {"input": PROMPT}))
        gateway.worker.health.__init__()
    gateway.upstream.replies.clear()
    for odd in ODD_BODIES:
        keep(await gateway.post("/v1/chat/completions", odd))
        keep(await gateway.post("/v1/embeddings", odd))
    for headers in (
        {"x-optyx-tier": PROMPT},
        {"x-optyx-tags": ",,"},
        {"traceparent": PROMPT},
        {"Idempotency-Key": "x" * 300},
    ):
        keep(await gateway.post("/v1/chat/completions", {"messages": MESSAGES}, **headers))
    own_key, gateway.key = gateway.key, GUESSED
    keep(await gateway.chat(PROMPT))
    gateway.key = own_key
    for method, path, body in ODD_ADMIN:
        keep(await gateway.admin(method, path, body))
    token = await gateway.token("owner")
    metrics = (await gateway.get("/metrics")).body
    logs = (await gateway.admin("GET", "/logs?limit=1000")).body
    await gateway.stop_worker()
    files = b"".join(path.read_bytes() for path in gateway.config.home.rglob("*") if path.is_file())
    written = caplog.text.encode() + "".join(capfd.readouterr()).encode()
    database = await dump(gateway)
    places = {
        "an answer": b"".join(told),
        "the log": written,
        "the database": database,
        "a file": files,
        "metrics": metrics,
        "the log's API": logs,
    }
    leaks = [
        (place, name)
        for name, secret in {
            "OpenAI's key": OPENAI_KEY, "Google's key": GOOGLE_KEY, "the sealing key": SEALING_KEY, "a project's key": own_key,
            "an admin token": token, "a guessed key": GUESSED,
        }.items()
        for place, text in places.items()
        if any(form in text for form in forms(secret)[:2])
    ]  # fmt: skip
    leaks += [
        (place, name)
        for name, words in {"a prompt": PROMPT, "an answer": ANSWER}.items()
        for place, text in places.items()
        if place != "an answer" and any(form in text for form in forms(words))
    ]
    assert leaks == []
    assert paths >= 120
