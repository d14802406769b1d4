"""Many clients that write down what they got, and an upstream that writes down what it billed: two ledgers beside Postgres."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import asyncpg

from tests.upstream import Line, completion, piece, usage_piece

FIRST_PROMPT = 10_000


@dataclass
class Ledger:
    """What upstream billed, by the request's own id: every number stands in one bill alone."""

    pace_s: float = 0.004
    billed: dict[str, int] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)

    async def reply(self, line: Line) -> None:
        """As upstream: the n-th bill has 10000 + n prompt tokens, and the answer names n."""
        asked = line.request.json
        request_id = asked["messages"][0]["content"]
        number = len(self.billed)
        if request_id in self.billed:
            self.repeated.append(request_id)
        self.billed[request_id] = number
        tokens = 1 + number % 7
        if not asked.get("stream"):
            await asyncio.sleep(self.pace_s * tokens)
            await line.answer(200, completion(str(number), (FIRST_PROMPT + number, tokens)))
            return
        await line.start_stream()
        await line.event(piece(str(number)))
        for _ in range(tokens):
            await asyncio.sleep(self.pace_s)
            await line.event(piece(" word"))
        await line.event(piece(finish="stop"))
        await line.event(usage_piece(FIRST_PROMPT + number, tokens))
        await line.event("[DONE]")
        await line.end_stream()


@dataclass
class Clients:
    """`complete`: request id to the number in an answer that came whole. `broken`: ids of calls that did not."""

    url: str
    key: str
    complete: dict[str, int] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    model: str = "gpt-6-luna"
    total: int = 0

    async def run(self, clients: int, calls: int, until: asyncio.Event | None = None) -> None:
        """At least `calls` in all, and until the event, by so many at once, every other one streamed."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(self._client(session, calls, until) for _ in range(clients)))

    async def _client(self, session: aiohttp.ClientSession, calls: int, until: asyncio.Event | None) -> None:
        while self.total < calls or (until is not None and not until.is_set()):
            self.total += 1
            number = self.total
            try:
                self.complete[f"call-{number}"] = await self._insist(session, f"call-{number}", stream=number % 2 == 0)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                self.broken[f"call-{number}"] = f"{type(error).__name__}: {error}"

    async def _insist(self, session: aiohttp.ClientSession, request_id: str, stream: bool) -> int:
        """While nobody listens there is no call: tried again until there is one."""
        while True:
            try:
                return await self.call(session, self.url, request_id, stream)
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.02)

    async def call(self, session: aiohttp.ClientSession, url: str, request_id: str, stream: bool) -> int:
        """The number in the answer. Raises ValueError for an answer that is not whole."""
        body = {
            "model": self.model,
            "stream": stream,
            "messages": [{"role": "user", "content": request_id}],
            "max_tokens": 50,
        }
        headers = {"Authorization": f"Bearer {self.key}", "x-request-id": request_id}
        async with session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response:
            answered = await response.read()
            self.statuses[response.status] = self.statuses.get(response.status, 0) + 1
        if response.status != 200:
            raise ValueError(f"{response.status} {answered[:200]!r}")
        if not stream:
            return int(json.loads(answered)["choices"][0]["message"]["content"])
        events = [line[6:] for line in answered.decode().split("\n") if line.startswith("data: ")]
        if not events or events[-1] != "[DONE]":
            raise ValueError(f"the stream ended with {events[-1:]}")
        return int(json.loads(events[0])["choices"][0]["delta"]["content"])


ROWS = """
SELECT request_id, count(*) AS rows, min(end_reason) AS end_reason, min(status) AS status, sum(prompt_tokens)::bigint AS prompt,
    sum(completion_tokens)::bigint AS completion, min(usage_source) AS usage_source
FROM request_logs GROUP BY request_id
"""


async def judge(connection: asyncpg.Connection, ledger: Ledger, clients: Clients) -> dict[str, Any]:
    """Asserts that nothing is lost and nothing doubled; the rows by request id."""
    rows = {row["request_id"]: row for row in await connection.fetch(ROWS)}
    doubled = [request_id for request_id, row in rows.items() if row["rows"] != 1]
    assert doubled == []
    assert ledger.repeated == [], "upstream was asked twice for one call"
    lost = [request_id for request_id in clients.complete if request_id not in rows]
    assert lost == []
    unaccounted = [request_id for request_id in ledger.billed if request_id not in rows]
    assert unaccounted == []
    for request_id, number in clients.complete.items():
        row = rows[request_id]
        assert (row["end_reason"], row["usage_source"]) == ("complete", "provider"), request_id
        assert ledger.billed[request_id] == number
        assert (row["prompt"], row["completion"]) == (FIRST_PROMPT + number, 1 + number % 7), request_id
    counted = sum(rows[request_id]["prompt"] for request_id in clients.complete)
    assert counted == sum(FIRST_PROMPT + ledger.billed[request_id] for request_id in clients.complete)
    return rows
