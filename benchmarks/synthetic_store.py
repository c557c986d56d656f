"""A large store for benchmarks: attempts in the launcher's own format, put by the ordinary API.

A closed loop is played through on paper: `concurrency` users, each with one request in flight,
drawn times, now and then a refusal. What the engine would have left behind (`events.jsonl`,
`run.json`) is read, judged and stored just as a sweep does it.
"""

from __future__ import annotations

import heapq
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from tidemark import __version__
from tidemark.engines.genai_bench_output import read_pass
from tidemark.plan.cells import Cell, cells
from tidemark.plan.sweep import SweepPlan, plan_hash
from tidemark.results.client_floor import Floor, Timing, floor_from
from tidemark.results.context import AttemptContext, Harness, RunContext, RunOutcome
from tidemark.results.layout import attempt_id
from tidemark.results.proof import measured_metrics, proved_row
from tidemark.results.record import record_of
from tidemark.results.rows import run_row
from tidemark.results.store import Attempt, open_store

__all__ = ["Shape", "build", "run_of", "sample_attempts"]

SCENARIOS = ("D(128,64)", "D(512,128)", "N(480,240)/(300,150)", "U(64,512)/(32,256)", "D(64,256)")
LEVELS = (1, 2, 4, 8, 16, 32, 64, 128)
BEGAN = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)
REFUSED_SHARE = 0.003


