"""One name, one job: however answers, requests and lists go wrong."""

from __future__ import annotations

import asyncio
import json
import os
import random
from typing import Any

import pytest
from cloud import LEAVE, Cloud, cloud, request

from tidemark.alibaba.adoption import Adopted, adopt_or_create
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.errors import AlibabaError, NoAnswerError
from tidemark.errors import ConfigError, RefusedError

# make drill-adoption runs a thousand
SCHEDULES = int(os.environ.get("ADOPTION_SCHEDULES", "200"))


async def adopt(here: Cloud, name: str = "bench-1", **more: Any) -> Adopted:
    return await adopt_or_create(
        here.dlc, request(name), authorization=LEAVE, clock=here.clock, **more
    )


def working(here: Cloud) -> list[str]:
    """The ids of the jobs that run or will."""
    ended = ("Stopping", "Stopped", "Succeeded", "Failed")
    return [job_id for job_id, status in here.jobs.items() if status not in ended]


async def test_a_new_name_makes_a_job_and_the_same_name_finds_it() -> None:
    here = cloud()
    first = await adopt(here)
    second = await adopt(here)
    assert first.created
    assert not second.created
    assert first.job.job_id == second.job.job_id
    assert len(here.jobs) == 1


async def test_a_lost_answer_is_adopted() -> None:
    here = cloud("calls: [{when: {action: CreateJob, nth: 1}, then: {lost: answer}}]")
    adopted = await adopt(here)
    assert not adopted.created
    assert list(here.jobs) == [adopted.job.job_id]
    assert len(here.calls("CreateJob")) == 1


async def test_the_id_of_another_job_in_an_answer_is_not_believed() -> None:
    here = cloud()
    other = await here.dlc.create_job(request("colleague"), authorization=LEAVE)
    made: list[str] = []

    class Mistaken(Dlc):
        async def create_job(self, *given: Any, **more: Any) -> str:
            made.append(await super().create_job(*given, **more))
            return other

    adopted = await adopt_or_create(
        Mistaken(here.account), request("bench-1"), authorization=LEAVE, clock=here.clock
    )
    assert [adopted.job.job_id] == made
    assert here.jobs[other] == "Running"


async def test_a_lost_answer_is_adopted_when_the_job_shows_up_late() -> None:
    here = cloud("""
        calls: [{when: {action: CreateJob, nth: 1}, then: {lost: answer}}]
        jobs: [{when: {name: "*"}, then: {visible_after_s: 40}}]
    """)
    await adopt(here)
    assert len(here.jobs) == 1


async def test_a_lost_request_is_sent_again_after_looking() -> None:
    here = cloud("calls: [{when: {action: CreateJob, nth: 1}, then: {html: 502}}]")
    adopted = await adopt(here)
    assert adopted.created
    assert len(here.jobs) == 1
    assert here.clock.monotonic() >= 60


async def test_a_stranger_with_the_same_name_is_not_adopted() -> None:
    here = cloud()
    await here.dlc.create_job(request(tags={"owner": "somebody"}), authorization=LEAVE)
    adopted = await adopt(here)
    assert adopted.created
    assert len(working(here)) == 2


async def test_similar_names_and_old_jobs_are_told_apart() -> None:
    here = cloud()
    await adopt(here, "bench-1-again")
    old = await adopt(here, "bench-1")
    here.clock.advance(30 * 86400)
    assert (await adopt(here, "bench-1")).job.job_id == old.job.job_id


async def test_two_owners_at_once_keep_the_same_job() -> None:
    # Both see an empty list, since what they see is old when it comes.
    here = cloud("calls: [{when: {action: ListJobs, count: 2}, then: {slow_s: 5}}]")
    first, second = await asyncio.gather(adopt(here), adopt(here))
    assert len(here.calls("CreateJob")) == 2
    assert first.job.job_id == second.job.job_id
    assert working(here) == [first.job.job_id]
    assert len(first.stopped + second.stopped) >= 1


async def test_two_owners_at_once_keep_the_same_job_where_lists_lag() -> None:
    here = cloud("""
        calls: [{when: {action: ListJobs, count: 2}, then: {slow_s: 5}}]
        jobs: [{then: {visible_after_s: 20}}]
    """)
    first, second = await asyncio.gather(adopt(here), adopt(here))
    assert len(here.calls("CreateJob")) == 2
    assert first.job.job_id == second.job.job_id
    assert working(here) == [first.job.job_id]


async def test_who_comes_again_after_a_crash_waits_for_what_it_noted_down() -> None:
    here = cloud("jobs: [{then: {visible_after_s: 20}}]")
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    adopted = await adopt(here, may_exist=True)
    assert adopted.job.job_id == job_id
    assert len(here.jobs) == 1


