"""What may be called: models, their prices, and tiers."""

from __future__ import annotations

from gateway.admin.schema.record import Record


class Model(Record):
    """`upstream_name`: what its provider calls it. Prices are those in force now, nano-USD per million tokens."""

    id: str = ""
    upstream_name: str = ""
    is_free: bool = False
    price_id: str | None = None
    version: int = 0
    provider: str = ""
    mode: str = "chat"
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    enabled: bool = True
    input_nusd: int | None = None
    output_nusd: int | None = None
    cached_nusd: int | None = None
    requests_24h: int = 0
    ttft_p95_ms: float | None = None


class SavedModel(Model):
    audit_id: str | None = None


class Price(Record):
    """Dollars per million tokens as decimal strings, in force from `effective_from` until the model's next price."""

    id: str = ""
    provider: str = ""
    model: str = ""
    effective_from: str = ""
    input_usd: str = "0.00"
    output_usd: str = "0.00"
    cached_input_usd: str | None = None
    cache_write_usd: str | None = None
    above_tokens: int | None = None
    """Prompts longer than this cost the `above_…` prices, as a whole."""
    above_input_usd: str | None = None
    above_output_usd: str | None = None
    above_cached_input_usd: str | None = None
    above_cache_write_usd: str | None = None
    source: str = ""
    created_at: str = ""


class SavedPrice(Price):
    audit_id: str | None = None


class TierTarget(Record):
    """`timeouts`: milliseconds by name, where the tier sets its own."""

    provider: str = ""
    model: str = ""
    timeouts: dict[str, int | None] | None = None


class Tier(Record):
    name: str = ""
    mode: str = "chat"
    targets: list[TierTarget] = []
    stand_in: TierTarget | None = None
    """A demo's sandbox: asked before the targets while it runs, and stored nowhere."""
    version: int = 0


class SavedTier(Tier):
    audit_id: str | None = None
