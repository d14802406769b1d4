"""`optyx logs` on a real gateway: the list says everything of a call; filters, counts, exports; the tail loses and doubles nothing."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import signal
import socket
import subprocess
import threading
import time

import msgspec
import pytest

from tests.cli.line import PROGRAM, optyx, process
from tests.tui import seeded, seeded_calls
from tests.upstream import completion, failing, whole


async def test_the_list_says_all_of_a_call(live, gateway):
    first = await gateway.chat("Hi", headers={"x-optyx-tier": "smart"})
    await gateway.row(first.request_id)
    ran = await live("logs")
    assert ran.status == 0
    heading, line = ran.lines
    assert heading.split("  ")[0] == "TIME"
    for word in ("STATUS", "TIER", "TARGET", "ATTEMPTS", "TOKENS", "COST", "FIRST BYTE", "TOTAL", "END", "USAGE"):
        assert word in heading
    row = (await live("logs", "-o", "json")).json[0]
    for word in ("200", "smart", f"{row['provider']}/{row['model']}", "complete", "provider", first.request_id):
        assert word in line
    assert row["cost_nusd"] > 0
    assert float(row["cost_usd"]) * 10**9 == pytest.approx(row["cost_nusd"])
    one = await live("logs", "get", first.request_id, "-o", "json")
    assert one.json["request_id"] == first.request_id


async def test_filters_counts_and_exports(live, gateway, upstream, tmp_path):
    ids = []
    for number in range(3):
        upstream.enqueue(whole(completion()) if number else failing(400))
        ids.append((await gateway.chat("Hi")).request_id)
        await gateway.row(ids[-1])
    assert (await live("logs", "list", "status:4xx", "-o", "template={request_id}")).lines == ids[:1]
    assert (await live("logs", "--errors", "-o", "template={request_id}")).lines == ids[:1]
    assert len((await live("logs", "--limit", "2", "-o", "ndjson")).lines) == 2
    assert (await live("logs", "count", "status:2xx", "-o", "name")).out == "2\n"
    assert (await live("logs", "-p", "no-such-project", "-o", "json")).json == []
    wrong = await live("logs", "stat:2xx")
    assert (wrong.status, wrong.out) == (7, "")
    assert "status" in wrong.err
    path = tmp_path / "calls.ndjson"
    assert (await live("logs", "export", "--out", str(path))).status == 0
    assert [json.loads(line)["request_id"] for line in path.read_text().splitlines()] == ids
    assert (await live("logs", "export", "--out", str(path))).status == 1
    rows = csv.DictReader(io.StringIO((await live("logs", "export", "--format", "csv")).out))
    assert [row["request_id"] for row in rows] == ids
    missing = await live("logs", "get", "req_no_such")
    assert missing.status == 5


async def test_the_calls_of_a_trace_are_told_together(live, gateway):
    parent = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    ids = [(await gateway.chat("Hi", headers=headers)).request_id for headers in (parent, parent, {})]
    for one in ids:
        await gateway.row(one)
    told = await live("logs", "get", ids[0])
    lines = [line for line in told.lines if line.startswith("Trace:")]
    assert lines[0].split() == ["Trace:", "4bf92f3577b34da6a3ce929d0e0e4736"]
    assert lines[1].startswith("Trace: 2 calls, $")
    again = told.err.splitlines()[-1].partition("optyx ")[2].split()
    assert (await live(*again, "-o", "name")).lines == [ids[1], ids[0]]
    assert "Trace: 2 calls" not in (await live("logs", "get", ids[2])).out
    assert (await live("logs", "get", ids[2], "-o", "json")).json["trace"] is None


async def test_a_list_goes_on_behind_a_call_and_takes_several_projects(live, gateway):
    await gateway.db.execute(
        "INSERT INTO projects (id, org_id, name, slug) SELECT 'prj_' || n, org_id, n, n FROM projects, unnest($1::text[]) n WHERE slug = 'default'",
        ["second", "third"],
    )
    own, ids = gateway.key, []
    for project in ("prj_second", "prj_third", None):
        gateway.key = own if project is None else await gateway.new_key(project, project)
        ids.append((await gateway.chat("Hi")).request_id)
        await gateway.row(ids[-1])
    listed = await live("logs", "list", "-o", "name")
    assert listed.lines == ids[::-1]
    assert (await live("logs", "list", "--after", ids[2], "-o", "name")).lines == [ids[1], ids[0]]
    assert (await live("logs", "list", "--after", ids[0], "--asc", "-o", "name")).lines == [ids[1], ids[2]]
    assert (await live("logs", "list", "--after", "req_nobody")).status == 7
    assert (await live("logs", "list", "-p", "second", "-p", "default", "-o", "name")).lines == [ids[2], ids[0]]
    assert (await live("logs", "count", "-p", "second", "-p", "third", "-o", "name")).lines == ["2"]
    assert (await live("logs", "list", "-project:default", "-o", "name")).lines == [ids[1], ids[0]]
    refused = await live("keys", "list", "-p", "second", "-p", "third")
    assert (refused.status, refused.lines) == (2, [])
    assert "one project" in refused.err


def test_the_tail_passes_json_through_and_ends_when_told(fake):
    fake.rate = 2000
    ran = process("logs", "tail", "--json", "--max", "500")
    rows = [json.loads(line) for line in ran.lines]
    assert ran.status == 0
    assert len({row["call_id"] for row in rows}) == len(rows) == 500
    assert process("logs", "tail", "--for", "300ms").status == 0


def test_the_tail_begins_with_the_last_and_shows_none_twice(fake):
    fake.rate = 200
    ran = optyx("logs", "tail", "-n", "5", "--max", "30", "--format", "json")
    ids = [json.loads(line)["call_id"] for line in ran.lines]
    assert len(set(ids)) == len(ids) == 30


def test_the_tail_ends_at_a_match(fake):
    fake.rate = 200
    failed = optyx("logs", "tail", "--json", "--fail-on", "status:5xx", "--for", "20s")
    assert failed.status == 9
    assert any(json.loads(line)["status"] >= 500 for line in failed.lines)
    assert optyx("logs", "tail", "--until-match", "status:2xx", "--for", "20s").status == 0


def test_the_tail_goes_on_after_a_break(fake):
    fake.rate = 300

    def cut() -> None:
        fake.tail_open.wait(5)
        threading.Event().wait(0.3)
        fake.cut.set()
        threading.Event().wait(0.3)
        fake.cut.clear()

    cutting = threading.Thread(target=cut)
    cutting.start()
    ran = optyx("logs", "tail", "--json", "--for", "2500ms")
    cutting.join()
    assert ran.status == 0
    assert "reconnected after" in ran.err
    ids = [json.loads(line)["call_id"] for line in ran.lines]
    assert len(set(ids)) == len(ids)


def test_an_interrupt_ends_the_tail_at_once(fake):
    running = subprocess.Popen([*PROGRAM, "logs", "tail"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert fake.tail_open.wait(10)
    began = time.monotonic()
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=10)
    assert (running.returncode, err) == (130, b"")
    assert time.monotonic() - began < 5


def test_no_reconnect_is_3(fake):
    fake.cut.set()
    assert optyx("logs", "tail", "--no-reconnect").status == 3


def test_ten_thousand_rows_a_second_pass_through(fake, monkeypatch):
    row = msgspec.json.encode(seeded_calls.call(1, seeded.NOW))
    rows = b"".join(b"id: 1.%d\nevent: log\ndata: %s\n\n" % (number, row) for number in range(30_000))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as caller, contextlib.suppress(OSError):
                caller.recv(65536)
                caller.sendall(head + rows)
                caller.recv(1)

        serving = threading.Thread(target=serve)
        serving.start()
        monkeypatch.setenv("OPTYX_GATEWAY_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        began = time.monotonic()
        ran = optyx("logs", "tail", "--json", "--max", "30000")
        took_s = time.monotonic() - began
        serving.join()
    assert [json.loads(line)["seq"] for line in ran.lines] == list(range(1, 30_001))
    assert {line.partition(",")[2] for line in ran.lines} == {row.decode()[1:]}
    assert len(ran.lines) / took_s > 10_000
