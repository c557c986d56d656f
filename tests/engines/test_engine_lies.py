"""What the real engine says of faulty answers, beside what we say of the same requests."""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bare_engine import BareEngine
from tidemark.config import load_config
from tidemark.engines.calibration import simulated_endpoint
from tidemark.engines.install import find
from tidemark.engines.process import EngineSession
from tidemark.plan.cells import cells
from tidemark.plan.load import load_plan
from tidemark.results.metrics import CellMetrics, summarise
from tidemark.results.requests import CellRaw
from tidemark.simulator.tokenizer import build_tokenizer

REQUESTS = 8
TTFT_S, TPOT_S = 0.05, 0.01
PLAN = """
endpoint: {{url: "{url}", model: sim}}
scenarios: ["D(32,1)", "D(32,20)", "D(32,21)", "D(32,22)", "D(32,23)", "D(32,24)", "D(32,25)"]
concurrency: [2]
repeats: 1
limits: {{max_requests: 8, max_time_s: 10, stall_timeout_s: 2, drain_s: 3}}
warmup: null
tokenizer: {tokenizer}
"""
# The length that is asked for says which fault is meant.
FAULTS = (
    "--fault", "no_usage when output_tokens=20",
    "--fault", "cut,after_tokens=5 when output_tokens=21",
    "--fault", "garbage when output_tokens=22",
    "--fault", "error_in_stream,after_tokens=3,code=507 when output_tokens=23",
    "--fault", "empty when output_tokens=24",
    "--fault", "single_token when output_tokens=25",
)  # fmt: skip


def build_byte_tokenizer(directory: Path) -> Path:
    """A tokenizer that is not the server's: every byte is a token."""
    path = build_tokenizer(directory) / "tokenizer.json"
    document = json.loads(path.read_text("utf-8"))
    document["model"]["merges"] = []
    path.write_text(json.dumps(document), "utf-8")
    return directory


@dataclass
class Cell:
    raw: CellRaw
    metrics: CellMetrics

    @property
    def says(self) -> dict[str, Any]:
        return dict(self.raw.engine_claims)


@pytest.fixture(scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Cell]]:
    directory = tmp_path_factory.mktemp("lies")
    build_byte_tokenizer(directory / "tokenizer")
    engine = find("genai-bench", load_config(os.environ, directory).engines)
    with simulated_endpoint("--ttft-s", str(TTFT_S), "--tpot-s", str(TPOT_S), *FAULTS) as ready:
        plan = load_plan(PLAN.format(url=ready["url"], tokenizer=directory / "tokenizer"))
        found = {}
        async with EngineSession(
            engine, plan, cells(plan), directory=directory / "work", secrets={}, seed=1
        ) as session:
            for cell in cells(plan):
                attempt = await session.measure(cell)
                raw = engine.read(attempt.files, attempt.context)
                found[cell.scenario] = Cell(raw, summarise(raw, task=plan.task))
    return found


def test_answers_of_one_token_are_dropped_by_the_engine_and_kept_here(
    told: dict[str, Cell],
) -> None:
    cell = told["D(32,1)"]
    assert not cell.says  # it wrote no file for the level
    assert cell.metrics.ok == REQUESTS
    assert cell.metrics.value("ttft_s", "p50") >= TTFT_S
    assert cell.metrics.get("tpot_s", "p50").reason == "single_token"


def test_a_server_that_answers_short_is_seen(told: dict[str, Cell]) -> None:
    cell = told["D(32,25)"]
    assert cell.metrics.single_token == REQUESTS
    assert cell.metrics.value("tpot_s", "p50") is None


def test_without_usage_the_engine_counts_its_own_tokens(told: dict[str, Cell]) -> None:
    cell = told["D(32,20)"]
    assert cell.says["num_output_tokens_mean"] > 2 * 20
    assert cell.says["tpot_mean"] < 0.5 * TPOT_S
    assert cell.says["mean_output_throughput_tokens_per_s"] > 0
    assert cell.metrics.usage_missing == REQUESTS
    assert cell.metrics.value("tpot_s", "mean") is None
    assert cell.metrics.get("output_tput_tok_s").reason == "usage_missing(8 of 8)"
    assert cell.metrics.value("ttft_s", "p50") >= TTFT_S


@pytest.mark.parametrize(
    ("scenario", "error_class"),
    [("D(32,21)", "cut_stream"), ("D(32,22)", "bad_response"), ("D(32,23)", "in_stream")],
)
def test_broken_answers_are_failed_requests(
    told: dict[str, Cell], scenario: str, error_class: str
) -> None:
    cell = told[scenario]
    assert cell.metrics.failed_by_class == {error_class: REQUESTS}
    assert cell.metrics.value("error_rate") == 1.0
    assert cell.says.get("error_rate", 0) in (0, None)


def test_answers_without_content_have_no_first_token(told: dict[str, Cell]) -> None:
    cell = told["D(32,24)"]
    assert cell.metrics.ok + cell.metrics.failed == REQUESTS
    assert cell.metrics.value("ttft_s", "p50") is None


