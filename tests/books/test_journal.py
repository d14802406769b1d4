"""The local file: torn lines, a full disk, a failing fdatasync, locks."""

import asyncio
import errno
import os
import subprocess
import sys
import threading
import time

import msgspec
import pytest

from gateway import journal as module
from gateway.adoption import adoptable, read_records
from gateway.journal import Journal
from gateway.proxy.call import new_call_id
from gateway.records import Final, Intent, Progress
from tests.books.ledger import a_final, an_intent, of_intent


def left_by_dead(root):
    """Every journal there whose worker is dead, as (worker id, records)."""
    found = []
    for dead in adoptable(root):
        found.append((dead.worker_id, list(dead.records())))
        dead.close()
    return found


@pytest.fixture
def full_disk(monkeypatch):
    """Call it with the bytes that are left: writes to segments then fail as on a full disk. A reserve that is given up makes room."""
    real_write, real_unlink, real_bytes = os.write, module.Path.unlink, module.Path.write_bytes
    state = {"left": None}

    def write(fd, data):
        left = state["left"]
        if left is None or len(data) <= left:
            if left is not None:
                state["left"] = left - len(data)
            return real_write(fd, data)
        state["left"] = 0
        if left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(fd, bytes(data)[:left])

    def unlink(path, missing_ok=False):
        if path.name == "reserve" and path.exists() and state["left"] is not None:
            state["left"] += module.RESERVE_SIZE
        real_unlink(path, missing_ok=missing_ok)

    def write_bytes(path, data):
        if state["left"] is not None and len(data) > state["left"]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_bytes(path, data)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(module.Path, "unlink", unlink)
    monkeypatch.setattr(module.Path, "write_bytes", write_bytes)

    def leave(left):
        state["left"] = left

    return leave


def test_a_torn_last_line_is_skipped_and_what_stands_before_it_is_kept(tmp_path):
    journal = Journal(tmp_path, "wrk_1")
    whole, torn = an_intent(), an_intent()
    for record in (whole, of_intent(whole), torn, of_intent(torn)):
        journal.append(record)
    path = journal.segments[0].path
    data = path.read_bytes()
    for cut in range(1, len(data) - data.rindex(b"\n", 0, -1)):
        records = list(read_records(data[:-cut]))
        assert records[:3] == [whole, of_intent(whole), torn]
        assert len(records) == 3
    journal.close()
    path.write_bytes(data[:-30])
    ((_, records),) = left_by_dead(tmp_path)
    assert [record.end_reason for record in records] == ["complete", "interrupted"]
    assert (records[1].call_id, records[1].created_at) == (torn.call_id, torn.created_at)


def test_a_journal_of_another_version_is_read(tmp_path):
    final = a_final(user="u")
    line = msgspec.json.encode(final)
    longer = line[:-1] + b',"a field of the future",{"x":1}]'
    shorter = msgspec.json.encode(msgspec.json.decode(line)[:-3])
    other_word = line.replace(b'"complete"', b'"moderated"')
    unknown_kind = b'["z","' + new_call_id().encode() + b'"]'
    records = list(read_records(b"\n".join([longer, unknown_kind, shorter, other_word, b""])))
    assert records[0] == final
    assert records[1] == msgspec.structs.replace(final, user=None, tags=None, details=None)
    assert records[2] == msgspec.structs.replace(final, end_reason="moderated")
    assert len(records) == 3


def test_a_line_that_nobody_can_read_is_handed_on_as_it_is():
    good = msgspec.json.encode(a_final())
    assert [type(record) for record in read_records(good + b"\n\x00\x00\x00\n" + good + b"\n")] == [Final, bytes, Final]


def test_what_json_cant_hold_is_journaled_cleaned(tmp_path):
    journal = Journal(tmp_path, "wrk_1")
    journal.append(an_intent(user="\ud800", tags=["a\udcff"]))
    journal.append(a_final(details={"traceparent": "\udcff"}, latency_ms=float("nan"), total_tokens=1 << 70))
    intent, final = read_records(journal.segments[0].path.read_bytes())
    assert (intent.user, final.details, final.latency_ms, final.total_tokens) == (
        "?", {"traceparent": "?"}, 0.0, (1 << 63) - 1,
    )  # fmt: skip
    journal.close()


