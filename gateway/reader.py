"""Watches a client that takes nothing of its answer. Used by both fronts."""

from __future__ import annotations

import asyncio


class ReaderWatch:
    """From `start` on, a reader that has taken nothing for `timeout_s` is cut off; one that is only slow may go on."""

    __slots__ = ("_loop", "_timeout_s", "_timer", "_transport", "_unread")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, timeout_s: float) -> None:
        self._loop = loop
        self._transport = transport
        self._timeout_s = timeout_s
        self._timer: asyncio.TimerHandle | None = None
        self._unread = 0
        """Bytes in the transport's buffer when the client was last looked at."""

    def start(self) -> None:
        self._unread = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(self._timeout_s, self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        if self._transport.get_write_buffer_size() < self._unread:
            self.start()
        else:
            self._transport.abort()
