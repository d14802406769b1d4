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
from collections.abc import Callable, Mapping

from tui import tmux

NATIVE = (["pbcopy"], ["wl-copy"], ["xclip", "-selection", "clipboard"], ["xsel", "-ib"], ["clip.exe"])
OSC52_MOST = 74_994
SCREEN_PIECE = 200
BUFFER_LIFE_S = 60


class NotCopied(Exception):
    """Nothing took the text; says why. What else there is depends on where it was to be copied."""


def copy(text: str, *, write_terminal: Callable[[str], None] | None = None) -> str:
    """Copies and says how. Raises NotCopied."""
    way = os.environ.get("OPTYX_CLIPBOARD", "auto")
    if way == "off":
        raise NotCopied("copying is off (OPTYX_CLIPBOARD=off)")
    why = ""
    if way in ("auto", "tmux") and os.environ.get("TMUX"):
        if not tmux.reaches_clipboard():
            why = "tmux knows no clipboard of this terminal (see optyx doctor)"
        elif _tmux(text):
            return "sent to the clipboard via a tmux buffer (deleted after 60 s)"
    if way == "native" or (way == "auto" and not is_remote()):
        tool = _native(text)
        if tool:
            return f"copied ({tool})"
    if way in ("auto", "osc52") and not why and write_terminal is not None:
        return _osc52(text, write_terminal)
    raise NotCopied(why or "there is no way to the clipboard from here")


def _run(command: list[str], text: str) -> bool:
    """Its output goes nowhere: xclip stays behind to serve the clipboard, and a pipe that it holds would never end."""
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run(command, input=text.encode(), stdout=quiet, stderr=quiet, timeout=3, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


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


def native_tools(env: Mapping[str, str] = os.environ) -> list[list[str]]:
    """The commands that may reach the clipboard of the screen in front of the user, in the order in which they are tried."""
    path = env.get("PATH")
    has_screen = bool(env.get("DISPLAY") or env.get("WAYLAND_DISPLAY"))
    if not has_screen and not shutil.which("pbcopy", path=path) and not shutil.which("clip.exe", path=path):
        return []
    return [command for command in NATIVE if shutil.which(command[0], path=path)]


def is_remote(env: Mapping[str, str] = os.environ) -> bool:
    return bool(env.get("SSH_TTY") or env.get("SSH_CONNECTION"))


def _native(text: str) -> str:
    return next((command[0] for command in native_tools() if _run(command, text)), "")


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
