"""What the tmux around us says of itself: for copying, and for the doctor."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

PATIENCE_S = 3


def ask(*words: str, given: str = "", env: Mapping[str, str] = os.environ) -> str | None:
    """Its answer; None when it fails."""
    try:
        done = subprocess.run(
            ["tmux", *words],
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            env=dict(env),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def reaches_clipboard(env: Mapping[str, str] = os.environ) -> bool:
    """Whether `load-buffer -w` goes on to the terminal: it does where tmux knows a capability Ms of it, whatever `set-clipboard` says (that is
    for programs that write OSC 52 themselves). Before 3.2, and with nobody attached, it does not say, and is believed."""
    said = ask("display-message", "-p", "#{client_tty} #{client_termfeatures}", env=env)
    if said is None:
        return False
    terminal, _, features = said.partition(" ")
    if not features or "clipboard" in features.split(","):
        return True
    # terminal-overrides with Ms= make no feature of it
    blocks = (ask("show-messages", "-T", env=env) or "").split("Terminal ")
    lines = next((block.splitlines() for block in blocks if f" for {terminal}," in block), [])
    return any(" Ms: " in line and "[missing]" not in line for line in lines)
