"""What genai-bench 0.0.5 and its launcher leave behind, read as requests.

The formulas of its files and their defects are those of the released package
(sgl-project/genai-bench, `metrics/request_metrics_collector.py`,
`metrics/aggregated_metrics_collector.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from tidemark.errors import EngineError
from tidemark.plan.tasks import STREAMED_TASKS
from tidemark.results.requests import (
    ABORTED,
    FAILED,
    OK,
    TOKENS_FROM_SERVER,
    TOKENS_FROM_TOKENIZER,
    CellRaw,
    Failure,
    RequestRow,
    Window,
)

__all__ = ["SCALES", "read_pass", "read_run_file", "run_document"]

LARGEST_COUNT = 2**53
LEAST_PATIENCE_S = 5.0
PATIENCE = 5.0
"""So many times as silent as the longest answer of the cell took: nobody waits for that."""
MESSAGE_LIMIT = 500
SCALES = {"s": 1.0, "ms": 1e-3}
"""Seconds in each unit that the engine can be told to write times in."""


def read_pass(files: Mapping[str, bytes], context: Mapping[str, Any]) -> CellRaw:
    """Read one pass: `events.jsonl` for the requests, `run.json` for the engine's claims.

    With no events (the engine was run without the launcher) the rows are those of `run.json`
    and carry no time; `time_unit` in the context, where it was proved from them, is believed over
    what the file says. Raises EngineError for files that are not the engine's.
    """
    claims: dict[str, Any] = {}
    unit, notes = "s", list(context.get("notes") or ())
    individual: list[Any] = []
    if "run.json" in files:
        individual, claims, unit = _run_file(files["run.json"])
        unit = context.get("time_unit", unit)
    failure = None
    if context.get("failure"):
        failure = Failure(**context["failure"])
    if "events.jsonl" not in files:
        return CellRaw(
            rows=_untimed_rows(individual, unit),
            wall_s=_number(claims.get("run_duration")),
            engine_claims=claims,
            engine_claims_unit=unit,
            notes=(*notes, "the engine gave no request times"),
            failure=failure,
        )
    events = list(_events(files["events.jsonl"]))
    start = next((e for e in events if e["event"] == "run_start"), {})
    end = next((e for e in events if e["event"] == "run_end"), {})
    zero = start.get("start")
    stall_s = _patience_s(events, float(context.get("stall_timeout_s") or 60.0))
    streamed = context.get("task", "text-to-text") in STREAMED_TASKS
    timed = [
        _row(event, zero, streamed, stall_s) for event in events if event["event"] == "request"
    ]
    timed.sort(key=lambda row: row.request_idx)
    absurd = sum(1 for event in events if event["event"] == "request" and _too_many(event))
    if absurd:
        notes.append(f"{absurd} answers claim more output tokens than were asked for; not counted")
    notes += [
        f"the engine could not sum up this cell: {event['message']}"
        for event in events
        if event["event"] == "engine_error"
    ]
    counted = sum(1 for row in timed if row.status != ABORTED)
    if individual and len(individual) != counted:
        notes.append(f"the engine kept {len(individual)} of {counted} requests that ended")
    window = None
    if zero is not None and end.get("full") and end.get("closed"):
        window = Window(max(0.0, end["full"] - zero), end["closed"] - zero)
        if window.length_s <= 0:
            notes.append("the last user started after the last request was issued")
            window = None
    last = max((row.end_s for row in timed if row.end_s is not None), default=None)
    return CellRaw(
        rows=tuple(timed),
        window=window,
        wall_s=last,
        engine_claims=claims,
        engine_claims_unit=unit,
        client_cpu_p95=end.get("cpu_p95"),
        loop_lag_p50_s=end.get("lag_p50_s"),
        loop_lag_p99_s=end.get("lag_p99_s"),
        notes=tuple(notes),
        failure=failure,
    )


def read_run_file(
    content: bytes,
) -> tuple[list[RequestRow], dict[str, Any], str]:
    """Read a run file as genai-bench writes it: rows without times, its aggregates, their unit.

    Times of the rows are converted to seconds; the aggregates are left as they are (except that
    the statistics are flattened to `ttft_mean` and so on). Raises EngineError when it is no run
    file.
    """
    individual, claims, unit = _run_file(content)
    return list(_untimed_rows(individual, unit)), claims, unit


def run_document(content: bytes) -> dict[str, Any]:
    """The JSON of a run file: its aggregates, its requests, the unit it claims.

    Raises EngineError when it is no run file; what its requests hold is not looked at.
    """
    try:
        document: dict[str, Any] = _from_json(content)
        if not isinstance(document["aggregated_metrics"], dict):
            raise TypeError("aggregated_metrics is no object")
        if not isinstance(document["individual_request_metrics"], list):
            raise TypeError("individual_request_metrics is no list")
        SCALES[document.get("_time_unit", "s")]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EngineError(
            f"not a genai-bench run file ({type(error).__name__}: {error})",
            "run.json",
            "Expected an object with aggregated_metrics, individual_request_metrics, _time_unit",
        ) from error
    return document


def _run_file(content: bytes) -> tuple[list[Any], dict[str, Any], str]:
    """The engine's own entries, its aggregates, and the unit of the times in both."""
    document = run_document(content)
    aggregated = document["aggregated_metrics"]
    claims: dict[str, Any] = {
        key: value for key, value in aggregated.items() if not isinstance(value, dict | list)
    }
    for metric, statistics in (aggregated.get("stats") or {}).items():
        for statistic, value in statistics.items():
            claims[f"{metric}_{statistic}"] = value
    for code, count in (aggregated.get("error_codes_frequency") or {}).items():
        claims[f"errors_{code}"] = count
    individual: list[Any] = document["individual_request_metrics"]
    return individual, claims, document.get("_time_unit", "s")


