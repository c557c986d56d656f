"""Blocks of a job under a real Prefect server: registered, kept, masked, loaded, run in flows."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task
from prefect.blocks.core import Block
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client

from blocks import (
    AlibabaCloudCredentials,
    DlcJob,
    PaiWorkspace,
    ResultStore,
    SpendingPolicy,
)
from tidemark.simulator.clock import ScaledClock
from tidemark.simulator.pai.app import PaiSimulator

pytestmark = [
    # Prefect's own clients leave sockets to the garbage collector; that is not ours to fail.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(300),
]
NEW = [AlibabaCloudCredentials, DlcJob, PaiWorkspace, SpendingPolicy]
MARK = "9a8b7c6d5e4f"
SECRET = f"secret-{MARK}"
TOKEN = f"token-{MARK}"
PLAN: dict[str, Any] = {
    "name": "echo",
    "command": "echo tide",
    "machine": {"spec": "ecs.c6.large"},
    "image": f"registry.example.com/bench@sha256:{'ab' * 32}",
    "registry": {"username": "robot", "password": "prefect:registry-password"},
    "environment": {"HF_HUB_OFFLINE": "1"},
    "limits": {"poll_interval_s": 10},
    "cap": {"amount": 12.5, "currency": "CNY"},
}


@pytest.fixture(scope="module", autouse=True)
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A temporary Prefect server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        patch.setenv("DO_NOT_TRACK", "1")
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=120):
            yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.parametrize("block", NEW)
async def test_the_server_knows_what_is_installed_beside_it(block: type[Block]) -> None:
    async with get_client() as client:
        known = await client.read_block_type_by_slug(block.get_block_type_slug())
    assert known.name == block.get_block_type_name()
    assert "from blocks import" in (known.code_example or "")


async def saved_job(tmp_path: Path, name: str, **more: Any) -> DlcJob:
    """A job whose parts are all saved under one name."""
    key = {"access_key_id": "LTAIsimulator", "access_key_secret": "simulator-secret", **more}
    credentials = AlibabaCloudCredentials(**key)
    await credentials.asave(name)
    workspace = PaiWorkspace(
        workspace_id="268", credentials=credentials, endpoint="http://pai.simulator"
    )
    await workspace.asave(name)
    policy = SpendingPolicy(currency="CNY", per_run="0.9", quiet_hours=("03:00-03:01",))
    await policy.asave(name)
    store = ResultStore(uri=str(tmp_path / "results"))
    await store.asave(name)
    job = DlcJob(plan=PLAN, workspace=workspace, policy=policy, result_store=store)
    await job.asave(name)
    return job


async def test_a_job_and_its_parts_come_back_as_they_were_kept(tmp_path: Path) -> None:
    job = await saved_job(tmp_path, "kept", access_key_secret=SECRET, security_token=TOKEN)
    loaded = await DlcJob.aload("kept")
    assert loaded == job
    assert loaded.workspace is not None
    assert loaded.workspace.secrets == (SECRET, TOKEN)
    assert loaded.policy.name == "kept"
    assert loaded.plan == job.plan
    # Its parts are not copies: a new key holds for all jobs.
    renewed = AlibabaCloudCredentials(access_key_id="LTAInew", access_key_secret="another-secret")
    await renewed.asave("kept", overwrite=True)
    again = await DlcJob.aload("kept")
    assert again.workspace is not None
    assert again.workspace.secrets == ("another-secret",)


async def test_parts_that_are_not_saved_themselves_are_kept_within_a_job(tmp_path: Path) -> None:
    credentials = AlibabaCloudCredentials(access_key_id="LTAIx", access_key_secret=SECRET)
    await credentials.asave("inner")
    job = DlcJob(
        plan=PLAN,
        workspace=PaiWorkspace(region="cn-beijing", credentials=credentials),
        policy=SpendingPolicy(currency="CNY", per_month=100),
        result_store=ResultStore(uri=str(tmp_path)),
    )
    await job.asave("with-parts")
    loaded = await DlcJob.aload("with-parts")
    assert loaded.policy.rules() == job.policy.rules()
    assert loaded.plan == job.plan
    assert loaded.workspace is not None
    assert loaded.workspace.region == "cn-beijing"
    assert loaded.workspace.secrets == (SECRET,)


async def test_secrets_are_masked_for_whoever_looks(tmp_path: Path) -> None:
    job = await saved_job(tmp_path, "masked", access_key_secret=SECRET, security_token=TOKEN)
    inline = DlcJob(
        plan=PLAN,
        policy=job.policy,
        workspace=PaiWorkspace(
            credentials=AlibabaCloudCredentials(access_key_id="LTAIx", access_key_secret=SECRET)
        ),
    )
    await inline.asave("masked-inline")
    shown = [repr(job), str(await DlcJob.aload("masked")), job.model_dump_json()]
    async with get_client() as client:
        for slug, name in (
            ("alibaba-cloud-credentials", "masked"),
            ("pai-workspace", "masked"),
            ("dlc-job", "masked"),
            ("dlc-job", "masked-inline"),
        ):
            answer = await client._client.get(
                f"/block_types/slug/{slug}/block_documents/name/{name}"
            )
            assert answer.status_code == 200
            assert "LTAI" in answer.text
            shown.append(answer.text)
    for text in shown:
        assert MARK not in text


def place_of(tmp_path: Path) -> tuple[PaiSimulator, dict[str, Any]]:
    clock = ScaledClock(300.0)
    simulator = PaiSimulator(clock=clock, signature_clock=clock)
    environ = {"TIDEMARK_HOME": str(tmp_path)}
    return simulator, {
        "environ": environ,
        "clock": clock,
        "transport": simulator.transport(),
    }


async def test_an_async_flow_runs_a_saved_job(tmp_path: Path) -> None:
    await saved_job(tmp_path, "asynchronous")
    await Secret(value="the-password").asave("registry-password", overwrite=True)
    simulator, given = place_of(tmp_path)

    @flow
    async def nightly() -> Any:
        job = await DlcJob.aload("asynchronous")
        run = await job.atrigger(**given)
        await run.await_for_completion()
        return await run.afetch_result()

    result = await nightly()
    assert (result.outcome, result.status) == ("complete", "Succeeded")
    [created] = [one for one in simulator.requests() if one["action"] == "CreateJob"]
    assert created["body"]["WorkspaceId"] == "268"


def test_a_flow_runs_a_saved_job_by_a_task(tmp_path: Path) -> None:
    asyncio.run(saved_job(tmp_path, "synchronous"))
    asyncio.run(Secret(value="the-password").asave("registry-password", overwrite=True))
    _, given = place_of(tmp_path)

    @task
    def run_it() -> Any:
        run = DlcJob.load("synchronous").trigger(**given)
        run.wait_for_completion()
        return run.fetch_result()

    @flow
    def nightly() -> Any:
        return run_it()

    result = nightly()
    assert (result.outcome, result.status) == ("complete", "Succeeded")
