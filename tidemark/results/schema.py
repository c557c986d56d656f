"""The tables results are kept in: one Arrow schema each, and a way to print them.

Every column names its unit in its name or in its metadata, and says what it holds. A value nobody
knows is NULL, never 0. Columns for money and for cloud resources are here from the first version
on, so that a table never changes its shape when a later run can fill them.

The columns `model` and `date` belong to the path of a part (hive partitions) and are therefore
in no file: the model's name is `model_name`, the date is that of `created_at`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pyarrow as pa

__all__ = [
    "CELLS",
    "DISTRIBUTIONS",
    "DISTRIBUTION_STATS",
    "HEADLINE_STAT",
    "JUDGED_STATS",
    "REQUESTS",
    "RUNS",
    "SCALARS",
    "SCHEMA_VERSION",
    "TABLES",
    "TIMELINE",
    "markdown",
]

SCHEMA_VERSION: Final = 1

DISTRIBUTIONS: Final[dict[str, tuple[str, str]]] = {
    "ttft_s": ("s", "time to first token, from the actual send"),
    "tpot_s": ("s", "time per output token after the first, (e2e - ttft)/(output tokens - 1)"),
    "ntpot_s": ("s", "normalised time per output token, e2e / output tokens"),
    "e2e_s": ("s", "end to end, from the actual send to the last byte"),
    "itl_s": ("s", "gap between successive tokens, without the first"),
    "interactivity_tok_s": ("tok/s", "output tokens per second and user, 1 / tpot"),
}
"""Metrics with one value per request: name to unit and meaning."""

SCALARS: Final[dict[str, tuple[str, str]]] = {
    "output_tput_tok_s": ("tok/s", "output tokens per second over the window"),
    "input_tput_tok_s": ("tok/s", "input tokens per second over the window"),
    "total_tput_tok_s": ("tok/s", "input and output tokens per second over the window"),
    "request_rate_rps": ("1/s", "requests finished well per second over the window"),
    "goodput_rps": ("1/s", "requests that met every SLO per second over the window"),
    "goodput_ratio": ("1", "requests that met every SLO per request attempted"),
    "error_rate": ("1", "requests failed per request attempted"),
    "achieved_inflight": ("1", "requests in flight, mean over the window"),
}
"""Metrics with one value per cell: name to unit and meaning."""

DISTRIBUTION_STATS: Final = ("mean", "p50", "p90", "p95", "p99", "min", "max", "stddev")
JUDGED_STATS: Final = ("mean", "p50", "p90", "p95", "p99")
HEADLINE_STAT: Final = "p50"
"""The statistic a distribution's wide n, interval, band and share columns speak of."""

_TEXT, _WHOLE, _REAL, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_MONEY = pa.decimal128(20, 8)  # exact: sums of prices must not drift
_INSTANT = pa.timestamp("us", tz="UTC")


def _listed(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", kind))  # as parquet itself names it


def _column(name: str, kind: pa.DataType, unit: str, description: str) -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit, "description": description})


def _texts(**described: str) -> list[pa.Field]:
    return [_column(name, _TEXT, "", description) for name, description in described.items()]


def _counts(unit: str = "1", /, **described: str) -> list[pa.Field]:
    return [_column(name, _WHOLE, unit, description) for name, description in described.items()]


def _seconds(**described: str) -> list[pa.Field]:
    return [_column(name, _REAL, "s", description) for name, description in described.items()]


_VERSION = _column(
    "schema_version", pa.int32(), "", "version of the schema the row was written by"
).with_nullable(False)

_RUN_IDENTITY = [
    _VERSION,
    *_texts(
        run_id="the run of a plan this belongs to",
        round="the occasion of measuring: a date, an event's id, a name",
        plan_name="the plan's own name",
        plan_hash="SHA-256 of the plan's canonical JSON",
        flow_run_id="the orchestrator's flow run",
        trigger="schedule, manual or event",
        trigger_ref="the schedule's or event's own id",
        requested_by="who asked, as claimed",
        approved_by="who or which policy approved, as claimed",
    ),
    _column("approved_at", _INSTANT, "UTC", "when it was approved"),
]

