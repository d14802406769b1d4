"""Flags of `optyx logs …` as one text of the filter grammar; the gateway parses and evaluates it, the client never does."""

from __future__ import annotations

from typing import Annotated

import typer

Words = Annotated[
    list[str] | None, typer.Argument(metavar="[FILTER]…", help="status:5xx model:claude-* ttft:>2s words …")
]
Filter = Annotated[str, typer.Option("--filter", help="The same, as one text.")]
Key = Annotated[str, typer.Option("--key", help="Calls of this key.")]
Model = Annotated[str, typer.Option("--model", "-m", help="Calls of this model.")]
Provider = Annotated[str, typer.Option("--provider", help="Calls that this provider answered.")]
Tier = Annotated[str, typer.Option("--tier", help="Calls of this tier.")]
Status = Annotated[str, typer.Option("--status", help="200, 4xx, 5xx; commas mean or.")]
Errors = Annotated[bool, typer.Option("--errors", help="Calls that ended in an error.")]
MinFirst = Annotated[str, typer.Option("--min-ttft", help="First byte after at least this long, like 2s.")]
MinTotal = Annotated[str, typer.Option("--min-total", help="At least this long in all, like 8s.")]
MinCost = Annotated[str, typer.Option("--min-cost", help="At least this many dollars, like 0.05.")]
Since = Annotated[str, typer.Option("--since", help="15m, 2h, 7d, or a time.")]
Until = Annotated[str, typer.Option("--until", help="15m, 2h, 7d ago, or a time.")]


def quoted(value: str) -> str:
    """A value of the grammar; in quotation marks where it holds what would end it."""
    if not value or any(sign in value for sign in ' "\\'):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return value


def text_of(words: list[str] | None, filter: str, **fields: str) -> str:
    """Words, --filter and flags together: all of them must hold. `min_x` means at least; an empty value is no condition."""
    parts = [*(words or []), filter]
    for name, value in fields.items():
        if not value:
            continue
        if name.startswith("min_"):
            parts.append(f"{name[4:]}:>={value.removeprefix('$')}")
        else:
            parts.append(f"{name}:{quoted(value)}")
    return " ".join(part for part in parts if part)
