"""The steps of one job, from its price to its end: what flow, tasks and block all call.

    desk = JobDesk(ledger, account, clock, owner="host/1")
    offer = await desk.quote(plan, run)
    approved = ...                                    # by a policy or a person
    await desk.reserve(plan, run, offer.quote, approved, rules)
    started = await desk.start(plan, run, offer, approved, where=where)
    end = await desk.watch(started, plan, offer.quote, keep=..., said=...)
    await desk.finish(run.run_id, why="the job has ended")

Each step can be taken again after a crash: the ledger says what was done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, TypeVar

from tidemark.alibaba.account import Account
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.dlc_requests import CreateJob
from tidemark.alibaba.job_evidence import JobEvidence
from tidemark.alibaba.job_look_up import LookUp
from tidemark.alibaba.job_names import job_name, job_tags
from tidemark.alibaba.job_quote import QuoteSettings, look_up, quote_job
from tidemark.alibaba.job_request import create_request
from tidemark.alibaba.job_waiting import JobEnd, wait_for_job
from tidemark.alibaba.lease_closing import PATIENCE_S, ask_ledger
from tidemark.alibaba.leased_jobs import LeaseTimes, Released, keep_alive, release, start_job
from tidemark.alibaba.metering import metered
from tidemark.alibaba.new_run import new_run, owner_name
from tidemark.clock import Clock
from tidemark.errors import LedgerError, NotTheOwner, RefusedError
from tidemark.money.amounts import sum_text
from tidemark.money.approval import Approval, ApprovedPlan
from tidemark.money.ledger import Lease, Ledger, LedgerRun, Reservation
from tidemark.money.policy import Answer, SpendingRules, caps_of, judge, month_of, night_of
from tidemark.money.quote import Quote
from tidemark.plan.job import JobPlan, plan_hash
from tidemark.waiting.policy import Decision, Patience

__all__ = ["JobDesk", "Offer", "Started", "Where", "new_run", "owner_name"]

LOG = logging.getLogger("tidemark.alibaba")

T = TypeVar("T")

_LOOK_AGAIN_S = 15.0

# A lease outlives its job's own limit by this, so that its owner and not the reaper ends it.
_BEYOND = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Offer:
    """What was found for a plan, and what it costs."""

    found: LookUp
    quote: Quote


@dataclass(frozen=True, slots=True)
class Where:
    """Where a job runs and keeps its results. `store_options` hold no secret."""

    workspace_id: str
    store_uri: str | None = None
    store_options: Mapping[str, str] = field(default_factory=dict)
    lend: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Started:
    """A job that was created, or found to be there. `duplicates` were asked to stop."""

    lease: Lease
    job: Job
    created: bool
    duplicates: tuple[str, ...] = ()
    left_running: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobDesk:
    """Takes the steps, with one ledger and one account."""

    ledger: Ledger
    account: Account
    clock: Clock
    owner: str
    times: LeaseTimes = field(default_factory=LeaseTimes)
    settings: QuoteSettings = field(default_factory=QuoteSettings)

    async def quote(self, plan: JobPlan, run: LedgerRun) -> Offer:
        """Look a machine up, price it, and note the quote. Nothing is created.

        Raises AlibabaError, and ConfigError or RefusedError for what cannot be run as planned.
        """
        found = await look_up(self.account, plan, clock=self.clock)
        earlier = await self._ledger(self.ledger.quotes, run.run_id)
        quote = quote_job(
            plan,
            found,
            run_id=run.run_id,
            number=len(earlier) + 1,
            plan_hash=plan_hash(plan),
            now=self._now(),
            settings=self.settings,
        )
        quote = replace(quote, details=found.document())
        await self._ledger(self.ledger.keep_quote, quote)
        return Offer(found, quote)

    async def kept_offer(self, run_id: str) -> Offer | None:
        """The last quote of a run, as the ledger has it."""
        quote = await self._ledger(self.ledger.last_quote, run_id)
        if quote is None:
            return None
        return Offer(LookUp.from_document(quote.details), quote)

    async def ask_policy(self, run: LedgerRun, quote: Quote, rules: SpendingRules) -> Answer:
        """Whether a policy allows what is quoted, beside what other runs have taken."""
        # Counted to the night in which it is asked: the run may have waited since it began.
        night, month = self._dates(rules)
        spent = await self._ledger(
            self.ledger.spent,
            night=night,
            month=month,
            person=run.requested_by,
            currency=rules.currency,
            without_run=run.run_id,
        )
        return judge(rules, quote, spent, now=self._now(), person=run.requested_by)

    async def note_answer(
        self,
        quote: Quote,
        decision: Literal["approve", "reject"],
        *,
        by: str,
        channel: str,
        rule: str | None = None,
        reason: str = "",
    ) -> Approval:
        """Note an answer in the ledger. The first answer to a quote stands, and is returned."""
        approval = Approval(
            approval_id=f"{quote.quote_id}-answer",
            run_id=quote.run_id,
            quote_id=quote.quote_id,
            plan_hash=quote.plan_hash,
            decision=decision,
            up_to=quote.bound,
            currency=quote.currency,
            by=by,
            channel=channel,
            decided_at=self._now(),
            rule=rule,
            reason=reason,
        )
        return await self._ledger(self.ledger.keep_approval, approval)

    async def reserve(
        self,
        plan: JobPlan,
        run: LedgerRun,
        quote: Quote,
        approved: ApprovedPlan,
        rules: SpendingRules | None,
    ) -> Reservation | None:
        """Set aside the quote's bound under every cap there is: the plan's, the approval's, those
        of the rules. None where there is nothing to pay by the hour. Raises CapReached.
        """
        if quote.bound is None or quote.currency is None:
            return None
        answer = approved.approval
        agreed = None
        if answer.up_to is not None and answer.currency is not None:
            agreed = (answer.up_to, answer.currency)
        night, month = self._dates(rules)
        if rules is not None and answer.rule is None:
            # What a run may take without asking is no limit for who was asked.
            rules = rules.model_copy(update={"per_run": None})
        caps = caps_of(
            rules,
            run_id=run.run_id,
            night=night,
            month=month,
            person=run.requested_by,
            plan_cap=None if plan.cap is None else (plan.cap.amount, plan.cap.currency),
            approved=agreed,
        )
        return await self._ledger(
            self.ledger.reserve,
            quote.run_id,
            quote.bound,
            quote.currency,
            caps,
            night=night,
            month=month,
        )

    def request(
        self, plan: JobPlan, run: LedgerRun, offer: Offer, where: Where, attempt: int = 1
    ) -> CreateJob:
        """The request that an attempt's job is created by. Raises PlanError for what would not
        work, such as a store that is not reached from inside the job."""
        return create_request(
            plan,
            offer.found,
            workspace_id=where.workspace_id,
            name=job_name(self.ledger.installation, run.run_id, attempt),
            tags=job_tags(self.ledger.installation, run.run_id, attempt, run.plan_hash),
            store_uri=where.store_uri,
            store_options=where.store_options,
            round=run.run_id,
            run_id=run.run_id,
        )

    async def wait_for_owner(self, run_id: str, tell: Callable[[str], Awaitable[None]]) -> None:
        """Wait until the lease by which another process has the run's job has expired.

        Most often that process died, and this one is to go on. `tell` is told who it is and until
        when. Returns at once without such a lease, and as soon as it is renewed: its owner lives.
        Raises LedgerError.
        """
        until: datetime | None = None
        while True:
            leases = await self._ledger(self.ledger.leases, run_id=run_id, unreleased=True)
            held = [one for one in leases if one.owner != self.owner]
            last = max(held, key=lambda one: one.expires_at, default=None)
            if last is None or last.expires_at <= self._now():
                return
            if until is None:
                until = last.expires_at
                await tell(
                    f"{last.owner} has the job until {until:%Y-%m-%d %H:%M:%S} UTC; "
                    f"if it does not go on by then, this process does"
                )
            elif last.expires_at > until:
                return
            left_s = (until - self._now()).total_seconds()
            await self.clock.sleep(min(_LOOK_AGAIN_S, max(left_s, 0.001)))

    async def start(
        self,
        plan: JobPlan,
        run: LedgerRun,
        offer: Offer,
        approved: ApprovedPlan,
        where: Where,
        attempt: int = 1,
    ) -> Started:
        """Create the attempt's job under a lease, or adopt it if it is there.

        Raises NotTheOwner while another process owns the attempt, RefusedError for a run that was
        ended or whose money is no longer set aside, and AlibabaError.
        """
        await self._check_reserved(run, offer.quote)
        request = self.request(plan, run, offer, where, attempt)
        name = request.display_name
        now = self._now()
        lease = Lease(
            lease_id=name,
            run_id=run.run_id,
            attempt=attempt,
            region=self.account.region,
            workspace_id=where.workspace_id,
            resource_id=None,
            owner=self.owner,
            fence=0,
            price_per_hour=offer.quote.per_hour,
            currency=offer.quote.currency,
            state="intended",
            intended_at=now,
            renewed_at=now,
            expires_at=now + timedelta(seconds=self.times.ttl_s),
            not_after=now + timedelta(seconds=offer.quote.bound_s) + _BEYOND,
        )
        lease, adopted = await start_job(
            self.ledger,
            Dlc(self.account),
            request,
            lease=lease,
            authorization=approved,
            clock=self.clock,
            lend=where.lend,
            times=self.times,
        )
        return Started(lease, adopted.job, adopted.created, adopted.stopped, adopted.left_running)

    async def watch(
        self,
        started: Started,
        plan: JobPlan,
        quote: Quote,
        *,
        keep: Callable[[JobEvidence], Awaitable[None]] | None = None,
        tell: Callable[[Job, Decision], Awaitable[None]] | None = None,
        said: Callable[[str, str], None] | None = None,
        asked_to_stop: Callable[[], Awaitable[str | None]] | None = None,
        clean: Callable[[str], str] = str,
    ) -> JobEnd:
        """Wait for the job's end, renewing its lease, metering what it costs, and stopping it
        where a clock, the cap or somebody says so. `clean` takes secrets out of what is logged.

        Raises NotTheOwner when another process took the attempt over: the job is then its.
        """
        limits = plan.limits
        spent: Decimal | None = None

        async def look(job: Job, decision: Decision) -> None:
            nonlocal spent
            spent = await self._meter(started.lease, job, quote)
            if tell is not None:
                await tell(job, decision)

        async def why_stop() -> str | None:
            if spent is not None and quote.bound is not None and spent >= quote.bound:
                return f"all that was approved is spent: {sum_text(spent, quote.currency or '')}"
            return None if asked_to_stop is None else await asked_to_stop()

        waiting = asyncio.create_task(
            wait_for_job(
                Dlc(self.account),
                started.job.job_id,
                clock=self.clock,
                patience=Patience(
                    queueing_s=limits.queueing_s,
                    preparing_s=limits.preparing_s,
                    image_pull_failing_s=limits.image_pull_timeout_s,
                    total_s=self._left_s(started.job, limits.total_s),
                ),
                interval_s=limits.poll_interval_s,
                keep=keep,
                tell=look,
                said=said,
                asked_to_stop=why_stop,
                clean=clean,
                job=started.job,
            )
        )
        renewing = asyncio.create_task(
            keep_alive(self.ledger, started.lease, times=self.times, clock=self.clock)
        )
        try:
            await asyncio.wait((waiting, renewing), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                renewing.result()  # which ends only by an error: the job is another's by now
                raise NotTheOwner("the lease is not renewed any more", started.lease.lease_id)
            return waiting.result()
        finally:
            for task in (waiting, renewing):
                task.cancel()
            await asyncio.gather(waiting, renewing, return_exceptions=True)

    async def finish(self, run_id: str, *, why: str) -> Released:
        """Stop whatever of the run is still there, settle what it cost, give its leases back.

        What another process has taken over is left to it.
        """
        return await release(
            self.ledger, self.account, run_id, clock=self.clock, why=why, owner=self.owner
        )

    async def _check_reserved(self, run: LedgerRun, quote: Quote) -> None:
        """A process that slept may have been given up meanwhile, and what it had set aside."""
        now = await self._ledger(self.ledger.run, run.run_id)
        held = await self._ledger(self.ledger.reservation, run.run_id)
        known = await self._ledger(self.ledger.leases, run_id=run.run_id)
        if not known and (now.ended or (quote.bound is not None and not held.open)):
            raise RefusedError(
                f"nothing is set aside for it any more (it is {now.state}: {now.line})",
                f"run {run.run_id}",
                "Start a new run",
            )

    def _left_s(self, job: Job, total_s: float) -> float:
        """What is left of a job's time: one that is gone on with has no more than it had."""
        if job.gmt_create_time is None:
            return total_s
        since_s = self.account.time_s() - job.gmt_create_time.timestamp()
        return max(1.0, total_s - max(0.0, since_s))

    def _dates(self, rules: SpendingRules | None) -> tuple[str, str]:
        timezone = rules.timezone if rules is not None else SpendingRules.usual_timezone()
        return night_of(self._now(), timezone), month_of(self._now(), timezone)

    async def _meter(self, lease: Lease, job: Job, quote: Quote) -> Decimal | None:
        so_far = metered(
            job,
            price_per_hour=quote.price.per_hour,
            workers=quote.workers,
            now=datetime.fromtimestamp(self.account.time_s(), UTC),
            intended_at=lease.intended_at,
        )
        try:
            await asyncio.to_thread(
                self.ledger.meter,
                lease.lease_id,
                billable_s=so_far.billable_s,
                amount=so_far.amount,
                at=self._now(),
            )
        except LedgerError as error:
            LOG.warning("what the job cost so far is not noted: %s", error)
        return so_far.amount

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.time(), UTC)

    async def _ledger(self, method: Callable[..., T], *given: Any, **named: Any) -> T:
        return await ask_ledger(self.clock, PATIENCE_S, method, *given, **named)
