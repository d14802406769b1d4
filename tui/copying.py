"""Copying out of the dashboard; where nothing takes the text, it can be shown as it is and selected with the mouse. A new key's dialog has
ways of its own (`screens/secret`): a secret is not left standing in the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tui.clipboard import NotCopied, copy
from tui.safe import visible_lines
from tui.widgets.dialogs import Menu

if TYPE_CHECKING:
    from tui.app import OptyxApp

WAYS = [("show it", "as plain text, to be selected with the mouse"), ("leave it", "")]


def copy_out(app: OptyxApp, text: str, what: str) -> None:
    try:
        app.say(f"{what}: {copy(text, write_terminal=app._write_terminal)}.")
    except NotCopied as problem:
        app.push_screen(
            Menu(f"{what} was not copied", WAYS, f"Why: {problem}."),
            lambda chosen: show_plainly(app, text) if chosen == 0 else None,
        )


def show_plainly(app: OptyxApp, text: str) -> None:
    """Without frames and without breaks of our own, on the terminal's normal screen, until enter."""
    with app.suspend():
        sys.stdout.write(f"\n{visible_lines(text)}\n\nenter goes back to the dashboard ")
        sys.stdout.flush()
        sys.stdin.readline()
