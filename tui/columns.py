"""What a table shows of a record: a heading and the path of its value, with the form it has for people.

A path is `name`, `a.b`, or `.` for all of it. Records stay as the gateway gave them; only tables turn numbers into words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from tui import figures

Show = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Column:
    """`wide`: only in `-o wide`. `right`: numbers. `wide_show`: its form there (absolute times)."""

    heading: str
    path: str
    show: Show | None = None
    wide: bool = False
    right: bool = False
    wide_show: Show | None = None
    is_state: bool = False

    def text(self, record: Mapping[str, Any], is_wide: bool) -> str:
        value = pick(record, self.path)
        shown = self.wide_show if is_wide and self.wide_show else self.show
        return shown(value) if shown else words(value)


def pick(record: Any, path: str) -> Any:
    """The value at `a.b.0.c`, the record itself at `.`; None where there is nothing."""
    if path == ".":
        return record
    for part in path.split("."):
        if isinstance(record, Mapping):
            record = record.get(part)
        elif isinstance(record, list) and part.isdigit():
            record = record[int(part)] if int(part) < len(record) else None
        else:
            return None
    return record


def words(value: Any) -> str:
    """Any value in a cell: nothing is an en dash, lists are comma-separated."""
    if value is None or value == "" or value == []:
        return figures.NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if isinstance(value, list):
        return ",".join(words(one) for one in value)
    if isinstance(value, Mapping):
        return " ".join(f"{name}={words(one)}" for name, one in value.items() if one is not None)
    return str(value)


Zone = tzinfo | None
ZONE: list[Callable[[], Zone]] = [lambda: UTC]
"""In which zone absolute times are written, None for this machine's; set once from --tz, and asked for where a time is shown."""


def absolute(text: str | None) -> str:
    at = figures.parsed(text)
    if at is None:
        return figures.NONE
    at = at.astimezone(ZONE[0]())
    return f"{at:%Y-%m-%d %H:%M:%S}" + ("Z" if at.utcoffset() == datetime.now(UTC).utcoffset() else f"{at:%z}")


def time_of_day(text: str) -> str:
    """`12:04:28.114` of an ISO time of the gateway's, in the zone that was asked for."""
    zone = ZONE[0]()
    if zone is UTC:
        return figures.time_of_day(text)  # for every row of a tail: cut out and not read
    at = figures.parsed(text)
    return figures.NONE if at is None else f"{at.astimezone(zone):%H:%M:%S.%f}"[:12]


def ago(heading: str, path: str, wide: bool = False, never: str = "never") -> Column:
    return Column(heading, path, lambda text: figures.ago(text, never), wide, wide_show=_at(never))


def until(heading: str, path: str, wide: bool = False) -> Column:
    return Column(heading, path, figures.until, wide, wide_show=_at("never"))


def _at(never: str) -> Show:
    return lambda text: absolute(text) if text else never


def money(heading: str, path: str, wide: bool = False) -> Column:
    return Column(heading, path, figures.dollars, wide, right=True)


def number(heading: str, path: str, show: Show | None = None, wide: bool = False) -> Column:
    return Column(heading, path, show, wide, right=True)


def state(heading: str, path: str) -> Column:
    return Column(heading, path, is_state=True)


def models(heading: str, wide: bool = False) -> Column:
    """An allow-list; where there is none, all are allowed, and where it is empty, none."""
    return Column(heading, "allowed_models", allowed, wide)


def allowed(names: Sequence[str] | None) -> str:
    return "all" if names is None else ",".join(names) or "none"


def addresses(heading: str, wide: bool = False) -> Column:
    """The networks that a key may be used from; none means everywhere."""
    return Column(heading, "allowed_addresses", lambda cidrs: "everywhere" if cidrs is None else ",".join(cidrs), wide)
