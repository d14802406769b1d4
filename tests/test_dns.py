"""A resolver that hangs keeps nobody waiting but who asks for that name, and nobody longer than the time limit to connect."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from gateway import upstream as module
from gateway.providers.provider import Failure

HUNG = 24


@pytest.fixture
def names(monkeypatch):
    """`good.test` is this machine; whatever else ends in `.test` is not answered before the test's end, or while `hangs` is set."""
    real, over = socket.getaddrinfo, threading.Event()

    class Names:
        hangs = False

    def resolve(host, port, *rest, **more):
        if isinstance(host, str) and host.endswith(".test"):
            if Names.hangs or host != "good.test":
                over.wait(30)
                raise socket.gaierror(socket.EAI_AGAIN, "no answer")
            host = "127.0.0.1"
        return real(host, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield Names
    over.set()
    deadline = time.monotonic() + 10
    while any(thread.name.startswith("dns ") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def behind_a_name(gateway):
    url = gateway.upstream.base_url.replace("127.0.0.1", "good.test")
    await gateway.execute("UPDATE providers SET base_url = $1 WHERE name = 'openai'", url)


async def test_names_that_nobody_answers_keep_no_other_waiting(gateway, names):
    await behind_a_name(gateway)
    upstream = gateway.worker.upstream
    hung = [asyncio.create_task(upstream.connect(f"http://hung-{n}.test/v1", 3.0)) for n in range(HUNG)]
    while sum(thread.name.startswith("dns hung") for thread in threading.enumerate()) < HUNG:
        await asyncio.sleep(0.01)
    assert (await gateway.chat()).status == 200
    assert len(gateway.upstream.seen) == 1
    assert not any(task.done() for task in hung), "they wait for their name still"
    for answer in await asyncio.gather(*hung):
        assert isinstance(answer, Failure)
        assert (answer.kind, answer.detail) == ("timeout", "no connection in 3 s")


async def test_one_name_is_looked_up_once_however_many_wait(gateway, names):
    upstream = gateway.worker.upstream
    waiting = [upstream.connect("http://hung.test/v1", 0.2) for _ in range(50)]
    answers = await asyncio.gather(*waiting, upstream.connect("http://hung.test/v1", 0.3))
    assert {answer.kind for answer in answers} == {"timeout"}
    assert sum(thread.name == "dns hung.test" for thread in threading.enumerate()) == 1


async def test_where_a_name_pointed_last_is_used_while_the_resolver_hangs(gateway, names, monkeypatch):
    await behind_a_name(gateway)
    assert (await gateway.chat()).status == 200
    monkeypatch.setattr(module, "DNS_FRESH_S", 0.0)
    monkeypatch.setattr(module, "DNS_PATIENCE_S", 0.05)
    names.hangs = True
    gateway.worker.upstream.close()
    assert (await gateway.chat()).status == 200
    assert gateway.upstream.connections == 2
    monkeypatch.setattr(module, "DNS_STALE_S", 0.0)
    gateway.worker.upstream.close()
    await gateway.execute("UPDATE providers SET timeouts = '{\"connect_ms\": 200}'")
    assert (await gateway.chat(model="gpt-6-luna")).code == "upstream_timeout"


async def test_what_is_no_name_is_a_failure_and_no_defect(gateway):
    for name in ("a" * 64 + ".com", "a..b"):
        answer = await gateway.worker.upstream.connect(f"http://{name}/v1", 2.0)
        assert isinstance(answer, Failure)
        assert answer.kind == "connect"
