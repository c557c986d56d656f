"""Five lines from which a person decides: each says what the rows say, and never more."""

from __future__ import annotations

from decimal import Decimal

import pytest
from history_rows import (
    Row,
    all_failed,
    cell_row,
    embeddings,
    engine_failed,
    eventful,
    hung,
    put,
    reason,
    run_row,
    sweep,
    usage_missing,
    with_goodput,
)

from tidemark.history.report import five_lines, headlines, markdown

SLO = {"ttft_s": 0.5, "tpot_s": 0.05, "e2e_s": None, "attainment": 0.99}
ONE = ("D(100,100)",)


def lines(run: Row, cells: list[Row]) -> dict[str, str]:
    told = five_lines(run, cells)
    names = ("verdict", "best", "cost", "change", "next")
    return dict(zip(names, told, strict=True))


@pytest.mark.parametrize(
    "cells",
    [[], sweep(), eventful(), embeddings(), [engine_failed()], [hung()], [{}], [{"scenario": "x"}]],
    ids=["none", "sweep", "eventful", "embeddings", "failed", "hung", "bare", "nearly bare"],
)
@pytest.mark.parametrize("slo", [None, SLO])
def test_there_are_always_five_lines_each_on_one_line(cells: list[Row], slo: Row | None) -> None:
    for run in (run_row(slo=slo), {}):
        told = five_lines(run, cells)
        assert len(told) == 5
        assert all(line and "\n" not in line and "None" not in line for line in told)
        assert "nan" not in " ".join(told).lower().split()


def test_a_good_run_says_so_in_the_first_line() -> None:
    assert lines(run_row(), sweep())["verdict"] == "Verdict: all 10 cells are valid"
    assert lines(run_row(), [cell_row()])["verdict"] == "Verdict: the one cell is valid"


def test_the_verdict_counts_and_names_what_went_wrong() -> None:
    verdict = lines(run_row(), eventful())["verdict"]
    assert "8 of 10 cells valid" in verdict
    assert "1 invalid (server_hung)" in verdict
    assert "1 inconclusive (usage_missing)" in verdict
    assert "1 valid with up to 100 % of requests failed" in verdict
    assert "TTFT client-bound in 1 cell" in verdict


def test_cells_that_were_planned_and_never_measured_are_counted() -> None:
    told = lines(run_row(cells_planned=12), sweep())
    assert "2 planned cells not measured" in told["verdict"]
    assert "2 planned cells not measured yet" in told["next"]


def test_a_retried_cell_counts_once_with_its_last_try() -> None:
    cells = [hung(concurrency=4) | {"try_idx": 0}, cell_row(concurrency=4, try_idx=1)]
    cells[0]["cell_id"] = cells[1]["cell_id"]
    assert lines(run_row(), cells)["verdict"] == "Verdict: the one cell is valid"


def test_without_an_slo_the_text_says_that_it_is_the_knee() -> None:
    best = lines(run_row(), sweep(ONE))["best"]
    assert best.startswith("Best (knee, no SLO given): concurrency 8, ")
    assert "256 tok/s" in best
    assert "TTFT p50 250 ms" in best


def test_a_knee_at_the_end_of_the_sweep_is_no_knee_and_asks_for_more() -> None:
    told = lines(run_row(), sweep(ONE, (1, 2, 4)))
    assert "concurrency 4" in told["best"]
    assert "the highest tried: no knee up to there" in told["best"]
    assert told["next"].startswith("Next: add a concurrency of 8")


def test_a_point_below_nothing_but_untrusted_levels_says_so() -> None:
    best = lines(run_row(), [*sweep(ONE, (1, 2, 4)), hung(concurrency=8)])["best"]
    assert "concurrency 4" in best
    assert best.endswith("(no higher level can be trusted)")
    assert "no higher" not in lines(run_row(), sweep(ONE))["best"]


def test_each_scenario_has_its_own_point() -> None:
    best = lines(run_row(), sweep())["best"]
    assert "D(100,100) concurrency 8" in best
    assert "N(480,240)/(300,150) concurrency 8" in best


def test_under_an_slo_the_bounds_and_the_share_are_told() -> None:
    cells = [with_goodput(row, 0.996 if row["concurrency"] <= 4 else 0.4) for row in sweep(ONE)]
    best = lines(run_row(slo=SLO), cells)["best"]
    assert best.startswith("Best under the SLO: TTFT ≤ 500 ms and TPOT ≤ 50.0 ms for 99 % of")
    assert "concurrency 4" in best
    assert "99.6 % met it" in best
    assert "too few" not in best


def test_the_slo_is_found_in_the_cells_when_the_run_has_no_plan() -> None:
    row = with_goodput(cell_row(slo_json='{"ttft_s": 0.5, "attainment": 0.9}'), 0.95)
    assert "TTFT ≤ 500 ms for 90 % of requests" in five_lines({}, [row])[1]


def test_no_level_under_the_slo_is_said_with_the_nearest() -> None:
    cells = [with_goodput(row, 0.9 - row["concurrency"] / 100) for row in sweep(ONE)]
    told = lines(run_row(slo=SLO), cells)
    assert (
        "none, no cell that can be trusted meets it; nearest is concurrency 1 with 89 %"
        in (told["best"])
    )
    assert "misses it at every concurrency tried" in told["next"]


def test_a_band_in_the_best_line_is_a_band() -> None:
    cells = sweep(ONE)
    put(cells[3], "ttft_s", 0.271, share=0.078)
    assert "TTFT p50 250–271 ms" in lines(run_row(), cells)["best"]


