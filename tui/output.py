"""Results on stdout, in the form that was asked for: the same text in a pipe and on a terminal, but for colour and cutting to its width.

Money in JSON, YAML and CSV is there twice: `…_nusd`, the integer the books are kept in, and `…_usd`, a decimal string.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from string import Formatter
from typing import Any

import msgspec

from tui.columns import Column, pick, words
from tui.ending import tell
from tui.faults import usage
from tui.flags import Flags
from tui.safe import OBEYED, ascii_only, cells, cut, escaped, visible, visible_lines

Record = Mapping[str, Any]
COLOURS = {
    "ok": "32", "active": "32", "enabled": "32", "closed": "32", "live": "32", "applied": "32", "yes": "32",
    "unused": "36", "grace": "33", "degraded": "33", "warning": "33", "half_open": "33", "expired": "33", "disabled": "33",
    "archived": "33", "error": "31", "failed": "31", "open": "31", "revoked": "31", "down": "31", "MISSING": "31",
}  # fmt: skip


def with_dollars(value: Any) -> Any:
    """Beside every integer `x_nusd` a decimal string `x_usd`."""
    if isinstance(value, list):
        return [with_dollars(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    made: dict[str, Any] = {}
    for name, one in value.items():
        made[name] = with_dollars(one)
        if name.endswith("_nusd") and f"{name[:-5]}_usd" not in value:
            made[f"{name[:-5]}_usd"] = decimal(one) if isinstance(one, int) else None
    return made


def decimal(nusd: int) -> str:
    """Nano-USD as dollars with up to nine decimals, at least two."""
    whole, rest = divmod(abs(nusd), 1_000_000_000)
    places = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nusd < 0 else ''}{whole}.{places}"


class Output:
    """Writes to stdout. `is_terminal` decides colour and cutting, and nothing else."""

    def __init__(self, flags: Flags, is_colored: bool, is_terminal: bool) -> None:
        self.flags, self.is_colored, self.is_terminal = flags, is_colored, is_terminal
        self.format = flags.output
        self.is_wide = flags.output == "wide"

    @property
    def is_for_people(self) -> bool:
        return self.format in ("table", "wide")

    def write(self, text: str) -> None:
        """One line or many, with the line's end."""
        sys.stdout.write((ascii_only(text) if self.flags.ascii else text) + "\n")

    def line(self, text: str) -> None:
        """One line, with nothing in it that a terminal would obey."""
        self.write(visible(text))

    def text(self, text: str) -> None:
        """Text of several lines: as it is to a pipe, made safe for a terminal."""
        self.write(visible_lines(text) if self.is_terminal else text)

    def rows(self, records: Sequence[Record], columns: Sequence[Column], name: str = "id", empty: str = "") -> None:
        """A list. `name`: the field that `-o name` prints."""
        records = self._sorted(records)
        self._require_fields(records)
        if self.format == "json":
            self.write(_json([self._selected(one) for one in records]))
        elif self.format == "ndjson":
            for one in records:
                self.write(escaped(msgspec.json.encode(self._selected(one)).decode()))
        elif self.format == "yaml":
            self.write(_yaml([self._selected(one) for one in records]))
        elif self.format == "csv":
            self._csv([self._selected(one) for one in records])
        elif self.format == "name":
            for one in records:
                self.write(visible(words(pick(one, name))))
        elif self.format.startswith("template="):
            for one in records:
                self.write(templated(self.format[9:], with_dollars(one)))
        elif self.flags.accessible:
            self._blocks(records, self._columns(columns))
        else:
            self._table(records, self._columns(columns))
        if not records and self.is_for_people and empty:
            note(empty, self.flags)

    def growing(self, records: Iterable[Record], columns: Sequence[Column], widest: Record, name: str = "id") -> None:
        """A list whose records come one after the other, each shown when it is there, but where the form wants all of them at once: one
        document, or sorted. `widest`: the longest values to expect, for the columns of a table."""
        if self.format in ("json", "yaml", "csv") or self.flags.sort_by or self.flags.reverse:
            self.rows(list(records), columns, name)
            return
        is_table = self.is_for_people and not self.flags.accessible
        shown = self._columns(columns)
        widths = [max(cells(one.heading), cells(visible(words(pick(widest, one.path))))) for one in shown]
        for number, record in enumerate(records):
            if is_table:
                self._require_fields([record])
                if not number and not self.flags.no_headers:  # not before: where all is refused, stdout stays empty
                    self._table_line([one.heading for one in shown], shown, widths, is_heading=True)
                self._table_line([visible(one.text(record, self.is_wide)) for one in shown], shown, widths)
            else:
                if number and self.is_for_people:
                    self.write("")
                self.rows([record], columns, name)
            sys.stdout.flush()

    def one(self, record: Record, columns: Sequence[Column], name: str = "id") -> None:
        """A single record: a list of `label  value` for people, a document otherwise."""
        self._require_fields([record])
        if self.format == "json":
            self.write(_json(self._selected(record)))
        elif self.format == "yaml":
            self.write(_yaml(self._selected(record)))
        elif self.is_for_people:
            self._blocks([record], [one for one in self._columns(columns) if one.path])
        else:
            self.rows([record], columns, name)

    def document(self, value: Any) -> None:
        """What has no table: JSON or YAML."""
        self.plain_document(with_dollars(value))

    def plain_document(self, value: Any) -> None:
        """As it is: what is read back must be what was written."""
        self.write(_yaml(value) if self.format in ("yaml", "table", "wide") else _json(value))

    def _selected(self, record: Record) -> Any:
        whole = with_dollars(record)
        if not self.flags.fields:
            return whole
        return {path: pick(whole, path) for path in self.flags.fields.split(",")}

    def _require_fields(self, records: Sequence[Record]) -> None:
        """A field that no record has is a slip of the keyboard: nothing but nulls would come of it."""
        if not self.flags.fields or not records:
            return
        wholes = [with_dollars(one) for one in records]
        for path in self.flags.fields.split(","):
            if path != "." and not any(_has(one, path) for one in wholes):
                raise usage(f"--fields {path}: there is no such field", f"there are {', '.join(wholes[0])}")

    def _sorted(self, records: Sequence[Record]) -> Sequence[Record]:
        path = self.flags.sort_by
        if path:
            if records and not any(_has(one, path) for one in records):
                raise usage(f"--sort-by {path}: there is no such field", f"there are {', '.join(records[0])}")
            records = sorted(records, key=lambda one: _order(pick(one, path)))
        return list(reversed(records)) if self.flags.reverse else records

    def _columns(self, columns: Sequence[Column]) -> list[Column]:
        if self.flags.fields:
            by_path = {one.path: one for one in columns}
            return [by_path.get(path) or Column(path.upper(), path) for path in self.flags.fields.split(",")]
        return [one for one in columns if self.is_wide or not one.wide]

    def _table(self, records: Sequence[Record], columns: Sequence[Column]) -> None:
        grid = [[visible(one.text(record, self.is_wide)) for one in columns] for record in records]
        lines = grid if self.flags.no_headers else [[one.heading for one in columns], *grid]
        if not records and self.flags.no_headers:
            return
        widths = [max((cells(line[index]) for line in lines), default=0) for index in range(len(columns))]
        for number, line in enumerate(lines):
            self._table_line(line, columns, widths, is_heading=number == 0 and not self.flags.no_headers)

    def _table_line(
        self, line: list[str], columns: Sequence[Column], widths: Sequence[int], *, is_heading: bool = False
    ) -> None:
        room = _terminal_width() if self.is_terminal and not self.is_wide else 0
        text = "  ".join(_padded(cell, widths[index], columns[index].right) for index, cell in enumerate(line)).rstrip()
        self.write(self._painted(cut(text, room) if room else text, line, columns, is_heading))

    def _painted(self, text: str, line: list[str], columns: Sequence[Column], is_heading: bool) -> str:
        if not self.is_colored:
            return text
        if is_heading:
            return f"\x1b[1m{text}\x1b[0m"
        for column, cell in zip(columns, line, strict=True):
            colour = COLOURS.get(cell) if column.is_state else None
            if colour:
                text = text.replace(cell, f"\x1b[{colour}m{cell}\x1b[0m", 1)
        return text

    def _blocks(self, records: Sequence[Record], columns: Sequence[Column]) -> None:
        wide = 0 if self.flags.accessible else max((cells(one.heading) for one in columns), default=0) + 1
        for number, record in enumerate(records):
            if number:
                self.write("")
            for one in columns:
                label = one.heading.lower().capitalize() + ":"
                self.write(f"{label.ljust(wide)} {visible(one.text(record, True))}")

    def _csv(self, records: Sequence[Mapping[str, Any]]) -> None:
        import csv

        from tui.export import cell

        names = list(dict.fromkeys(name for one in records for name in one))
        writer = csv.writer(sys.stdout, lineterminator="\r\n")
        if names and not self.flags.no_headers:
            writer.writerow(names)
        for one in records:
            writer.writerow([cell(one.get(name)) for name in names])


