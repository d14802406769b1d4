"""The screens look as they did when somebody last looked at them."""

from __future__ import annotations

import pytest

from tests.tui.snapshots import PICTURES, VARIANTS, file_of, shot


@pytest.mark.parametrize(("name", "size", "options"), VARIANTS, ids=[file_of(*variant).stem for variant in VARIANTS])
async def test_a_screen_looks_as_it_did(name, size, options):
    seen = await shot(name, size, **options)
    known = file_of(name, size, options).read_text("utf-8")
    assert seen == known, "after looking at it: python -m tests.tui.snapshots"


def test_no_picture_is_left_over():
    assert {path.name for path in PICTURES.glob("*.txt")} == {file_of(*variant).name for variant in VARIANTS}
