"""What is left in a tmux buffer is anybody's on that socket: it goes, whoever put it there has ended or not."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import time

import pytest

from tui.clipboard import NotCopied, copy

# with what the shell itself can do: not every PATH has cat and rm
TMUX = """#!/bin/sh
case "$1" in
    load-buffer) IFS= read -r text; printf %s "$text" > "$0.$4" ;;
    delete-buffer) : > "$0.$3" ;;
    display-message) echo "/dev/pts/7 $FEATURES" ;;
    show-messages) printf '%s\n' "Terminal 0: screen for /dev/pts/6, flags=0x20:" " 192: Ms: (string) x"
        printf '%s\n' "Terminal 1: screen for /dev/pts/7, flags=0x20:" " 191: op: x" " 192: Ms: $MS" ;;
esac
"""
# as xclip does: what serves the clipboard stays behind with the output that it was given
XCLIP = """#!/bin/sh
IFS= read -r text; printf %s "$text" > "$0.got"
(exec "$PYTHON" -ISc "import time; time.sleep(20)") &
"""


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """No tmux, no SSH, no screen, no display; `install(name, script)` puts a program on the PATH."""
    for name in (
        "TMUX",
        "STY",
        "SSH_TTY",
        "SSH_CONNECTION",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "OPTYX_CLIPBOARD",
        "OPTYX_OSC52_MAX",
    ):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path))

    def install(name, script):
        program = tmp_path / name
        program.write_text(script)
        program.chmod(0o755)
        return program

    return install


def test_a_tmux_buffer_goes_also_when_the_program_that_copied_has_ended(tmp_path):
    tmux = tmp_path / "tmux"
    tmux.write_text(TMUX)
    tmux.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "TMUX": "somewhere",
        "FEATURES": "",
        "OPTYX_CLIPBOARD": "auto",
    }
    code = "from tui import clipboard; clipboard.BUFFER_LIFE_S = 1; print(clipboard.copy('sk-secret'))"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert "via a tmux buffer" in done.stdout
    (buffer,) = tmp_path.glob("tmux.*")
    assert buffer.read_text() == "sk-secret"
    deadline = time.monotonic() + 15
    while buffer.read_text():
        assert time.monotonic() < deadline, "the secret stays for everybody on that socket"
        time.sleep(0.02)


def test_a_terminal_whose_clipboard_tmux_does_not_know_is_not_said_to_have_the_text(bare, monkeypatch):
    bare("tmux", TMUX)
    monkeypatch.setenv("TMUX", "somewhere")
    monkeypatch.setenv("FEATURES", "bpaste,focus,title")
    written = []
    monkeypatch.setenv("MS", "[missing]")
    with pytest.raises(NotCopied, match="tmux knows no clipboard of this terminal"):
        copy("sk-secret", write_terminal=written.append)
    assert not written
    monkeypatch.setenv("MS", r"(string) \\E]52;%p1%s;%p2%s\\007")  # of terminal-overrides: no feature comes of it
    assert "via a tmux buffer" in copy("sk-secret", write_terminal=written.append)
    monkeypatch.delenv("MS")
    monkeypatch.setenv("FEATURES", "bpaste,clipboard,title")
    assert "via a tmux buffer" in copy("sk-secret", write_terminal=written.append)


def test_a_tool_that_stays_behind_to_serve_the_clipboard_is_not_waited_for(bare, monkeypatch):
    xclip = bare("xclip", XCLIP)
    monkeypatch.setenv("PYTHON", sys.executable)
    monkeypatch.setenv("DISPLAY", ":9")
    written = []
    assert copy("sk-secret", write_terminal=written.append) == "copied (xclip)"
    assert xclip.with_name("xclip.got").read_text() == "sk-secret"
    assert not written, "the text went to the terminal too"


def test_screen_passes_long_text_on_in_pieces(bare, monkeypatch):
    monkeypatch.setenv("STY", "1.pts")
    written = []
    assert "OSC 52" in copy("x" * 1000, write_terminal=written.append)
    pieces = re.findall(r"\x1bP(.*?)\x1b\\", written[0])
    assert max(map(len, pieces)) <= 200
    whole = re.fullmatch(r"\x1b\]52;c;(.*)\x07", "".join(pieces))
    assert whole
    assert base64.b64decode(whole[1]) == b"x" * 1000


@pytest.mark.parametrize("most", ["lots", "-1", ""])
def test_a_limit_that_is_no_number_is_taken_as_none_given(bare, monkeypatch, most):
    monkeypatch.setenv("OPTYX_OSC52_MAX", most)
    assert "OSC 52" in copy("x", write_terminal=lambda _: None)
