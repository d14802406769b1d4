"""What each step of a call costs: the real steps of `proxy/`, run in this process without sockets, timed one by one.

    python -m bench.steps [--calls 20000] [--rounds 5]

The provider is an object that has its answer ready; limits, a budget, an allow-list and the journal are on, and the journal's file is
real. What is missing against a served call is HTTP on both sides and the writing of rows to Postgres: `bench.overhead` has those.
Times are CPU time of this thread, so that a busy machine shows less in them. Reading that clock costs about half a microsecond, which
is in each step's time; the whole call is timed without it. Writes bench/results/DATE-steps.json.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import overhead
from bench.load import request_bytes
from bench.upstream import ANSWER
from gateway import catalog as c
from gateway import keyring
from gateway.connection import Origin, encode_request
from gateway.health import Health
from gateway.journal import Journal
from gateway.ledger import Price
from gateway.limits.granting import grant
from gateway.limits.pools import Draw, Drawn, Renewal, Return
from gateway.limits.shares import Shares
from gateway.metrics import Metrics
from gateway.providers import openai
from gateway.proxy import answer, exchange, serve
from gateway.proxy.call import Plane
from gateway.reply import Reply
from gateway.secret import Secret

STEPS = (
    (serve, "authenticate"), (serve, "take_heading"), (serve, "parse"), (serve, "route_of"), (serve, "check"),
    (serve, "intend"), (serve, "exchange"), (exchange, "built"), (exchange, "_understand"), (serve, "meter"), (serve, "finish"),
    (answer, "whole"),
)  # fmt: skip
INSIDE = {"built": "exchange", "_understand": "exchange"}


class Plenty:
    """A coordinator that lends as one does while there is plenty, without asking anybody."""

    async def draw(self, draws: list[Draw]) -> list[Drawn]:
        shares = [grant(draw.least, 1 << 60, 0, draw.call) for draw in draws]
        return [Drawn(share, 1 << 50, 0, 0.0, share) for share in shares]

    async def give_back(self, returns: list[Return]) -> None:
        return None

    async def renew(self, renewals: list[Renewal]) -> list[int]:
        return [one.amount for one in renewals]

    async def ask_back(self, pools: list[Any]) -> None:
        return None


class Ready:
    """A provider whose answer is there already."""

    def __init__(self) -> None:
        self.origin = Origin("http://127.0.0.1:1/v1")

    async def fetch(self, _provider: Any, request: Any, _timeouts: Any, is_stream: bool, asker: Any) -> Reply:
        encode_request(self.origin, request)
        reply = Reply(is_stream, 1 << 20)
        asker.reply = reply
        reply.status, reply.headers = 200, {"content-type": "application/json"}
        reply.first_byte_ns = time.perf_counter_ns()
        reply.receive(ANSWER)
        reply.finish(None)
        return reply


class Holder:
    def __init__(self, catalog: c.Catalog) -> None:
        self.catalog = catalog


class Caller:
    """A client that sends the request of `bench.load` and takes the answer. `before`: the call before it on its connection."""

    is_gone = is_paused = is_http_10 = False
    address = None

    def __init__(self, fields: dict[str, str], body: bytes, before: Caller | None) -> None:
        self.header = fields.get
        self._body = body
        self.keep_alive = True
        self.digest = before.digest if before else None
        self.heading = before.heading if before else None
        self.on_gone = self.on_cut = self.on_resume = None

    async def body(self, _limit: int) -> bytes:
        return self._body

    def write(self, data: bytes) -> None:
        self.written = data


def make_plane(folder: Path, digest: bytes) -> Plane:
    provider = c.Provider(c.ProviderId("prv_1"), "openai", "openai", "http://127.0.0.1:1/v1", Secret("sk-bench"))
    model = c.Model(
        "gpt-6-luna",
        provider,
        "gpt-6-luna",
        "chat",
        400_000,
        128_000,
        prices=(Price("pri_1", 250_000_000, 2_000_000_000),),
    )
    tiers = {"fast": (c.Target(model, provider.timeouts),)}

    def rules(scope: c.Scope, subject: str) -> c.Rules:
        limit = c.Limit(f"lim_{scope}", scope, subject, "bench", rpm=10**8, tpm=10**11)
        return c.Rules((limit,), (c.Budget(f"bud_{scope}", scope, subject, 10**15, "1mo"),))

    project = c.Project(
        c.ProjectId("prj_1"), "bench", "Bench", c.OrgId("org_1"), tiers, rules=rules("project", "prj_1")
    )
    key = c.Key(c.KeyId("key_1"), "bench", "bench", project.id, digest, allowed_models=frozenset({model.id}))
    keys = {digest: key} | {
        bytes(32 - 4) + n.to_bytes(4, "big"): c.Key(c.KeyId(f"key_{n}"), f"p{n}", "other", project.id, b"")
        for n in range(2, 10_000)
    }
    catalog = c.Catalog(
        1,
        keys,
        {project.id: project},
        {model.id: model},
        tiers,
        {"openai": provider},
        {key.id: rules("key", "key_1")},
    )
    metrics = Metrics()
    return Plane(
        holder=Holder(catalog),
        find_key=_unknown,
        limits=Shares(Plenty(), Plenty(), metrics, lambda: catalog.settings),
        journal=Journal(folder, "wrk_bench"),
        upstream=Ready(),  # type: ignore[arg-type]  # all that the steps ask of it
        health=Health(),
        metrics=metrics,
        adapters={"openai": openai.ADAPTER},
        max_body=32 << 20,
        version="bench",
    )  # fmt: skip


async def _unknown(_digest: bytes) -> None:
    return None


class Watch:
    """Wraps the steps where they are looked up; `ns` is time inside, children included."""

    def __init__(self) -> None:
        self.ns = {name: 0 for _, name in STEPS}
        self._own = [(module, name, getattr(module, name)) for module, name in STEPS]

    def __enter__(self) -> Watch:
        for module, name, step in self._own:
            setattr(module, name, self._timed(name, step))
        return self

    def __exit__(self, *_: object) -> None:
        for module, name, step in self._own:
            setattr(module, name, step)

    def _timed(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        clock, ns = time.thread_time_ns, self.ns

        async def waited(*args: Any) -> Any:
            began = clock()
            try:
                return await step(*args)
            finally:
                ns[name] += clock() - began

        def called(*args: Any) -> Any:
            began = clock()
            try:
                return step(*args)
            finally:
                ns[name] += clock() - began

        return waited if asyncio.iscoroutinefunction(step) else called


async def measure(calls: int, rounds: int) -> dict[str, Any]:
    minted = keyring.mint()
    where = urlsplit("http://127.0.0.1:4000/v1/chat/completions")
    raw = request_bytes(where.netloc, where.path, minted.text, "gpt-6-luna", False)
    head, _, body = raw.partition(b"\r\n\r\n")
    fields = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head.decode().split("\r\n")[1:])}
    whole: list[float] = []
    steps: dict[str, list[float]] = {name: [] for _, name in STEPS}
    with tempfile.TemporaryDirectory() as folder:
        plane = make_plane(Path(folder), minted.digest)

        async def run(number: int) -> float:
            caller: Caller | None = None
            began = time.thread_time_ns()
            for _ in range(number):
                caller = Caller(fields, body, caller)
                await serve.serve(plane, caller, "chat")  # type: ignore[arg-type]  # a Caller in all but name
            taken = (time.thread_time_ns() - began) / number / 1000
            assert caller is not None
            assert caller.written.startswith(b"HTTP/1.1 200"), caller.written[:200]
            await asyncio.sleep(0)
            return taken

        await run(2_000)
        for _ in range(rounds):
            whole.append(await run(calls))
            with Watch() as watch:
                await run(calls)
            for name, ns in watch.ns.items():
                steps[name].append(ns / calls / 1000)
        plane.journal.close()  # type: ignore[attr-defined]  # the real one
    return {"call_us": whole, "steps_us": steps}


def main() -> None:
    parser = argparse.ArgumentParser(description="What each step of a call costs, in this process.")
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    found = asyncio.run(measure(given.calls, given.rounds))
    print(f"{'a whole call, without HTTP':<32}{statistics.median(found['call_us']):>8.1f} µs")
    for name, values in found["steps_us"].items():
        indent = "    " if name in INSIDE else "  "
        print(f"{indent + name.lstrip('_'):<32}{statistics.median(values):>8.1f} µs")
    print(f"written: {overhead.write('steps', found)}")


if __name__ == "__main__":
    main()
