"""Calls, tokens and money of a period, grouped."""

from __future__ import annotations

import msgspec

from gateway.admin.schema.record import Record


class UsageRow(Record):
    """`groups`: what each group is called, by its name in `group_by`; `group` and `group_id` have all of them in one. What has no
    groups of its own (the total, the rest) stands under the first."""

    group: str = ""
    group_id: str = ""
    groups: dict[str, str] = {}
    requests: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost_nusd: int = 0
    unpriced_calls: int = 0


class Usage(Record):
    group_by: str = ""
    since: str = ""
    until: str = ""
    timezone: str = "UTC"
    data: list[UsageRow] = []
    total: UsageRow = msgspec.field(default_factory=UsageRow)
