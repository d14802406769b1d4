"""Lines of text on their way to the screen: spans with a style's name, cut by cells. No markup is ever parsed.

Every widget of the dashboard draws with these. Text from outside may be anything: a character that could move the cursor, turn the
writing direction or hide itself becomes a visible sign here, at the last door before the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from rich.cells import cell_len as cells_of_any
from rich.cells import set_cell_size

from tui.safe import visible as visible

Span = tuple[str, str]
"""Text and the name of its style (see `tui.themes.STYLES`); the empty name is plain text."""
Line = list[Span]
Align = Literal["left", "right"]


def cell_len(text: str) -> int:
    """Columns of a text. Nearly all are ASCII: those need no table."""
    return len(text) if text.isascii() else cells_of_any(text)


def width_of(line: Line) -> int:
    return sum(cell_len(text) for text, _ in line)


def fit(text: str, width: int, align: Align = "left") -> str:
    """Exactly `width` cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    text = visible(text)
    cells = cell_len(text)
    if cells > width:
        return set_cell_size(text, width - 1) + "…"
    room = " " * (width - cells)
    return text + room if align == "left" else room + text


def fit_line(line: Line, width: int, style: str = "") -> Line:
    """The line in exactly `width` cells; `style` is that of the padding."""
    fitted: Line = []
    room = width
    for raw, name in line:
        text = visible(raw)
        cells = cell_len(text)
        if cells > room:
            if room > 0:
                fitted.append((set_cell_size(text, room - 1) + "…", name))
            room = 0
            break
        fitted.append((text, name))
        room -= cells
    if room > 0:
        fitted.append((" " * room, style))
    return fitted


def ends(left: Line, right: Line, width: int) -> Line:
    """One line with a left and a right end, a blank between them; the left is cut first."""
    right_width = width_of(right)
    if right_width >= width:
        return fit_line(right, width)
    return [*fit_line(left, width - right_width - 1), (" ", ""), *right]


def joined(spans: Iterable[Span], gap: str = "  ") -> Line:
    line: Line = []
    for span in spans:
        if line:
            line.append((gap, ""))
        line.append(span)
    return line


def folded(line: Line, width: int) -> list[Line]:
    """The line in as many rows of at most `width` cells as it needs; every part keeps its style."""
    rows: list[Line] = [[]]
    room = width = max(2, width)
    for raw, name in line:
        text = visible(raw)
        while cell_len(text) > room:
            piece = set_cell_size(text, room).rstrip(" ") if room else ""
            if piece:
                rows[-1].append((piece, name))
            text = text[len(piece) :].lstrip(" ")
            rows.append([])
            room = width
        if text:
            rows[-1].append((text, name))
            room -= cell_len(text)
    return rows


def wrapped(text: str, width: int, style: str = "") -> list[Line]:
    """Prose broken at blanks into lines of at most `width` cells; words too long are broken where they must."""
    lines: list[Line] = []
    width = max(2, width)  # a wide glyph needs two cells; a widget not laid out yet has none
    for paragraph in text.split("\n"):
        row = ""
        for word in visible(paragraph).split(" "):
            rest = word
            while cell_len(rest) > width:
                if row:
                    lines.append([(row, style)])
                    row = ""
                piece = set_cell_size(rest, width).rstrip(" ") or rest[:1]
                lines.append([(piece, style)])
                rest = rest[len(piece) :]
            longer = f"{row} {rest}" if row else rest
            if cell_len(longer) > width:
                lines.append([(row, style)])
                row = rest
            else:
                row = longer
        lines.append([(row, style)])
    return lines
