"""Ending a lease: its jobs are stopped and seen to have stopped, what they cost is noted, and then
the lease is given back. What a run's release and the reaper have in common.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import ParamSpec, TypeVar

from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.errors import AlibabaError, NotFoundError
from tidemark.alibaba.job_stopping import stop_and_see
from tidemark.alibaba.metering import metered, workers_of
from tidemark.clock import Clock
from tidemark.errors import LedgerAway
from tidemark.money.ledger import Lease, Ledger

__all__ = [
    "EndedJobs",
    "LeaseCost",
    "ask_ledger",
    "end_jobs",
    "instant",
    "lease_cost",
    "note_end",
    "settle_run",
]

LOG = logging.getLogger("tidemark.alibaba")

_P = ParamSpec("_P")
_T = TypeVar("_T")

PATIENCE_S = 60.0
"""How long a ledger that is away is asked again for what must be noted."""

_LOOK_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class EndedJobs:
    """Jobs of one lease and how it went with them.

    `jobs` are as they were seen last, by id; `stopped` the ids of those that were stopped here;
    `failed` says of those that may be billed on, or whose end could not be read, why.
    """

    jobs: Mapping[str, Job] = field(default_factory=dict)
    stopped: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    def and_then(self, other: EndedJobs) -> EndedJobs:
        """These and further ones."""
        return EndedJobs(
            {**self.jobs, **other.jobs},
            self.stopped + other.stopped,
            {**self.failed, **other.failed},
        )


@dataclass(frozen=True, slots=True)
class LeaseCost:
    """What all jobs of a lease cost: machine-seconds, and their amount, None without a price."""

    billable_s: float
    amount: Decimal | None


def instant(clock: Clock) -> datetime:
    """The time of a clock, in UTC."""
    return datetime.fromtimestamp(clock.time(), UTC)


async def ask_ledger(
    clock: Clock, patience_s: float, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> _T:
    """Call a method of the ledger, again for `patience_s` seconds while it is away.

    Raises LedgerAway when it stays away, and whatever else the method raises.
    """
    until = clock.monotonic() + patience_s
    while True:
        try:
            return await asyncio.to_thread(call, *args, **kwargs)
        except LedgerAway as error:
            if clock.monotonic() >= until:
                raise
            LOG.warning("%s: asking again", error)
        await clock.sleep(_LOOK_AGAIN_S)


async def end_jobs(dlc: Dlc, jobs: Iterable[Job], *, clock: Clock, within_s: float) -> EndedJobs:
    """Stop the jobs that go on, all at once, and see each of them ended. Never raises
    AlibabaError: `failed` says what could not be done."""
    ended = EndedJobs()
    for one in await asyncio.gather(*(_end(dlc, job, clock, within_s) for job in jobs)):
        ended = ended.and_then(one)
    return ended


async def _end(dlc: Dlc, job: Job, clock: Clock, within_s: float) -> EndedJobs:
    job_id = job.job_id
    try:
        # A list may be old, and leave out what is needed to know the costs.
        seen = await _read(dlc, job, clock, within_s if job.is_terminal else 0.0)
        if seen.is_terminal:
            return EndedJobs({job_id: seen})
        LOG.info("stopping job %s (%s)", job_id, job.display_name)
        last = await stop_and_see(dlc, job_id, clock=clock, within_s=within_s)
    except AlibabaError as error:
        return EndedJobs({job_id: job}, failed={job_id: str(error)})
    # One that was deleted meanwhile is told without its times.
    return EndedJobs({job_id: last if last.display_name else seen}, stopped=(job_id,))


async def _read(dlc: Dlc, job: Job, clock: Clock, patience_s: float) -> Job:
    """The job as it is now; as it was listed where it was deleted since, or where it cannot be
    read and must be stopped all the same. Raises AlibabaError."""
    until = clock.monotonic() + patience_s
    while True:
        try:
            return await dlc.get_job(job.job_id)
        except NotFoundError as error:
            if error.code.startswith("InvalidAction"):
                raise
            return job
        except AlibabaError as error:
            if not job.is_terminal:
                return job
            if not error.retryable or clock.monotonic() >= until:
                raise
            LOG.warning("%s: reading it again", error)
        await clock.sleep(_LOOK_AGAIN_S)


def lease_cost(jobs: Mapping[str, Job], lease: Lease | None, now: datetime) -> LeaseCost:
    """What the jobs of a lease have cost up to `now`, or to their ends."""
    billable_s, amounts = 0.0, []
    for job in jobs.values():
        workers = workers_of(job)
        price = lease.price_per_hour / workers if lease and lease.price_per_hour else None
        so_far = metered(
            job,
            price_per_hour=price,
            workers=workers,
            now=now,
            intended_at=lease.intended_at if lease else None,
        )
        billable_s += so_far.billable_s
        amounts.append(so_far.amount)
    known = [amount for amount in amounts if amount is not None]
    return LeaseCost(billable_s, sum(known, Decimal(0)) if len(known) == len(amounts) else None)


async def note_end(
    ledger: Ledger, lease: Lease, jobs: Mapping[str, Job], *, clock: Clock, note: str
) -> bool:
    """Write down what the jobs of a lease cost in the end, give the lease back, and free what its
    run had reserved and did not need once no lease of it is left; whether that is so.

    `lease` is as it is held; of one that was given back before, only the costs are noted. Each
    step may be taken again. Raises NotTheOwner and LedgerError.
    """
    now = instant(clock)
    if jobs:
        cost = lease_cost(jobs, lease, now)
        await ask_ledger(
            clock,
            PATIENCE_S,
            ledger.meter,
            lease.lease_id,
            billable_s=cost.billable_s,
            amount=cost.amount,
            at=now,
        )
    if lease.state != "released":
        if jobs and lease.resource_id is None:
            first = min(jobs.values(), key=Job.age_key)
            lease = await ask_ledger(clock, PATIENCE_S, ledger.created, lease, first.job_id)
        await ask_ledger(clock, PATIENCE_S, ledger.release, lease, note)
    return await settle_run(ledger, lease.run_id, clock=clock)


async def settle_run(ledger: Ledger, run_id: str, *, clock: Clock) -> bool:
    """Free what a run had reserved and did not need, once no lease of it is left; whether that is
    so.

    Raises LedgerError.
    """
    held = await ask_ledger(clock, PATIENCE_S, ledger.leases, run_id=run_id, unreleased=True)
    if held:
        return False
    await ask_ledger(clock, PATIENCE_S, ledger.settle, run_id)
    return True
