"""What the user chose here and wants again next time: saved views, and the columns left out of each list.

Two files in the configuration folder, `views.json` and `columns.json`, 0600. One that can't be read counts as empty. Writing raises OSError.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from tui import private_file
from tui.keys import configuration_folder

T = TypeVar("T")


class SavedView(msgspec.Struct):
    screen: str
    project: str = ""
    filter: str = ""


VIEWS, COLUMNS = msgspec.json.Decoder(dict[str, SavedView]), msgspec.json.Decoder(dict[str, set[str]])


def saved_views() -> dict[str, SavedView]:
    return _read("views.json", VIEWS)


def save_view(name: str, view: SavedView) -> None:
    _write("views.json", saved_views() | {name: view})


def left_out(table: str) -> set[str]:
    """The titles of the columns that this list does not show."""
    return _read("columns.json", COLUMNS).get(table, set())


def leave_out(table: str, titles: set[str]) -> None:
    _write("columns.json", _read("columns.json", COLUMNS) | {table: titles})


def _read(name: str, decoder: msgspec.json.Decoder[dict[str, T]]) -> dict[str, T]:
    try:
        return decoder.decode((configuration_folder() / name).read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}


def _write(name: str, value: object) -> None:
    private_file.replace(configuration_folder() / name, msgspec.json.encode(value, order="deterministic"))
