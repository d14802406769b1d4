"""Usage reports: calls, tokens and money by whom or by when, in the reporting zone. The rows always add up to the total."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import asyncpg
import msgspec

from gateway.admin import filter as grammar
from gateway.admin.desk import Ask, Nothing
from gateway.admin.finding import id_of
from gateway.admin.schema.usage import Usage, UsageRow
from gateway.errors import BadRequest
from gateway.store import log_search, orgs, usage
from gateway.store.log_rows import iso
from gateway.store.pool import Connection

GROUPS = ("project", "key", "model", "provider", "tier", "user", "tag", "endpoint", "hour", "day", "month")
TIMES = frozenset(("hour", "day", "month"))
MOST_ROWS = 1_000
MOST_STEPS = 20_000
"""Of a report by time: two years of hours."""
BETWEEN = " · "
LONGEST_S = 20.0
THE_REST = "(the rest)"


class UsageQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`since` and `until` as in a filter; dates are days of the zone. `group_by` takes several with commas, of times and tags one;
    `tag:NAME` takes that tag's values."""

    group_by: str = "project"
    since: str = ""
    until: str = ""
    timezone: str = ""
    project: str = ""
    key: str = ""


async def report(ask: Ask[Nothing, UsageQuery]) -> Usage:
    """From the first of the month until now where no time is given."""
    query = ask.query
    wanted, tag = _groups(query.group_by)
    zone = await zone_of(ask.db, ask.who.user_id, query.timezone)
    since, until = _range(query, zone, ask.desk.clock())
    project_id, key_id = await id_of(ask.db, "project", query.project), await id_of(ask.db, "key", query.key)
    try:
        async with log_search.bounded(ask.db, LONGEST_S, may_read_all=True):
            found = await usage.sums_by(
                ask.db,
                ["time" if by in TIMES else by for by in wanted],  # type: ignore[misc]  # _groups has looked at them
                since,
                until,
                project_id=project_id,
                key_id=key_id,
                tag=tag,
                rows_only=not TIMES.isdisjoint(wanted) and not _has_whole_hours(zone, since, until),
                days_of="" if "hour" in wanted else zone.key,
            )
            shown, rest = _in_order(found, wanted, zone)
            names = {
                by: await usage.names(ask.db, by, {ids[place] for ids in shown}) for place, by in enumerate(wanted)
            }
    except asyncpg.QueryCanceledError:
        raise BadRequest(
            f"This report takes longer than {LONGEST_S:.0f} s: ask for a shorter time.", param="since"
        ) from None
    data = [_row(_labels(ids, wanted, names, zone), ids, sums, wanted) for ids, sums in shown.items()]
    if rest:
        data.append(_row((THE_REST,), ("",), _total(rest), wanted))
    return Usage(
        group_by=query.group_by, since=iso(since), until=iso(until), timezone=zone.key, data=data,
        total=_row(("total",), ("",), _total(found.values()), wanted),
    )  # fmt: skip


def _groups(text: str) -> tuple[list[str], str]:
    """What to group by, in order, and the name of the tag whose values are meant. Raises BadRequest."""
    wanted: list[str] = []
    name = ""
    for one in text.split(","):
        by, _, tag = one.partition(":")
        if by not in GROUPS or (tag and by != "tag"):
            raise BadRequest(
                f"group_by is one or more of {', '.join(GROUPS)} or tag:NAME, not {one[:60]!r}.", param="group_by"
            )
        wanted.append(by)
        name = tag or name
    if len(set(wanted)) < len(wanted) or len(TIMES & set(wanted)) > 1:
        raise BadRequest("group_by names each group once, and one of hour, day and month.", param="group_by")
    return wanted, name


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


def _has_whole_hours(zone: ZoneInfo, since: datetime, until: datetime) -> bool:
    """Every day of the range begins with an hour of UTC, so that hourly sums can be put together to days."""
    days = (until - since).days + 2
    moments = (since + timedelta(days=n) for n in range(-1, days))
    return all((at.astimezone(zone).utcoffset() or timedelta()) % usage.HOUR == timedelta() for at in moments)


Found = dict[tuple[str, ...], usage.Sums]


def _in_order(found: Found, wanted: list[str], zone: ZoneInfo) -> tuple[Found, list[usage.Sums]]:
    """Oldest first where time is among the groups, then the dearest first; and what is beyond the longest list: one row, so that the sum
    stays the sum."""
    when = next((place for place, by in enumerate(wanted) if by in TIMES), None)
    if when is not None:
        found = _in_steps(found, when, wanted[when], zone)
    order = sorted(
        found,
        key=lambda ids: ("" if when is None else ids[when], -found[ids].cost_nusd, -found[ids].requests, ids),
    )
    most = MOST_ROWS if when is None else MOST_STEPS
    return {ids: found[ids] for ids in order[:most]}, [found[ids] for ids in order[most:]]


def _in_steps(found: Found, place: int, by: str, zone: ZoneInfo) -> Found:
    """Hours and quarters put together: a step is the moment at which the hour, day or month of the zone's calendar begins."""
    steps: Found = {}
    for ids, sums in found.items():
        local = datetime.fromtimestamp(int(ids[place]), zone)
        midnight = local.replace(hour=0, minute=0, fold=0)
        begin = {"hour": local.replace(minute=0), "day": midnight, "month": midnight.replace(day=1)}[by]
        step = (*ids[:place], iso(begin.astimezone(UTC)), *ids[place + 1 :])
        steps.setdefault(step, usage.Sums()).add(sums)
    return steps


def _labels(ids: tuple[str, ...], wanted: list[str], names: dict[str, dict[str, str]], zone: ZoneInfo) -> list[str]:
    return [
        _label(datetime.fromisoformat(one).astimezone(zone), by) if by in TIMES else names[by].get(one, one)
        for one, by in zip(ids, wanted, strict=True)
    ]


def _label(at: datetime, by: str) -> str:
    return at.strftime({"hour": "%Y-%m-%d %H:%M%z", "day": "%Y-%m-%d", "month": "%Y-%m"}[by])


def _total(parts: Iterable[usage.Sums]) -> usage.Sums:
    total = usage.Sums()
    for part in parts:
        total.add(part)
    return total


def _row(labels: Sequence[str], ids: Sequence[str], sums: usage.Sums, wanted: Iterable[str]) -> UsageRow:
    return UsageRow(
        group=BETWEEN.join(labels),
        group_id=BETWEEN.join(ids),
        groups=dict(zip(wanted, labels, strict=False)),
        **msgspec.structs.asdict(sums),
    )
