"""The first frame, written before Textual is imported: the eye has something to rest on after 20 ms instead of 400.

The colours are those of the theme, so that the first real frame changes what is inside the panels and nothing else.
"""

from __future__ import annotations

import re

SHORT = "1 Over  2 Logs  3 Proj  4 Keys  5 Prov  6 Lim  7 Play  8 Audit"
LONG = "1 Overview  2 Logs  3 Projects  4 Keys  5 Providers  6 Limits  7 Playground  8 Audit"


def frame(width: int, height: int, context: str, *, colour: bool, ascii_only: bool = False) -> str:
    """Escape bytes that enter the alternate screen and draw an empty dashboard of this size."""
    lines = _lines(width, height, context)
    if ascii_only:
        lines = [line.translate(str.maketrans("┌┐└┘─│▸◌", "++++-|>~")) for line in lines]
    start = "\x1b[38;2;138;150;166m\x1b[48;2;16;20;26m" if colour else ""
    body = "".join(_placed(y, line[:width]) for y, line in enumerate(lines[:height], 1))
    return f"\x1b[?1049h\x1b[?25l{start}\x1b[2J{body}\x1b[0m\x1b[H"


def _placed(y: int, line: str) -> str:
    """A line without its long runs of blanks: the screen is blank already, and a move of the cursor is eight bytes."""
    placed = ""
    for run in re.finditer(r"\S+(?: {1,7}\S+)*", line):
        placed += f"\x1b[{y};{run.start() + 1}H{run.group()}"
    return placed


def _lines(width: int, height: int, context: str) -> list[str]:
    left, right = f" optyx  {context} ▸ overview", "◌ CONNECTING "
    tabs = LONG if width >= 100 else SHORT
    lines = [
        left + " " * max(1, width - len(left) - len(right)) + right,
        f" [{tabs[:10]}]{tabs[10:]}" if width >= 100 else f" [{tabs[:6]}]{tabs[6:]}",
    ]
    inside = max(0, height - 6)
    lines += ["┌" + "─" * (width - 2) + "┐", *(["│" + " " * (width - 2) + "│"] * inside), "└" + "─" * (width - 2) + "┘"]
    return [*lines, "", " : command  / filter  ? help  q quit"]
