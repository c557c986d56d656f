"""Jobs under leases: one job for an attempt, and none left when its run is released."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloud import ADDRESS, LEAVE, Cloud, cloud
from leasing import INSTALLATION, TTL_S, Office, office

from tidemark.alibaba.account import Account
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.errors import AlibabaError
from tidemark.alibaba.job_names import job_name
from tidemark.alibaba.leased_jobs import LeaseTimes, RunCancelled, keep_alive, release
from tidemark.errors import LedgerAway, NotTheOwner, RefusedError

NAME = job_name(INSTALLATION, "run1", 1)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as made:
        yield made


async def killed_between_creating_and_noting(here: Office) -> str:
    here.begin()
    here.ledger.intend(here.lease())
    return await here.cloud.dlc.create_job(here.request(), authorization=LEAVE)


async def test_a_job_is_started_under_a_lease_and_released(here: Office) -> None:
    here.begin()
    lease, adopted = await here.start()
    assert adopted.created
    assert (lease.state, lease.resource_id) == ("created", adopted.job.job_id)
    await here.clock.sleep(200)
    released = await here.release()
    assert released.complete
    assert released.stopped == (adopted.job.job_id,)
    assert here.going() == []
    kept = here.kept()
    assert (kept.state, kept.note) == ("released", "over")
    assert released.amount is not None
    assert kept.metered == released.amount >= here.billed() > 0
    assert not here.ledger.reservation("run1").open


async def test_the_lease_is_noted_before_the_job_is_asked_for(here: Office) -> None:
    here.begin()
    here.cloud.play(
        "calls: [{when: {action: CreateJob}, then: {error: {status: 400, code: BadRequest}}}]"
    )
    with pytest.raises(AlibabaError, match="BadRequest"):
        await here.start()
    assert here.kept().state == "intended"


async def test_nothing_is_asked_for_while_the_ledger_is_away(here: Office) -> None:
    here.begin()
    with here.away(), pytest.raises(LedgerAway, match="locked"):
        await here.start()
    assert here.cloud.simulator.requests() == []


async def test_a_ledger_that_is_away_for_a_moment_is_waited_for(here: Office) -> None:
    here.begin()
    away = asyncio.create_task(here.away_for(12))
    await asyncio.sleep(0)
    lease, _ = await here.start()
    await away
    assert lease.state == "created"


async def test_a_job_whose_id_cannot_be_noted_is_not_lost(here: Office) -> None:
    # The ledger goes away between creating the job and noting its id.
    here.begin()
    here.cloud.play("calls: [{when: {action: CreateJob}, then: {slow_s: 20}}]")

    async def from_then_on() -> None:
        await here.clock.sleep(10)
        await here.away_for(200)

    away = asyncio.create_task(from_then_on())
    lease, adopted = await here.start()
    await away
    assert lease.state == "intended"
    assert here.going() == [adopted.job.job_id]
    released = await here.release()
    assert released.complete
    assert here.going() == []
    assert here.kept().resource_id == adopted.job.job_id


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"max_running_time_minutes": None}, "no limit"),
        ({"display_name": "bench-1"}, "named and tagged"),
        ({"tags": {"tidemark": INSTALLATION}}, "named and tagged"),
    ],
)
async def test_a_request_that_the_reaper_could_not_end_is_refused(
    here: Office, asked: dict[str, object], said: str
) -> None:
    here.begin()
    with pytest.raises(RefusedError, match=said):
        await here.start(asked=asked)
    assert here.ledger.leases() == []
    assert here.cloud.jobs == {}


async def test_a_lost_answer_leaves_one_job(here: Office) -> None:
    here.begin()
    here.cloud.play("""
        calls: [{when: {action: CreateJob, nth: 1}, then: {lost: answer}}]
        jobs: [{then: {visible_after_s: 40}}]
    """)
    lease, adopted = await here.start()
    assert list(here.cloud.jobs) == [adopted.job.job_id] == [lease.resource_id]


async def test_a_second_owner_is_told_whose_it_is_and_until_when(here: Office) -> None:
    here.begin()
    await here.start()
    with pytest.raises(NotTheOwner, match=r"belongs to first until 2026-01-01 00:05"):
        await here.start(owner="second")
    assert len(here.cloud.jobs) == 1


async def test_a_second_owner_takes_over_when_the_lease_has_expired(here: Office) -> None:
    here.begin()
    old, started = await here.start()
    await here.clock.sleep(TTL_S)
    lease, adopted = await here.start(owner="second")
    assert (adopted.job.job_id, adopted.created) == (started.job.job_id, False)
    assert (lease.owner, lease.fence) == ("second", old.fence + 1)
    with pytest.raises(NotTheOwner, match="taken over by second"):
        here.ledger.renew(old, here.now())
    assert len(here.cloud.jobs) == 1


async def test_a_job_that_was_created_and_not_noted_is_adopted(here: Office) -> None:
    here.cloud.play("jobs: [{then: {visible_after_s: 330}}]")
    job_id = await killed_between_creating_and_noting(here)
    await here.clock.sleep(TTL_S)
    lease, adopted = await here.start(owner="second")
    assert (lease.resource_id, adopted.created) == (job_id, False)
    assert len(here.cloud.jobs) == 1


async def test_an_owner_that_was_overtaken_creates_nothing(here: Office) -> None:
    here.begin()
    # Its look at the list takes longer than its lease lasts, and shows nothing in the end.
    here.cloud.play("""
        calls: [{when: {action: ListJobs, count: 3}, then: {slow_s: 45}}]
        jobs: [{then: {visible_after_s: 400}}]
    """)
    short = here.lease(expires_at=here.now() + timedelta(seconds=10))
    slow = asyncio.create_task(here.start(lease=short))
    await here.clock.sleep(12)
    second, adopted = await here.start(owner="second")
    with pytest.raises(NotTheOwner, match="taken over by second"):
        await slow
    assert list(here.cloud.jobs) == [adopted.job.job_id]
    assert here.kept() == second


async def test_an_owner_that_was_overtaken_stops_nothing(here: Office) -> None:
    here.begin()
    old, _ = await here.start(owner="first")
    await here.clock.sleep(TTL_S)
    lease, adopted = await here.start(owner="second")
    released = await here.release(owner="first")
    assert not released.complete
    assert "held by second until 2026-01-01 00:10" in released.left[0]
    assert here.going() == [adopted.job.job_id]
    assert here.kept() == lease
    assert here.ledger.reservation("run1").open
    assert old.fence < lease.fence


async def test_a_run_that_was_asked_to_end_creates_nothing(here: Office) -> None:
    here.begin()
    here.ledger.ask_to_cancel("run1", "Mei")
    with pytest.raises(RunCancelled, match="asked to stop by Mei before its job was created"):
        await here.start()
    assert here.cloud.calls("CreateJob") == []
    released = await here.release()
    assert released.complete
    assert not here.ledger.reservation("run1").open


async def test_a_job_that_is_there_is_gone_on_with_though_its_run_is_to_end(here: Office) -> None:
    # Whoever watches it stops it, with its logs kept.
    here.begin()
    _, adopted = await here.start()
    here.ledger.ask_to_cancel("run1", "Mei")
    _, again = await here.start()
    assert again.job.job_id == adopted.job.job_id
    assert len(here.cloud.calls("CreateJob")) == 1


async def test_a_lease_that_the_service_has_outlived_creates_nothing(here: Office) -> None:
    here.begin()
    here.ledger.intend(here.lease(not_after=here.now() + timedelta(minutes=2)))
    await here.clock.sleep(TTL_S)
    late = here.lease(not_after=here.now() - timedelta(minutes=1))
    with pytest.raises(NotTheOwner, match="expired"):
        await here.start(lease=late)
    assert here.cloud.jobs == {}


async def test_an_attempt_that_ended_is_adopted_and_not_run_again(here: Office) -> None:
    here.begin()
    _, started = await here.start()
    await here.clock.sleep(100)
    await here.release()
    lease, adopted = await here.start(owner="second")
    assert lease.state == "released"
    assert adopted.job.job_id == started.job.job_id
    assert adopted.job.is_terminal
    assert len(here.cloud.jobs) == 1


async def test_an_attempt_that_was_released_without_a_job_gets_none(here: Office) -> None:
    here.begin()
    here.ledger.intend(here.lease())
    await here.release()
    with pytest.raises(RefusedError, match="released before there was a job"):
        await here.start()
    assert here.cloud.jobs == {}


async def test_a_release_that_overtakes_the_creation_leaves_no_job(here: Office) -> None:
    here.begin()
    here.cloud.play("calls: [{when: {action: ListJobs, nth: 1}, then: {slow_s: 10}}]")
    starting = asyncio.create_task(here.start())
    await here.clock.sleep(5)
    released = await here.release()
    assert released.complete
    with pytest.raises(NotTheOwner):
        await starting
    assert here.cloud.jobs == {}


async def test_a_lease_is_renewed_while_it_is_kept(here: Office) -> None:
    here.begin()
    lease, _ = await here.start()
    keeping = asyncio.create_task(keep_alive(here.ledger, lease, clock=here.clock))
    await here.clock.sleep(3600)
    keeping.cancel()
    assert here.kept().expires_at > here.now() + timedelta(seconds=200)


async def test_keeping_a_lease_outlasts_a_ledger_that_is_away(here: Office) -> None:
    here.begin()
    lease, _ = await here.start()
    keeping = asyncio.create_task(keep_alive(here.ledger, lease, clock=here.clock))
    await here.away_for(900)
    await here.clock.sleep(70)
    assert not keeping.done()
    assert here.kept().expires_at > here.now()
    keeping.cancel()


async def test_keeping_a_lease_ends_when_another_has_it(here: Office) -> None:
    here.begin()
    lease, _ = await here.start()
    await here.clock.sleep(TTL_S)
    await here.start(owner="second")
    with pytest.raises(NotTheOwner, match="second"):
        await keep_alive(here.ledger, lease, clock=here.clock, times=LeaseTimes(renew_every_s=5))


async def test_releasing_twice_and_at_once_is_the_same(here: Office) -> None:
    here.begin()
    _, started = await here.start()
    await here.clock.sleep(100)
    first, second = await asyncio.gather(here.release(), here.release(why="a hook"))
    third = await here.release()
    assert [one.complete for one in (first, second, third)] == [True, True, True]
    assert here.going() == []
    assert first.amount == second.amount == third.amount == here.kept().metered
    assert third.stopped == ()
    assert started.job.job_id in {job.job_id for job in third.jobs}


async def test_releasing_a_run_that_created_nothing_frees_its_money(here: Office) -> None:
    here.begin()
    released = await here.release()
    assert released.complete
    assert (released.jobs, released.billable_s, released.amount) == ((), 0, 0)
    assert not here.ledger.reservation("run1").open
    assert here.clock.monotonic() < 2


async def test_releasing_a_job_that_ended_meters_it_and_stops_nothing(here: Office) -> None:
    here.begin()
    await here.start()
    await here.clock.sleep(3000)
    released = await here.release()
    assert released.complete
    assert released.stopped == ()
    assert here.cloud.calls("StopJob") == []
    assert here.kept().metered >= here.billed() > 0


async def test_an_intent_is_looked_for_as_long_as_its_job_may_take_to_show(here: Office) -> None:
    here.cloud.play("jobs: [{then: {visible_after_s: 45}}]")
    job_id = await killed_between_creating_and_noting(here)
    released = await here.release()
    assert released.complete
    assert released.stopped == (job_id,)
    assert here.going() == []
    assert here.kept().resource_id == job_id


async def test_an_intent_without_a_job_is_released_after_that_time(here: Office) -> None:
    here.begin()
    here.ledger.intend(here.lease())
    released = await here.release()
    assert released.complete
    assert 60 <= here.clock.monotonic() < 75
    assert here.kept().state == "released"


async def test_a_job_that_is_known_is_released_without_waiting_for_lists(here: Office) -> None:
    here.begin()
    here.cloud.play("jobs: [{then: {visible_after_s: 3000}}]")
    await here.start()
    before = here.clock.monotonic()
    released = await here.release()
    assert released.complete
    assert here.going() == []
    assert here.clock.monotonic() - before < 20


async def test_a_service_that_fails_in_passing_is_asked_again(here: Office) -> None:
    here.begin()
    await here.start()
    here.cloud.play("""
        calls:
          - {when: {action: ListJobs, count: 9}, then: {html: 502}}
          - {when: {action: GetJob, count: 9}, then: {error: {status: 500, code: InternalError}}}
          - {when: {action: StopJob, count: 3}, then: {lost: request}}
    """)
    released = await here.release()
    assert released.complete
    assert here.going() == []


async def test_what_may_not_be_stopped_is_said_and_stays_reserved(here: Office) -> None:
    here.begin()
    _, started = await here.start()
    here.cloud.play(
        "calls: [{when: {action: StopJob}, then: {error: {status: 403, code: NoPermission}}}]"
    )
    await here.clock.sleep(100)
    released = await here.release()
    assert not released.complete
    assert any("NoPermission" in text for text in released.left)
    assert here.kept().state == "created"
    assert here.ledger.reservation("run1").open
    here.cloud.play("{}")
    again = await here.release()
    assert again.complete
    assert again.stopped == (started.job.job_id,)


async def test_a_ledger_that_is_away_does_not_keep_a_job_running(here: Office) -> None:
    here.begin()
    _, started = await here.start()
    await here.clock.sleep(100)
    with here.away():
        released = await here.release()
    assert released.stopped == (started.job.job_id,)
    assert here.going() == []
    assert "not noted" in released.left[0]
    assert "locked" in released.left[0]
    again = await here.release()
    assert again.complete
    assert here.kept().metered >= here.billed() > 0


async def test_all_jobs_of_a_run_are_released_and_nobody_elses(here: Office) -> None:
    here.begin()
    here.begin("run2")
    await here.start()
    await here.start("run1", 2)
    _, other = await here.start("run2")
    # A second job of an attempt, as an answer that came late may leave one, elsewhere.
    twin = here.request(workspace_id="77")
    await here.cloud.dlc.create_job(twin, authorization=LEAVE)
    script = here.request("run1", 3, tags={"tidemark": "script", "tidemark-run": "run1"})
    stranger = await here.cloud.dlc.create_job(script, authorization=LEAVE)
    await here.clock.sleep(100)
    released = await here.release()
    assert released.complete
    assert len(released.stopped) == 3
    assert sorted(here.going()) == sorted((other.job.job_id, stranger))
    metered = [one.metered for one in here.ledger.leases(run_id="run1")]
    assert sum(one for one in metered if one) == released.amount
    assert here.ledger.reservation("run2").open


async def test_a_reservation_stays_while_an_attempt_is_anothers(here: Office) -> None:
    here.begin()
    await here.start()
    await here.start("run1", 2, owner="second")
    released = await here.release(owner="first")
    assert len(released.stopped) == 1
    assert not released.complete
    assert here.ledger.reservation("run1").open
    assert (await here.release(owner="second")).complete
    assert not here.ledger.reservation("run1").open


def another_account(here: Office) -> Cloud:
    """An account that has none of the jobs, at the same time."""
    other = cloud()
    other.clock.advance(here.clock.monotonic() - other.clock.monotonic())
    return other


async def test_credentials_of_another_account_give_no_lease_of_a_running_job_back(
    here: Office,
) -> None:
    here.begin()
    _, started = await here.start()
    await here.clock.sleep(1000)
    other = another_account(here)
    released = await release(here.ledger, other.account, "run1", clock=here.clock, why="cancelled")
    assert not released.complete
    assert f"{started.job.job_id} of {NAME} is not found" in released.left[0]
    assert here.kept().state == "created"
    assert here.ledger.reservation("run1").open
    again = await here.release()
    assert again.complete
    assert again.jobs[0].job_id == started.job.job_id


async def test_a_job_deleted_long_after_its_own_limit_is_over(here: Office) -> None:
    here.begin()
    await here.start()
    await here.clock.sleep(8 * 86400)
    other = another_account(here)
    released = await release(here.ledger, other.account, "run1", clock=here.clock, why="cleaned")
    assert released.complete
    assert here.kept().state == "released"


async def test_what_a_release_says_of_the_costs_is_never_below_what_was_noted(
    here: Office,
) -> None:
    here.begin()
    first, _ = await here.start()
    await here.start("run1", 2)
    await here.clock.sleep(100)
    more = here.kept().metered or Decimal(0)
    here.ledger.meter(first.lease_id, billable_s=9000.0, amount=more + 5, at=here.now())
    released = await here.release()
    assert released.amount is not None
    assert released.amount > 5
    assert released.billable_s > 9000
    noted = here.ledger.leases(run_id="run1")
    assert released.amount >= sum((one.metered or Decimal(0) for one in noted), Decimal(0))
    # The jobs are not looked for again, and what they cost is known all the same.
    assert (await here.release()).amount == released.amount


class _Timeless(httpx.AsyncBaseTransport):
    """A service that tells no time of any job."""

    def __init__(self, here: Office) -> None:
        self._transport = here.cloud.simulator.transport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._transport.handle_async_request(request)
        told = json.loads(await answer.aread())
        return httpx.Response(answer.status_code, json=_without_times(told))


def _without_times(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_times(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _without_times(each)
        for name, each in value.items()
        if not (name.startswith("Gmt") or name in ("StartTime", "EndTime", "StatusHistory"))
    }


async def test_a_job_of_which_no_time_is_told_is_not_metered_below_its_bill(here: Office) -> None:
    here.begin()
    await here.start()
    await here.clock.sleep(1000)
    source = StaticCredentials.of("LTAIsimulator", "simulator-secret")
    async with Account(
        source, "cn-hangzhou", endpoints=ADDRESS, transport=_Timeless(here), clock=here.clock
    ) as account:
        released = await release(here.ledger, account, "run1", clock=here.clock, why="over")
    assert released.complete
    metered = here.kept().metered
    assert metered is not None
    assert 0 < here.billed() <= metered
