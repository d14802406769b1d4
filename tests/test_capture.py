"""Captured bodies: off by default, redacted and sealed when on, never in anybody's way, gone with their own retention."""

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway import capture
from gateway.capture import Capture, Captured, Ticket, assembled
from gateway.metrics import Metrics
from gateway.sealing import Sealer, SealError
from gateway.secret import Secret
from gateway.store import partitions
from tests.upstream import completion, failing, piece, streamed, usage_piece, whole

SECRET_KEY = base64.b64encode(b"k" * 32).decode()
CANARY = "canary-4f1c9e-of-the-prompt"
ANSWERED = "canary-77aa21-of-the-answer"


@pytest.fixture
async def capturing(make_gateway):
    gateway = await make_gateway(OPTYX_SECRET_KEY=SECRET_KEY)
    await gateway.execute("UPDATE project_settings SET capture = true")
    return gateway


async def stored(gateway, count: int) -> None:
    async with asyncio.timeout(5):
        while await gateway.db.fetchval("SELECT count(*) FROM payloads") < count:
            await asyncio.sleep(0.01)


async def detail(gateway, request_id: str, role: str = "operator"):
    await gateway.row(request_id)
    answered = await gateway.admin("GET", f"/logs/{request_id}", role=role)
    assert answered.status == 200, answered.body
    return answered.json


async def dump(gateway) -> bytes:
    """Every table as text; bytes as hexadecimal."""
    names = await gateway.db.fetch(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    texts = [row[0] for name in names for row in await gateway.db.fetch(f"SELECT t::text FROM {name[0]} t")]  # noqa: S608 - names of this database
    return "\n".join(texts).encode()  # fmt: skip


def forms(secret: str) -> list[bytes]:
    raw = secret.encode()
    encoded = [base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)]
    return [raw, raw.hex().encode(), *encoded]


async def test_without_the_setting_no_trace_of_a_body_is_left(make_gateway):
    gateway = await make_gateway(OPTYX_SECRET_KEY=SECRET_KEY)
    gateway.upstream.enqueue(whole(completion(ANSWERED)), failing(400, ANSWERED), streamed(piece(ANSWERED), end=False))
    for stream in (False, False, True):
        answered = await gateway.chat(CANARY, stream=stream)
        row = await gateway.row(answered.request_id)
        assert "capture" not in json.loads(row["details"])
    await gateway.stop_worker()
    left = await dump(gateway) + b"".join(p.read_bytes() for p in gateway.config.home.rglob("*") if p.is_file())
    for secret in (CANARY, ANSWERED):
        assert [form for form in forms(secret) if form in left] == []


async def test_bodies_are_redacted_sealed_and_shown_to_who_may_see_them(capturing):
    gateway = capturing
    gateway.upstream.enqueue(whole(completion(f"{ANSWERED}: write to bob@example.com")))
    answered = await gateway.chat(f"{CANARY} my card is 4111 1111 1111 1111")
    assert "bob@example.com" in answered.body.decode(), "what the caller gets is untouched"
    await stored(gateway, 2)
    told = await detail(gateway, answered.request_id)
    assert told["details"]["capture"] == "kept"
    assert f"{CANARY} my card is ⟦card⟧" in told["request_body"]["text"]
    assert told["request_body"]["redactions"] == 1
    assert f"{ANSWERED}: write to ⟦email⟧" in told["response_body"]["text"]
    entry = await gateway.db.fetchrow("SELECT action, object_id FROM audit_log")
    assert tuple(entry) == ("payload.view", told["call_id"])
    refused = await detail(gateway, answered.request_id, "viewer")
    assert refused["request_body"]["text"] is None
    assert "operators" in refused["request_body"]["why_not"]
    assert await gateway.db.fetchval("SELECT count(*) FROM audit_log") == 1
    left = await dump(gateway) + b"".join(p.read_bytes() for p in gateway.config.home.rglob("*") if p.is_file())
    for secret in (CANARY, ANSWERED):
        assert [form for form in forms(secret) if form in left] == []


async def test_a_stream_is_captured_as_the_answer_it_adds_up_to(capturing):
    gateway = capturing
    events = [piece("ca"), piece("ll bob@exam"), piece("ple.com"), piece(finish="stop"), usage_piece(9, 3), "[DONE]"]
    gateway.upstream.enqueue(streamed(*events))
    answered = await gateway.chat(stream=True)
    await stored(gateway, 2)
    body = json.loads((await detail(gateway, answered.request_id))["response_body"]["text"])
    assert body["choices"][0]["message"]["content"] == "call ⟦email⟧"
    assert body["choices"][0]["finish_reason"] == "stop"


