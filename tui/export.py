"""Writing a list to a file: CSV (RFC 4180, plain numbers, UTC times) or one JSON object a line. Never over a file that exists."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tui.app import OptyxApp

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def export_view(app: OptyxApp, kind: str, name: str) -> None:
    """Asks the view in sight for its records and writes them from a thread."""
    view = app.view
    records = getattr(view, "records", None)
    if records is None:
        app.say("This view has no list to write.", "warning")
        return
    path = Path(name).expanduser()

    def work() -> None:
        try:
            rows = records()(app.link.client())
            write(path, kind, rows)
        except FileExistsError:
            app.call_from_thread(app.say, f"{path} exists already: nothing was written.", "error")
        except Exception as error:  # a full disk, a gateway gone: said on screen
            app.call_from_thread(app.say, f"Nothing was written: {app.described(error)}", "error")
        else:
            app.call_from_thread(app.say, f"Wrote {len(rows):,} records to {path}.")

    app.run_worker(work, thread=True, group="export")


def write(path: Path, kind: str, rows: list[Any]) -> None:
    """Creates the file (0600) and fills it. Raises FileExistsError, OSError."""
    plain = [msgspec.to_builtins(row) for row in rows]
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline="") as file:
        if kind == "ndjson":
            for row in plain:
                file.write(msgspec.json.encode(row).decode() + "\n")
            return
        names = list(plain[0]) if plain else []
        writer = csv.writer(file)
        writer.writerow(names)
        for row in plain:
            writer.writerow([cell(row.get(name)) for name in names])


def cell(value: Any) -> Any:
    """A list, an object, yes and no as JSON has them; text that a spreadsheet would run as a formula gets a quote before it."""
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(FORMULA):
        return "'" + value
    return "" if value is None else value
