"""How far a long command is: one line on stderr, on a terminal alone, and not before it has taken half a second."""

from __future__ import annotations

import sys
import time

from tui.flags import Flags

PATIENCE_S = 0.5
EVERY_S = 0.2
EVERY_SPOKEN_S = 5.0


class Progress:
    """Call `tell` as often as you like, and `end` before anything else is said. With --accessible a line now and then, drawn over nothing."""

    def __init__(self, flags: Flags) -> None:
        self._is_shown = sys.stderr.isatty() and not flags.quiet
        self._is_spoken = flags.accessible
        self._next_at = time.monotonic() + PATIENCE_S
        self._is_drawn = False

    def tell(self, text: str) -> None:
        now = time.monotonic()
        if not self._is_shown or now < self._next_at:
            return
        self._next_at = now + (EVERY_SPOKEN_S if self._is_spoken else EVERY_S)
        self._is_drawn = not self._is_spoken
        sys.stderr.write(f"{text}\n" if self._is_spoken else f"\r\x1b[K{text}")
        sys.stderr.flush()

    def end(self) -> None:
        if self._is_drawn:
            self._is_drawn = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
