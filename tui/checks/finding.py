"""What a check of `optyx doctor` tells: a claim that holds, or what is wrong, why it matters and the exact fix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "problem", "skipped"]


@dataclass
class Finding:
    """`what`: one sentence. `mend`: does the fix where it is safe and local (`--fix`), and says what it did."""

    group: str
    check: str
    state: State
    what: str
    why: str = ""
    fix: str = ""
    mend: Callable[[], str] | None = None

    def told(self) -> dict[str, Any]:
        shown = asdict(self)
        shown.pop("mend")
        return {**shown, "fixable": self.mend is not None}


def ok(group: str, check: str, what: str) -> Finding:
    return Finding(group, check, "ok", what)


def problem(group: str, check: str, what: str, why: str, fix: str, mend: Callable[[], str] | None = None) -> Finding:
    return Finding(group, check, "problem", what, why, fix, mend)


def skipped(group: str, check: str, what: str) -> Finding:
    return Finding(group, check, "skipped", what)
