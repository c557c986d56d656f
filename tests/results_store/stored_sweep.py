"""A finished sweep of two cells in a store, made from events as the launcher writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tidemark import __version__
from tidemark.engines.genai_bench_output import read_pass
from tidemark.plan.cells import Cell, cells
from tidemark.plan.sweep import SweepPlan, plan_hash
from tidemark.results.client_floor import Floor, Timing, floor_from
from tidemark.results.context import AttemptContext, Harness, RunContext, RunOutcome
from tidemark.results.layout import attempt_id, part_path
from tidemark.results.proof import measured_metrics, proved_row
from tidemark.results.record import record_of
from tidemark.results.redact import Redactor
from tidemark.results.rows import run_row
from tidemark.results.store import Attempt, Store, StoredAttempt
from tidemark.results.tables import Row

ASKED_AT = datetime(2026, 11, 21, 3, 0, 0, 123456, tzinfo=UTC)
READERS = {"genai-bench": read_pass}
REQUESTS = 120

PLAN = SweepPlan.model_validate(
    {
        "name": "nightly",
        "endpoint": {"url": "http://service:8000", "model": "org/model=7b", "api_key": "env:KEY"},
        "scenarios": ["D(100,100)"],
        "concurrency": [1, 4],
        "slo": {"ttft_s": 0.2},
        "tokenizer": "/models/tokenizer",
    }
)


@dataclass(frozen=True)
class Sweep:
    """What was put: the run, its cells, its row and where that and the manifest lie."""

    run: RunContext
    cells: tuple[StoredAttempt, ...]
    row: Row
    run_part: str
    manifest: str


def context_of(run_id: str = "20261121T030000-0badcafe", version: str = __version__) -> RunContext:
    """A run that was asked for."""
    return RunContext(
        run_id=run_id,
        round="2026-11-21",
        plan=PLAN,
        plan_hash=plan_hash(PLAN),
        created_at=ASKED_AT,
        harness=Harness(tidemark_version=version, python_version="3.11.7", git_sha="c0ffee" * 6),
        requested_by="night watch",
        reproduce=f"tidemark sweep run:{run_id}",
    )


def attempt_at(
    run: RunContext,
    cell: Cell,
    floor: Floor | None = None,
    redactor: Redactor | None = None,
    **row: Any,
) -> Attempt:
    """One measured cell, judged; `row` puts other values into its row."""
    files, context = output(cell.concurrency)
    if redactor is not None:
        files = {name: redactor.data(content) for name, content in files.items()}
    raw = read_pass(files, context)
    attempt = AttemptContext(
        cell=cell,
        attempt_id=attempt_id(run.run_id, cell.repeat_idx),
        created_at=ASKED_AT + timedelta(minutes=cell.order_idx),
        started_at=ASKED_AT + timedelta(minutes=cell.order_idx, seconds=1),
        finished_at=ASKED_AT + timedelta(minutes=cell.order_idx, seconds=40),
        reproduce=f"tidemark sweep run:{run.run_id} --cell {cell.cell_id[:12]}",
        resources={"seed": 7},
    )
    proved = proved_row(run, attempt, raw, measured_metrics(run, raw), floor)
    return Attempt(
        row={**proved, **row},
        requests=raw.rows,
        raw_files=files,
        raw_context=context,
        record=record_of(run, attempt),
    )


def put_sweep(store: Store, run: RunContext | None = None, **row: Any) -> Sweep:
    """A run with both its cells, its row and its manifest; the second cell has a client floor."""
    run = run or context_of()
    kept = tuple(
        store.put_cell(attempt_at(run, cell, floor() if cell.order_idx else None, **row))
        for cell in cells(run.plan)
    )
    return put_run(store, run, kept)


def put_run(store: Store, run: RunContext, kept: tuple[StoredAttempt, ...]) -> Sweep:
    """The row and the manifest of a run that counts these cells."""
    rows = [stored.row for stored in kept]
    good = all(row["validity"] == "valid" and not row["needs_attention"] for row in rows)
    outcome = RunOutcome(
        outcome="complete" if good else "partial",
        exit_status=0 if good else 3,
        started_at=ASKED_AT + timedelta(seconds=2),
        finished_at=ASKED_AT + timedelta(minutes=5),
        cells_planned=len(cells(run.plan)),
    )
    row = run_row(run, outcome, rows)
    part = store.put_run(row)
    manifest = store.put_manifest(
        run.run_id,
        run_part=part,
        cell_parts=[stored.cell_part for stored in kept],
        contents={"round": run.round, "plan_hash": run.plan_hash},
    )
    return Sweep(run, kept, row, part, manifest)


def output(concurrency: int) -> tuple[Mapping[str, bytes], dict[str, Any]]:
    """What the engine leaves of one pass, and what is noted beside it; one request is refused."""
    zero, spread_s = 15_963.431755427, 0.4
    events: list[dict[str, Any]] = [
        {"event": "run_start", "t": zero, "run": 0, "start": zero, "spread_s": spread_s}
    ]
    free = [zero + spread_s * place / concurrency for place in range(concurrency)]
    for index in range(REQUESTS):
        user = index % concurrency
        start = free[user]
        ttft, length = 0.05 + 0.001 * (index * 7 % 13), 0.3 + 0.003 * (index * 5 % 11)
        event = {"event": "request", "run": 0, "i": index, "start": start}
        if index == 60:
            free[user] = start + 0.01
            event |= {"first": None, "end": free[user], "outcome": "failed", "status": 429}
            event |= {"message": "slow down", "http_status": 429}
        else:
            free[user] = start + length
            event |= {"first": start + ttft, "end": free[user], "outcome": "ok", "status": 200}
            event |= {"message": None, "input_tokens": 100, "output_tokens": 100}
            event |= {"reasoning_tokens": None, "usage": True, "max_tokens": 100, "finished": True}
        events.append({"t": free[user], **event})
    last = max(event.get("end", 0.0) for event in events)
    closed = max(event["start"] for event in events)
    full = zero + spread_s * (concurrency - 1) / concurrency
    events.append(
        {"event": "run_end", "t": last, "run": 0, "start": zero, "full": full, "closed": closed,
         "end": last, "cpu_p95": 0.2, "lag_p50_s": 0.0004, "lag_p99_s": 0.003}
    )  # fmt: skip
    lines = "".join(json.dumps(event) + "\n" for event in events)
    files = {"events.jsonl": lines.encode(), "experiment_metadata.json": b'{"version": "0.0.5"}\n'}
    noted = {"engine": "genai-bench", "engine_version": "0.0.5", "task": "text-to-text"}
    return files, {**noted, "stall_timeout_s": 60.0, "failure": None, "notes": []}


def floor(added_s: float = 0.0004) -> Floor:
    """What the client adds, at up to 4 users."""
    pairs = [
        (Timing(0.05 + added_s * (1 + n % 3), 0.003, 0.35 + added_s), Timing(0.05, 0.003, 0.35))
        for n in range(100)
    ]
    return floor_from(
        pairs,
        scenario="D(100,100)",
        concurrency=4,
        request_rate_rps=50.0,
        loop_lag_p50_s=0.0004,
        loop_lag_p99_s=0.003,
        measured_at="2026-11-21T02:00:00+00:00",
        machine="client",
        engine="genai-bench 0.0.5",
    )


def taken_over(store: Store, sweep: Sweep) -> Sweep:
    """A later run of the same round that took over every cell."""
    later = replace(
        context_of("20261121T040000-0badcafe"), created_at=ASKED_AT + timedelta(hours=1)
    )
    return put_run(store, later, sweep.cells)


def place_of(table: str, row: Row) -> str:
    """Where an attempt's part of a table lies."""
    day = row["created_at"].astimezone(UTC).date()
    return part_path(table, row["model_name"], day, row["cell_id"], row["attempt_id"])
