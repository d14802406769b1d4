"""The terminal: encoding, colours, size, and what tmux does to keys and the clipboard."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping

from tui.checks.finding import Finding, ok, problem, skipped

GROUP = "terminal"
LEAST = (80, 24)
ESCAPE_MS = 50


def basics(env: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if encoding == "utf8":
        yield ok(GROUP, "encoding", "UTF-8.")
    else:
        yield problem(
            GROUP,
            "encoding",
            f"The terminal's encoding is {encoding or 'unknown'}.",
            "Signs and foreign text come out wrong.",
            "export LC_ALL=C.UTF-8, or OPTYX_ASCII=1",
        )
    if not sys.stdout.isatty():
        yield skipped(GROUP, "size", "stdout is no terminal.")
        return
    width, height = os.get_terminal_size()
    if (width, height) < LEAST:
        yield problem(
            GROUP,
            "size",
            f"The terminal has {width} by {height} cells.",
            "The dashboard shows less than it could.",
            f"Make it {LEAST[0]} by {LEAST[1]} or more.",
        )
    else:
        yield ok(GROUP, "size", f"{width} by {height} cells.")
    kind = env.get("TERM", "")
    if kind in ("", "dumb"):
        yield problem(
            GROUP,
            "TERM",
            f"TERM is {kind or 'not set'}.",
            "The dashboard can't draw.",
            "export TERM=xterm-256color, or use optyx-tui --plain",
        )
    else:
        yield ok(
            GROUP,
            "TERM",
            f"TERM is {kind}" + (", 24-bit colours." if env.get("COLORTERM") in ("truecolor", "24bit") else "."),
        )


def tmux(env: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Its defaults hold escape back for half a second and keep the clipboard to itself."""
    if not env.get("TMUX"):
        return
    if not shutil.which("tmux", path=env.get("PATH")):
        yield skipped(GROUP, "tmux", "TMUX is set, and no tmux is on the PATH.")
        return
    escape = _option("escape-time", env)
    if escape.isdigit() and int(escape) > ESCAPE_MS:
        yield problem(
            GROUP,
            "tmux escape-time",
            f"tmux holds escape back for {escape} ms.",
            "Leaving a view takes half a second.",
            "In ~/.tmux.conf: set -sg escape-time 10",
        )
    else:
        yield ok(GROUP, "tmux escape-time", f"tmux holds escape back for {escape or 'a few'} ms.")
    clipboard = _option("set-clipboard", env)
    if clipboard == "off":
        yield problem(
            GROUP, "tmux set-clipboard", "tmux keeps what is copied to itself (set-clipboard is off).",
            "Copying a key or a request id does not reach your clipboard.", "In ~/.tmux.conf: set -s set-clipboard external",
        )  # fmt: skip
    else:
        yield ok(GROUP, "tmux set-clipboard", f"tmux passes copied text on (set-clipboard {clipboard or 'external'}).")
    yield from _copied(env)


PROBE = "optyx doctor was here"


def _copied(env: Mapping[str, str]) -> Iterator[Finding]:
    """The way a copy takes, but for its last step: the user's clipboard keeps what it holds."""
    name = f"optyx-doctor-{os.getpid()}"
    _tmux(env, "load-buffer", "-b", name, "-", given=PROBE)
    came = _tmux(env, "show-buffer", "-b", name)
    _tmux(env, "delete-buffer", "-b", name)
    features = _tmux(env, "display-message", "-p", "#{client_termfeatures}")
    if came != PROBE:
        yield problem(
            GROUP, "tmux buffer", "tmux does not give back what is put into a buffer of it.",
            "Copying a key or a request id does nothing.", "Is this the tmux that TMUX names? tmux -V; or OPTYX_CLIPBOARD=osc52",
        )  # fmt: skip
    elif features and "clipboard" not in features.split(","):
        yield problem(
            GROUP, "tmux buffer", "tmux does not know that this terminal has a clipboard.",
            "What is copied stays in tmux: prefix ] pastes it, your own clipboard does not have it.",
            "In ~/.tmux.conf: set -as terminal-features ',*:clipboard'; then attach anew",
        )  # fmt: skip
    else:
        yield ok(
            GROUP,
            "tmux buffer",
            "What is copied goes into a tmux buffer" + (" and on to the terminal." if features else "."),
        )


def _option(name: str, env: Mapping[str, str]) -> str:
    return _tmux(env, "show-options", "-sv", name)


def _tmux(env: Mapping[str, str], *words: str, given: str = "") -> str:
    """What it says; nothing when it fails."""
    try:
        done = subprocess.run(
            ["tmux", *words], input=given, capture_output=True, text=True, timeout=3, check=False, env=dict(env)
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def clipboard(env: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    way = env.get("OPTYX_CLIPBOARD", "auto")
    tools = [
        name for name in ("pbcopy", "wl-copy", "xclip", "xsel", "clip.exe") if shutil.which(name, path=env.get("PATH"))
    ]
    has_screen = bool(env.get("DISPLAY") or env.get("WAYLAND_DISPLAY")) or sys.platform == "darwin"
    if way == "off":
        yield ok(GROUP, "clipboard", "Copying is off (OPTYX_CLIPBOARD=off).")
    elif env.get("TMUX"):
        yield ok(GROUP, "clipboard", "Copying goes through a tmux buffer.")
    elif tools and has_screen:
        yield ok(GROUP, "clipboard", f"Copying goes through {tools[0]}.")
    elif has_screen:
        yield problem(
            GROUP,
            "clipboard",
            "No tool for the clipboard is installed.",
            "Copying relies on the terminal, which may ignore it.",
            "Install wl-clipboard (Wayland) or xclip (X11).",
        )
    else:
        yield ok(GROUP, "clipboard", "Copying goes through the terminal (OSC 52), which may ignore it.")
