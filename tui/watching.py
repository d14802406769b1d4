"""`--watch`: a list again and again: drawn over itself on a terminal, one line of JSON for each change in a pipe."""

from __future__ import annotations

import contextlib
import io
import json
import random
import sys
import time
from collections.abc import Callable

from tui.faults import usage
from tui.flags import Flags
from tui.safe import escaped

VERBS = frozenset({"list", "get", "status", "usage", "overrides", "hits", "history", "count"})


def watch(once: Callable[[], None], words: list[str], flags: Flags, every_s: float) -> None:
    """Until it is interrupted. Raises Fault for a command that changes something."""
    if not VERBS & set(words[:2]):
        raise usage("--watch is for list, get, status and usage")
    is_terminal = sys.stdout.isatty()
    if not is_terminal:
        from tui.invocation import current

        flags.output = "json"
        current().out.format = "json"
    before = ""
    while True:
        drawn = _captured(once)
        if drawn != before:
            _draw(before, drawn) if is_terminal else _line(drawn)
            before = drawn
        time.sleep(every_s * random.uniform(0.9, 1.1))


def _captured(once: Callable[[], None]) -> str:
    import typer

    held = io.StringIO()
    with contextlib.redirect_stdout(held), contextlib.suppress(typer.Exit):  # `status` ends with 9 when it is not well
        once()
    return held.getvalue()


def _draw(before: str, now: str) -> None:
    """Only the lines that changed."""
    old, new = before.splitlines(), now.splitlines()
    if old:
        sys.stdout.write(f"\x1b[{len(old)}A")
    for number, line in enumerate(new):
        same = number < len(old) and old[number] == line
        sys.stdout.write("\n" if same else f"\r\x1b[K{line}\n")
    sys.stdout.write("\x1b[J")
    sys.stdout.flush()


def _line(document: str) -> None:
    if document.strip():
        sys.stdout.write(escaped(json.dumps(json.loads(document), ensure_ascii=False)) + "\n")
        sys.stdout.flush()
