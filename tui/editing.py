"""Text through the user's editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tui.faults import Fault, usage

if TYPE_CHECKING:
    from tui.invocation import Invocation


def edited(run: Invocation, text: str, what: str) -> str:
    """What the user made of it. Raises Fault when there is no terminal, or the editor failed."""
    if not run.may_ask:
        raise usage(f"{what} can't be edited without a terminal", "optyx settings set PATH=VALUE", "would_ask")
    return through_editor(f"# {what}\n{text}")


def through_editor(text: str) -> str:
    """What VISUAL, EDITOR or vi made of this YAML, in a file that only its owner reads and that goes afterwards. Raises Fault."""
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="optyx-") as folder:
        path = Path(folder) / "settings.yaml"
        path.write_text(text, "utf-8")
        try:
            done = subprocess.run([*shlex.split(command), str(path)], check=False)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise Fault(f"{command}: {why}", code="no_editor", hint="set EDITOR") from None
        if done.returncode != 0:
            raise Fault(f"{command} ended with {done.returncode}: nothing was changed", code="editor_failed")
        return path.read_text("utf-8")
