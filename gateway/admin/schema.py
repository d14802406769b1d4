"""What the admin API takes and gives, as structs: the one gateway module that the terminal side may import.

Every answer field has a default: a client of another version reads what it knows and leaves the rest. Times are ISO 8601 with `Z`, money
is an integer of nano-USD (`…_nusd`) or a decimal string of dollars (`…_usd`), durations carry their unit.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

import msgspec

Role = Literal["owner", "operator", "viewer"]
KeyStatus = Literal["active", "unused", "disabled", "expired", "grace", "revoked"]
Severity = Literal["error", "warning", "info"]


class Record(msgspec.Struct, kw_only=True):
    """An answer. Unknown fields are ignored on reading."""


T = TypeVar("T")


class Page(Record, Generic[T]):
    """A list. `next` is the cursor of the page after, None at the end."""

    data: list[T] = []
    next: str | None = None


class Whoami(Record):
    name: str = ""
    token_id: str = ""
    role: str = "viewer"
    org_id: str = ""
    version: str = ""
    timezone: str = "UTC"
    """The zone in which days and months of reports begin."""


# The overview


class Rates(Record):
    """One span of time, and how it went inside: the lists have one value a step, oldest first."""

    requests_per_s: float = 0.0
    requests_per_s_before: float | None = None
    """The same an hour before."""
    requests: int = 0
    looked_at: int = 0
    """How many of them the figures come from: fewer than `requests` on a busy log, and then each stands for several."""
    errors: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    top_error: str = ""
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    ttft_p50_ms: float | None = None
    ttft_p95_ms: float | None = None
    overhead_p95_ms: float | None = None
    stream_share: float = 0.0
    prompt_tokens_per_min: float = 0.0
    completion_tokens_per_min: float = 0.0
    cached_share: float = 0.0
    failover_share: float = 0.0
    retry_share: float = 0.0
    requests_series: list[float] = []
    errors_series: list[float] = []
    latency_series: list[float] = []
    ttft_series: list[float] = []
    tokens_series: list[float] = []
    failover_series: list[float] = []


class Spend(Record):
    today_nusd: int = 0
    yesterday_nusd: int = 0
    forecast_nusd: int | None = None
    """Where today ends if it goes on like this."""
    series: list[float] = []
    unpriced_calls: int = 0


class InFlight(Record):
    calls: int = 0
    streams: int = 0
    oldest_s: float = 0.0
    workers: int = 0
    series: list[float] = []


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


class TopRow(Record):
    """A project, key or model by spend."""

    id: str = ""
    name: str = ""
    requests_per_s: float = 0.0
    error_share: float = 0.0
    ttft_p95_ms: float | None = None
    tokens_per_min: float = 0.0
    today_nusd: int = 0
    budget_share: float | None = None
    series: list[float] = []


class Attention(Record):
    """`filter`: of the logs behind it; `screen` and `object`: where to go."""

    severity: Severity = "warning"
    title: str = ""
    detail: str = ""
    since: str | None = None
    screen: str = ""
    object: str = ""
    filter: str = ""


class Attempt(Record):
    """One try of one target. `start_ms` counts from the call's arrival."""

    provider: str = ""
    model: str = ""
    status: int | None = None
    failure: str | None = None
    detail: str | None = None
    ms: float = 0.0
    start_ms: float = 0.0
    ttft_ms: float | None = None
    cost_nusd: int | None = None
    reused: bool | None = None


class LogRow(Record):
    """A call, as lists and the tail show it."""

    request_id: str = ""
    call_id: str = ""
    created_at: str = ""
    project: str = ""
    project_id: str = ""
    key: str = ""
    key_id: str = ""
    endpoint: str = ""
    tier: str | None = None
    requested_model: str | None = None
    provider: str | None = None
    model: str | None = None
    status: int = 0
    error_code: str | None = None
    end_reason: str = ""
    stream: bool = False
    attempts: list[Attempt] = []
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    usage_source: str = "none"
    cost_nusd: int | None = None
    price_id: str | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None
    overhead_ms: float | None = None
    user: str | None = None
    tags: list[str] | None = None
    gateway_version: str = ""


