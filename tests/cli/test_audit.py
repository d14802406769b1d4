"""`optyx audit`: the books are checked, and what is planted in them is found."""

from __future__ import annotations

import asyncio
import json

from tests.cli.line import optyx


async def test_the_books_of_a_working_gateway_add_up(live, gateway):
    answered = await gateway.chat("Hi")
    await gateway.row(answered.request_id)
    ran = await live("audit")
    assert (ran.status, ran.err.strip()) == (0, "The books add up.")
    assert "audit_chain" in ran.out
    assert (await live("audit", "-o", "json")).json["ok"] is True


async def test_a_cost_that_nobody_counted_is_a_finding(live, gateway):
    answered = await gateway.chat("Hi")
    await gateway.row(answered.request_id)
    await gateway.db.execute(
        "UPDATE request_logs SET cost_nusd = cost_nusd + 5 WHERE request_id = $1", answered.request_id
    )
    ran = await live("audit")
    assert ran.status == 9
    assert "failed" in ran.out


def test_the_trail_is_listed_verified_and_exported(fake, tmp_path):
    ids = optyx("audit", "list", "-o", "name").lines
    assert ids
    assert optyx("audit", "get", ids[0], "-o", "json").json["id"] == ids[0]
    assert optyx("audit", "get", "aud_none").status == 5
    assert optyx("audit", "verify").status == 0
    path = tmp_path / "trail.csv"
    assert optyx("audit", "export", "--format", "csv", "--out", str(path)).status == 0
    assert len(path.read_text().splitlines()) == len(ids) + 1


def test_the_trail_s_tail_shows_what_comes(fake):
    import threading

    def change() -> None:
        while not any(path.endswith("/audit") for _, path, _, _ in fake.seen):
            threading.Event().wait(0.01)
        fake.record("key.disable", "key", "late", None, None)

    changing = threading.Thread(target=change)
    changing.start()
    ran = optyx("audit", "tail", "--every", "0.2", "--for", "1s")
    changing.join()
    assert "late" in ran.out


async def test_events_tail_shows_changes_as_they_are_made(live, gateway):
    running = asyncio.create_task(
        live("events", "tail", "--topics", "audit", "--max", "1", "--for", "20s", "-o", "ndjson")
    )
    while not running.done():  # the stream is open some time after the command began
        await gateway.admin("PATCH", "/projects/default", {"name": "Renamed"})
        await asyncio.sleep(0.1)
    ran = await running
    assert ran.status == 0, ran.err
    (told,) = [json.loads(line) for line in ran.lines]
    assert (told["event"], told["data"]["action"]) == ("audit", "project.update")
    assert (await live("events", "tail", "--topics", "news")).status == 7
    assert (await live("events", "tail", "--topics", "provider", "--max", "1")).lines[0].startswith("provider ")
