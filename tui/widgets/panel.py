"""The base of everything drawn: a widget that paints itself line by line, in a frame with a title and an aside.

Textual asks for the lines it needs (`render_line`); a subclass says what stands in an inner row. `changed()` compares what would be drawn
with what stands, and repaints only the rows that differ: over a slow line an idle screen sends nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.themes import ON_CURSOR, Palette
from tui.widgets.bound import bindings
from tui.widgets.line import Line, fit_line, folded, width_of
from tui.widgets.marks import plain_signs

if TYPE_CHECKING:
    from textual.filter import LineFilter

    from tui.app import OptyxApp


class Painted(Widget):
    """A widget made of `row(y, width)`; no frame."""

    DEFAULT_CSS = "Painted { height: 1fr; width: 1fr; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._drawn: dict[int, tuple[Line, Style | None]] = {}
        self._made: dict[int, tuple[Line, Style | None]] = {}
        """Rows that `changed` made and Textual has not asked for yet: they are not made twice."""
        self._made_for: Size | None = None

    @property
    def optyx(self) -> OptyxApp:
        return cast("OptyxApp", self.app)

    @property
    def palette(self) -> Palette:
        return cast("OptyxApp", self.app).palette

    def row(self, y: int, width: int) -> tuple[Line, Style | None]:
        """What stands in a row, and a style laid over all of it (the cursor)."""
        return [], None

    def get_line_filters(self) -> list[LineFilter]:
        """None of Textual's, which look at every span drawn: the colours of a palette are final."""
        return []

    def render_line(self, y: int) -> Strip:
        width = self.outer_size.width
        made = self._made.pop(y, None) if self.outer_size is self._made_for else None
        line, overlay = self._drawn[y] = made or self.row(y, width)
        return strip_of(line, width, self.palette, overlay)

    def changed(self) -> None:
        """Repaints the rows that would now be drawn differently."""
        if not self.is_attached or not self.outer_size:
            return  # outer_size, as there is no border: Textual looks `size` up in its map of the screen every time
        width, height = self.outer_size
        self._made, self._made_for = {}, self.outer_size
        for y in range(height):
            made, drawn = self.row(y, width), self._drawn.get(y)
            if drawn != made:
                self._made[y] = made
                same_overlay = drawn is not None and drawn[1] == made[1]
                parts = differing(drawn[0], made[0], width) if drawn is not None and same_overlay else [(0, width)]
                super().refresh(*(Region(left, y, right - left, 1) for left, right in parts))

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Painted:
        """Textual asks for all of a widget when the focus comes and goes: then too only the rows that look otherwise are sent."""
        if self._drawn and repaint and not (regions or layout or recompose):
            self.changed()
            return self
        self._made.clear()
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def repaint(self) -> None:
        self._drawn.clear()
        self.refresh()


def differing(old: Line, new: Line, width: int) -> list[tuple[int, int]]:
    """The columns between which two lines of one widget differ, at the borders of their spans: from, to. Two places where only the frame is
    of another colour, else one."""
    if len(old) == len(new) > 2 and old[1:-1] == new[1:-1] and (old[0][0], old[-1][0]) == (new[0][0], new[-1][0]):
        first, last = width_of(new[:1]), width_of(new[-1:])
        whole = width_of(new)
        return [(0, first)] * (old[0] != new[0]) + [(whole - last, whole)] * (old[-1] != new[-1])
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    left = width_of(new[:same])
    whole = width_of(new)
    if width_of(old) != whole:
        return [(left, width)]
    ends_same = 0
    while ends_same < min(len(old), len(new)) - same and old[-1 - ends_same] == new[-1 - ends_same]:
        ends_same += 1
    return [(left, max(left + 1, whole - width_of(new[len(new) - ends_same :])))]


def strip_of(line: Line, width: int, palette: Palette, overlay: Style | None = None) -> Strip:
    styles = palette.styles
    segments = [
        Segment(plain_signs(text), styles[name] + overlay if overlay is not None else styles[name])
        for text, name in fit_line(line, width)
    ]
    return Strip(segments, width)


def faded(line: Line) -> Line:
    """Every span in the colour of small print: what is old stands back. Its words and shapes say what they said."""
    return [(text, "dim") for text, _ in line]