_HARNESS = [
    *_texts(
        tidemark_version="version of this project",
        git_sha="commit of this project, where it runs from a checkout",
        lockfile_hash="SHA-256 of the pinned dependencies",
        python_version="Python that ran the project",
        engine_name="load engine",
        engine_version="version of the load engine",
        engine_image_digest="image the engine ran in, by digest",
        client_spec="machine the load came from",
    ),
    _column("git_dirty", _FLAG, "", "the checkout had uncommitted changes"),
]

_MONEY_COLUMNS = [
    _column("currency", _TEXT, "ISO 4217", "currency of every amount in the row"),
    _column("unit_price_per_hour", _MONEY, "currency/h", "price of what the run used"),
    _column("price_source", _TEXT, "", "where the price was read"),
    _column("price_at", _INSTANT, "UTC", "when the price was read"),
    _column("quoted", _MONEY, "currency", "price quoted beforehand"),
    _column("reserved", _MONEY, "currency", "sum reserved in the ledger"),
    _column("metered", _MONEY, "currency", "price times metered time"),
    _column("billed", _MONEY, "currency", "what the bill says; NULL until one is read"),
]

COUNTED_STRUCT: Final = pa.struct(
    [("cell_id", _TEXT), ("repeat_idx", _WHOLE), ("attempt_id", _TEXT), ("reused_from", _TEXT)]
)
"""An attempt that a run counts; `reused_from` is the run that measured it, NULL for its own."""

RUNS = pa.schema(
    [
        *_RUN_IDENTITY,
        _column("plan_json", _TEXT, "JSON", "the whole plan; secrets as references only"),
        *_HARNESS,
        _column("created_at", _INSTANT, "UTC", "when the run was asked for"),
        _column("started_at", _INSTANT, "UTC", "when the run began to work"),
        _column("finished_at", _INSTANT, "UTC", "when the run was over"),
        _column("wall_s", _REAL, "s", "from start to finish"),
        *_counts(
            cells_planned="cells in the plan, repeats counted",
            cells_valid="cells with the verdict valid",
            cells_invalid="cells with the verdict invalid",
            cells_inconclusive="cells with the verdict inconclusive",
            cells_failed="cells the engine never delivered",
            cells_reused="cells taken from earlier in the round",
        ),
        _column("cells", _listed(COUNTED_STRUCT), "", "the attempts that the run counts"),
        *_MONEY_COLUMNS,
        _column("outcome", _TEXT, "", "complete, partial, failed, cancelled or inconclusive"),
        _column("exit_status", pa.int32(), "1", "exit status the command ended with"),
        _column("notes", _listed(_TEXT), "", "what a reader of the run should know"),
        _column("reproduce", _TEXT, "", "the command that runs the same plan again"),
    ],
    metadata={"schema_version": str(SCHEMA_VERSION), "table": "runs"},
)

METRIC_STRUCT: Final = pa.struct(
    [(name, _TEXT) for name in ("metric", "unit", "stat")]
    + [("value", _REAL), ("n", _WHOLE), ("n_effective", _REAL)]
    + [(name, _REAL) for name in ("ci_lo", "ci_hi", "lo", "hi", "client_share")]
    + [(name, _TEXT) for name in ("validity", "reason", "ci_method")]
)
"""One statistic of one metric; `lo` to `hi` is the band the truth lies in."""

REASON_STRUCT: Final = pa.struct(
    [(name, _TEXT) for name in ("code", "level", "evidence", "advice")]
)
COUNT_STRUCT: Final = pa.struct([("kind", _TEXT), ("requests", _WHOLE)])
NULL_STRUCT: Final = pa.struct([("column", _TEXT), ("reason", _TEXT)])


