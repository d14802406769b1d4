"""The seven themes: what each named style looks like, and how plain a terminal may be.

A state is always a shape and a word as well; colour only helps. The default is safe for the common kinds of colour blindness (blue and
orange, never red against green). `mono` uses bold, reverse and underline of the terminal's own colours; `ansi` the terminal's sixteen.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.style import Style
from textual.theme import Theme

STYLES = (
    *(
        "",
        "dim",
        "strong",
        "line",
        "title",
        "head",
        "key",
        "tab",
        "accent",
        "good",
        "warn",
        "bad",
        "bar",
        "trough",
        "spark",
    ),
    *("cursor", "field", "mark", "guard", "banner", "wait", "busy", "added", "removed"),
)


@dataclass(frozen=True, slots=True)
class Colours:
    """Six-digit colours of one theme, checked for contrast by the tests: text on `back` and on `raised` at least 4.5 to 1."""

    back: str
    raised: str
    text: str
    dim: str
    line: str
    accent: str
    good: str
    warn: str
    bad: str
    bar: str
    cursor_text: str
    cursor_back: str
    dark: bool = True


COLOURS: dict[str, Colours] = {
    "optyx-dark": Colours(
        back="#10141a", raised="#1a212b", text="#d5dbe3", dim="#8a96a6", line="#3a4656", accent="#7cc4ff",
        good="#6fc3df", warn="#f2c14e", bad="#ff9266", bar="#5aa9e6", cursor_text="#ffffff", cursor_back="#24466b",
    ),
    "optyx-light": Colours(
        back="#fbfbf8", raised="#eeeee8", text="#22272e", dim="#5d6673", line="#b9bfc8", accent="#0b5cad",
        good="#0a6a86", warn="#855c00", bad="#b43a0c", bar="#2f7fc1", cursor_text="#101418", cursor_back="#cfe3f7", dark=False,
    ),
    "contrast": Colours(
        back="#000000", raised="#101010", text="#ffffff", dim="#c8c8c8", line="#8c8c8c", accent="#8fd3ff",
        good="#7dfcff", warn="#ffe14d", bad="#ffb08a", bar="#8fd3ff", cursor_text="#000000", cursor_back="#ffe14d",
    ),
    "blue-orange": Colours(
        back="#12131a", raised="#1c1e28", text="#dcdde4", dim="#9094a6", line="#3f4356", accent="#9dbcff",
        good="#6ea8ff", warn="#ffd27d", bad="#ff9f40", bar="#6ea8ff", cursor_text="#ffffff", cursor_back="#2c3f6e",
    ),
    "cyan-red": Colours(
        back="#141416", raised="#1f1f23", text="#e0e0e0", dim="#989898", line="#46464c", accent="#5fd7d7",
        good="#3fd0d4", warn="#d9b8ff", bad="#ff7b7b", bar="#3fb8bc", cursor_text="#ffffff", cursor_back="#1f5558",
    ),
}  # fmt: skip
NAMES = (*COLOURS, "mono", "ansi")
DEFAULT, LIGHT = "optyx-dark", "optyx-light"


ON_CURSOR = "^"
READABLE = 4.5


class Palette:
    """The styles of one theme by name; looked up for every span drawn. `name^` is the style on the row under the cursor."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.styles = _mono() if name == "mono" else _ansi() if name == "ansi" else _coloured(COLOURS[name])
        self.styles |= {f"{style}{ON_CURSOR}": self._on_cursor(style) for style in STYLES}

    def _on_cursor(self, name: str) -> Style:
        """A state keeps its colour where that can be read on the cursor's; everything else takes the cursor's."""
        colours, style, cursor = COLOURS.get(self.name), self.styles[name], self.styles["cursor"]
        if colours is None:
            return style + cursor if self.name == "mono" else cursor
        if name not in ("good", "warn", "bad", "accent", "bar", "spark", "trough", "key", "mark"):
            return cursor + Style(bold=style.bold)
        colour = style.color.get_truecolor().hex if style.color else colours.cursor_text
        readable = contrast(colour, colours.cursor_back) >= (
            READABLE if name not in ("bar", "spark", "trough") else 1.5
        )
        return Style(color=colour if readable else colours.cursor_text, bgcolor=colours.cursor_back, bold=style.bold)

    def __getitem__(self, name: str) -> Style:
        return self.styles[name]


