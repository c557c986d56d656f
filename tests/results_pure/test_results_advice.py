"""Every class of error tells the reader what it means and what to do."""

from __future__ import annotations

import pytest
from results_builders import failure

from tidemark.results.advice import ADVICE, advise, evidence_of, group_errors

CLASSES = (
    "http_429",
    "http_4xx",
    "http_5xx",
    "in_stream",
    "cut_stream",
    "connection",
    "timeout",
    "bad_response",
)


@pytest.mark.parametrize("error_class", CLASSES)
def test_every_class_has_advice_of_its_own(error_class: str) -> None:
    assert advise(error_class).remedy
    assert advise(error_class) != ADVICE["unknown"]


@pytest.mark.parametrize(
    ("code", "word"), [(401, "key"), (404, "model"), (503, "capacity"), (504, "time limit")]
)
def test_the_status_makes_advice_more_exact(code: int, word: str) -> None:
    error_class = "http_4xx" if code < 500 else "http_5xx"
    assert word in advise(error_class, code).remedy


def test_a_code_inside_a_stream_is_no_http_status() -> None:
    assert advise("in_stream", 404) == ADVICE["in_stream"]


@pytest.mark.parametrize("error_class", [None, "", "of_a_new_kind"])
def test_classes_of_the_future_get_general_advice(error_class: str | None) -> None:
    assert advise(error_class) == ADVICE["unknown"]


def test_errors_are_grouped_most_frequent_first_with_their_first_messages() -> None:
    rows = [
        failure(5, error_class="http_429", error_code=429, message="later"),
        *[failure(i, error_class="http_4xx", error_code=404, message="no model") for i in (1, 2)],
        failure(3, error_class="http_4xx", error_code=400, message="too\nlong"),
    ]
    first, second = group_errors(rows)
    assert (first.error_class, first.count, first.codes) == ("http_4xx", 3, ((404, 2), (400, 1)))
    assert evidence_of(first) == "3 http_4xx (404 x2, 400 x1): no model | too long"
    assert "endpoint.model" in first.advice.remedy
    assert evidence_of(second) == "1 http_429 (429 x1): later"


def test_only_the_first_messages_are_kept() -> None:
    groups = group_errors([failure(i, message=f"m{i}") for i in range(50)])
    assert groups[0].messages == ("m0", "m1", "m2")
    assert group_errors([]) == ()
