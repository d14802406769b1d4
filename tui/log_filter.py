"""Flags of `optyx logs …` as one text of the filter grammar; the gateway parses and evaluates it, the client never does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from tui.filter_words import in_quotes
from tui.invocation import current

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


def filtered(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the filter's words and flags, but those named here: its function gets all of them as one `text`."""

    def wrap(command: Callable[..., None]) -> Callable[..., None]:
        given = [one for one in _parameters(_declared) if one.name not in without]
        own = [one for one in _parameters(command) if one.name != "text"]

        def run(**values: Any) -> None:
            chosen = {one.name: values.pop(one.name) for one in given}
            command(text=_text(**chosen), **values)

        run.__doc__ = command.__doc__
        run.__annotations__ = {one.name: one.annotation for one in (*given, *own)}
        run.__signature__ = inspect.Signature([*given, *own])  # type: ignore[attr-defined]  # what Typer reads
        return run

    return wrap


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    found = inspect.signature(function, eval_str=True).parameters.values()
    return [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in found]


def _declared(
    words: Words = None,
    filter: Filter = "",
    key: Key = "",
    model: Model = "",
    provider: Provider = "",
    tier: Tier = "",
    status: Status = "",
    errors: Errors = False,
    min_ttft: MinFirst = "",
    min_total: MinTotal = "",
    min_cost: MinCost = "",
    since: Since = "",
    until: Until = "",
) -> None:
    """What `filtered` gives a command."""


def _text(words: list[str] | None, filter: str, status: str, errors: bool, **fields: str) -> str:
    return text_of(words, filter, projects=current().projects, status=status or ("4xx,5xx" * errors), **fields)


def quoted(value: str) -> str:
    """A value of the grammar; in quotation marks where it holds what would end it."""
    return in_quotes(value) if not value or any(sign in value for sign in ' "\\') else value


def text_of(words: list[str] | None, filter: str, *, projects: Sequence[str] = (), **fields: str) -> str:
    """Words, --filter and flags together: all of them must hold. `min_x` means at least; an empty value is no condition; of several
    projects any will do."""
    parts = [*(words or []), filter]
    if projects:
        parts.append("project:" + ",".join(quoted(one) for one in projects))
    for name, value in fields.items():
        if not value:
            continue
        if name.startswith("min_"):
            parts.append(f"{name[4:]}:>={value.removeprefix('$')}")
        else:
            parts.append(f"{name}:{quoted(value)}")
    return " ".join(part for part in parts if part)
