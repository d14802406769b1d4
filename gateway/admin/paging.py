"""Pages by keyset: a cursor holds where the last row stood, so that a page costs the same however deep it is."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from gateway.admin.schema.record import Page
from gateway.errors import BadRequest

T = TypeVar("T")
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class PageQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`limit` rows a page, from after `cursor` (the `next` of the page before)."""

    limit: Limit = 100
    cursor: str | None = None


def encode_cursor(*place: str | int) -> str:
    """Opaque to callers; ours is the place in the order, as JSON."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def decode_cursor(cursor: str | None, kind: Any) -> Any:
    """The place as `kind` (a tuple type), or None for the first page. Raises BadRequest for what is no cursor of this list."""
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        return msgspec.json.decode(raw, type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError, UnicodeError):
        raise BadRequest(
            "cursor: this is no cursor of this list; take `next` of the page before.", param="cursor"
        ) from None


def page(rows: Sequence[T], limit: int, place: Callable[[T], tuple[str | int, ...]]) -> Page[T]:
    """Of `limit + 1` rows asked for: the first `limit`, and the cursor to the rest if there is one."""
    kept = list(rows[:limit])
    return Page(data=kept, next=encode_cursor(*place(kept[-1])) if len(rows) > limit else None)
