"""gateway/ledger.py: integer arithmetic of money."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger import Price, Usage, cost_nusd, nusd, usd

SMALL = Price(id="p", input_nusd=100_000_000, output_nusd=500_000_000, cached_input_nusd=10_000_000)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(), 0),
        (Usage(prompt_tokens=1_000_000), 100_000_000),
        (Usage(prompt_tokens=10, completion_tokens=3), 1_000 + 1_500),
        (Usage(prompt_tokens=10, cached_tokens=4), 600 + 40),
        (Usage(prompt_tokens=4, cached_tokens=9), 40),
    ],
)
def test_the_price_of_a_usage(usage: Usage, expected: int) -> None:
    assert cost_nusd(usage, SMALL) == expected


def test_half_a_nano_dollar_is_rounded_up_once() -> None:
    price = Price(id="p", input_nusd=500_000, output_nusd=499_999)
    assert cost_nusd(Usage(prompt_tokens=1), price) == 1
    assert cost_nusd(Usage(completion_tokens=1), price) == 0
    assert cost_nusd(Usage(prompt_tokens=1, completion_tokens=1), price) == 1


def test_the_long_context_price_holds_for_the_whole_call() -> None:
    above = Price(id="p", input_nusd=2_000_000, output_nusd=4_000_000)
    price = Price(id="p", input_nusd=1_000_000, output_nusd=2_000_000, above_tokens=200, above=above)
    assert cost_nusd(Usage(prompt_tokens=200, completion_tokens=10), price) == 220
    assert cost_nusd(Usage(prompt_tokens=201, completion_tokens=10), price) == 442


COUNTS = st.integers(min_value=0, max_value=10**7)
PRICES = st.integers(min_value=0, max_value=10**12)


@settings(derandomize=True, max_examples=300)
@given(COUNTS, COUNTS, COUNTS, PRICES, PRICES, PRICES)
def test_the_cost_is_the_exact_sum_rounded_half_up(
    prompt: int, cached: int, completion: int, price_in: int, price_out: int, price_cached: int
) -> None:
    cached = min(cached, prompt)
    price = Price(id="p", input_nusd=price_in, output_nusd=price_out, cached_input_nusd=price_cached)
    exact = Fraction((prompt - cached) * price_in + cached * price_cached + completion * price_out, 1_000_000)
    usage = Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion)
    assert cost_nusd(usage, price) == int(exact + Fraction(1, 2))


@settings(derandomize=True, max_examples=200)
@given(st.integers(min_value=-(10**18), max_value=10**18))
def test_dollars_survive_the_round_trip(amount: int) -> None:
    assert nusd(usd(amount)) == amount


@pytest.mark.parametrize("text", ["", ".", "1e3", "NaN", "１", "1.0000000001", "--1", "1.2.3", "0x1", "1,5"])
def test_an_odd_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="decimal"):
        nusd(text)


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0.00"), (1_500_000_000, "1.50"), (-1, "-0.000000001"), (10**9, "1.00")]
)
def test_dollars_as_text(amount: int, text: str) -> None:
    assert usd(amount) == text
