"""What reaches the screen: nothing a terminal would obey, every line as wide as its place, and signs that say what colour says."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from tui.keys import ACTIONS, RESERVED, KeymapError, read_keymap
from tui.themes import COLOURS, NAMES, STYLES, Palette, contrast
from tui.widgets.columned import Column, fitting
from tui.widgets.line import fit, fit_line, visible, width_of, wrapped
from tui.widgets.marks import STATES, gauge, resampled, span_bar, sparkline
from tui.widgets.panel import differing
from tui.widgets.ring import Ring

HOSTILE = [
    "\x1b[2J",
    "\x9b31m",
    "a\u202eb",
    "[bold]x[/]",
    "日本語テスト",
    "e\u0301",
    "\x00\x07\r\n\t",
    "\ud800",
    "👩‍👩‍👧",
    "\u2066x\u2069",
    "\x7f",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_a_terminal_obeys_survives(text):
    shown = visible(text)
    assert shown.isprintable()
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in shown)
    shown.encode()


@pytest.mark.parametrize("text", [*HOSTILE, "plain", ""])
@pytest.mark.parametrize("width", [0, 1, 2, 3, 7, 40])
def test_a_fitted_text_has_exactly_its_width(text, width):
    assert cell_len(fit(text, width)) == width
    assert width_of(fit_line([(text, ""), (text, "dim")], width)) == width


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("ab cd ef", "ab xx ef", (2, 4)),
        ("ab cd", "ab cd ef", (4, 9)),
        ("ab cd ef", "xx cd yy", (0, 6)),
        ("日本 cd ef", "日本 xx ef", (4, 6)),
        ("ab ab ab", "ab ab", (4, 9)),
        ("日 b", "bb b", (0, 2)),
    ],
)
def test_a_changed_line_is_sent_from_the_first_to_the_last_span_that_differs(old, new, where):
    assert differing([(word, "") for word in old.split()], [(word, "") for word in new.split()], 9) == [where]


def test_of_a_frame_that_changes_its_colour_the_inside_is_not_sent():
    def framed(colour, inside="日本 ab"):
        return [("│", colour), (inside, ""), ("│", colour)]

    assert differing(framed("line"), framed("accent"), 9) == [(0, 1), (8, 9)]
    assert differing(framed("line"), [*framed("line")[:2], ("│", "accent")], 9) == [(8, 9)]
    assert differing(framed("line"), framed("accent", "日本 xy"), 9) == [(0, 9)]


def test_wrapped_lines_keep_every_word_and_no_line_is_too_wide():
    text = "one two three fourfivesixseven eight 日本語テスト nine"
    lines = wrapped(text, 10)
    assert all(width_of(line) <= 10 for line in lines)
    assert "".join(part for line in lines for part, _ in line).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("width", [-3, 0, 1, 2, 3])
@pytest.mark.parametrize("text", ["word", "日本語", "a 日 b", "e\u0301" * 9, "\u200b" * 5, ""])
def test_prose_is_broken_in_any_width(text, width):
    lines = wrapped(text, width)
    assert all(width_of(line) <= max(2, width) for line in lines if cell_len(text) < 20)


def test_a_burst_survives_resampling():
    values = [0.0] * 500 + [9.0] + [0.0] * 499
    assert max(resampled(values, 20)) == 9.0
    assert "█" in sparkline(values, 20)
    assert len(sparkline([1.0], 7)) == 7


def test_a_gauge_never_shows_nothing_for_something_nor_more_than_all():
    assert gauge(0.001, 10)[0][0] == "█"
    assert gauge(3.0, 10)[0][0] == "█" * 10
    assert gauge(0.0, 10)[0][0] == ""


def test_a_bar_of_no_length_is_seen():
    assert span_bar(0, 0, 100, 10).strip() == "█"
    assert len(span_bar(99, 50, 100, 10)) <= 10


def test_narrow_lists_drop_the_least_important_columns_first():
    columns = [
        Column("A", 10, lambda _: ("", ""), priority=1),
        Column("B", 10, lambda _: ("", ""), priority=9),
        Column("C", 10, lambda _: ("", ""), priority=2),
    ]
    assert [column.title for column, _ in fitting(columns, 32)] == ["A", "B", "C"]
    assert [column.title for column, _ in fitting(columns, 22)] == ["A", "C"]
    assert [column.title for column, _ in fitting(columns, 12)] == ["A"]


def test_the_ring_forgets_the_oldest_and_keeps_numbers():
    ring: Ring[int] = Ring(3)
    ring.extend(range(5))
    assert (ring.first, ring.added, len(ring)) == (2, 5, 3)
    assert [ring[number] for number in (2, 3, 4)] == [2, 3, 4]
    with pytest.raises(IndexError):
        ring[1]


@pytest.mark.parametrize("name", COLOURS)
def test_text_can_be_read_in_every_theme(name):
    colours = COLOURS[name]
    least = 7.0 if name == "contrast" else 4.5
    for text in (colours.text, colours.dim, colours.accent, colours.good, colours.warn, colours.bad):
        assert contrast(text, colours.back) >= least, text
    assert contrast(colours.text, colours.raised) >= least
    assert contrast(colours.cursor_text, colours.cursor_back) >= least
    palette = Palette(name)
    for style in ("", "dim", "strong", "good", "warn", "bad", "accent", "key"):
        on_cursor = palette[f"{style}^"].color
        assert on_cursor is not None
        assert contrast(on_cursor.get_truecolor().hex, colours.cursor_back) >= 4.5, style


@pytest.mark.parametrize("name", NAMES)
def test_every_theme_knows_every_style(name):
    palette = Palette(name)
    for style in STYLES:
        assert palette[style] is not None


def test_every_state_is_a_shape_and_a_word():
    for shape_and_word, _ in STATES.values():
        shape, _, word = shape_and_word.partition(" ")
        assert len(shape) == 1
        assert word


def test_no_action_takes_a_reserved_key_and_no_two_of_a_view_share_one():
    taken = {}
    for action in ACTIONS:
        for key in action.keys.split(","):
            assert key not in RESERVED
            assert not key.startswith(("alt+", "ctrl+shift+", "cmd+"))
            assert taken.setdefault((action.scope, key), action.id) == action.id


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"logs.nothing" = "f6"', "no action"),
        ('"logs.pause" = "ctrl+b"', "can't have"),
        ('"logs.pause" = "e"', "both"),
        ('"logs.pause" = 6', "in quotes"),
        ("logs.pause = ", "keys.toml"),
    ],
)
def test_a_wrong_keymap_is_named(tmp_path, text, said):
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(KeymapError, match=said):
        read_keymap(path)


def test_a_keymap_that_can_not_be_read_is_named_and_one_that_can_not_be_there_is_none(tmp_path):
    (tmp_path / "keys.toml").mkdir()
    with pytest.raises(KeymapError, match=r"keys.toml can't be read: Is a directory"):
        read_keymap(tmp_path / "keys.toml")
    (tmp_path / "file").touch()
    assert not read_keymap(tmp_path / "file" / "keys.toml").overrides


def test_a_keymap_changes_what_the_footer_says(tmp_path):
    path = tmp_path / "keys.toml"
    path.write_text('"logs.pause" = "f6"')
    assert ("f6", "pause") in read_keymap(path).footer(["logs"], lambda action, key: True)