class PriceUsed(Record):
    """Nano-USD per million tokens, as they stood when the call was priced."""

    id: str = ""
    input_nusd: int | None = None
    cached_nusd: int | None = None
    cache_write_nusd: int | None = None
    output_nusd: int | None = None
    valid_from: str | None = None
    source: str = ""


class Body(Record):
    """A captured payload, redacted. `text` is None when nothing was captured; `why_not` then says so."""

    text: str | None = None
    redactions: int = 0
    truncated: bool = False
    why_not: str = ""


class RouteCandidate(Record):
    """`verdict`: answered, failed, passed over (its turn came, and it was not even asked), not reached, left out (of the line)."""

    provider: str = ""
    model: str = ""
    verdict: str = ""
    why: str = ""
    attempts: int = 0


class CallRoute(Record):
    """Why a call went where it went. `policy`: model (the caller named one) or tier; `candidates` in the order of their turns, then those left
    out. `limits` as the worker knew them just before: `left` is what was free then. `refusal` is what we told the caller instead of asking
    anybody. `is_whole` false: the record is from a version that kept only what was tried."""

    why: str = ""
    policy: str = ""
    is_whole: bool = False
    candidates: list[RouteCandidate] = []
    limits: list[ToldLimit] = []
    refusal: str | None = None


class LogDetail(LogRow):
    route: CallRoute = msgspec.field(default_factory=CallRoute)
    price: PriceUsed | None = None
    cache_write_tokens: int | None = None
    worker_id: str = ""
    details: dict[str, Any] | None = None
    request_body: Body | None = None
    response_body: Body | None = None


class LogPage(Record):
    data: list[LogRow] = []
    next: str | None = None
    scanned_to: str | None = None
    """Set when the search stopped before the end of the asked range: how far back it looked."""


class LogCount(Record):
    """What matches, what there is in the same range without the filter, and how it spreads over the range."""

    matched: int = 0
    total: int = 0
    since: str = ""
    until: str = ""
    series: list[float] = []
    error_series: list[float] = []
    truncated: bool = False


class Overview(Record):
    window: str = "15m"
    generated_at: str = ""
    timezone: str = "UTC"
    price_table_at: str | None = None
    rates: Rates = msgspec.field(default_factory=Rates)
    spend: Spend = msgspec.field(default_factory=Spend)
    in_flight: InFlight = msgspec.field(default_factory=InFlight)
    providers: list[TargetHealth] = []
    models: list[TargetHealth] = []
    top_projects: list[TopRow] = []
    top_keys: list[TopRow] = []
    top_models: list[TopRow] = []
    attention: list[Attention] = []
    latest_errors: list[LogRow] = []


# Projects, keys, settings


class Budget(Record):
    """A gauge. `spent_nusd` is recorded. Workers have drawn `drawn_nusd` beside it, which nobody else may spend: of that `unrecorded_nusd` is
    spent and not recorded yet, `held_nusd` is set aside for calls under way (both as of the workers' last heartbeats), and the rest is unused. The
    gateway computes every time."""

    id: str = ""
    scope: str = ""
    subject: str = ""
    subject_name: str = ""
    model: str = ""
    tier: str = ""
    amount_usd: str = "0"
    amount_nusd: int = 0
    window: str = "1mo"
    spent_nusd: int = 0
    unrecorded_nusd: int = 0
    held_nusd: int = 0
    drawn_nusd: int = 0
    resets_at: str | None = None
    forecast_at: str | None = None
    """When it will be used up if the last 24 hours go on; None: it lasts."""
    raise_nusd: int = 0
    raise_until: str | None = None
    soft_percent: int | None = None
    downgrade_percent: int | None = None


class Project(Record):
    id: str = ""
    slug: str = ""
    name: str = ""
    status: str = "active"
    created_at: str = ""
    updated_at: str = ""
    created_by: str = ""
    keys_total: int = 0
    keys_usable: int = 0
    default_tier: str = ""
    allowed_models: list[str] | None = None
    capture: bool = False
    requests_per_s: float = 0.0
    error_share: float | None = None
    today_nusd: int = 0
    month_nusd: int = 0
    budget: Budget | None = None
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    last_used_at: str | None = None
    spend_series: list[float] = []
    """Dollars a day, the last 30."""


