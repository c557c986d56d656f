"""Texts of DLC's answers that stand for numbers, however they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemark.alibaba.dlc_answers import Job


def restarts(text: str) -> tuple[int, int] | None:
    return Job.of({"JobId": "a", "RestartTimes": text}, "GetJob").restarts


@given(done=st.integers(0, 10**9 - 1), most=st.integers(0, 10**9 - 1))
def test_restarts_are_read_as_they_are_written(done: int, most: int) -> None:
    assert restarts(f" {done}/{most}\n") == (done, most)


@pytest.mark.parametrize("text", ["9" * 5000 + "/1", "1/" + "9" * 5000, "²/3", "٣/٤", "-1/2", "1"])
def test_what_counts_no_restarts_says_nothing(text: str) -> None:
    assert restarts(text) is None


@given(st.text())
def test_no_text_of_restarts_is_an_error(text: str) -> None:
    restarts(text)
