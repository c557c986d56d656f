"""The reaper: stops what was left behind, and nothing else.

It asks the account which jobs there are, and the ledger whose they are. A job is stopped only if
its tags and name are those of a lease of this installation, and nobody holds that lease any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from tidemark.alibaba.adoption import AdoptionPolicy
from tidemark.alibaba.channel import Channel
from tidemark.alibaba.clock_check import ClocksDiffer, check_clock
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.lease_closing import (
    PATIENCE_S,
    EndedJobs,
    ask_ledger,
    end_jobs,
    instant,
    lease_cost,
    note_end,
)
from tidemark.alibaba.leased_job_search import FoundJobs, find_leased_jobs, is_copied_since
from tidemark.clock import Clock
from tidemark.errors import LedgerAway, LedgerError, TidemarkError
from tidemark.money.abandoned import close_abandoned
from tidemark.money.amounts import cost_of
from tidemark.money.ledger import Lease, Ledger, LedgerRun
from tidemark.money.opening import COPIED, COPY_REMEDY

__all__ = ["Left", "ReapReport", "Reaped", "reap"]

LOG = logging.getLogger("tidemark.alibaba")

_KIND = "dlc-job"

# So many leases are ended at once: each stop is asked for, and then looked at for seconds.
_AT_ONCE = 32
# Of them, so many write to the ledger: it takes one at a time, and the others wait in naps.
_WRITERS = 3


@dataclass(frozen=True, slots=True)
class Reaped:
    """A lease that was cleaned up, or in a dry run would be.

    `stopped` are the ids of its jobs that were stopped, `ended` of those that had ended before.
    `billable_s` machine-seconds are noted for all of them, and `amount`. `saved` is at most what
    the stopped ones would have cost until their own limit. Amounts are None without a price.
    """

    lease_id: str
    run_id: str
    why: str
    stopped: tuple[str, ...]
    ended: tuple[str, ...]
    billable_s: float
    amount: Decimal | None
    saved: Decimal | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class Left:
    """Something that was left as it is, and why: a job, or a lease without one.

    `failed`: it should have been ended, and could not be; the next pass tries again.
    """

    name: str
    job_id: str | None
    why: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ReapReport:
    """One pass of the reaper, at `looked_at`. `refused` says why nothing was touched at all.

    `saved` is the sum by currency of what was saved, `closed` the ids of runs without a lease that
    nobody worked on any more: what they had reserved is free again.
    """

    installation: str
    looked_at: datetime
    dry_run: bool = False
    reaped: tuple[Reaped, ...] = ()
    left: tuple[Left, ...] = ()
    refused: str | None = None
    closed: tuple[str, ...] = ()

    @property
    def saved(self) -> dict[str, Decimal]:
        """At most what would have been spent on the jobs that were stopped, by currency."""
        sums: dict[str, Decimal] = {}
        for one in self.reaped:
            if one.saved is not None and one.currency is not None:
                sums[one.currency] = sums.get(one.currency, Decimal(0)) + one.saved
        return sums

    @property
    def failed(self) -> bool:
        """Whether something that should have been ended could not be, or nothing was tried."""
        return self.refused is not None or any(one.failed for one in self.left)


async def reap(
    ledger: Ledger,
    channel: Channel,
    *,
    clock: Clock,
    owner: str,
    dry_run: bool = False,
    policy: AdoptionPolicy | None = None,
    within_s: float = 600.0,
) -> ReapReport:
    """One pass over the account and region of `channel`: stop the jobs whose lease nobody holds
    any more, see that they have stopped, note what they cost and give the leases back.

    A lease that has expired is taken over in the ledger, by `owner`, before its jobs are touched;
    who renews it at the same moment keeps it. An intent without a job is closed when a job would
    have shown up in lists. Where the ledger cannot be read, is empty, a copy, or another
    installation's, or this machine's clock is far from the service's, nothing is touched. With
    `dry_run` nothing is changed, and the report says what would be. Never raises AlibabaError or
    LedgerError: one thing that fails is reported, and the others go on.
    """
    now = instant(clock)
    try:
        empty = await ask_ledger(clock, PATIENCE_S, ledger.is_empty)
        copied = await ask_ledger(clock, PATIENCE_S, ledger.is_copy)
        leases = await ask_ledger(clock, PATIENCE_S, ledger.leases)
    except LedgerError as error:
        return ReapReport(ledger.installation, now, dry_run, refused=f"the ledger: {error}")
    if empty:
        why = f"the ledger {ledger.place} is empty: whose the jobs are is not known"
        return ReapReport(ledger.installation, now, dry_run, refused=why)
    if copied:
        why = f"the ledger {ledger.place} {COPIED}. {COPY_REMEDY}"
        return ReapReport(ledger.installation, now, dry_run, refused=why)
    here = [lease for lease in leases if (lease.region, lease.kind) == (channel.region, _KIND)]
    dlc = Dlc(channel)
    open_here = [lease for lease in here if lease.state != "released"]
    found = await find_leased_jobs(dlc, ledger.installation, open_here, now=now)
    try:
        check_clock(channel)
    except ClocksDiffer as error:
        return ReapReport(ledger.installation, now, dry_run, refused=str(error))
    one_pass = _Pass(
        ledger, dlc, clock, owner, dry_run, policy or AdoptionPolicy(), within_s, found, now
    )
    await one_pass.carry_out(here)
    closed: list[LedgerRun] = []
    try:
        closed = await ask_ledger(clock, PATIENCE_S, close_abandoned, ledger, now, dry_run=dry_run)
    except LedgerError as error:
        LOG.warning("runs without a lease are not closed: %s", error)
    return ReapReport(
        ledger.installation,
        now,
        dry_run,
        tuple(sorted(one_pass.reaped, key=lambda one: one.lease_id)),
        tuple(sorted(one_pass.left, key=lambda one: (one.name, one.job_id or ""))),
        closed=tuple(run.run_id for run in closed),
    )


@dataclass(slots=True)
class _Pass:
    """One pass: what was found at `looked_at`, and what came of it so far."""

    ledger: Ledger
    dlc: Dlc
    clock: Clock
    owner: str
    dry_run: bool
    policy: AdoptionPolicy
    within_s: float
    found: FoundJobs
    looked_at: datetime
    reaped: list[Reaped] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    jobs: Mapping[str, list[Job]] = field(init=False)
    away: LedgerAway | None = None
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    _turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_WRITERS))

    def __post_init__(self) -> None:
        self.jobs = self.found.by_lease()

    async def carry_out(self, leases: list[Lease]) -> None:
        self.left += [Left("jobs", None, why, failed=True) for why in self.found.unseen]
        await self._report_unknown({lease.lease_id for lease in leases})
        await asyncio.gather(*(self._look_at(lease) for lease in leases))

    async def _report_unknown(self, known: set[str]) -> None:
        """Jobs of this installation without a lease, as after a backup of the ledger came back:
        nobody watches them, and only a person can say whose they are."""
        unknown = [
            job
            for identity, job in self.found.jobs
            if identity.name not in known and not job.is_terminal
        ]
        if not unknown:
            return
        try:
            # One may have been started since the ledger was read.
            now_known = await ask_ledger(self.clock, PATIENCE_S, self.ledger.leases)
        except LedgerError as error:
            LOG.warning("whose the jobs are is not asked again: %s", error)
            now_known = []
        new = {one.lease_id for one in now_known if one.intended_at >= self.looked_at}
        why = (
            "the ledger knows no lease of it, so nobody here ends it: look whose it is, and stop it"
        )
        for job in unknown:
            if job.display_name not in new:
                self.left.append(Left(job.display_name, job.job_id, why, failed=True))

    @asynccontextmanager
    async def _ledgers_turn(self) -> AsyncIterator[None]:
        """Raises LedgerAway where it stayed away for another of this pass: it is not waited for by
        one after the other, and the next pass goes on."""
        async with self._turns:
            if self.away is not None:
                raise self.away
            try:
                yield
            except LedgerAway as error:
                self.away = error
                raise

    async def _look_at(self, lease: Lease) -> None:
        async with self._places:
            await self._decide_on(lease, self.jobs.get(lease.lease_id, []))

    async def _decide_on(self, lease: Lease, jobs: list[Job]) -> None:
        try:
            if lease.state == "released":
                await self._given_back(lease, jobs)
            elif lease.expires_at > self.looked_at:
                await self._held(lease, jobs)
            else:
                await self._expired(lease, jobs)
        except TidemarkError as error:
            LOG.warning("%s is left: %s", lease.lease_id, error)
            self.left.append(Left(lease.lease_id, lease.resource_id, str(error), failed=True))

    async def _expired(self, lease: Lease, jobs: list[Job]) -> None:
        why = f"its lease expired at {_time(lease.expires_at)}, held by {lease.owner}"
        missing = self.found.missing.get(lease.lease_id)
        if missing is not None:
            text = f"{why}; {missing}"
            self.left.append(Left(lease.lease_id, lease.resource_id, text, failed=True))
        if not jobs:
            if missing is not None:
                return
            shown_by = lease.expires_at + timedelta(seconds=self.policy.visible_within_s)
            if self.found.unseen:
                text = f"{why}; whether it has a job could not be looked at"
                self.left.append(Left(lease.lease_id, lease.resource_id, text, failed=True))
                return
            if self.looked_at < shown_by:
                text = f"{why}; a job of it may show up until {_time(shown_by)}"
                self.left.append(Left(lease.lease_id, lease.resource_id, text))
                return
        if self.dry_run:
            self._report(lease, EndedJobs(_by_id(jobs), _going(jobs)), why)
            return
        async with self._ledgers_turn():
            seized = await ask_ledger(
                self.clock,
                PATIENCE_S,
                self.ledger.seize,
                lease.lease_id,
                owner=self.owner,
                now=instant(self.clock),
                # Long enough to stop and note; what a pass that dies leaves is for the next.
                until=instant(self.clock) + timedelta(seconds=self.within_s + 2 * PATIENCE_S),
            )
        if seized is None:
            text = "its lease was renewed or given back at this moment"
            self.left.append(Left(lease.lease_id, lease.resource_id, text))
            return
        ended = await end_jobs(self.dlc, jobs, clock=self.clock, within_s=self.within_s)
        if self._failures(lease, ended) or missing is not None:
            await self._meter(lease, ended.jobs)
            return
        note = f"reaped: {why}"
        async with self._ledgers_turn():
            last = await note_end(self.ledger, seized, ended.jobs, clock=self.clock, note=note)
            self._report(lease, ended, why)
            if last:
                await self._end_run(lease.run_id, note)

    async def _held(self, lease: Lease, jobs: list[Job]) -> None:
        """A lease that somebody holds: its job is theirs. A further job of it is nobody's, once
        it is certain that everyone takes the older one for the lease's."""
        going = [job for job in jobs if not job.is_terminal]
        oldest = min(jobs, key=Job.age_key, default=None)
        settled = self.looked_at - timedelta(seconds=self.policy.visible_within_s)
        surplus = []
        for job in going:
            created = job.gmt_create_time
            if job.job_id == lease.resource_id:
                text = f"{lease.owner} holds its lease until {_time(lease.expires_at)}"
                self.left.append(Left(lease.lease_id, job.job_id, text))
            elif oldest and oldest.job_id == lease.resource_id and created and created < settled:
                surplus.append(job)
            else:
                text = f"{lease.owner}, who holds its lease, may be about to note it"
                self.left.append(Left(lease.lease_id, job.job_id, text))
        why = f"it is a second job beside {lease.resource_id}, whose lease it has not"
        await self._without_lease(lease, surplus, jobs, why)

    async def _given_back(self, lease: Lease, jobs: list[Job]) -> None:
        """A lease that was given back: a job of it that came late is nobody's. One that a person
        made since, as a copy with its name and tags, is theirs."""
        within_s = self.policy.visible_within_s
        ours = [job for job in jobs if not is_copied_since(job, lease, within_s)]
        for job in jobs:
            if job not in ours and not job.is_terminal:
                text = (
                    f"it was created after {lease.lease_id} was given back, as by a person who "
                    f"copied that job: it is not ours to stop"
                )
                self.left.append(Left(lease.lease_id, job.job_id, text))
        await self._without_lease(lease, ours, ours, "its lease was given back before")

    async def _without_lease(
        self, lease: Lease, surplus: list[Job], jobs: list[Job], why: str
    ) -> None:
        """Stop jobs that nobody holds a lease of; `jobs` are all of the attempt."""
        going = [job for job in surplus if not job.is_terminal]
        if not going:
            return
        if self.dry_run:
            self._report(lease, EndedJobs(_by_id(going), _going(going)), why)
            return
        async with self._ledgers_turn():
            leases = await ask_ledger(
                self.clock, PATIENCE_S, self.ledger.leases, run_id=lease.run_id
            )
        as_before = (lease.state, lease.fence, lease.resource_id)
        if all((one.state, one.fence, one.resource_id) != as_before for one in leases):
            text = "its attempt was taken up again at this moment"
            self.left += [Left(lease.lease_id, job.job_id, text) for job in going]
            return
        # Writing it down first shows that the ledger is there and still this installation's.
        await self._meter(lease, _by_id(jobs))
        ended = await end_jobs(self.dlc, going, clock=self.clock, within_s=self.within_s)
        await self._meter(lease, {**_by_id(jobs), **ended.jobs})
        if not self._failures(lease, ended):
            self._report(lease, ended, why)

    def _failures(self, lease: Lease, ended: EndedJobs) -> bool:
        self.left += [
            Left(lease.lease_id, job_id, text, failed=True) for job_id, text in ended.failed.items()
        ]
        return bool(ended.failed)

    async def _meter(self, lease: Lease, jobs: Mapping[str, Job]) -> None:
        """Note what is certain: what goes on is metered up to when it was looked at."""
        cost = lease_cost(jobs, lease, self.looked_at)
        async with self._ledgers_turn():
            await ask_ledger(
                self.clock,
                PATIENCE_S,
                self.ledger.meter,
                lease.lease_id,
                billable_s=cost.billable_s,
                amount=cost.amount,
                at=self.looked_at,
            )

    async def _end_run(self, run_id: str, line: str) -> None:
        """Who was to say how the run ended is gone."""
        run = await ask_ledger(self.clock, PATIENCE_S, self.ledger.run, run_id)
        if not run.ended:
            await ask_ledger(
                self.clock,
                PATIENCE_S,
                self.ledger.say,
                run_id,
                state="cancelled" if run.cancel_asked else "failed",
                line=line,
                exit_status=1,
            )

    def _report(self, lease: Lease, ended: EndedJobs, why: str) -> None:
        now = instant(self.clock)
        cost = lease_cost(ended.jobs, lease, now)
        saved = None
        if lease.price_per_hour is not None:
            left_s = sum(
                _left_s(job, lease, now)
                for job in self.jobs.get(lease.lease_id, [])
                if job.job_id in ended.stopped
            )
            saved = cost_of(lease.price_per_hour, left_s)
        self.reaped.append(
            Reaped(
                lease_id=lease.lease_id,
                run_id=lease.run_id,
                why=why,
                stopped=ended.stopped,
                ended=tuple(job_id for job_id in ended.jobs if job_id not in ended.stopped),
                billable_s=cost.billable_s,
                amount=cost.amount,
                saved=saved,
                currency=lease.currency,
            )
        )


def _by_id(jobs: Iterable[Job]) -> dict[str, Job]:
    return {job.job_id: job for job in jobs}


def _going(jobs: Iterable[Job]) -> tuple[str, ...]:
    return tuple(job.job_id for job in jobs if not job.is_terminal)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _left_s(job: Job, lease: Lease, now: datetime) -> float:
    """How long a job could have gone on until the service itself would have ended it."""
    limit = lease.not_after
    minutes = job.wire.get("JobMaxRunningTimeMinutes")
    if isinstance(minutes, int) and minutes > 0:
        # It counts from when the job runs, and nothing runs from a moment to come.
        limit = min(job.gmt_running_time or now, now) + timedelta(minutes=minutes)
    return max(0.0, (limit - now).total_seconds())
