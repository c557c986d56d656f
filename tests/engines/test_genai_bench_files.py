"""What genai-bench's own files say, and what we say of the same requests."""

import json
from pathlib import Path

import pytest

from tidemark.engines.genai_bench import OPTIONS, GenaiBench
from tidemark.engines.genai_bench_output import read_run_file
from tidemark.engines.install import missing_options
from tidemark.errors import EngineError
from tidemark.results.metrics import summarise
from tidemark.results.redact import Redactor

DATA = Path(__file__).parent.parent / "data" / "third_party" / "genai-bench"
ENGINE = GenaiBench("python")


def run_file(folder: str, part: str) -> bytes:
    (found,) = (path for path in (DATA / folder).glob("*.json") if part in path.name)
    return found.read_bytes()


def test_an_error_rate_of_zero_is_not_believed() -> None:
    raw = ENGINE.read({"run.json": run_file("partial_errors", "concurrency_4")}, {})
    metrics = summarise(raw, task="text-to-text", token_counts="tokenizer")
    assert raw.engine_claims["error_rate"] == 0
    assert (metrics.attempted, metrics.failed) == (49, 25)
    assert metrics.value("error_rate") == pytest.approx(25 / 49)


def test_failed_requests_have_a_class_and_the_servers_words() -> None:
    rows, _, _ = read_run_file(run_file("partial_errors", "concurrency_4"))
    failed = [row for row in rows if row.status == "failed"]
    assert {(row.error_class, row.error_code) for row in failed} == {("http_5xx", 500)}
    assert all(row.error_message for row in failed)


def test_a_cell_in_which_all_failed_keeps_its_requests() -> None:
    rows, claims, _ = read_run_file(run_file("all_failed", "debug_for_run"))
    assert claims["num_error_requests"] == 0
    assert claims["errors_500"] == 431
    assert len(rows) == 20  # the sample holds the first twenty of them
    assert {row.status for row in rows} == {"failed"}


def test_means_agree_with_the_engine_where_it_is_right() -> None:
    raw = ENGINE.read({"run.json": run_file("ok_D100_100", "concurrency_16")}, {})
    metrics = summarise(raw, task="text-to-text", token_counts="tokenizer")
    assert metrics.value("ttft_s", "mean") == pytest.approx(raw.engine_claims["ttft_mean"])
    assert metrics.value("tpot_s", "mean") == pytest.approx(raw.engine_claims["tpot_mean"])


def test_milliseconds_become_seconds() -> None:
    seconds = json.loads(run_file("ok_D100_100", "concurrency_1_"))
    milliseconds = json.loads(json.dumps(seconds))
    milliseconds["_time_unit"] = "ms"
    for item in milliseconds["individual_request_metrics"]:
        for field in ("ttft", "tpot", "e2e_latency", "output_latency"):
            item[field] *= 1000
    expected, _, _ = read_run_file(json.dumps(seconds).encode())
    rows, _, unit = read_run_file(json.dumps(milliseconds).encode())
    assert unit == "ms"
    assert [row.ttft_s for row in rows] == pytest.approx([row.ttft_s for row in expected])


def test_a_file_cut_in_the_middle_is_refused() -> None:
    content = run_file("ok_D100_100", "concurrency_1_")
    with pytest.raises(EngineError, match="not a genai-bench run file"):
        read_run_file(content[: len(content) // 2])


def test_the_key_in_the_engines_metadata_is_not_kept() -> None:
    content = (DATA / "ok_D100_100" / "experiment_metadata.json").read_bytes()
    assert b"k-secret-123" in content
    kept = Redactor().data(content)
    assert b"k-secret-123" not in kept
    assert json.loads(kept)["benchmark_version"] == "0.0.5"


def test_an_option_the_engine_lost_is_named() -> None:
    help_text = " ".join(option for option in OPTIONS if option != "--prefix-len")
    assert missing_options(help_text) == ["--prefix-len"]
    assert missing_options(" ".join(OPTIONS)) == []


def request_event(index: int, start: float, end: float, **fields: object) -> str:
    event = {"event": "request", "t": end, "run": 0, "i": index, "start": start, "end": end}
    return json.dumps({**event, "first": start + 0.1, "outcome": "ok", "status": 200, **fields})


@pytest.mark.parametrize(
    ("silent_s", "status", "error_class"),
    [(36.0, "failed", "timeout"), (4.0, "aborted", None)],
)
def test_a_request_that_hung_in_a_short_cell_is_not_just_cut_off(
    silent_s: float, status: str, error_class: str | None
) -> None:
    """Answers take half a second, the cell ends after six, and the time-out is a minute."""
    start = json.dumps({"event": "run_start", "t": 0.0, "run": 0, "start": 0.0})
    lines = [start, *(request_event(n, n * 0.5, n * 0.5 + 0.5, output_tokens=8) for n in range(4))]
    cut = {"outcome": "cut", "status": None, "first": None, "silent_s": silent_s}
    lines.append(request_event(4, 2.0, 2.0 + silent_s, **cut))
    files = {"events.jsonl": "\n".join(lines).encode()}
    raw = ENGINE.read(files, {"stall_timeout_s": 60.0})
    assert (raw.rows[4].status, raw.rows[4].error_class) == (status, error_class)


def test_a_message_with_half_a_surrogate_pair_loses_no_request() -> None:
    """Servers that cut a text in the middle of an emoji send such."""
    start = json.dumps({"event": "run_start", "t": 0.0, "run": 0, "start": 0.0})
    cut = request_event(0, 0.0, 0.1, outcome="failed", status=500, message="no \ud83d")
    raw = ENGINE.read({"events.jsonl": f"{start}\n{cut}\n".encode()}, {})
    assert [(row.status, row.error_message) for row in raw.rows] == [("failed", "no \ud83d")]
