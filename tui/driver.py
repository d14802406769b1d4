"""What Textual's driver does between the app and the terminal, made lighter: fewer bytes out, and a lone escape known at once."""

from __future__ import annotations

import os
import selectors
from types import SimpleNamespace
from typing import Any

from textual.driver import Driver

from tui.slim import slim


class Soon(selectors.SelectSelector):
    """After input, the next wait ends when a lone escape is due.

    Textual 8.2.8 waits for input in turns of 100 ms and looks only between them whether an escape has stood alone for ESCDELAY: without
    this, 25 ms are 100. A quiet terminal is still looked at ten times a second and no more.
    """

    had_input = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.had_input and timeout is not None:
            timeout = min(timeout, int(os.environ.get("ESCDELAY", "25")) / 1000 + 0.001)
        found = super().select(timeout)
        self.had_input = bool(found)
        return found


def light(base: type[Driver]) -> type[Driver]:
    """`base` with both changes."""
    from textual.drivers import linux_driver

    module: Any = linux_driver
    module.selectors = SimpleNamespace(SelectSelector=Soon, EVENT_READ=selectors.EVENT_READ)

    class Light(base):  # type: ignore[misc, valid-type]
        def write(self, data: str) -> None:
            super().write(slim(data))

    return Light
