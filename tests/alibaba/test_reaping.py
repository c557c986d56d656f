"""The reaper: stops what was left behind, for certain, and never anything else."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from cloud import ADDRESS, LEAVE, cloud
from leasing import INSTALLATION, TTL_S, Office, machine_price, office

from tidemark.alibaba.account import Account
from tidemark.alibaba.clock_check import ClocksDiffer
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.job_names import job_name, job_tags
from tidemark.alibaba.leased_jobs import start_job
from tidemark.alibaba.reaping import reap
from tidemark.clock import Clock
from tidemark.errors import NotTheOwner
from tidemark.money.ledger import Ledger

NAME = job_name(INSTALLATION, "run1", 1)
FOR_EVER = "jobs: [{then: {running_s: never}}]"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, FOR_EVER) as made:
        yield made


async def test_a_job_whose_owner_died_is_stopped_metered_and_settled(here: Office) -> None:
    here.begin()
    lease, adopted = await here.start()
    await here.clock.sleep(1200)
    report = await here.reap()
    assert here.going() == []
    assert not report.failed
    (reaped,) = report.reaped
    assert reaped.stopped == (adopted.job.job_id,)
    assert "held by first" in reaped.why
    kept = here.kept()
    assert (kept.state, kept.owner, kept.fence) == ("released", "reaper", lease.fence + 1)
    assert kept.metered == reaped.amount
    assert reaped.amount is not None
    assert here.billed() <= reaped.amount < here.billed() + Decimal("0.001")
    assert not here.ledger.reservation("run1").open
    run = here.ledger.run("run1")
    assert (run.state, run.exit_status) == ("failed", 1)
    assert "expired" in run.line


async def test_what_was_saved_is_what_the_job_could_still_have_cost(here: Office) -> None:
    here.begin()
    await here.start()
    await here.clock.sleep(1800)
    report = await here.reap()
    # It ran from second 61 on and was to end after an hour; stopping takes five seconds.
    left_s = 61 + 3600 - here.clock.monotonic()
    saved = machine_price() * Decimal(left_s) / 3600
    assert abs(report.saved["CNY"] - saved) < machine_price() * 2 / 3600


async def test_a_second_pass_finds_nothing_to_do(here: Office) -> None:
    here.begin()
    await here.start()
    await here.clock.sleep(1200)
    await here.reap()
    kept = here.ledger.leases()
    again = await here.reap()
    assert (again.reaped, again.left, again.failed) == ((), (), False)
    assert here.ledger.leases() == kept


async def test_a_dry_run_says_the_same_and_changes_nothing(here: Office) -> None:
    here.begin()
    here.begin("run2")
    await here.start()
    await here.start("run2")
    await here.clock.sleep(TTL_S + 100)
    kept, going = here.ledger.leases(), here.going()
    asked = len(here.cloud.calls("StopJob"))
    dry = await here.reap(dry_run=True)
    assert here.ledger.leases() == kept
    assert here.going() == going
    assert len(here.cloud.calls("StopJob")) == asked == 0
    wet = await here.reap()
    assert dry.dry_run
    assert [(one.lease_id, one.stopped, one.why) for one in dry.reaped] == [
        (one.lease_id, one.stopped, one.why) for one in wet.reaped
    ]
    assert len(wet.reaped) == 2
    assert abs(dry.saved["CNY"] - wet.saved["CNY"]) < Decimal("0.01")


async def test_a_lease_that_lives_is_left(here: Office) -> None:
    here.begin()
    _, adopted = await here.start()
    await here.clock.sleep(TTL_S - 20)
    report = await here.reap()
    assert here.going() == [adopted.job.job_id]
    assert report.reaped == ()
    assert [(one.job_id, one.failed) for one in report.left] == [(adopted.job.job_id, False)]
    assert "first holds its lease until 2026-01-01 00:05" in report.left[0].why


async def test_a_job_that_was_created_and_not_noted_is_found_and_stopped(here: Office) -> None:
    here.begin()
    here.ledger.intend(here.lease())
    job_id = await here.cloud.dlc.create_job(here.request(), authorization=LEAVE)
    await here.clock.sleep(TTL_S)
    report = await here.reap()
    assert here.going() == []
    assert report.reaped[0].stopped == (job_id,)
    assert here.kept().resource_id == job_id
    assert here.kept().metered >= here.billed() > 0


async def test_a_job_in_another_workspace_is_found(here: Office) -> None:
    here.begin()
    here.ledger.intend(here.lease(workspace_id="77"))
    asked = here.request(workspace_id="77")
    await here.cloud.dlc.create_job(asked, authorization=LEAVE)
    await here.clock.sleep(TTL_S)
    await here.reap()
    assert here.going() == []


async def test_both_jobs_of_one_attempt_are_stopped_and_metered(here: Office) -> None:
    here.begin()
    _, adopted = await here.start()
    await here.clock.sleep(10)
    twin = await here.cloud.dlc.create_job(here.request(), authorization=LEAVE)
    await here.clock.sleep(1200)
    report = await here.reap()
    assert here.going() == []
    assert set(report.reaped[0].stopped) == {adopted.job.job_id, twin}
    assert here.kept().metered >= here.billed()


async def test_a_second_job_of_a_lease_that_lives_is_stopped(here: Office) -> None:
    here.begin()
    lease, adopted = await here.start()
    twin = await here.cloud.dlc.create_job(here.request(), authorization=LEAVE)
    early = await here.reap()
    # Who made it may be about to notice.
    assert set(here.going()) == {adopted.job.job_id, twin}
    assert early.reaped == ()
    await here.clock.sleep(100)
    report = await here.reap()
    assert here.going() == [adopted.job.job_id]
    assert report.reaped[0].stopped == (twin,)
    assert here.kept().fence == lease.fence
    assert here.kept().state == "created"


async def test_a_job_that_came_after_its_lease_was_given_back_is_stopped(here: Office) -> None:
    here.begin()
    here.ledger.intend(here.lease())
    await here.release()
    job_id = await here.cloud.dlc.create_job(here.request(), authorization=LEAVE)
    await here.clock.sleep(100)
    report = await here.reap()
    assert here.going() == []
    assert report.reaped[0].stopped == (job_id,)
    assert here.kept().metered >= here.billed() > 0
    assert not here.ledger.reservation("run1").open


async def test_a_copy_that_a_person_made_of_a_finished_job_is_theirs(here: Office) -> None:
    here.cloud.play("jobs: [{then: {running_s: 60}}]")
    here.begin()
    await here.start()
    await here.clock.sleep(600)
    await here.release()
    here.cloud.play(FOR_EVER)
    await here.clock.sleep(3600)
    metered = here.kept().metered
    # As the console does it: the name and all tags are those of the job that was copied.
    copy = await here.cloud.dlc.create_job(here.request(), authorization=LEAVE)
    await here.clock.sleep(600)
    report = await here.reap()
    assert here.going() == [copy]
    assert not report.failed
    assert [(one.job_id, one.failed) for one in report.left] == [(copy, False)]
    assert "not ours to stop" in report.left[0].why
    assert (await here.release()).stopped == ()
    assert here.going() == [copy]
    assert here.kept().metered == metered


async def test_a_job_of_a_run_that_the_ledger_does_not_know_is_reported_and_left(
    here: Office,
) -> None:
    here.begin()
    await here.start()
    unknown = await here.cloud.dlc.create_job(here.request("run9"), authorization=LEAVE)
    await here.clock.sleep(1200)
    report = await here.reap()
    assert here.going() == [unknown]
    assert [(one.job_id, one.failed) for one in report.left] == [(unknown, True)]
    assert report.failed
    assert "knows no lease" in report.left[0].why


async def test_other_peoples_jobs_are_never_touched(here: Office) -> None:
    here.begin()
    await here.start()
    tags = job_tags(INSTALLATION, "run1", 1, "0" * 64)
    others = [
        here.request(tags={}),
        here.request(tags={"tidemark": "script"}),
        here.request(tags={**tags, "tidemark": "script"}),
        here.request(tags={**tags, "tidemark": "0therplace"}),
        here.request(tags={**tags, "tidemark-run": "run2"}),
        here.request(display_name=f"x{NAME}", tags=tags),
        here.request(display_name=f"{NAME}-again", tags=tags),
        here.request(display_name="bench-1", tags=tags),
        here.request(display_name=NAME.upper(), tags=tags),
        here.request(tags={"owner": "somebody", "tidemark-run": "run1"}),
    ]
    theirs = [await here.cloud.dlc.create_job(request, authorization=LEAVE) for request in others]
    await here.clock.sleep(1200)
    report = await here.reap()
    assert len(report.reaped) == 1
    assert sorted(here.going()) == sorted(theirs)
    released = await here.release()
    assert released.stopped == ()
    assert sorted(here.going()) == sorted(theirs)


async def test_an_intent_without_a_job_is_closed_when_a_job_would_have_shown(
    here: Office,
) -> None:
    here.begin()
    here.ledger.intend(here.lease())
    await here.clock.sleep(TTL_S + 30)
    early = await here.reap()
    assert here.kept().state == "intended"
    assert "may show up until" in early.left[0].why
    await here.clock.sleep(30)
    report = await here.reap()
    assert (report.reaped[0].stopped, report.reaped[0].amount) == ((), 0)
    assert here.kept().state == "released"
    assert not here.ledger.reservation("run1").open


async def test_a_job_that_ended_by_itself_is_metered_and_its_lease_closed(here: Office) -> None:
    here.cloud.play("jobs: [{then: {running_s: 100}}]")
    here.begin()
    _, adopted = await here.start()
    await here.clock.sleep(1200)
    report = await here.reap()
    assert here.cloud.calls("StopJob") == []
    assert (report.reaped[0].stopped, report.reaped[0].ended) == ((), (adopted.job.job_id,))
    assert report.saved == {"CNY": 0}
    assert here.kept().metered >= here.billed() > 0


async def test_nothing_is_touched_while_the_ledger_is_away(here: Office) -> None:
    here.begin()
    await here.start()
    await here.clock.sleep(1200)
    with here.away():
        report = await here.reap()
    assert report.refused is not None
    assert "locked" in report.refused
    assert report.failed
    assert len(here.going()) == 1
    assert here.cloud.calls("StopJob") == []


async def test_nothing_is_touched_with_an_empty_ledger(here: Office, tmp_path: Path) -> None:
    here.begin()
    await here.start()
    await here.clock.sleep(1200)
    empty = here.open(tmp_path / "other.db")
    report = await here.reap(ledger=empty)
    assert report.refused is not None
    assert "is empty" in report.refused
    assert here.cloud.calls("StopJob") == []


async def test_nothing_is_touched_with_a_copy_of_the_ledger(here: Office, tmp_path: Path) -> None:
    here.begin()
    lease, _ = await here.start()
    shutil.copyfile(here.path, tmp_path / "copy.db")
    # Whoever has the original looks after the job, which the copy does not come to know.
    await here.clock.sleep(TTL_S - 10)
    here.ledger.renew(lease, here.now() + timedelta(seconds=TTL_S))
    await here.clock.sleep(60)
    copied = here.open(tmp_path / "copy.db")
    report = await here.reap(ledger=copied)
    assert report.refused is not None
    assert "is a copy" in report.refused
    assert "tidemark reap --moved" in report.refused
    assert here.cloud.calls("StopJob") == []
    assert len(here.going()) == 1


async def test_nothing_is_touched_with_the_ledger_of_another(here: Office, tmp_path: Path) -> None:
    here.begin()
    await here.start()
    await here.clock.sleep(1200)
    theirs = Office(here.cloud, tmp_path / "theirs.db")
    theirs.open(installation="feedc0de0000")
    theirs.begin()
    # Noted by somebody whose file was put in the place of ours.
    theirs.ledger.intend(here.lease(expires_at=here.now() - timedelta(hours=1)))
    theirs.ledger.close()
    theirs.path.replace(here.path)
    report = await here.reap()
    assert report.failed
    assert "installation" in (report.refused or report.left[0].why)
    assert here.cloud.calls("StopJob") == []


@dataclass(frozen=True)
class _Off:
    """A clock that is `by_s` seconds ahead of the others."""

    clock: Clock
    by_s: float

    def time(self) -> float:
        return self.clock.time() + self.by_s

    def monotonic(self) -> float:
        return self.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)


def off_by(here: Office, by_s: float) -> tuple[Ledger, Account, Clock]:
    """Another machine of the installation, with a clock that is off."""
    clock = _Off(here.clock, by_s)
    source = StaticCredentials.of("LTAIsimulator", "simulator-secret")
    transport = here.cloud.simulator.transport()
    account = Account(source, "cn-hangzhou", endpoints=ADDRESS, transport=transport, clock=clock)
    return here.open(clock=clock), account, clock


async def test_a_reaper_whose_clock_is_ahead_stops_no_job_that_lives(here: Office) -> None:
    here.begin()
    lease, adopted = await here.start()
    before = here.kept()
    for by_s, said in ((360.0, "is 359 s ahead of"), (-360.0, "is 360 s behind")):
        ledger, account, clock = off_by(here, by_s)
        report = await reap(ledger, account, clock=clock, owner="elsewhere")
        assert report.failed
        assert said in (report.refused or "")
        assert "Synchronise it" in (report.refused or "")
    assert here.going() == [adopted.job.job_id]
    assert here.kept() == before
    assert before.fence == lease.fence


async def test_a_reaper_whose_clock_is_off_by_less_does_its_work(here: Office) -> None:
    here.begin()
    await here.start()
    await here.clock.sleep(1200)
    ledger, account, clock = off_by(here, 50.0)
    assert not (await reap(ledger, account, clock=clock, owner="elsewhere")).failed
    assert here.going() == []


@pytest.mark.parametrize("by_s", [-360.0, 360.0])
async def test_an_owner_whose_clock_is_off_creates_nothing(here: Office, by_s: float) -> None:
    here.begin()
    ledger, account, clock = off_by(here, by_s)
    with pytest.raises(ClocksDiffer, match="Synchronise"):
        await start_job(
            ledger, Dlc(account), here.request(), lease=here.lease(), authorization=LEAVE,
            clock=clock,
        )  # fmt: skip
    assert here.cloud.calls("CreateJob") == []


async def test_a_ledger_that_is_gone_is_said(here: Office) -> None:
    here.begin()
    await here.start()
    await here.clock.sleep(1200)
    here.path.unlink()
    report = await here.reap()
    assert report.refused is not None
    assert "cannot be opened" in report.refused
    assert here.cloud.calls("StopJob") == []


async def test_who_renews_at_the_same_moment_wins_or_loses_cleanly(here: Office) -> None:
    here.begin()
    lease, adopted = await here.start()
    await here.clock.sleep(TTL_S + 100)
    # The owner wakes up while the reaper reads the list.
    here.cloud.play(
        f"{FOR_EVER}\ncalls: [{{when: {{action: ListJobs, nth: 1}}, then: {{slow_s: 9}}}}]"
    )
    reaping = asyncio.create_task(here.reap())
    await here.clock.sleep(3)
    here.ledger.renew(lease, here.now() + timedelta(minutes=5))
    report = await reaping
    assert here.going() == [adopted.job.job_id]
    assert "renewed" in report.left[0].why
    assert report.reaped == ()
    # And once it was too late.
    await here.clock.sleep(400)
    await here.reap()
    with pytest.raises(NotTheOwner):
        here.ledger.renew(lease, here.now() + timedelta(minutes=5))
    assert here.going() == []


async def test_two_reapers_at_once_stop_a_job_once(here: Office) -> None:
    here.begin()
    await here.start()
    await here.clock.sleep(1200)
    reports = await asyncio.gather(here.reap(), here.reap(owner="another reaper"))
    assert sorted(len(one.reaped) for one in reports) == [0, 1]
    assert here.going() == []


async def test_one_job_that_cannot_be_stopped_is_not_the_end_of_the_others(here: Office) -> None:
    for number in range(1, 4):
        here.begin(f"run{number}")
        await here.start(f"run{number}")
    await here.clock.sleep(1200)
    here.cloud.play("""
        calls:
          - when: {action: StopJob, nth: 2}
            then: {error: {status: 403, code: NoPermission}}
    """)
    report = await here.reap()
    assert len(report.reaped) == 2
    assert report.failed
    (left,) = [one for one in report.left if one.failed]
    assert "NoPermission" in left.why
    assert here.going() == [left.job_id]
    kept = here.kept(left.name)
    assert kept.state == "created"
    assert kept.metered is not None
    # The next pass takes it up again, when this one would have been done with it.
    await here.clock.sleep(1200)
    assert not (await here.reap(owner="the next")).failed
    assert here.going() == []


class _Counting(httpx.AsyncBaseTransport):
    """Counts the jobs that are being stopped at once, each of which takes a while."""

    def __init__(self, here: Office) -> None:
        self._clock = here.clock
        self._transport = here.cloud.simulator.transport()
        self.stopping = self.most = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/stop"):
            return await self._transport.handle_async_request(request)
        self.stopping += 1
        self.most = max(self.most, self.stopping)
        await self._clock.sleep(10)
        self.stopping -= 1
        return await self._transport.handle_async_request(request)


async def test_many_leases_are_ended_some_at_a_time(here: Office) -> None:
    for number in range(40):
        here.begin(f"run{number}")
        lease, _ = here.ledger.intend(here.lease(f"run{number}"))
        asked = here.request(f"run{number}")
        job_id = await here.cloud.dlc.create_job(asked, authorization=LEAVE)
        here.ledger.created(lease, job_id)
    await here.clock.sleep(1200)
    source = StaticCredentials.of("LTAIsimulator", "simulator-secret")
    counting = _Counting(here)
    account = Account(
        source, "cn-hangzhou", endpoints=ADDRESS, transport=counting, clock=here.clock
    )
    report = await reap(here.ledger, account, clock=here.clock, owner="reaper")
    assert len(report.reaped) == 40
    assert here.going() == []
    assert 10 < counting.most <= 32


async def test_a_ledger_that_stays_away_is_not_waited_for_by_one_lease_after_the_other(
    here: Office,
) -> None:
    for number in range(12):
        here.begin(f"run{number}")
        here.ledger.intend(here.lease(f"run{number}"))
    await here.clock.sleep(1200)
    here.cloud.play("calls: [{when: {action: ListJobs, nth: 1}, then: {slow_s: 9}}]")
    reaping = asyncio.create_task(here.reap())
    await here.clock.sleep(3)
    begun_s = here.clock.monotonic()
    with here.away():
        report = await reaping
    assert here.clock.monotonic() - begun_s < 180
    assert [one.failed for one in report.left] == [True] * 12
    assert len((await here.reap()).reaped) == 12


async def test_a_list_that_cannot_be_read_leaves_intents_and_stops_known_jobs(
    here: Office,
) -> None:
    here.begin()
    here.begin("run2")
    _, adopted = await here.start()
    here.ledger.intend(here.lease("run2"))
    await here.clock.sleep(1200)
    here.cloud.play(
        "calls: [{when: {action: ListJobs}, then: {error: {status: 403, code: NoPermission}}}]"
    )
    report = await here.reap()
    assert report.failed
    assert report.reaped[0].stopped == (adopted.job.job_id,)
    assert here.kept(job_name(INSTALLATION, "run2", 1)).state == "intended"


async def test_a_reaper_that_dies_while_it_stops_leaves_the_rest_to_the_next(
    here: Office,
) -> None:
    here.begin()
    await here.start()
    await here.clock.sleep(1200)
    here.cloud.play("jobs: []\ncalls: [{when: {action: StopJob}, then: {lost: request}}]")
    dying = asyncio.create_task(here.reap())
    await here.clock.sleep(60)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    here.cloud.play("{}")
    assert len(here.going()) == 1
    assert (await here.reap(owner="the next")).reaped == ()
    await here.clock.sleep(800)
    assert len((await here.reap(owner="the next")).reaped) == 1
    assert here.going() == []


async def test_a_run_that_somebody_cancelled_is_noted_as_cancelled(here: Office) -> None:
    here.begin()
    await here.start()
    here.ledger.ask_to_cancel("run1", "somebody")
    await here.clock.sleep(1200)
    await here.reap()
    assert here.ledger.run("run1").state == "cancelled"


async def test_leases_of_other_regions_are_left(here: Office) -> None:
    here.begin()
    here.ledger.intend(here.lease(region="cn-beijing"))
    await here.clock.sleep(1200)
    report = await here.reap()
    assert (report.reaped, report.failed) == ((), False)
    assert here.kept().state == "intended"


async def test_a_run_that_died_before_its_job_gives_its_money_back(here: Office) -> None:
    here.begin()
    await here.start()
    here.begin("run2")
    reserved = here.ledger.reservation("run2")
    await here.clock.sleep(2 * 3600)
    report = await here.reap(dry_run=True)
    assert report.closed == ("run2",)
    assert here.ledger.reservation("run2") == reserved
    report = await here.reap()
    assert report.closed == ("run2",)
    assert not here.ledger.reservation("run2").open
    assert here.ledger.run("run2").state == "failed"


async def test_credentials_of_another_account_close_no_lease(here: Office) -> None:
    here.begin()
    _, adopted = await here.start()
    here.begin("run2")
    here.ledger.intend(here.lease("run2"))
    await here.clock.sleep(1200)
    other = cloud()
    other.clock.advance(here.clock.monotonic() - other.clock.monotonic())
    report = await reap(here.ledger, other.account, clock=here.clock, owner="reaper")
    assert report.failed
    (left,) = report.left
    assert (left.job_id, left.failed) == (adopted.job.job_id, True)
    assert "not found with these credentials" in left.why
    # An intent without a job is closed all the same.
    assert [one.run_id for one in report.reaped] == ["run2"]
    assert here.kept().state == "created"
    assert here.ledger.reservation("run1").open
    assert (await here.reap()).reaped[0].stopped == (adopted.job.job_id,)
