"""Jobs under a lease: started once, kept while somebody watches, released for certain.

The lease is in the ledger before the job is made, under the job's own name. So whoever finds one of
the two finds the other, whatever happened in between, and the fence in the ledger says which of
several owners may act.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from tidemark.alibaba.adoption import Adopted, AdoptionPolicy, adopt_or_create
from tidemark.alibaba.channel import Channel
from tidemark.alibaba.clock_check import check_clock
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.dlc_requests import CreateJob
from tidemark.alibaba.errors import AlibabaError, NotFoundError
from tidemark.alibaba.job_names import ATTEMPT_TAG, RUN_TAG
from tidemark.alibaba.lease_closing import (
    PATIENCE_S,
    EndedJobs,
    LeaseCost,
    ask_ledger,
    end_jobs,
    instant,
    lease_cost,
    note_end,
    settle_run,
)
from tidemark.alibaba.leased_job_search import FoundJobs, find_leased_jobs, is_copied_since
from tidemark.authorization import Authorization
from tidemark.clock import Clock
from tidemark.errors import LedgerAway, LedgerError, NotTheOwner, RefusedError
from tidemark.money.ledger import Lease, Ledger

__all__ = ["LeaseTimes", "Released", "RunCancelled", "keep_alive", "release", "start_job"]

LOG = logging.getLogger("tidemark.alibaba")

# How long a ledger that is away is asked again before jobs are stopped without it.
_SOME_PATIENCE_S = 10.0
_LONGEST_WAIT_S = 30.0


class RunCancelled(RefusedError):
    """A job is not created, since somebody asked its run to end."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """A lease lasts `ttl_s` from its last renewal, and is renewed every `renew_every_s`.

    It must outlast a call that creates a job and the time that job takes to show up in lists.
    """

    renew_every_s: float = 60.0
    ttl_s: float = 300.0


async def start_job(
    ledger: Ledger,
    dlc: Dlc,
    request: CreateJob,
    *,
    lease: Lease,
    authorization: Authorization,
    clock: Clock,
    lend: Mapping[str, str] | None = None,
    policy: AdoptionPolicy | None = None,
    times: LeaseTimes | None = None,
) -> tuple[Lease, Adopted]:
    """The one job of a lease: the one that is there, else a new one; and the lease as it is held.

    The lease is noted first. Whoever comes again after a crash takes it over when it has expired,
    and adopts the job, also one that has ended. Right before anything is created or stopped the
    ledger is asked whether the lease is still held, and before creating whether the run is to end.

    Raises RefusedError for a request without a limit on the service's side or under another name,
    and for an attempt that is over without a job; RunCancelled where somebody asked the run to end
    before there was a job, and ClocksDiffer where this machine's clock is too far off to create
    one; NotTheOwner, with who and until when, where another owner holds the lease; LedgerAway
    before anything was created; and as `adopt_or_create` does.
    """
    _check_request(request, lease)
    before = await _noted_lease(ledger, lease, clock)
    if before is not None and before.state == "released":
        return before, await _job_of_ended(dlc, request, before)
    held, known = await ask_ledger(clock, PATIENCE_S, ledger.intend, lease)
    if known and (before is None or held.fence != before.fence + 1):
        raise NotTheOwner(
            "changed hands at this very moment", f"lease {lease.lease_id}", "Come again"
        )
    if held.resource_id is not None:
        # The ledger knows better than lists, which lag.
        return held, await _noted_job(dlc, held, held.resource_id)
    fenced = _FencedDlc(dlc, _Hold(ledger, held, clock, times or LeaseTimes()))
    adopted = await adopt_or_create(
        fenced,
        request,
        authorization=authorization,
        clock=clock,
        policy=policy,
        lend=lend,
        may_exist=known,
    )
    job_id = adopted.job.job_id
    try:
        held = await ask_ledger(clock, PATIENCE_S, ledger.created, fenced.hold.lease, job_id)
    except LedgerAway as error:
        # The job is there, and is found by its name: to lose it now would cost more.
        LOG.error("%s was started, and its id is not noted: %s", job_id, error)
        held = fenced.hold.lease
    return held, adopted


async def keep_alive(
    ledger: Ledger, lease: Lease, *, clock: Clock, times: LeaseTimes | None = None
) -> None:
    """Renew a lease again and again until cancelled.

    A ledger that cannot be used is asked again, also past the lease's end: the job goes on, and
    nobody can take it while nobody reaches the ledger. Raises NotTheOwner when somebody else has
    it, or it was released.
    """
    times = times or LeaseTimes()
    while True:
        await clock.sleep(times.renew_every_s)
        until = instant(clock) + timedelta(seconds=times.ttl_s)
        try:
            lease = await asyncio.to_thread(ledger.renew, lease, until)
        except NotTheOwner:
            raise
        except LedgerError as error:
            LOG.warning("the lease %s is not renewed: %s", lease.lease_id, error)


@dataclass(frozen=True, slots=True)
class Released:
    """What became of a run's jobs.

    `jobs` are as they were seen last, `stopped` the ids of those that were stopped here, and `left`
    says in sentences what could not be done: while it is not empty, releasing again goes on with
    it. `billable_s` are machine-seconds of all jobs, `amount` what they come to, None without a
    price: neither is less than the ledger had noted.
    """

    run_id: str
    jobs: tuple[Job, ...]
    stopped: tuple[str, ...]
    left: tuple[str, ...]
    billable_s: float
    amount: Decimal | None
    currency: str | None

    @property
    def complete(self) -> bool:
        """Whether nothing of the run is left, and the ledger says so."""
        return not self.left


async def release(
    ledger: Ledger,
    channel: Channel,
    run_id: str,
    *,
    clock: Clock,
    why: str,
    owner: str | None = None,
    policy: AdoptionPolicy | None = None,
    within_s: float = 600.0,
) -> Released:
    """Stop whatever of a run is there, see that it has stopped, meter and settle what it cost, and
    give its leases back.

    It may be called again, at the same time, and when nothing was created. Who gives an `owner`
    touches nothing that another owner has by now; without one it is done for whoever has it, as
    when a person cancels the run. Where the ledger knows an intent and no job, the job is looked
    for as long as it may take to show up. While the ledger is away, jobs are stopped all the same.
    Never raises AlibabaError or LedgerError: `left` says what is not done.
    """
    dlc = Dlc(channel)
    release_ = _Release(
        ledger, dlc, run_id, clock, why, owner, policy or AdoptionPolicy(), within_s
    )
    return await release_.carry_out()


def _larger(found: LeaseCost | None, noted: LeaseCost | None) -> LeaseCost:
    costs = [cost for cost in (found, noted) if cost is not None]
    amounts = [cost.amount for cost in costs if cost.amount is not None]
    return LeaseCost(max(cost.billable_s for cost in costs), max(amounts, default=None))


def _check_request(request: CreateJob, lease: Lease) -> None:
    if request.max_running_time_minutes is None:
        raise RefusedError(
            "has no limit by which the service itself would end it",
            f"CreateJob {request.display_name}: JobMaxRunningTimeMinutes",
            "Set max_running_time_minutes",
        )
    tags = {RUN_TAG: lease.run_id, ATTEMPT_TAG: str(lease.attempt)}
    if request.display_name != lease.lease_id or not tags.items() <= request.tags.items():
        raise RefusedError(
            f"is not named and tagged as its lease {lease.lease_id} has it",
            f"CreateJob {request.display_name}",
            "Name it by job_name and tag it by job_tags",
        )


async def _noted_lease(ledger: Ledger, lease: Lease, clock: Clock) -> Lease | None:
    leases = await ask_ledger(clock, PATIENCE_S, ledger.leases, run_id=lease.run_id)
    return next((one for one in leases if one.lease_id == lease.lease_id), None)


async def _noted_job(dlc: Dlc, lease: Lease, job_id: str) -> Adopted:
    try:
        return Adopted(await dlc.get_job(job_id), created=False)
    except NotFoundError:
        raise _over(lease, f"had the job {job_id}, which is not there any more") from None


async def _job_of_ended(dlc: Dlc, request: CreateJob, lease: Lease) -> Adopted:
    """The job of an attempt that was released: it must have ended."""
    if lease.resource_id is not None:
        adopted = await _noted_job(dlc, lease, lease.resource_id)
    else:
        jobs = await dlc.find_jobs(display_name=request.display_name, tags=request.tags)
        if not jobs:
            raise _over(lease, "was released before there was a job")
        adopted = Adopted(jobs[0], created=False)
    if not adopted.job.is_terminal:
        raise _over(lease, f"was released, and {adopted.job.job_id} is {adopted.job.status}")
    return adopted


def _over(lease: Lease, what: str) -> RefusedError:
    return RefusedError(what, f"attempt {lease.lease_id}", "Begin another attempt")


@dataclass(slots=True)
class _Hold:
    """A lease that this process holds, or believes to."""

    ledger: Ledger
    lease: Lease
    clock: Clock
    times: LeaseTimes

    async def renew(self) -> None:
        """See that it is held, for long enough to do one thing. Raises NotTheOwner."""
        until = instant(self.clock) + timedelta(seconds=self.times.ttl_s)
        renewed = await ask_ledger(self.clock, PATIENCE_S, self.ledger.renew, self.lease, until)
        # It is renewed no further than to the moment by which the service ends the job.
        await ask_ledger(self.clock, PATIENCE_S, self.ledger.check, renewed)
        self.lease = renewed

    async def check_wanted(self) -> None:
        """See that nobody asked the run to end. Raises RunCancelled."""
        run_id = self.lease.run_id
        run = await ask_ledger(self.clock, PATIENCE_S, self.ledger.run, run_id)
        if run.cancel_asked:
            raise RunCancelled(
                f"asked to stop by {run.cancel_asked} before its job was created",
                f"run {run_id}",
                "Start a new run if it was a mistake",
            )


class _FencedDlc(Dlc):
    """Creates and stops only what the lease covers, while it is held."""

    def __init__(self, dlc: Dlc, hold: _Hold) -> None:
        super().__init__(dlc._channel)
        self.hold = hold

    async def create_job(
        self,
        request: CreateJob,
        *,
        authorization: Authorization,
        lend: Mapping[str, str] | None = None,
    ) -> str:
        """Create a job, if the lease is held, the run is to go on, and others see the lease's times
        as this machine does. Raises NotTheOwner, RunCancelled and ClocksDiffer if not."""
        check_clock(self._channel)
        await self.hold.renew()
        await self.hold.check_wanted()
        return await super().create_job(request, authorization=authorization, lend=lend)

    async def stop_job(self, job_id: str) -> Job:
        """Stop a job, if the lease is held. Raises NotTheOwner if not."""
        try:
            await self.hold.renew()
        except LedgerAway as error:
            # To who asked for a job it is one more that could not be stopped.
            raise AlibabaError(
                f"is not stopped while the ledger is away ({error.what})", job_id, error.remedy
            ) from error
        return await super().stop_job(job_id)


@dataclass(slots=True)
class _Release:
    """One releasing of a run's jobs and leases. `away` is why the ledger could not be asked,
    `missing` are leases whose noted job is not found."""

    ledger: Ledger
    dlc: Dlc
    run_id: str
    clock: Clock
    why: str
    owner: str | None
    policy: AdoptionPolicy
    within_s: float
    away: LedgerError | None = None
    left: list[str] = field(default_factory=list)
    missing: frozenset[str] = frozenset()

    async def carry_out(self) -> Released:
        leases = [await self._fenced(lease) for lease in await self._leases(_SOME_PATIENCE_S)]
        ended = await self._end_all(leases)
        leases = await self._note(leases, ended)
        known = {lease.lease_id: lease for lease in leases}
        now = instant(self.clock)
        costs = {name: lease_cost(one.jobs, known.get(name), now) for name, one in ended.items()}
        # What was metered while a job was watched stands, whatever the service says of it now.
        noted = {
            name: LeaseCost(lease.billable_s, lease.metered)
            for name, lease in known.items()
            if name in costs or lease.metered is not None or lease.billable_s > 0
        }
        every = [_larger(costs.get(name), noted.get(name)) for name in {**costs, **noted}]
        amounts = [cost.amount for cost in every if cost.amount is not None]
        return Released(
            run_id=self.run_id,
            jobs=tuple(job for one in ended.values() for job in one.jobs.values()),
            stopped=tuple(job_id for one in ended.values() for job_id in one.stopped),
            left=tuple(dict.fromkeys(self.left)),
            billable_s=sum(cost.billable_s for cost in every),
            amount=sum(amounts, Decimal(0)) if len(amounts) == len(every) else None,
            currency=next((lease.currency for lease in leases if lease.currency), None),
        )

    def _is_anothers(self, lease: Lease) -> bool:
        held = lease.state != "released" and lease.owner != self.owner
        return self.owner is not None and held

    async def _leases(self, patience_s: float) -> list[Lease]:
        """The leases of the run; none while the ledger is away."""
        try:
            leases = await ask_ledger(
                self.clock, patience_s, self.ledger.leases, run_id=self.run_id
            )
        except LedgerError as error:
            self.away = error
            return []
        self.away = None
        return leases

    async def _fenced(self, lease: Lease) -> Lease:
        """A lease without a known job, so that whoever is about to create one cannot any more."""
        if lease.state != "intended" or self._is_anothers(lease):
            return lease
        most_s = self.policy.visible_within_s + self.within_s
        until = instant(self.clock) + timedelta(seconds=most_s)
        asked = replace(lease, expires_at=until)
        try:
            taken, _ = await ask_ledger(self.clock, _SOME_PATIENCE_S, self.ledger.intend, asked)
        except LedgerError as error:
            # Lost to another at this moment, or away: what was created is found all the same.
            LOG.warning("%s: %s", lease.lease_id, error)
            return lease
        return taken

    async def _end_all(self, leases: list[Lease]) -> dict[str, EndedJobs]:
        """End the jobs of the run as they show up; by the names of their leases."""
        begun_s, wait_s = self.clock.monotonic(), self.policy.first_look_s
        others = {lease.lease_id for lease in leases if self._is_anothers(lease)}
        young = instant(self.clock) - timedelta(seconds=self.policy.visible_within_s)
        unsure = {
            lease.lease_id
            for lease in leases
            if lease.state == "intended" or (lease.state == "created" and lease.intended_at > young)
        } - others
        installation = self.ledger.installation
        ended: dict[str, EndedJobs] = {}
        while True:
            found = await find_leased_jobs(
                self.dlc,
                installation,
                leases,
                now=instant(self.clock),
                run_id=self.run_id,
                ended=[
                    job_id
                    for one in ended.values()
                    for job_id, job in one.jobs.items()
                    if job.is_terminal
                ],
            )
            await self._end_new(found, leases, others, ended)
            waited_s = self.clock.monotonic() - begun_s
            # Without the ledger nobody says whether a job was created a moment ago.
            hidden = unsure - ended.keys() or (self.away is not None and not ended)
            may_show = hidden and waited_s < self.policy.visible_within_s
            may_pass = found.may_pass and waited_s < self.within_s
            if not may_show and not may_pass:
                break
            await self.clock.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        self.missing = frozenset(found.missing) - others
        self.left += [*found.unseen, *(found.missing[name] for name in sorted(self.missing))]
        self.left += [why for one in ended.values() for why in one.failed.values()]
        return ended

    async def _end_new(
        self,
        found: FoundJobs,
        leases: list[Lease],
        others: set[str],
        ended: dict[str, EndedJobs],
    ) -> None:
        seen = {job_id for one in ended.values() for job_id in one.jobs}
        known = {lease.lease_id: lease for lease in leases}
        new: dict[str, list[Job]] = {}
        for identity, job in found.jobs:
            lease = known.get(identity.name)
            if lease and is_copied_since(job, lease, self.policy.visible_within_s):
                continue  # a person's, which is left
            if job.job_id not in seen and identity.name not in others:
                new.setdefault(identity.name, []).append(job)
        outcomes = await asyncio.gather(
            *(
                end_jobs(self.dlc, jobs, clock=self.clock, within_s=self.within_s)
                for jobs in new.values()
            )
        )
        for name, outcome in zip(new, outcomes, strict=True):
            ended[name] = ended.get(name, EndedJobs()).and_then(outcome)

    async def _note(self, before: list[Lease], ended: Mapping[str, EndedJobs]) -> list[Lease]:
        """Write down what came of it, in the leases as they are by now."""
        leases = await self._leases(PATIENCE_S)
        try:
            for lease in leases:
                await self._note_lease(lease, ended.get(lease.lease_id, EndedJobs()))
            if self.away is None:
                await settle_run(self.ledger, self.run_id, clock=self.clock)
        except LedgerError as error:
            self.away = error
        if self.away is not None:
            self.left.append(f"what became of the run's jobs is not noted: {self.away}")
        return leases or before

    async def _note_lease(self, lease: Lease, ended: EndedJobs) -> None:
        if self._is_anothers(lease):
            until = f"{lease.expires_at:%Y-%m-%d %H:%M:%S} UTC"
            self.left.append(f"{lease.lease_id} is held by {lease.owner} until {until}")
            return
        unknown = lease.state != "released" and not ended.jobs and self.left
        if ended.failed or unknown or lease.lease_id in self.missing:
            return  # it expires, and the reaper goes on with it
        if lease.state == "released" and not ended.stopped:
            return
        try:
            await note_end(self.ledger, lease, ended.jobs, clock=self.clock, note=self.why)
        except NotTheOwner as error:
            self.left.append(str(error))