@dataclass
class Bare:
    document: dict[str, Any]
    metadata: str
    output: str
    answered: int


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    """genai-bench by its own command, with a warm-up, and with a key in its environment."""
    directory = tmp_path_factory.mktemp("bare")
    build_tokenizer(directory / "tokenizer")
    engines = load_config(os.environ, directory).engines
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", "canary-aws-000111222333")
        with simulated_endpoint("--ttft-s", str(TTFT_S), "--tpot-s", str(TPOT_S)) as ready:
            BareEngine.find(engines).run(
                url=ready["url"],
                tokenizer=directory / "tokenizer",
                scenario="D(32,16)",
                levels=[16],
                max_requests=20,
                directory=directory / "run",
                more=("--warmup-ratio", "0.25", "--cooldown-ratio", "0.25"),
            )
    folder = directory / "run" / "out"
    (file,) = folder.glob("*_time_*s.json")
    document = json.loads(file.read_text())
    metadata = (folder / "experiment_metadata.json").read_text()
    output = (directory / "run" / "output.txt").read_text()
    log = (directory / "run" / "genai_bench.log").read_text()
    return Bare(document, metadata, output + log, document["aggregated_metrics"]["num_requests"])


def test_the_bare_engine_makes_more_requests_than_asked(bare: Bare) -> None:
    assert bare.answered > 20


def test_the_bare_engine_divides_kept_tokens_by_the_whole_time(bare: Bare) -> None:
    says = bare.document["aggregated_metrics"]
    rows = bare.document["individual_request_metrics"]
    tokens = sum(row["num_output_tokens"] for row in rows)
    claimed = says["mean_output_throughput_tokens_per_s"]
    assert claimed == pytest.approx(
        says["stats"]["num_output_tokens"]["sum"] / says["run_duration"], rel=0.01
    )
    # In truth 16 users get 16 tokens every 0.2 s.
    assert claimed < 0.5 * (16 * 16 / (TTFT_S + 15 * TPOT_S))
    assert tokens > 0


def test_the_bare_engine_writes_keys_of_its_environment_down(bare: Bare) -> None:
    assert "canary-aws-000111222333" in bare.metadata
    assert "sk-not-a-key" in bare.metadata


async def test_a_session_lends_the_engine_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-aws-000111222333")
    monkeypatch.setenv("GITHUB_TOKEN", "canary-github-444555666")
    monkeypatch.setenv("MODEL_API_KEY", "canary-model-777888999")
    build_tokenizer(tmp_path / "tokenizer")
    engine = find("genai-bench", load_config(os.environ, tmp_path).engines)
    with simulated_endpoint("--ttft-s", "0.02", "--tpot-s", "0.002") as ready:
        text = PLAN.format(url=ready["url"], tokenizer=tmp_path / "tokenizer")
        plan = load_plan(text.replace('"D(32,1)", ', ""))
        first = cells(plan)[:1]
        async with EngineSession(
            engine, plan, first, directory=tmp_path / "work", secrets={}, seed=1
        ) as session:
            attempt = await session.measure(first[0])
            kept = [*attempt.files.values()]
            kept += [path.read_bytes() for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert kept
    assert not [content for content in kept if b"canary-" in content]


def test_the_engine_is_told_not_to_sum_up_at_each_request(tmp_path: Path) -> None:
    engine = find("genai-bench", load_config(os.environ, tmp_path).engines)
    plan = load_plan(PLAN.format(url="http://127.0.0.1:9", tokenizer="/tokenizer"))
    job = engine.command(
        plan,
        cells(plan),
        work_directory=str(tmp_path),
        secrets={},
        expected_e2e_s={},
        seed=1,
        warm_up=False,
    )
    options = json.loads(job.stdin)["argv"]
    assert options[options.index("--metrics-refresh-interval") + 1] == "1000"


TWICE = """
endpoint: {{url: "{url}", model: sim}}
scenarios: ["N(40,12)/(8,1)"]
concurrency: [1]
repeats: 2
limits: {{max_requests: 6, max_time_s: 10}}
warmup: null
tokenizer: {tokenizer}
"""


async def prompts_of_a_session(
    directory: Path, seed: int
) -> tuple[list[CellRaw], list[dict[str, Any]]]:
    """Both repeats of one level, and the endpoint's record of what it was sent."""
    build_tokenizer(directory / "tokenizer")
    engine = find("genai-bench", load_config(os.environ, directory).engines)
    record = directory / "record.jsonl"
    with simulated_endpoint("--ttft-s", "0.01", "--tpot-s", "0.001", record=record) as ready:
        plan = load_plan(TWICE.format(url=ready["url"], tokenizer=directory / "tokenizer"))
        raws = []
        async with EngineSession(
            engine, plan, cells(plan), directory=directory / "work", secrets={}, seed=seed
        ) as session:
            for cell in cells(plan):
                attempt = await session.measure(cell)
                raws.append(engine.read(attempt.files, attempt.context))
    return raws, [json.loads(line) for line in record.read_text().splitlines()]


async def test_repeats_of_a_level_do_not_overwrite_each_other(tmp_path: Path) -> None:
    raws, _ = await prompts_of_a_session(tmp_path, seed=1)
    assert [len(raw.rows) for raw in raws] == [6, 6]
    assert [raw.engine_claims["num_completed_requests"] for raw in raws] == [6, 6]
    assert raws[0].engine_claims["ttft_mean"] != raws[1].engine_claims["ttft_mean"]


async def test_the_same_seed_sends_the_same_prompts(tmp_path: Path) -> None:
    sent = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        (tmp_path / name).mkdir()
        _, record = await prompts_of_a_session(tmp_path / name, seed)
        # Ports have as many digits as the system gives them.
        host = len(str(record[0]["headers"].get("host", "")))
        sent.append([(one["planned_tokens"], one["received_bytes"] - host) for one in record])
    assert len(sent[0]) == 12
    assert sent[0] == sent[1]
    assert sent[0] != sent[2]
    assert sent[0][:6] != sent[0][6:]
