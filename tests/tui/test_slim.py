"""Fewer bytes, the same picture: what a terminal would show after either is compared cell by cell."""

from __future__ import annotations

import random
import re

import pytest

from tests.tui.fake_gateway import FakeGateway
from tests.tui.stage import WIDE, stage
from tui.location import Location
from tui.slim import SGR, change, pen_of, slim

TOKEN = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|\r?\n|.", re.DOTALL)


def picture(data: str) -> dict[tuple[int, int], tuple]:
    """A terminal of the smallest kind: (row, column) to character, colours and attributes."""
    row = column = 0
    state: dict[str, object] = {}
    cells = {}
    for match in TOKEN.finditer(data):
        codes, verb = match.group(1), match.group(2)
        if verb == "H":
            row, column = (int(one or 1) - 1 for one in [*codes.split(";"), "1"][:2])
        elif verb == "m":
            apply(state, [int(one or 0) for one in codes.split(";")])
        elif match.group(0) in ("\n", "\r\n"):
            row, column = row + 1, 0
        else:
            sign = match.group(0)
            attributes = frozenset(name for name, on in state.items() if on is True)
            shown = attributes if sign != " " else attributes & {4, 7, 9}
            front = state.get("front") if sign != " " or 7 in attributes else None
            cells[row, column] = (sign, front, state.get("back"), shown)
            column += 1
    assert not state, "the pen is put down at the end"
    return cells


def apply(state, numbers):
    at = 0
    while at < len(numbers):
        number = numbers[at]
        if number in (38, 48):
            length = 5 if numbers[at + 1] == 2 else 3
            state["front" if number == 38 else "back"] = tuple(numbers[at : at + length])
            at += length
            continue
        if number == 0:
            state.clear()
        elif number in (1, 2, 3, 4, 5, 7, 9):
            state[number] = True
        elif number == 22:
            state.pop(1, None)
            state.pop(2, None)
        elif number in (23, 24, 25, 27, 29):
            state.pop(number - 20, None)
        elif number in (39, 49):
            state.pop("front" if number == 39 else "back", None)
        else:
            state["front" if number % 60 < 40 and number < 98 and not 40 <= number < 48 else "back"] = (number,)
        at += 1


CODES = [
    "",
    "0",
    "1",
    "2",
    "1;2",
    "4",
    "7",
    "1;38;2;1;2;3;48;2;16;20;26",
    "38;2;9;9;9;48;2;16;20;26",
    "38;5;3",
    "31;44",
    "97;100",
    "1;4;7;9;31",
    "48;2;5;5;5",
]


@pytest.mark.parametrize("seed", range(40))
def test_any_run_of_spans_looks_the_same(seed):
    chance = random.Random(seed)
    data = "".join(
        f"\x1b[{chance.choice(CODES)}m{chance.choice(['word', ' ', '   ', 'a b', '─│'])}\x1b[0m"
        + chance.choice(["", "", "\r\n", f"\x1b[{chance.randint(1, 9)};{chance.randint(1, 9)}H", " "])
        for _ in range(60)
    )
    assert picture(slim(data)) == picture(data)
    assert len(slim(data)) <= len(data)


@pytest.mark.parametrize("here", CODES)
@pytest.mark.parametrize("there", CODES)
def test_every_change_of_pen_arrives(here, there):
    begun = f"\x1b[{here}m"
    after: dict = {}
    apply(after, [int(one or 0) for one in here.split(";")])
    for sequence in SGR.findall(change(pen_of(here), pen_of(there))) if pen_of(here) != pen_of(there) else []:
        apply(after, [int(one or 0) for one in sequence.split(";")])
    straight: dict = {}
    apply(straight, [int(one or 0) for one in there.split(";")])
    assert after == straight, (begun, there)


def test_codes_that_are_not_known_are_left_alone():
    assert slim("\x1b[21mword\x1b[0mplain") == "\x1b[0;21mword\x1b[0mplain"
    assert slim("no codes at all") == "no codes at all"


async def test_a_whole_screen_shrinks_to_a_half_and_looks_the_same():
    with FakeGateway() as fake:
        async with stage(fake, WIDE, Location("overview")) as (app, _):
            strips = app.screen._compositor.render_strips()
            data = "\r\n".join(strip.render(app.console) for strip in strips)
        assert picture(slim(data)) == picture(data)
        assert len(slim(data)) < len(data) * 0.55, (len(slim(data)), len(data))
