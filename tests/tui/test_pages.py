"""docs/tui.md says of the keys what the dashboard does, and its pictures are there and fetch nothing."""

import re

from tests.tui.key_table import PAGE, page_with, table


def test_the_page_lists_the_keys_as_they_are():
    text = PAGE.read_text("utf-8")
    assert text == page_with(text, table()), "python -m tests.tui.key_table"


def test_pictures_are_there_and_fetch_nothing():
    named = re.findall(r"\]\((pictures/[\w.-]+)\)", PAGE.read_text("utf-8"))
    assert "pictures/overview.svg" in named
    for path in (PAGE.parent / "pictures").glob("*.svg"):
        picture = path.read_text("utf-8")
        assert set(re.findall(r"https?://[\w./-]+", picture)) <= {
            "http://www.w3.org/2000/svg",
            "https://gateway.example",
            "https://gateway.example/v1",
        }
        assert not re.search(r"sk-optyx-\w+-\w{20}", picture)
    for name in named:
        assert (PAGE.parent / name).is_file()
