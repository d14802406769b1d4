"""`GET /logs/tail`: server-sent events. Every event has an id; a client that comes back with `Last-Event-ID`, to whichever worker, goes on
exactly there.

    id: 7411.52093        event: log        data: a LogRow
    event: heartbeat      data: {"seq", "dropped", "sampled", "behind_s"}        every 5 s
    event: gap            data: {"missed", "after", "before", "since", "until"}  the client took too slowly; GET /logs?after=&before= has them
    event: sampled        data: {"one_in", "rows_per_s"}                         over 2,000 calls a second; errors are never left out
    event: end            data: {"reason"}                                       `draining`: come back with the last id;
                                                                                 `signed_out`: the token may not be used any more
    event: error          data: {"error": …}                                     the filter can't be evaluated any more
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Literal, NamedTuple, Protocol

import asyncpg
import msgspec
from aiohttp import web
from aiohttp_sse import EventSourceResponse

from gateway import errors
from gateway.admin.desk import Ask, Nothing
from gateway.admin.follower import Beat, Follower, Gap, event_of, wait
from gateway.admin.guard import refused
from gateway.admin.logs import Wanted, read_filter
from gateway.admin.tail import Tail
from gateway.store import log_filter, log_search, log_tail
from gateway.store.log_filter import Filter
from gateway.store.log_tail import Position
from gateway.store.pool import Pool

HEARTBEAT_S = 5.0
COMMENT_S = 15
PAGE = 1_000


class TailQuery(Wanted, kw_only=True, forbid_unknown_fields=True):
    """`after`: as Last-Event-ID. `sample`: `never` gives every call, however many there are."""

    after: str = ""
    sample: Literal["auto", "never"] = "auto"


class Stream(Protocol):
    """Where events go: the response, or what stands before it."""

    async def write(self, data: bytes) -> None: ...


class Begun(NamedTuple):
    """A tail that may go on: its filter with ids for names, and from where; a `follower` when that is now."""

    wanted: Filter
    resolved: Filter
    position: Position | None
    follower: Follower | None


async def tail(ask: Ask[Nothing, TailQuery]) -> web.StreamResponse:
    """Every call as it is recorded, on all workers and machines."""
    last_id = ask.request.headers.get("Last-Event-ID") or ask.query.after
    position = log_tail.read_position(last_id) if last_id else None
    if last_id and position is None:
        raise errors.BadRequest("Last-Event-ID is no id of this tail.", param="Last-Event-ID")
    begun = await begin(ask, ask.query, position)
    response = EventSourceResponse(sep="\n", ping_interval=COMMENT_S, headers={"x-request-id": ask.request_id})
    await response.prepare(ask.request)
    async with response:
        await run(ask, response, begun, go_on(ask, begun, response))
    return response


async def run(
    ask: Ask[Any, Any], response: web.StreamResponse, begun: Begun | None, *parts: Coroutine[Any, Any, None]
) -> None:
    """All that writes to one stream, until the first part of it ends, the client leaves, or the token is no longer taken."""
    running = [asyncio.create_task(part, name="stream") for part in parts]
    review = asyncio.create_task(refused(ask.desk.pool, ask.request.headers.get("Authorization")), name="review")
    try:
        with contextlib.suppress(ConnectionError):  # the client left
            await response.write(b"retry: 1000\n\n")
            done, _ = await asyncio.wait([review, *running], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if review in done:
                await response.write(b'event: end\ndata: {"reason":"signed_out"}\n\n')
    finally:
        for task in (review, *running):
            task.cancel()
        await asyncio.gather(review, *running, return_exceptions=True)
        if begun is not None and begun.follower is not None:
            ask.desk.tail.leave(begun.follower)  # a task that was cancelled before it began has not


async def begin(ask: Ask[Any, Any], query: TailQuery, position: Position | None) -> Begun:
    """Raises a Refusal while there is still a status to give it."""
    wanted = read_filter(query, ask.desk.clock())
    async with ask.desk.pool.acquire() as connection:
        with log_search.told_plainly():
            resolved = await log_filter.resolve(connection, wanted)
    follower = None if position else await ask.desk.tail.follow(wanted, query.sample == "auto")
    return Begun(wanted, resolved, position, follower)


async def go_on(ask: Ask[Any, Any], begun: Begun, out: Stream) -> None:
    """Until the worker drains or the filter can't be evaluated any more. Raises ConnectionError when the client leaves."""
    pool, reader, position, follower = ask.desk.pool, ask.desk.tail, begun.position, begun.follower
    try:
        if position is not None:
            position = await _catch_up(pool, out, begun.resolved, position, None)
            follower = await reader.follow(begun.wanted, ask.query.sample == "auto", position)
            await _catch_up(pool, out, begun.resolved, position, follower.start)
        assert follower is not None  # one of the two has made it
        await _stream(reader, follower, out)
    except errors.Refusal as refusal:
        await out.write(b"event: error\ndata: %b\n\n" % errors.body(refusal))
    finally:
        if follower is not None:
            reader.leave(follower)


async def _catch_up(pool: Pool, out: Stream, wanted: Filter, position: Position, upto: Position | None) -> Position:
    """What was recorded since `position`, at most up to `upto`, page by page as fast as the client takes it. Returns where it ended."""
    while True:
        async with pool.acquire() as connection:
            if upto is None and position.xid > (here := await log_tail.horizon(connection)).next_xid:
                await out.write(_restarted(position, here.xid))
                return Position(here.xid, 0)
            try:
                with log_search.told_plainly():
                    async with log_search.bounded(connection, log_search.SLOWEST_S):
                        page = await log_tail.read(connection, wanted, position, upto, PAGE)
            except asyncpg.PostgresError:
                raise errors.Unavailable("The log can't be read now.", code="database_unavailable") from None
        if page.rows:
            await out.write(b"".join([event_of(at, row).data for at, row in page.rows]))
            position = page.rows[-1][0]
        if not page.is_full:
            return position


def _restarted(position: Position, xid: int) -> bytes:
    """The id is from a later time than the database's: it was restored. What lies between can't be known."""
    gap = Gap(0, str(position), f"{xid}.0", "", "")
    return b"event: gap\ndata: %b\n\n" % msgspec.json.encode(gap)


async def _stream(reader: Tail, follower: Follower, out: Stream) -> None:
    await _beat(reader, follower, out)
    while not reader.ending.is_set():
        if not await wait(follower, HEARTBEAT_S):
            await _beat(reader, follower, out)
        elif follower.problem is not None:
            raise follower.problem
        elif data := follower.take():
            await out.write(data)
    await out.write(follower.take() + b'event: end\ndata: {"reason":"draining"}\n\n')


async def _beat(reader: Tail, follower: Follower, out: Stream) -> None:
    """Carries an id while nothing waits: all that matched before it has been given, so a quiet tail resumes from there. A follower that
    caught up by itself may be ahead of the reader."""
    at = None if reader.position is None else max(reader.position, follower.start)
    identity = b"id: %d.%d\n" % at if at is not None and follower.is_empty else b""
    beat = Beat(str(at) if at else "", follower.dropped, follower.one_in, reader.behind_s)
    await out.write(b"%bevent: heartbeat\ndata: %b\n\n" % (identity, msgspec.json.encode(beat)))
