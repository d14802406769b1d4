"""Text from outside on its way to a terminal: what could move the cursor, turn the writing direction or hide itself becomes a visible sign.

The last door before the terminal, for the command line and the dashboard alike. Standard library alone.
"""

from __future__ import annotations

import re
import unicodedata

BIDI = {
    "\u200e": "LRM",
    "\u200f": "RLM",
    "\u202a": "LRE",
    "\u202b": "RLE",
    "\u202c": "PDF",
    "\u202d": "LRO",
    "\u202e": "RLO",
    "\u2066": "LRI",
    "\u2067": "RLI",
    "\u2068": "FSI",
    "\u2069": "PDI",
}


OBEYED = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What stands in JSON as it is, and a terminal would obey: C1 controls, line separators, the direction of writing."""


def escaped(document: str) -> str:
    """JSON that says the same without them, to a pipe and to a terminal alike."""
    return OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def visible(text: str) -> str:
    """The text with nothing in it that a terminal would obey. Printable text comes back as it is, at the speed of one C call."""
    if text.isprintable():
        return text
    return "".join(map(_visible_character, text))


def _visible_character(character: str) -> str:
    if character.isprintable():
        return character
    number = ord(character)
    if number < 0x20:
        return chr(0x2400 + number)
    if number == 0x7F:
        return "␡"
    if character in BIDI:
        return f"⟦{BIDI[character]}⟧"
    if unicodedata.category(character) == "Zs":
        return " "
    return f"⟦{number:04X}⟧"


def visible_lines(text: str) -> str:
    """As `visible`, for text of several lines: line ends and tabs stay."""
    return "\n".join(visible(line.replace("\t", "    ")) for line in text.split("\n"))


def cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """At most `width` cells; what was cut ends in an ellipsis."""
    if cells(text) <= width:
        return text
    kept, used = [], cells(ellipsis)
    for character in text:
        used += _cells_of(character)
        if used > width:
            break
        kept.append(character)
    return "".join(kept) + ellipsis


PLAIN = str.maketrans(
    {"…": "...", "–": "-", "—": "-", "→": "->", "·": "|", "●": "*", "◐": "o", "◌": "o", "✖": "x", "▲": "!", "✓": "+", "“": '"', "”": '"'}
)  # fmt: skip


def ascii_only(text: str) -> str:
    """For terminals without UTF-8: our own signs in ASCII, everything else that isn't ASCII escaped."""
    return text.translate(PLAIN).encode("ascii", "backslashreplace").decode()
