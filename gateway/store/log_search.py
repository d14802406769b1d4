"""Searching the log: pages by keyset in the order of time, counts, and single calls by id.

An id is found at once. Any other filter is looked for in slices of time, newest first, whether an index serves it or not: a page comes
back when it is full or the time is up, and then says how far it looked. No statement ever reads the whole log.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from gateway.admin.schema.logs import LogRow, PriceUsed, Trace
from gateway.errors import BadRequest
from gateway.store import log_filter, log_rows
from gateway.store.log_filter import Filter
from gateway.store.pool import Connection
from gateway.store.slices import Slices

BOUND = """
SELECT set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true),
    set_config('enable_seqscan', $2, true)
"""
"""Custom plans prune partitions and match partial indexes by the values; compiling a plan takes longer than any page may. A page reads
along an index, so that it can stop when it is full; a count reads all of its slice and may take the table."""

PAGE = (log_rows.WITH_NAMES, "FROM (SELECT", log_rows.COLUMNS, "FROM request_logs r WHERE")
DOWN = (
    "r.created_at >= $1 AND r.created_at <= $2 AND (r.created_at, r.call_id) < ($2, $3)",
    "ORDER BY r.created_at DESC, r.call_id DESC LIMIT $4) f",
    "ORDER BY f.created_at DESC, f.call_id DESC",
)
UP = (
    "r.created_at >= $1 AND r.created_at < $2 AND (r.created_at, r.call_id) > ($1, $3)",
    "ORDER BY r.created_at, r.call_id LIMIT $4) f",
    "ORDER BY f.created_at, f.call_id",
)

COUNT = """
SELECT least(greatest(floor(extract(epoch FROM r.created_at - $3) / $4), 0), $5 - 1)::int, count(*), count(*) FILTER (WHERE r.status >= 400)
FROM request_logs r
WHERE r.created_at >= $1 AND r.created_at < $2
"""

OLDEST = "SELECT min(created_at) FROM request_logs"

DETAIL = (
    *(log_rows.WITH_NAMES, "FROM (SELECT", log_rows.COLUMNS),
    ", r.cache_write_tokens, r.worker_id, r.details::text AS details FROM request_logs r WHERE",
)
BY_REQUEST_ID = "\n".join((*DETAIL, "r.request_id = $1 ORDER BY r.created_at DESC LIMIT 1) f", log_rows.OF_NAMES))
BY_CALL_ID = "\n".join((*DETAIL, "r.call_id = $1 LIMIT 1) f", log_rows.OF_NAMES))

PRICE = """
SELECT id, input_nusd, cached_input_nusd, cache_write_nusd, output_nusd, effective_from, source FROM prices WHERE id = $1
"""

TRACE = """
SELECT count(*), count(*) FILTER (WHERE f.status >= 400), min(f.created_at), max(f.created_at + f.latency_ms * interval '1 ms'),
    coalesce(sum(f.total_tokens), 0)::bigint, count(*) FILTER (WHERE f.usage_source = 'estimated'), coalesce(sum(f.cost_nusd), 0)::bigint,
    count(*) FILTER (WHERE f.cost_nusd IS NULL AND f.total_tokens > 0)
