"""Providers: how they are set, how they do, and the steps of a test."""

from __future__ import annotations

from gateway.admin.schema.record import Record


class TargetHealth(Record):
    """A provider, or a provider's model, in the window. `circuit`: closed, open or half_open; `state`: the one word to show."""

    id: str = ""
    name: str = ""
    state: str = "unknown"
    circuit: str = "closed"
    open_for_s: float | None = None
    failures: str = ""
    error_share: float | None = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    ttft_p95_ms: float | None = None
    requests_per_s: float | None = None
    last_error: str = ""
    last_error_at: str | None = None
    series: list[float] = []


class Provider(TargetHealth):
    kind: str = ""
    base_url: str = ""
    enabled: bool = True
    credential: str = ""
    """Where it comes from: `env:OPENAI_API_KEY`, `stored`, or empty. Never the credential."""
    credential_state: str = ""
    models: int = 0
    effect: list[str] = []
    """What its state means: which tiers go elsewhere, which have no other target."""
    next_probe_s: float | None = None
    error_series: list[float] = []
    timeouts: dict[str, int | None] = {}
    max_connections: int = 0
    on_disconnect: str = "cancel"
    is_sandbox: bool = False
    position: int = 0
    version: int = 0
    created_at: str = ""
    updated_at: str = ""


class SavedProvider(Provider):
    audit_id: str | None = None


class Step(Record):
    """One step of a provider's test. `state`: ok, failed or skipped; while it is streamed also running and waiting."""

    name: str = ""
    state: str = "ok"
    ms: float | None = None
    detail: str = ""


class ProviderTest(Record):
    steps: list[Step] = []
    ok: bool = False
