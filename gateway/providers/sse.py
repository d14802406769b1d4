"""Server-sent events, incrementally: bytes in any split, whole events out. Pure; used by the adapters.

Lines end with CR, LF or CRLF, a BOM at the start is dropped, comments are skipped, several `data:` lines of one event are joined
with LF. Only bytes are looked at: a U+2028 inside a JSON string is text, and no line end.
"""

from __future__ import annotations

MAX_EVENT = 8 << 20
"""One event may not be larger: 8 MiB."""

BOM = b"\xef\xbb\xbf"


class EventTooLarge(Exception):
    """An event grew over MAX_EVENT bytes."""


class EventParser:
    """Feeds on chunks, gives the `data` of each event that is complete."""

    __slots__ = ("_at_start", "_data", "_rest", "_size", "_skip_lf")

    def __init__(self) -> None:
        self._rest = b""  # an unfinished line
        self._data: list[bytes] = []
        self._size = 0
        self._at_start = True
        self._skip_lf = False  # the last chunk ended with CR: an LF that follows belongs to it

    @property
    def has_rest(self) -> bool:
        """Something that is no whole event is left over."""
        return bool(self._rest or self._data)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The `data` of every event that ended in this chunk. Raises EventTooLarge."""
        if self._skip_lf and chunk:
            self._skip_lf = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        if self._at_start and chunk:
            text = self._rest + chunk
            if BOM.startswith(text[:3]) and len(text) < 3:
                self._rest = text
                return []
            self._at_start = False
            self._rest, chunk = b"", text.removeprefix(BOM)
        if b"\r" in chunk:
            self._skip_lf = chunk[-1:] == b"\r"
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = (self._rest + chunk).split(b"\n") if self._rest else chunk.split(b"\n")
        self._rest = lines.pop()
        if self._size + len(self._rest) > MAX_EVENT:
            raise EventTooLarge
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(b"\n".join(self._data))
                    self._data, self._size = [], 0
            elif line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                self._data.append(value)
                self._size += len(value)
                if self._size > MAX_EVENT:
                    raise EventTooLarge
            elif line == b"data":
                self._data.append(b"")
        return events


def event(data: bytes) -> bytes:
    """One event as it goes to a client."""
    return b"data: " + data + b"\n\n"


DONE = b"data: [DONE]\n\n"
