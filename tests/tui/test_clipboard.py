"""What is left in a tmux buffer is anybody's on that socket: it goes, whoever put it there has ended or not."""

from __future__ import annotations

import os
import subprocess
import sys
import time

# with what the shell itself can do: not every PATH has cat and rm
TMUX = """#!/bin/sh
case "$1" in
    load-buffer) IFS= read -r text; printf %s "$text" > "$0.$4" ;;
    delete-buffer) : > "$0.$3" ;;
esac
"""


def test_a_tmux_buffer_goes_also_when_the_program_that_copied_has_ended(tmp_path):
    tmux = tmp_path / "tmux"
    tmux.write_text(TMUX)
    tmux.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TMUX": "somewhere", "OPTYX_CLIPBOARD": "auto"}
    code = "from tui import clipboard; clipboard.BUFFER_LIFE_S = 1; print(clipboard.copy('sk-secret'))"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert "via a tmux buffer" in done.stdout
    (buffer,) = tmp_path.glob("tmux.*")
    assert buffer.read_text() == "sk-secret"
    deadline = time.monotonic() + 15
    while buffer.read_text():
        assert time.monotonic() < deadline, "the secret stays for everybody on that socket"
        time.sleep(0.02)