def _untimed_rows(individual: Sequence[Any], unit: str) -> tuple[RequestRow, ...]:
    scale = SCALES[unit]
    return tuple(_untimed_row(index, item, scale) for index, item in enumerate(individual))


def _untimed_row(index: int, item: Mapping[str, Any], scale: float) -> RequestRow:
    code = item.get("error_code")
    ttft, e2e = _number(item.get("ttft")), _number(item.get("e2e_latency"))
    if code is not None:
        message = str(item.get("error_message") or "")[:MESSAGE_LIMIT]
        return RequestRow(
            request_idx=index,
            status=FAILED,
            error_class=_error_class(int(code), message, None, None),
            error_code=int(code),
            error_message=message or None,
        )
    return RequestRow(
        request_idx=index,
        input_tokens=_integer(item.get("num_input_tokens")),
        output_tokens=_integer(item.get("num_output_tokens")),
        reasoning_tokens=_integer(item.get("num_reasoning_tokens")),
        ttft_s=None if ttft is None else ttft * scale,
        e2e_s=None if e2e is None else e2e * scale,
    )


def _patience_s(events: Sequence[Mapping[str, Any]], stall_timeout_s: float) -> float:
    """After how much silence a request that never ended has hung, and was not only cut off.

    A short cell ends long before the time-out: then the answers of the same cell tell.
    """
    took: list[float] = [
        event["end"] - event["start"]
        for event in events
        if event["event"] == "request" and event["outcome"] == "ok"
    ]
    if not took:
        return stall_timeout_s
    return min(stall_timeout_s, max(LEAST_PATIENCE_S, PATIENCE * max(took)))


def _row(
    event: Mapping[str, Any], zero: float | None, streamed: bool, stall_s: float
) -> RequestRow:
    def on_cell_clock(moment: float | None) -> float | None:
        return None if moment is None or zero is None else moment - zero

    started, first, ended = event.get("start"), event.get("first"), event.get("end")
    outcome, message = event["outcome"], str(event.get("message") or "")[:MESSAGE_LIMIT]
    status, code, error_class = OK, event.get("status"), None
    if outcome == "cut":
        status = ABORTED
        if (event.get("silent_s") or 0.0) >= 0.9 * stall_s:
            status, error_class = FAILED, "timeout"
            message = f"no byte for {event['silent_s']:.1f} s when the cell ended"
    elif outcome == "failed":
        status = FAILED
        error_class = _error_class(code, message, event.get("http_status"), event.get("kind"))
    elif streamed and event.get("finished") is False:
        status, error_class = FAILED, "cut_stream"
        message = "the stream ended without a finish reason and without [DONE]"
    good = status == OK
    counted = good and not _too_many(event)
    usage = event.get("usage") and counted
    return RequestRow(
        request_idx=int(event["i"]),
        start_s=on_cell_clock(started),
        first_token_s=on_cell_clock(first) if streamed else None,
        end_s=on_cell_clock(ended),
        status=status,
        error_class=error_class,
        error_code=None if good else _integer(code),
        error_message=None if good else (message or None),
        input_tokens=_integer(event.get("input_tokens")) if good else None,
        output_tokens=_integer(event.get("output_tokens")) if counted else None,
        reasoning_tokens=_integer(event.get("reasoning_tokens")) if good else None,
        token_source=(TOKENS_FROM_SERVER if usage else TOKENS_FROM_TOKENIZER) if good else None,
        ttft_s=first - started if good and streamed and first and started else None,
        e2e_s=ended - started if good and ended and started else None,
    )


def _too_many(event: Mapping[str, Any]) -> bool:
    """Whether an answer claims more tokens than it could have: what counts them is wrong."""
    claimed, asked = event.get("output_tokens"), event.get("max_tokens")
    if not isinstance(claimed, int | float) or not isinstance(asked, int):
        return False
    return event.get("usage") is True and claimed > asked


def _error_class(code: int | None, message: str, http_status: int | None, kind: str | None) -> str:
    """The class of a failed request. The engine gives 503 to every connection error and 500 to
    every other exception of its HTTP library, whatever the server said."""
    if kind is not None:
        return "bad_response"
    lowered = message.lower()
    if code == 408 or "timed out" in lowered:
        return "timeout"
    if lowered.startswith("connection error"):
        return "connection" if http_status is None else "cut_stream"
    if http_status == 200:
        cut = "prematurely" in lowered or "broken" in lowered or "incomplete" in lowered
        return "cut_stream" if cut else "in_stream"
    if "ended prematurely" in lowered or "connection broken" in lowered:
        return "cut_stream"
    if code == 429:
        return "http_429"
    if code is not None and 300 <= code < 400:
        return "http_redirect"
    if code is not None and 400 <= code < 500:
        return "http_4xx"
    return "http_5xx"


def _events(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.splitlines():
        try:
            event = _from_json(line)
        except ValueError:
            continue  # the last line of a process that was killed while writing it
        if isinstance(event, dict) and "event" in event:
            yield event


def _from_json(content: bytes) -> Any:
    """What JSON says, read fast. Raises ValueError.

    The fast reader refuses half a surrogate pair, which the other lets pass: services send it.
    """
    try:
        return from_json(content)
    except ValueError:
        return json.loads(content)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _integer(value: Any) -> int | None:
    """A whole number that a server could mean; None for what is none, or is absurd."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if abs(value) <= LARGEST_COUNT else None
