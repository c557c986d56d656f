"""A job is stopped, and seen to have stopped."""

from __future__ import annotations

import pytest
from cloud import LEAVE, Cloud, cloud, request

from tidemark.alibaba.job_stopping import JobRunsOn, stop_and_see


async def running(scenario: str) -> tuple[Cloud, str]:
    here = cloud(scenario)
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    await here.clock.sleep(120)
    assert here.jobs[job_id] == "Running"
    return here, job_id


async def test_it_returns_when_the_job_holds_no_machine_any_more() -> None:
    here, job_id = await running("jobs: [{then: {running_s: never, stopping_s: 40}}]")
    job = await stop_and_see(here.dlc, job_id, clock=here.clock)
    assert job.status == here.jobs[job_id] == "Stopped"
    assert len(here.calls("StopJob")) == 1
    assert here.clock.monotonic() >= 160


async def test_a_stop_without_effect_is_asked_for_again() -> None:
    here, job_id = await running("jobs: [{then: {running_s: never, stopping_s: 150}}]")
    job = await stop_and_see(here.dlc, job_id, clock=here.clock)
    assert job.status == "Stopped"
    assert len(here.calls("StopJob")) == 3


async def test_a_job_that_has_ended_is_as_it_was_wanted() -> None:
    here, job_id = await running("jobs: [{then: {running_s: 120}}]")
    await here.clock.sleep(300)
    assert (await stop_and_see(here.dlc, job_id, clock=here.clock)).status == "Succeeded"


@pytest.mark.parametrize("action", ["StopJob", "GetJob", "*"])
@pytest.mark.parametrize("fault", ["{throttle: {status: 400}}", "{html: 502}", "{lost: answer}"])
async def test_what_fails_in_passing_is_asked_again(action: str, fault: str) -> None:
    here, job_id = await running("jobs: [{then: {running_s: never, stopping_s: 40}}]")
    here.play(f"""
        calls: [{{when: {{action: "{action}", count: 9}}, then: {fault}}}]
        jobs: [{{then: {{stopping_s: 40}}}}]
    """)
    assert (await stop_and_see(here.dlc, job_id, clock=here.clock)).status == "Stopped"


async def test_a_job_that_does_not_stop_is_told_in_time() -> None:
    here, job_id = await running("jobs: [{then: {running_s: never, stopping_s: never}}]")
    with pytest.raises(JobRunsOn, match="may be billed on: it is Stopping") as caught:
        await stop_and_see(here.dlc, job_id, clock=here.clock, within_s=100.0)
    assert caught.value.effect_unknown
    assert "console" in str(caught.value)
    assert here.clock.monotonic() < 120 + 100 + 10


async def test_a_stop_that_is_not_allowed_is_told_at_once() -> None:
    here, job_id = await running("jobs: [{then: {running_s: never}}]")
    here.play(
        "calls: [{when: {action: StopJob}, then: {error: {status: 403, code: NoPermission}}}]"
    )
    with pytest.raises(JobRunsOn, match="NoPermission"):
        await stop_and_see(here.dlc, job_id, clock=here.clock)
    assert here.clock.monotonic() < 130


async def test_a_job_that_is_deleted_holds_nothing() -> None:
    here, job_id = await running("jobs: [{then: {running_s: 100}}]")
    await here.clock.sleep(300)
    await here.dlc.delete_job(job_id)
    job = await stop_and_see(here.dlc, job_id, clock=here.clock)
    assert (job.job_id, job.status, job.is_terminal) == (job_id, "Deleted", True)
