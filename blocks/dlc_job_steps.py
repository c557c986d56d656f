"""The steps of a saved job, from its price to its end: one run, in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from blocks.kept_secret import read_kept_secret
from blocks.pai_workspace import PaiWorkspace
from blocks.result_store import ResultStore
from blocks.spending_policy import SpendingPolicy
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.job_evidence import JobEvidence
from tidemark.alibaba.job_steps import JobDesk, Started, Where, new_run, owner_name
from tidemark.alibaba.job_waiting import JobEnd
from tidemark.alibaba.leased_jobs import Released, RunCancelled
from tidemark.alibaba.workspaces import workspace_choice
from tidemark.clock import Clock
from tidemark.config import Config, load_config, read_text
from tidemark.errors import LedgerError, NotTheOwner, RefusedError, StoreError
from tidemark.money.amounts import sum_text
from tidemark.money.approval import ApprovedPlan, approve
from tidemark.money.ledger import Ledger, LedgerRun
from tidemark.money.opening import open_ledger
from tidemark.money.quote import Quote
from tidemark.plan.job import JobPlan, plan_hash
from tidemark.plan.secrets import lend
from tidemark.results.job_files import evidence_name, put_job_file
from tidemark.results.options import references, resolved
from tidemark.results.redact import Redactor
from tidemark.results.store import Store, open_store
from tidemark.waiting.failure import Failure, FailureClass
from tidemark.waiting.policy import Action, Decision

__all__ = ["DlcJobResult", "JobOrder", "JobSteps"]


@dataclass(frozen=True, slots=True)
class DlcJobResult:
    """What became of a job.

    `outcome` is "complete", "failed" or "cancelled", and `failure` why it is not complete.
    `billable_s` are machine-seconds, `cost` what they come to in `currency`, None without a price.
    `store` is where a sweep keeps its cells, and `evidence` where in it the logs and events of the
    job are; `left` says what could not be released.
    """

    run_id: str
    job_id: str
    status: str
    outcome: str
    failure: Failure | None
    billable_s: float
    cost: Decimal | None
    currency: str | None
    store: str
    evidence: str | None = None
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobOrder:
    """What is to be run: a plan, where, under which policy, with which clock and connections."""

    name: str
    plan: JobPlan
    workspace: PaiWorkspace
    policy: SpendingPolicy
    result_store: ResultStore | None
    environ: Mapping[str, str] = field(repr=False)
    directory: Path
    clock: Clock
    transport: httpx.AsyncBaseTransport | None
    log: Any = field(repr=False)


class JobSteps:
    """One run of an order. Its own log lines hold no secret that it was lent."""

    def __init__(self, order: JobOrder) -> None:
        """Resolve all that the order names. Raises TidemarkError before anything is started."""
        self._order = order
        self._log = order.log
        self._clock = order.clock
        self._config: Config = load_config(order.environ, order.directory)
        self._plan = order.workspace.plan_for(order.plan)
        self._plan_hash = plan_hash(self._plan)
        self._rules = order.policy.rules()
        self._lent = lend(self._plan.secrets, order.environ, read_text, read_kept_secret)
        self._uri, self._options, credentials = _store_of(order.result_store, self._config)
        for_store = lend(references(credentials), order.environ, read_text, read_kept_secret)
        secrets = (*self._lent.values(), *for_store.values(), *order.workspace.secrets)
        self._redactor = Redactor(secrets)
        self._store: Store = open_store(
            self._uri,
            options=self._options,
            credentials=resolved(credentials, lambda ref: for_store[str(ref)]),
            redactor=self._redactor,
            outbox=self._config.outbox,
        )
        self._evidence: str | None = None
        self._stop_reason: str | None = None
        self._task: asyncio.Task[Any] | None = None
        self._closing = False

    def stop(self, why: str) -> None:
        """Give the job up: it is stopped, and what it holds is released. Only in the event loop.

        A run that is ending already ends as it does.
        """
        if self._closing or self._stop_reason is not None:
            return
        self._stop_reason = why
        if self._task is not None:
            self._task.cancel()

    async def carry_out(self, started: Callable[[str, str], None]) -> DlcJobResult:
        """All steps; `started` is called with the ids of the run and the job once it is there.

        Whatever happens, nothing is left running, but where another process took the job over.
        Raises RefusedError where the policy says no, and TidemarkError.
        """
        self._task = asyncio.current_task()
        order = self._order
        ledger = await asyncio.to_thread(open_ledger, self._config, self._clock, create=True)
        try:
            account = order.workspace.account(
                self._config,
                clock=self._clock,
                transport=order.transport,
                environ=order.environ,
            )
            async with account:
                begun = new_run(
                    self._plan,
                    now=self._now(),
                    rules=self._rules,
                    region=account.region,
                    workspace_block=order.workspace._block_document_name,
                    endpoint=order.workspace.endpoint,
                    trigger="block",
                    trigger_ref=order.name or None,
                )
                run = await asyncio.to_thread(ledger.begin_run, begun)
                desk = JobDesk(ledger, account, self._clock, owner_name())
                return await self._take_steps(desk, run, started)
        finally:
            ledger.close()

    async def _take_steps(
        self, desk: JobDesk, run: LedgerRun, told: Callable[[str, str], None]
    ) -> DlcJobResult:
        ledger, run_id = desk.ledger, run.run_id
        job: Started | None = None
        try:
            offer = await desk.quote(self._plan, run)
            approved = await self._approved(desk, run, offer.quote)
            await desk.reserve(self._plan, run, offer.quote, approved, self._rules)
            await self._say(ledger, run_id, "starting", "Creating the job")
            choice = workspace_choice(desk.account)
            where = Where(
                # An approval covers the job only: a workspace that is not there is not created.
                workspace_id=await choice.choose(self._order.workspace.workspace_id, approved),
                store_uri=self._uri if self._plan.sweep is not None else None,
                store_options=self._options,
                lend=self._lent,
            )
            job = await desk.start(self._plan, run, offer, approved, where)
            for job_id in job.left_running:
                self._log.error(
                    "%s has the same name and could not be stopped: it is billed", job_id
                )
            told(run_id, job.job.job_id)
            end = await self._watch(desk, job, offer.quote)
        except NotTheOwner:
            raise  # another process goes on with the job
        except RunCancelled as cancelled:
            await self._finish(desk, run_id, cancelled.what)
            await self._over(ledger, run_id, "cancelled", cancelled.what, "cancelled", 1)
            raise
        except asyncio.CancelledError:
            why = self._stop_reason or "the process that started it ends"
            released = await self._finish(desk, run_id, why)
            await self._over(ledger, run_id, "cancelled", why, "cancelled", 3)
            if job is None:
                raise
            failure = Failure(
                FailureClass.STOPPED, why, f"run {run_id}", "Trigger it again if it was not meant"
            )
            return self._result(job.job, "cancelled", failure, released)
        except BaseException as error:
            await self._finish(desk, run_id, f"the run failed: {type(error).__name__}")
            line = self._redactor.text(str(error))
            await self._over(ledger, run_id, "failed", line, "failed", 1)
            raise
        released = await self._finish(desk, run_id, f"the job ended {end.job.status}")
        outcome, exit_status = _outcome(end)
        state = "cancelled" if outcome == "cancelled" else "finished"
        line = f"Job {end.job.job_id} ended {end.job.status}"
        await self._over(ledger, run_id, state, line, outcome, exit_status)
        return self._result(end.job, outcome, end.failure, released)

    async def _approved(self, desk: JobDesk, run: LedgerRun, quote: Quote) -> ApprovedPlan:
        name = f"policy {self._order.policy.name}"
        told = await desk.ask_policy(run, quote, self._rules)
        answer = await desk.note_answer(
            quote,
            "approve" if told.allowed else "reject",
            by=name,
            channel=name,
            rule=told.rule,
            reason=told.why,
        )
        if answer.decision == "reject":
            line = f"Rejected by {answer.by}: {answer.reason}"
            await self._over(desk.ledger, run.run_id, "rejected", line, "rejected", 1)
            raise RefusedError(
                f"the {name} does not allow it: {answer.reason}",
                f"run {run.run_id}",
                "Change the plan or the policy, or run the plan by the flow, which asks a person",
            )
        self._log.info("approved by %s: %s", answer.by, answer.reason)
        return approve(quote, answer, plan_hash=self._plan_hash, now=self._now)

    async def _watch(self, desk: JobDesk, started: Started, quote: Quote) -> JobEnd:
        ledger, run_id = desk.ledger, started.lease.run_id
        shown = ""

        async def tell(job: Job, decision: Decision) -> None:
            nonlocal shown
            line = f"Job {job.job_id}: {job.status or 'no status yet'}"
            if decision.action is not Action.WAIT:
                line += f" ({self._redactor.text(decision.why)})"
            if line != shown:
                shown = line
                await self._say(ledger, run_id, "running", line)

        async def asked_to_stop() -> str | None:
            with suppress(LedgerError):  # asked again at the next look
                run = await asyncio.to_thread(ledger.run, run_id)
                return f"asked to stop by {run.cancel_asked}" if run.cancel_asked else None
            return None

        def said(pod_id: str, line: str) -> None:
            self._log.info("%s | %s", pod_id, self._redactor.text(line))

        async def keep(evidence: JobEvidence) -> None:
            await self._keep(run_id, evidence)

        return await desk.watch(
            started,
            self._plan,
            quote,
            keep=keep,
            tell=tell,
            said=said,
            asked_to_stop=asked_to_stop,
            clean=self._redactor.text,
        )

    async def _keep(self, run_id: str, evidence: JobEvidence) -> None:
        """Logs, events and the job's own answer, in the store before anything is stopped."""
        name = evidence_name(self._now())
        try:
            kept = await asyncio.to_thread(
                put_job_file, self._store, run_id, name, evidence.document()
            )
        except StoreError as error:
            self._log.warning("the evidence is not in the store: %s", error)
            return
        self._evidence = kept
        self._log.info("logs and events are kept in %s/%s", self._store.uri, kept)

    async def _finish(self, desk: JobDesk, run_id: str, why: str) -> Released:
        self._closing = True
        released = await desk.finish(run_id, why=why)
        for text in released.left:
            self._log.error("not released: %s", text)
        if released.amount is not None and released.currency is not None:
            cost = sum_text(released.amount, released.currency)
            self._log.info(
                "%.0f machine-seconds are metered, which come to %s", released.billable_s, cost
            )
        return released

    def _result(
        self, job: Job, outcome: str, failure: Failure | None, released: Released
    ) -> DlcJobResult:
        if failure is not None:
            # Its evidence may be a line of the job's log.
            failure = replace(failure, evidence=self._redactor.text(failure.evidence))
        last = next((one for one in released.jobs if one.job_id == job.job_id), job)
        return DlcJobResult(
            run_id=released.run_id,
            job_id=job.job_id,
            status=last.status,
            outcome=outcome,
            failure=failure,
            billable_s=released.billable_s,
            cost=released.amount,
            currency=released.currency,
            store=self._uri,
            evidence=self._evidence,
            left=released.left,
        )

    async def _say(self, ledger: Ledger, run_id: str, state: str, line: str) -> None:
        self._log.info("%s", line)
        with suppress(LedgerError):  # nobody's money depends on it
            await asyncio.to_thread(ledger.say, run_id, state=state, line=line)

    async def _over(
        self, ledger: Ledger, run_id: str, state: str, line: str, outcome: str, exit_status: int
    ) -> None:
        self._log.info("%s", line)
        with suppress(LedgerError):
            await asyncio.to_thread(
                ledger.say,
                run_id,
                state=state,
                line=line,
                outcome=outcome,
                exit_status=exit_status,
            )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)


def _store_of(
    saved: ResultStore | None, config: Config
) -> tuple[str, Mapping[str, str], Mapping[str, str]]:
    """Location, options and credentials of the saved store, or of the configured one."""
    if saved is not None:
        return saved.uri, saved.options, saved.credentials
    return config.store, config.options_for(config.store), config.credentials_for(config.store)


def _outcome(end: JobEnd) -> tuple[str, int]:
    if end.decision.clock == "asked":
        return "cancelled", 3
    return ("failed", 1) if end.failure is not None else ("complete", 0)
