"""A preview of settings tells what would have been refused from what would have gone elsewhere or lost its fallback."""

from __future__ import annotations

import msgspec

from gateway.admin.impact import Lines, impact
from gateway.admin.schema.models import TierTarget
from gateway.admin.schema.settings import Settings
from gateway.store.settings import CallsRow
from tests.upstream import failing

PREVIEW = "/projects/default/settings:preview"
QUICK, QUICK_2 = "openai/gpt-6-luna", "google/gemini-3.5-flash-lite"
STRONG, STRONG_2 = "openai/gpt-6.1-sol", "google/gemini-4-argon"
EMBEDDING = "google/gemini-embedding-001"


def calls(tier: str, answered: str, own: list[str] | None = None) -> CallsRow:
    provider, _, model = answered.partition("/")
    return CallsRow("key_1", "ci", provider, model, tier, 7, own)


def tier(*names: str) -> list[TierTarget]:
    pairs = [name.partition("/") for name in names]
    return [TierTarget(provider=provider, model=model) for provider, _, model in pairs]


NOBODY = "no target of the tier fast is allowed"
CASES = [
    # a model by name has no other
    ("named, allowed", calls("", QUICK), {"allowed_models": ["gpt-*"]}, None),
    ("named, not allowed", calls("", QUICK), {"allowed_models": ["gemini-*"]}, ("refused", "model gpt-6-luna is not allowed")),
    ("named, never allowed to its key", calls("", QUICK, ["gemini-*"]), {"allowed_models": ["gemini-*"]}, None),
    ("named, no failover", calls("", QUICK), {"failover": False}, None),
    # an allow-list moves a tier's calls, or refuses them when it leaves nobody
    ("first goes", calls("fast", QUICK), {"allowed_models": ["gemini-*"]}, ("elsewhere", f"{QUICK_2} in place of {QUICK} (tier fast)")),
    ("second goes", calls("fast", QUICK), {"allowed_models": ["gpt-*"]}, None),
    ("nobody is left", calls("fast", QUICK), {"allowed_models": ["claude-*"]}, ("refused", NOBODY)),
    ("nobody is left to this key", calls("fast", QUICK_2, ["gemini-*"]), {"allowed_models": ["gpt-*"]}, ("refused", NOBODY)),
    ("its key had the second alone", calls("fast", QUICK_2, ["gemini-*"]), {"allowed_models": ["gemini-*"]}, None),
    (
        "only what failed is left", calls("fast", QUICK_2), {"allowed_models": ["gpt-*"]},
        ("no_fallback", f"the tier fast asks {QUICK} alone, and {QUICK_2} answered"),
    ),
    # failover
    ("no failover, the first answered", calls("fast", QUICK), {"failover": False}, None),
    (
        "no failover, the second answered", calls("fast", QUICK_2), {"failover": False},
        ("no_fallback", f"the tier fast asks {QUICK} alone, and {QUICK_2} answered"),
    ),
    # a tier's own targets
    ("the same targets", calls("fast", QUICK), {"tiers": {"fast": tier(QUICK, QUICK_2)}}, None),
    ("turned round", calls("fast", QUICK), {"tiers": {"fast": tier(QUICK_2, QUICK)}}, ("elsewhere", f"{QUICK_2} in place of {QUICK} (tier fast)")),
    ("turned round, the second answered", calls("fast", QUICK_2), {"tiers": {"fast": tier(QUICK_2, QUICK)}}, None),
    ("one more behind", calls("fast", QUICK_2), {"tiers": {"fast": tier(QUICK, QUICK_2, STRONG)}}, None),
    (
        "another in between", calls("fast", QUICK_2), {"tiers": {"fast": tier(QUICK, STRONG, QUICK_2)}},
        ("elsewhere", f"{STRONG} in place of {QUICK_2} (tier fast)"),
    ),
    ("another tier's", calls("fast", QUICK), {"tiers": {"smart": tier(STRONG_2)}}, None),
    (
        "a provider without its credential", calls("fast", QUICK), {"tiers": {"fast": tier("anthropic/claude-haiku-4-5")}},
        ("refused", "no target of the tier fast that is allowed can answer"),
    ),
    ("one without its credential before it", calls("fast", QUICK), {"tiers": {"fast": tier("anthropic/claude-haiku-4-5", QUICK)}}, None),
    ("a model that was no target when it answered", calls("fast", STRONG), {"failover": True}, None),
    # vectors of two models don't mix
    ("embeddings, nobody", calls("embedding", EMBEDDING), {"allowed_models": ["gpt-*"]}, ("refused", "no target of the tier embedding is allowed")),
    # another default tier
    (
        "default", calls("fast", QUICK), {"default_tier": "smart"},
        ("elsewhere", f"{STRONG} (tier smart) in place of {QUICK}, unless the call asked for the tier fast"),
    ),
    ("default, not of this tier", calls("smart", STRONG), {"default_tier": "smart"}, None),
    ("default, the same by name", calls("fast", QUICK), {"default_tier": "fast"}, None),
    (
        "default, and nobody there", calls("fast", QUICK), {"default_tier": "smart", "allowed_models": ["gpt-6-luna"]},
        ("refused", "no target of the tier smart is allowed, unless the call asked for the tier fast"),
    ),
    ("nothing that matters", calls("fast", QUICK), {"capture": True, "timezone": "Europe/Berlin"}, None),
]  # fmt: skip


