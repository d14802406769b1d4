"""What would happen to a request: the answer of `explain`."""

from __future__ import annotations

from gateway.admin.schema.record import Record


class ToldRefusal(Record):
    """The answer a caller would get, word for word."""

    status: int = 0
    code: str = ""
    type: str = ""
    message: str = ""
    param: str | None = None
    retry_after_s: float | None = None


class ToldTarget(Record):
    """`verdict`: asked, fallback, passed over, left out, not reached. Prices are nano-USD per million tokens; `cost_ceiling_nusd` is the
    most the call could cost there."""

    provider: str = ""
    model: str = ""
    verdict: str = ""
    why: str = ""
    input_nusd: int | None = None
    output_nusd: int | None = None
    max_output_tokens: int | None = None
    cost_ceiling_nusd: int | None = None
    arithmetic: str = ""


class ToldLimit(Record):
    """A limit that counts the call: `needs` of `size`, of which `left` is free (None: it can't be asked now). Money in nano-USD."""

    scope: str = ""
    name: str = ""
    kind: str = ""
    window: str = ""
    size: int = 0
    needs: int = 0
    left: int | None = None
    is_enough: bool = True
    resets_at: str | None = None


class Explanation(Record):
    """`refusal` None: the call would go to the target whose verdict is `asked`. Health and shares are those of the worker that answers.
    `allowed_addresses`: where the key may be used from, which is looked at when an `address` was given; null: everywhere."""

    status: int = 200
    refusal: ToldRefusal | None = None
    endpoint: str = ""
    project: str = ""
    key: str = ""
    allowed_addresses: list[str] | None = None
    tier: str | None = None
    requested_model: str | None = None
    why: str = ""
    stream: bool = False
    user: str | None = None
    tags: list[str] | None = None
    targets: list[ToldTarget] = []
    limits: list[ToldLimit] = []
    prompt_tokens_estimate: int | None = None
    max_output_tokens: int | None = None
    cost_ceiling_nusd: int | None = None
    cost_ceiling_usd: str | None = None
    arithmetic: str = ""
