"""Writes the reference section of docs/cli.md out of the command tree: `python -m tests.cli.reference`."""

from __future__ import annotations

from pathlib import Path

from tui.cli import COMMANDS
from tui.describing import tree

PAGE = Path(__file__).parents[2] / "docs/cli.md"
MARK = "<!-- written by `python -m tests.cli.reference`; a test holds it to the tree -->\n"


def reference() -> str:
    rows = ["", "| command | own flags | |", "|---|---|---|"]
    for one in tree(COMMANDS)["commands"]:
        words = " ".join([one["command"], *(argument["name"] for argument in one["arguments"])])
        flags = " ".join(f"`{max(option['flags'], key=len)}`" for option in one["options"])
        help_ = one["help"].partition(". ")[0].rstrip(".") + "."
        rows.append("| " + " | ".join(part.replace("|", "\\|") for part in (f"`optyx {words}`", flags, help_)) + " |")
    return "\n".join(rows) + "\n"


def whole(page: str) -> str:
    return page.partition(MARK)[0] + MARK + reference()


if __name__ == "__main__":
    PAGE.write_text(whole(PAGE.read_text()))
