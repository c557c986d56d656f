"""A dry run, with all that Prefect keeps: endpoint, store and secrets as saved blocks."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import boto3
import psutil
import pytest
from moto.server import ThreadedMotoServer
from prefect import get_client
from prefect.blocks.system import Secret
from prefect.settings import get_current_settings

from blocks import InferenceEndpoint, ResultStore
from flows.sweep import sweep
from tasks.look_ahead import ARTIFACT
from tasks.secrets import read_block
from tidemark.config import load_config
from tidemark.engines.calibration import simulated_endpoint
from tidemark.errors import ConfigError, RefusedError, SecretError, StoreAway
from tidemark.plan.endpoint import Endpoint
from tidemark.plan.load import dump_plan
from tidemark.plan.sweep import SweepPlan
from tidemark.simulator.tokenizer import build_tokenizer

KEY = "canary-key-0f6e5d4c3b2a1908"
STORE_SECRET = "canary-store-secret-55aa77cc"


@pytest.fixture(scope="module")
def plan(tidemark_home: Path, tmp_path_factory: pytest.TempPathFactory) -> SweepPlan:
    assert tidemark_home.name
    tokenizer = tmp_path_factory.mktemp("plan") / "tokenizer"
    build_tokenizer(tokenizer)
    return SweepPlan.model_validate(
        {
            "name": "a | b <i>",
            "scenarios": ["D(32,16)"],
            "concurrency": [1, 2],
            "tokenizer": str(tokenizer),
        }
    )


@pytest.fixture(scope="module")
async def saved(plan: SweepPlan) -> AsyncIterator[InferenceEndpoint]:
    """A saved endpoint whose key Prefect keeps."""
    assert plan
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANARY_KEY", KEY)
        with simulated_endpoint("--api-key-env", "CANARY_KEY") as ready:
            patch.delenv("CANARY_KEY")
            await Secret(value=KEY).save("service-key")
            endpoint = InferenceEndpoint(
                url=ready["url"], model="sim", api_key="prefect:service-key"
            )
            await endpoint.save("simulated")
            yield await InferenceEndpoint.load("simulated")


async def page() -> str:
    async with get_client() as client:
        pages = [each for each in await client.read_artifacts() if each.key == ARTIFACT]
    return str(max(pages, key=lambda each: each.created).data)


async def test_everything_is_checked_and_shown_and_nothing_is_started(
    plan: SweepPlan, saved: InferenceEndpoint, tidemark_home: Path, tmp_path: Path
) -> None:
    outcome = await sweep(plan, endpoint=saved, store=str(tmp_path / "results"), dry_run=True)
    assert (outcome.outcome, outcome.exit_status) == ("dry run", 0)
    assert outcome.five_lines[0].startswith("2 cells, at most ")
    shown = await page()
    assert "Nothing was started" in shown
    assert str(saved.url) in shown
    assert "| about |" in shown
    assert shown.count("| D(32,16) |") == 2
    assert "# a \\| b &lt;i&gt;" in shown
    assert "To mend" not in shown
    assert KEY not in shown
    assert not [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    running = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    assert not [argv for argv in running if str(tidemark_home) in str(argv)]


async def test_all_that_is_to_be_mended_is_shown_at_once(plan: SweepPlan, tmp_path: Path) -> None:
    endpoint = InferenceEndpoint(
        url="http://localhost:9",
        model="m",
        headers={"x-token": "prefect:missing", "x-key": "env:NOSUCH"},
    )
    nowhere = plan.model_copy(update={"tokenizer": "/nowhere"})
    with pytest.raises(RefusedError, match=r"cannot run yet.*and 3 more"):
        await sweep(nowhere, endpoint=endpoint, only=["zz"], store=str(tmp_path), dry_run=True)
    shown = await page()
    assert "To mend before it can run" in shown
    for words in (
        "no cell of the plan",
        "NOSUCH is not set",
        "no Secret block",
        "no such directory",
    ):
        assert words in shown, words
    assert "Nothing was started" not in shown


async def test_a_service_that_does_not_answer_is_to_be_mended(
    plan: SweepPlan, tmp_path: Path
) -> None:
    endpoint = InferenceEndpoint(url="http://127.0.0.1:9", model="m")
    with pytest.raises(RefusedError, match="no connection"):
        await sweep(plan, endpoint=endpoint, store=str(tmp_path), dry_run=True)
    assert "no connection" in await page()


async def test_without_a_service_the_plan_says_so(plan: SweepPlan, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="no service is named"):
        await sweep(plan, store=str(tmp_path), dry_run=True)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that speaks S3, with a bucket, and no credentials in the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1",
        aws_access_key_id="testing", aws_secret_access_key="testing",
    )  # fmt: skip
    client.create_bucket(Bucket="bench")
    client.close()
    yield url
    server.stop()


async def test_a_saved_store_is_opened_by_what_its_references_lead_to(
    plan: SweepPlan, saved: InferenceEndpoint, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_KEY_ID", "CANARYKEYID")
    await Secret(value=STORE_SECRET).save("store-secret")
    store = ResultStore(
        uri="s3://bench/results",
        s3={
            "endpoint_url": bucket,
            "sse": "AES256",
            "access_key_id": "env:STORE_KEY_ID",
            "secret_access_key": "prefect:store-secret",
        },
    )
    await store.save("bench")
    outcome = await sweep(
        plan, endpoint=saved, result_store=await ResultStore.load("bench"), dry_run=True
    )
    assert outcome.store == "s3://bench/results"
    shown = await page()
    assert "s3://bench/results" in shown
    assert STORE_SECRET not in shown
    with pytest.raises(RefusedError, match="a location and a saved store"):
        await sweep(plan, endpoint=saved, store="/tmp/x", result_store=store, dry_run=True)


async def test_a_worker_s_own_folder_is_no_store(
    plan: SweepPlan, saved: InferenceEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "5d1a3c52-0000-4000-8000-000000000000")
    with pytest.raises(ConfigError, match="removes after it"):
        await sweep(plan, endpoint=saved, store="results", dry_run=True)


async def test_the_command_asks_prefect_for_its_secrets(plan: SweepPlan, tmp_path: Path) -> None:
    await Secret(value=KEY).save("known-key")
    url = {"url": "http://localhost:9", "model": "m"}
    for name, trouble in (("known-key", False), ("unknown-key", True)):
        written = plan.model_copy(
            update={"endpoint": Endpoint.model_validate({**url, "api_key": f"prefect:{name}"})}
        )
        (tmp_path / "plan.yaml").write_text(dump_plan(written))
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tidemark.cli", "plan", "plan.yaml", "--json"],
            cwd=tmp_path,
            env={**os.environ, "PREFECT_API_URL": str(get_current_settings().api.url)},
            capture_output=True,
            text=True,
            check=True,
        )
        to_mend = json.loads(done.stdout)["to_mend"]
        assert ["no Secret block" in text for text in to_mend] == [True] * trouble
        assert KEY not in done.stdout + done.stderr


async def test_what_a_secret_block_holds_is_given_as_it_was_saved() -> None:
    await Secret(value="0012345").save("digits")
    await Secret(value={"user": "me"}).save("not-text")
    assert read_block("digits") == "0012345"
    with pytest.raises(SecretError, match="holds JSON"):
        read_block("not-text")
    with pytest.raises(SecretError, match="keeps no Secret block"):
        read_block("never-saved")


async def test_a_run_whose_store_is_refused_leaves_nothing_behind(
    plan: SweepPlan, saved: InferenceEndpoint
) -> None:
    with pytest.raises(StoreAway, match="not mounted"):
        await sweep(plan, endpoint=saved, store="pvc://claim-of-nobody/p")
    spool = load_config(os.environ, Path.cwd()).spool
    assert not [path for path in spool.glob("*") if not path.name.startswith("standby")]
