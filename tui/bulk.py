"""One change to many things: each is tried, and what failed is named beside what was done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.admin.schema.record import Changed
from tui.wire import GatewayError

T = TypeVar("T")


@dataclass
class Outcome:
    """`audit_ids`: what undoes the changes that were made, newest last."""

    done: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    audit_ids: list[str] = field(default_factory=list)

    def said(self, verb: str, undo: str = "") -> str:
        """`Disabled a, b.`, or `5 of 7 disabled. 2 failed: demo-key (expired), …`."""
        if not self.failed:
            return f"{verb.capitalize()} {', '.join(self.done)}.{undo if self.done else ''}"
        problems = ", ".join(f"{name} ({why})" for name, why in self.failed)
        return f"{len(self.done)} of {len(self.done) + len(self.failed)} {verb}. {len(self.failed)} failed: {problems}."


def each(things: Sequence[T], name: Callable[[T], str], change: Callable[[T], Changed]) -> Outcome:
    """Raises Unreachable when the gateway goes away; a refusal of one thing does not stop the others."""
    outcome = Outcome()
    for thing in things:
        try:
            changed = change(thing)
        except GatewayError as error:
            outcome.failed.append((name(thing), f"{error.status} {error.code}".strip()))
        else:
            outcome.done.append(name(thing))
            if changed.audit_id:
                outcome.audit_ids.append(changed.audit_id)
    return outcome
