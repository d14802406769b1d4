"""`?`: what the view in sight shows, its keys, the words used; and `:doctor`, the CLI's report inside the dashboard."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tui.keys import sign
from tui.widgets.dialogs import Reading
from tui.widgets.line import Line, fit, wrapped

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
    scopes = [
        (app.history.here.screen, "Here"),
        ("list", "In lists"),
        ("columns", "In lists with columns"),
        ("table", "In tables"),
        ("app", "Everywhere"),
    ]
    for scope, title in scopes:
        actions = app.keymap_table.of_scope(scope)
        if not actions:
            continue
        lines.append([(title, "head")])
        for action in actions:
            keys = " ".join(sign(key) for key in app.keymap_table.keys(action).split(","))
            lines.append([("  ", ""), (fit(keys, 12), "key"), (fit(action.tooltip, width - 14), "")])
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
