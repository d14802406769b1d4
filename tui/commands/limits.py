"""`optyx limits`: list, set, override, overrides, hits."""

from __future__ import annotations

import re
from typing import Any

import typer

from tui.faults import usage

limits = typer.Typer(no_args_is_help=True, help="Requests, tokens, calls at once, and money.")

WINDOWS = ("1h", "1d", "7d", "30d", "1mo", "total")
WORDS = {"hour": "1h", "day": "1d", "week": "7d", "month": "1mo", "ever": "total"}


def budget_of(text: str) -> dict[str, str]:
    """`500/1mo` as the API takes it. Raises Fault."""
    match = re.fullmatch(r"\$?(\d+(?:\.\d{1,9})?)/(\w+)", text)
    window = WORDS.get(match[2], match[2]) if match else ""
    if match is None or window not in WINDOWS:
        raise usage(f"--budget {text}: it is AMOUNT/WINDOW, like 500/1mo", f"windows: {', '.join(WINDOWS)}")
    return {"amount_usd": match[1], "window": window}


def body_of(rpm: int | None, tpm: int | None, concurrency: int | None, budget: list[str] | None) -> dict[str, Any]:
    """What was given, and nothing else."""
    given = {"rpm": rpm, "tpm": tpm, "concurrency": concurrency}
    body: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if budget:
        body["budgets"] = [budget_of(one) for one in budget]
    return body
