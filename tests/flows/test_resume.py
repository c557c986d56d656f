"""A round gone on with: nothing finished is measured twice, whoever measured it."""

from collections.abc import Iterator
from pathlib import Path

import pandas
import pytest

from flows.sweep import sweep
from tasks.report import SweepOutcome
from tidemark.engines.calibration import simulated_endpoint
from tidemark.plan.load import load_plan
from tidemark.plan.sweep import SweepPlan
from tidemark.results.store import open_store
from tidemark.simulator.tokenizer import build_tokenizer

PLAN = """
endpoint: {{url: "{url}", model: sim}}
scenarios: ["D(32,16)"]
concurrency: [4, 5]
limits: {{max_requests: 40, max_time_s: 8, stall_timeout_s: 1, drain_s: 2}}
warmup: null
tokenizer: {tokenizer}
"""


@pytest.fixture(scope="module")
def plan(tidemark_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SweepPlan]:
    assert tidemark_home.name
    tokenizer = tmp_path_factory.mktemp("plan") / "tokenizer"
    build_tokenizer(tokenizer)
    with simulated_endpoint("--ttft-s", "0.06", "--tpot-s", "0.006") as ready:
        yield load_plan(PLAN.format(url=ready["url"], tokenizer=tokenizer))


async def whole_sweep(plan: SweepPlan, folder: Path) -> tuple[SweepOutcome, Path]:
    """A run of valid cells in a store of its own: a busy machine may need more than one try."""
    for number in range(5):
        results = folder / f"results-{number}"
        outcome = await sweep(plan, store=str(results), round="night", only=[])
        assert isinstance(outcome, SweepOutcome)
        if {row["validity"] for row in outcome.cells} == {"valid"}:
            return outcome, results
    pytest.fail("this machine is too busy for a valid cell")


async def test_a_round_is_gone_on_with(plan: SweepPlan, tmp_path: Path) -> None:
    first, results = await whole_sweep(plan, tmp_path)
    uri = str(results)
    store = open_store(uri)
    measured = {row["cell_id"]: row["attempt_id"] for row in first.cells}

    # What a run that was killed before judging leaves: evidence, and no row for one of its cells.
    lost, kept = first.cells
    (results / store.stored(lost).cell_part).unlink()
    (results / "manifests" / f"{first.run_id}.json").unlink()
    assert list(store.cells()["cell_id"].to_pylist()) == [kept["cell_id"]]

    second = await sweep(plan, store=uri, round="night")
    assert {row["cell_id"]: row["attempt_id"] for row in second.cells} == measured
    assert {row["reused_from"] for row in second.cells} == {first.run_id}
    assert second.run["cells_reused"] == 2
    cells = pandas.read_parquet(results / "cells")
    assert sorted(cells.attempt_id) == sorted(measured.values())
    restored = cells.set_index("cell_id").loc[lost["cell_id"]]
    assert restored.run_id == first.run_id
    assert restored.validity == lost["validity"]
    assert restored.ttft_s_p50 == lost["ttft_s_p50"]
    (run,) = store.runs().to_pylist()
    assert {cell["reused_from"] for cell in run["cells"]} == {first.run_id}
    assert [row["reused_from"] for row in store.run_cells(run)] == [first.run_id] * 2

    another = await sweep(plan, store=uri, round="next night", only=[lost["cell_id"][:12]])
    assert another.cells[0]["attempt_id"] not in measured.values()
    assert another.cells[0]["reused_from"] is None
