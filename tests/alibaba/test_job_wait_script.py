"""wait_job_complete, as scripts use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cloud import ADDRESS, LEAVE

from tidemark.alibaba import sync
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.errors import AlibabaError
from tidemark.alibaba.job_waiting import JobFailedError
from tidemark.alibaba.pai import create_training_job, get_job, wait_job_complete
from tidemark.errors import ConfigError
from tidemark.simulator.clock import VirtualClock
from tidemark.simulator.pai.app import PaiSimulator
from tidemark.simulator.pai.scenario import scenario_from_text
from tidemark.waiting.failure import FailureClass


@pytest.fixture
def simulator() -> Iterator[PaiSimulator]:
    made = PaiSimulator(clock=VirtualClock(jump=True))
    sync.use(
        source=StaticCredentials.of("LTAIsimulator", "simulator-secret"),
        region="cn-hangzhou",
        endpoints=ADDRESS,
        transport=made.transport(),
        clock=made.clock,
    )
    yield made
    sync.use()


def created(simulator: PaiSimulator, script: str, **more: Any) -> str:
    simulator.play(scenario_from_text(f"jobs: [{{then: {script}}}]", "test"))
    answer = create_training_job(
        "bench", "bash /root/a.sh", ecs_spec="ecs.c6.large", authorization=LEAVE, **more
    )
    return str(answer["JobId"])


def test_the_job_is_returned_as_get_job_has_it_without_secrets(simulator: PaiSimulator) -> None:
    job_id = created(simulator, "{running_s: 100}", envs={"API_TOKEN": "sk-canary-7"})
    detail = wait_job_complete(job_id)
    assert detail["Status"] == "Succeeded"
    seen = get_job(job_id)
    assert {**detail, "RequestId": ""} == {**seen, "RequestId": ""}
    assert "sk-canary-7" not in str(detail)


def test_an_image_that_cannot_be_pulled_is_stopped_with_an_error_that_says_it_all(
    simulator: PaiSimulator,
) -> None:
    job_id = created(simulator, "{image_pull: {fails_after_s: 5, error: unauthorized}}")
    begun_s = simulator.clock.monotonic()
    with pytest.raises(JobFailedError) as caught:
        wait_job_complete(job_id, image_pull_timeout=120, interval=15)
    assert caught.value.failure.kind is FailureClass.IMAGE
    assert "authentication required" in str(caught.value)
    assert "user name and password" in str(caught.value)
    assert get_job(job_id)["Status"] == "Stopped"
    assert simulator.clock.monotonic() - begun_s < 26 + 120 + 15 + 30


def test_a_job_that_is_not_over_in_time_is_stopped(simulator: PaiSimulator) -> None:
    job_id = created(simulator, "{running_s: never, logs: [still here]}")
    with pytest.raises(JobFailedError, match=r"timeout: not over after .* still here"):
        wait_job_complete(job_id, timeout=600)
    assert get_job(job_id)["Status"] == "Stopped"


def test_a_queue_is_waited_in_for_as_long_as_is_allowed_in_all(simulator: PaiSimulator) -> None:
    job_id = created(simulator, "{running_s: 60, stock_out: {recovers_after_s: 6000}}")
    assert wait_job_complete(job_id)["Status"] == "Succeeded"


def test_a_job_that_fails_has_its_logs_and_events_in_the_error(simulator: PaiSimulator) -> None:
    job_id = created(simulator, "{running_s: 60, exit_code: 1, logs: [loading, 'KeyError: 7']}")
    with pytest.raises(JobFailedError, match="KeyError: 7") as caught:
        wait_job_complete(job_id)
    evidence = caught.value.evidence
    assert evidence is not None
    assert evidence.logs[f"{job_id}-master-0"][0] == "loading"
    assert "Created pod" in evidence.text()


def test_a_job_that_is_not_there_is_told(simulator: PaiSimulator) -> None:
    with pytest.raises(AlibabaError, match="there is no such job"):
        wait_job_complete("dlcneverwas")
    assert len(simulator.requests()) == 1


@pytest.mark.parametrize("name", ["timeout", "interval", "image_pull_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_times_that_cannot_be_are_refused_before_anything_is_asked(
    simulator: PaiSimulator, name: str, seconds: float
) -> None:
    with pytest.raises(ConfigError, match=name):
        wait_job_complete("dlc1", **{name: seconds})  # type: ignore[arg-type]
    assert simulator.requests() == []
