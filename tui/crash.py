"""Where a traceback goes, should the dashboard end by a mistake of its own."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from tui import clock


def crash_file(error: BaseException | None) -> Path:
    """Writes the traceback (0600), and says where."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    path = Path(base) / "optyx" / "tui.log"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as file:
        file.write(f"{clock.moment():%Y-%m-%dT%H:%M:%SZ}\n")
        file.writelines(traceback.format_exception(error) if error else [])
    return path