async def test_every_change_has_its_outcome(gateway):
    catalog = gateway.worker.refresh.catalog
    assert "anthropic/claude-haiku-4-5" in catalog.models
    before = Lines(Settings(), catalog)
    for name, row, change, effect in CASES:
        after = Lines(msgspec.structs.replace(Settings(), **change), catalog)
        told = [(one.outcome, one.reason, one.requests) for one in impact([row], before, after)]
        assert told == ([] if effect is None else [(*effect, 7)]), name


async def test_what_the_present_settings_would_refuse_is_not_the_change_s(gateway):
    catalog = gateway.worker.refresh.catalog
    narrow = Settings(allowed_models=["claude-*"])
    rows = [calls("", QUICK), calls("fast", QUICK)]
    wider = Settings(allowed_models=["claude-*", "gemini-*"])
    assert impact(rows, Lines(narrow, catalog), Lines(wider, catalog)) == []
    assert impact(rows, Lines(narrow, catalog), Lines(narrow, catalog)) == []


async def test_the_worst_comes_first_and_a_key_s_calls_are_added_up(gateway):
    catalog = gateway.worker.refresh.catalog
    rows = [calls("fast", QUICK), calls("fast", QUICK_2), calls("", QUICK), calls("", QUICK), calls("smart", STRONG)]
    told = impact(rows, Lines(Settings(), catalog), Lines(Settings(allowed_models=["gemini-*"]), catalog))
    assert [(one.outcome, one.requests) for one in told] == [("refused", 14), ("elsewhere", 7), ("elsewhere", 7)]


async def test_calls_that_were_made_are_told_apart(gateway):
    gateway.upstream.enqueue(failing(500))
    fallen_back = await gateway.chat()
    assert fallen_back.headers["x-optyx-provider"] == "google"
    gateway.trust_everybody()
    for answered in (fallen_back, await gateway.chat(), await gateway.chat(model="gpt-6-luna")):
        assert answered.status == 200
        await gateway.row(answered.request_id)

    async def preview(**change):
        told = (await gateway.admin("POST", PREVIEW, change)).json
        assert told["examined"] == 3
        assert (
            sum(one["requests"] for one in told["impact"]) == told["refused"] + told["elsewhere"] + told["no_fallback"]
        )
        return told["refused"], told["elsewhere"], told["no_fallback"]

    assert await preview(allowed_models=["gemini-*"]) == (1, 1, 0)
    assert await preview(allowed_models=["gpt-*"]) == (0, 0, 1)
    assert await preview(failover=False) == (0, 0, 1)
    assert await preview(allowed_models=["claude-*"]) == (3, 0, 0)
    assert await preview(default_tier="smart") == (0, 2, 0)
    assert await preview(capture=True) == (0, 0, 0)
