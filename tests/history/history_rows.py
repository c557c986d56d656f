"""Rows as the tables hold them: every column there, most of them NULL, the rest plausible."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tidemark.results.schema import CELLS, DISTRIBUTIONS, RUNS, SCALARS

Row = dict[str, Any]

STARTED = datetime(2026, 3, 4, 1, 2, 3, tzinfo=UTC)
UNITS = {name: unit for name, (unit, _) in (DISTRIBUTIONS | SCALARS).items()}
SCENARIOS = ("D(100,100)", "N(480,240)/(300,150)")
LEVELS = (1, 2, 4, 8, 16)


def empty(schema: Any) -> Row:
    return dict.fromkeys(schema.names)


def run_row(**columns: Any) -> Row:
    plan = {"name": "nightly", "slo": columns.pop("slo", None), "max_error_rate": 0.01}
    return empty(RUNS) | {
        "schema_version": 1,
        "run_id": "run-7f3a",
        "round": "2026-03-04",
        "plan_name": "nightly",
        "plan_hash": "ab" * 32,
        "plan_json": json.dumps(plan),
        "engine_name": "genai-bench",
        "engine_version": "0.0.5",
        "tidemark_version": "0.1.0",
        "python_version": "3.11.9",
        "created_at": STARTED,
        "started_at": STARTED,
        "finished_at": STARTED + timedelta(minutes=12),
        "wall_s": 720.0,
        "cells_planned": None,
        "outcome": "complete",
        "exit_status": 0,
        "notes": [],
        "reproduce": "tidemark sweep nightly.yaml --round 2026-03-04",
    } | columns  # fmt: skip


def cell_row(
    scenario: str = "D(100,100)",
    concurrency: int = 1,
    *,
    ttft: float | None = 0.250,
    tpot: float | None = 0.025,
    tput: float | None = None,
    n: int = 240,
    share: float = 0.02,
    **columns: Any,
) -> Row:
    """A valid cell whose numbers fit each other; columns given by name override."""
    row = empty(CELLS) | {
        "schema_version": 1,
        "run_id": "run-7f3a",
        "round": "2026-03-04",
        "plan_hash": "ab" * 32,
        "cell_id": f"{abs(hash((scenario, concurrency))):064x}"[:64],
        "attempt_id": f"{scenario}-{concurrency}",
        "repeat_idx": 0,
        "order_idx": 0,
        "try_idx": 0,
        "scenario": scenario,
        "task": "text-to-text",
        "load_model": "closed",
        "send": "actual",
        "concurrency": concurrency,
        "batch_size": 1,
        "endpoint_url": "http://127.0.0.1:8000",
        "model_name": "small-model",
        "engine_name": "genai-bench",
        "engine_version": "0.0.5",
        "client_spec": "2 cores, 8 GiB",
        "floor_json": json.dumps({"n": 400, "machine": "2 cores", "measured_at": "2026-03-04"}),
        "requests_attempted": n,
        "requests_ok": n,
        "requests_failed": 0,
        "requests_aborted": concurrency,
        "failed_by_class": [],
        "quantile_method": "linear",
        "created_at": STARTED,
        "status": "measured",
        "validity": "valid",
        "reasons": [],
        "notes": [],
        "metrics": [],
        "null_reasons": [],
        "error_rate": 0.0,
        "achieved_inflight": concurrency * 0.985,
        "reproduce": f"tidemark sweep nightly.yaml --only {concurrency}",
    }
    e2e = None if ttft is None or tpot is None else ttft + 99 * tpot
    if tput is None and e2e is not None:
        tput = 100 * concurrency / e2e
    put(row, "ttft_s", ttft, share=share, n=n)
    put(row, "tpot_s", tpot, share=share / 2, n=n)
    put(row, "e2e_s", e2e, share=share / 2, n=n)
    put(row, "output_tput_tok_s", tput, share=share / 2, n=n)
    return row | columns


def put(
    row: Row,
    metric: str,
    value: float | None,
    *,
    share: float | None = 0.02,
    n: int = 240,
    validity: str | None = None,
    reason: str | None = None,
    width: float = 0.03,
) -> Row:
    """Set one metric as the tables hold it, wide and long, tails admitted by n."""
    scalar = metric not in ("ttft_s", "tpot_s", "e2e_s")
    column = metric if scalar else f"{metric}_p50"
    drop_metric(row, metric)
    row[column] = value
    if value is None:
        row["null_reasons"].append({"column": column, "reason": reason})
        row["metrics"].append(stat(metric, "value" if scalar else "p50", None, n, reason=reason))
        return row
    if validity is None and share is not None:
        validity = "valid" if share <= 0.05 else "band" if share <= 0.2 else "invalid(client_bound)"
    spread = {"ci_lo": value * (1 - width), "ci_hi": value * (1 + width)}
    band = {} if share is None else {"lo": value * (1 - share), "hi": value}
    row |= {
        f"{metric}_n": n,
        f"{metric}_ci_lo": spread["ci_lo"],
        f"{metric}_ci_hi": spread["ci_hi"],
        f"{metric}_client_share": share,
        f"{metric}_band_lo": band.get("lo"),
        f"{metric}_band_hi": band.get("hi"),
        f"{metric}_validity": validity,
    }
    told = {**spread, **band, "client_share": share, "validity": validity}
    row["metrics"].append(stat(metric, "value" if scalar else "p50", value, n, **told))
    if scalar:
        return row
    for name, factor, needs in (("p90", 1.3, 100), ("p95", 1.5, 200), ("p99", 1.9, 1000)):
        tail = value * factor if n >= needs else None
        why = None if n >= needs else f"n_too_small(n={n}, needs {needs})"
        row[f"{metric}_{name}"] = tail
        if why:
            row["null_reasons"].append({"column": f"{metric}_{name}", "reason": why})
        row["metrics"].append(stat(metric, name, tail, n, reason=why))
    return row


def drop_metric(row: Row, metric: str) -> None:
    row["metrics"] = [entry for entry in row["metrics"] if entry["metric"] != metric]
    kept = [entry for entry in row["null_reasons"] if not entry["column"].startswith(metric)]
    row["null_reasons"] = kept


def stat(metric: str, name: str, value: float | None, n: int, **more: Any) -> Row:
    names = CELLS.field("metrics").type.value_type.names
    known = {"metric": metric, "unit": UNITS[metric], "stat": name, "value": value, "n": n}
    return dict.fromkeys(names) | known | more


def reason(code: str, evidence: str, advice: str, level: str = "invalid") -> Row:
    return {"code": code, "evidence": evidence, "advice": advice, "level": level}


def with_goodput(row: Row, ratio: float, n: int = 2000) -> Row:
    return put(row, "goodput_ratio", ratio, n=n, width=min(0.2, 2 / n), share=0.0)


def sweep(
    scenarios: tuple[str, ...] = SCENARIOS, levels: tuple[int, ...] = LEVELS, slots: int = 8
) -> list[Row]:
    """A service with so many slots: throughput rises up to them, latency from there on."""
    rows = []
    for number, scenario in enumerate(scenarios):
        slow = 1.0 + 0.6 * number
        for level in levels:
            queue = max(0, level - slots)
            ttft = slow * (0.25 + 0.3 * queue)
            tpot = slow * 0.025 * (1 + 0.02 * min(level, slots))
            row = cell_row(scenario, level, ttft=ttft, tpot=tpot, n=120 + 20 * level)
            row["order_idx"] = len(rows)
            rows.append(row)
    return rows


def all_failed(scenario: str = "D(100,100)", concurrency: int = 8) -> Row:
    """The server answered every request with an error: a result, and a valid cell."""
    row = cell_row(scenario, concurrency, ttft=None, tpot=None)
    for metric in ("ttft_s", "tpot_s", "e2e_s", "output_tput_tok_s"):
        put(row, metric, None, reason="no_ok_requests", n=0)
    row |= {
        "requests_attempted": 80,
        "requests_ok": 0,
        "requests_failed": 80,
        "failed_by_class": [{"kind": "http_429", "requests": 80}],
        "error_rate": 1.0,
        "reasons": [
            reason(
                "error_rate_high",
                "80 http_429 (429 x80): slow down",
                "Lower the concurrency, or raise the quota of the service",
                "warning",
            )
        ],
    }
    return row


def hung(scenario: str = "D(100,100)", concurrency: int = 16) -> Row:
    row = cell_row(scenario, concurrency, ttft=0.4, tpot=0.03, n=12)
    row |= {
        "validity": "invalid",
        "requests_failed": 16,
        "requests_attempted": 28,
        "failed_by_class": [{"kind": "timeout", "requests": 16}],
        "error_rate": 16 / 28,
        "reasons": [
            reason(
                "server_hung",
                "16 requests were silent for 60 s",
                "Look whether the server hangs or its queue grows without limit",
            )
        ],
    }
    return row


def usage_missing(scenario: str = "D(100,100)", concurrency: int = 4) -> Row:
    row = cell_row(scenario, concurrency, tpot=None, n=120)
    put(row, "e2e_s", 2.7, n=120)
    for metric in ("tpot_s", "output_tput_tok_s"):
        put(row, metric, None, reason="usage_missing(120 of 120)", n=0)
    row |= {
        "validity": "inconclusive",
        "answers_without_usage": 120,
        "reasons": [
            reason(
                "usage_missing",
                "120 of 120 answers carry no token counts",
                "Ask the service for usage, or set token_counts: tokenizer",
                "inconclusive",
            )
        ],
    }
    return row


def engine_failed(scenario: str = "D(100,100)", concurrency: int = 4) -> Row:
    row = cell_row(scenario, concurrency, ttft=None, tpot=None)
    for metric in ("ttft_s", "tpot_s", "e2e_s", "output_tput_tok_s"):
        drop_metric(row, metric)
    counts = dict.fromkeys(name for name in row if name.startswith("requests_"))
    return row | counts | {
        "status": "failed",
        "validity": "invalid",
        "failure_class": "engine_crashed",
        "achieved_inflight": None,
        "error_rate": None,
        "reasons": [
            reason("engine_failed", "engine_crashed: exit status 137", "Give it more memory")
        ],
    }  # fmt: skip


def embeddings(levels: tuple[int, ...] = (1, 8, 64)) -> list[Row]:
    """Batches of documents by one user: no first token, no output tokens."""
    rows = []
    for level in levels:
        row = cell_row("E(512)", 1, ttft=None, tpot=None, batch_size=level)
        row["task"] = "text-to-embeddings"
        for metric in ("ttft_s", "tpot_s"):
            put(row, metric, None, reason="not_streamed")
        put(row, "output_tput_tok_s", None, reason="no_output_tokens")
        put(row, "e2e_s", 0.020 + 0.001 * level)
        put(row, "input_tput_tok_s", 512 * level / (0.020 + 0.001 * level))
        row["cell_id"] = f"embeddings-{level}"
        rows.append(row)
    return rows


def eventful() -> list[Row]:
    """Two scenarios of five levels in which a good deal went wrong."""
    rows = sweep()
    rows[2] = usage_missing("D(100,100)", 4) | {"order_idx": 2}
    rows[4] = hung("D(100,100)", 16) | {"order_idx": 4}
    rows[9] = all_failed("N(480,240)/(300,150)", 16) | {"order_idx": 9}
    put(rows[7], "ttft_s", rows[7]["ttft_s_p50"], share=0.14)
    put(rows[8], "ttft_s", rows[8]["ttft_s_p50"], share=0.31)
    return rows
