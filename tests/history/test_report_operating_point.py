"""Where to run the service: only believed cells count, and every shape of curve has an answer."""

from __future__ import annotations

import pytest
from history_rows import (
    Row,
    all_failed,
    cell_row,
    embeddings,
    engine_failed,
    hung,
    put,
    sweep,
    usage_missing,
    with_goodput,
)
from hypothesis import given
from hypothesis import strategies as st

from tidemark.history.operating_point import Objective, OperatingPoint, knee, operating_point
from tidemark.history.series import series_of

SLO = Objective(ttft_s=0.5, attainment=0.99)


def point_of(rows: list[Row], objective: Objective | None = None) -> OperatingPoint:
    (series,) = series_of(rows)
    return operating_point(series, objective)


def level_of(point: OperatingPoint) -> int | None:
    return None if point.level is None else point.level.position(point.series.axis)


def curve(*points: tuple[int, float, float]) -> list[Row]:
    """Cells by (concurrency, end-to-end latency in seconds, tokens per second)."""
    rows = []
    for concurrency, latency, throughput in points:
        row = cell_row(concurrency=concurrency, tput=throughput)
        rows.append(put(row, "e2e_s", latency))
    return rows


def test_the_knee_of_a_service_with_eight_slots_is_at_eight() -> None:
    point = point_of(sweep(("D(100,100)",), (1, 2, 4, 8, 16, 32)))
    assert level_of(point) == 8
    assert point.basis == "knee"
    assert not point.last


@pytest.mark.parametrize("levels", [(1, 2, 4, 8, 16), (4, 8, 16, 32, 64, 128, 256), (8, 16)])
def test_the_knee_does_not_move_with_the_levels_around_it(levels: tuple[int, ...]) -> None:
    assert level_of(point_of(sweep(("D(100,100)",), levels))) == 8


def test_a_single_level_is_the_point_and_lies_at_both_ends() -> None:
    point = point_of([cell_row(concurrency=4)])
    assert level_of(point) == 4
    assert point.first
    assert point.last


def test_of_two_levels_the_second_wins_only_if_it_gains_more_than_it_costs() -> None:
    assert level_of(point_of(curve((1, 1.0, 100), (16, 1.1, 1500)))) == 16
    assert level_of(point_of(curve((16, 1.1, 1500), (64, 4.4, 1520)))) == 16


def test_flat_latency_means_that_no_knee_was_reached() -> None:
    point = point_of(curve((1, 2.0, 50), (2, 2.0, 100), (4, 2.01, 199)))
    assert level_of(point) == 4
    assert point.last


def test_flat_throughput_means_that_the_lowest_level_is_past_the_knee() -> None:
    point = point_of(curve((8, 1.0, 500), (16, 2.0, 501), (32, 4.0, 500)))
    assert level_of(point) == 8
    assert point.first


def test_levels_as_good_as_equal_go_to_the_higher_throughput() -> None:
    assert level_of(point_of(curve((8, 1.0, 500), (9, 1.12, 550), (32, 4.0, 560)))) == 9


def test_a_throughput_that_breaks_down_is_never_chosen() -> None:
    assert level_of(point_of(curve((4, 1.0, 400), (8, 1.5, 420), (16, 9.0, 200)))) == 4


@pytest.mark.parametrize("bad", [hung, usage_missing, all_failed, engine_failed])
def test_a_cell_that_cannot_be_trusted_is_never_chosen(bad: object) -> None:
    best = bad("D(100,100)", 16)
    for metric, value in (("e2e_s", 0.001), ("output_tput_tok_s", 99_999.0)):
        if best["validity"] != "valid":
            put(best, metric, value)
            put(best, "goodput_ratio", 1.0, n=5000, share=0.0)
    rows = [*sweep(("D(100,100)",), (1, 2)), best]
    with_slo = [with_goodput(row, 1.0) if row["concurrency"] < 16 else row for row in rows]
    assert level_of(point_of(rows)) == 2
    assert level_of(point_of(with_slo, SLO)) == 2


def test_a_throughput_bound_by_the_client_is_never_chosen() -> None:
    rows = sweep(("D(100,100)",), (1, 2, 4))
    put(rows[2], "output_tput_tok_s", 9999.0, share=0.4)
    assert level_of(point_of(rows)) == 2


def test_without_any_trusted_cell_there_is_no_point_but_a_reason() -> None:
    point = point_of([hung(), engine_failed()])
    assert point.row is None
    assert point.why_none


def test_under_an_slo_the_highest_throughput_that_meets_it_wins() -> None:
    rows = [
        with_goodput(row, ratio)
        for row, ratio in zip(sweep(("D(100,100)",)), (1.0, 1.0, 0.998, 0.992, 0.61), strict=True)
    ]
    point = point_of(rows, SLO)
    assert level_of(point) == 8
    assert point.basis == "slo"
    assert point.proven


def test_an_attainment_seen_in_few_requests_is_not_called_proven() -> None:
    row = put(cell_row(n=20), "goodput_ratio", 1.0, n=20, width=0.16, share=0.0)
    assert not point_of([row], SLO).proven


def test_an_attainment_that_the_client_may_have_decided_is_not_called_proven() -> None:
    row = put(cell_row(), "goodput_ratio", 1.0, n=5000, width=0.001, share=0.1)
    assert not point_of([row], SLO).proven


def test_when_no_level_meets_the_slo_the_nearest_is_named() -> None:
    rows = [with_goodput(row, 0.9 - 0.1 * i) for i, row in enumerate(sweep(("D(100,100)",)))]
    point = point_of(rows, SLO)
    assert point.row is None
    assert point.nearest is not None
    assert point.nearest["concurrency"] == 1


def test_a_level_counts_under_the_slo_only_if_every_repeat_meets_it() -> None:
    rows = []
    for repeat, high in enumerate((0.999, 0.95, 0.999)):
        for level, ratio in ((4, 0.999), (8, high)):
            rows.append(with_goodput(cell_row(concurrency=level, repeat_idx=repeat), ratio))
    assert level_of(point_of(rows, SLO)) == 4


def test_of_several_repeats_a_measured_one_stands_for_the_level() -> None:
    rows = [cell_row(tput=tput, repeat_idx=i) for i, tput in enumerate((90.0, 110.0, 100.0))]
    throughput = point_of(rows).throughput
    assert throughput is not None
    assert throughput.value == 100.0


def test_embeddings_are_judged_by_input_tokens_over_batch_size() -> None:
    point = point_of(embeddings())
    assert level_of(point) == 8
    assert point.throughput is not None
    assert point.throughput.metric == "input_tput_tok_s"


@given(st.lists(st.tuples(st.floats(1e-4, 1e4), st.floats(1e-3, 1e6)), min_size=1, max_size=12))
def test_no_other_level_has_both_less_latency_and_more_throughput(
    points: list[tuple[float, float]],
) -> None:
    found = knee(points)
    assert found is not None
    latency, throughput = points[found]
    # Near ties go to the higher throughput, so a rival must be better by more than the tie.
    assert not any(t > throughput and lat < latency * 0.95 for lat, t in points)
    assert knee([]) is None
