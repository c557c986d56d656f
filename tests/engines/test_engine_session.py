"""The real engine against the endpoint that knows the truth: one bad cell does not end the rest."""

import os
from pathlib import Path

import pytest

from tidemark.config import load_config
from tidemark.engines.calibration import simulated_endpoint
from tidemark.engines.install import check, find
from tidemark.engines.process import EngineSession
from tidemark.plan.cells import cells
from tidemark.plan.load import load_plan
from tidemark.results.metrics import CellMetrics, summarise
from tidemark.results.requests import CellRaw
from tidemark.simulator.tokenizer import build_tokenizer

KEY = "sk-canary-0123456789abcdef"
PLAN = """
endpoint: {{url: "{url}", model: sim, api_key: "env:MY_KEY"}}
scenarios: ["D(32,16)"]
concurrency: [1, 2, 3, 4]
limits: {{max_requests: 12, max_time_s: 6, stall_timeout_s: 1, drain_s: 2}}
warmup: null
tokenizer: {tokenizer}
"""
# Requests are counted exactly, so that a level can be named by the numbers of its requests.
FAULTS = (
    "--fault", "status=500 when first=13,last=24",
    "--fault", "no_usage when first=25,last=36",
    "--fault", "hang when first=37,last=40",
)  # fmt: skip


@pytest.fixture(scope="module")
async def measured(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[list[tuple[CellRaw, CellMetrics]], Path]:
    directory = tmp_path_factory.mktemp("session")
    build_tokenizer(directory / "tokenizer")
    engine = find("genai-bench", load_config(os.environ, directory).engines)
    with simulated_endpoint("--ttft-s", "0.02", "--tpot-s", "0.002", *FAULTS) as ready:
        text = PLAN.format(url=ready["url"], tokenizer=directory / "tokenizer")
        plan = load_plan(text)
        found = []
        async with EngineSession(
            engine,
            plan,
            cells(plan),
            directory=directory / "work",
            secrets={"env:MY_KEY": KEY},
            seed=1,
        ) as session:
            for cell in cells(plan):
                attempt = await session.measure(cell)
                raw = engine.read(attempt.files, attempt.context)
                found.append((raw, summarise(raw, task=plan.task)))
        assert session.processes == 1
    return found, directory


def test_a_good_cell_has_exactly_its_requests(measured: tuple[list, Path]) -> None:
    raw, metrics = measured[0][0]
    assert (metrics.ok, metrics.failed, metrics.aborted) == (12, 0, 0)
    assert all(row.output_tokens == 16 for row in raw.rows)
    assert metrics.value("ttft_s", "p50") >= 0.02
    assert metrics.value("tpot_s", "p50") == pytest.approx(0.002, rel=0.5)


def test_errors_of_the_server_are_rows(measured: tuple[list, Path]) -> None:
    _, metrics = measured[0][1]
    assert metrics.failed_by_class == {"http_5xx": 12}


def test_missing_usage_is_seen(measured: tuple[list, Path]) -> None:
    raw, metrics = measured[0][2]
    assert {row.token_source for row in raw.rows} == {"tokenizer"}
    assert metrics.usage_missing == 12
    assert metrics.value("tpot_s", "p50") is None


def test_a_silent_server_is_a_timeout_and_not_a_hanging_client(
    measured: tuple[list, Path],
) -> None:
    _, metrics = measured[0][3]
    assert metrics.failed_by_class == {"timeout": 4}
    assert metrics.ok == 8


def test_the_key_is_in_no_file_of_the_engine(measured: tuple[list, Path]) -> None:
    files = [path for path in measured[1].rglob("*") if path.is_file()]
    assert files
    assert not [path.name for path in files if KEY.encode() in path.read_bytes()]


def test_the_installed_engine_is_the_one_we_drive() -> None:
    assert check("genai-bench", load_config(os.environ, Path.cwd()).engines) == []