class Panel(Painted, can_focus=True):
    """A framed, focusable part of a screen. Subclasses give `content(y, width)`."""

    def __init__(
        self,
        title: str = "",
        aside: str = "",
        *,
        id: str | None = None,
        classes: str | None = None,
        focusable: bool = True,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.title_text = title
        self.aside = aside
        self.can_focus = focusable

    shows_age = True
    """Whether what is inside came from the gateway, and so can be old."""

    def content(self, y: int, width: int) -> tuple[Line, Style | None]:
        return [], None

    @property
    def cursor_y(self) -> int | None:
        """The line, from the panel's top, that the user works on; None where there is no such line."""
        return None

    def changed(self) -> None:
        super().changed()
        if self.has_focus:
            self.optyx.work_moved()

    @property
    def inner_width(self) -> int:
        """Asked for when lines are made, which may be before the first layout: `size` then makes Textual work it out, `outer_size` is 0."""
        return max(0, self.size.width - 4)

    @property
    def inner_height(self) -> int:
        return max(0, self.size.height - 2)

    def row(self, y: int, width: int) -> tuple[Line, Style | None]:
        height = self.outer_size.height
        frame = "accent" if self.has_focus else "line"
        if y == 0:
            return self._top(width, frame), None
        if y == height - 1:
            return [("└" + "─" * (width - 2) + "┘", frame)], None
        line, overlay = self.content(y - 1, width - 4)
        inside = fit_line(line, width - 4)
        if self.shows_age and self.optyx.pulse.old_s is not None:
            inside = faded(inside)
        if overlay is not None:
            inside = [(text, f"{name}{ON_CURSOR}") for text, name in inside]
        return [("│", frame), (" ", ""), *inside, (" ", ""), ("│", frame)], None

    def _top(self, width: int, frame: str) -> Line:
        title = f" {self.title_text} " if self.title_text else ""
        room = width - 4
        old = self.optyx.pulse.old_s if self.shows_age else None
        words = f"◌ STALE {old:.0f} s" if old is not None else self.aside
        aside = f" {words} " if words else ""
        shown_title = fit_line([(title, "title")], min(width_of([(title, "")]), room))
        room -= width_of(shown_title)
        if width_of([(aside, "")]) > room - 2:
            aside = ""
        shown_aside: Line = [(aside, "dim" if old is None else "warn")] if aside else []
        dashes = room - width_of(shown_aside)
        return [("┌─", frame), *shown_title, ("─" * dashes, frame), *shown_aside, ("─┐", frame)]

    def set_title(self, title: str, aside: str | None = None) -> None:
        self.title_text = title
        if aside is not None:
            self.aside = aside
        self.changed()

    def on_focus(self) -> None:
        self.changed()

    def on_blur(self) -> None:
        self.changed()


class TextPanel(Panel):
    """A frame around ready-made lines; scrolls when there are more than fit."""

    BINDINGS = bindings("list")

    class Resized(Message):
        """It has another width: lines that were made for the old one are to be made anew."""

    def __init__(
        self,
        title: str = "",
        aside: str = "",
        *,
        id: str | None = None,
        classes: str | None = None,
        focusable: bool = False,
    ) -> None:
        super().__init__(title, aside, id=id, classes=classes, focusable=focusable)
        self.lines: list[Line] = []
        self.given: list[Line] = []
        self.wraps = False
        self.top = 0
        self._width = 0

    def row(self, y: int, width: int) -> tuple[Line, Style | None]:
        """The width that is drawn is what counts: on a busy machine a first Resize event was seen never to come."""
        if width != self._width:
            self._width = width
            self.post_message(self.Resized())
        return super().row(y, width)

    def set_lines(self, lines: list[Line], *, keep_place: bool = True) -> None:
        self.given = lines
        if self.wraps:
            lines = [part for line in lines for part in folded(line, self.inner_width)]
        self.lines = lines
        if not keep_place:
            self.top = 0
        self.top = max(0, min(self.top, len(lines) - self.inner_height))
        self.changed()

    def switch_wrap(self) -> None:
        """Long lines are cut, or go on below."""
        self.wraps = not self.wraps
        self.set_lines(self.given)
        self.optyx.say("Long lines go on below." if self.wraps else "Long lines are cut.")

    def content(self, y: int, width: int) -> tuple[Line, Style | None]:
        index = y + self.top
        if index >= len(self.lines):
            return [], None
        below = len(self.lines) - self.top - self.inner_height
        if below > 0 and y == self.inner_height - 1 and self.can_focus:
            return [(f"… {below + 1} more lines, j shows them", "dim")], None
        return self.lines[index], None

    def action_move(self, by: int) -> None:
        self.scroll_lines(by)

    def action_page(self, by: int) -> None:
        self.scroll_lines(by * max(1, self.inner_height - 1))

    def action_edge(self, end: int) -> None:
        self.scroll_lines(len(self.lines) if end else -len(self.lines))

    def action_open(self) -> None:
        """Text has nothing to open; enter is taken so that it does not run something else."""

    def scroll_lines(self, by: int) -> None:
        self.top = max(0, min(self.top + by, len(self.lines) - self.inner_height))
        self.changed()


class Bar(Painted):
    """One unframed line."""

    DEFAULT_CSS = "Bar { height: 1; width: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.line: Line = []

    def set_line(self, line: Line) -> None:
        self.line = line
        self.changed()

    def row(self, y: int, width: int) -> tuple[Line, Style | None]:
        return self.line, None
