"""Reserving the money for a job, creating it, and waiting for its end."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.job_evidence import keep_evidence
from tasks.job_room import JobRoom
from tasks.log import logger
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.dlc_status import Phase
from tidemark.alibaba.job_evidence import JobEvidence
from tidemark.alibaba.job_steps import Offer, Started
from tidemark.alibaba.job_waiting import JobEnd
from tidemark.alibaba.workspaces import workspace_choice
from tidemark.errors import LedgerError
from tidemark.money.amounts import sum_text
from tidemark.money.approval import ApprovedPlan
from tidemark.waiting.policy import Action, Decision

__all__ = ["reserve_money", "start_the_job", "watch_the_job"]


@task(name="reserve the money", cache_policy=NO_CACHE)
async def reserve_money(room: JobRoom, offer: Offer, approved: ApprovedPlan) -> None:
    """Set aside what the job may cost at most. Raises CapReached, and then nothing was started."""
    reserved = await room.desk.reserve(room.plan, room.run, offer.quote, approved, room.rules)
    if reserved is not None and reserved.currency is not None:
        logger().info("reserved: %s", sum_text(reserved.amount, reserved.currency))


@task(name="create the job", cache_policy=NO_CACHE)
async def start_the_job(room: JobRoom, offer: Offer, approved: ApprovedPlan) -> Started:
    """Create the job, or go on with the one that an earlier process of this run created.

    Where that process still has a lease of it, its end is waited for. Raises NotTheOwner when it
    is renewed meanwhile, RunCancelled when the run was asked to end before there was a job, and
    AlibabaError.
    """

    async def tell(line: str) -> None:
        logger().warning("%s", line)
        await room.say("starting", line)

    await room.desk.wait_for_owner(room.run.run_id, tell)
    await room.say("starting", "Creating the job")
    choice = workspace_choice(room.account)
    # An approval covers the job only: a workspace that is not there is not created.
    where = room.where(await choice.choose(room.workspace.workspace_id, approved))
    if room.stop.asked:  # where there is no job yet, none is made
        await room.ask(room.ledger.ask_to_cancel, room.run.run_id, str(room.stop.reason))
    started = await room.desk.start(room.plan, room.run, offer, approved, where)
    word = "created" if started.created else "found, and gone on with"
    logger().info("job %s is %s", started.job.job_id, word)
    for job_id in started.duplicates:
        logger().warning("%s had the same name, and was asked to stop", job_id)
    for job_id in started.left_running:
        logger().error("%s has the same name and could not be stopped: it is billed", job_id)
    return started


@task(name="wait for the job", cache_policy=NO_CACHE)
async def watch_the_job(room: JobRoom, offer: Offer, started: Started) -> JobEnd:
    """Until the job has ended, or was stopped: then with its logs and events kept before.

    Its log goes to the run's log while it runs. Never raises for a job that failed.
    """
    room.progress.expected_s["running"] = offer.quote.expected_s
    begun = room.clock.monotonic()
    shown = ""

    async def tell(job: Job, decision: Decision) -> None:
        nonlocal shown
        line = f"Job {job.job_id}: {job.status or 'no status yet'}"
        # That a command runs on without a word is no news.
        if decision.action is not Action.WAIT and job.phase is not Phase.ACTIVE:
            line += f" ({decision.why})"
        if line != shown:
            shown = line
            await room.say("running", line)
        share = (room.clock.monotonic() - begun) / max(offer.quote.expected_s, 1.0)
        room.progress.part("running", min(0.99, share))
        await room.progress.publish()

    async def keep(evidence: JobEvidence) -> None:
        await keep_evidence(room, evidence)

    async def asked_to_stop() -> str | None:
        if room.stop.asked:
            return room.stop.reason
        with suppress(LedgerError):  # asked again at the next look
            run = await asyncio.to_thread(room.ledger.run, room.run.run_id)
            return f"asked to stop by {run.cancel_asked}" if run.cancel_asked else None
        return None

    def said(pod_id: str, line: str) -> None:
        logger().info("%s | %s", pod_id, room.redactor.text(line))

    end = await room.desk.watch(
        started,
        room.plan,
        offer.quote,
        keep=keep,
        tell=tell,
        said=said,
        asked_to_stop=asked_to_stop,
        clean=room.redactor.text,
    )
    await room.progress.publish(force=True)
    return end
