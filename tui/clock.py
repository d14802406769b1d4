"""The time on screen. `OPTYX_NOW` (ISO 8601) stops it, so that pictures and snapshots are the same on every day."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime


def _frozen() -> float | None:
    text = os.environ.get("OPTYX_NOW", "")
    return datetime.fromisoformat(text).timestamp() if text else None


_FROZEN = _frozen()
_absolute = False


def is_frozen() -> bool:
    return _FROZEN is not None


def now() -> float:
    """Epoch seconds."""
    return time.time() if _FROZEN is None else _FROZEN


def freeze(moment: float | None) -> None:
    """For tests: stops the clock at epoch seconds, or lets it go."""
    global _FROZEN
    _FROZEN = moment


def shows_absolute() -> bool:
    """Whether lists show moments in place of ages (`T`)."""
    return _absolute


def show_absolute(on: bool) -> None:
    global _absolute
    _absolute = on


def moment() -> datetime:
    return datetime.fromtimestamp(now(), UTC)
