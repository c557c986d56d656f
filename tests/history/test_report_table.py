"""The table of cells: nothing invalid unmarked, nothing missing without a reason."""

from __future__ import annotations

import io

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
)
from rich.console import Console

from tidemark.history.cell_table import CellTable, cell_table
from tidemark.history.terminal import render


def text_of(table: CellTable, heading: str, place: int = 0) -> str:
    index = [column.heading for column in table.columns].index(heading)
    return table.rows[place].texts[index]


def printed(width: int, cells: list[Row], run: Row | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(render(run or run_row(), cells))
    return console.file.getvalue()


def test_a_valid_cell_reads_plainly() -> None:
    table = cell_table([cell_row(concurrency=4)])
    assert text_of(table, "TTFT p50") == "250 ms"
    assert text_of(table, "TPOT p50") == "25.0 ms"
    assert text_of(table, "E2E p50") == "2.73 s"
    assert text_of(table, "output tok/s") == "147"
    assert text_of(table, "in flight / asked") == "3.94 / 4"
    assert text_of(table, "client share") == "2 % (TTFT)"
    assert text_of(table, "verdict") == "valid"
    assert not table.footnotes


def test_a_band_is_a_range_and_a_client_bound_value_no_number() -> None:
    row = cell_row()
    put(row, "ttft_s", 0.271, share=0.078)
    put(row, "tpot_s", 0.030, share=0.6)
    table = cell_table([row])
    assert text_of(table, "TTFT p50") == "250–271 ms"
    assert text_of(table, "TPOT p50") == "client-bound"
    assert any("client-bound" in note for note in table.legend)


def test_a_band_without_an_upper_end_says_at_least() -> None:
    row = put(cell_row(), "output_tput_tok_s", 100.0, share=0.1)
    row["metrics"][-1]["lo"], row["metrics"][-1]["hi"] = 100.0, None
    assert text_of(cell_table([row]), "output tok/s") == "≥ 100"


@pytest.mark.parametrize("bad", [hung, usage_missing])
def test_numbers_of_a_cell_that_is_not_trusted_stand_in_brackets(bad: object) -> None:
    table = cell_table([bad()])
    for heading in ("TTFT p50", "E2E p50"):
        text = text_of(table, heading)
        assert text.startswith("(")
        assert text.endswith(")")
    assert any(note.startswith("in brackets") for note in table.legend)


def test_what_is_missing_has_a_footnote_in_words_and_equal_reasons_share_one() -> None:
    table = cell_table([usage_missing(), all_failed()])
    assert text_of(table, "TPOT p50") == "– [1]"
    assert text_of(table, "output tok/s") == "– [1]"
    assert text_of(table, "TTFT p50", 1) == "– [2]"
    assert table.footnotes == (
        "[1] the server sent no token counts (120 of 120)",
        "[2] no request was answered",
    )


def test_a_cell_the_engine_never_delivered_is_a_row_with_its_reason() -> None:
    table = cell_table([engine_failed()])
    assert text_of(table, "verdict") == "invalid(engine_failed)"
    assert text_of(table, "n") == "–"
    assert "the engine never delivered this cell" in table.footnotes[0]


def test_errors_are_a_count_and_a_share() -> None:
    assert text_of(cell_table([all_failed()]), "errors") == "80 (100 %)"
    assert text_of(cell_table([cell_row()]), "errors") == "0"


def test_embeddings_have_no_column_for_tokens_that_cannot_be() -> None:
    table = cell_table(embeddings())
    headings = [column.heading for column in table.columns]
    assert "TTFT p50" not in headings
    assert "output tok/s" not in headings
    assert text_of(table, "input tok/s", 1) == "146,000"
    assert [row.texts[headings.index("batch size")] for row in table.rows] == ["1", "8", "64"]


def test_repeats_are_rows_of_their_own_and_never_averaged() -> None:
    rows = [cell_row(ttft=0.2 + repeat / 10, repeat_idx=repeat) for repeat in (2, 0, 1)]
    table = cell_table(rows)
    assert [text_of(table, "repeat", place) for place in range(3)] == ["1", "2", "3"]
    assert [text_of(table, "TTFT p50", place) for place in range(3)] == [
        "200 ms", "300 ms", "400 ms",
    ]  # fmt: skip


def test_rows_are_in_order_of_scenario_and_load_however_they_come() -> None:
    rows = sweep()
    table = cell_table(rows[::-1])
    assert [line.row["order_idx"] for line in table.rows] == list(range(10))


def test_an_earlier_try_is_not_shown_but_counted() -> None:
    rows = [hung(concurrency=4), cell_row(concurrency=4, try_idx=1)]
    rows[0]["cell_id"] = rows[1]["cell_id"]
    table = cell_table(rows)
    assert len(table.rows) == 1
    assert "1 earlier try not shown" in table.legend


def test_without_a_floor_the_table_says_so() -> None:
    row = cell_row()
    for metric in ("ttft_s", "tpot_s", "e2e_s", "output_tput_tok_s"):
        put(row, metric, 1.0, share=None)
    assert any("no client floor" in note for note in cell_table([row]).legend)


def test_a_warning_qualifies_a_valid_verdict_and_a_note_does_not() -> None:
    row = cell_row(reasons=[reason("inflight_low", "", "", "warning"), reason("x", "", "", "note")])
    assert text_of(cell_table([row]), "verdict") == "valid, inflight_low"


def test_wide_columns_are_enough_when_the_long_form_is_missing() -> None:
    row = cell_row() | {"metrics": None}
    put_aside = cell_table([row])
    assert text_of(put_aside, "TTFT p50") == "250 ms"
    row["ttft_s_validity"] = "invalid(client_bound)"
    assert text_of(cell_table([row]), "TTFT p50") == "client-bound"


def test_a_number_that_is_no_number_is_missing() -> None:
    row = put(cell_row(), "ttft_s", float("nan"))
    assert text_of(cell_table([row]), "TTFT p50").startswith("–")


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_the_terminal_report_fits_and_keeps_what_matters(width: int) -> None:
    text = printed(width, eventful())
    assert all(len(line) <= width for line in text.splitlines())
    assert "client-bound" in text
    assert ("no room for" in text) == (width < 140)


def test_a_wide_terminal_shows_every_column() -> None:
    text = printed(200, eventful())
    for heading in ("errors", "in flight / asked", "client share", "verdict"):
        assert heading in text


def test_markup_in_names_is_text_in_a_terminal() -> None:
    text = printed(160, [cell_row("[bold red]D(1,1)[/]", model_name="[link=http://x]y[/]")])
    assert "[bold red]D(1,1)[/]" in text


def test_a_run_without_cells_still_prints_its_lines() -> None:
    assert "no cell was measured" in printed(80, [])


def test_a_cell_that_was_taken_over_says_from_where() -> None:
    cells = [cell_row(concurrency=1) | {"reused_from": "run-before"}, cell_row(concurrency=2)]
    table = cell_table(cells)
    assert text_of(table, "verdict", 0) == "valid, taken over"
    assert text_of(table, "verdict", 1) == "valid"
    assert "taken over from run run-before: 1 cell" in table.legend
