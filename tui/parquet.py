"""Calls as a Parquet file, for `optyx logs export --format parquet`: typed columns in row groups, written as the pages come.

Needs pyarrow (`optyx[parquet]`). A file without its footer can't be read by anybody: one that was broken off is removed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from gateway.admin.schema.logs import LogRow
from tui.exporting import Row, created
from tui.faults import USAGE, Fault, usage

GROUP = 64
"""Pages of a thousand rows that make a row group: about 30 MB in memory, and large enough to be skipped by its statistics."""


@contextmanager
def opened(out: str) -> Iterator[Calls]:
    """To a new file, or to stdout. Raises Fault."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise Fault(
            "--format parquet needs pyarrow, which is not installed", exit=USAGE, code="needs_pyarrow",
            hint="pipx inject optyx pyarrow, or pip install 'optyx[parquet]' (55 MB)",
        ) from None  # fmt: skip
    if not out and sys.stdout.isatty():
        raise usage("a Parquet file is nothing for a terminal", "--out FILE, or a pipe")
    with open(created(out), "wb") if out else os.fdopen(os.dup(sys.stdout.fileno()), "wb") as file:
        calls = Calls(pyarrow, file)
        try:
            yield calls
            calls.close()
        except BaseException:
            calls.abandon()
            if out:
                os.unlink(out)
            raise


class Calls:
    """Memory holds one row group at most."""

    def __init__(self, arrow: Any, file: Any) -> None:
        self._arrow = arrow
        hints = get_type_hints(LogRow)
        self._times = [name for name in hints if name.endswith("_at")]
        self._schema = arrow.schema([*_columns(arrow, hints), ("cost_usd", arrow.decimal128(20, 9))])
        self._writer = arrow.parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._group: list[Any] = []

    def write(self, rows: list[Row]) -> None:
        try:
            self._group.append(self._arrow.Table.from_pylist([self._typed(row) for row in rows], self._schema))
        except (self._arrow.ArrowException, ValueError, TypeError) as error:
            raise Fault(
                f"the gateway answered in a shape this version does not know: {error}", code="unexpected_answer"
            ) from None
        if len(self._group) == GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def abandon(self) -> None:
        """Without this the writer's own `__del__` would write a footer, to a file that is closed by then."""
        self._writer.is_open = False

    def _flush(self) -> None:
        if self._group:
            self._writer.write_table(self._arrow.concat_tables(self._group))
            self._group = []

    def _typed(self, row: Row) -> Row:
        cost = row.get("cost_nusd")
        times = {name: datetime.fromisoformat(row[name]) for name in self._times if row.get(name)}
        return {**row, **times, "cost_usd": None if cost is None else Decimal(cost).scaleb(-9)}


def _columns(arrow: Any, hints: dict[str, Any]) -> list[Any]:
    """Of a struct of the admin API; fields that a newer gateway adds are left out, and what an older one lacks is null."""
    return [
        (name, arrow.timestamp("us", "UTC") if name.endswith("_at") else _kind(arrow, hint))
        for name, hint in hints.items()
    ]


def _kind(arrow: Any, hint: Any) -> Any:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return arrow.struct(_columns(arrow, get_type_hints(hint)))
    if get_origin(hint) is list:
        return arrow.list_(_kind(arrow, get_args(hint)[0]))
    options = [one for one in get_args(hint) if one is not type(None)]
    if options:
        return _kind(arrow, options[0])
    return {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}[hint]
