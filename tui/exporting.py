"""`optyx logs export` and `optyx audit export`: every page, oldest first, to stdout or a file that can be resumed after a break."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import msgspec

from tui.export import cell
from tui.faults import Fault, usage
from tui.invocation import Invocation
from tui.output import with_dollars

PAGE = 1000


def export_calls(run: Invocation, text: str, form: str, out: str, resume: bool) -> int:
    """How many were written now. Beside a file stands `FILE.cursor` until it is whole: what --resume goes on from."""
    return export(run, "/logs", {"filter": text, "order": "asc"}, form, out, resume)


def export(run: Invocation, path: str, query: dict[str, Any], form: str, out: str, resume: bool) -> int:
    mark = Path(out + ".cursor") if out else None
    cursor = _resumed(mark, resume)
    written = 0
    with _opened(out, bool(cursor)) as file:
        writer = csv.writer(file)
        while True:
            page = run.get(path, **query, limit=PAGE, cursor=cursor)
            rows = page["data"]
            if form == "csv" and rows and not written and not cursor:
                writer.writerow(list(with_dollars(rows[0])))
            for row in rows:
                if form == "csv":
                    writer.writerow([cell(value) for value in with_dollars(row).values()])
                else:
                    file.write(msgspec.json.encode(row).decode() + "\n")
            file.flush()
            written += len(rows)
            cursor = page.get("next") or ""
            if not cursor:
                break
            if mark is not None:
                mark.write_text(cursor)
    if mark is not None:
        mark.unlink(missing_ok=True)
    return written


def _resumed(mark: Path | None, resume: bool) -> str:
    if not resume:
        return ""
    if mark is None:
        raise usage("--resume goes on with a file: name it with --out")
    if not mark.exists():
        raise Fault(
            f"there is nothing to resume: {mark} is not there", exit=5, code="not_found", hint="leave --resume out"
        )
    return mark.read_text().strip()


@contextmanager
def _opened(out: str, goes_on: bool) -> Iterator[TextIO]:
    if not out:
        yield sys.stdout
        return
    how = os.O_APPEND if goes_on else os.O_CREAT | os.O_EXCL
    try:
        handle = os.open(out, os.O_WRONLY | how, 0o600)
    except FileExistsError:
        raise Fault(
            f"{out} exists already: nothing was written", code="file_exists", hint="--resume goes on with it"
        ) from None
    with open(handle, "w", encoding="utf-8", newline="") as file:
        yield file
