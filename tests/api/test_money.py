"""Prices: the amount that was meant, and shares that lose nothing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_kaleyra.api.money import QUANTUM, parse_price, share


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0.80000000000000004", "0.8"),
        ("0.0050000000000000001", "0.005"),
        ('"0.500"', "0.5"),
        ('" 1.25 "', "1.25"),
        ("3", "3"),
        ("0", "0"),
        ("1e-3", "0.001"),
        ('"9999999999.9999999999"', "9999999999.9999999999"),
    ],
)
def test_a_price_is_the_amount_that_was_meant(text: str, amount: str) -> None:
    assert parse_price(json.loads(text)) == Decimal(amount)


@pytest.mark.parametrize(
    "text", ["null", "true", '"free"', '""', "-1", "NaN", "Infinity", "[0.5]", "1e300", "1e10"]
)
def test_what_is_no_amount_is_no_price(text: str) -> None:
    assert parse_price(json.loads(text)) is None


@given(st.decimals(min_value=0, max_value=10**6, places=10), st.integers(1, 500))
def test_shares_add_up_exactly_and_differ_by_one_quantum_at_most(price: Decimal, count: int) -> None:
    shares = share(price, count)

    assert len(shares) == count
    assert sum(shares) == price
    assert max(shares) - min(shares) <= QUANTUM
    assert min(shares) >= 0


@given(st.floats() | st.integers() | st.text() | st.none() | st.booleans() | st.lists(st.integers()))
def test_whatever_stands_for_a_price_is_an_amount_or_none(value: Any) -> None:
    price = parse_price(value)
    assert price is None or (price >= 0 and sum(share(price, 3)) == price)
