"""The terminal: encoding, colours, size, and what tmux does to keys and the clipboard."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping

from tui import tmux as multiplexer
from tui.checks.finding import Finding, ok, problem, skipped
from tui.clipboard import is_remote, native_tools

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
    """Its default holds escape back for half a second."""
    if not env.get("TMUX"):
        return
    if not shutil.which("tmux", path=env.get("PATH")):
        yield skipped(GROUP, "tmux", "TMUX is set, and no tmux is on the PATH.")
        return
    escape = multiplexer.ask("show-options", "-sv", "escape-time", env=env) or ""
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


def screen(env: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """GNU screen has no other screen for full-screen programs unless it is told to, and can't be asked whether it was."""
    if not env.get("STY"):
        return
    home = env.get("HOME", "")
    files = [env.get("SYSSCREENRC") or "/etc/screenrc", env.get("SCREENRC") or f"{home}/.screenrc"]
    said = [line.split() for path in files for line in _lines(path)]
    if ["altscreen", "on"] in said:
        yield ok(GROUP, "screen", "GNU screen puts back what stood there before the dashboard.")
    else:
        yield problem(
            GROUP, "screen", "GNU screen leaves standing what full-screen programs drew (altscreen is off, its default).",
            "What the dashboard showed is still in the window when it has ended, a new key's secret too.",
            "In ~/.screenrc: altscreen on (for this session: ctrl+a : altscreen on)",
        )  # fmt: skip


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readlines()
    except OSError:
        return []


def clipboard(env: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """The way a copy takes (`tui.clipboard`), tried but for its last step: the user's clipboard keeps what it holds."""
    way = env.get("OPTYX_CLIPBOARD", "auto")
    if way == "off":
        yield ok(GROUP, "clipboard", "Copying is off (OPTYX_CLIPBOARD=off).")
        return
    trouble = None
    if env.get("TMUX") and way in ("auto", "tmux"):
        trouble = _of_tmux(env)
        if trouble is None:
            yield ok(GROUP, "clipboard", "Copying goes through a tmux buffer, and on to the terminal.")
            return
    tools = [command[0] for command in native_tools(env)] if way == "native" or not is_remote(env) else []
    if tools and way in ("auto", "native"):
        instead = " What tmux is given stays in tmux." if trouble else ""
        yield ok(GROUP, "clipboard", f"Copying goes through {tools[0]}.{instead}")
    elif trouble:
        yield trouble
    elif (
        env.get("TMUX") and way == "osc52" and multiplexer.ask("show-options", "-sv", "set-clipboard", env=env) != "on"
    ):
        yield problem(
            GROUP, "clipboard", "tmux drops what programs say to the clipboard themselves (OPTYX_CLIPBOARD is osc52).",
            NOTHING_COMES, "unset OPTYX_CLIPBOARD (a tmux buffer then); or in ~/.tmux.conf: set -s set-clipboard on",
        )  # fmt: skip
    elif way == "auto" and not is_remote(env) and (env.get("DISPLAY") or env.get("WAYLAND_DISPLAY")):
        yield problem(
            GROUP,
            "clipboard",
            "No tool for the clipboard is installed.",
            "Copying relies on the terminal, which may ignore it.",
            "Install wl-clipboard (Wayland) or xclip (X11).",
        )
    elif way in ("auto", "osc52"):
        through = "GNU screen and the terminal" if env.get("STY") else "the terminal"
        yield ok(GROUP, "clipboard", f"Copying goes through {through} (OSC 52), which may ignore it.")
    else:
        yield problem(
            GROUP, "clipboard", f"There is no way to the clipboard that OPTYX_CLIPBOARD={way} allows.",
            NOTHING_COMES, "unset OPTYX_CLIPBOARD",
        )  # fmt: skip


PROBE = "optyx doctor was here"
NOTHING_COMES = "Copying a key or a request id does nothing."


def _of_tmux(env: Mapping[str, str]) -> Finding | None:
    name = f"optyx-doctor-{os.getpid()}"
    multiplexer.ask("load-buffer", "-b", name, "-", given=PROBE, env=env)
    came = multiplexer.ask("show-buffer", "-b", name, env=env)
    multiplexer.ask("delete-buffer", "-b", name, env=env)
    if came != PROBE:
        return problem(
            GROUP, "clipboard", "tmux does not give back what is put into a buffer of it.",
            NOTHING_COMES, "Is this the tmux that TMUX names? tmux -V; or OPTYX_CLIPBOARD=osc52",
        )  # fmt: skip
    if not multiplexer.reaches_clipboard(env):
        return problem(
            GROUP, "clipboard", "tmux does not know that this terminal has a clipboard.", NOTHING_COMES,
            "In ~/.tmux.conf: set -as terminal-features ',*:clipboard'; then attach anew",
        )  # fmt: skip
    return None
