"""When a target fails: how long it is waited for, who is tried next and when, and how long it is left alone."""

import asyncio
import json
import time

from tests.conftest import eventually
from tests.upstream import completion, failing, hang_up, piece, silent, streamed, whole

NAMED = {"model": "gpt-6-luna"}


async def test_a_silent_target_is_left_for_the_next_when_its_time_is_up(gateway):
    await gateway.execute(
        "UPDATE providers SET timeouts = '{\"first_byte_ms\": 300, \"whole_ms\": 300}' WHERE name = 'openai'"
    )
    for stream in (False, True):
        gateway.upstream.by_model["gpt-6-luna"] = silent()
        started = time.monotonic()
        answered = await gateway.chat(stream=stream)
        took = time.monotonic() - started
        assert answered.headers["x-optyx-provider"] == "google"
        assert took >= 0.3
        await asyncio.wait_for(gateway.upstream.seen[-2].closed.wait(), 1)
        [first, second] = json.loads((await gateway.row(answered.request_id))["attempts"])
        assert (first["failure"], second.get("failure")) == ("timeout", None)
        assert 300 <= first["ms"] < 1000


async def test_a_stream_has_a_total_when_one_is_set_and_none_otherwise(gateway):
    async def drip(line):
        await line.start_stream()
        for _ in range(40):
            await line.event(piece("a"))
            await asyncio.sleep(0.02)
        await line.event(piece(finish="stop"))
        await line.event("[DONE]")
        await line.end_stream()

    await gateway.execute("UPDATE providers SET timeouts = '{\"idle_ms\": 400}'")
    gateway.upstream.enqueue(drip)
    assert (await gateway.chat(stream=True)).events[-1] == "[DONE]"

    await gateway.execute("UPDATE providers SET timeouts = '{\"total_ms\": 200}'")
    gateway.upstream.enqueue(drip)
    answered = await gateway.chat(stream=True)
    assert json.loads(answered.events[-1])["error"]["code"] == "upstream_timeout"
    gateway.upstream.by_model["gpt-6-luna"] = silent()
    answered = await gateway.chat(stream=True, **NAMED)
    assert (answered.status, answered.code) == (504, "upstream_timeout")


async def test_a_tier_may_have_timeouts_of_its_own(gateway):
    await gateway.execute("UPDATE tier_targets SET timeouts = '{\"whole_ms\": 150}' WHERE tier = 'fast'")
    gateway.upstream.by_model["gpt-6-luna"] = silent()
    answered = await gateway.chat()
    assert answered.headers["x-optyx-provider"] == "google"


async def test_attempts_are_bounded_and_the_same_target_waits_its_turn(gateway):
    gateway.upstream.by_model["gpt-6-luna"] = failing(500)
    for reply, asked, kept_may_have_died in (
        (failing(503), 2, False),
        (failing(408), 2, False),
        (hang_up(), 2, True),
        (failing(429), 1, False),
        (failing(401), 1, False),
        (whole(b"x"), 1, False),
    ):
        before = len(gateway.upstream.seen)
        gateway.upstream.by_model["gpt-6-luna"] = reply
        answered = await gateway.chat(**NAMED)
        assert answered.status in (429, 502)
        assert int(answered.headers["x-optyx-attempts"]) == asked, reply
        replaced = (
            1 if kept_may_have_died else 0
        )  # a kept connection that dies unanswered is replaced within the attempt
        assert len(gateway.upstream.seen) - before == asked + replaced, reply
        row = json.loads((await gateway.row(answered.request_id))["attempts"])
        if asked == 2:
            assert row[1]["start_ms"] - row[0]["start_ms"] - row[0]["ms"] >= 99
        gateway.trust_everybody()

    started = len(gateway.upstream.seen)
    gateway.upstream.enqueue(failing(500), failing(500), failing(500), whole(completion()))
    answered = await gateway.chat()
    assert (answered.status, answered.headers["x-optyx-attempts"]) == (502, "3")
    assert len(gateway.upstream.seen) - started == 3
    row = json.loads((await gateway.row(answered.request_id))["attempts"])
    assert [attempt["provider"] for attempt in row] == ["openai", "google", "openai"]
    assert row[2]["start_ms"] - row[0]["start_ms"] - row[0]["ms"] >= 99


async def test_the_wait_a_provider_asks_for_is_kept_and_passed_on(gateway):
    for value in ["2", "2.0", "1e9", "-5", "", "NaN", "0", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"]:
        gateway.trust_everybody()
        asked = len(gateway.upstream.seen)
        gateway.upstream.by_model["gpt-6-luna"] = failing(429, headers={"Retry-After": value or " "})
        expected = {"2": 2, "2.0": 2, "1e9": 60}.get(value, 1)
        first = await gateway.chat(**NAMED)
        second = await gateway.chat(**NAMED)
        for answered in (first, second):
            assert (answered.status, answered.code) == (429, "upstream_rate_limited")
            assert int(answered.headers["Retry-After"]) in (expected, max(1, expected - 1))
        assert len(gateway.upstream.seen) == asked + 1, "nobody is asked again before the wait is over"
        assert (await gateway.chat()).headers["x-optyx-provider"] == "google"


async def test_a_server_that_refuses_to_be_asked_for_usage_is_asked_without(gateway):
    async def old_server(line):
        if "stream_options" in line.request.json:
            await line.answer(
                422, {"detail": [{"loc": ["body", "stream_options"], "msg": "extra fields not permitted"}]}
            )
        else:
            await streamed(piece("a"), piece("b"), piece(finish="stop"), "[DONE]")(line)

    gateway.upstream.by_model["gpt-6-luna"] = old_server
    for asked in (2, 3):
        answered = await gateway.chat(stream=True)
        assert (answered.status, answered.events[-1], answered.headers["x-optyx-provider"]) == (200, "[DONE]", "openai")
        assert len(gateway.upstream.seen) == asked
        assert (await gateway.row(answered.request_id))["usage_source"] == "estimated"
    answered = await gateway.chat(stream=True, stream_options={"include_usage": True})
    assert answered.status == 422, "who asks for it hears the refusal"


async def test_the_shortest_wait_of_all_is_told(gateway):
    gateway.upstream.enqueue(
        failing(429, headers={"Retry-After": "30"}),
        whole({"error": {"code": 429, "message": "slow down"}}, 429, {"Retry-After": "9"}),
    )
    answered = await gateway.chat()
    assert (answered.status, answered.code, answered.headers["Retry-After"]) == (429, "upstream_rate_limited", "9")


async def test_an_outage_is_not_multiplied(gateway):
    gateway.upstream.by_model["gpt-6-luna"] = failing(500)
    answers = [await gateway.chat(**NAMED) for _ in range(3)]
    for _ in range(20):
        answers += await asyncio.gather(*(gateway.chat(**NAMED) for _ in range(10)))
    assert len(gateway.upstream.seen) <= 12
    assert {answered.status for answered in answers} <= {502, 503}
    refused = [answered for answered in answers if answered.status == 503]
    assert all(
        answered.code == "upstream_unavailable" and int(answered.headers["Retry-After"]) >= 1 for answered in refused
    )
    del gateway.upstream.by_model["gpt-6-luna"]

    async def is_back() -> bool:
        return (await gateway.chat(**NAMED)).status == 200

    await eventually(is_back, 10, "the target coming back")
