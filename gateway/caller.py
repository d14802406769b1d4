"""What the two fronts have in common: who waits for a call's answer, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.proxy.heading import Heading


class Waiting(msgspec.Struct, eq=False, kw_only=True):
    """A client while its call is under way; the half of proxy.call.Caller that has nothing to do with how a request is read."""

    keep_alive: bool
    digest: bytes | None = None
    heading: Heading | None = None
    is_http_10: bool = False
    is_gone: bool = False
    is_paused: bool = False
    on_cut: Callable[[], None] | None = None
    on_gone: Callable[[], None] | None = None
    on_resume: Callable[[bool], None] | None = None

    def leave(self) -> None:
        self.is_gone = True
        if self.on_gone is not None:
            self.on_gone()

    def set_paused(self, paused: bool) -> None:
        self.is_paused = paused
        if self.on_resume is not None:
            self.on_resume(paused)
