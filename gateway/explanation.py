"""What the data plane tells of a request that is not made: filled by `proxy/explain`, shown by the admin API. Pure structs."""

from __future__ import annotations

import msgspec

from gateway.errors import Refusal
from gateway.limits.limits import Standing


class TargetTold(msgspec.Struct):
    """One target of the route, and what becomes of it: `asked` (this one would answer), `fallback`, `passed over`, `left out` (of the
    route) or `not reached`. Prices are nano-USD per million tokens."""

    provider: str
    model: str
    verdict: str
    why: str
    input_nusd: int | None = None
    output_nusd: int | None = None
    max_output_tokens: int | None = None
    cost_ceiling_nusd: int | None = None
    arithmetic: str = ""


class Explained(msgspec.Struct):
    """`refusal` None: the call would be sent to the target that is `asked`."""

    endpoint: str
    project: str
    key: str
    allowed_addresses: list[str] | None = None
    """Where the key may be used from; None: from everywhere."""
    status: int = 200
    refusal: Refusal | None = None
    tier: str | None = None
    requested_model: str | None = None
    stream: bool = False
    user: str | None = None
    tags: list[str] | None = None
    why: str = ""
    targets: list[TargetTold] = []
    limits: list[Standing] = []
    prompt_tokens_estimate: int | None = None
    max_output_tokens: int | None = None
    cost_ceiling_nusd: int | None = None
    arithmetic: str = ""
