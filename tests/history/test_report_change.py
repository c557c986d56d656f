"""Change against a baseline: a difference within the intervals is called noise."""

from __future__ import annotations

from history_rows import Row, cell_row, hung, put, run_row, sweep

from tidemark.history.change import changes
from tidemark.history.report import five_lines


def slower(rows: list[Row], factor: float) -> list[Row]:
    """The same cells with every time to first token multiplied."""
    return [put(dict(row), "ttft_s", row["ttft_s_p50"] * factor) for row in rows]


def by_cell(rows: list[Row]) -> dict[str, Row]:
    return {row["cell_id"]: row for row in rows}


def copies(rows: list[Row]) -> list[Row]:
    return [dict(row) for row in rows]


def test_without_a_baseline_the_line_says_so() -> None:
    assert five_lines(run_row(), sweep())[3] == "Change: no baseline yet"


def test_a_change_beyond_the_intervals_is_told_with_its_percent_and_place() -> None:
    rows = sweep(("D(100,100)",), (1, 2))
    line = five_lines(run_row(), slower(rows, 1.2), by_cell(rows))[3]
    assert "2 worse (most: TTFT +20 %, D(100,100) at concurrency 1)" in line
    assert "within noise" in line


def test_a_change_within_the_intervals_is_noise() -> None:
    rows = sweep(("D(100,100)",), (1,))
    line = five_lines(run_row(), slower(rows, 1.04), by_cell(rows))[3]
    assert "worse" not in line
    assert line.startswith("Change: 4 within noise")


def test_more_throughput_is_better_and_more_latency_worse() -> None:
    old = cell_row(tput=100.0)
    new = put(put(dict(old), "ttft_s", 0.5), "output_tput_tok_s", 200.0)
    found = {change.metric: change.direction for change in changes([new], by_cell([old]))}
    assert found["ttft_s"] == "worse"
    assert found["output_tput_tok_s"] == "better"
    assert found["tpot_s"] == "within noise"


def test_without_intervals_nothing_is_called_a_change() -> None:
    old, new = cell_row(), cell_row(ttft=0.9)
    for row in (old, new):
        for entry in row["metrics"]:
            entry["ci_lo"] = entry["ci_hi"] = None
    assert {change.direction for change in changes([new], by_cell([old]))} == {"within noise"}


def test_cells_that_are_not_trusted_are_not_compared() -> None:
    rows = [hung()]
    assert five_lines(run_row(), rows, by_cell(copies(rows)))[3] == (
        "Change: no trusted cell in common with the baseline"
    )


def test_client_bound_values_are_not_compared() -> None:
    old = cell_row()
    new = put(dict(old), "ttft_s", 0.9, share=0.5)
    assert "ttft_s" not in {change.metric for change in changes([new], by_cell([old]))}
