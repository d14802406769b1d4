"""The log of calls: pages, counts, single calls. Filters are evaluated by Postgres; a page never takes longer than its time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec

from gateway.admin import filter as grammar
from gateway.admin import log_route, payloads
from gateway.admin.desk import Ask, Nothing
from gateway.admin.paging import Limit, decode_cursor, encode_cursor
from gateway.admin.schema.logs import LogCount, LogDetail, LogPage
from gateway.errors import BadRequest, NotFound
from gateway.store import log_filter, log_rows, log_search, log_tail
from gateway.store.log_search import Place

PLAIN = ("project", "key", "status", "provider", "model", "tier", "since", "until")
STEPS = 60
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
COUNT_BUDGET_S = 0.2
COUNT_SPAN = timedelta(hours=24)
"""What a count without `since` looks at."""


class Wanted(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A filter in the grammar, plain parameters, or both: then both hold."""

    filter: str = ""
    project: str = ""
    key: str = ""
    status: str = ""
    provider: str = ""
    model: str = ""
    tier: str = ""
    since: str = ""
    until: str = ""


class DetailQuery(msgspec.Struct, forbid_unknown_fields=True):
    """`bodies=false` leaves captured bodies closed; opening them is written to the audit."""

    bodies: bool = True


class LogsQuery(Wanted, kw_only=True, forbid_unknown_fields=True):
    """`cursor`: the `next` of a page, or the id of a call: the list goes on behind it. `after` and `before` are ids of the tail's events:
    the rows between them, in the tail's order."""

    limit: Limit = 100
    cursor: str | None = None
    order: Literal["desc", "asc"] = "desc"
    after: str | None = None
    before: str | None = None


def read_filter(query: Wanted, now: float) -> log_filter.Filter:
    """Raises BadRequest that names the word."""
    plain = {name: value for name in PLAIN if (value := getattr(query, name))}
    return grammar.all_of([grammar.parse(query.filter, now), grammar.of_parameters(plain, now)])


async def index(ask: Ask[Nothing, LogsQuery]) -> LogPage:
    query = ask.query
    wanted = read_filter(query, ask.desk.clock())
    if query.after is not None or query.before is not None:
        return await _between(ask, wanted)
    place = await _place(ask, query.cursor)
    found = await log_search.search(ask.db, wanted, limit=query.limit, place=place, ascending=query.order == "asc")
    return LogPage(
        data=found.rows,
        next=encode_cursor(log_rows.iso(found.next.at), found.next.call_id.hex) if found.next else None,
        scanned_to=log_rows.iso(found.scanned_to) if found.scanned_to else None,
    )


async def _place(ask: Ask[Nothing, LogsQuery], cursor: str | None) -> Place | None:
    """Raises BadRequest for what is neither a page's `next` nor the id of a call."""
    if not cursor:
        return None
    try:
        at, call_id = decode_cursor(cursor, tuple[datetime, str])
        return Place(at, UUID(hex=call_id))
    except (BadRequest, ValueError):
        call = await log_search.find(ask.db, cursor) if _ID.fullmatch(cursor) else None
    if call is None:
        raise BadRequest(f"cursor: {cursor[:128]!r} is no `next` of this list and no call's id.", param="cursor")
    return Place(call["created_at"], call["call_id"])


async def _between(ask: Ask[Nothing, LogsQuery], wanted: log_filter.Filter) -> LogPage:
    """A gap of the tail, filled."""
    query = ask.query
    after = log_tail.read_position(query.cursor or query.after or "0.0")
    before = log_tail.read_position(query.before) if query.before else None
    if after is None or (query.before and before is None):
        raise BadRequest("after and before are ids of the tail's events, such as 1234.5678.", param="after")
    with log_search.told_plainly():
        async with log_search.bounded(ask.db, log_search.SLOWEST_S):
            resolved = await log_filter.resolve(ask.db, wanted)
            page = await log_tail.read(ask.db, resolved, after, before, query.limit)
    return LogPage(data=[row for _, row in page.rows], next=str(page.rows[-1][0]) if page.is_full else None)


async def count(ask: Ask[Nothing, Wanted]) -> LogCount:
    """What matches, and what there is in the same range without the filter; each within its time."""
    wanted = read_filter(ask.query, ask.desk.clock())
    now = datetime.now(UTC)
    with log_search.told_plainly():
        resolved, low, high = await log_search.prepare(ask.db, wanted)
        high = min(high, now) if high > now else high
        if wanted.since is None:
            low = max(low, high - COUNT_SPAN)
        else:
            low = min(high, datetime.fromtimestamp(wanted.since, UTC)) if wanted.since > 0 else low
        nothing = log_filter.Filter()
        total = await log_search.count(ask.db, nothing, low, high, STEPS, COUNT_BUDGET_S)
        matched = total
        if resolved.conditions:
            matched = await log_search.count(ask.db, resolved, low, high, STEPS, COUNT_BUDGET_S)
    return LogCount(
        matched=sum(matched.calls),
        total=max(sum(total.calls), sum(matched.calls)),
        since=log_rows.iso(low),
        until=log_rows.iso(high),
        series=[float(value) for value in matched.calls],
        error_series=[float(value) for value in matched.errors],
        truncated=not (total.is_whole and matched.is_whole),
    )


async def detail(ask: Ask[Nothing, DetailQuery]) -> LogDetail:
    """By the client's request id or by our call id."""
    wanted = ask.path["request_id"]
    row = await log_search.find(ask.db, wanted)
    if row is None:
        raise NotFound(
            f"There is no call {wanted[:128]!r} in the log: its id is wrong, or its day has been dropped by retention."
        )
    found = LogDetail(**log_rows.fields(row))
    found.price = await log_search.price_used(ask.db, row["price_id"]) if row["price_id"] else None
    found.trace = await log_search.trace_of(ask.db, found.trace_id) if found.trace_id else None
    found.cache_write_tokens = row["cache_write_tokens"]
    found.worker_id = row["worker_id"]
    found.details = _details(row["details"])
    found.route = log_route.route_of(found, found.details or {})
    log_route.price(found, ask.desk.catalog.models, row["created_at"].timestamp(), ask.desk.clock())
    outcome = (found.details or {}).get("capture")
    if ask.query.bodies:
        found.request_body, found.response_body = await payloads.bodies(
            ask, row["project_id"], row["created_at"], row["call_id"], outcome
        )
    return found


def _details(text: str | None) -> dict[str, Any] | None:
    return msgspec.json.decode(text, type=dict[str, Any]) if text else None