def _has(record: Any, path: str) -> bool:
    first, _, rest = path.partition(".")
    return (
        isinstance(record, Mapping)
        and first in record
        and (not rest or _has(record[first], rest) or record[first] is None)
    )


def _order(value: Any) -> tuple[int, float, str]:
    """Nothing first, then numbers, then text."""
    if value is None:
        return (0, 0.0, "")
    return (1, float(value), "") if isinstance(value, int | float) else (2, 0.0, str(value))


def _padded(text: str, width: int, is_right: bool) -> str:
    room = " " * (width - cells(text))
    return room + text if is_right else text + room


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return 0


def _json(value: Any) -> str:
    return escaped(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _yaml(value: Any) -> str:
    import yaml

    document = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    if OBEYED.search(document):
        document = yaml.safe_dump(value, sort_keys=False)
    return document.rstrip("\n")


class _Fields(Formatter):
    """Names and formats, but no attributes and no indexes of Python objects."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, str]:
        return words(pick(kwargs, field_name)), field_name


def templated(template: str, record: Record) -> str:
    """`{name} {status}` out of a record; `{a.b}` goes into it. Raises Fault."""
    try:
        return visible(_Fields().vformat(template.replace("\\t", "\t"), (), record)).replace("␉", "\t")
    except (ValueError, KeyError, IndexError) as error:
        raise usage(f"the template can't be used: {error}", "fields stand in braces: template='{id} {name}'") from None


def note(text: str, flags: Flags) -> None:
    """Talk, on stderr."""
    if not flags.quiet:
        say(text, flags)


def say(text: str, flags: Flags) -> None:
    line = visible(text)
    tell(ascii_only(line) if flags.ascii else line)


def lines(texts: Iterable[str]) -> str:
    return "\n".join(texts)
