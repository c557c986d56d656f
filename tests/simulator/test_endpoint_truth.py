"""The summary of a record."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemark.simulator.record import RequestTruth
from tidemark.simulator.truth import distribution, summary


def request(number: int, arrival_s: float, end_s: float | None, **other: object) -> RequestTruth:
    truth = RequestTruth(number, f"r-{number}", "/v1/completions", 1, arrival_s, arrival_s)
    truth.end_s = end_s
    truth.outcome = "ok" if end_s is not None else None
    truth.status = 200
    for name, value in other.items():
        setattr(truth, name, value)
    return truth


def test_a_summary_by_hand() -> None:
    ended = [
        request(1, 10.0, 12.0, first_token_s=10.5, last_token_s=12.0, written_tokens=4),
        request(2, 11.0, 14.0, first_token_s=12.5, last_token_s=14.0, written_tokens=4),
        request(3, 11.0, 11.5, outcome="aborted", first_token_s=11.2, written_tokens=1),
        request(4, 13.0, 13.0, outcome="error", status=429, fault="status_429"),
    ]
    told = summary(finished=ended, in_flight=[], since_s=0, now_s=99.0)
    assert told["counts"] == {
        "requests": 4,
        "ended": 4,
        "in_flight": 0,
        "ok": 2,
        "error": 1,
        "cut": 0,
        "aborted": 1,
    }
    assert told["by_status"] == {"200": 3, "429": 1}
    assert told["by_fault"] == {"status_429": 1}
    assert (told["first_arrival_s"], told["last_end_s"], told["span_s"]) == (10.0, 14.0, 4.0)
    assert told["mean_in_flight"] == pytest.approx((2 + 3 + 0.5 + 0) / 4)
    assert told["output_tokens"] == 9
    assert told["output_tok_s"] == pytest.approx(9 / 4)
    assert told["request_rate_rps"] == pytest.approx(1)
    ttft, tpot, e2e = told["ttft_s"], told["tpot_s"], told["e2e_s"]
    assert isinstance(ttft, dict)
    assert isinstance(tpot, dict)
    assert isinstance(e2e, dict)
    # Latencies are those of the two complete answers.
    assert (ttft["n"], ttft["min"], ttft["mean"], ttft["max"]) == (2, 0.5, 1.0, 1.5)
    assert tpot["p50"] == pytest.approx(0.5)
    assert (e2e["n"], e2e["p50"]) == (2, 2.5)


def test_only_what_arrived_since_the_mark_counts_and_what_is_open_counts_till_now() -> None:
    told = summary(
        finished=[request(1, 5.0, 11.0, written_tokens=7), request(2, 10.0, 11.0)],
        in_flight=[request(3, 12.0, None, written_tokens=2), request(4, 6.0, None)],
        since_s=10.0,
        now_s=14.0,
    )
    assert told["span_s"] == 4.0
    assert told["mean_in_flight"] == pytest.approx((1 + 2) / 4)
    assert told["output_tokens"] == 2
    assert told["request_rate_rps"] == pytest.approx(1 / 4)  # of those that ended


def test_nothing_happened() -> None:
    told = summary(finished=[], in_flight=[], since_s=1.0, now_s=2.0)
    assert told["span_s"] == 0.0
    assert told["mean_in_flight"] is None
    assert told["output_tok_s"] is None


@given(st.lists(st.floats(0, 1e6) | st.none(), max_size=50))
def test_quantiles_are_those_of_numpy(values: list[float | None]) -> None:
    told = distribution(values)
    given_values = [value for value in values if value is not None]
    assert told["n"] == len(given_values)
    if not given_values:
        assert {told[name] for name in ("mean", "min", "p50", "p99", "max")} == {None}
        return
    for percent in (50, 90, 95, 99):
        expected = numpy.percentile(given_values, percent, method="linear")
        assert told[f"p{percent}"] == pytest.approx(float(expected), rel=1e-9, abs=1e-9)
    assert told["mean"] == pytest.approx(math.fsum(given_values) / len(given_values))