def test_interrupted_calls_say_how_far_they_had_come(tmp_path):
    journal = Journal(tmp_path, "wrk_1")
    seen, unseen = an_intent(stream=True), an_intent()
    journal.append(seen)
    journal.append(unseen)
    journal.append(Progress(seen.call_id, "openai", "m", 5, 1, 60, "prc_1"))
    journal.append(Progress(seen.call_id, "openai", "m", 5, 7, 90, "prc_1"))
    journal.close()
    ((_, records),) = left_by_dead(tmp_path)
    assert [(r.end_reason, r.usage_source, r.total_tokens, r.cost_nusd, r.provider) for r in records] == [
        ("interrupted", "estimated", 12, 90, "openai"),
        ("interrupted", "none", None, None, None),
    ]


def test_on_a_full_disk_calls_under_way_still_find_room_and_no_other_begins(tmp_path, full_disk):
    journal = Journal(tmp_path, "wrk_1")
    began = [an_intent() for _ in range(50)]
    for intent in began:
        journal.append(intent)
    full_disk(30)
    with pytest.raises(OSError, match="No space"):
        journal.append(an_intent())
    for intent in began:
        journal.append(of_intent(intent))
    with pytest.raises(OSError, match="No space"):
        journal.append(an_intent())
    full_disk(None)
    journal._reserve_at = 0.0  # a second later
    journal.append(an_intent())
    assert (journal.folder / "reserve").stat().st_size == module.RESERVE_SIZE
    records = list(read_records(journal.segments[0].path.read_bytes()))
    assert [type(record) for record in records] == [Intent] * 50 + [Final] * 50 + [Intent]
    journal.close()


def test_a_broken_file_is_left_and_another_begun(tmp_path, monkeypatch):
    journal = Journal(tmp_path, "wrk_1")
    intent = an_intent()
    journal.append(intent)
    bad, real = journal.segments[0].fd, os.write

    def write(fd, data):
        if fd == bad:
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    journal.append(of_intent(intent))
    assert [segment.number for segment in journal.segments] == [1, 2]
    assert [type(r) for s in journal.segments for r in read_records(s.path.read_bytes())] == [Intent, Final]
    journal.close()


async def test_power_syncs_every_segment_that_was_written_and_shares_the_wait(tmp_path, monkeypatch):
    journal = Journal(tmp_path, "wrk_1", sync=True)
    synced = []
    monkeypatch.setattr(module, "sync_file", lambda fd: (time.sleep(0.005), synced.append(fd)))
    first = journal.segments[0].fd
    journal.append(an_intent())
    journal.rotate()
    second = journal.segments[1].fd
    journal.append(an_intent())
    await asyncio.gather(*(journal.synced() for _ in range(100)))
    assert sorted(synced) == sorted([first, second])
    await asyncio.gather(*(_append_and_sync(journal) for _ in range(100)))
    assert len(synced) <= 2 + 2
    journal.close()


async def _append_and_sync(journal):
    journal.append(a_final())
    await journal.synced()


async def test_after_a_failed_fdatasync_the_segment_is_left_and_the_next_call_is_fine(tmp_path, monkeypatch):
    journal = Journal(tmp_path, "wrk_1", sync=True)
    bad = journal.segments[0].fd
    fails = threading.Event()
    fails.set()

    def sync(fd):
        if fd == bad and fails.is_set():
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module, "sync_file", sync)
    journal.append(an_intent())
    with pytest.raises(OSError, match="Input/output"):
        await journal.synced()
    fails.clear()  # fsyncgate: a second fdatasync would say that all is well
    journal.append(an_intent())
    assert journal.segments[1].size > 0
    await journal.synced()
    journal.close()


HOLD = """
import sys, pathlib
from gateway.journal import Journal
journal = Journal(pathlib.Path(sys.argv[1]), "wrk_alive")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_living_worker_is_never_adopted_and_a_killed_one_at_once(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    assert left_by_dead(tmp_path) == []
    process.kill()
    process.wait()
    assert left_by_dead(tmp_path) == [("wrk_alive", [])]
    process.stdin.close()
    process.stdout.close()


def test_starting_workers_and_adopters_never_get_in_each_others_way(tmp_path):
    """Adopters look through the folder as fast as they can while journals come and go: every one is its owner's, and none is left."""
    stop, taken = threading.Event(), []

    def adopt():
        while not stop.is_set():
            for dead in adoptable(tmp_path):
                taken.extend(dead.records())
                dead.remove()

    threads = [threading.Thread(target=adopt) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(60):
        journal = Journal(tmp_path, f"wrk_{number}")
        journal.append(of_intent(an_intent()))
        journal.segments[0].carried = journal.segments[0].size
        journal.close()
    stop.set()
    for thread in threads:
        thread.join()
    assert taken == []
    assert list(tmp_path.iterdir()) == []
