"""Amounts of money are exact, and what is rounded is rounded against spending."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemark.errors import RefusedError
from tidemark.money.amounts import amount_text, cost_of, rounded, sum_text

PRICES = st.decimals("0.00000001", 10**9, places=8)
DURATIONS = st.floats(0, 10**7, allow_nan=False)


@given(PRICES, DURATIONS, st.integers(1, 1000))
def test_a_cost_is_never_less_than_it_is_and_less_than_a_millionth_more(
    per_hour: Decimal, seconds: float, machines: int
) -> None:
    exact = Fraction(per_hour) * machines * Fraction(seconds) / 3600
    found = Fraction(cost_of(per_hour, seconds, machines=machines))
    assert exact <= found < exact + Fraction(1, 10**6)


@given(st.decimals(0, 10**9, allow_nan=False, allow_infinity=False), st.booleans())
def test_an_amount_is_rounded_one_way(amount: Decimal, up: bool) -> None:
    found = rounded(amount, "test", up=up)
    assert (found >= amount) if up else (found <= amount)
    assert abs(Fraction(found) - Fraction(amount)) < Fraction(1, 10**8)
    assert rounded(found, "test") == found


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("20", "20"), ("20.00", "20"), ("12.4", "12.40"), ("9.10000000", "9.10"), ("0", "0"),
        ("0.005667", "0.005667"), ("1E+3", "1000"), ("1E-8", "0.00000001"),
    ],
)  # fmt: skip
def test_an_amount_is_shown_with_all_its_digits(amount: str, text: str) -> None:
    assert amount_text(Decimal(amount)) == text
    assert sum_text(Decimal(amount), "CNY") == f"{text} CNY"


@given(st.decimals(0, 10**10, places=8))
def test_what_is_shown_is_the_amount(amount: Decimal) -> None:
    assert Decimal(amount_text(amount)) == amount


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_what_is_no_duration_has_no_cost(seconds: float) -> None:
    with pytest.raises(RefusedError, match="is no duration"):
        cost_of(Decimal(1), seconds)