def _with_interval(prefix: str, unit: str, subject: str) -> list[pa.Field]:
    return [
        _column(f"{prefix}_n", _WHOLE, "1", f"values behind {subject}"),
        _column(f"{prefix}_ci_lo", _REAL, unit, f"lower end of the interval of {subject}"),
        _column(f"{prefix}_ci_hi", _REAL, unit, f"upper end of the interval of {subject}"),
        _column(f"{prefix}_client_share", _REAL, "1", f"client floor / {subject}"),
        _column(f"{prefix}_band_lo", _REAL, unit, f"{subject} with the client floor taken off"),
        _column(f"{prefix}_band_hi", _REAL, unit, f"{subject} as measured"),
        _column(f"{prefix}_validity", _TEXT, "", f"valid, band, invalid(...) or ... of {subject}"),
    ]


def _metric_columns() -> Iterable[pa.Field]:
    for name, (unit, meaning) in DISTRIBUTIONS.items():
        for stat in DISTRIBUTION_STATS:
            yield _column(f"{name}_{stat}", _REAL, unit, f"{meaning}: {stat}")
        for stat in JUDGED_STATS:
            yield _column(f"{name}_{stat}_validity", _TEXT, "", f"validity of {name}_{stat}")
        yield from _with_interval(name, unit, f"{name}_{HEADLINE_STAT}")
    for name, (unit, meaning) in SCALARS.items():
        yield _column(name, _REAL, unit, meaning)
        yield from _with_interval(name, unit, name)


