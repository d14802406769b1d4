"""Usage reports: calls, tokens and money by whom or by when, in the reporting zone. The rows always add up to the total."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import asyncpg
import msgspec

from gateway.admin import filter as grammar
from gateway.admin import schema as s
from gateway.admin.desk import Ask, Nothing
from gateway.errors import BadRequest, NotFound
from gateway.store import log_filter, log_search, orgs, usage
from gateway.store.log_rows import iso
from gateway.store.pool import Connection

GROUPS = ("project", "key", "model", "provider", "tier", "user", "tag", "endpoint", "hour", "day", "month")
TIMES = ("hour", "day", "month")
MOST_ROWS = 1_000
LONGEST_S = 20.0
THE_REST = "(the rest)"


class UsageQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`since` and `until` as in a filter; dates are days of the zone. `group_by=tag:NAME` takes that tag's values."""

    group_by: str = "project"
    since: str = ""
    until: str = ""
    timezone: str = ""
    project: str = ""
    key: str = ""


async def report(ask: Ask[Nothing, UsageQuery]) -> s.Usage:
    """From the first of the month until now where no time is given."""
    query = ask.query
    by, _, tag = query.group_by.partition(":")
    if by not in GROUPS or (tag and by != "tag"):
        raise BadRequest(
            f"group_by is one of {', '.join(GROUPS)} or tag:NAME, not {query.group_by[:60]!r}.", param="group_by"
        )
    zone = await zone_of(ask.db, ask.who.user_id, query.timezone)
    since, until = _range(query, zone, ask.desk.clock())
    project_id, key_id = await _one(ask.db, "project", query.project), await _one(ask.db, "key", query.key)
    try:
        async with log_search.bounded(ask.db, LONGEST_S, may_read_all=True):
            found = await usage.sums(
                ask.db,
                "time" if by in TIMES else by,  # type: ignore[arg-type]  # GROUPS has been looked at
                since,
                until,
                project_id=project_id,
                key_id=key_id,
                tag=tag,
                rows_only=by in TIMES and not _has_whole_hours(zone, since, until),
            )
            names = await usage.names(ask.db, by, list(found))
    except asyncpg.QueryCanceledError:
        raise BadRequest(
            f"This report takes longer than {LONGEST_S:.0f} s: ask for a shorter time.", param="since"
        ) from None
    rows = _by_time(found, by, zone) if by in TIMES else _by_cost(found, names)
    return s.Usage(
        group_by=query.group_by, since=iso(since), until=iso(until), timezone=zone.key, data=rows,
        total=_row("total", "", _total(found.values())),
    )  # fmt: skip


async def zone_of(connection: Connection, user_id: str | None, name: str = "") -> ZoneInfo:
    """The zone that was asked for, else the org's. Raises BadRequest for a name that is none."""
    if not name:
        org = await orgs.of_user(connection, user_id)
        name = org.timezone if org else "UTC"
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadRequest(
            f"timezone: there is no zone {name[:60]!r}; say one such as Europe/Berlin.", param="timezone"
        ) from None


def _range(query: UsageQuery, zone: ZoneInfo, now: float) -> tuple[datetime, datetime]:
    here = datetime.fromtimestamp(now, zone)
    month = here.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    since = _moment(query.since, "since", zone, now) if query.since else month.astimezone(UTC)
    until = _moment(query.until, "until", zone, now) if query.until else datetime.fromtimestamp(now, UTC)
    if until <= since:
        raise BadRequest("until must be later than since.", param="until")
    return since, until


def _moment(text: str, name: str, zone: ZoneInfo, now: float) -> datetime:
    """A date without a zone is in the reporting zone."""
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromtimestamp(grammar.read_time(text, now, f"{name}={text}"), UTC)
    return (local if local.tzinfo else local.replace(tzinfo=zone)).astimezone(UTC)


async def _one(connection: Connection, field: str, value: str) -> str | None:
    """The id of a project or key by id, slug or name. Raises NotFound, and BadRequest when several have the name."""
    if not value:
        return None
    term = await log_filter.resolve_term(connection, log_filter.Term(field, "=", value))
    if term.op == "=":
        return str(term.value)
    if not term.value:
        raise NotFound(f"There is no {field} {value[:60]!r}.", param=field)
    raise BadRequest(f"{len(term.value)} {field}s are called {value[:60]!r}; say the id.", param=field)


def _has_whole_hours(zone: ZoneInfo, since: datetime, until: datetime) -> bool:
    """Every day of the range begins with an hour of UTC, so that hourly sums can be put together to days."""
    days = (until - since).days + 2
    moments = (since + timedelta(days=n) for n in range(-1, days))
    return all((at.astimezone(zone).utcoffset() or timedelta()) % usage.HOUR == timedelta() for at in moments)


def _by_time(found: dict[str, usage.Sums], by: str, zone: ZoneInfo) -> list[s.UsageRow]:
    """Oldest first; a step is named as the zone's calendar has it, and by the moment at which it begins."""
    steps: dict[datetime, usage.Sums] = {}
    for epoch, sums in found.items():
        local = datetime.fromtimestamp(int(epoch), zone)
        if by == "hour":
            begin = local.replace(minute=0)
        else:
            day = local.day if by == "day" else 1
            begin = local.replace(day=day, hour=0, minute=0, fold=0)
        steps.setdefault(begin.astimezone(UTC), usage.Sums()).add(sums)
    return [_row(_label(at.astimezone(zone), by), iso(at), steps[at]) for at in sorted(steps)]


def _label(at: datetime, by: str) -> str:
    return at.strftime({"hour": "%Y-%m-%d %H:%M%z", "day": "%Y-%m-%d", "month": "%Y-%m"}[by])


def _by_cost(found: dict[str, usage.Sums], names: dict[str, str]) -> list[s.UsageRow]:
    """The dearest first; what is beyond the longest list is one row, so that the sum stays the sum."""
    order = sorted(found, key=lambda group: (-found[group].cost_nusd, -found[group].requests, group))
    rows = [_row(names.get(group, group), group, found[group]) for group in order[:MOST_ROWS]]
    rest = order[MOST_ROWS:]
    return [*rows, _row(THE_REST, "", _total(found[group] for group in rest))] if rest else rows


def _total(parts: Iterable[usage.Sums]) -> usage.Sums:
    total = usage.Sums()
    for part in parts:
        total.add(part)
    return total


def _row(group: str, group_id: str, sums: usage.Sums) -> s.UsageRow:
    return s.UsageRow(group=group, group_id=group_id, **msgspec.structs.asdict(sums))
