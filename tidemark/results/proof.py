"""From a measured attempt to the row that says how far it can be trusted, by today's rules."""

from __future__ import annotations

import json
from dataclasses import replace

from tidemark.results.client_floor import Floor
from tidemark.results.context import AttemptContext, RunContext
from tidemark.results.floor import apply_floor
from tidemark.results.metrics import CellMetrics, summarise
from tidemark.results.requests import CellRaw
from tidemark.results.rows import cell_row
from tidemark.results.tables import Row
from tidemark.results.verdict import judge

__all__ = ["measured_metrics", "proved_row"]


def measured_metrics(run: RunContext, raw: CellRaw) -> CellMetrics:
    """The metrics of an attempt as its plan wants them, before any client floor."""
    plan = run.plan
    return summarise(raw, task=plan.task, slo=plan.slo, token_counts=plan.token_counts)


def proved_row(
    run: RunContext,
    attempt: AttemptContext,
    raw: CellRaw,
    metrics: CellMetrics,
    floor: Floor | None = None,
) -> Row:
    """The row of an attempt, judged under its client floor if one is known."""
    metrics = apply_floor(metrics, floor, concurrency=attempt.cell.concurrency, raw=raw)
    if floor is not None:
        attempt = replace(attempt, floor=json.loads(floor.to_json()))
    return cell_row(run, attempt, raw, metrics, judge(raw, metrics, attempt.cell, run.plan))