async def test_a_call_that_is_refused_is_captured_too(capturing):
    gateway = capturing
    answered = await gateway.post("/v1/chat/completions", {"messages": [], "note": CANARY})
    assert answered.status == 400
    await stored(gateway, 2)
    told = await detail(gateway, answered.request_id)
    assert CANARY in told["request_body"]["text"]
    assert "messages" in told["response_body"]["text"]


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE payloads SET sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1)",
        "UPDATE payloads p SET sealed = o.sealed FROM payloads o WHERE o.call_id = p.call_id AND o.part <> p.part",
    ],
)
async def test_a_body_that_was_changed_or_moved_does_not_open(capturing, harm):
    answered = await capturing.chat()
    await stored(capturing, 2)
    await capturing.db.execute(harm)
    told = await detail(capturing, answered.request_id)
    for body in (told["request_body"], told["response_body"]):
        assert body["text"] is None
        assert "can't be opened" in body["why_not"]


async def test_bodies_go_with_their_own_retention_and_records_stay(capturing):
    answered = await capturing.chat()
    await stored(capturing, 2)
    later = datetime.now(UTC) + timedelta(days=9)
    await partitions.keep_house(capturing.db, {"request_logs": 90, "payloads": 7}, later)
    told = await detail(capturing, answered.request_id)
    assert "retention" in told["request_body"]["why_not"]
    assert await capturing.db.fetchval("SELECT count(*) FROM payloads") == 0


async def test_without_a_key_nothing_is_stored_and_the_record_says_so(make_gateway):
    gateway = await make_gateway()
    await gateway.execute("UPDATE project_settings SET capture = true")
    answered = await gateway.chat(CANARY)
    assert answered.status == 200
    told = await detail(gateway, answered.request_id)
    assert "OPTYX_SECRET_KEY" in told["request_body"]["why_not"]
    assert await gateway.db.fetchval("SELECT count(*) FROM payloads") == 0


def ticket(number: int = 1) -> Ticket:
    return Ticket(f"00000000-0000-8000-8000-{number:012x}", 0.0, "r", "p", False)


async def test_a_database_that_is_away_costs_bodies_and_never_calls():
    metrics, away, written = Metrics(), True, []

    async def write(rows) -> bool:
        if not away:
            written.extend(rows)
        return not away

    queue = Capture(Sealer(Secret(SECRET_KEY)), metrics, write)
    running = asyncio.create_task(queue.run())
    outcomes = [queue.keep(ticket(number), Captured(b"{}")) for number in range(capture.MAX_QUEUED + 5)]
    assert outcomes[-1] == "dropped"
    assert metrics.counters["captures_dropped"] == outcomes.count("dropped") == 5
    assert queue.keep(ticket(), Captured(b"x" * (capture.MAX_QUEUED_BYTES + 1))) == "dropped"
    await asyncio.sleep(0)
    away = False
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await queue.flush(5)
    assert len({row.ticket.call_id for row in written}) == capture.MAX_QUEUED


async def test_long_bodies_are_cut_and_say_so():
    written = []

    async def write(rows) -> bool:
        written.extend(rows)
        return True

    sealer = Sealer(Secret(SECRET_KEY))
    queue = Capture(sealer, Metrics(), write)
    captured = Captured(b"y" * (capture.MAX_PART + 1))
    for _ in range(6):
        captured.add(b"z" * (1 << 20))
    queue.keep(ticket(), captured)
    await queue.flush(5)
    assert [(row.part, row.truncated) for row in written] == [("request", True), ("response", True)]
    text = capture.opened(sealer, written[0].sealed, written[0].ticket.call_id, "request")
    assert text == "y" * capture.MAX_PART
    with pytest.raises(SealError):
        capture.opened(sealer, written[0].sealed, written[0].ticket.call_id, "response")


def test_a_stream_grows_into_its_answer():
    def event(delta, index=0) -> str:
        return f"data: {json.dumps({'id': 'c', 'choices': [{'index': index, 'delta': delta}]})}\n\n"

    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a'}}
    more = {"index": 0, "function": {"arguments": '":1}'}}
    data = "".join([
        event({"role": "assistant", "content": "a"}), event({"content": "b"}), event({"content": "z"}, 1), event({"tool_calls": [call]}),
        event({"tool_calls": [more]}), "data: [DONE]\n\n",
    ])  # fmt: skip
    first, second = json.loads(assembled(data.encode()))["choices"]
    assert first["message"]["content"] == "ab"
    assert first["message"]["tool_calls"]["0"]["function"]["arguments"] == '{"a":1}'
    assert second["message"] == {"content": "z"}
    assert assembled(b"no stream") == b"no stream"
    assert assembled(b"data: {broken\n\n") == b"data: {broken\n\n"
