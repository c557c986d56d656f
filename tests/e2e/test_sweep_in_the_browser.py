"""A sweep from the browser: saved endpoint, form, dry run, run, progress, report, cancellation."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pyarrow.parquet
import pytest
import yaml
from conftest import KEY, Installation, wait_until
from playwright.sync_api import Locator, Page, expect

from tidemark.results.schema import DISTRIBUTIONS, SCALARS

FINISHED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
Shot = Callable[..., None]


def group(page: Page, label: str) -> Locator:
    """The part of a form that belongs to a label."""
    found = page.get_by_text(label, exact=True).first
    return found.locator("xpath=ancestor::div[contains(@class,'group')][1]")


def text(page: Page, label: str) -> Locator:
    return page.get_by_label(label, exact=True)


def open_form(page: Page, installation: Installation) -> None:
    page.goto(f"{installation.url}/v2/deployments/deployment/{installation.deployment_id}/run")
    expect(text(page, "Tokenizer")).to_be_visible()


def fill_plan(page: Page, tokenizer: Path, levels: list[int], seconds: int, requests: str) -> None:
    page.wait_for_timeout(1000)  # until the form has its defaults
    text(page, "Tokenizer").fill(str(tokenizer))
    scenarios = group(page, "Traffic scenarios (Optional)")
    scenarios.get_by_role("button", name="Add item").click()
    text(page, "Input tokens").fill("32")
    text(page, "Output tokens (Optional)").fill("16")
    concurrency = group(page, "Concurrency (Optional)")
    for place, level in enumerate(levels):
        concurrency.get_by_role("button", name="Add item").click()
        concurrency.locator("input[type=number]").nth(place).fill(str(level))
    text(page, "Time per cell (Optional)").fill(str(seconds))
    text(page, "Requests per cell (Optional)").fill(requests)
    group(page, "Warm-up (Optional)").get_by_role("tab", name="Off").click()


def choose_endpoint(page: Page, name: str) -> None:
    endpoint = group(page, "endpoint (Optional)")
    endpoint.get_by_role("tab", name="InferenceEndpoint").click()
    endpoint.get_by_label("Select a block").click()
    page.get_by_role("option", name=name).click()


def submit(page: Page, installation: Installation) -> str:
    """Press the button; answers the id of the run that the server then has."""
    before = installation.newest_run()

    def started() -> str | None:
        newest = installation.newest_run()
        is_new = newest is not None and (before is None or newest["id"] != before["id"])
        return newest["id"] if newest is not None and is_new else None

    def pressed() -> str | None:
        # The form takes the first press only to leave the field that was being filled, at times.
        page.wait_for_timeout(1000)
        if page.url.endswith("/run") and not started():
            page.get_by_role("button", name="Submit").click()
            page.wait_for_timeout(4000)
        return started()

    run_id: str = wait_until(pressed, "a run from the form", 30)
    return run_id


def finished(installation: Installation, run_id: str, seconds: float) -> str:
    wait_until(lambda: installation.state(run_id) in FINISHED, "the run ends", seconds)
    return installation.state(run_id)


@pytest.fixture(scope="session")
def saved_endpoint(service: str) -> tuple[str, str]:
    """(name, URL) of the endpoint that the first test saves."""
    return "my-service", service


def test_an_endpoint_is_saved_by_its_form(
    page: Page, shot: Shot, installation: Installation, saved_endpoint: tuple[str, str]
) -> None:
    name, url = saved_endpoint
    page.goto(f"{installation.url}/v2/blocks/catalog/inference-endpoint/create")
    text(page, "URL (Optional)").fill(url)
    text(page, "Model (Optional)").fill("sim")
    text(page, "API key (Optional)").fill("prefect:service-key")
    page.get_by_label("Name", exact=True).first.fill(name)
    shot("1_endpoint_form", 1300)
    page.get_by_role("button", name="Save").click()
    page.wait_for_timeout(1500)
    shot("2_endpoint_saved")


def test_a_dry_run_shows_what_a_run_would_do(
    page: Page,
    shot: Shot,
    installation: Installation,
    saved_endpoint: tuple[str, str],
    tokenizer: Path,
) -> None:
    before = set(installation.results.rglob("*.parquet"))
    open_form(page, installation)
    shot("3_form", 5200)
    fill_plan(page, tokenizer, [1, 2], 8, "40")
    choose_endpoint(page, saved_endpoint[0])
    text(page, "store (Optional)").fill(str(installation.results))
    text(page, "dry_run (Optional)").click()
    shot("4_form_filled", 5600)
    run_id = submit(page, installation)
    assert finished(installation, run_id, 90) == "COMPLETED"
    assert installation.run(run_id)["name"] == "dry run sim"
    page.goto(f"{installation.url}/v2/runs/flow-run/{run_id}?tab=Artifacts")
    page.wait_for_timeout(2000)
    shot("5_dry_run")
    artifact = installation.artifact(run_id, "sweep-plan")
    assert artifact is not None
    page.goto(f"{installation.url}/v2/artifacts/artifact/{artifact['id']}")
    expect(page.get_by_test_id("markdown-display")).to_contain_text("Nothing was started")
    shot("6_dry_run_page", 1300)
    assert set(installation.results.rglob("*.parquet")) == before


def test_a_store_saved_by_its_form_is_the_one_that_a_run_uses(
    page: Page,
    shot: Shot,
    installation: Installation,
    saved_endpoint: tuple[str, str],
    tokenizer: Path,
) -> None:
    mount = installation.home / "mounted-claim"
    mount.mkdir()
    page.goto(f"{installation.url}/v2/blocks/catalog/result-store/create")
    text(page, "Location").fill("pvc://claim/nightly")
    group(page, "Persistent volume claim (Optional)").get_by_role("tab", name="On").click()
    text(page, "Mount path (Optional)").fill(str(mount))
    page.get_by_label("Name", exact=True).first.fill("my-claim")
    shot("12_store_form", 1600)
    page.get_by_role("button", name="Save").click()
    page.wait_for_timeout(1500)
    shot("13_store_saved")

    open_form(page, installation)
    fill_plan(page, tokenizer, [1], 8, "40")
    choose_endpoint(page, saved_endpoint[0])
    store = group(page, "result_store (Optional)")
    store.get_by_role("tab", name="ResultStore").click()
    store.get_by_label("Select a block").click()
    page.get_by_role("option", name="my-claim").click()
    text(page, "dry_run (Optional)").click()
    run_id = submit(page, installation)
    assert finished(installation, run_id, 90) == "COMPLETED"
    artifact = installation.artifact(run_id, "sweep-plan")
    assert artifact is not None
    assert "pvc://claim/nightly" in artifact["data"]
    # The store was written to, read and cleaned where the form said it is mounted.
    assert (mount / "nightly" / "probes").is_dir()
    assert not list(mount.rglob("*.txt"))


def start_sweep(
    page: Page, installation: Installation, endpoint: str, tokenizer: Path, **plan: Any
) -> str:
    open_form(page, installation)
    fill_plan(page, tokenizer, **plan)
    choose_endpoint(page, endpoint)
    text(page, "store (Optional)").fill(str(installation.results))
    return submit(page, installation)


def progress(installation: Installation, run_id: str) -> tuple[float, str]:
    found = installation.artifact(run_id, "sweep-progress")
    return (float(found["data"]), found["description"]) if found else (0.0, "")


def test_a_sweep_shows_its_progress_and_its_report(
    page: Page,
    shot: Shot,
    installation: Installation,
    saved_endpoint: tuple[str, str],
    tokenizer: Path,
) -> None:
    run_id = start_sweep(
        page, installation, saved_endpoint[0], tokenizer, levels=[1, 2], seconds=8, requests="40"
    )
    wait_until(lambda: 0 < progress(installation, run_id)[0] < 100, "progress", 90)
    page.goto(f"{installation.url}/v2/runs/flow-run/{run_id}?tab=Artifacts")
    expect(page.get_by_text("sweep-progress").first).to_be_visible()
    shot("7_running")
    shown = installation.artifact(run_id, "sweep-progress")
    assert shown is not None
    page.goto(f"{installation.url}/v2/artifacts/artifact/{shown['id']}")
    expect(page.get_by_text("Progress:").first).to_be_visible()
    shot("8_progress")
    page.goto(f"{installation.url}/v2/runs/flow-run/{run_id}")
    page.get_by_role("tab", name="Logs").click()
    expect(page.get_by_text("Running iteration").first).to_be_visible(timeout=20_000)
    shot("9_running_logs")

    assert finished(installation, run_id, 180) == "COMPLETED"
    assert progress(installation, run_id)[0] == 100.0
    page.goto(f"{installation.url}/v2/runs/flow-run/{run_id}?tab=Artifacts")
    expect(page.get_by_text("sweep-report").first).to_be_visible()
    shot("10_finished")
    report = installation.artifact(run_id, "sweep-report")
    assert report is not None
    page.goto(f"{installation.url}/v2/artifacts/artifact/{report['id']}")
    expect(page.get_by_test_id("markdown-display")).to_contain_text("Verdict")
    shot("11_report", 1300, 1700)

    cells = pandas.read_parquet(installation.results / "cells")
    assert sorted(cells.concurrency) == [1, 2]
    assert list(cells.requests_ok) == [40, 40]
    assert set(cells.model_name) == {"sim"}


OF_THE_RUN = {
    "run_id", "attempt_id", "flow_run_id", "task_run_id", "round", "trigger_ref", "reproduce",
    "evidence_uri", "evidence_sha256", "requests_sha256", "seed", "created_at", "started_at",
    "finished_at",
}  # fmt: skip
MEASURED = {
    "metrics", "null_reasons", "reasons", "notes", "engine_claims", "floor_json", "anomalies",
    "validity", "needs_attention", "feeds_baseline", "input_tokens",
}  # fmt: skip


def what_was_asked(folder: Path) -> list[dict[str, Any]]:
    """The rows of a store without what a run is called and what it measured."""
    rows = pyarrow.parquet.read_table(folder / "cells", partitioning=None).to_pylist()
    measured = (*DISTRIBUTIONS, *SCALARS, "requests_", "window_", "loop_lag_", "client_cpu_")
    return [
        {
            name: value
            for name, value in row.items()
            if name not in OF_THE_RUN | MEASURED
            and not name.startswith(measured)
            and not name.endswith("_s")
        }
        for row in sorted(rows, key=lambda row: row["order_idx"])
    ]


def test_the_same_plan_by_form_command_and_python_gives_the_same_rows(
    installation: Installation, saved_endpoint: tuple[str, str], tokenizer: Path, tmp_path: Path
) -> None:
    plan = {
        "endpoint": {"url": saved_endpoint[1], "model": "sim", "api_key": "prefect:service-key"},
        "scenarios": ["D(32,16)"],
        "concurrency": [1, 2],
        "limits": {"max_time_s": 8, "max_requests": 40},
        "warmup": None,
        "tokenizer": str(tokenizer),
    }
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    code = "import asyncio, json, sys; from flows.sweep import sweep; "
    code += "from tidemark.plan.sweep import SweepPlan; plan = json.load(sys.stdin); "
    code += "asyncio.run(sweep(SweepPlan.model_validate(plan), store=sys.argv[1]))"
    for argv in (
        ["-m", "tidemark.cli", "sweep", "plan.yaml", "--store", str(tmp_path / "command")],
        ["-c", code, str(tmp_path / "python")],
    ):
        done = subprocess.run(
            [sys.executable, *argv], cwd=tmp_path, env=installation.environ, check=False,
            input=json.dumps(plan), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode in (0, 3, 4), done.stderr  # a busy client is another matter
    form = what_was_asked(installation.results)
    assert [row["concurrency"] for row in form] == [1, 2]
    assert len({row["plan_hash"] for row in form}) == 1
    for other in ("command", "python"):
        assert what_was_asked(tmp_path / other) == form


def cancel(page: Page, shot: Shot, installation: Installation, run_id: str, name: str) -> None:
    page.goto(f"{installation.url}/v2/runs/flow-run/{run_id}")
    expect(page.get_by_text("Running", exact=True).first).to_be_visible(timeout=20_000)
    page.locator("button[aria-haspopup=menu]").first.click()
    page.get_by_role("menuitem", name="Cancel").click()
    shot(f"{name}_cancel")
    page.get_by_role("button", name="Cancel Flow Run").click()
    assert finished(installation, run_id, 120) == "CANCELLED"
    page.reload()
    expect(page.get_by_text("Cancelled", exact=True).first).to_be_visible(timeout=20_000)
    page.wait_for_timeout(2000)  # the graph draws itself slowly
    shot(f"{name}_cancelled")
    wait_until(lambda: not installation.engines(), "the engine's processes are gone", 10)


def kept(installation: Installation, table: str, levels: list[int]) -> list[int]:
    """The levels of which a table has rows."""
    if table == "cells":
        cells = pandas.read_parquet(installation.results / "cells")
        return sorted(cells[cells.concurrency.isin(levels)].concurrency)
    folders = sorted((installation.results / "raw").glob("*/*/attempt.json"))
    found = [json.loads(path.read_text())["attempt"]["cell"]["concurrency"] for path in folders]
    return sorted(level for level in found if level in levels)


def test_a_sweep_cancelled_within_a_cell_keeps_the_finished_ones_and_leaves_no_process(
    page: Page,
    shot: Shot,
    installation: Installation,
    saved_endpoint: tuple[str, str],
    tokenizer: Path,
) -> None:
    levels = [3, 4, 5]
    run_id = start_sweep(
        page,
        installation,
        saved_endpoint[0],
        tokenizer,
        levels=levels,
        seconds=20,
        requests="2000",
    )
    wait_until(lambda: "iteration 2/3" in progress(installation, run_id)[1], "a second cell", 120)
    assert installation.engines()
    cancel(page, shot, installation, run_id, "12")
    assert not list((installation.home / "tidemark" / "spool").glob("*"))
    found = kept(installation, "cells", levels)
    assert 3 in found
    assert 5 not in found


def test_a_sweep_cancelled_while_the_client_is_measured_keeps_its_cells(
    page: Page,
    shot: Shot,
    installation: Installation,
    saved_endpoint: tuple[str, str],
    tokenizer: Path,
) -> None:
    run_id = start_sweep(
        page, installation, saved_endpoint[0], tokenizer, levels=[6], seconds=8, requests="40"
    )
    wait_until(
        lambda: "what this client machine" in progress(installation, run_id)[1], "a floor", 120
    )
    cancel(page, shot, installation, run_id, "13")
    assert kept(installation, "raw", [6]) == [6]


def test_what_was_measured_before_that_is_judged(installation: Installation) -> None:
    assert kept(installation, "raw", [6]) == [6]
    assert kept(installation, "cells", [6]) == [6]


def test_a_run_stopped_by_command_is_cancelled_in_the_browser(
    page: Page,
    shot: Shot,
    installation: Installation,
    saved_endpoint: tuple[str, str],
    tokenizer: Path,
) -> None:
    run_id = start_sweep(
        page, installation, saved_endpoint[0], tokenizer, levels=[7], seconds=60, requests="9000"
    )
    wait_until(lambda: "iteration 1/1" in progress(installation, run_id)[1], "a cell", 120)
    command = ["-m", "tidemark.cli", "cancel", run_id, "--store", str(installation.results)]
    subprocess.run([sys.executable, *command], env=installation.environ, check=True)
    assert finished(installation, run_id, 60) == "CANCELLED"
    page.goto(f"{installation.url}/v2/runs/flow-run/{run_id}")
    expect(page.get_by_text("Cancelled", exact=True).first).to_be_visible(timeout=20_000)
    shot("14_stopped_by_command")
    assert "tidemark cancel" in installation.run(run_id)["state"]["message"]
    assert not installation.engines()


def test_the_key_was_written_nowhere(installation: Installation) -> None:
    for path in installation.home.rglob("*"):
        if path.is_file() and not path.is_symlink() and "engines" not in path.parts:
            content = path.read_bytes()
            content = gzip.decompress(content) if path.suffix == ".gz" else content
            assert KEY.encode() not in content, path
