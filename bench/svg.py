"""A screen of the dashboard as an SVG picture: text as text, frames and blocks as shapes, so that no font can tear them.

Pure: strips of segments in, a document out. Nothing is fetched by the document: it names only fonts that systems have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.color import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme

CELL_WIDTH, CELL_HEIGHT, FONT_SIZE, BASELINE = 8.4, 18.0, 14.0, 13.5
FONTS = "'DejaVu Sans Mono','Menlo','Cascadia Mono','Consolas',monospace"
MARGIN, BAR = 12.0, 34.0
TERMINAL = TerminalTheme(
    (16, 20, 26), (213, 219, 227),
    [(40, 46, 54), (224, 108, 117), (110, 190, 150), (220, 180, 90), (97, 160, 235), (190, 140, 220), (90, 190, 200), (200, 205, 212)],
)  # fmt: skip
LINES = {
    "─": "lr",
    "│": "ud",
    "┌": "rd",
    "┐": "ld",
    "└": "ru",
    "┘": "lu",
    "├": "udr",
    "┤": "udl",
    "┼": "udlr",
    "╭": "rd",
    "╮": "ld",
    "╰": "ru",
    "╯": "lu",
}
SHADES = {"█": 1.0, "▓": 0.75, "▒": 0.5, "░": 0.25}
STEPS = "▁▂▃▄▅▆▇"
SHAPES = frozenset([*LINES, *SHADES, *STEPS])
RUN = re.compile(r"\S+(?: \S+)*")


def document(rows: Sequence[Iterable[Segment]], width: int, title: str, back: str) -> str:
    """A window of `width` cells with the title in its bar; `back` is the colour behind cells that have none."""
    wide, high = width * CELL_WIDTH + 2 * MARGIN, len(rows) * CELL_HEIGHT + BAR + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" height="{high:g}" role="img" '
        f'aria-label="{escape(title)}">',
        f"<style>text{{font:{FONT_SIZE:g}px {FONTS};white-space:pre}}.b{{font-weight:700}}.u{{text-decoration:underline}}</style>",
        f'<rect width="{wide:g}" height="{high:g}" rx="9" fill="{back}" stroke="#59636f" stroke-opacity=".6"/>',
        *(f'<circle cx="{20 + 18 * number}" cy="17" r="5.5" fill="#59636f" fill-opacity=".7"/>' for number in range(3)),
        f'<text x="{wide / 2:g}" y="22" text-anchor="middle" fill="#8a96a6">{escape(title)}</text>',
        f'<g transform="translate({MARGIN:g} {BAR:g})">',
    ]
    for y, row in enumerate(rows):
        parts += _row(row, y * CELL_HEIGHT, back)
    return "\n".join([*parts, "</g></svg>", ""])


def _row(row: Iterable[Segment], top: float, back: str) -> list[str]:
    backs: list[tuple[float, float, str]] = []
    fronts: list[str] = []
    x = 0.0
    for segment in row:
        style = segment.style or Style()
        front, behind = _colours(style, back)
        end = x + cell_len(segment.text) * CELL_WIDTH
        if backs and backs[-1][2] == behind:
            backs[-1] = (backs[-1][0], end, behind)
        else:
            backs.append((x, end, behind))
        fronts += _text(segment.text, style, x, top, front)
        x = end
    rects = [
        f'<rect x="{start:.1f}" y="{top:g}" width="{end - start:.1f}" height="{CELL_HEIGHT:g}" fill="{colour}"/>'
        for start, end, colour in backs
        if colour != back and end > start
    ]
    return rects + fronts


def _colours(style: Style, back: str) -> tuple[str, str]:
    front = style.color.get_truecolor(TERMINAL) if style.color else ColorTriplet(213, 219, 227)
    behind = style.bgcolor.get_truecolor(TERMINAL).hex if style.bgcolor and not style.bgcolor.is_default else back
    return (behind, front.hex) if style.reverse else (front.hex, behind)


def _text(text: str, style: Style, x: float, top: float, colour: str) -> list[str]:
    paths: dict[float, str] = {}
    for index, sign in enumerate(text):
        shape = _shape(sign, x + cell_len(text[:index]) * CELL_WIDTH, top)
        if shape is not None:
            paths[shape[1]] = paths.get(shape[1], "") + shape[0]
    drawn = [_path(path, opacity, colour) for opacity, path in paths.items()]
    plain = "".join(" " if sign in SHAPES else sign for sign in text)
    classes = " ".join(name for name, on in (("b", style.bold), ("u", style.underline)) if on)
    for run in RUN.finditer(plain):
        words = run.group()
        start = x + cell_len(plain[: run.start()]) * CELL_WIDTH
        drawn.append(
            f'<text x="{start:.1f}" y="{top + BASELINE:g}" textLength="{cell_len(words) * CELL_WIDTH:.1f}" fill="{colour}"'
            + (f' class="{classes}"' if classes else "")
            + f">{escape(words)}</text>"
        )
    return drawn


def _path(path: str, opacity: float, colour: str) -> str:
    if opacity < 0:
        return f'<path d="{path}" stroke="{colour}" fill="none"/>'
    return f'<path d="{path}" fill="{colour}"' + (f' fill-opacity="{opacity:g}"' if opacity < 1 else "") + "/>"


def _shape(sign: str, x: float, top: float) -> tuple[str, float] | None:
    """A path and its opacity; a negative one means stroked."""
    if sign in LINES:
        middle, centre = top + CELL_HEIGHT / 2, x + CELL_WIDTH / 2
        ends = {"l": (x, middle), "r": (x + CELL_WIDTH, middle), "u": (centre, top), "d": (centre, top + CELL_HEIGHT)}
        return "".join(f"M{centre:.1f} {middle:g}L{ends[way][0]:.1f} {ends[way][1]:g}" for way in LINES[sign]), -1
    if sign in SHADES:
        return _box(x, top + 2, CELL_HEIGHT - 4), SHADES[sign]
    place = STEPS.find(sign) + 1
    if place:
        height = (CELL_HEIGHT - 4) * place / 8
        return _box(x, top + CELL_HEIGHT - 2 - height, height), 1.0
    return None


def _box(x: float, y: float, height: float) -> str:
    return f"M{x:.1f} {y:.2f}h{CELL_WIDTH:g}v{height:.2f}h-{CELL_WIDTH:g}z"