class Org(Record):
    id: str = ""
    slug: str = ""
    name: str = ""
    timezone: str = "UTC"
    """In which days, weeks and months of budgets and reports begin."""
    created_at: str = ""
    updated_at: str = ""


class SavedOrg(Org):
    audit_id: str | None = None


class Key(Record):
    id: str = ""
    name: str = ""
    public_id: str = ""
    project_id: str = ""
    project: str = ""
    status: str = "active"
    created_at: str = ""
    created_by: str = ""
    expires_at: str | None = None
    grace_until: str | None = None
    last_used_at: str | None = None
    allowed_models: list[str] | None = None
    requests_24h: int = 0
    cost_nusd: int = 0
    budget: Budget | None = None
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    requests_series: list[float] = []
    spend_series: list[float] = []


class NewKey(Key):
    """The only answers with a secret: create and rotate. None when a repeated Idempotency-Key finds the key made already."""

    key: str | None = None
    note: str | None = None
    audit_id: str | None = None


class SavedKey(Key):
    audit_id: str | None = None


class SavedProject(Project):
    audit_id: str | None = None


class NewProject(Project):
    """`key`: the first key, where one was asked for; shown once like any other."""

    key: NewKey | None = None
    note: str | None = None
    audit_id: str | None = None


class TierTarget(Record):
    """`timeouts`: milliseconds by name, where the tier sets its own."""

    provider: str = ""
    model: str = ""
    timeouts: dict[str, int | None] | None = None


class Settings(Record):
    """None: the gateway's own value holds."""

    default_tier: str | None = None
    tiers: dict[str, list[TierTarget]] | None = None
    allowed_models: list[str] | None = None
    failover: bool = True
    capture: bool = False
    timezone: str | None = None
    version: int = 0
    updated_at: str = ""
    updated_by: str = ""


class SavedSettings(Settings):
    audit_id: str | None = None


class Problem(Record):
    field: str = ""
    message: str = ""


class Difference(Record):
    field: str = ""
    before: Any = None
    after: Any = None


class Impact(Record):
    """What the last 24 hours would have met: calls of one key that the change would refuse."""

    key: str = ""
    key_id: str = ""
    requests: int = 0
    reason: str = ""


class Preview(Record):
    problems: list[Problem] = []
    differences: list[Difference] = []
    refused: int = 0
    examined: int = 0
    impact: list[Impact] = []


class SettingsVersion(Record):
    version: int = 0
    at: str = ""
    by: str = ""
    summary: str = ""
    """What it changed, in a line."""
    values: dict[str, Any] = {}
    """All that it says, as in the settings themselves."""


class Changed(Record):
    """The answer to a change without a better one: what to give to `/undo` within 30 s."""

    audit_id: str | None = None


# Limits


class Gauge(Record):
    """A rate now against its limit; None: no limit."""

    used: float = 0.0
    limit: int | None = None


class LimitRow(Record):
    scope: str = ""
    subject: str = ""
    name: str = ""
    rpm: Gauge = msgspec.field(default_factory=Gauge)
    tpm: Gauge = msgspec.field(default_factory=Gauge)
    concurrency: Gauge = msgspec.field(default_factory=Gauge)
    refused_24h: int = 0


class LimitsOverview(Record):
    """A page: `limit` budgets and rates in all, budgets first. The last refusals come with the first page."""

    timezone: str = "UTC"
    next: str | None = None
    budgets: list[Budget] = []
    rates: list[LimitRow] = []
    latest_refusals: list[LogRow] = []


class BudgetAsked(Record):
    """`soft_percent`: warn there; `downgrade_percent`: use the tier's cheaper targets from there on."""

    id: str = ""
    amount_usd: str = ""
    window: str = "1mo"
    soft_percent: int | None = None
    downgrade_percent: int | None = None


