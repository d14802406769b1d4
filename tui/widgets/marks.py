"""Signs in place of pictures: sparklines, gauges, states, bars of a waterfall. Block characters, or ASCII where a terminal has none."""

from __future__ import annotations

from collections.abc import Sequence

from tui.widgets.line import Line, Span

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = ".:-=+*#@"
_ASCII_SIGNS = str.maketrans(
    "●▲✖◐○◌▶‖▸◂→←·–░▒▓█▏…┌┐└┘─│├┤┼▴▾⋯╭╮╰╯↑↓×▼•▌“”", '+!x~-?>|><><.- .:##.++++-|+++^v.++++^vxv*_""', ""
)


class Glyphs:
    """Whether this terminal draws the signs; set once at start."""

    ascii = False


def plain_signs(text: str) -> str:
    """The text with ASCII in place of our own signs, where the terminal has no others."""
    return text.translate(_ASCII_SIGNS) if Glyphs.ascii else text


def sparkline(values: Sequence[float | None], width: int, top: float | None = None) -> str:
    """The last `width` values (resampled when there are more), scaled to the highest; a gap is a blank."""
    if width <= 0:
        return ""
    points = resampled(values, width)
    highest = top if top is not None else max((value for value in points if value is not None), default=0.0)
    blocks = ASCII_BLOCKS if Glyphs.ascii else BLOCKS
    drawn = "".join(_block(value, highest, blocks) for value in points)
    return drawn.ljust(width)


def _block(value: float | None, highest: float, blocks: str) -> str:
    if value is None:
        return " "
    if highest <= 0 or value <= 0:
        return blocks[0]
    return blocks[min(len(blocks) - 1, int(value / highest * (len(blocks) - 1) + 0.5))]


def resampled(values: Sequence[float | None], width: int) -> list[float | None]:
    """At most `width` points: each the highest of its share, so that a burst never disappears; few points are spread out."""
    count = len(values)
    if count == 0 or width <= 0:
        return []
    points: list[float | None] = []
    for index in range(width):
        start = index * count // width
        share = [value for value in values[start : max(start + 1, (index + 1) * count // width)] if value is not None]
        points.append(max(share) if share else None)
    return points


def gauge(share: float, width: int, style: str = "bar") -> Line:
    """A filled part and a trough: `████░░░░`. More than all of it is drawn as all of it."""
    filled = max(0, min(width, round(share * width)))
    if share > 0 and filled == 0:
        filled = 1
    full, empty = ("#", ".") if Glyphs.ascii else ("█", "░")
    return [(full * filled, style), (empty * (width - filled), "trough")]


def gauge_style(share: float) -> str:
    return "bad" if share >= 1 else "warn" if share >= 0.8 else "bar"


STATES: dict[str, Span] = {
    "ok": ("● ok", "good"),
    "active": ("● active", "good"),
    "closed": ("● ok", "good"),
    "live": ("● live", "good"),
    "slow": ("▲ slow", "warn"),
    "degraded": ("▲ degraded", "warn"),
    "warning": ("▲ warning", "warn"),
    "expiring": ("▲ expiring", "warn"),
    "open": ("✖ open", "bad"),
    "failing": ("✖ failing", "bad"),
    "expired": ("✖ expired", "bad"),
    "revoked": ("✖ revoked", "bad"),
    "archived": ("○ archived", "dim"),
    "not configured": ("○ no key", "dim"),
    "unconfigured": ("○ no key", "dim"),
    "missing": ("○ no key", "dim"),
    "half_open": ("◐ probing", "warn"),
    "half-open": ("◐ probing", "warn"),
    "probing": ("◐ probing", "warn"),
    "grace": ("◐ grace", "warn"),
    "disabled": ("○ disabled", "dim"),
    "draining": ("◐ draining", "warn"),
    "unused": ("◌ unused", "dim"),
    "idle": ("◌ idle", "dim"),
    "unknown": ("◌ unknown", "dim"),
}


def state(word: str) -> Span:
    """A state as shape, word and colour: never colour alone."""
    return STATES.get(word, (f"· {word}", ""))


def ruler(total_ms: float, width: int) -> tuple[Line, Line]:
    """The scale above a waterfall: labels, and a line with ticks. Steps are round numbers of milliseconds or seconds."""
    step = _round_step(total_ms / max(1, width // 12))
    labels = [" "] * width
    ticks = ["─"] * width
    at = 0.0
    while at <= total_ms + step / 1000:
        column = min(width - 1, round(at / total_ms * (width - 1))) if total_ms > 0 else 0
        ticks[column] = "├" if column == 0 else "┤" if column == width - 1 else "┼"
        label = _scale_label(at, total_ms)
        for offset, character in enumerate(label):
            if column + offset < width:
                labels[column + offset] = character
        at += step
    return [("".join(labels), "dim")], [(plain_signs("".join(ticks)), "line")]


def _round_step(least: float) -> float:
    step = 1.0
    while True:
        for factor in (1, 2, 5):
            if step * factor >= least:
                return step * factor
        step *= 10


def _scale_label(at_ms: float, total_ms: float) -> str:
    if total_ms >= 2000:
        return f"{at_ms / 1000:g}s"
    return f"{at_ms:g}" + (" ms" if at_ms == 0 else "")


def span_bar(start_ms: float, length_ms: float, total_ms: float, width: int, glyph: str = "█") -> str:
    """A bar on the scale of `ruler`: at least one cell wide, so that what took no time is still seen."""
    if total_ms <= 0:
        return ""
    start = min(width - 1, int(start_ms / total_ms * (width - 1)))
    length = max(1, round(length_ms / total_ms * (width - 1)))
    return " " * start + plain_signs(glyph) * min(length, width - start)
