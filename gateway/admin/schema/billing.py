"""Money between an org and its operator: accounts, entries, statements, and months that are closed."""

from __future__ import annotations

from gateway.admin.schema.record import Record


class BillingAccount(Record):
    """`balance_nusd`: credits and adjustments less all usage so far; `booked_nusd`: what the entries alone say. Usage is billed to the
    org's first account."""

    id: str = ""
    org_id: str = ""
    org: str = ""
    name: str = ""
    currency: str = "USD"
    timezone: str = "UTC"
    bears_usage: bool = False
    balance_nusd: int = 0
    booked_nusd: int = 0
    created_at: str = ""


class BillingEntry(Record):
    """Append-only. The amount is what it does to the balance: a credit is positive, usage negative. `month`: posted when it was closed."""

    id: str = ""
    account: str = ""
    kind: str = ""
    amount_nusd: int = 0
    amount_usd: str = "0.00"
    month: str | None = None
    project_id: str | None = None
    project: str = ""
    provider: str | None = None
    model: str | None = None
    note: str = ""
    created_by: str = ""
    created_at: str = ""


class StatementLine(Record):
    """Usage of one group; names that the grouping leaves open are empty. Calls without a price are counted, and cost nothing here."""

    project_id: str = ""
    project: str = ""
    key_id: str = ""
    key: str = ""
    provider: str = ""
    model: str = ""
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost_nusd: int = 0
    unpriced_calls: int = 0


class Statement(Record):
    """opening + credits + adjustments - usage = closing; posted + unposted = usage. `exact` false: the month begins or ends within an hour
    whose rows are gone."""

    account: str = ""
    account_name: str = ""
    org_id: str = ""
    month: str = ""
    timezone: str = "UTC"
    since: str = ""
    until: str = ""
    closed_at: str | None = None
    exact: bool = True
    group_by: str = ""
    lines: list[StatementLine] = []
    entries: list[BillingEntry] = []
    opening_nusd: int = 0
    credits_nusd: int = 0
    adjustments_nusd: int = 0
    usage_nusd: int = 0
    posted_nusd: int = 0
    unposted_nusd: int = 0
    closing_nusd: int = 0


class Closing(Record):
    """What closing a month entered: nothing, when all of it was posted already."""

    account: str = ""
    month: str = ""
    posted_nusd: int = 0
    closed_at: str = ""
    entries: list[BillingEntry] = []
