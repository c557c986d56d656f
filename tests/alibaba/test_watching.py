"""Many jobs watched with few calls."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import httpx
import pytest
from cloud import ADDRESS, LEAVE, Cloud, cloud, request

from tidemark.alibaba.account import Account
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.errors import AccessError, AlibabaError, InvalidRequestError
from tidemark.alibaba.watching import JobWatcher
from tidemark.clock import Clock
from tidemark.errors import ConfigError


async def create(here: Cloud, count: int) -> list[str]:
    return [
        await here.dlc.create_job(request(f"bench-{number}"), authorization=LEAVE)
        for number in range(count)
    ]


async def follow(watcher: JobWatcher, job_id: str) -> list[Job]:
    return [job async for job in watcher.changes(job_id)]


async def test_every_change_is_told_until_the_end() -> None:
    here = cloud("jobs: [{then: {running_s: 300}}]")
    (job_id,) = await create(here, 1)
    async with JobWatcher(here.dlc, clock=here.clock, interval_s=1) as watcher:
        seen = await follow(watcher, job_id)
    statuses = [job.status for job in seen]
    assert statuses[0] in ("Creating", "Queuing")
    assert statuses[-3:] == ["EnvPreparing", "Running", "Succeeded"]
    assert len(statuses) == len(set(statuses))


async def test_three_hundred_jobs_cost_three_calls_a_look() -> None:
    here = cloud("jobs: [{then: {running_s: 3600}}]", calls_per_s=5.0)
    ids = await create(here, 300)
    begun = here.clock.monotonic()
    before = len(here.simulator.requests())
    async with JobWatcher(here.dlc, clock=here.clock, interval_s=600) as watcher:
        told = await asyncio.gather(*(follow(watcher, job_id) for job_id in ids))
    assert {jobs[-1].status for jobs in told} == {"Succeeded"}
    looks = (here.clock.monotonic() - begun) / 600
    calls = len(here.simulator.requests()) - before
    assert calls <= 3 * (looks + 2)


async def test_a_job_that_lists_do_not_show_yet_is_asked_for_by_itself() -> None:
    here = cloud("jobs: [{then: {visible_after_s: 1000, running_s: 10}}]")
    (job_id,) = await create(here, 1)
    async with JobWatcher(here.dlc, clock=here.clock) as watcher:
        assert (await follow(watcher, job_id))[-1].status == "Succeeded"
    assert here.clock.monotonic() < 1000


async def test_a_failure_in_passing_is_left_to_the_next_look() -> None:
    here = cloud("""
        calls: [{when: {action: ListJobs, every: 2}, then: {html: 502}}]
        jobs: [{then: {running_s: 100}}]
    """)
    (job_id,) = await create(here, 1)
    async with JobWatcher(here.dlc, clock=here.clock) as watcher:
        assert (await follow(watcher, job_id))[-1].status == "Succeeded"


async def test_what_will_not_pass_is_raised_where_the_job_is_watched() -> None:
    here = cloud()
    (job_id,) = await create(here, 1)
    here.play(
        "calls: [{when: {action: ListJobs}, then: {error: {status: 403, code: NoPermission}}}]"
    )
    async with JobWatcher(here.dlc, clock=here.clock) as watcher:
        with pytest.raises(AccessError, match="NoPermission"):
            await follow(watcher, job_id)


async def test_a_job_that_does_not_exist_is_told_and_the_others_go_on() -> None:
    here = cloud("jobs: [{then: {running_s: 100}}]")
    (job_id,) = await create(here, 1)
    async with JobWatcher(here.dlc, clock=here.clock) as watcher:
        gone, seen = await asyncio.gather(
            follow(watcher, "dlcneverwas"), follow(watcher, job_id), return_exceptions=True
        )
    assert isinstance(gone, AlibabaError)
    assert "dlcneverwas" in str(gone)
    assert isinstance(seen, list)
    assert seen[-1].status == "Succeeded"


async def test_unknown_statuses_are_passed_on() -> None:
    here = cloud("""
        jobs: [{then: {running_s: 10, detours: [{status: Pondering, before: Running, for_s: 60}]}}]
    """)
    (job_id,) = await create(here, 1)
    async with JobWatcher(here.dlc, clock=here.clock, interval_s=5) as watcher:
        seen = await follow(watcher, job_id)
    pondering = next(job for job in seen if job.status == "Pondering")
    assert pondering.phase == "unknown"
    assert seen[-1].status == "Succeeded"


async def test_who_stops_watching_costs_nothing_more() -> None:
    here = cloud("jobs: [{then: {running_s: never}}]")
    ids = await create(here, 2)
    async with JobWatcher(here.dlc, clock=here.clock) as watcher:
        async for job in watcher.changes(ids[0]):
            if job.status == "Running":
                break
        await asyncio.sleep(0)
        before = len(here.calls("ListJobs"))
        await here.clock.sleep(600)
        # The iterator is closed by the loop a moment after it was left.
        assert len(here.calls("ListJobs")) - before <= 1


async def test_jobs_are_listed_by_the_workspace_that_they_turn_out_to_be_in() -> None:
    here = cloud("jobs: [{then: {running_s: 600}}]")
    ids = await create(here, 20)
    async with JobWatcher(here.dlc, clock=here.clock, interval_s=60) as watcher:
        await asyncio.gather(*(follow(watcher, job_id) for job_id in ids))
    workspaces = [seen["query"].get("WorkspaceId") for seen in here.calls("ListJobs")]
    assert workspaces[0] is None
    assert set(workspaces[1:]) == {"1"}
    assert here.calls("GetJob") == []


async def test_of_very_many_jobs_the_settled_ones_take_turns_and_new_ones_do_not_wait() -> None:
    here = cloud("""
        jobs:
          - {when: {name: "late*"}, then: {queuing_s: 900, running_s: 400}}
          - {then: {running_s: 4000}}
    """)
    ids = await create(here, 800)
    async with JobWatcher(here.dlc, clock=here.clock, interval_s=300) as watcher:
        tasks = [asyncio.create_task(follow(watcher, job_id)) for job_id in ids]
        await here.clock.sleep(1500)
        before, begun_s = len(here.calls("ListJobs")), here.clock.monotonic()
        late = await here.dlc.create_job(request("late"), authorization=LEAVE)
        seen = await follow(watcher, late)
        looks = (here.clock.monotonic() - begun_s) / 300
        calls = len(here.calls("ListJobs")) - before
        assert [job.status for job in seen][-1] == "Succeeded"
        assert {"Queuing", "Running"} <= {job.status for job in seen}
        # Eight hundred would take eight calls a look.
        assert calls <= 6 * (looks + 1)
        told = await asyncio.gather(*tasks)
    assert {jobs[-1].status for jobs in told} == {"Succeeded"}


@pytest.mark.parametrize(
    "wrong", ["", ".", "..", "a/b\ud800", "dlc1,dlc2", " dlc1", "dlc1\n", "作业", "x" * 200]
)
async def test_an_id_that_no_job_can_have_is_refused_and_the_others_go_on(wrong: str) -> None:
    here = cloud("jobs: [{then: {running_s: 100}}]")
    (job_id,) = await create(here, 1)
    async with JobWatcher(here.dlc, clock=here.clock) as watcher:
        refused, seen = await asyncio.gather(
            follow(watcher, wrong), follow(watcher, job_id), return_exceptions=True
        )
    assert isinstance(refused, ConfigError)
    assert str(refused).isascii()
    assert isinstance(seen, list)
    assert seen[-1].status == "Succeeded"


@pytest.mark.parametrize("status", [400, 403])
async def test_what_is_refused_for_one_job_is_raised_for_that_one_only(status: int) -> None:
    here = cloud(f"""
        calls:
          - when: {{action: GetJob}}
            then: {{error: {{status: {status}, code: Unheard, message: nope}}}}
        jobs: [{{then: {{running_s: 100}}}}]
    """)
    (job_id,) = await create(here, 1)
    async with JobWatcher(here.dlc, clock=here.clock) as watcher:
        refused, seen = await asyncio.gather(
            follow(watcher, "dlcneverwas"), follow(watcher, job_id), return_exceptions=True
        )
    assert isinstance(refused, AlibabaError)
    assert "Unheard" in str(refused)
    assert isinstance(seen, list)
    assert seen[-1].status == "Succeeded"


async def test_a_failure_in_passing_for_one_job_does_not_keep_news_from_the_others() -> None:
    here = cloud("""
        calls: [{when: {action: GetJob}, then: {html: 502}}]
        jobs: [{then: {running_s: 100}}]
    """)
    (job_id,) = await create(here, 1)
    async with JobWatcher(here.dlc, clock=here.clock) as watcher:
        missing = asyncio.create_task(follow(watcher, "dlcneverwas"))
        await asyncio.sleep(0)  # so that both are in the first look
        assert (await follow(watcher, job_id))[-1].status == "Succeeded"
        assert not missing.done()
        missing.cancel()
        await asyncio.wait((missing,))


async def test_an_id_that_the_list_does_not_take_ends_that_one_only() -> None:
    here = cloud("jobs: [{then: {running_s: 100}}]")
    ids = await create(here, 30)
    picky = _Picky(here.account, "dlcneverwas")
    async with JobWatcher(Dlc(picky), clock=here.clock) as watcher:
        refused, *told = await asyncio.gather(
            follow(watcher, "dlcneverwas"),
            *(follow(watcher, job_id) for job_id in ids),
            return_exceptions=True,
        )
    assert isinstance(refused, InvalidRequestError)
    assert all(isinstance(seen, list) and seen[-1].status == "Succeeded" for seen in told)
    assert picky.refused <= 6  # 31 ids, by halves


class _Picky(Account):
    """A service that takes no list with a certain id in it."""

    def __init__(self, account: Account, wrong: str) -> None:
        super().__init__(
            StaticCredentials.of("LTAIsimulator", "simulator-secret"),
            account.region,
            endpoints=ADDRESS,
            transport=_Refusing(account.http, self),
            clock=account.clock,
            settings=account.settings,
        )
        self.wrong = wrong
        self.refused = 0


class _Refusing(httpx.AsyncBaseTransport):
    def __init__(self, to: httpx.AsyncClient, picky: _Picky) -> None:
        self._to = to
        self._picky = picky

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._picky.wrong in request.url.params.get("JobIds", ""):
            self._picky.refused += 1
            return httpx.Response(400, json={"Code": "InvalidParameter", "Message": "JobIds"})
        return await self._to.send(request)


async def test_a_reader_that_outlives_the_watcher_is_told() -> None:
    here = cloud("jobs: [{then: {running_s: never}}]")
    (job_id,) = await create(here, 1)
    async with JobWatcher(here.dlc, clock=_Still(here.clock)) as watcher:
        news = watcher.changes(job_id)
        assert (await anext(news)).job_id == job_id
        waiting = asyncio.ensure_future(anext(news))
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="the watcher was left"):
        await asyncio.wait_for(waiting, 5)
    with pytest.raises(RuntimeError, match="the watcher was left"):
        await asyncio.wait_for(follow(watcher, job_id), 5)


class _Still:
    """A clock on which nobody wakes."""

    def __init__(self, clock: Clock) -> None:
        self.time = clock.time
        self.monotonic = clock.monotonic

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002
        await asyncio.Event().wait()


class _Broken(_Still):
    """A clock that fails where somebody would sleep."""

    async def sleep(self, seconds: float) -> None:
        raise ArithmeticError(f"no {seconds} seconds")


async def test_leaving_hides_no_error_of_the_block() -> None:
    here = cloud("jobs: [{then: {running_s: never}}]")
    (job_id,) = await create(here, 1)

    async def block() -> None:
        async with JobWatcher(here.dlc, clock=_Broken(here.clock)) as watcher:
            with pytest.raises(ArithmeticError):
                await follow(watcher, job_id)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await block()


class _Ahead:
    """A clock that is two years ahead of the service's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.monotonic = clock.monotonic
        self.sleep = clock.sleep

    def time(self) -> float:
        return self._clock.time() + 2 * 365 * 86400


class _Dated(httpx.AsyncBaseTransport):
    """A service that tells the time with each answer, as servers on the network do."""

    def __init__(self, here: Cloud) -> None:
        self._clock = here.clock
        self._transport = here.simulator.transport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._transport.handle_async_request(request)
        answer.headers["date"] = formatdate(self._clock.time(), usegmt=True)
        return answer


async def test_jobs_are_listed_by_the_time_of_the_service() -> None:
    here = cloud("jobs: [{then: {running_s: 600}}]")
    ids = await create(here, 5)
    clock = _Ahead(here.clock)
    source = StaticCredentials.of("LTAIsimulator", "simulator-secret")
    async with Account(
        source, "cn-hangzhou", endpoints=ADDRESS, transport=_Dated(here), clock=clock
    ) as account:
        await Dlc(account).list_jobs()
        async with JobWatcher(Dlc(account), clock=clock) as watcher:
            told = await asyncio.gather(*(follow(watcher, job_id) for job_id in ids))
    assert {jobs[-1].status for jobs in told} == {"Succeeded"}
    assert here.calls("GetJob") == []
