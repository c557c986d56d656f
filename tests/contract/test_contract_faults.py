"""What goes wrong on purpose, as the official SDK sees it: the simulator is another process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from alibabacloud_pai_dlc20201203 import models
from alibabacloud_tea_openapi.exceptions import (
    ClientException,
    ServerException,
    ThrottlingException,
)
from contract_cloud import client_account
from darabonba.exceptions import UnretryableException
from official import Official

from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.errors import NoAnswerError, ServerError, ThrottledError
from tidemark.simulator.pai.accounts import SIMULATOR
from tidemark.simulator.pai.process import pai_process


class Remote:
    """A simulator in another process, looked into by HTTP."""

    def __init__(self, url: str, port: int) -> None:
        self.url = url
        self.port = port
        self.dlc = Official(port, SIMULATOR).dlc

    def play(self, effect: str, action: str = "ListJobs") -> None:
        text = f"calls: [{{when: {{action: {action}}}, then: {effect}}}]"
        httpx.post(f"{self.url}/_simulator/scenario", content=text).raise_for_status()

    def get(self, name: str) -> Any:
        return httpx.get(f"{self.url}/_simulator/{name}").raise_for_status().json()

    def list_jobs(self) -> Any:
        return self.dlc.list_jobs(models.ListJobsRequest()).body


@pytest.fixture(scope="module")
def running() -> Iterator[Remote]:
    with pai_process("--speed", "1", "--max-seconds", "300") as process:
        yield Remote(process.url, process.port)


@pytest.fixture
def remote(running: Remote) -> Iterator[Remote]:
    yield running
    httpx.post(f"{running.url}/_simulator/scenario", content="{}").raise_for_status()


async def ours(remote: Remote) -> None:
    async with client_account(remote.port, SIMULATOR) as account:
        await Dlc(account).list_jobs()


@pytest.mark.parametrize("status", [400, 429, 503])
async def test_throttling_says_when_to_come_again(remote: Remote, status: int) -> None:
    remote.play(f"{{throttle: {{status: {status}, retry_after_ms: 1500}}}}")
    with pytest.raises(ThrottlingException) as throttled:
        remote.list_jobs()
    assert (throttled.value.status_code, throttled.value.code) == (status, "Throttling.User")
    assert throttled.value.retry_after == 1500
    with pytest.raises(ThrottledError) as by_us:
        await ours(remote)
    assert (by_us.value.code, by_us.value.retry_after_s) == ("Throttling.User", 1.5)


async def test_the_standard_hint_is_read_by_us_alone(remote: Remote) -> None:
    remote.play("{throttle: {status: 429, retry_after_s: 2}}")
    with pytest.raises(ClientException) as throttled:
        remote.list_jobs()
    assert not isinstance(throttled.value, ThrottlingException)
    assert throttled.value.code == "Throttling.User"
    with pytest.raises(ThrottledError) as by_us:
        await ours(remote)
    assert by_us.value.retry_after_s == 2


async def test_a_failure_of_the_service_is_one_of_the_server(remote: Remote) -> None:
    remote.play('{error: {status: 503, code: ServiceUnavailable, message: "Later."}}')
    with pytest.raises(ServerException) as failed:
        remote.list_jobs()
    assert (failed.value.status_code, failed.value.code) == (503, "ServiceUnavailable")
    assert "Later." in failed.value.message
    with pytest.raises(ServerError) as by_us:
        await ours(remote)
    assert by_us.value.request_id


async def test_a_page_of_a_gateway_is_no_answer(remote: Remote) -> None:
    remote.play("{html: 502}")
    with pytest.raises(Exception, match=r"(?i)json") as unread:
        remote.list_jobs()
    assert not isinstance(unread.value, ServerException)
    with pytest.raises(ServerError):
        await ours(remote)


@pytest.mark.parametrize(("lost", "made"), [("answer", 1), ("request", 0)])
async def test_a_job_whose_answer_got_lost_is_there(remote: Remote, lost: str, made: int) -> None:
    name = f"lost-{lost}"
    remote.play(f"{{lost: {lost}}}", "CreateJob")
    spec = models.JobSpec(
        type="Worker",
        image="registry.example.com/bench:1",
        pod_count=1,
        ecs_spec="ecs.g6.large",
    )
    job = models.CreateJobRequest(
        display_name=name, job_type="PyTorchJob", user_command="true", job_specs=[spec]
    )
    with pytest.raises(UnretryableException):
        remote.dlc.create_job(job)
    found = remote.dlc.list_jobs(models.ListJobsRequest(display_name=name)).body
    assert found.total_count == made
    names = [one["name"] for one in remote.get("state")["jobs"].values()]
    assert names.count(name) == made
    seen = [one for one in remote.get("requests")["requests"] if one["action"] == "CreateJob"]
    assert (seen[-1]["lost"], seen[-1]["reached"]) == (True, bool(made))
    remote.play(f"{{lost: {lost}}}")
    with pytest.raises(NoAnswerError):
        await ours(remote)


def test_time_can_be_skipped_between_calls(remote: Remote) -> None:
    spec = models.JobSpec(
        type="Worker", image="registry.example.com/b:1", pod_count=1, ecs_spec="ecs.g6.large"
    )
    job = models.CreateJobRequest(
        display_name="skip", job_type="PyTorchJob", user_command="true", job_specs=[spec]
    )
    job_id = remote.dlc.create_job(job).body.job_id
    statuses = []
    for _ in range(2):
        statuses.append(remote.dlc.get_job(job_id, models.GetJobRequest()).body.status)
        httpx.post(f"{remote.url}/_simulator/clock", json={"advance_s": 3600}).raise_for_status()
    # Signatures are of this machine's time, whatever the simulator's is.
    assert statuses == ["Creating", "Succeeded"]
