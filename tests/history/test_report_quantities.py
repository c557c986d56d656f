"""Numbers as a person reads them: three significant digits, the fitting unit, no false ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemark.history.quantities import number, percent, plain, seconds, seconds_range


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.0123456, "0.0123"), (9.996, "10.0"), (99.96, "100"), (1234.5, "1230"),
        (12345, "12,300"), (-2.5, "-2.50"), (1e6, "1,000,000"),
    ],
)  # fmt: skip
def test_three_digits_say_enough(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25, "250 ms"), (0.0251, "25.1 ms"), (0.9994, "999 ms"), (0.99951, "1.00 s"),
        (2.5, "2.50 s"), (0.0004, "0.400 ms"), (0, "0 ms"), (125.4, "125 s"),
    ],
)  # fmt: skip
def test_times_are_in_milliseconds_below_a_second(value: float, text: str) -> None:
    assert seconds(value) == text


def test_a_range_has_the_unit_of_its_upper_end_and_one_number_if_they_agree() -> None:
    assert seconds_range(0.25, 0.271) == "250–271 ms"
    assert seconds_range(0.95, 1.1) == "0.950–1.10 s"
    assert seconds_range(0.2501, 0.2502) == "250 ms"


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.0, "0 %"), (1.0, "100 %"), (0.99999, "> 99.9 %"), (0.00001, "< 0.1 %"),
        (0.994, "99.4 %"), (0.5, "50 %"),
    ],
)  # fmt: skip
def test_a_share_is_never_rounded_to_all_or_nothing(ratio: float, text: str) -> None:
    assert percent(ratio) == text


@given(st.floats(1e-6, 1e9))
def test_a_number_reads_back_within_half_a_percent(value: float) -> None:
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=0.0051)


@given(st.text())
def test_foreign_text_is_one_printable_line(text: str) -> None:
    shown = plain(text, 40)
    assert len(shown) <= 40
    assert "\n" not in shown
    assert "\x1b" not in shown
    shown.encode("utf-8")
