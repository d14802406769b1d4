"""What the admin API takes, as structs: a field that is not here can't be set. The answers are in `schema`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.admin.paging import PageQuery
from gateway.admin.schema.keys import KeyStatus
from gateway.admin.schema.people import Role
from gateway.catalog import Kind, Mode, Window


class Asked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A body or a query. UNSET: not given, so not changed; null where it is taken: back to the default."""


Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=120,
        pattern=r"^[^\t-\r\x85\u2028\u2029]*\S[^\t-\r\x85\u2028\u2029]*$(?!\n)",
        description="a name on one line",
    ),
]
Slug = Annotated[str, Meta(max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", examples=["acme-web"])]
Text = Annotated[str, Meta(min_length=1, max_length=500)]
ModelPattern = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^\S+$")]
ModelPatterns = Annotated[list[ModelPattern], Meta(max_length=1000)]
Cidr = Annotated[str, Meta(min_length=1, max_length=60, examples=["10.0.0.0/8"])]
Cidrs = Annotated[list[Cidr], Meta(min_length=1, max_length=100)]
Rate = Annotated[int, Meta(ge=0, le=10**12)]
Percent = Annotated[int, Meta(ge=1, le=100)]
Amount = Annotated[str, Meta(min_length=1, max_length=32)]
When = Annotated[str, Meta(min_length=1, max_length=40)]
Milliseconds = Annotated[int, Meta(ge=1, le=86_400_000)]
Tokens = Annotated[int, Meta(ge=1, le=10**9)]
Email = Annotated[str, Meta(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$", examples=["lena@example.com"])]


class OrgChange(Asked):
    name: Name | UnsetType = UNSET
    timezone: str | UnsetType = UNSET


class NewProject(Asked):
    """`slug` follows from the name when it is not given. `with_key`: the name of a first key to make along."""

    name: Name
    slug: Slug | None = None
    org: str | None = None
    with_key: Name | None = None


class ProjectChange(Asked):
    name: Name | UnsetType = UNSET
    slug: Slug | UnsetType = UNSET


class ProjectsQuery(PageQuery):
    status: Literal["active", "archived"] | None = None


class NewKey(Asked):
    """`expires_at`: a time, or a length such as 90d; null: never. `allowed_addresses`: where it may be used from; null: everywhere."""

    name: Name
    expires_at: When | None = None
    allowed_models: ModelPatterns | None = None
    allowed_addresses: Cidrs | None = None


class KeyChange(Asked):
    name: Name | UnsetType = UNSET
    expires_at: When | UnsetType | None = UNSET
    allowed_models: ModelPatterns | UnsetType | None = UNSET
    allowed_addresses: Cidrs | UnsetType | None = UNSET


class LimitsQuery(PageQuery):
    """`project` with its keys, or one `key`, by id or name; `raised`: budgets that are raised at present, and no rates."""

    project: str = ""
    key: str = ""
    raised: bool = False


class KeysQuery(PageQuery):
    status: KeyStatus | None = None


class Rotation(Asked):
    """How long the old secret goes on working: seconds, or a length such as 24h. 0: not at all. `public_id`: which secret is to be the old
    one; refused where it is no longer the key's."""

    grace_s: Annotated[int, Meta(ge=0, le=90 * 86_400)] | None = None
    grace: When | None = None
    public_id: Name | None = None


class Timeouts(Asked):
    """Milliseconds; `total_ms` null: no bound on a whole stream."""

    connect_ms: Milliseconds | UnsetType = UNSET
    first_byte_ms: Milliseconds | UnsetType = UNSET
    idle_ms: Milliseconds | UnsetType = UNSET
    whole_ms: Milliseconds | UnsetType = UNSET
    total_ms: Milliseconds | UnsetType | None = UNSET


class Target(Asked):
    provider: str
    model: str
    timeouts: Timeouts | None = None


Targets = Annotated[list[Target], Meta(max_length=20)]


class SettingsChange(Asked):
    """What is not given stays; null: the gateway's own value."""

    default_tier: str | UnsetType | None = UNSET
    tiers: dict[str, Targets] | UnsetType | None = UNSET
    allowed_models: ModelPatterns | UnsetType | None = UNSET
    failover: bool | UnsetType = UNSET
    capture: bool | UnsetType = UNSET
    timezone: str | UnsetType | None = UNSET


class Restore(Asked):
    version: Annotated[int, Meta(ge=1)]


class Budget(Asked):
    """`id`, where given, must be that of the budget with this window. Percentages that are not given stay as they are."""

    amount_usd: Amount
    window: Window = "1mo"
    id: str | None = None
    soft_percent: Percent | UnsetType | None = UNSET
    downgrade_percent: Percent | UnsetType | None = UNSET


Budgets = Annotated[list[Budget], Meta(max_length=6)]


class LimitSet(Asked):
    rpm: Rate | None = None
    tpm: Rate | None = None
    concurrency: Rate | None = None
    budgets: Budgets = []


class Limits(LimitSet):
    models: dict[ModelPattern, LimitSet] = {}
    tiers: dict[str, LimitSet] = {}


class Raise(Asked):
    add_usd: Amount
    until: When
    reason: Text | None = None


class NewProvider(Asked):
    """`credential` is the secret itself and is stored sealed; `credential_source` names a variable instead: `env:NAME`."""

    name: Annotated[str, Meta(max_length=40, pattern=r"^[a-z0-9][a-z0-9._-]*$", examples=["vllm-2"])]
    kind: Kind
    base_url: Annotated[str, Meta(max_length=500)]
    credential: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    credential_source: (
        Annotated[str, Meta(pattern=r"^(env:[A-Z][A-Z0-9_]{0,63}|none)$", examples=["env:OPENAI_API_KEY, or none"])]
        | None
    ) = None
    enabled: bool = True
    timeouts: Timeouts | None = None
    max_connections: Annotated[int, Meta(ge=1, le=100_000)] = 2_000
    on_disconnect: Annotated[str, Meta(pattern=r"^(cancel|drain)$", examples=["cancel, or drain"])] = "cancel"
    position: Annotated[int, Meta(ge=0, le=10_000)] = 100


class ProviderChange(Asked):
    """An operator may set `enabled`; everything else is the owner's."""

    enabled: bool | UnsetType = UNSET
    base_url: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET
    credential: Annotated[str, Meta(min_length=1, max_length=4096)] | UnsetType = UNSET
    credential_source: (
        Annotated[str, Meta(pattern=r"^(env:[A-Z][A-Z0-9_]{0,63}|none)$", examples=["env:OPENAI_API_KEY, or none"])]
        | UnsetType
    ) = UNSET
    timeouts: Timeouts | UnsetType = UNSET
    max_connections: Annotated[int, Meta(ge=1, le=100_000)] | UnsetType = UNSET
    on_disconnect: Annotated[str, Meta(pattern=r"^(cancel|drain)$", examples=["cancel, or drain"])] | UnsetType = UNSET
    position: Annotated[int, Meta(ge=0, le=10_000)] | UnsetType = UNSET


class ProviderTest(Asked):
    """`chat`: ask for one token of one model too, whole and streamed, which costs a little. `stream`: the answer comes step by step."""

    chat: bool = False
    model: str | None = None
    stream: bool = False


class NewModel(Asked):
    id: ModelPattern
    provider: str
    mode: Mode = "chat"
    upstream_name: ModelPattern | None = None
    max_input_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None
    enabled: bool = True
    is_free: bool = False


class ModelChange(Asked):
    upstream_name: ModelPattern | UnsetType = UNSET
    max_input_tokens: Tokens | UnsetType | None = UNSET
    max_output_tokens: Tokens | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    is_free: bool | UnsetType = UNSET


class ModelsQuery(PageQuery):
    provider: str | None = None


class NewPrice(Asked):
    """Dollars per million tokens. `effective_from` not given: from now on."""

    provider: str
    model: str
    input_usd: Amount
    output_usd: Amount
    cached_input_usd: Amount | None = None
    cache_write_usd: Amount | None = None
    above_tokens: Tokens | None = None
    above_input_usd: Amount | None = None
    above_output_usd: Amount | None = None
    above_cached_input_usd: Amount | None = None
    above_cache_write_usd: Amount | None = None
    effective_from: When | None = None
    source: Text = "entered by hand"


class PricesQuery(PageQuery):
    provider: str | None = None
    model: str | None = None


class TierChange(Asked):
    targets: Targets


TierName = Annotated[str, Meta(max_length=40, pattern=r"^[a-z0-9][a-z0-9_-]*$", examples=["fast"])]


class TierAsked(Asked):
    """`version`, where given, must be the one that is there: as If-Match, tier by tier. `stand_in` is taken as it is read, and changes nothing."""

    name: TierName
    targets: Targets
    mode: Mode | None = None
    version: int | None = None
    stand_in: Target | None = None


class TiersChange(Asked):
    """Several tiers as `data`, or one as `name` and `targets`."""

    data: Annotated[list[TierAsked], Meta(min_length=1, max_length=50)] | None = None
    name: TierName | None = None
    targets: Targets | None = None
    mode: Mode | None = None
    version: int | None = None
    stand_in: Target | None = None


class NewUser(Asked):
    email: Email
    name: Name
    role: Role = "viewer"
    org: str | None = None


class UserChange(Asked):
    name: Name | UnsetType = UNSET
    role: Role | UnsetType | None = UNSET
    disabled: bool | UnsetType = UNSET


class NewToken(Asked):
    name: Name
    role: Role = "viewer"
    user: str | None = None
    expires_at: When | None = None


class GatewaySettingsChange(Asked):
    """null: back to the default."""

    default_max_output_tokens: Tokens | UnsetType | None = UNSET
    rate_without_coordinator: Annotated[str, Meta(pattern=r"^(share|allow|refuse)$")] | UnsetType | None = UNSET
    unpriced_with_budget: Annotated[str, Meta(pattern=r"^(refuse|allow)$")] | UnsetType | None = UNSET
    log_retention_days: Annotated[int, Meta(ge=1, le=3650)] | UnsetType | None = UNSET
    capture_retention_days: Annotated[int, Meta(ge=1, le=3650)] | UnsetType | None = UNSET
    alert_webhook: Annotated[str, Meta(max_length=500, pattern=r"^https?://")] | UnsetType | None = UNSET


class AuditQuery(PageQuery):
    """`filter`: words, and `actor: action: object: project: result:` with a value; the same as the parameters of those names."""

    filter: Annotated[str, Meta(max_length=500)] | None = None
    actor: str | None = None
    action: str | None = None
    object: str | None = None
    project: str | None = None
    result: str | None = None
    since: When | None = None
    until: When | None = None
