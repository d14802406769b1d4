"""What the request path knows of limits: ask, hold, settle. Implemented by `shares` over Postgres (and Redis for rates).

A step of the proxy calls `take` once per call, before the intent is journaled. It answers at once from shares the worker already
holds (no await), and only when a share is short does it hand back an awaitable. Either it gives a Hold for *all* limits and
budgets that apply, or it raises and nothing is taken:

- `errors.LimitReached` (type `requests`, `tokens` or `concurrency`, code `rate_limit_exceeded`; for money type and code
  `insufficient_quota`): the message names the limit, its scope, its window and when it resets; `retry_after_s` is the true wait.
- `errors.Unavailable` code `budget_unavailable`: the coordinator is gone and the shares are spent.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, runtime_checkable

import msgspec

from gateway.catalog import Rules


class Need(msgspec.Struct):
    """What a call may use at most: `tokens` (prompt estimate + max output) and `cost_nusd` (their worst-case price over the targets
    that may be tried; None: unpriced). `user` is the end user's name, `model` and `tier` choose the rules that count it."""

    org_id: str
    project_id: str
    key_id: str
    user: str | None
    model: str
    tier: str | None
    tokens: int
    cost_nusd: int | None
    created_at: float
    rules: tuple[Rules, ...]
    """Of the org, the project, the key and the project's end users: in this order."""


@runtime_checkable
class Hold(Protocol):
    """What was set aside for one call. Exactly one of `settle` or `release` is called, once, on every ending; both are synchronous."""

    def settle(self, tokens: int, cost_nusd: int) -> None:
        """The call is over and journaled: turn the hold into what it really cost."""
        ...

    def release(self) -> None:
        """Nothing was used (refused, or no upstream was reached): give all of it back, requests included."""
        ...

    def headers(self) -> dict[str, str]:
        """OpenAI's `x-ratelimit-*` names for the tightest of our own limits; empty when none is set."""
        ...


class Limits(Protocol):
    def take(self, need: Need) -> Hold | Awaitable[Hold]: ...

    def ingested(self, costs: list[IngestedCost]) -> None:
        """The logbook has committed these: their amounts left the worker's shares in the same transaction."""
        ...


class IngestedCost(msgspec.Struct):
    """One budget window moved by a committed batch of this worker's rows."""

    budget_id: str
    subject: str
    window_start: float
    cost_nusd: int
