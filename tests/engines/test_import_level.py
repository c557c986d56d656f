"""What a level file of genai-bench proves of itself, and what makes it refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidemark.engines.genai_bench_import_level import read_level
from tidemark.errors import EngineError

DATA = Path(__file__).parent.parent / "data"
SHARED = DATA / "genai_bench_import" / "shared_prefix"
SAMPLES = DATA / "third_party" / "genai-bench"
NAME = "D40_12_text-to-text_num_concurrency_2_time_1s.json"
TIMES = ("ttft", "tpot", "e2e_latency", "output_latency")

Document = dict[str, Any]


def document() -> Document:
    found: Document = json.loads((SHARED / NAME).read_bytes())
    return found


def read(changed: Document, name: str = NAME) -> Any:
    return read_level(f"night/{name}", json.dumps(changed).encode())


def row(changed: Document, **values: Any) -> None:
    changed["individual_request_metrics"][1] |= values


def test_a_level_is_what_its_content_says() -> None:
    level = read_level(NAME, (SHARED / NAME).read_bytes())
    assert level.place == ("D(40,12)", "num_concurrency", 2)
    assert (level.task, level.unit, level.releases) == ("text-to-text", "s", ("0.0.5",))
    assert level.requests == len(document()["individual_request_metrics"])


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*/*num_concurrency*.json")), ids=str)
def test_real_level_files_are_whole(path: Path) -> None:
    assert read_level(path.name, path.read_bytes()).unit == "s"


def test_a_level_in_which_all_failed_is_one() -> None:
    (path,) = SAMPLES.glob("all_failed/debug_for_run_*.json")
    level = read_level(path.name, path.read_bytes())
    assert (level.requests, level.failed, level.task) == (20, 20, "text-to-text")
    assert "counted 431 failed requests, and kept 20" in level.notes[0]


@pytest.mark.parametrize("claimed", ["s", None])
def test_the_unit_is_proved_from_the_requests(claimed: str | None) -> None:
    (path,) = SHARED.glob("*_time_2s.json")
    changed = json.loads(path.read_bytes())
    assert changed.pop("_time_unit") == "ms"
    if claimed:
        changed["_time_unit"] = claimed
    level = read(changed)
    assert (level.unit, level.claimed_unit) == ("ms", claimed)
    assert bool(level.notes) == bool(claimed)


def test_the_layout_tells_the_release() -> None:
    changed = document()
    for one in changed["individual_request_metrics"]:
        del one["audio_throughput"]
    assert read(changed).releases == ("0.0.4",)
    for one in changed["individual_request_metrics"]:
        del one["num_reasoning_tokens"]
    assert read(changed).releases == ("0.0.3",)
    del changed["_time_unit"]
    assert read(changed).releases == ("0.0.1", "0.0.2")


def several_units(changed: Document) -> None:
    one = changed["individual_request_metrics"][1]
    row(changed, **{name: one[name] * 1000 for name in TIMES})


def another_layout(changed: Document) -> None:
    for one in changed["individual_request_metrics"]:
        one["inter_token_latency"] = 0.01


def no_rates(changed: Document) -> None:
    for one in changed["individual_request_metrics"]:
        one |= dict.fromkeys(("input_throughput", "output_throughput", "output_inference_speed"))


def half_the_requests(changed: Document) -> None:
    del changed["individual_request_metrics"][4:]


def a_shorter_run(changed: Document) -> None:
    """One that none of the sums tells, but the requests do not fit into."""
    aggregated = changed["aggregated_metrics"]
    for one in changed["individual_request_metrics"]:
        for name in TIMES:
            one[name] *= 100
        for name in ("input_throughput", "output_throughput", "output_inference_speed"):
            one[name] /= 100
    assert aggregated["run_duration"] < 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: row(c, ttft="fast"), "ttft of request 1 is text, not a number"),
        (lambda c: row(c, e2e_latency=float("nan")), "e2e_latency of request 1 is nan"),
        (lambda c: row(c, num_output_tokens=[1]), "num_output_tokens of request 1 is a list"),
        (lambda c: row(c, error_code=500.5), "error_code of request 1 is 500.5"),
        (lambda c: row(c, output_throughput=17.0), "of request 1 contradict each other"),
        (lambda c: row(c, extra=1), "request 1 has other fields than the first"),
        (lambda c: c["individual_request_metrics"].clear(), "holds no request"),
        (lambda c: c["individual_request_metrics"].append(7), "is no object"),
        (lambda c: c["aggregated_metrics"].update(scenario=None), "name no scenario"),
        (lambda c: c["aggregated_metrics"].update(scenario="X(1)"), "none that can be measured"),
        (lambda c: c["aggregated_metrics"].update(num_concurrency=0), "whole number from 1"),
        (lambda c: c["aggregated_metrics"].update(num_concurrency=4), "its name says D40_12"),
        (lambda c: c["aggregated_metrics"].update(scenario="D(40,13)"), "its name says D40_12"),
        (lambda c: c["aggregated_metrics"].update(num_error_requests=2), "it says that 2 did"),
        (lambda c: c["aggregated_metrics"].update(run_duration=60.0), "it ran for 60 s"),
        (lambda c: c["aggregated_metrics"].update(run_duration="1 s"), "run_duration is text"),
        (lambda c: c["aggregated_metrics"].update(stats=[]), "another form"),
        (lambda c: c.update(aggregated_metrics=[]), "not a genai-bench run file"),
        (lambda c: c.update(_time_unit="us"), "not a genai-bench run file"),
        (several_units, "several units: request 1 in ms, request 0 in s"),
        (another_layout, "0.0.1 to 0.0.5 (unknown: inter_token_latency)"),
        (no_rates, "unit of its times cannot be proved"),
        (half_the_requests, "it holds 4 requests"),
        (a_shorter_run, "2 users had no more than"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(
    change: Callable[[Document], object], words: str
) -> None:
    changed = document()
    change(changed)
    with pytest.raises(EngineError) as caught:
        read(changed)
    assert words in caught.value.what
    assert caught.value.where == f"night/{NAME}"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "it is empty"), (b" \n", "it is empty"), (b'{"aggregated', "not a genai-bench run file"),
     (b"[" * 100_000, "not a genai-bench run file"), (b"\xff\xfe", "not a genai-bench run file")],
)  # fmt: skip
def test_what_is_no_file_of_the_engine_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        read_level(NAME, content)


def test_a_name_that_tells_no_task_is_enough_where_the_scenario_has_only_one() -> None:
    changed = document()
    assert read(changed, "debug_for_run_D40_12_2.json").task == "text-to-text"
    changed["aggregated_metrics"]["scenario"] = "I(512,512)"
    with pytest.raises(EngineError, match="does not tell the task"):
        read(changed, "debug_for_run_I512_512_2.json")
    with pytest.raises(EngineError, match="says text-to-text, but its scenario"):
        read(changed, "I512_512_text-to-text_num_concurrency_2_time_1s.json")
    with pytest.raises(EngineError, match="image-to-embeddings cannot be kept"):
        read(changed, "I512_512_image-to-embeddings_num_concurrency_2_time_1s.json")
