"""What the shapes of the admin API share. One module an aggregate stands beside this one; they are the only modules of the gateway, with
`gateway.version`, that the terminal side may import.

Every field of an answer has a default: a client of another version reads what it knows and leaves the rest. Times are ISO 8601 with `Z`,
money is an integer of nano-USD (`…_nusd`) or a decimal string of dollars (`…_usd`), durations carry their unit.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec


class Record(msgspec.Struct, kw_only=True):
    """An answer. Unknown fields are ignored on reading."""


T = TypeVar("T")


class Page(Record, Generic[T]):
    """A list. `next` is the cursor of the page after, None at the end."""

    data: list[T] = []
    next: str | None = None


class Changed(Record):
    """The answer to a change without a better one: what to give to `/undo` within 30 s."""

    audit_id: str | None = None
