"""What the request path knows of limits: ask, hold, settle. Implemented by `shares` over Postgres (and Redis for rates).

A step of the proxy asks once per call, before the intent is journaled. `plan` says whether anything counts the call at all. `take`
answers at once from shares the worker already holds; when one is short it gives None, and `draw` asks the coordinator. Either there is a
Hold for *all* limits and budgets that apply, or `draw` raises and nothing is taken:

- `errors.LimitReached` (type `requests`, `tokens` or `concurrency`, code `rate_limit_exceeded`; for money type and code
  `insufficient_quota`): the message names the limit, its scope, its window and when it resets; `retry_after_s` is the true wait.
- `errors.Unavailable` code `budget_unavailable`: the coordinator is gone and the shares are spent.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from gateway.catalog import Project, Rules, Target
from gateway.errors import Refusal
from gateway.limits.lines import Plan
from gateway.limits.pools import Stood


class Need(msgspec.Struct):
    """What a call may use at most: `tokens` (prompt estimate + max output) and `cost_nusd` (their worst-case price over the targets
    that may be tried). `user` is the end user's name; `targets` (that may answer) and `tier` choose the rules that count it."""

    plan: Plan
    user: str | None
    targets: tuple[Target, ...]
    tier: str | None
    tokens: int
    cost_nusd: int
    created_at: float


class Hold(Protocol):
    """What was set aside for one call. Exactly one of `settle` or `release` is called, once, on every ending; both are synchronous."""

    standing: list[Stood]
    """Its limits just before."""

    @property
    def nusd(self) -> int | None:
        """The money set aside; None when no budget counts the call."""
        ...

    def extend(self, cost_nusd: int) -> bool:
        """Sets more money aside before another attempt: the one before was billed. False: a share is too short, and nothing is taken."""
        ...

    def settle(self, tokens: int, cost_nusd: int, model: str | None) -> None:
        """The call is over and journaled: turn the hold into what it really cost. `model` answered it."""
        ...

    def release(self) -> None:
        """Nothing was used (refused, or no upstream was reached): give all of it back, requests included."""
        ...

    def header_lines(self) -> str:
        """OpenAI's `x-ratelimit-*` names for the tightest of our own limits, as lines of a head; empty when none is set."""
        ...


class Limits(Protocol):
    def plan(self, project: Project, own: Rules, user: str | None) -> Plan | None:
        """Everything that counts a call of this project; `own` are the rules of its key. None: nothing does."""
        ...

    def take(self, need: Need) -> Hold | None: ...

    async def draw(self, need: Need) -> Hold: ...

    def standing(self, need: Need) -> list[Stood]:
        """How the limits of a call that was refused stand, as far as this worker knows."""
        ...

    async def look(self, need: Need) -> list[Standing]:
        """How every limit that counts this call stands, without taking any of it."""
        ...

    def downgrade(self, need: Need) -> str | None:
        """Why this call should take a cheaper tier: a budget that counts it is used up to its `downgrade_percent`, as far as this worker
        knows. None: it should not."""
        ...


class Standing(msgspec.Struct):
    """One limit and one call: `needs` of `size`, of which `left` is free now (None: the coordinator can't be asked). `refusal` is what
    the call would get."""

    scope: str
    name: str
    kind: str
    window: str
    size: int
    needs: int
    left: int | None
    resets_at: float | None
    refusal: Refusal | None = None


class IngestedCost(msgspec.Struct):
    """One budget window moved by a committed batch of rows: by how much, and to what."""

    budget_id: str
    subject: str
    window_start: float
    cost_nusd: int
    spent_nusd: int
