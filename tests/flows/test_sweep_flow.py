"""The sweep from end to end: a real engine, a real Prefect server, three levels that go wrong."""

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas
import psutil
import pytest

from flows.sweep import sweep
from tasks.progress import OBSERVER, ProgressReport
from tasks.report import SweepOutcome
from tidemark.engines.calibration import simulated_endpoint
from tidemark.plan.load import load_plan
from tidemark.results.floor import CLIENT_BOUND
from tidemark.results.store import open_store
from tidemark.simulator.tokenizer import build_tokenizer

KEY = "sk-canary-5f0c2d9e8b7a6f1e"
HEADER_SECRET = "canary-header-77aa0c55e1f2"
PLAN = """
endpoint:
  url: "{url}"
  model: sim
  api_key: "env:CANARY_KEY"
  headers: {{x-tenant: "env:CANARY_HEADER"}}
scenarios: ["D(32,16)"]
concurrency: [1, 2, 3, 4, 5]
limits: {{max_requests: 40, max_time_s: 8, stall_timeout_s: 1, drain_s: 2}}
warmup: null
slo: {{ttft_s: 0.5}}
tokenizer: {tokenizer}
"""
# The probe is the first request, and each level makes exactly 40: so levels have numbers.
FAULTS = (
    "--fault", "status=500 when first=42,last=81",
    "--fault", "no_usage when first=82,last=121",
    "--fault", "hang when first=122,last=125",
)  # fmt: skip
BAD = {2: "http_5xx", 3: "usage", 4: "timeout"}


class Watch(threading.Thread):
    """Looks at the arguments of every process while the flow runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self.seen: set[str] = set()

    def run(self) -> None:
        while not self.over.wait(0.2):
            for process in psutil.process_iter(["cmdline"]):
                self.seen.add(" ".join(process.info["cmdline"] or ()))


@dataclass
class Run:
    outcome: SweepOutcome
    store: Path
    everything: Path
    said: list[ProgressReport]
    arguments: set[str]

    def row(self, concurrency: int) -> dict:
        return next(row for row in self.outcome.cells if row["concurrency"] == concurrency)


@pytest.fixture(scope="module")
async def run(tidemark_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    assert tidemark_home.name
    directory = tmp_path_factory.mktemp("sweep")
    build_tokenizer(directory / "tokenizer")
    said: list[ProgressReport] = []
    watch = Watch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANARY_KEY", KEY)
        patch.setenv("CANARY_HEADER", HEADER_SECRET)
        options = ("--ttft-s", "0.06", "--tpot-s", "0.006", "--api-key-env", "CANARY_KEY")
        with simulated_endpoint(*options, *FAULTS) as ready:
            plan = load_plan(PLAN.format(url=ready["url"], tokenizer=directory / "tokenizer"))
            watch.start()
            token = OBSERVER.set(said.append)
            outcome = await sweep(plan, store=str(directory / "results"), round="test")
            OBSERVER.reset(token)
            watch.over.set()
            watch.join()
        yield Run(outcome, directory / "results", directory, said, watch.seen)


def test_the_run_is_partial(run: Run) -> None:
    assert (run.outcome.outcome, run.outcome.exit_status) == ("partial", 3)
    assert run.outcome.run["outcome"] == "partial"
    assert run.outcome.five_lines[0].startswith("Verdict: ")


def test_every_cell_is_a_row_and_the_good_ones_are_valid(run: Run) -> None:
    cells = pandas.read_parquet(run.store / "cells")
    assert sorted(cells.concurrency) == [1, 2, 3, 4, 5]
    good = cells[~cells.concurrency.isin(list(BAD))]
    assert list(good.requests_ok) == [40, 40]
    for row in good.to_dict("records"):
        # Other tests run at the same time. A machine too busy for the load says so, and no more.
        against = {each["code"] for each in row["reasons"] if each["level"] == "invalid"}
        assert against <= {CLIENT_BOUND}, row["reasons"]
        assert row["validity"] == ("invalid" if against else "valid"), row["reasons"]
        assert bool(row["needs_attention"]) == bool(against)


@pytest.mark.parametrize(("concurrency", "cause"), BAD.items())
def test_a_bad_cell_has_class_evidence_and_advice(run: Run, concurrency: int, cause: str) -> None:
    row = run.row(concurrency)
    assert row["needs_attention"] or row["validity"] == "invalid"
    told = [reason for reason in row["reasons"] if cause in json.dumps(reason)]
    assert told, row["reasons"]
    assert all(reason["evidence"] and reason["advice"] for reason in told)


def test_every_request_is_a_row(run: Run) -> None:
    requests = pandas.read_parquet(run.store / "requests")
    cells = pandas.read_parquet(run.store / "cells")
    counts = requests.merge(cells[["cell_id", "concurrency"]], on="cell_id")
    assert counts.groupby("concurrency").size().to_dict() == dict.fromkeys(range(1, 6), 40)
    failed = counts[counts.concurrency == 2]
    assert set(failed.status) == {"failed"}
    assert set(failed.error_class) == {"http_5xx"}


def test_each_cell_is_judged_under_a_floor_that_covers_it(run: Run) -> None:
    for row in run.outcome.cells:
        if row["requests_ok"]:
            floor = json.loads(row["floor_json"])
            assert floor["concurrency"] >= row["concurrency"]


def test_the_raw_output_and_the_manifest_are_there(run: Run) -> None:
    manifest = json.loads((run.store / "manifests" / f"{run.outcome.run_id}.json").read_text())
    assert len(manifest["cell_parts"]) == 5
    assert "env:CANARY_KEY" in run.outcome.run["plan_json"]
    for row in run.outcome.cells:
        assert (run.store / row["evidence_uri"]).exists()
    assert open_store(str(run.store)).torn() == ()


def test_the_run_says_what_it_does_and_how_far_it_is(run: Run) -> None:
    lines = list(dict.fromkeys(report.line for report in run.said))
    assert lines[0] == "Running iteration 1/5: concurrency=1 (D(32,16))"
    assert lines[4] == "Running iteration 5/5: concurrency=5 (D(32,16))"
    fractions = [report.fraction for report in run.said]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


async def test_prefect_shows_progress_and_report(run: Run) -> None:
    from prefect import get_client

    async with get_client() as client:
        shown = {
            artifact.key: artifact
            for artifact in await client.read_artifacts()
            if str(artifact.flow_run_id) == run.outcome.run["flow_run_id"]
        }
    assert shown["sweep-progress"].data == 100.0
    assert run.outcome.five_lines[0].removeprefix("Verdict: ") in str(shown["sweep-report"].data)


def test_no_secret_is_in_what_was_written_or_in_arguments(
    run: Run, tidemark_home: Path, prefect_server: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    secrets = [KEY.encode(), HEADER_SECRET.encode()]
    for folder in (run.everything, tidemark_home, prefect_server):
        for path in folder.rglob("*"):
            if path.is_symlink() or not path.is_file() or "engines" in path.parts:
                continue
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
            assert not [secret for secret in secrets if secret in content], path
    arguments = "\n".join(run.arguments).encode()
    assert b"genai_bench_launcher" in arguments
    assert not [secret for secret in secrets if secret in arguments]
    out, err = capfd.readouterr()
    assert not [secret for secret in secrets if secret in (out + err).encode()]


def test_nothing_is_left_running_or_lying_about(run: Run, tidemark_home: Path) -> None:
    running = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(tidemark_home) in " ".join(process.info["cmdline"] or ())
    ]
    assert not running
    assert run.outcome.run_id
    assert not list((tidemark_home / "spool").glob("*"))
