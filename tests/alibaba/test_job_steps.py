"""The steps of a job where time passes between them: what was approved is never exceeded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from leasing import MACHINE, Office, office

from tidemark.alibaba.job_steps import JobDesk, Offer, Started, Where, new_run
from tidemark.alibaba.job_waiting import JobEnd
from tidemark.errors import CapReached, NotTheOwner, RefusedError
from tidemark.money.abandoned import ABANDONED_AFTER, close_abandoned
from tidemark.money.approval import ApprovedPlan, approve
from tidemark.money.ledger import LedgerRun
from tidemark.money.policy import SpendingRules
from tidemark.plan.job import JobPlan, plan_hash

IMAGE = f"registry.example.com/bench@sha256:{'a' * 64}"
DAY_S = 86400.0


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Office]:
    script = "jobs: [{then: {image_pull: {pull_s: 100000, layers: 1000}, running_s: 100}}]"
    async with office(tmp_path, script) as made:
        yield made


def plan(**limits: float) -> JobPlan:
    given: dict[str, Any] = {"poll_interval_s": 30, "total_s": 1800, "preparing_s": 1700, **limits}
    return JobPlan.model_validate(
        {"command": "echo", "machine": {"spec": MACHINE}, "image": IMAGE, "expected_s": 300}
        | {"limits": given}
    )


def desk(here: Office, owner: str = "me") -> JobDesk:
    return JobDesk(here.ledger, here.cloud.account, here.clock, owner)


def begin(here: Office, rules: SpendingRules | None = None) -> LedgerRun:
    run = new_run(
        plan(), now=here.now(), rules=rules, region="cn-hangzhou", workspace_block=None,
        trigger="manual",
    )  # fmt: skip
    return here.ledger.begin_run(run)


async def approved(here: Office, run: LedgerRun) -> tuple[Offer, ApprovedPlan]:
    offer = await desk(here).quote(plan(), run)
    answer = await desk(here).note_answer(offer.quote, "approve", by="alice", channel="terminal")
    leave = approve(offer.quote, answer, plan_hash=plan_hash(plan()), now=here.now)
    return offer, leave


async def started(here: Office, run: LedgerRun, owner: str = "me") -> tuple[Offer, Started]:
    offer, leave = await approved(here, run)
    await desk(here).reserve(plan(), run, offer.quote, leave, None)
    return offer, await desk(here, owner).start(plan(), run, offer, leave, Where("1"))


async def test_a_job_that_is_gone_on_with_again_and_again_has_no_more_time_than_it_had(
    here: Office,
) -> None:
    run = begin(here)
    offer, leave = await approved(here, run)
    await desk(here).reserve(plan(), run, offer.quote, leave, None)
    end: JobEnd | None = None
    for number in range(6):
        if number:  # the lease of the process that died runs out before the reaper comes
            await here.clock.sleep(310)
        ours = desk(here, f"owner-{number}")
        job = await ours.start(plan(), run, offer, leave, Where("1"))
        watching = asyncio.create_task(ours.watch(job, plan(), offer.quote))
        await here.clock.sleep(1000)
        if watching.done():
            end = watching.result()
            break
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert end is not None
    assert end.job.status == "Stopped"
    quote = offer.quote
    assert quote.bound is not None
    assert quote.overshoot is not None
    assert here.billed() <= quote.bound + quote.overshoot


async def test_who_waited_counts_to_the_night_in_which_the_money_is_taken(here: Office) -> None:
    rules = SpendingRules.model_validate({"currency": "CNY", "per_night": "0.5"})
    runs = []
    for _ in range(3):  # begun on three nights, answered in one
        runs.append(begin(here, rules))
        await here.clock.sleep(3 * DAY_S)
    taken = Decimal(0)
    refused = 0
    for run in runs:
        offer, leave = await approved(here, run)
        allowed = (await desk(here).ask_policy(run, offer.quote, rules)).allowed
        if not allowed:
            refused += 1
            with pytest.raises(CapReached, match="night"):
                await desk(here).reserve(plan(), run, offer.quote, leave, rules)
            continue
        held = await desk(here).reserve(plan(), run, offer.quote, leave, rules)
        assert held is not None
        taken += held.amount
    assert 0 < taken <= Decimal("0.5")
    assert refused == 1


async def test_a_run_that_was_given_up_while_its_process_slept_creates_nothing(
    here: Office,
) -> None:
    other = begin(here)
    await started(here, other)  # a ledger that knows no lease is nobody's to clean
    run = begin(here)
    offer, leave = await approved(here, run)
    await desk(here).reserve(plan(), run, offer.quote, leave, None)
    await here.clock.sleep(ABANDONED_AFTER.total_seconds() + 1)
    assert [one.run_id for one in close_abandoned(here.ledger, here.now())] == [run.run_id]
    with pytest.raises(RefusedError, match="nothing is set aside"):
        await desk(here).start(plan(), run, offer, leave, Where("1"))
    assert len(here.cloud.calls("CreateJob")) == 1


@pytest.mark.parametrize("instead", [None, "no ledger at all", ""])
async def test_a_ledger_that_is_gone_ends_no_watch_and_the_job_is_stopped_all_the_same(
    here: Office, instead: str | None
) -> None:
    run = begin(here)
    offer, job = await started(here, run)
    watching = asyncio.create_task(desk(here).watch(job, plan(), offer.quote))
    await here.clock.sleep(100)
    for path in here.path.parent.glob(f"{here.path.name}*"):
        path.unlink()
    if instead is not None:
        here.path.write_text(instead)
    await here.clock.sleep(600)
    assert not watching.done()
    end = await watching
    assert end.job.status == "Stopped"
    released = await desk(here).finish(run.run_id, why="over")
    assert here.going() == []
    assert released.left  # what could not be noted is said


async def restarted(here: Office, run: LedgerRun, offer: Offer) -> tuple[list[str], Started]:
    """What a second process of a run does: it waits for the first one's lease, and goes on."""
    told: list[str] = []

    async def tell(line: str) -> None:
        told.append(line)

    answer = here.ledger.approval(offer.quote.quote_id)
    assert answer is not None
    leave = approve(offer.quote, answer, plan_hash=plan_hash(plan()), now=here.now)
    second = desk(here, "second")
    await second.wait_for_owner(run.run_id, tell)
    return told, await second.start(plan(), run, offer, leave, Where("1"))


async def test_a_restart_while_the_dead_process_has_its_lease_waits_and_goes_on(
    here: Office,
) -> None:
    run = begin(here)
    offer, first = await started(here, run, "first")
    await here.clock.sleep(100)
    told, second = await restarted(here, run, offer)
    assert not second.created
    assert second.job.job_id == first.job.job_id
    assert second.lease.owner == "second"
    assert here.now() >= first.lease.expires_at
    (line,) = told
    assert f"first has the job until {first.lease.expires_at:%Y-%m-%d %H:%M:%S} UTC" in line


async def test_a_restart_beside_a_process_that_lives_leaves_it_the_job(here: Office) -> None:
    run = begin(here)
    offer, first = await started(here, run, "first")
    watching = asyncio.create_task(desk(here, "first").watch(first, plan(), offer.quote))
    await here.clock.sleep(10)
    with pytest.raises(NotTheOwner, match="first"):
        await restarted(here, run, offer)
    assert here.now() < first.lease.expires_at
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert here.cloud.calls("StopJob") == []
