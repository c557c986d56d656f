"""Which floor serves which cell."""

from dataclasses import replace
from pathlib import Path

import pytest

from tidemark.engines.calibration import FloorLoad, FloorStore
from tidemark.engines.genai_bench import GenaiBench
from tidemark.plan.cells import cells
from tidemark.plan.load import load_plan
from tidemark.results.client_floor import Floor, Timing, floor_from

PLAN = load_plan(
    """
endpoint: {url: "http://127.0.0.1:9", model: m}
scenarios: ["N(128,32)/(20,4)", "dataset"]
concurrency: [8]
dataset: {path: /data.txt}
tokenizer: /tokenizer
"""
)
NORMAL, DATASET = cells(PLAN)


def load(ttft_s: float, tpot_s: float = 0.02, tokens: float = 20.4) -> FloorLoad:
    return FloorLoad.of(PLAN, NORMAL, ttft_s=ttft_s, tpot_s=tpot_s, output_tokens=tokens)


def floor() -> Floor:
    pair = (Timing(0.2, 0.02, 0.6), Timing(0.19, 0.02, 0.59))
    return floor_from(
        [pair] * 40,
        scenario=NORMAL.scenario,
        concurrency=8,
        request_rate_rps=10.0,
        loop_lag_p50_s=0.001,
        loop_lag_p99_s=0.002,
        measured_at="2026-11-21T00:00:00+00:00",
        machine="m",
        engine="e",
    )


@pytest.fixture
def store(tmp_path: Path) -> FloorStore:
    return FloorStore(tmp_path / "floors", "machine", GenaiBench("python"))


def test_a_floor_is_found_for_the_same_load(store: FloorStore) -> None:
    assert store.find(load(0.2), "/tokenizer") is None
    store.keep(load(0.2), "/tokenizer", floor())
    assert store.find(load(0.2), "/tokenizer") == floor()
    assert store.find(load(0.2), "/another") is None


def test_the_floors_load_is_never_thinner_than_the_cells() -> None:
    for ttft_s in (0.0011, 0.05, 0.2, 0.2001, 3.0):
        assert 0.8 * ttft_s < load(ttft_s).ttft_s < ttft_s


def test_a_step_denser_serves_and_a_step_thinner_does_not(store: FloorStore) -> None:
    store.keep(load(0.2), "/tokenizer", floor())
    assert store.find(load(0.2 * 1.15), "/tokenizer") == floor()
    assert store.find(load(0.2 / 1.15), "/tokenizer") is None
    assert store.find(load(0.2 * 1.6), "/tokenizer") is None


def test_a_length_that_the_scenario_sets_does_not_vary_with_the_sample() -> None:
    assert load(0.2, tokens=19.2) == load(0.2, tokens=21.7)
    of_dataset = FloorLoad.of(PLAN, DATASET, ttft_s=0.2, tpot_s=0.02, output_tokens=77.2)
    assert of_dataset.output_tokens == 78


def test_another_concurrency_has_a_floor_of_its_own(store: FloorStore) -> None:
    store.keep(load(0.2), "/tokenizer", floor())
    assert store.find(replace(load(0.2), concurrency=16), "/tokenizer") is None


def test_a_broken_file_counts_as_none(store: FloorStore) -> None:
    store.keep(load(0.2), "/tokenizer", floor())
    (path,) = store.directory.iterdir()
    path.write_text("{")
    assert store.find(load(0.2), "/tokenizer") is None