@pytest.mark.parametrize("lost", [False, True])
async def test_a_look_that_fails_after_creating_hides_no_job(lost: bool) -> None:
    calls: list[dict[str, Any]] = [
        {
            "when": {"action": "ListJobs", "nth": nth},
            "then": {"throttle": {"retry_after_ms": 900_000}},
        }
        for nth in range(2, 9)
    ]
    if lost:
        calls.append({"when": {"action": "CreateJob"}, "then": {"lost": "answer"}})
    here = cloud(json.dumps({"calls": calls}))
    if lost:
        with pytest.raises(AlibabaError, match="Throttling") as caught:
            await adopt(here)
        assert caught.value.effect_unknown
    else:
        assert [(await adopt(here)).job.job_id] == list(here.jobs)
    assert len(here.jobs) == 1


async def test_a_refusal_after_an_open_creation_leaves_it_open() -> None:
    here = cloud("""
        calls:
          - {when: {action: CreateJob, nth: 1}, then: {html: 502}}
          - {when: {action: CreateJob}, then: {error: {status: 400, code: BadRequest}}}
    """)
    with pytest.raises(AlibabaError, match="BadRequest") as caught:
        await adopt(here)
    # The first call may still turn out to have made one.
    assert caught.value.effect_unknown


async def test_a_second_job_that_cannot_be_stopped_is_told_and_hides_no_other() -> None:
    here = cloud("calls: [{when: {action: StopJob}, then: {throttle: {}}}]")
    first = await here.dlc.create_job(request(), authorization=LEAVE)
    here.clock.advance(5)
    second = await here.dlc.create_job(request(), authorization=LEAVE)
    adopted = await adopt(here)
    assert adopted.job.job_id == first
    assert (adopted.stopped, adopted.left_running) == ((), (second,))


async def test_a_refusal_is_not_looked_into() -> None:
    here = cloud(
        "calls: [{when: {action: CreateJob}, then: {error: {status: 400, code: BadRequest}}}]"
    )
    with pytest.raises(AlibabaError, match="BadRequest"):
        await adopt(here)
    assert here.clock.monotonic() < 1
    assert here.jobs == {}


async def test_a_request_without_tags_is_refused() -> None:
    here = cloud()
    with pytest.raises(ConfigError, match="tags"):
        await adopt_or_create(here.dlc, request(tags={}), authorization=LEAVE, clock=here.clock)
    with pytest.raises(RefusedError):
        await adopt_or_create(
            here.dlc,
            request(),
            authorization=None,
            clock=here.clock,  # type: ignore[arg-type]
        )
    assert here.jobs == {}


def schedule(chance: random.Random) -> dict[str, Any]:
    """Faults at random: for creating mostly, and for looking."""
    faults: list[dict[str, Any]] = [
        {"lost": "answer"},
        {"lost": "request"},
        {"html": 502},
        {"error": {"status": 503, "code": "ServiceUnavailable"}},
        {"error": {"status": 500, "code": "InternalError"}},
        {"throttle": {"retry_after_ms": 700}},
        {"throttle": {"status": 429, "retry_after_s": 3}},
        {"slow_s": 5},
        {"slow_s": 45},
    ]
    calls = [
        {"when": {"action": "CreateJob", "nth": nth}, "then": chance.choice(faults)}
        for nth in range(1, chance.randint(2, 4))
        if chance.random() < 0.8
    ]
    calls += [
        {
            "when": {"action": "ListJobs", "probability": chance.uniform(0.05, 0.3)},
            "then": chance.choice(faults),
        }
    ]
    listed = {"visible_after_s": chance.choice([0, 0, 2, 15, 50])}
    return {"seed": chance.randrange(10**6), "calls": calls, "jobs": [{"when": {}, "then": listed}]}


@pytest.mark.timeout(300)
async def test_random_fault_schedules_leave_one_job_each() -> None:
    outcomes = {"created": 0, "adopted": 0, "failed": 0}
    for seed in range(SCHEDULES):
        here = cloud(json.dumps(schedule(random.Random(seed))))
        for _ in range(4):  # whoever wants the job comes again, as a flow does
            try:
                adopted = await adopt(here)
            except AlibabaError:
                outcomes["failed"] += 1
                here.clock.advance(60)
                continue
            outcomes["created" if adopted.created else "adopted"] += 1
            break
        else:
            pytest.fail(f"schedule {seed}: no job after four tries")
        here.simulator.play(type(here.simulator.scenario)())
        here.clock.advance(60)
        assert working(here) == [adopted.job.job_id], seed
        assert len(here.jobs) == 1, seed
    assert outcomes["adopted"] > SCHEDULES / 10
    assert outcomes["created"] > SCHEDULES / 10


async def test_a_call_that_never_gets_an_answer_ends() -> None:
    here = cloud("calls: [{when: {action: CreateJob}, then: {html: 502}}]")
    with pytest.raises(AlibabaError) as caught:
        await adopt(here)
    assert caught.value.effect_unknown
    assert not isinstance(caught.value, NoAnswerError)
    assert len(here.calls("CreateJob")) == 3
