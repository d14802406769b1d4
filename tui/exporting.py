"""`optyx logs export` and `optyx audit export`: every page, oldest first, to stdout or a file that can be resumed after a break."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TextIO

import msgspec

from tui.export import cell
from tui.faults import Fault, usage
from tui.invocation import Invocation
from tui.output import with_dollars
from tui.progress import Progress

PAGE = 1000
Row = dict[str, Any]


class Sink(Protocol):
    def write(self, rows: list[Row]) -> None: ...


class Mark(msgspec.Struct):
    """How far a file has come: where the gateway goes on, what is in the file until there, and what was asked for."""

    cursor: str
    bytes: int
    asked: str


class Text:
    """CSV or one JSON object a line. `is_begun`: the file has its heading already."""

    def __init__(self, file: TextIO, form: str, is_begun: bool) -> None:
        self._file, self._form, self._is_begun = file, form, is_begun
        self._csv = csv.writer(file)

    def write(self, rows: list[Row]) -> None:
        if self._form == "csv":
            whole = [with_dollars(row) for row in rows]
            if rows and not self._is_begun:
                self._csv.writerow(list(whole[0]))
            self._csv.writerows([cell(value) for value in row.values()] for row in whole)
        else:
            self._file.writelines(msgspec.json.encode(row).decode() + "\n" for row in rows)
        self._is_begun = self._is_begun or bool(rows)
        self._file.flush()


def export_calls(run: Invocation, text: str, form: str, out: str, resume: bool) -> int:
    """How many were written now. Raises Fault."""
    query = {"filter": text, "order": "asc"}
    if form != "parquet":
        return export(run, "/logs", query, form, out, resume)
    from tui import parquet

    if resume:
        raise usage(
            "--resume is for ndjson and csv: a Parquet file is whole or worth nothing",
            "export it anew, or by the day: --since 2026-11-24 --until 2026-11-25",
        )
    with parquet.opened(out) as sink, closing(pages(run, "/logs", query, "")) as found:
        return sum(_written(sink, rows) for rows, _ in found)


def export(run: Invocation, path: str, query: dict[str, Any], form: str, out: str, resume: bool) -> int:
    """How many were written now. Beside a file stands `FILE.cursor` until it is whole: what --resume goes on from."""
    mark = Path(out + ".cursor") if out else None
    asked = " ".join((path, form, str(query.get("filter", ""))))
    begun = _resumed(mark, asked) if resume else None
    written = 0
    with _opened(out, begun) as file, closing(pages(run, path, query, begun.cursor if begun else "")) as found:
        sink = Text(file, form, begun is not None)
        for rows, cursor in found:
            written += _written(sink, rows)
            if mark is not None and cursor:
                _keep(mark, Mark(cursor, os.fstat(file.fileno()).st_size, asked))
    if mark is not None:
        mark.unlink(missing_ok=True)
    return written


def pages(run: Invocation, path: str, query: dict[str, Any], cursor: str) -> Generator[tuple[list[Row], str]]:
    """The rows of each page, and the cursor behind them: empty at the end. Says meanwhile how far it is."""
    progress, count = Progress(run.flags), 0
    try:
        while True:
            page = run.get(path, **query, limit=PAGE, cursor=cursor)
            cursor = page.get("next") or ""
            yield page["data"], cursor
            if not cursor:
                return
            count += len(page["data"])
            progress.tell(f"{count:,} so far")
    finally:
        progress.end()


def _written(sink: Sink, rows: list[Row]) -> int:
    sink.write(rows)
    return len(rows)


def _keep(path: Path, mark: Mark) -> None:
    """At once or not at all: a mark that was cut off would be none."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(msgspec.json.encode(mark))
    os.replace(new, path)


def _resumed(path: Path | None, asked: str) -> Mark:
    if path is None:
        raise usage("--resume goes on with a file: name it with --out")
    try:
        mark = msgspec.json.decode(path.read_bytes(), type=Mark)
    except FileNotFoundError:
        raise Fault(
            f"there is nothing to resume: {path} is not there", exit=5, code="not_found", hint="leave --resume out"
        ) from None
    except msgspec.DecodeError:
        raise usage(f"{path} is no mark of an export", "export to a new file") from None
    if mark.asked != asked:
        raise usage(
            f"that file was begun with another filter or format ({mark.asked})", "repeat those, or export to a new file"
        )
    return mark


@contextmanager
def _opened(out: str, begun: Mark | None) -> Iterator[TextIO]:
    """A new file, or one that goes on where its mark says: what a break left behind that is cut off."""
    if not out:
        yield sys.stdout
        return
    with open(created(out) if begun is None else _existing(out), "a", encoding="utf-8", newline="") as file:
        if begun is not None:
            file.truncate(begun.bytes)
        yield file


def created(out: str) -> int:
    """A new file (0600), open for writing. Raises Fault where there is one."""
    try:
        return os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    except FileExistsError:
        is_begun = Path(out + ".cursor").exists()
        hint = "--resume goes on with it" if is_begun else "name another file, or remove it"
        raise Fault(f"{out} exists already: nothing was written", code="file_exists", hint=hint) from None


def _existing(out: str) -> int:
    with suppress(FileNotFoundError):
        return os.open(out, os.O_WRONLY | os.O_APPEND)
    raise Fault(f"{out} is not there any more", exit=5, code="not_found", hint="leave --resume out")