FROM (
    SELECT r.status, r.created_at, coalesce(r.latency_ms, 0) AS latency_ms, r.total_tokens, r.usage_source, r.cost_nusd
    FROM request_logs r
"""
OF_TRACE = "\n".join((TRACE, "WHERE", log_rows.TRACE_ID, "= $1 LIMIT $2) f"))

ZERO = UUID(int=0)
PAGE_BUDGET_S = 0.2
TRACE_BUDGET_S = 0.1
MOST_OF_TRACE = 1000
"""Calls of a trace that are added up: one that has more is no trace but a caller that sends one traceparent with all of its calls."""
SLOWEST_S = 2.0
"""What a look-up may take at most before it is called too slow."""
FAR = datetime(9999, 1, 1, tzinfo=UTC)


class Place(msgspec.Struct, frozen=True):
    """Between two rows: a page goes on from here."""

    at: datetime
    call_id: UUID = ZERO


class Found(msgspec.Struct):
    """`next` None: there is no more. `scanned_to`: the time ran out there, and what lies beyond has not been looked at."""

    rows: list[LogRow]
    next: Place | None = None
    scanned_to: datetime | None = None


class Counted(msgspec.Struct):
    """Calls and errors by step of the range, oldest first. `is_whole`: nothing was left out."""

    since: datetime
    until: datetime
    calls: list[int]
    errors: list[int]
    is_whole: bool = True


@contextlib.asynccontextmanager
async def bounded(connection: Connection, seconds: float, *, may_read_all: bool = False) -> AsyncIterator[None]:
    """A read-only transaction on one snapshot, whose statements are cut off after `seconds`: QueryCanceledError."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(BOUND, str(max(1, int(seconds * 1000))), "on" if may_read_all else "off")
        yield


@contextlib.contextmanager
def told_plainly() -> Any:
    """A filter that Postgres can't run, in words."""
    try:
        yield
    except asyncpg.InvalidRegularExpressionError as error:
        raise BadRequest(f"filter: {error}.", param="filter") from None
    except asyncpg.QueryCanceledError:
        raise BadRequest(
            "filter: it takes too long even for a short time. Narrow it with since: and until:, a project or a key.",
            param="filter",
            code="filter_too_slow",
        ) from None


async def search(
    connection: Connection,
    wanted: Filter,
    *,
    limit: int,
    place: Place | None = None,
    ascending: bool = False,
    budget_s: float = PAGE_BUDGET_S,
) -> Found:
    """One page. Raises BadRequest for a regular expression that is none, and for a filter so slow that nothing could be looked at."""
    with told_plainly():
        wanted, low, high = await prepare(connection, wanted)
        if place is not None and ascending:
            low = max(low, place.at)
        elif place is not None:
            high = min(high, place.at)
        return await _page(connection, wanted, Slices(low, high, ascending, budget_s), limit, ascending, place)


async def prepare(connection: Connection, wanted: Filter) -> tuple[Filter, datetime, datetime]:
    """The filter with ids for names, and the range of time in which there can be rows."""
    async with bounded(connection, SLOWEST_S):
        wanted = await log_filter.resolve(connection, wanted)
        now = datetime.now(UTC)
        oldest = await connection.fetchval(OLDEST) or now
    low = oldest if wanted.since is None else max(oldest, _instant(wanted.since))
    high = now + timedelta(days=1) if wanted.until is None else _instant(wanted.until)
    return wanted, low, max(low, high)


async def _page(
    connection: Connection, wanted: Filter, slices: Slices, limit: int, ascending: bool, place: Place | None
) -> Found:
    where = log_filter.where(wanted, 5)
    statement = page_statement(where, ascending)
    call_id = place.call_id if place else ZERO
    rows: list[Any] = []
    if wanted.is_of_one:
        async with bounded(connection, SLOWEST_S):
            rows = await connection.fetch(statement, slices.low, slices.high, call_id, limit + 1, *where.values)
        return _found(rows, limit, None)
    while (span := slices.slice()) is not None and len(rows) <= limit:
        if slices.is_out_of_time:
            return _found(rows, limit, slices.scanned_to)
        try:
            async with bounded(connection, slices.left_s):
                rows += await connection.fetch(statement, *span, call_id, limit + 1 - len(rows), *where.values)
        except asyncpg.QueryCanceledError:
            if slices.cut_off():
                continue
            if slices.has_seen:
                return _found(rows, limit, slices.scanned_to)
            raise
        slices.seen()
        call_id = ZERO
    return _found(rows, limit, None)


def page_statement(where: log_filter.Where, ascending: bool) -> str:
    """$1 and $2: the slice, $3: the call id at which it goes on, $4: how many rows."""
    range_, order, again = UP if ascending else DOWN
    return "\n".join((*PAGE, range_, where.sql, order, log_rows.OF_NAMES, again))


def _found(rows: list[Any], limit: int, scanned_to: datetime | None) -> Found:
    shown = [log_rows.to_row(row) for row in rows[:limit]]
    if len(rows) > limit:
        return Found(shown, Place(rows[limit - 1]["created_at"], rows[limit - 1]["call_id"]))
    return Found(shown, Place(scanned_to) if scanned_to else None, scanned_to)


async def count(
    connection: Connection, wanted: Filter, low: datetime, high: datetime, steps: int, budget_s: float
) -> Counted:
    """How many of [`low`, `high`) match a prepared filter, newest first until the time is up."""
    where = log_filter.where(wanted, 6)
    statement = "\n".join((COUNT, where.sql, "GROUP BY 1"))
    step_s = max(1e-6, (high - low).total_seconds() / steps)
    result = Counted(low, high, [0] * steps, [0] * steps)
    slices = Slices(low, high, False, budget_s)
    while (span := slices.slice()) is not None:
        if slices.is_out_of_time:
            result.is_whole = False
            break
        try:
            async with bounded(connection, slices.left_s, may_read_all=True):
                rows = await connection.fetch(statement, *span, low, step_s, steps, *where.values)
        except asyncpg.QueryCanceledError:
            if slices.cut_off():
                continue
            result.is_whole = False
            break
        slices.seen()
        for step, calls, errors in rows:
            result.calls[step] += calls
            result.errors[step] += errors
    return result


async def find(connection: Connection, wanted: str) -> Any | None:
    """The call with this request id or call id, over all time; the newest where a client used an id twice."""
    with contextlib.suppress(ValueError):
        row = await connection.fetchrow(BY_CALL_ID, UUID(wanted))
        if row is not None:
            return row
    return await connection.fetchrow(BY_REQUEST_ID, wanted)


async def trace_of(connection: Connection, trace_id: str) -> Trace | None:
    """What the calls of a trace came to; None where adding them up took too long."""
    try:
        async with bounded(connection, TRACE_BUDGET_S):
            row = await connection.fetchrow(OF_TRACE, trace_id, MOST_OF_TRACE)
    except asyncpg.QueryCanceledError:
        return None
    return Trace(
        id=trace_id, calls=row[0], errors=row[1], since=log_rows.iso(row[2]), until=log_rows.iso(row[3]), total_tokens=row[4],
        estimated_calls=row[5], cost_nusd=row[6], unpriced_calls=row[7], is_whole=row[0] < MOST_OF_TRACE,
    )  # fmt: skip


async def price_used(connection: Connection, price_id: str) -> PriceUsed | None:
    """The price a row was computed with; None where it has none of its own, such as a free model's."""
    row = await connection.fetchrow(PRICE, price_id)
    if row is None:
        return None
    return PriceUsed(
        id=row[0], input_nusd=row[1], cached_nusd=row[2], cache_write_nusd=row[3], output_nusd=row[4],
        valid_from=log_rows.iso(row[5]), source=row[6],
    )  # fmt: skip


def _instant(epoch_s: float) -> datetime:
    try:
        return datetime.fromtimestamp(epoch_s, UTC)
    except (OverflowError, ValueError, OSError):
        return FAR
