"""What Textual's driver does between the app and the terminal, made lighter: fewer bytes out, a lone escape known at once, and an end when
the terminal is closed."""

from __future__ import annotations

import os
import select
import selectors
import signal
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
        if found and is_gone(found[0][0].fd):
            os._exit(
                128 + signal.SIGHUP
            )  # no terminal is left to restore, and the thread that writes to it may be stuck
        return found


def is_gone(fd: int) -> bool:
    """Whether the terminal behind `fd` has been closed. Mostly SIGHUP ends the program then; one that is started without a controlling
    terminal, or with that signal ignored, would read the end of its input again and again."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return any(flags & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, flags in poll.poll(0))


def light(base: type[Driver]) -> type[Driver]:
    """`base` with all three changes."""
    from textual.drivers import linux_driver

    module: Any = linux_driver
    module.selectors = SimpleNamespace(SelectSelector=Soon, EVENT_READ=selectors.EVENT_READ)

    class Light(base):  # type: ignore[misc, valid-type]
        def write(self, data: str) -> None:
            super().write(slim(data))

    return Light
