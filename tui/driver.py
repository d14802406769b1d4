"""What Textual's driver does between the app and the terminal, made lighter: fewer bytes out, a lone escape known at once, no waking up for
nothing, late answers of the terminal kept from the keys, and an end when the terminal is closed."""

from __future__ import annotations

import contextlib
import os
import re
import select
import selectors
import signal
from collections.abc import Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any

from textual import constants
from textual._xterm_parser import XTermParser
from textual.driver import Driver
from textual.message import Message

from tui.slim import slim

LOOKS = 3
"""So many short waits follow input: the first may end a moment before the escape is due."""
QUIET_S = 5.0


class Soon(selectors.SelectSelector):
    """Waits for input as long as there is none, and after it until a lone escape is due.

    Textual 8.2.8 waits in turns of 100 ms and looks only between them whether an escape has stood alone for ESCDELAY, or whether it shall
    end: 25 ms are 100, a terminal at rest costs a tenth of all that the dashboard does, and leaving takes 100 ms. `bell` can be read
    when it shall end.
    """

    def __init__(self, bell: int) -> None:
        super().__init__()
        with contextlib.suppress(BlockingIOError):
            os.read(bell, 64)  # rung for the one before: the terminal was lent to an editor
        self.bell = bell
        self.looks = 0
        self.register(bell, selectors.EVENT_READ)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        wait_s = constants.ESCAPE_DELAY + 0.001 if self.looks else QUIET_S
        found = [one for one in super().select(wait_s) if one[0].fd != self.bell]
        self.looks = LOOKS if found else max(0, self.looks - 1)
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


LATE = re.compile(r"\x1b\]1[01];[^\x07\x1b]*(?:\x07|\x1b\\)?")


class Unanswered(XTermParser):
    """An answer about colours that comes when nobody waits for it any more: no keys. Textual would take each of its letters for one."""

    def feed(self, data: str) -> Iterable[Message]:
        return super().feed(LATE.sub("", data) if "\x1b]1" in data else data)


def press(driver: Driver, keys: str) -> None:
    """As if they were typed now."""
    for event in Unanswered().feed(keys):
        driver.process_message(event)


def light(base: type[Driver]) -> type[Driver]:
    """`base` with all of this."""
    from textual.drivers import linux_driver

    bell, ring = os.pipe()
    os.set_blocking(bell, False)
    module: Any = linux_driver
    module.selectors = SimpleNamespace(SelectSelector=partial(Soon, bell), EVENT_READ=selectors.EVENT_READ)

    module.XTermParser = Unanswered

    class Light(base):  # type: ignore[misc, valid-type]
        def write(self, data: str) -> None:
            super().write(slim(data))

        def disable_input(self) -> None:
            os.write(ring, b"\0")
            super().disable_input()

    return Light