@dataclass(frozen=True)
class Shape:
    """How large: runs of up to 40 cells each, and requests per cell."""

    cells: int
    requests: int

    @property
    def runs(self) -> int:
        """How many runs the cells are spread over."""
        whole = len(SCENARIOS) * len(LEVELS)
        return -(-self.cells // whole)


def build(uri: str, shape: Shape, say: Callable[[int], None]) -> None:
    """Fill a store; `say` is told how many cells are there after each run."""
    workers = min(shape.runs, os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        done = 0
        for count in pool.map(_put_run, *zip(*_shares(uri, shape), strict=True)):
            done += count
            say(done)


def _shares(uri: str, shape: Shape) -> Iterator[tuple[str, int, int, int]]:
    whole = len(SCENARIOS) * len(LEVELS)
    for number in range(shape.runs):
        yield uri, number, min(whole, shape.cells - number * whole), shape.requests


def sample_attempts(requests: int) -> tuple[RunContext, list[Attempt]]:
    """A run, and what is to be kept of each of its cells."""
    run, generator = run_of(0, requests), np.random.default_rng(0)
    return run, [_attempt(run, cell, requests, generator) for cell in cells(run.plan)]


def run_of(number: int, requests: int) -> RunContext:
    """The run of one night."""
    plan = SweepPlan.model_validate(
        {
            "name": "nightly",
            "endpoint": {"url": "http://service:8000", "model": f"org/model-{number % 3}"},
            "scenarios": list(SCENARIOS),
            "concurrency": list(LEVELS),
            "limits": {"max_requests": requests, "max_time_s": 3600},
            "slo": {"ttft_s": 0.5, "tpot_s": 0.05},
            "tokenizer": "/models/tokenizer",
        }
    )
    created_at = BEGAN + timedelta(days=number)
    run_id = f"{created_at:%Y%m%dT%H%M%S}-{number:08x}"
    return RunContext(
        run_id=run_id,
        round=f"{created_at:%Y-%m-%d}",
        plan=plan,
        plan_hash=plan_hash(plan),
        created_at=created_at,
        harness=Harness(tidemark_version=__version__, python_version="3.11.2"),
        requested_by="benchmark",
        reproduce=f"tidemark sweep run:{run_id}",
    )


def _put_run(uri: str, number: int, count: int, requests: int) -> int:
    store = open_store(uri)
    run, generator = run_of(number, requests), np.random.default_rng(number)
    kept = [
        store.put_cell(_attempt(run, cell, requests, generator)) for cell in cells(run.plan)[:count]
    ]
    rows = [stored.row for stored in kept]
    outcome = RunOutcome(
        outcome="partial",
        exit_status=3,
        started_at=run.created_at,
        finished_at=run.created_at + timedelta(hours=2),
        cells_planned=len(cells(run.plan)),
    )
    part = store.put_run(run_row(run, outcome, rows))
    parts = [stored.cell_part for stored in kept]
    store.put_manifest(run.run_id, run_part=part, cell_parts=parts)
    return count


def _attempt(run: RunContext, cell: Cell, requests: int, generator: np.random.Generator) -> Attempt:
    events = _events(cell.concurrency, requests, generator)
    files = {
        "events.jsonl": "".join(json.dumps(event) + "\n" for event in events).encode(),
        "run.json": json.dumps(_run_file(events), indent=4).encode(),
        "experiment_metadata.json": json.dumps({"benchmark_version": "0.0.5"}).encode(),
    }
    context: dict[str, Any] = {
        "engine": "genai-bench",
        "engine_version": "0.0.5",
        "task": run.plan.task,
        "stall_timeout_s": run.plan.limits.stall_timeout_s,
        "requests_planned": requests,
        "run_seed": 7,
        "failure": None,
        "notes": [],
    }
    raw = read_pass(files, context)
    finished_at = run.created_at + timedelta(minutes=1 + cell.order_idx)
    attempt = AttemptContext(
        cell=cell,
        attempt_id=attempt_id(run.run_id, cell.repeat_idx),
        created_at=run.created_at + timedelta(minutes=cell.order_idx),
        started_at=finished_at - timedelta(seconds=raw.wall_s or 0.0),
        finished_at=finished_at,
        task_run_id="00000000-0000-0000-0000-000000000000",
        reproduce=f"tidemark sweep run:{run.run_id} --cell {cell.cell_id[:12]}",
        resources={"seed": 7},
    )
    metrics = measured_metrics(run, raw)
    row = proved_row(run, attempt, raw, metrics, _floor(cell, generator))
    return Attempt(
        row=row,
        requests=raw.rows,
        raw_files=files,
        raw_context=context,
        record=record_of(run, attempt),
    )


def _events(
    concurrency: int, requests: int, generator: np.random.Generator
) -> list[dict[str, Any]]:
    """What the launcher writes of one pass, in the order in which requests end."""
    zero = 15_963.431755427
    spread_s = 0.8
    ttft = generator.lognormal(-2.5, 0.3, requests) * (1 + concurrency / 32)
    tokens = generator.integers(32, 256, requests)
    e2e = ttft + 0.008 * (1 + concurrency / 64) * tokens * generator.normal(1, 0.02, requests)
    refused = generator.random(requests) < REFUSED_SHARE
    users = [zero + spread_s * place / concurrency for place in range(concurrency)]
    heapq.heapify(users)
    rows, closed = [], zero
    for index in range(requests):
        start = closed = heapq.heappop(users)
        row: dict[str, Any] = {"event": "request", "t": 0.0, "run": 0, "i": index, "start": start}
        if refused[index]:
            end = start + 0.004
            row |= {"first": None, "end": end, "outcome": "failed", "status": 429}
            row |= {"message": "Too many requests: try again later", "http_status": 429}
            row |= {"chunks": 0}
        else:
            end = start + float(e2e[index])
            row |= {"first": start + float(ttft[index]), "end": end, "outcome": "ok"}
            row |= {"status": 200, "message": None, "input_tokens": 512}
            row |= {"output_tokens": int(tokens[index]), "reasoning_tokens": None, "usage": True}
            row |= {"max_tokens": 256, "finished": True, "chunks": int(tokens[index]) + 2}
        row["t"] = end + 0.0008
        rows.append(row)
        heapq.heappush(users, end + 0.0003)
    rows.sort(key=lambda row: row["end"])
    begin = {"event": "run_start", "t": zero, "run": 0, "start": zero, "spread_s": spread_s}
    last = rows[-1]["end"]
    finish = {
        "event": "run_end", "t": last + 0.01, "run": 0, "start": zero,
        "full": zero + spread_s * (concurrency - 1) / concurrency, "closed": closed,
        "end": last + 0.005, "issued": requests, "finished": int((~refused).sum()),
        "users": concurrency, "cpu_p95": 0.21, "lag_p50_s": 0.0004, "lag_p99_s": 0.0051,
    }  # fmt: skip
    saved = {"event": "run_saved", "t": last + 0.2, "run": 0, "file": "run-0.json"}
    return [{**begin, "presampled": requests}, *rows, finish, saved]


def _run_file(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The engine's own account of the same requests."""
    individual = []
    for event in events:
        if event["event"] != "request":
            continue
        good = event["outcome"] == "ok"
        ttft = event["first"] - event["start"] if good else None
        e2e = event["end"] - event["start"] if good else None
        output = event["output_tokens"] if good else None
        individual.append(
            {
                "ttft": ttft,
                "tpot": (e2e - ttft) / (output - 1) if good else None,
                "e2e_latency": e2e,
                "output_latency": e2e - ttft if good else None,
                "output_inference_speed": (output - 1) / (e2e - ttft) if good else None,
                "num_input_tokens": 512 if good else None,
                "num_output_tokens": output,
                "num_reasoning_tokens": 0 if good else None,
                "total_tokens": 512 + output if good else None,
                "input_throughput": 512 / ttft if good else None,
                "output_throughput": output / e2e if good else None,
                "audio_throughput": None,
                "error_code": None if good else 429,
                "error_message": None if good else event["message"],
            }
        )
    answered = [item for item in individual if item["error_code"] is None]
    means = {
        name: {"mean": float(np.mean([item[name] for item in answered]))}
        for name in ("ttft", "tpot", "e2e_latency")
    }
    aggregated = {
        "run_duration": events[-2]["end"] - events[0]["start"],
        "error_codes_frequency": {"429": len(individual) - len(answered)},
        "error_rate": 1 - len(answered) / len(individual),
        "num_error_requests": len(individual) - len(answered),
        "num_completed_requests": len(answered),
        "num_requests": len(individual),
        "stats": means,
    }
    return {
        "aggregated_metrics": aggregated,
        "individual_request_metrics": individual,
        "_time_unit": "s",
    }


def _floor(cell: Cell, generator: np.random.Generator) -> Floor:
    truth = generator.lognormal(-2.5, 0.1, 200)
    added = generator.lognormal(-7.0, 0.3, 200)
    pairs = [
        (
            Timing(float(one + more), 0.008 + float(more) / 100, 1.0 + float(one + more)),
            Timing(float(one), 0.008, 1.0 + float(one)),
        )
        for one, more in zip(truth, added, strict=True)
    ]
    return floor_from(
        pairs,
        scenario=cell.scenario,
        concurrency=cell.concurrency,
        request_rate_rps=1000.0,
        loop_lag_p50_s=0.0004,
        loop_lag_p99_s=0.005,
        measured_at="2026-01-05T02:00:00+00:00",
        machine="benchmark",
        engine="genai-bench 0.0.5",
    )
