"""Getting text to the user's clipboard, also over SSH and inside tmux, and saying truthfully what was done.

tmux drops raw OSC 52 by default, but takes `load-buffer -w` on stdin. Locally a native tool is asked. What remains is OSC 52, which a
terminal may ignore. `OPTYX_CLIPBOARD` chooses: auto, tmux, osc52, native, off.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable

NATIVE = (["pbcopy"], ["wl-copy"], ["xclip", "-selection", "clipboard"], ["xsel", "-ib"], ["clip.exe"])
OSC52_MOST = 74_994
SCREEN_PIECE = 200
BUFFER_LIFE_S = 60


class NotCopied(Exception):
    """Nothing took the text; says why and what else there is."""


def copy(text: str, *, write_terminal: Callable[[str], None] | None = None) -> str:
    """Copies and says how. Raises NotCopied."""
    way = os.environ.get("OPTYX_CLIPBOARD", "auto")
    if way == "off":
        raise NotCopied("copying is off (OPTYX_CLIPBOARD=off)")
    why = ""
    if way in ("auto", "tmux") and os.environ.get("TMUX"):
        if not _reaches_terminal():
            why = "tmux knows no clipboard of this terminal (see optyx doctor)"
        elif _tmux(text):
            return "sent to the clipboard via a tmux buffer (deleted after 60 s)"
    is_remote = bool(os.environ.get("SSH_TTY") or os.environ.get("SSH_CONNECTION"))
    if way == "native" or (way == "auto" and not is_remote):
        tool = _native(text)
        if tool:
            return f"copied ({tool})"
    if way in ("auto", "osc52") and not why and write_terminal is not None:
        return _osc52(text, write_terminal)
    raise NotCopied(f"{why or 'no way to the clipboard from here'}; write it to a file instead")


def _run(command: list[str], text: str) -> bool:
    """Its output goes nowhere: xclip stays behind to serve the clipboard, and a pipe that it holds would never end."""
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run(command, input=text.encode(), stdout=quiet, stderr=quiet, timeout=3, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _reaches_terminal() -> bool:
    """Whether tmux hands what it is given on to the terminal; before 3.2 it does not say, and is believed."""
    ask = ["tmux", "display-message", "-p", "#{client_termfeatures}"]
    try:
        said = subprocess.run(ask, input="", capture_output=True, text=True, timeout=3, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return False
    return not said or "clipboard" in said.split(",")


def _tmux(text: str) -> bool:
    """The text goes over stdin: on a command line every user of the machine could read it."""
    name = f"optyx-{secrets.token_hex(3)}"
    if not _run(["tmux", "load-buffer", "-w", "-b", name, "-"], text):
        return False
    # in the background of a shell: the buffer must go also when this process has ended before. Python waits, as not every PATH has a sleep
    wait = f'"$0" -ISc "import time; time.sleep({BUFFER_LIFE_S})"'
    forget, quiet = f"({wait}; exec tmux delete-buffer -b {name}) &", subprocess.DEVNULL
    subprocess.run(
        ["sh", "-c", forget, sys.executable],
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
        check=False,
    )
    return True


def _native(text: str) -> str:
    if not (
        os.environ.get("DISPLAY")
        or os.environ.get("WAYLAND_DISPLAY")
        or shutil.which("pbcopy")
        or shutil.which("clip.exe")
    ):
        return ""
    for command in NATIVE:
        if shutil.which(command[0]) and _run(command, text):
            return command[0]
    return ""


def _osc52(text: str, write_terminal: Callable[[str], None]) -> str:
    encoded = base64.b64encode(text.encode()).decode()
    given = os.environ.get("OPTYX_OSC52_MAX", "")
    most = int(given) if given.isdecimal() else OSC52_MOST
    if len(encoded) > most:
        raise NotCopied(f"too long for the terminal's clipboard ({len(encoded):,} of {most:,} characters)")
    write_terminal(_through_screen(encoded) if os.environ.get("STY") else f"\x1b]52;c;{encoded}\x1b\\")
    return "sent via OSC 52; your terminal may ignore it"


def _through_screen(encoded: str) -> str:
    """GNU screen drops OSC 52 but passes on what stands in a DCS string, and only so much at once."""
    whole = f"\x1b]52;c;{encoded}\x07"
    pieces = [whole[at : at + SCREEN_PIECE] for at in range(0, len(whole), SCREEN_PIECE)]
    return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
