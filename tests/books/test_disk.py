"""The journal's own disk full, or failing: no call that can't be recorded, none lost that had begun, and all well again by itself."""

import asyncio
import contextlib
import ctypes
import errno
import os
import resource
import sys
import tempfile
import threading
from pathlib import Path

import aiohttp
import pytest

from gateway import journal as module
from tests.books.ledger import books
from tests.books.storm import Clients, Ledger, judge
from tests.conftest import eventually
from tests.upstream import completion, whole


class FileLimit:
    """The kernel refuses what would make a file longer than the journal's is now (RLIMIT_FSIZE): for any user, on any machine."""

    def __init__(self, folder):
        self._folder = folder
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self):
        longest = max(path.stat().st_size for path in self._folder.glob("journal/*/*.jsonl"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (longest + 100, self._before[1]))  # a part of a line still fits

    def empty(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)

    close = empty


class SmallFileSystem:
    """3 MiB of memory for the gateway's home, filled up. Linux, and whoever may mount: raises OSError otherwise."""

    def __init__(self, folder):
        self._folder = folder
        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform != "linux" or libc.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, b"size=3m"):
            raise OSError(ctypes.get_errno(), f"{folder} is not mounted")
        self.close = lambda: libc.umount2(bytes(folder), 2)  # MNT_DETACH: also while a file in it is open

    def fill(self):
        with (self._folder / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def empty(self):
        (self._folder / "ballast").unlink()


def kinds():
    yield FileLimit
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(OSError):
        SmallFileSystem(Path(folder)).close()
        yield SmallFileSystem


@pytest.fixture(params=kinds())
def disk(request, tmp_path):
    folder = tmp_path / "home0"
    folder.mkdir()
    made = request.param(folder)
    yield made
    made.close()


async def test_a_full_disk_refuses_new_calls_records_those_under_way_and_recovers(disk, gateway):
    go, began = asyncio.Event(), []

    async def slow(line):
        began.append(line)
        await go.wait()
        await whole(completion("late", (50, 5)))(line)

    gateway.upstream.by_model["gpt-6-luna"] = slow
    under_way = [asyncio.create_task(gateway.chat(model="gpt-6-luna")) for _ in range(30)]
    await eventually(lambda: len(began) == 30, 10, "30 calls under way")
    disk.fill()

    async def is_refused():
        answered = await asyncio.wait_for(gateway.chat(model="gemini-3.8-flash"), 5)
        return (answered.status, answered.status != 200 and answered.code) == (503, "accounting_unavailable")

    await eventually(is_refused, 10, "a refusal")  # a page of the segment may still have had room
    asked = len(gateway.upstream.seen)
    refused = [await gateway.chat(model="gemini-3.8-flash") for _ in range(5)]
    assert {(answer.status, answer.code) for answer in refused} == {(503, "accounting_unavailable")}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert len(gateway.upstream.seen) == asked
    go.set()
    answered = await asyncio.gather(*under_way)
    assert {answer.status for answer in answered} == {200}
    for answer in answered:
        assert (await gateway.row(answer.request_id))["prompt_tokens"] == 50
    disk.empty()
    gateway.upstream.by_model.clear()

    async def is_served():
        return (await gateway.chat()).status == 200

    await eventually(is_served, 5, "calls again")
    await eventually(lambda: not gateway.worker.plane.callers, 2, "the end of all calls")
    assert await gateway.worker.logbook.flush(5)
    await books(gateway.db)


async def test_with_power_a_call_waits_for_the_disk_and_a_failing_one_refuses(make_gateway, monkeypatch):
    gateway = await make_gateway(OPTYX_DURABILITY="power")
    ledger = Ledger(pace_s=0.001)
    gateway.upstream.by_model["gpt-6-luna"] = ledger.reply
    syncs, broken, real = [], threading.Event(), module.sync_file

    def sync(fd):
        syncs.append(fd)
        if broken.is_set():
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(module, "sync_file", sync)
    clients = Clients(gateway.url, gateway.key)
    await clients.run(20, 100)
    assert clients.broken == {}
    assert 2 <= len(syncs) < 200  # an intent and a final each, many of them together
    broken.set()
    asked = len(ledger.billed)
    answered = await gateway.chat("no-disk", model="gpt-6-luna")
    assert (answered.status, answered.code) == (503, "accounting_unavailable")
    assert len(ledger.billed) == asked
    broken.clear()
    async with aiohttp.ClientSession() as session:
        clients.complete["again"] = await clients.call(session, gateway.url, "again", True)
    await gateway.row("again")
    assert await gateway.worker.logbook.flush(5)
    await judge(gateway.db, ledger, clients)
    await books(gateway.db)


async def test_a_final_that_fits_nowhere_still_reaches_postgres(gateway, monkeypatch):
    """Every file of ours fails at once while a call is under way: the record goes to Postgres from memory."""
    go = asyncio.Event()

    async def slow(line):
        await go.wait()
        await whole(completion("late", (50, 5)))(line)

    gateway.upstream.enqueue(slow)
    call = asyncio.create_task(gateway.chat(model="gpt-6-luna"))
    await eventually(lambda: gateway.upstream.seen, 5, "the call")
    real = os.write

    def write(fd, data):
        if bytes(data[:2]) == b'["':
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    go.set()
    answered = await call
    assert answered.status == 200
    row = await gateway.row(answered.request_id)
    assert (row["end_reason"], row["prompt_tokens"]) == ("complete", 50)
    assert (await gateway.chat()).code == "accounting_unavailable"
    monkeypatch.setattr(os, "write", real)
    assert (await gateway.chat()).status == 200
