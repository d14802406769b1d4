"""What calls cost, from the usage objects that providers really send, and which price holds when."""

import asyncio
import json
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger import Price, Usage, cost_nusd
from gateway.providers import anthropic_answer, google_answer, openai

DOLLAR = 1_000_000_000
PLAIN = Price("plain", 2 * DOLLAR, 8 * DOLLAR)
CACHING = Price("caching", 2 * DOLLAR, 8 * DOLLAR, DOLLAR // 2, 5 * DOLLAR // 2)
LONG = Price(
    "long", DOLLAR, 4 * DOLLAR, DOLLAR // 10, None, 0.0, 200_000, Price("long", 2 * DOLLAR, 6 * DOLLAR, DOLLAR // 5, None)
)  # fmt: skip


def of_openai(document: dict) -> Usage | None:
    return openai.usage_of(msgspec.convert(document, openai._Usage))


GOLDEN = [
    ("openai", of_openai, PLAIN,
     {"prompt_tokens": 1117, "completion_tokens": 46, "total_tokens": 1163,
      "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
      "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}},
     Usage(1117, 46, total_tokens=1163), 1117 * 2_000 + 46 * 8_000),
    ("openai with a cache and reasoning", of_openai, CACHING,
     {"prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
      "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 256}},
     Usage(2006, 300, 1920, 0, 256, 2306), 86 * 2_000 + 1920 * 500 + 300 * 8_000),
    ("vllm", of_openai, PLAIN,
     {"prompt_tokens": 14, "total_tokens": 30, "completion_tokens": 16, "prompt_tokens_details": None},
     Usage(14, 16, total_tokens=30), 14 * 2_000 + 16 * 8_000),
    ("deepseek", of_openai, CACHING,
     {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},
     Usage(100, 10, 64, total_tokens=110), 36 * 2_000 + 64 * 500 + 10 * 8_000),
    ("xai counts reasoning beside the completion", of_openai, PLAIN,
     {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135, "completion_tokens_details": {"reasoning_tokens": 94}},
     Usage(32, 103, 0, 0, 94, 135), 32 * 2_000 + 103 * 8_000),
    ("embeddings", of_openai, PLAIN, {"prompt_tokens": 8, "total_tokens": 8}, Usage(8, 0, total_tokens=8), 16_000),
    ("gemini", lambda d: google_answer.usage_of({"usageMetadata": d}), LONG,
     {"promptTokenCount": 4152, "candidatesTokenCount": 19, "totalTokenCount": 4171,
      "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 4152}]},
     Usage(4152, 19, total_tokens=4171), 4152 * 1_000 + 19 * 4_000),
    ("gemini with thoughts, a cache and tools", lambda d: google_answer.usage_of({"usageMetadata": d}), LONG,
     {"promptTokenCount": 2000, "cachedContentTokenCount": 1500, "toolUsePromptTokenCount": 100, "candidatesTokenCount": 20,
      "thoughtsTokenCount": 480, "totalTokenCount": 2600},
     Usage(2100, 500, 1500, 0, 480, 2600), 600 * 1_000 + 1500 * 100 + 500 * 4_000),
    ("gemini, thoughts only", lambda d: google_answer.usage_of({"usageMetadata": d}), LONG,
     {"promptTokenCount": 5, "thoughtsTokenCount": 64, "totalTokenCount": 69}, Usage(5, 64, 0, 0, 64, 69), 5_000 + 64 * 4_000),
    ("gemini above the threshold", lambda d: google_answer.usage_of({"usageMetadata": d}), LONG,
     {"promptTokenCount": 200_001, "candidatesTokenCount": 10, "totalTokenCount": 200_011},
     Usage(200_001, 10, total_tokens=200_011), 200_001 * 2_000 + 10 * 6_000),
    ("gemini at the threshold", lambda d: google_answer.usage_of({"usageMetadata": d}), LONG,
     {"promptTokenCount": 200_000, "candidatesTokenCount": 10, "totalTokenCount": 200_010},
     Usage(200_000, 10, total_tokens=200_010), 200_000 * 1_000 + 10 * 4_000),
    ("anthropic", anthropic_answer.usage_of, CACHING,
     {"input_tokens": 21, "cache_creation_input_tokens": 188_086, "cache_read_input_tokens": 1_000, "output_tokens": 393},
     Usage(189_107, 393, 1_000, 188_086, 0, 189_500), 21 * 2_000 + 188_086 * 2_500 + 1_000 * 500 + 393 * 8_000),
    ("anthropic without a cache", anthropic_answer.usage_of, PLAIN, {"input_tokens": 10, "output_tokens": 3}, Usage(10, 3, total_tokens=13), 44_000),
]  # fmt: skip


@pytest.mark.parametrize(
    ("read", "price", "document", "usage", "cost"), [row[1:] for row in GOLDEN], ids=[row[0] for row in GOLDEN]
)
def test_what_providers_say_becomes_disjoint_counts_and_an_exact_cost(read, price, document, usage, cost):
    found = read(document)
    assert found == usage
    assert found.total_tokens == found.prompt_tokens + found.completion_tokens
    assert cost_nusd(found, price) == cost


TOKENS = st.integers(0, 10**6)


@settings(derandomize=True, max_examples=300)
@given(TOKENS, TOKENS, st.integers(0, 10**12), st.integers(0, 10**12), TOKENS)
def test_a_cached_token_never_costs_more_than_a_plain_one(prompt, cached, price_in, price_cached, output):
    price = Price("p", price_in, price_in, min(price_in, price_cached))
    cached = min(cached, prompt)
    assert cost_nusd(Usage(prompt, output, cached), price) <= cost_nusd(Usage(prompt, output), price)


async def add_price(gateway, price_id: str, at: float, input_nusd: int) -> None:
    await gateway.execute(
        "INSERT INTO prices (id, provider_id, model_id, effective_from, input_nusd, output_nusd, source) "
        "SELECT $1, id, 'gpt-6-luna', to_timestamp($2), $3, 0, 'test' FROM providers WHERE name = 'openai'",
        price_id, at, input_nusd,
    )  # fmt: skip


async def test_each_call_has_the_price_that_held_when_it_came(gateway):
    at = round(time.time() + 1.0, 3)
    await add_price(gateway, "p_next", at, 7_000_000_000)
    seen = set()
    async with asyncio.timeout(10):
        while len(seen) < 2:
            row = await gateway.row((await gateway.chat(model="gpt-6-luna")).request_id)
            is_after = row["created_at"].timestamp() >= at
            assert (row["price_id"] == "p_next") is is_after
            if is_after:
                assert row["cost_nusd"] == row["prompt_tokens"] * 7_000
            seen.add(is_after)


async def test_an_unpriced_model_costs_null_and_is_counted_and_refused_where_a_budget_counts(gateway):
    await gateway.execute("DELETE FROM prices WHERE model_id = 'gpt-6-luna'")
    answered = await gateway.chat(model="gpt-6-luna")
    assert answered.status == 200
    assert "x-optyx-cost-usd" not in answered.headers
    row = await gateway.row(answered.request_id)
    assert (row["cost_nusd"], row["price_id"]) == (None, None)
    assert row["total_tokens"] > 0
    assert await gateway.db.fetchval("SELECT unpriced_calls FROM usage_hourly") == 1
    text = (await gateway.get("/metrics")).body.decode()
    assert 'optyx_unpriced_calls_total{model="gpt-6-luna",provider="openai"} 1.0' in text
    await gateway.execute(
        "INSERT INTO budgets (id, scope, subject, amount_nusd, \"window\") VALUES ('b', 'project', $1, 10^12::bigint, '1d')",
        gateway.project_id,
    )
    refused = await gateway.chat(model="gpt-6-luna")
    assert (refused.status, refused.code) == (429, "insufficient_quota")
    assert "no price" in refused.json["error"]["message"]
    await add_price(gateway, "p_now", 0.0, 1)
    assert (await gateway.chat(model="gpt-6-luna")).status == 200


async def test_a_model_that_is_free_costs_nothing_and_is_no_unpriced_call(gateway):
    await gateway.execute("UPDATE models SET is_free = true WHERE id = 'gpt-6-luna'")
    row = await gateway.row((await gateway.chat(model="gpt-6-luna")).request_id)
    assert (row["cost_nusd"], row["price_id"]) == (0, "free")
    assert json.loads(row["attempts"])[0]["cost_nusd"] == 0