class LimitSet(Record):
    """None: no limit."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    budgets: list[BudgetAsked] = []


class Limits(LimitSet):
    """What `GET` and `PUT …/limits` carry: limits of all calls, and of calls of single models and tiers."""

    models: dict[str, LimitSet] = {}
    tiers: dict[str, LimitSet] = {}


class SavedLimits(Limits):
    audit_id: str | None = None


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


# Providers, models, audit


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


class Tier(Record):
    name: str = ""
    mode: str = "chat"
    targets: list[TierTarget] = []
    version: int = 0


class SavedTier(Tier):
    audit_id: str | None = None


class User(Record):
    """`role`: in the org; None: no member."""

    id: str = ""
    email: str = ""
    name: str = ""
    role: str | None = None
    org_id: str | None = None
    disabled: bool = False
    created_at: str = ""


class SavedUser(User):
    audit_id: str | None = None


class Token(Record):
    """An administrator's token; its text is in the answer to its creation and nowhere else."""

    id: str = ""
    name: str = ""
    public_id: str = ""
    role: str = "viewer"
    user_id: str | None = None
    status: str = "active"
    created_by: str = ""
    created_at: str = ""
    expires_at: str | None = None
    last_used_at: str | None = None


class NewToken(Token):
    token: str | None = None
    note: str | None = None
    audit_id: str | None = None


class SavedToken(Token):
    audit_id: str | None = None


class GatewaySettings(Record):
    """What an operator sets for the whole gateway; docs/settings.md says what each means."""

    default_max_output_tokens: int = 4_096
    rate_without_coordinator: str = "share"
    unpriced_with_budget: str = "refuse"
    log_retention_days: int = 90
    capture_retention_days: int = 7
    alert_webhook: str | None = None


class SavedGatewaySettings(GatewaySettings):
    audit_id: str | None = None


class AuditEntry(Record):
    """`before` and `after` hold what changed; secrets never do. `id` grows with time."""

    id: str = ""
    at: str = ""
    actor: str = ""
    action: str = ""
    object_type: str = ""
    object_id: str = ""
    object_name: str = ""
    project: str = ""
    origin: str = ""
    result: str = "ok"
    reason: str = ""
    request_id: str = ""
    undone_by: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    digest: str = ""


class BooksFinding(Record):
    """One thing that does not add up: what it is, and both sides of it."""

    what: str = ""
    found: str = ""


class BooksCheck(Record):
    """One claim about the books. `findings` counts all of them, `examples` are the first twenty."""

    name: str = ""
    claim: str = ""
    ok: bool = False
    findings: int = 0
    examples: list[BooksFinding] = []


class Books(Record):
    """Every check in one snapshot of the database. Rows are compared from `since` on: what retention has dropped can't be."""

    ok: bool = False
    at: str = ""
    since: str | None = None
    took_ms: float = 0.0
    checks: list[BooksCheck] = []


class RepricedModel(Record):
    """One provider's model: rows looked at, rows that change, and sums over all rows looked at."""

    provider: str = ""
    model: str = ""
    rows: int = 0
    changed: int = 0
    before_nusd: int = 0
    after_nusd: int = 0
    unpriced_before: int = 0
    unpriced_after: int = 0


class Repricing(Record):
    """A dry run (`applied` false, `id` null), or what was done."""

    id: str | None = None
    applied: bool = False
    since: str = ""
    until: str = ""
    rows: int = 0
    changed: int = 0
    before_nusd: int = 0
    after_nusd: int = 0
    unpriced_before: int = 0
    unpriced_after: int = 0
    models: list[RepricedModel] = []


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


class Resealed(Record):
    """What was sealed with an older key and is now under the first one. `unreadable`: none of the keys opens it."""

    credentials: int = 0
    bodies: int = 0
    unreadable: int = 0


class Chain(Record):
    """The audit's hash chain, checked from its first entry."""

    ok: bool = False
    entries: int = 0
    head: str = ""
    broken_at: str | None = None


# What would happen


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
    """`refusal` None: the call would go to the target whose verdict is `asked`. Health and shares are those of the worker that answers."""

    status: int = 200
    refusal: ToldRefusal | None = None
    endpoint: str = ""
    project: str = ""
    key: str = ""
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
