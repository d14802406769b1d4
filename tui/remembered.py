"""The overview as it was last seen, kept for the next start: something to read while a gateway far away is asked, or does not answer.

One file a gateway, 0600, in `$XDG_CACHE_HOME/optyx`. It holds what the overview shows, names and figures: no secret, and nothing that a
client said of its users. What can't be written or read is not missed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

import msgspec

from gateway.admin.schema.overview import Overview
from tui import private_file

LONGEST_S = 7 * 86_400.0


class Remembered:
    def __init__(self, url: str, folder: Path | None = None) -> None:
        """`folder`: another place than the user's cache."""
        base = folder or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "optyx"
        self.path = base / f"overview-{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"

    def keep(self, data: Overview) -> None:
        errors = [msgspec.structs.replace(row, user=None, tags=[]) for row in data.latest_errors]
        with contextlib.suppress(OSError):
            private_file.replace(self.path, msgspec.json.encode(msgspec.structs.replace(data, latest_errors=errors)))

    def recall(self) -> tuple[Overview, float] | None:
        """The overview and its age in seconds; None when there is none, it is of another version, or older than a week."""
        try:
            age_s = max(0.0, time.time() - self.path.stat().st_mtime)
            return (msgspec.json.decode(self.path.read_bytes(), type=Overview), age_s) if age_s < LONGEST_S else None
        except (OSError, msgspec.DecodeError):
            return None