def test_a_client_bound_value_is_never_printed_as_a_number() -> None:
    cells = sweep(ONE)
    put(cells[3], "ttft_s", 0.123, share=0.5)
    told = lines(run_row(), cells)
    assert "TTFT p50 client-bound" in told["best"]
    assert "123" not in told["best"]
    assert "TTFT is bound by this one (D(100,100) at concurrency 8)" in told["next"]


def test_cost_is_metered_of_quoted_or_not_priced() -> None:
    money = {"currency": "CNY", "quoted": Decimal("2.5"), "metered": Decimal("1.2345")}
    assert lines(run_row(**money), sweep())["cost"] == "Cost: 1.2345 CNY metered of 2.50 CNY quoted"
    quoted = money | {"metered": None}
    assert lines(run_row(**quoted), sweep())["cost"] == "Cost: 2.50 CNY quoted, nothing metered"
    assert "not priced: " in lines(run_row(), sweep())["cost"]
    note = "not priced: the service belongs to someone else"
    assert lines(run_row(notes=["x", note]), sweep())["cost"] == f"Cost: {note}"


def test_a_price_of_nothing_is_a_price() -> None:
    free = {"currency": "CNY", "metered": Decimal(0)}
    assert lines(run_row(**free), sweep())["cost"] == "Cost: 0 CNY metered"


def test_the_cost_of_a_million_tokens_is_that_of_the_best_point() -> None:
    cells = [row | {"cost_per_mtok_out": Decimal("0.42"), "currency": "CNY"} for row in sweep(ONE)]
    cost = lines(run_row(currency="CNY", metered=Decimal(3)), cells)["cost"]
    assert cost.endswith("0.42 CNY per million output tokens at the best point")


def test_next_is_the_advice_of_what_fails_most_before_anything_else() -> None:
    following = lines(run_row(cells_planned=20), eventful())["next"]
    assert following.startswith("Next: look whether the server hangs")
    assert "(server_hung: D(100,100) at concurrency 16)" in following


def test_errors_of_the_server_come_before_what_is_inconclusive() -> None:
    cells = [cell_row(), usage_missing(), all_failed()]
    following = lines(run_row(), cells)["next"]
    assert following.startswith("Next: lower the concurrency, or raise the quota of the service")
    assert "100 % of requests failed with http_429" in following


def test_an_inconclusive_cell_is_next_when_nothing_is_wrong() -> None:
    following = lines(run_row(), [*sweep(ONE, (1, 2)), usage_missing()])["next"]
    assert following.startswith("Next: ask the service for usage")


def test_notes_that_only_add_evidence_are_no_reason_to_act() -> None:
    cells = sweep(ONE)
    cells[0]["reasons"] = [reason("claims_differ", "the engine says 3", "-", "note")]
    told = lines(run_row(), cells)
    assert told["verdict"] == "Verdict: all 5 cells are valid"
    assert "claims_differ" not in " ".join(told.values())


def test_percentiles_that_are_missing_ask_for_more_requests() -> None:
    assert (
        "p95 needs 200 requests in a cell, the shortest has 140"
        in (lines(run_row(), sweep(ONE))["next"])
    )


def test_too_few_requests_to_prove_the_slo_ask_for_as_many_as_it_takes() -> None:
    cells = [put(row, "goodput_ratio", 1.0, n=50, width=0.1, share=0.0) for row in sweep(ONE)[:4]]
    cells.append(with_goodput(sweep(ONE)[4], 0.2))
    told = lines(run_row(slo=SLO), cells)
    assert "100 % met it (too few to prove)" in told["best"]
    assert "raise limits.max_requests to 1000" in told["next"]


def test_a_floor_that_does_not_fit_is_said() -> None:
    cells = sweep(ONE)
    put(cells[3], "ttft_s", 0.25, validity="inconclusive(floor_not_comparable)")
    told = lines(run_row(), cells)
    assert "TTFT p50 250 ms ?" in told["best"]
    assert "the client floor does not fit" in told["next"]


def test_with_nothing_left_to_do_the_run_is_there_to_be_compared_with() -> None:
    cells = [with_goodput(cell_row("D(1,1)", level, n=4000), 0.999) for level in (1, 2)]
    cells.append(with_goodput(cell_row("D(1,1)", 4, n=4000), 0.5))
    assert lines(run_row(slo=SLO), cells)["next"].startswith("Next: nothing")


def test_hostile_names_stay_on_their_line_and_drive_no_terminal() -> None:
    row = cell_row("D(1,1)\x1b[2J\nVerdict: all fine\u202e")
    told = " ".join(five_lines(run_row(plan_name="a\nb\x07"), [row, hung("D(1,1)\x1b[2J")]))
    assert not set(told) & set("\x1b\n\x07\u202e")


def test_markdown_shows_text_as_text() -> None:
    cells = [hung("D(1,1)|<img src=x onerror=alert(1)>[x](javascript:alert(1))")]
    cells[0]["reproduce"] = "tidemark `rm` <b>"
    text = markdown(run_row(plan_name="<script>alert(1)</script>"), cells)
    assert "<script" not in text
    assert "<img" not in text
    assert "[x](" not in text.replace("\\[x\\](", "")
    assert "`` tidemark `rm` <b> ``" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| D(1,1)")]
    heading = next(line for line in text.splitlines() if line.startswith("| scenario"))
    assert row.replace("\\|", "").count("|") == heading.count("|")


def test_markdown_has_the_five_lines_the_table_and_the_reasons() -> None:
    text = markdown(run_row(), eventful())
    for headline in headlines(run_row(), eventful()):
        assert f"- **{headline.label}:** " in text
    assert "| scenario | concurrency | n | errors | TTFT p50 |" in text
    assert "server_hung. 16 requests were silent for 60 s. Look whether" in text
    assert "Again: `tidemark sweep nightly.yaml --only 16`" in text
    assert text.endswith("\n")
