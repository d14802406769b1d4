"""`?`: what the view in sight shows, its keys, the words used; and `:doctor`, the CLI's report inside the dashboard."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tui.keys import sign
from tui.widgets.columned import Columned
from tui.widgets.dialogs import Reading
from tui.widgets.grid import GridTable
from tui.widgets.line import Line, fit, wrapped
from tui.widgets.panel import TextPanel

if TYPE_CHECKING:
    from tui.app import OptyxApp

WORDS = (
    ("TTFT", "time to first token: from the call's arrival to the first byte of the answer"),
    ("tier", "a name (fast, smart, embedding) for an ordered list of targets"),
    ("target", "a provider and a model; a call tries them in order"),
    ("attempt", "one try of one target; F2 in the logs: the second attempt answered"),
    ("circuit", "open: the target failed too often and rests; probing: one call tries it again"),
    ("overhead", "what the gateway itself added to a call"),
    ("held", "money set aside for calls under way; settled to the real cost when they end"),
)


def help_for(app: OptyxApp) -> Reading:
    view = app.view
    width = min(92, app.size.width - 8)
    lines: list[Line] = []
    for sentence in view.help_lines() if view else []:
        lines += [*wrapped(sentence, width), []]
    for scope, title in _scopes(app):
        actions = app.keymap_table.of_scope(scope)
        if not actions:
            continue
        lines.append([(title, "head")])
        for action in actions:
            keys = " ".join(sign(key) for key in app.keymap_table.keys(action).split(","))
            is_now = action.scope not in ("app", app.history.here.screen) or app.offers(action)
            what = (fit(action.tooltip, width - 14), "" if is_now else "dim")
            lines.append([("  ", ""), (fit(keys, 12), "key" if is_now else "dim"), what])
        lines.append([])
    lines.append([("Words", "head")])
    for word, meaning in WORDS:
        lines.append([("  ", ""), (fit(word, 12), "strong"), (fit(meaning, width - 14), "")])
    lines += [
        [],
        [
            ("Filter   ", "head"),
            ("status:4xx,5xx -provider:openai model:gpt* cost:>0.05 ttft:>2s since:1h words /regex/", "accent"),
        ],
    ]
    return Reading(f"Help: {app.history.here.screen}", lines)


def _scopes(app: OptyxApp) -> list[tuple[str, str]]:
    """Those of the view and, of the others, those that the focused panel answers to."""
    focused = app.focused
    scopes = [(app.history.here.screen, "Here (dim: nothing to do it to now)")]
    if isinstance(focused, Columned | TextPanel):
        scopes.append(("list", "In this panel"))
    if isinstance(focused, Columned):
        scopes.append(("columns", "Its columns"))
    if isinstance(focused, GridTable) and focused.markable:
        scopes.append(("table", "Several rows"))
    return [*scopes, ("app", "Everywhere")]


def doctor_report(app: OptyxApp) -> None:
    """Runs `optyx doctor` in a process of its own; it works when the gateway does not."""
    app.say("optyx doctor looks around…")

    def look() -> None:
        command = [sys.executable, "-m", "tui.cli", "doctor"]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
        report = (done.stdout + done.stderr).strip() or f"optyx doctor ended with {done.returncode} and said nothing"
        lines: list[Line] = [line for row in report.splitlines() for line in wrapped(row, min(92, app.size.width - 8))]
        app.call_from_thread(app.push_screen, Reading("optyx doctor", lines))

    app.run_worker(look, thread=True, exclusive=True, group="doctor")