CELLS = pa.schema(
    [
        *_RUN_IDENTITY,
        *_texts(
            cell_id="SHA-256 of all that could change the measurement",
            attempt_id="this try at the cell",
            task_run_id="the orchestrator's task run",
        ),
        _column("repeat_idx", _WHOLE, "1", "repeat of the sweep, from 0"),
        _column("order_idx", _WHOLE, "1", "place in the order of measuring, from 0"),
        _column("try_idx", _WHOLE, "1", "retry of the same repeat in the same run, from 0"),
        *_texts(
            workload_hash="hash of what was asked of the service",
            environment_hash="hash of the system under test",
            measurement_hash="hash of engine, version and arguments",
            verification_hash="hash of the rules the verdict was reached by",
            # workload
            scenario="traffic scenario as given to the engine",
            scenario_kind="deterministic, normal, uniform, embedding, ...",
            task="text-to-text, text-to-embeddings, ...",
            load_model="closed (a number of users) or open (a rate)",
            dataset_id="path or name of the dataset",
            dataset_revision="revision of the dataset",
            dataset_sha256="SHA-256 of the dataset's bytes",
            send="times count from the actual or the intended send",
        ),
        _column("asked_input_tokens_mean", _REAL, "tok", "mean input length the scenario asks for"),
        _column("asked_output_tokens_mean", _REAL, "tok", "mean output length it asks for"),
        _column("concurrency", _WHOLE, "1", "users asked for"),
        _column("asked_rate_rps", _REAL, "1/s", "request rate asked for; open loop only"),
        _column("batch_size", _WHOLE, "1", "documents per request"),
        _column("max_requests", _WHOLE, "1", "requests after which the cell ends"),
        _column("max_time_s", _REAL, "s", "time after which the cell ends"),
        _column("warmup_requests", _WHOLE, "1", "requests thrown away beforehand"),
        _column("warmup_concurrency", _WHOLE, "1", "users of the warm-up"),
        _column("seed", _WHOLE, "1", "seed of every draw; NULL where the engine has none"),
        _column("request_json", _TEXT, "JSON", "extra request parameters"),
        _column("slo_json", _TEXT, "JSON", "service level objectives"),
        _column("prefix_length_tok", _WHOLE, "tok", "shared prefix, absolute"),
        _column("prefix_ratio", _REAL, "1", "shared prefix, as a part of the input"),
        _column("token_counts", _TEXT, "", "whose token counts are used: server or tokenizer"),
        # system under test
        *_texts(
            endpoint_url="where the service answered, without credentials",
            dialect="whether output length is controlled: vllm, sglang, openai",
            model_name="model as the service names it",
            model_revision="revision of the model",
            tokenizer="tokenizer, path or id",
            tokenizer_revision="revision of the tokenizer",
            precision="precision of weights and cache",
            serving_engine="server software",
            serving_version="version of the server software",
            serving_args_hash="hash of the server's arguments",
            image_uri="image of the server",
            image_digest="image of the server, by digest",
            gpu_type="accelerator",
        ),
        _column("gpu_count", _WHOLE, "1", "accelerators"),
        *_texts(
            ecs_spec="instance type",
            region="cloud region",
            workspace_id="PAI workspace",
            resource_id="PAI resource group or quota",
            dlc_job_id="PAI-DLC job",
            eas_service="PAI-EAS service",
            eas_service_version="version of the PAI-EAS service",
            eas_task_id="PAI-EAS stress test",
            eas_cluster_id="PAI-EAS cluster",
            driver_version="accelerator driver",
            cuda_version="CUDA",
            node_name="node the server ran on",
            node_neighbours="what else ran on that node",
        ),
        _column("system_labels_json", _TEXT, "JSON", "the plan's own labels"),
        *_HARNESS,
        _column("client_cpu_p95", _REAL, "cores", "CPU of the engine, 95th percentile"),
        *_seconds(
            send_lag_p99_s="actual minus intended send; open loop only",
            loop_lag_p50_s="how late the client's event loop woke, p50",
            loop_lag_p99_s="how late the client's event loop woke, p99",
        ),
        _column("floor_json", _TEXT, "JSON", "the client floor that was applied"),
        # time
        _column("created_at", _INSTANT, "UTC", "when the attempt was begun"),
        _column("started_at", _INSTANT, "UTC", "zero of the cell's clock: the first user started"),
        _column("finished_at", _INSTANT, "UTC", "when the engine was done with the cell"),
        *_seconds(
            queued_s="waiting for a machine",
            image_pull_s="pulling images",
            ready_s="from start to ready",
            window_start_s="start of the window on the cell's clock",
            window_end_s="end of the window on the cell's clock",
            duration_s="what rates are divided by",
            wall_s="first user started to last request over",
        ),
        _column("duration_source", _TEXT, "", "window, engine_run_duration or wall"),
        _column("cleanup_verified_at", _INSTANT, "UTC", "when all that was started was gone"),
        # counts
        *_counts(
            requests_attempted="ok and failed; what the client cut off is not",
            requests_ok="requests that ended well",
            requests_failed="requests that failed",
            requests_aborted="cut off by the client as the cell ended",
            requests_ok_in_window="ended well, started in the window",
            requests_failed_in_window="failed, started in the window",
            requests_aborted_in_window="cut off, started in the window",
            answers_without_usage="answers that lack the server's token counts",
            answers_of_one_token="answers of a single token, which have no tpot",
        ),
        _column("failed_by_class", _listed(COUNT_STRUCT), "1", "requests failed, by class"),
        _column("anomalies", _listed(COUNT_STRUCT), "1", "rows that cannot be true, by kind"),
        *_counts(
            "tok",
            input_tokens="input tokens of the requests that ended well",
            output_tokens="output tokens of the requests that ended well",
            reasoning_tokens="output tokens spent on reasoning",
        ),
        _column("token_source", _TEXT, "", "server, tokenizer or mixed"),
        # metrics
        _column("quantile_method", _TEXT, "", "how quantiles are interpolated"),
        *_metric_columns(),
        _column("metrics", _listed(METRIC_STRUCT), "per row", "every statistic, long form"),
        _column("null_reasons", _listed(NULL_STRUCT), "", "why a metric's wide column is NULL"),
        # money
        *_MONEY_COLUMNS,
        _column("cost_per_mtok_out", _MONEY, "currency/Mtok", "price per million output tokens"),
        _column("cost_per_mtok_total", _MONEY, "currency/Mtok", "price per million tokens"),
        # verdict
        _column("status", _TEXT, "", "measured, or failed: the engine never delivered it"),
        _column("validity", _TEXT, "", "valid, invalid or inconclusive"),
        _column("reasons", _listed(REASON_STRUCT), "", "why, with evidence and advice"),
        _column("needs_attention", _FLAG, "", "invalid, or more errors than the plan allows"),
        _column("feeds_baseline", _FLAG, "", "good enough to compare later runs with"),
        _column("rules_version", _TEXT, "", "version of the rules of the verdict"),
        _column("failure_class", _TEXT, "", "class of the failure, where status is failed"),
        _column("notes", _listed(_TEXT), "", "what the reader of the raw output noticed"),
        _column("engine_claims", _TEXT, "JSON", "the engine's own aggregates, as evidence"),
        _column("engine_claims_unit", _TEXT, "", "unit of the durations among them"),
        _column("evidence_uri", _TEXT, "", "raw output, relative to the store's root"),
        _column("evidence_sha256", _TEXT, "", "SHA-256 of the attempt.json beside it"),
        _column("requests_sha256", _TEXT, "", "SHA-256 of the part with this attempt's requests"),
        _column("reproduce", _TEXT, "", "the command that runs the same cell again"),
    ],
    metadata={"schema_version": str(SCHEMA_VERSION), "table": "cells"},
)

