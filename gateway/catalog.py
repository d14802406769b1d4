"""What a worker knows: immutable, swapped whole by one assignment. Built by `refresh` (or a test), read by every step of `proxy`.

Plain slotted structs, no behaviour but look-ups. Money is nano-USD, times are epoch seconds, durations say their unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NewType

import msgspec

from gateway.ledger import Price
from gateway.networks import Networks
from gateway.secret import Secret

OrgId = NewType("OrgId", str)
ProjectId = NewType("ProjectId", str)
KeyId = NewType("KeyId", str)
ProviderId = NewType("ProviderId", str)

Kind = Literal["openai", "google", "anthropic"]
Mode = Literal["chat", "embedding"]
Scope = Literal["org", "project", "key", "user"]
Window = Literal["1h", "1d", "7d", "30d", "1mo", "total"]

TIERS = ("fast", "smart", "embedding")


class Timeouts(msgspec.Struct, frozen=True):
    """Milliseconds. `first_byte_ms` is for streams, `whole_ms` for whole answers; `total_ms` None: no bound on a stream."""

    connect_ms: int = 5_000
    first_byte_ms: int = 120_000
    idle_ms: int = 60_000
    whole_ms: int = 600_000
    total_ms: int | None = None


class Provider(msgspec.Struct, frozen=True, eq=False):
    """An upstream account. `credential` None with `needs_credential`: not configured, `credential_variable` says what to set."""

    id: ProviderId
    name: str
    kind: Kind
    base_url: str
    credential: Secret | None = None
    needs_credential: bool = True
    credential_variable: str | None = None
    enabled: bool = True
    timeouts: Timeouts = Timeouts()
    max_connections: int = 2_000
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    is_sandbox: bool = False
    """Invents its answers; stands in for OpenAI in a demo, also when OPTYX_FORCE_OPENAI_FAILOVER makes that fail."""


class Model(msgspec.Struct, frozen=True, eq=False):
    """A model as callers name it (`id`), and as its provider does (`upstream_name`). Prices are sorted, newest last."""

    id: str
    provider: Provider
    upstream_name: str
    mode: Mode
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    enabled: bool = True
    prices: tuple[Price, ...] = ()
    created: int = 0
    patterns: frozenset[str] = frozenset()
    """Every pattern of an allow-list that means this model too: `c*`, `cl*`, … of its id and of `provider/id`."""
    full_name: str = ""
    """`provider/id`."""
    key: tuple[str, str] = ("", "")
    """The provider's id and its name for the model: what one circuit breaker is for."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "full_name", f"{self.provider.name}/{self.id}")
        msgspec.structs.force_setattr(self, "key", (self.provider.id, self.upstream_name))

    def price_at(self, epoch_s: float) -> Price | None:
        """The price in force then, or None: unpriced."""
        prices = self.prices
        if prices and prices[-1].effective_from <= epoch_s:  # nearly always
            return prices[-1]
        return next((price for price in reversed(prices) if price.effective_from <= epoch_s), None)


class Target(msgspec.Struct, frozen=True, eq=False):
    """Provider + model, with the timeouts that hold there (the tier's own where set, else the provider's)."""

    model: Model
    timeouts: Timeouts

    @property
    def provider(self) -> Provider:
        return self.model.provider


class Budget(msgspec.Struct, frozen=True):
    """Money for a window, aligned to the calendar of `timezone`. `subject` is whose it is (an id; for `user` scope the end user's
    name is only known per call and `subject` is empty). `raise_nusd` is added until `raise_until`."""

    id: str
    scope: Scope
    subject: str
    amount_nusd: int
    window: Window
    timezone: str = "UTC"
    model: str | None = None
    tier: str | None = None
    raise_nusd: int = 0
    raise_until: float = 0.0
    soft_percent: int | None = None
    downgrade_percent: int | None = None
    name: str = ""
    """Of the org, project or key, for messages."""


class Limit(msgspec.Struct, frozen=True):
    """Rates of one subject; None: none. `model` or `tier` set: counts only such calls. For `user` scope each end user has its own."""

    id: str
    scope: Scope
    subject: str
    name: str
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    model: str | None = None
    tier: str | None = None


class Rules(msgspec.Struct, frozen=True):
    """All limits and budgets of one subject."""

    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()


NO_RULES = Rules()


class Project(msgspec.Struct, frozen=True, eq=False):
    """A project with its settings resolved: `tiers` holds the targets that hold here, its own or the gateway's."""

    id: ProjectId
    slug: str
    name: str
    org_id: OrgId
    tiers: Mapping[str, tuple[Target, ...]]
    default_tier: str = "fast"
    allowed_models: frozenset[str] | None = None
    failover: bool = True
    capture: bool = False
    timezone: str = "UTC"
    archived: bool = False
    rules: Rules = NO_RULES
    org_rules: Rules = NO_RULES
    user_rules: Rules = NO_RULES


class Key(msgspec.Struct, frozen=True, eq=False):
    """Proof of a project. Refers to it by id, so that a change of project does not touch 100,000 keys."""

    id: KeyId
    public_id: str
    name: str
    project_id: ProjectId
    digest: bytes
    disabled: bool = False
    expires_at: float | None = None
    allowed_models: frozenset[str] | None = None
    networks: Networks | None = None
    """Where it may be used from; None: from everywhere."""
    works_until: float = 0.0
    """`disabled` and `expires_at` as one number, which is all that a call compares."""

    def __post_init__(self) -> None:
        ends = math.inf if self.expires_at is None else self.expires_at
        msgspec.structs.force_setattr(self, "works_until", -math.inf if self.disabled else ends)


class Settings(msgspec.Struct, frozen=True):
    """What an operator sets for the whole gateway (rows of `settings`); defaults as shipped."""

    default_max_output_tokens: int = 4_096
    """What a hold assumes for a call without `max_tokens`, at most; also the cap on the model's own limit for such calls."""
    rate_without_coordinator: Literal["share", "allow", "refuse"] = "share"
    """Rates and slots while nobody can be asked: `share` gives each live worker its part of the limit."""
    unpriced_with_budget: Literal["refuse", "allow"] = "refuse"
    log_retention_days: int = 90
    capture_retention_days: int = 7
    alert_webhook: str | None = None


class Catalog(msgspec.Struct, frozen=True, eq=False):
    """Everything a call needs to be decided. `keys` is by SHA-256 digest; `models` by what callers may say (`id`, and
    `provider/id`); `tiers` are the gateway's own. `epoch` is the database's counter of changes."""

    epoch: int
    keys: Mapping[bytes, Key]
    projects: Mapping[str, Project]
    models: Mapping[str, Model]
    tiers: Mapping[str, tuple[Target, ...]]
    providers: Mapping[str, Provider]
    key_rules: Mapping[str, Rules] = {}
    """Limits and budgets of single keys, by key id: apart from the keys, so that a change of one touches no other."""
    settings: Settings = Settings()
    complete: bool = True
    """False while the database has not been read yet: unknown keys are then 503, not 401."""


EMPTY = Catalog(epoch=0, keys={}, projects={}, models={}, tiers={}, providers={}, complete=False)
