"""Metrics are those one computes by hand from the requests, and nothing is ever invented."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
from results_builders import Slo, answer, closed_loop, failure

from tidemark.results.metrics import DISTRIBUTIONS, SCALARS, STATS, CellMetrics, summarise
from tidemark.results.requests import CellRaw, RequestRow, Window


def text(raw: CellRaw, slo: Slo | None = None, token_counts: str = "server") -> CellMetrics:
    return summarise(raw, task="text-to-text", slo=slo, token_counts=token_counts)


# Two requests; the window 2..5 cuts both.
#   early: sent 0, first token 1, ends 3, 5 tokens.  later: sent 2, first token 3, ends 7, 9 tokens.
TWO = CellRaw(
    rows=(answer(0, 0.0, 1.0, 3.0, 5, 10), answer(1, 2.0, 3.0, 7.0, 9, 10)),
    window=Window(2.0, 5.0),
)


def test_latencies_are_of_requests_that_start_in_the_window() -> None:
    metrics = text(TWO)
    assert metrics.value("ttft_s", "mean") == 1.0
    assert metrics.value("tpot_s", "mean") == 0.5  # (5 - 1) / 8
    assert metrics.value("e2e_s", "p50") == 5.0
    assert metrics.value("ntpot_s", "mean") == pytest.approx(5 / 9)
    assert metrics.value("interactivity_tok_s", "max") == 2.0
    assert metrics.get("ttft_s", "mean").n == 1
    assert (metrics.ok, metrics.ok_in_window) == (2, 1)


def test_tokens_count_when_they_are_delivered() -> None:
    metrics = text(TWO)
    # early: half of the 4 tokens after the first; later: the first and half of the other 8.
    assert metrics.value("output_tput_tok_s") == pytest.approx((2 + 1 + 4) / 3)
    # prompts are read between send and first token: only the later one's, whole.
    assert metrics.value("input_tput_tok_s") == pytest.approx(10 / 3)
    assert metrics.value("total_tput_tok_s") == pytest.approx(17 / 3)


def test_the_first_token_comes_at_its_own_moment() -> None:
    # Before 3.0 of the later request nothing was delivered, at 3.0 one token.
    just_before = replace(TWO, rows=TWO.rows[1:], window=Window(2.0, 3.0))
    just_after = replace(just_before, window=Window(3.0, 3.5))
    assert text(just_before).value("output_tput_tok_s") == 0.0
    assert text(just_after).value("output_tput_tok_s") == pytest.approx((1 + 1) / 0.5)


def test_spread_is_that_of_a_sample() -> None:
    rows = tuple(answer(i, 0.0, 0.5, e2e, 5) for i, e2e in enumerate((1.0, 2.0, 3.0)))
    metrics = text(CellRaw(rows=rows, window=Window(0.0, 9.0)))
    assert metrics.value("e2e_s", "stddev") == 1.0
    few = text(TWO).get("e2e_s", "stddev")
    assert (few.value, few.reason) == (None, "n_too_small(n=1, needs 2)")


def test_a_request_that_never_ended_was_in_flight_to_the_end() -> None:
    endless = RequestRow(2, start_s=4.0, status="aborted")
    metrics = text(replace(TWO, rows=(*TWO.rows, endless)))
    assert metrics.value("achieved_inflight") == pytest.approx((4 + 1) / 3)


def test_rates_take_each_request_by_its_share_of_the_window() -> None:
    metrics = text(TWO)
    assert metrics.value("request_rate_rps") == pytest.approx((1 / 3 + 3 / 5) / 3)
    assert metrics.value("achieved_inflight") == pytest.approx((1 + 3) / 3)


def test_an_answer_that_was_not_streamed_counts_whole_at_its_end() -> None:
    raw = replace(TWO, rows=(answer(0, 2.0, None, 4.0, 12, 10), answer(1, 2.0, None, 5.0, 9, 10)))
    metrics = text(raw)
    assert metrics.value("output_tput_tok_s") == pytest.approx(12 / 3)
    for metric in ("ttft_s", "tpot_s", "interactivity_tok_s"):
        assert metrics.get(metric, "mean").reason == "not_streamed"
        assert metrics.value(metric, "mean") is None
    assert metrics.value("e2e_s", "mean") == 2.5


@pytest.mark.parametrize("task", ["text-to-embeddings", "text-to-rerank", "text-to-image"])
def test_tasks_without_a_stream_have_no_ttft_even_if_the_engine_gives_one(task: str) -> None:
    rows = tuple(answer(i, i * 0.1, i * 0.1 + 0.05, i * 0.1 + 0.1, 0) for i in range(30))
    metrics = summarise(CellRaw(rows=rows, window=Window(0.0, 3.0)), task=task)
    for metric in ("ttft_s", "tpot_s", "ntpot_s"):
        assert metrics.value(metric, "mean") is None
        assert metrics.get(metric, "mean").reason == "not_streamed"
    assert metrics.value("e2e_s", "mean") == pytest.approx(0.1)
    assert metrics.get("output_tput_tok_s").reason == "no_output_tokens"
    assert metrics.value("input_tput_tok_s") == pytest.approx(1000.0)


def test_failed_requests_are_errors_and_nothing_else() -> None:
    metrics = text(replace(TWO, rows=(*TWO.rows, failure(2, 2.0, 2.5), failure(3))))
    assert metrics.value("error_rate") == 0.5
    assert (metrics.attempted, metrics.ok, metrics.failed) == (4, 2, 2)
    assert metrics.failed_by_class == {"http_5xx": 2}
    plain = text(TWO)
    for metric in ("ttft_s", "e2e_s"):
        assert metrics.value(metric, "mean") == plain.value(metric, "mean")
    assert metrics.value("request_rate_rps") == plain.value("request_rate_rps")
    # ... but it was in flight for half a second
    assert metrics.value("achieved_inflight") == pytest.approx((4 + 0.5) / 3)


def test_requests_cut_off_are_no_attempts() -> None:
    cut = RequestRow(2, start_s=4.0, end_s=9.0, status="aborted")
    metrics = text(replace(TWO, rows=(*TWO.rows, cut)))
    assert (metrics.attempted, metrics.aborted, metrics.aborted_in_window) == (2, 1, 1)
    assert metrics.value("error_rate") == 0.0
    assert metrics.value("output_tput_tok_s") == text(TWO).value("output_tput_tok_s")
    assert metrics.value("achieved_inflight") == pytest.approx((4 + 1) / 3)


def test_goodput_needs_every_limit_met_and_counts_failures_against_it() -> None:
    raw = CellRaw(
        rows=(
            answer(0, 1.0, 1.1, 2.1, 11),  # ttft 0.1, tpot 0.1
            answer(1, 1.0, 1.4, 2.4, 11),  # ttft too long
            answer(2, 1.0, 1.1, 3.1, 11),  # tpot too long
            failure(3, 1.0, 1.2),
            answer(4, 0.5, 0.6, 1.6, 11),  # good, starts before the window, 0.6 / 1.1 of it inside
        ),
        window=Window(1.0, 5.0),
    )
    metrics = text(raw, Slo(ttft_s=0.2, tpot_s=0.15))
    assert metrics.value("goodput_ratio") == 0.25
    assert metrics.value("goodput_rps") == pytest.approx((1 + 0.6 / 1.1) / 4)
    assert metrics.value("goodput_rps") < metrics.value("request_rate_rps")
    assert metrics.get("goodput_ratio").n == 4


def test_goodput_is_the_request_rate_where_every_limit_is_met() -> None:
    metrics = text(TWO, Slo(e2e_s=100.0))
    assert metrics.value("goodput_rps") == metrics.value("request_rate_rps")


def test_one_late_first_token_does_not_make_the_mean_interactivity() -> None:
    rows = [answer(number, 1.0 + number, 1.1 + number, 2.1 + number, 11) for number in range(9)]
    rows.append(answer(9, 10.0, 11.0995, 11.1, 11))  # its tokens came all but at once
    metrics = text(CellRaw(rows=tuple(rows), window=Window(1.0, 12.0)))
    assert metrics.value("interactivity_tok_s", "p50") == pytest.approx(10.0)
    assert metrics.value("interactivity_tok_s", "mean") == pytest.approx(1 / 0.090005, rel=1e-3)


def test_a_failure_without_times_counts_against_goodput() -> None:
    raw = replace(TWO, rows=(*TWO.rows, failure(2)))
    assert text(raw, Slo(ttft_s=2.0)).value("goodput_ratio") == 0.5


def test_goodput_without_limits_is_not_a_number() -> None:
    for slo in (None, Slo()):
        assert text(TWO, slo).get("goodput_rps").reason == "no_slo"
        assert text(TWO, slo).value("goodput_ratio") is None


def test_a_limit_on_tpot_does_not_bind_an_answer_of_one_token() -> None:
    raw = CellRaw(rows=(answer(0, 1.0, 1.5, 1.5, 1),), window=Window(1.0, 2.0))
    assert text(raw, Slo(tpot_s=0.01)).value("goodput_ratio") == 1.0


def test_answers_of_one_token_have_no_tpot() -> None:
    raw = CellRaw(
        rows=tuple(answer(i, i * 1.0, i + 0.5, i + 0.5, 1) for i in range(20)),
        window=Window(0.0, 20.0),
    )
    metrics = text(raw)
    assert metrics.get("tpot_s", "mean").reason == "single_token"
    assert metrics.single_token == 20
    assert metrics.value("ttft_s", "mean") == 0.5
    assert metrics.value("output_tput_tok_s") == 1.0


def test_tokens_the_server_did_not_count_give_no_token_metrics() -> None:
    raw = closed_loop()
    rows = tuple(replace(row, token_source="tokenizer") for row in raw.rows)
    metrics = text(replace(raw, rows=rows))
    for name, stat in (("tpot_s", "mean"), ("output_tput_tok_s", "value"), ("ntpot_s", "p50")):
        assert metrics.value(name, stat) is None
        assert metrics.get(name, stat).reason == "usage_missing(80 of 80)"
    assert metrics.value("ttft_s", "mean") is not None
    assert metrics.usage_missing == 80
    estimated = text(replace(raw, rows=rows), token_counts="tokenizer")
    assert estimated.value("tpot_s", "mean") == text(raw).value("tpot_s", "mean")


def test_one_answer_in_a_hundred_without_usage_is_left_out_and_said() -> None:
    raw = closed_loop(each=50)
    rows = (replace(raw.rows[0], token_source="tokenizer"), *raw.rows[1:])
    stat = text(replace(raw, rows=rows)).get("output_tput_tok_s")
    assert stat.value is not None
    assert stat.reason == "usage_missing(1 of 200)"


def test_tail_percentiles_appear_with_the_requests_that_carry_them() -> None:
    few, many = text(closed_loop(4, 20)), text(closed_loop(4, 40))
    assert few.get("ttft_s", "p90").reason == f"n_too_small(n={few.ok_in_window}, needs 100)"
    assert few.value("ttft_s", "p50") is not None
    assert many.value("ttft_s", "p90") is not None
    assert many.value("ttft_s", "p99") is None


def test_without_times_rates_fall_back_on_the_engines_duration_and_say_so() -> None:
    rows = tuple(replace(row, start_s=None, first_token_s=None, end_s=None) for row in TWO.rows)
    metrics = text(CellRaw(rows=rows, engine_claims={"run_duration": 7.0}))
    stat = metrics.get("output_tput_tok_s")
    assert (stat.value, stat.reason) == (2.0, "no_request_times")
    assert metrics.value("request_rate_rps") == pytest.approx(2 / 7)
    assert metrics.duration_source == "engine_run_duration"
    assert metrics.get("achieved_inflight").value is None
    assert metrics.get("achieved_inflight").reason == "no_request_times"
    assert metrics.value("ttft_s", "mean") == 1.0


def test_without_any_duration_there_are_no_rates() -> None:
    rows = tuple(replace(row, start_s=None, first_token_s=None, end_s=None) for row in TWO.rows)
    stat = text(CellRaw(rows=rows)).get("output_tput_tok_s")
    assert (stat.value, stat.reason) == (None, "no_request_times")


@pytest.mark.parametrize(
    "window", [Window(5.0, 5.0), Window(6.0, 2.0), Window(0.0, math.inf), Window(0.0, 5e-324)]
)
def test_a_window_that_is_none_is_not_divided_by(window: Window) -> None:
    metrics = text(replace(TWO, window=window, wall_s=7.0))
    assert metrics.window is None
    assert metrics.get("output_tput_tok_s").reason == "window_empty"
    assert metrics.value("output_tput_tok_s") == 2.0


def test_the_engine_has_no_gaps_between_tokens() -> None:
    assert {text(TWO).get("itl_s", stat).reason for stat in STATS} == {"engine_lacks"}


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (answer(9, 3.0, 3.5, 2.0), "negative_duration"),
        (replace(answer(9, 3.0, 3.5, 4.0), e2e_s=-1.0), "negative_duration"),
        (replace(answer(9, 3.0, 3.5, 4.0), ttft_s=-0.5), "negative_duration"),
        (replace(answer(9, 3.0, 3.5, 4.0), e2e_s=9.0), "times_disagree"),
        (replace(answer(9, 3.0, 2.5, 4.0), ttft_s=None), "first_token_outside"),
        (replace(answer(9, 3.0, 4.5, 4.0), ttft_s=None), "first_token_outside"),
        (answer(9, 3.0, 3.0, 3.0), "no_duration"),
        (answer(9, 3.0, 3.5, 1e12), "time_out_of_range"),
        (answer(9, 3.0, 3.5, 4.0, output_tokens=-3), "negative_tokens"),
        (answer(9, 3.0, 4.0, 4.0, output_tokens=5), "no_time_between_tokens"),
    ],
)
def test_what_can_not_be_true_is_left_out_and_counted(bad: RequestRow, kind: str) -> None:
    metrics = text(replace(TWO, rows=(*TWO.rows, bad)))
    assert metrics.anomalies.get(kind, 0) >= 1
    assert metrics.ok == 3
    if kind in ("negative_duration", "time_out_of_range"):
        assert metrics.get("e2e_s", "mean").n == 1
    if kind == "no_time_between_tokens":
        assert metrics.get("tpot_s", "mean").n == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_unknown(value: float) -> None:
    odd = RequestRow(5, value, value, value, ttft_s=value, e2e_s=value, token_source="server")
    metrics = text(replace(TWO, rows=(*TWO.rows, odd)))
    assert metrics.value("ttft_s", "mean") == 1.0
    assert all(stat.value is None or math.isfinite(stat.value) for stat in metrics.stats)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_hardly_any_rows(count: int) -> None:
    metrics = text(replace(TWO, rows=TWO.rows[:count]), Slo(ttft_s=1.0))
    assert metrics.attempted == count
    assert len(metrics.stats) == len(DISTRIBUTIONS) * len(STATS) + len(SCALARS)
    for stat in metrics.stats:
        assert (stat.value is not None) or stat.reason
    if count == 0:
        assert metrics.get("error_rate").reason == "no_requests"


def test_equal_values_have_no_spread_and_an_interval_of_a_point() -> None:
    rows = tuple(answer(i, float(i), i + 0.25, i + 0.75, 5) for i in range(300))
    metrics = text(CellRaw(rows=rows, window=Window(0.0, 300.0)))
    assert metrics.value("ttft_s", "stddev") == 0.0
    mean = metrics.get("ttft_s", "mean")
    assert (mean.ci_lo, mean.ci_hi) == (0.25, 0.25)


def test_a_fifth_of_a_million_requests_take_a_second_or_two() -> None:
    count = 200_000
    rows = tuple(
        answer(i, i * 1e-3, i * 1e-3 + 0.25 + i % 7 * 1e-3, i * 1e-3 + 2.7, 100)
        for i in range(count)
    )
    began = time.process_time()
    text(CellRaw(rows=rows, window=Window(5.0, 150.0)), Slo(ttft_s=0.255, tpot_s=0.025))
    assert time.process_time() - began < 4.0
