"""The first frame, written before Textual is imported: the eye has something to rest on after 20 ms instead of 400.

The colours are those of the theme, so that the first real frame changes what is inside the panels and nothing else.
"""

from __future__ import annotations

from tui.main_screens import SCREENS

LONG_BLANK = " " * 8
"""From here on a move of the cursor takes fewer bytes than the blanks."""


def frame(width: int, height: int, context: str, *, colour: bool, ascii_only: bool = False, ask: str = "") -> str:
    """Escape bytes that enter the alternate screen and draw an empty dashboard of this size. `ask`: written before anything is drawn."""
    lines = _lines(width, height, context)
    if ascii_only:
        lines = [line.translate(str.maketrans("┌┐└┘─│▸◌", "++++-|>~")) for line in lines]
    start = "\x1b[38;2;138;150;166m\x1b[48;2;16;20;26m" if colour else ""
    body = "".join(_placed(y, line[:width]) for y, line in enumerate(lines[:height], 1))
    return f"\x1b[?1049h\x1b[?25l{ask}{start}\x1b[2J{body}\x1b[0m\x1b[H"


def _placed(y: int, line: str) -> str:
    """A line without its long runs of blanks: the screen is blank already."""
    placed, column = "", 1
    for piece in line.split(LONG_BLANK):
        words = piece.lstrip(" ")
        if words:
            placed += f"\x1b[{y};{column + len(piece) - len(words)}H{words.rstrip(' ')}"
        column += len(piece) + len(LONG_BLANK)
    return placed


def _lines(width: int, height: int, context: str) -> list[str]:
    left, right = f" optyx  {context} ▸ overview", "◌ CONNECTING "
    names = [f"{number} {word if width >= 100 else short}" for number, (_, word, short) in enumerate(SCREENS, 1)]
    tabs = f" [{names[0]}]  " + "  ".join(names[1:])
    inside = max(0, height - 6)
    return [
        left + " " * max(1, width - len(left) - len(right)) + right,
        tabs,
        "┌" + "─" * (width - 2) + "┐",
        *(["│" + " " * (width - 2) + "│"] * inside),
        "└" + "─" * (width - 2) + "┘",
        "",
        " : command  / filter  ? help  q quit",
    ]
