"""Fewer bytes for the same picture: between two words a terminal is told what changes, and not everything anew.

Textual writes every span as a whole style and a reset, 45 bytes around words of five. Over a slow line that is what a user waits for. A
third is left here: the same background is not said again, blanks need no colour, a reset comes once at the end of each write.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

SGR = re.compile(r"\x1b\[([0-9;]*)m")
MOVES = re.compile(r"(?:\r?\n|\x1b\[[0-9;]*H)+")
OFF = {1: "22", 2: "22", 3: "23", 4: "24", 5: "25", 7: "27", 9: "29"}
SEEN_ON_BLANKS = frozenset({4, 7, 9})


class Pen(NamedTuple):
    """How a terminal draws now. Colours as the numbers that set them, empty for the terminal's own. `opaque`: codes not known here."""

    front: str = ""
    back: str = ""
    attributes: frozenset[int] = frozenset()
    opaque: str = ""


RESET = Pen()


def slim(data: str) -> str:
    """The same picture from the same start (a reset pen), ending with a reset pen, in fewer bytes."""
    parts = SGR.split(data)
    if len(parts) == 1:
        return data
    pen = wanted = RESET
    out = [parts[0]]
    for index in range(1, len(parts), 2):
        wanted, text = pen_of(parts[index]), parts[index + 1]
        if not text:
            continue
        if wanted != pen and not _needs_no_change(text, pen, wanted):
            out.append(change(pen, wanted))
            pen = wanted
        out.append(text)
    if pen != RESET:
        out.append("\x1b[0m")
    return "".join(out)


def _needs_no_change(text: str, pen: Pen, wanted: Pen) -> bool:
    """A move of the cursor draws nothing; a blank draws its background and lines."""
    if text.isspace() and text[0] == " " and pen.back == wanted.back and not pen.opaque and not wanted.opaque:
        return not (pen.attributes | wanted.attributes) & SEEN_ON_BLANKS
    return MOVES.fullmatch(text) is not None


@lru_cache(maxsize=2048)
def pen_of(codes: str) -> Pen:
    """The pen that these codes set, from a reset one: Textual never builds on what was there."""
    numbers = [int(code) for code in codes.split(";") if code]
    front = back = ""
    attributes: set[int] = set()
    at = 0
    while at < len(numbers):
        number = numbers[at]
        if number in (38, 48) and at + 1 < len(numbers):
            length = 5 if numbers[at + 1] == 2 else 3
            colour = ";".join(map(str, numbers[at : at + length]))
            front, back = (colour, back) if number == 38 else (front, colour)
            at += length
            continue
        if 30 <= number <= 37 or 90 <= number <= 97:
            front = str(number)
        elif 40 <= number <= 47 or 100 <= number <= 107:
            back = str(number)
        elif number in OFF:
            attributes.add(number)
        elif number == 0:
            front, back, attributes = "", "", set()
        elif number not in (39, 49):
            return Pen(opaque=codes)
        at += 1
    return Pen(front, back, frozenset(attributes))


@lru_cache(maxsize=4096)
def change(pen: Pen, wanted: Pen) -> str:
    """The shortest sequence from one pen to another."""
    whole = [*map(str, sorted(wanted.attributes)), *filter(None, (wanted.front, wanted.back))]
    anew = "\x1b[0m" if wanted == RESET else f"\x1b[0;{wanted.opaque or ';'.join(whole)}m"
    if pen.opaque or wanted.opaque:
        return anew
    off = sorted({OFF[number] for number in pen.attributes - wanted.attributes})
    still_on = wanted.attributes - pen.attributes
    if "22" in off:
        still_on |= wanted.attributes & {1, 2}
    codes = [*off, *map(str, sorted(still_on))]
    if pen.front != wanted.front:
        codes.append(wanted.front or "39")
    if pen.back != wanted.back:
        codes.append(wanted.back or "49")
    return min(f"\x1b[{';'.join(codes)}m", anew, key=len)
