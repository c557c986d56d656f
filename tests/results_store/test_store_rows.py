"""A cell's row says what was asked, what was measured and what it is worth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tidemark.errors import StoreError
from tidemark.plan.cells import Cell
from tidemark.results.metrics import summarise
from tidemark.results.requests import CellRaw, Failure
from tidemark.results.rows import (
    AttemptContext,
    Row,
    RunContext,
    RunOutcome,
    cell_row,
    requests_table,
    run_row,
)
from tidemark.results.schema import CELLS, RUNS
from tidemark.results.verdict import judge


def row_of(
    run: RunContext,
    cell: Cell,
    raw: CellRaw,
    *,
    created_at: datetime | None = None,
    resources: dict[str, object] | None = None,
) -> Row:
    metrics = summarise(raw, task=cell.task, slo=run.plan.slo)
    context = AttemptContext(
        cell=cell,
        attempt_id="a1",
        created_at=created_at or run.created_at,
        resources=resources or {},
    )
    return cell_row(run, context, raw, metrics, judge(raw, metrics, cell, run.plan))


def test_a_row_has_every_column_and_no_other(make_row: Callable[..., Row]) -> None:
    assert list(make_row()) == CELLS.names


def test_wide_columns_and_long_form_say_the_same(make_row: Callable[..., Row]) -> None:
    row = make_row()
    assert row["ttft_s_p50"] == pytest.approx(0.05)
    assert row["ttft_s_n"] == 192  # of 200: four before the window, four refused
    assert row["requests_attempted"] == 200
    assert row["requests_failed"] == 4
    assert row["failed_by_class"] == [{"kind": "http_429", "requests": 4}]
    assert row["error_rate"] == pytest.approx(0.02)
    for stat in row["metrics"]:
        name = stat["metric"] if stat["stat"] == "value" else f"{stat['metric']}_{stat['stat']}"
        assert row[name] == stat["value"]
        if stat["stat"] in ("p50", "value"):
            assert row[f"{stat['metric']}_ci_lo"] == stat["ci_lo"]
            assert row[f"{stat['metric']}_n"] == stat["n"]


def test_every_null_metric_has_its_reason(make_row: Callable[..., Row]) -> None:
    row = make_row()
    reasons = {entry["column"]: entry["reason"] for entry in row["null_reasons"]}
    assert row["itl_s_p50"] is None
    assert reasons["itl_s_p50"] == "engine_lacks"
    assert row["ttft_s_p99"] is None
    assert reasons["ttft_s_p99"].startswith("n_too_small")
    assert "ttft_s_p50" not in reasons
    assert all(reasons.values())


def test_what_nobody_knows_is_null_and_not_zero(make_row: Callable[..., Row]) -> None:
    row = make_row()
    for name in ("quoted", "billed", "cost_per_mtok_out", "dlc_job_id", "gpu_count", "seed"):
        assert row[name] is None


def test_engine_claims_are_kept_as_json_whatever_they_are(make_row: Callable[..., Row]) -> None:
    claims = json.loads(make_row()["engine_claims"])
    assert claims == {"run_duration": 25.5, "error_rate": 0.0, "mean": "nan"}


def test_hashes_follow_what_they_are_of(
    run: RunContext, cell: Cell, raw: CellRaw, make_row: Callable[..., Row]
) -> None:
    names = ("workload_hash", "environment_hash", "measurement_hash", "verification_hash")
    base = make_row()
    elsewhere = row_of(run, cell, raw, resources={"region": "cn-hangzhou"})
    changed = [name for name in names if base[name] != elsewhere[name]]
    assert changed == ["environment_hash"]
    busier = row_of(run, replace(cell, concurrency=8), raw)
    assert [name for name in names if base[name] != busier[name]] == ["workload_hash"]


def test_a_cell_the_engine_never_delivered_is_a_row_too(run: RunContext, cell: Cell) -> None:
    failed = CellRaw(failure=Failure("engine_died", "exit status 137", "Give it more memory"))
    row = row_of(run, cell, failed)
    assert (row["status"], row["failure_class"]) == ("failed", "engine_died")
    assert row["validity"] == "invalid"
    assert row["reasons"]
    assert row["ttft_s_p50"] is None


def test_resources_fill_columns_and_unknown_ones_are_refused(
    run: RunContext, cell: Cell, raw: CellRaw
) -> None:
    assert row_of(run, cell, raw, resources={"region": "cn-hangzhou"})["region"] == "cn-hangzhou"
    with pytest.raises(StoreError, match="regoin: no such column"):
        row_of(run, cell, raw, resources={"regoin": "cn-hangzhou"})


def test_numbers_that_are_not_finite_and_local_times_are_refused(
    run: RunContext, cell: Cell, raw: CellRaw
) -> None:
    with pytest.raises(StoreError, match="queued_s: a number is not finite"):
        row_of(run, cell, raw, resources={"queued_s": float("inf")})
    with pytest.raises(StoreError, match="created_at: an instant has no time zone"):
        row_of(run, cell, raw, created_at=datetime(2026, 11, 21))  # noqa: DTZ001


def test_requests_are_in_their_own_order(raw: CellRaw) -> None:
    table = requests_table("run-1", "c0ffee", "a1", reversed(raw.rows))
    assert table["request_idx"].to_pylist() == list(range(200))
    assert table["tpot_s"][0].as_py() == pytest.approx(0.45 / 99)
    assert table.equals(requests_table("run-1", "c0ffee", "a1", raw.rows))


def test_a_run_counts_its_cells_and_holds_its_plan(
    run: RunContext, make_row: Callable[..., Row]
) -> None:
    finished = run.created_at + timedelta(minutes=5)
    outcome = RunOutcome(
        outcome="partial",
        exit_status=3,
        started_at=run.created_at,
        finished_at=finished,
        cells_planned=3,
    )
    rows = [
        make_row() | {"validity": "valid"},
        make_row(1) | {"validity": "invalid", "status": "failed"},
    ]
    row = run_row(run, outcome, rows)
    assert list(row) == RUNS.names
    assert (row["cells_valid"], row["cells_invalid"], row["cells_failed"]) == (1, 1, 1)
    assert row["wall_s"] == 300.0
    assert json.loads(row["plan_json"])["endpoint"]["api_key"] == "env:SERVICE_API_KEY"
