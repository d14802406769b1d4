"""What calls draw from (a budget's window, a minute of requests or tokens, a set of slots), and what the coordinators are asked."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from gateway.catalog import Scope

Kind = Literal["money", "requests", "tokens", "slots"]
Key = tuple[Kind, str, str, float]
Stood = tuple[int, tuple[msgspec.Raw, int, int]]
"""How one limit stood, as it goes into a call's record: what the call needs of it, then what limit it is (scope, name, kind, window, size: as JSON),
what of it this worker had free, and what was free elsewhere when it last heard."""
Back = tuple[float, int]
"""Part of a rate that was not used after all: how many seconds ago it was taken, and how much."""

RATE_WINDOW_S = 60.0
RATE_SHARE_S = 0.4
"""A share of a rate must be used within this; it counts in the window for RATE_WINDOW_S + RATE_SHARE_S."""
MONEY_LEASE_S = 50.0
SLOT_LEASE_S = 30.0
"""A share lives this long after its worker's last word. The worker itself stops using it a tenth sooner."""


class Pool(msgspec.Struct, frozen=True):
    """One thing that is limited. `key` is its identity; `size` may change while it lives (an operator raises a limit)."""

    kind: Kind
    scope: Scope
    id: str
    subject: str
    size: int
    name: str
    """For messages: `project Default project`."""
    window: str
    model: str | None = None
    """Counts only calls that this model answers."""
    start: float = 0.0
    end: float = 0.0
    timezone: str = "UTC"

    @property
    def key(self) -> Key:
        return self.kind, self.id, self.subject, self.start


class Draw(msgspec.Struct, frozen=True):
    """Ask for at least `least` of a pool (0: only to be told); more is welcome when there is plenty, in pieces of `call` (0: of `least`).
    `back` goes back first."""

    pool: Pool
    least: int
    back: tuple[Back, ...] = ()
    call: int = 0
    """What one call needs: a part of it may be at hand already, and then `least` is the rest."""


class Drawn(msgspec.Struct):
    """`granted` is 0 or at least what was asked. `left` is what nobody holds, `lent` what other workers hold and may not need, `have`
    the coordinator's count of this worker's share after the grant (money and slots), `retry_after_s` when there may be more, `recorded`
    what is spent already (money)."""

    granted: int
    left: int
    lent: int
    retry_after_s: float
    have: int = 0
    recorded: int = 0


class Return(msgspec.Struct, frozen=True):
    """`amount` of a money or slot share goes back (0: only to say that the rest is in use); of a rate what `back` says."""

    pool: Pool
    amount: int = 0
    back: tuple[Back, ...] = ()


class Renewal(msgspec.Struct, frozen=True):
    """A money or slot share lives on: `amount` is all of it, `held` what calls under way use of it."""

    pool: Pool
    amount: int
    held: int


class CoordinatorAway(Exception):
    """The coordinator can't be asked."""


class Coordinator(Protocol):
    """Each in one round trip or a few; each raises CoordinatorAway."""

    async def draw(self, draws: list[Draw]) -> list[Drawn]: ...

    async def give_back(self, returns: list[Return]) -> None: ...

    async def renew(self, renewals: list[Renewal]) -> list[int]:
        """What the coordinator counts as ours of each."""
        ...

    async def ask_back(self, pools: list[Pool]) -> None:
        """Tell the other workers that what they don't need of these is wanted."""
        ...
