"""`GET /events`: what happens, of several kinds, on one stream of server-sent events. It goes on where it was when a client comes back with
the last id (`LOG/AUDIT`: a place in each of the two that are kept).

    event: log         data: a LogRow, and the tail's other events (see `following`)   topic log
    event: audit       data: an AuditEntry, once its change is made                    topic audit
    event: provider    data: a Provider: first each as it is, then whenever its state, circuit or switch changes   topic provider
    event: heartbeat   data: {"seq"}                                                   every 5 s, where the tail does not send its own
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import msgspec
from aiohttp import web
from aiohttp_sse import EventSourceResponse

from gateway import errors
from gateway.admin import following, providers, trail
from gateway.admin.desk import Ask, Nothing
from gateway.admin.following import COMMENT_S, HEARTBEAT_S, TailQuery
from gateway.admin.schema.providers import Provider
from gateway.store import audit, log_tail
from gateway.store import providers as store
from gateway.store.log_tail import Position
from gateway.store.pool import UNREACHABLE

T = TypeVar("T")
TOPICS = ("log", "audit", "provider")
LOOK_S = 0.5
PROVIDERS_S = 1.0
PAGE = 200
_LOG_ID = re.compile(rb"(?m)^id: (\d+\.\d+)$")
_PLACE = re.compile(r"(?P<log>\d+\.\d+)?/(?P<audit>\d{1,18})?", re.ASCII)


class EventsQuery(TailQuery, kw_only=True, forbid_unknown_fields=True):
    """`topics`: which, comma-separated. The filter and the plain parameters are the log's."""

    topics: str = "log,audit,provider"


class Out:
    """The stream. Puts the place in all topics into the id of every event, whoever writes it."""

    def __init__(self, response: EventSourceResponse, log: Position | None, entry: int | None) -> None:
        self.log = str(log) if log else ""
        self.entry = "" if entry is None else str(entry)
        self._response = response

    async def write(self, data: bytes) -> None:
        """Events of the log's tail."""
        found = _LOG_ID.findall(data)
        if found:
            self.log = found[-1].decode()
        await self._response.write(_LOG_ID.sub(rb"id: \1/%b" % self.entry.encode(), data))

    async def tell(self, event: str, about: msgspec.Struct) -> None:
        ident = f"{self.log}/{self.entry}".encode()
        await self._response.write(
            b"id: %b\nevent: %b\ndata: %b\n\n" % (ident, event.encode(), msgspec.json.encode(about))
        )


class Beat(msgspec.Struct):
    seq: str


async def events(ask: Ask[Nothing, EventsQuery]) -> web.StreamResponse:
    topics = _topics(ask.query.topics)
    log, entry = _place(ask.request.headers.get("Last-Event-ID") or ask.query.after)
    begun = await following.begin(ask, ask.query, log) if "log" in topics else None
    if "audit" in topics and entry is None:
        async with ask.desk.pool.acquire() as db:
            entry = await audit.last_seq(db)
    response = EventSourceResponse(sep="\n", ping_interval=COMMENT_S, headers={"x-request-id": ask.request_id})
    await response.prepare(ask.request)
    out = Out(response, log, entry)
    parts = [following.go_on(ask, begun, out)] if begun else [_beats(ask, out)]
    if "audit" in topics:
        parts.append(_of_audit(ask, out))
    if "provider" in topics:
        parts.append(_of_providers(ask, out))
    async with response:
        await following.run(ask, response, begun, *parts)
    return response


def _topics(text: str) -> set[str]:
    wanted = set(text.split(","))
    unknown = sorted(wanted - set(TOPICS))
    if unknown:
        raise errors.BadRequest(
            f"topics: there is no {unknown[0][:40]!r}; they are {', '.join(TOPICS)}.", param="topics"
        )
    return wanted


def _place(text: str) -> tuple[Position | None, int | None]:
    """Where to go on in the log and in the audit; None: from now on. Raises BadRequest."""
    if not text:
        return None, None
    match = _PLACE.fullmatch(text)
    log = log_tail.read_position(match["log"]) if match and match["log"] else None
    if match is None or (match["log"] and log is None):
        raise errors.BadRequest("Last-Event-ID is no id of these events.", param="Last-Event-ID")
    return log, int(match["audit"]) if match["audit"] else None


async def _every(ask: Ask[Nothing, EventsQuery], seconds: float, look: Callable[[], Awaitable[None]]) -> None:
    """Until the worker drains."""
    ending = ask.desk.tail.ending
    while not ending.is_set():
        await look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await ending.wait()


async def _found(reading: Awaitable[list[T]]) -> list[T]:
    """Nothing while the database is away: it is looked for again."""
    try:
        return await reading
    except (*UNREACHABLE, asyncpg.PostgresError):
        return []


async def _of_audit(ask: Ask[Nothing, EventsQuery], out: Out) -> None:
    async def read() -> list[audit.EntryRow]:
        async with ask.desk.pool.acquire() as db:
            return await audit.chain_after(db, int(out.entry), PAGE)

    async def look() -> None:
        for row in await _found(read()):
            out.entry = str(row.seq)
            await out.tell("audit", trail.told(row))

    await _every(ask, LOOK_S, look)


async def _of_providers(ask: Ask[Nothing, EventsQuery], out: Out) -> None:
    known: dict[str, tuple[object, ...]] = {}

    async def read() -> list[Provider]:
        async with ask.desk.pool.acquire() as db:
            return await providers.told(db, ask.desk, await store.all_of(db), Provider)

    async def look() -> None:
        for one in await _found(ask.desk.shared.once(("providers",), read)):
            state = one.state, one.circuit, one.enabled, one.credential_state, one.version
            if known.get(one.id) != state:
                known[one.id] = state
                await out.tell("provider", one)

    await _every(ask, PROVIDERS_S, look)


async def _beats(ask: Ask[Nothing, EventsQuery], out: Out) -> None:
    await _every(ask, HEARTBEAT_S, lambda: out.tell("heartbeat", Beat(f"{out.log}/{out.entry}")))
