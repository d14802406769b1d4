"""What the terminal says about itself: its background, and how many cells it gives our signs.

It is asked with the first frame and read when Textual has been imported: the answer travels meanwhile, so nobody waits for it. A terminal
that says nothing is taken as dark, and as drawing each sign in one cell. What comes later still is kept from the keys by `tui.driver`.
"""

from __future__ import annotations

import os
import sys

SIGNS = "●▲✖◐○◌▁█░─▸…"
"""One of each kind that is drawn: of some of them East Asian fonts make two cells, and every column after them would be off."""
BACKGROUND = "\x1b]11;?\x1b\\"
WIDTH = f"\x1b[H{SIGNS}\x1b[6n"


class Heard:
    """`is_light` None: it did not say. `early`: keys that were pressed before anybody listened."""

    def __init__(self, is_light: bool | None = None, draws_signs: bool = True, early: str = "") -> None:
        self.is_light, self.draws_signs, self.early = is_light, draws_signs, early


class Question:
    """From `begin` to `end` the terminal shows nothing of what it is sent: an answer must not stand on the screen."""

    def __init__(self, *, signs: bool) -> None:
        self.can_ask = os.name == "posix" and not os.environ.get("TERM", "").startswith("linux")
        self.signs = signs
        self._before: list[object] | None = None

    def begin(self) -> str:
        """What to write, before anything is drawn: the signs stand in the upper left corner for a moment."""
        if not self.can_ask:
            return ""
        import termios

        fd = sys.stdin.fileno()
        before = termios.tcgetattr(fd)
        quiet = termios.tcgetattr(fd)
        quiet[3] &= ~(termios.ECHO | termios.ICANON)
        termios.tcsetattr(fd, termios.TCSANOW, quiet)
        self._before = before
        return BACKGROUND + (WIDTH if self.signs else "")

    def end(self) -> Heard:
        """What has come by now; the terminal is as it was."""
        if self._before is None:
            return Heard()
        import select
        import termios

        fd = sys.stdin.fileno()
        said = b""
        while select.select([fd], [], [], 0)[0] and (piece := os.read(fd, 4096)):
            said += piece
        termios.tcsetattr(fd, termios.TCSANOW, self._before)  # type: ignore[arg-type]  # as tcgetattr gave it
        self._before = None
        return understood(said.decode("utf-8", "replace"))


def _mark() -> str:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "optyx", "light-background")


def was_light() -> bool:
    """Whether the background was light the last time: the first frame is drawn before the terminal can say so again."""
    return os.path.exists(_mark())


def remember(is_light: bool | None) -> None:
    """Nothing hangs on it: where it can't be written, the first frame is that of a dark terminal."""
    mark = _mark()
    try:
        if is_light and not os.path.exists(mark):
            os.makedirs(os.path.dirname(mark), mode=0o700, exist_ok=True)
            open(mark, "w").close()
        elif is_light is False and os.path.exists(mark):
            os.unlink(mark)
    except OSError:
        pass


def understood(said: str) -> Heard:
    """The answers in what was read, in whatever order they came."""
    import re

    heard = Heard()
    colour = re.search(r"\x1b\]11;rgba?:([0-9a-fA-F]+)/([0-9a-fA-F]+)/([0-9a-fA-F]+)", said)
    if colour:
        red, green, blue = (int(part, 16) / (16 ** len(part) - 1) for part in colour.groups())
        heard.is_light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
    place = re.search(r"\x1b\[\d+;(\d+)R", said)
    if place:
        heard.draws_signs = int(place[1]) == len(SIGNS) + 1
    heard.early = re.sub(r"\x1b\]11;[^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[\d+;\d+R", "", said)
    return heard