_ATTEMPT = [
    _VERSION,
    *_texts(
        run_id="the run this belongs to",
        cell_id="the cell this belongs to",
        attempt_id="the attempt this belongs to",
    ),
]

REQUESTS = pa.schema(
    [
        *_ATTEMPT,
        _column("request_idx", _WHOLE, "1", "place in the engine's own order, from 0"),
        _column("start_s", _REAL, "s", "actual send, on the cell's clock"),
        _column("first_token_s", _REAL, "s", "first content or reasoning chunk, same clock"),
        _column("end_s", _REAL, "s", "last byte, failure or cut, same clock"),
        _column("status", _TEXT, "", "ok, failed or aborted (cut off by the client)"),
        _column(
            "error_class", _TEXT, "", "http_429, http_4xx, http_5xx, http_redirect, in_stream, ..."
        ),
        _column("error_code", _WHOLE, "1", "HTTP status, or the code inside the stream"),
        _column("error_message", _TEXT, "", "redacted, at most 500 characters"),
        _column("input_tokens", _WHOLE, "tok", "input tokens"),
        _column("output_tokens", _WHOLE, "tok", "output tokens, reasoning included"),
        _column("reasoning_tokens", _WHOLE, "tok", "output tokens spent on reasoning"),
        _column("token_source", _TEXT, "", "server (its usage) or tokenizer (estimated)"),
        _column("ttft_s", _REAL, "s", "time to first token, from the actual send"),
        _column("e2e_s", _REAL, "s", "end to end, from the actual send"),
        _column("tpot_s", _REAL, "s", "(e2e - ttft)/(output tokens - 1)"),
    ],
    metadata={"schema_version": str(SCHEMA_VERSION), "table": "requests"},
)

TIMELINE = pa.schema(
    [
        *_ATTEMPT,
        _column("source", _TEXT, "", "who measured: the server, the cloud, the client"),
        _column("series", _TEXT, "", "name of the series, as its source names it"),
        _column("unit", _TEXT, "", "unit of the value"),
        _column("at_s", _REAL, "s", "start of the interval on the cell's clock"),
        _column("interval_s", _REAL, "s", "length of the interval; NULL for a moment"),
        _column("value", _REAL, "per row", "the value"),
    ],
    metadata={"schema_version": str(SCHEMA_VERSION), "table": "timeline"},
)

TABLES: Final = {"runs": RUNS, "cells": CELLS, "requests": REQUESTS, "timeline": TIMELINE}


def markdown(schema: pa.Schema) -> str:
    """A schema as a Markdown table: column, type, unit, what it holds. Ends with a newline."""
    lines = ["| column | type | unit | what it holds |", "|---|---|---|---|"]
    for field in schema:
        metadata = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        cells = (f"`{field.name}`", str(field.type), metadata["unit"], metadata["description"])
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