def contrast(one: str, other: str) -> float:
    """The ratio of two `#rrggbb` colours as WCAG 2 defines it, 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _coloured(colours: Colours) -> dict[str, Style]:
    def on_back(text: str, bold: bool | None = None) -> Style:
        return Style(color=text, bgcolor=colours.back, bold=bold)

    return {
        "": on_back(colours.text),
        "dim": on_back(colours.dim),
        "strong": on_back(colours.text, bold=True),
        "line": on_back(colours.line),
        "title": on_back(colours.text, bold=True),
        "head": on_back(colours.dim, bold=True),
        "key": on_back(colours.accent, bold=True),
        "tab": Style(color=colours.cursor_text, bgcolor=colours.cursor_back, bold=True),
        "accent": on_back(colours.accent),
        "good": on_back(colours.good),
        "warn": on_back(colours.warn),
        "bad": on_back(colours.bad, bold=True),
        "bar": on_back(colours.bar),
        "trough": on_back(colours.line),
        "spark": on_back(colours.bar),
        "cursor": Style(color=colours.cursor_text, bgcolor=colours.cursor_back),
        "field": Style(color=colours.text, bgcolor=colours.raised),
        "mark": on_back(colours.warn, bold=True),
        "guard": Style(color=colours.back, bgcolor=colours.bad, bold=True),
        "banner": Style(color=colours.bad, bgcolor=colours.raised, bold=True),
        "wait": on_back(colours.line),
        "busy": on_back(colours.accent),
        "added": on_back(colours.good),
        "removed": on_back(colours.bad),
    }


def _mono() -> dict[str, Style]:
    plain, bold, reverse = Style(), Style(bold=True), Style(reverse=True)
    underlined = Style(underline=True)
    return {
        **dict.fromkeys(STYLES, plain),
        **dict.fromkeys(("strong", "title", "head", "key", "accent", "good", "mark", "busy", "added"), bold),
        **dict.fromkeys(("warn", "removed", "field"), underlined),
        "bad": Style(bold=True, underline=True),
        **dict.fromkeys(("tab", "cursor", "guard", "banner"), reverse),
    }


def _ansi() -> dict[str, Style]:
    return {
        **{name: Style() for name in STYLES},
        "dim": Style(color="bright_black"),
        "strong": Style(bold=True),
        "line": Style(color="bright_black"),
        "title": Style(bold=True),
        "head": Style(color="bright_black", bold=True),
        "key": Style(color="cyan", bold=True),
        "tab": Style(reverse=True, bold=True),
        "accent": Style(color="cyan"),
        "good": Style(color="blue"),
        "warn": Style(color="yellow"),
        "bad": Style(color="red", bold=True),
        "bar": Style(color="blue"),
        "trough": Style(color="bright_black"),
        "spark": Style(color="blue"),
        "cursor": Style(reverse=True),
        "field": Style(underline=True),
        "mark": Style(color="yellow", bold=True),
        "guard": Style(color="red", reverse=True, bold=True),
        "banner": Style(color="red", bold=True),
        "busy": Style(color="cyan"),
        "added": Style(color="blue"),
        "removed": Style(color="red"),
    }


def textual_theme(name: str) -> Theme:
    """The same colours for the fields that Textual draws itself."""
    if name in ("mono", "ansi"):
        plain = (
            "ansi-background",
            "ansi-foreground",
            "border",
            "border-blurred",
            "block-cursor-foreground",
            "block-cursor-background",
        )
        cursor = (
            "input-cursor-background",
            "input-cursor-foreground",
            "input-selection-background",
            "input-selection-foreground",
        )
        same = "ansi_default"
        return Theme(
            name=name,
            primary=same,
            foreground=same,
            background=same,
            surface=same,
            panel=same,
            accent=same,
            boost=same,
            ansi=True,
            variables={**dict.fromkeys((*plain, *cursor), same), "input-cursor-text-style": "reverse"},
        )
    colours = COLOURS[name]
    return Theme(
        name=name,
        primary=colours.accent,
        secondary=colours.bar,
        accent=colours.accent,
        foreground=colours.text,
        background=colours.back,
        surface=colours.raised,
        panel=colours.raised,
        success=colours.good,
        warning=colours.warn,
        error=colours.bad,
        dark=colours.dark,
        variables={"input-selection-background": f"{colours.cursor_back}", "border": colours.line},
    )
