"""Rows of the result tables, from what was planned, what happened and what was made of it.

Everything comes in as arguments, clocks and versions too: the same input gives the same row, and
the same row the same bytes.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from tidemark.errors import StoreError
from tidemark.plan.canonical import canonical_json, sha256_hex
from tidemark.plan.cells import cell_identity
from tidemark.plan.scenario import parse_scenario
from tidemark.results.context import (
    AttemptContext,
    Harness,
    JobContext,
    RunContext,
    RunOutcome,
    TimelinePoint,
)
from tidemark.results.metrics import CellMetrics
from tidemark.results.requests import CellRaw
from tidemark.results.schema import (
    CELLS,
    DISTRIBUTION_STATS,
    DISTRIBUTIONS,
    HEADLINE_STAT,
    JUDGED_STATS,
    RUNS,
    SCALARS,
    SCHEMA_VERSION,
)
from tidemark.results.tables import (
    Row,
    parquet_bytes,
    requests_table,
    table_of,
    timeline_table,
)
from tidemark.results.verdict import Verdict, verification_hash

if TYPE_CHECKING:
    from tidemark.plan.sweep import SweepPlan

__all__ = [
    "AttemptContext",
    "Harness",
    "Row",
    "RunContext",
    "RunOutcome",
    "TimelinePoint",
    "cell_row",
    "counted_columns",
    "parquet_bytes",
    "requests_table",
    "run_row",
    "table_of",
    "timeline_table",
]

_FURTHER_SYSTEM: Final = (
    "model_name", "serving_args_hash", "ecs_spec", "region", "driver_version", "cuda_version",
)  # fmt: skip


def cell_row(
    run: RunContext,
    attempt: AttemptContext,
    raw: CellRaw,
    metrics: CellMetrics,
    verdict: Verdict,
) -> Row:
    """The row of one attempt, with every column of `CELLS`.

    The store adds where the evidence lies and its hashes. Raises StoreError for a resource that
    is no column, an instant without a time zone, or a number that is not finite.
    """
    row = {
        **_run_identity(run),
        **_plan_columns(run.plan, attempt),
        **asdict(run.harness),
        **_attempt_columns(attempt),
        **_measured_columns(raw, metrics),
        **_metric_columns(metrics),
        "status": "failed" if raw.failure else "measured",
        "failure_class": raw.failure.error_class if raw.failure else None,
        "validity": verdict.validity,
        "reasons": [asdict(reason) for reason in verdict.reasons],
        "needs_attention": verdict.needs_attention,
        "feeds_baseline": verdict.feeds_baseline,
        "rules_version": verdict.rules_version,
        "verification_hash": verification_hash(),
        "reproduce": attempt.reproduce,
        **run.resources,
        **attempt.resources,
    }
    identity = cell_identity(run.plan, attempt.cell)
    further = {name: row.get(name) for name in _FURTHER_SYSTEM}
    row["workload_hash"] = sha256_hex(identity["workload"])
    row["environment_hash"] = sha256_hex({**identity["system"], **further})
    row["measurement_hash"] = sha256_hex([identity["engine"], run.harness.engine_image_digest])
    return _complete(CELLS, row)


def run_row(
    run: RunContext | JobContext, outcome: RunOutcome, cell_rows: Sequence[Mapping[str, Any]]
) -> Row:
    """The row of a run, with every column of `RUNS`, counting its cells' rows.

    Rows of another run are cells that were taken over from it.
    """
    started_at = outcome.started_at
    measured = run.plan if isinstance(run, RunContext) else run.plan.sweep
    row = {
        **_run_identity(run),
        "plan_json": canonical_json(run.plan.model_dump(mode="json")),
        **asdict(run.harness),
        "engine_name": measured.engine.name if measured else None,
        "engine_version": measured.engine.version if measured else None,
        "created_at": run.created_at,
        "started_at": started_at,
        "finished_at": outcome.finished_at,
        "wall_s": (outcome.finished_at - started_at).total_seconds() if started_at else None,
        "cells_planned": outcome.cells_planned,
        **counted_columns(run.run_id, cell_rows),
        "outcome": outcome.outcome,
        "exit_status": outcome.exit_status,
        "notes": list(outcome.notes),
        "reproduce": run.reproduce,
        **{name: value for name, value in run.resources.items() if name in RUNS.names},
    }
    return _complete(RUNS, row)


def counted_columns(run_id: str, cell_rows: Sequence[Mapping[str, Any]]) -> Row:
    """The columns of a run's row that come from its cells' rows."""
    counted = [
        {
            "cell_id": row["cell_id"],
            "repeat_idx": row["repeat_idx"],
            "attempt_id": row["attempt_id"],
            "reused_from": None if row["run_id"] == run_id else row["run_id"],
        }
        for row in cell_rows
    ]
    validities = Counter(row["validity"] for row in cell_rows)
    return {
        "cells_valid": validities["valid"],
        "cells_invalid": validities["invalid"],
        "cells_inconclusive": validities["inconclusive"],
        "cells_failed": sum(row["status"] == "failed" for row in cell_rows),
        "cells_reused": sum(cell["reused_from"] is not None for cell in counted),
        "cells": counted,
    }


def _run_identity(run: RunContext | JobContext) -> Row:
    return {
        "run_id": run.run_id,
        "round": run.round,
        "plan_name": run.plan.name,
        "plan_hash": run.plan_hash,
        "flow_run_id": run.flow_run_id,
        "trigger": run.trigger,
        "trigger_ref": run.trigger_ref,
        "requested_by": run.requested_by,
        "approved_by": run.approved_by,
        "approved_at": run.approved_at,
    }


def _plan_columns(plan: SweepPlan, attempt: AttemptContext) -> Row:
    cell, system, dataset = attempt.cell, plan.system, plan.dataset
    scenario = parse_scenario(cell.scenario)
    warmup = plan.warmup.load(max(plan.concurrency)) if plan.warmup else (None, None)
    tokenizer, _, revision = (plan.tokenizer or "").partition("@")
    return {
        "scenario": cell.scenario,
        "scenario_kind": scenario.kind,
        "asked_input_tokens_mean": scenario.mean_input_tokens,
        "asked_output_tokens_mean": scenario.mean_output_tokens,
        "task": cell.task,
        "concurrency": cell.concurrency,
        "batch_size": cell.batch_size,
        "max_requests": plan.limits.requests_at(cell.concurrency),
        "max_time_s": plan.limits.max_time_s,
        "warmup_requests": warmup[0],
        "warmup_concurrency": warmup[1],
        "request_json": canonical_json(plan.request),
        "slo_json": canonical_json(plan.slo.model_dump(mode="json")) if plan.slo else None,
        "dataset_id": (dataset.path or dataset.config) if dataset else None,
        "dataset_sha256": dataset.sha256 if dataset else None,
        "prefix_length_tok": plan.prefix.length if plan.prefix else None,
        "prefix_ratio": plan.prefix.ratio if plan.prefix else None,
        "token_counts": plan.token_counts,
        "endpoint_url": plan.endpoint.url,
        "dialect": plan.endpoint.dialect,
        "model_name": attempt.model_name or plan.endpoint.model,
        "model_revision": system.revision,
        "tokenizer": tokenizer or None,
        "tokenizer_revision": revision or None,
        "precision": system.precision,
        "serving_engine": system.serving_engine,
        "serving_version": system.serving_version,
        "image_uri": system.image,
        "image_digest": system.image_digest,
        "gpu_type": system.gpu_type,
        "gpu_count": system.gpu_count,
        "system_labels_json": canonical_json(system.labels) if system.labels else None,
        "engine_name": plan.engine.name,
        "engine_version": plan.engine.version,
    }


def _attempt_columns(attempt: AttemptContext) -> Row:
    cell = attempt.cell
    return {
        "cell_id": cell.cell_id,
        "attempt_id": attempt.attempt_id,
        "task_run_id": attempt.task_run_id,
        "repeat_idx": cell.repeat_idx,
        "order_idx": cell.order_idx,
        "try_idx": attempt.try_idx,
        "floor_json": None if attempt.floor is None else _json(attempt.floor),
        "created_at": attempt.created_at,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
    }


def _measured_columns(raw: CellRaw, metrics: CellMetrics) -> Row:
    sources = sorted({row.token_source for row in raw.rows if row.token_source})
    return {
        "load_model": metrics.load_model,
        "send": metrics.send,
        "client_cpu_p95": raw.client_cpu_p95,
        "loop_lag_p50_s": raw.loop_lag_p50_s,
        "loop_lag_p99_s": raw.loop_lag_p99_s,
        "window_start_s": metrics.window.start_s if metrics.window else None,
        "window_end_s": metrics.window.end_s if metrics.window else None,
        "duration_s": metrics.duration_s,
        "duration_source": metrics.duration_source,
        "wall_s": raw.wall_s,
        "requests_attempted": metrics.attempted,
        "requests_ok": metrics.ok,
        "requests_failed": metrics.failed,
        "requests_aborted": metrics.aborted,
        "requests_ok_in_window": metrics.ok_in_window,
        "requests_failed_in_window": metrics.failed_in_window,
        "requests_aborted_in_window": metrics.aborted_in_window,
        "answers_without_usage": metrics.usage_missing,
        "answers_of_one_token": metrics.single_token,
        "failed_by_class": _counted(metrics.failed_by_class),
        "anomalies": _counted(metrics.anomalies),
        "input_tokens": metrics.input_tokens,
        "output_tokens": metrics.output_tokens,
        "reasoning_tokens": metrics.reasoning_tokens,
        "token_source": (sources[0] if len(sources) == 1 else "mixed") if sources else None,
        "quantile_method": metrics.quantile_method,
        "notes": list(raw.notes),
        "engine_claims": _json(raw.engine_claims),
        "engine_claims_unit": raw.engine_claims_unit,
    }


def _metric_columns(metrics: CellMetrics) -> Row:
    row: Row = {"metrics": [_long_form(asdict(stat)) for stat in metrics.stats]}
    known = {(stat.metric, stat.stat): stat for stat in metrics.stats}
    wide = {(name, stat): f"{name}_{stat}" for name in DISTRIBUTIONS for stat in DISTRIBUTION_STATS}
    wide |= {(name, "value"): name for name in SCALARS}
    null_reasons = []
    for key, column in wide.items():
        stat = known.get(key)
        row[column] = stat.value if stat else None
        if stat is None or stat.value is None:
            reason = stat.reason if stat else "not_computed"
            null_reasons.append({"column": column, "reason": reason})
        if stat and key[1] in JUDGED_STATS:
            row[f"{column}_validity"] = stat.validity
        if stat and key[1] in (HEADLINE_STAT, "value"):
            row |= {
                f"{key[0]}_n": stat.n,
                f"{key[0]}_ci_lo": stat.ci_lo,
                f"{key[0]}_ci_hi": stat.ci_hi,
                f"{key[0]}_client_share": stat.client_share,
                f"{key[0]}_band_lo": stat.lo,
                f"{key[0]}_band_hi": stat.hi,
                f"{key[0]}_validity": stat.validity,
            }
    return {**row, "null_reasons": null_reasons}


def _long_form(stat: Row) -> Row:
    return {name: stat.get(name) for name in CELLS.field("metrics").type.value_type.names}


def _counted(counts: Mapping[str, int]) -> list[Row]:
    return [{"kind": kind, "requests": counts[kind]} for kind in sorted(counts)]


def _json(value: Any) -> str:
    """JSON with sorted keys; what JSON has no number for becomes text, as evidence."""
    return json.dumps(_spelled(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _spelled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _spelled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _complete(schema: pa.Schema, row: Mapping[str, Any]) -> Row:
    """The row with all columns in the schema's order. Nothing is dropped silently."""
    unknown = sorted(set(row) - set(schema.names))
    if unknown:
        raise StoreError(f"{', '.join(unknown)}: no such column", None, "See the tables' schema")
    for name, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise StoreError("a number is not finite", name, "Give None and a reason instead")
        if isinstance(value, datetime) and value.tzinfo is None:
            raise StoreError("an instant has no time zone", name, "Give it in UTC")
    return {**dict.fromkeys(schema.names), **row, "schema_version": SCHEMA_VERSION}
