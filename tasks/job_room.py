"""What all steps of one run of a job share: its plan, its account, its ledger, its store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

import httpx
from prefect.runtime import deployment, flow_run

from blocks import PaiWorkspace, ResultStore, SpendingPolicy
from tasks.log import logger
from tasks.place import Place, place_of
from tasks.progress import RunProgress
from tasks.room import trigger
from tasks.secrets import read_block
from tasks.stop import STOP, Stop
from tidemark.alibaba.account import Account
from tidemark.alibaba.job_steps import JobDesk, Where, new_run, owner_name
from tidemark.alibaba.lease_closing import PATIENCE_S, ask_ledger
from tidemark.clock import Clock, SystemClock
from tidemark.config import Config, load_config, read_text
from tidemark.errors import LedgerError, RefusedError
from tidemark.money.ledger import Ledger, LedgerRun
from tidemark.money.opening import open_ledger
from tidemark.money.policy import SpendingRules
from tidemark.plan.job import JobPlan
from tidemark.plan.secrets import lend
from tidemark.plan.sweep import plan_hash
from tidemark.results.options import references
from tidemark.results.redact import Redactor
from tidemark.results.store import Store

__all__ = ["CLOCK", "OWNERS", "TRANSPORT", "JobRoom", "automatic", "open_job_room"]

P = ParamSpec("P")
T = TypeVar("T")

CLOCK: ContextVar[Clock | None] = ContextVar("tidemark_clock", default=None)
"""The clock of everything that waits or tells the time; this machine's where none is set."""

TRANSPORT: ContextVar[httpx.AsyncBaseTransport | None] = ContextVar(
    "tidemark_transport", default=None
)
"""What carries calls to Alibaba Cloud; the network where none is set."""

OWNERS: dict[str, str] = {}
"""By flow run, as whom this process owns its leases: a hook in it releases no others."""

_ACCOUNT_SECRETS = ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN")

# Seconds that steps take besides the job itself, for the bar.
_EXPECTED_S = {"quoting": 5.0, "starting": 10.0, "collecting": 5.0}

# Triggers behind which nobody sits who could be asked.
_AUTOMATIC = ("schedule", "event")


def automatic(run: LedgerRun) -> bool:
    """Whether nobody sits behind a run who could be asked."""
    return run.trigger in _AUTOMATIC


@dataclass(frozen=True)
class JobRoom:
    """One run of a job."""

    plan: JobPlan
    plan_hash: str
    run: LedgerRun
    ledger: Ledger
    account: Account
    workspace: PaiWorkspace
    rules: SpendingRules | None
    policy_name: str
    place: Place
    store: Store
    secrets: Mapping[str, str]
    config: Config
    clock: Clock
    redactor: Redactor
    stop: Stop
    owner: str
    progress: RunProgress

    @property
    def desk(self) -> JobDesk:
        """Takes the run's steps."""
        return JobDesk(self.ledger, self.account, self.clock, self.owner)

    def where(self, workspace_id: str) -> Where:
        """Where the job runs, and where a sweep in it keeps its results."""
        return Where(
            workspace_id=workspace_id,
            store_uri=self.place.uri if self.plan.sweep is not None else None,
            store_options=self.place.options,
            lend=self.secrets,
        )

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.fromtimestamp(self.clock.time(), UTC)

    async def say(self, state: str, line: str) -> None:
        """Tell what the run does: in the ledger, in Prefect's log, in the terminal."""
        self.progress.follow(state, line)
        try:
            await self.ask(self.ledger.say, self.run.run_id, state=state, line=line)
        except LedgerError as error:
            if state != "running":
                raise
            # The job goes on, and what it does next is told again.
            logger().warning("the ledger is not told what the run does: %s", error)

    async def ask(self, method: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """What a method of the ledger answers, asked again for a minute while that is away."""
        return await ask_ledger(self.clock, PATIENCE_S, method, *given, **named)

    def __repr__(self) -> str:
        return f"JobRoom({self.run.run_id})"


@asynccontextmanager
async def open_job_room(
    plan: JobPlan,
    *,
    workspace: PaiWorkspace | None,
    policy: SpendingPolicy | None,
    store: str | None,
    result_store: ResultStore | None,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[JobRoom]:
    """Resolve all that a job's plan names. Raises TidemarkError before anything is started.

    A flow run that is gone on with, after an approval or a crash, is the same run.
    """
    environ = os.environ if environ is None else environ
    config = load_config(environ, Path.cwd())
    clock = CLOCK.get() or SystemClock()
    # Without a saved workspace: as it is configured where the run is.
    workspace = workspace or PaiWorkspace()
    plan = workspace.plan_for(plan)
    place = place_of(store, result_store, config)
    _refuse_distant_folder(plan, place)
    lent = lend(plan.secrets, environ, read_text, read_block)
    lent_for_store = lend(references(place.credentials), environ, read_text, read_block)
    # A job's log may tell what its account's own variables hold here.
    own = [environ[name] for name in _ACCOUNT_SECRETS if environ.get(name)]
    redactor = Redactor((*lent.values(), *lent_for_store.values(), *workspace.secrets, *own))
    rules = policy.rules() if policy is not None else None
    opened_store = place.open(lent_for_store, redactor, outbox=config.outbox)
    ledger = await asyncio.to_thread(open_ledger, config, clock, create=True)
    try:
        account = workspace.account(config, clock=clock, transport=TRANSPORT.get())
        async with account:
            why, reference = trigger()
            begun = new_run(
                plan,
                now=datetime.fromtimestamp(clock.time(), UTC),
                rules=rules,
                region=account.region,
                workspace_block=workspace._block_document_name,
                endpoint=workspace.endpoint,
                trigger=why,
                trigger_ref=reference,
                flow_run_id=str(flow_run.id) if flow_run.id else None,
            )
            run = await ask_ledger(clock, PATIENCE_S, ledger.begin_run, begun)
            digest = plan_hash(plan)
            if run.plan_hash != digest:
                raise RefusedError(
                    "this flow run was begun with another plan",
                    f"run {run.run_id}",
                    "Start a new run for the changed plan: it gets a quote of its own",
                )
            owner = owner_name()
            OWNERS[run.flow_run_id or run.run_id] = owner
            progress = RunProgress(clock.monotonic, artifact="job-progress")
            progress.expected_s |= _EXPECTED_S
            yield JobRoom(
                plan=plan,
                plan_hash=digest,
                run=run,
                ledger=ledger,
                account=account,
                workspace=workspace,
                rules=rules,
                policy_name=policy.name if policy is not None else "",
                place=place,
                store=opened_store,
                secrets=lent,
                config=config,
                clock=clock,
                redactor=redactor,
                stop=STOP.get() or Stop(),
                owner=owner,
                progress=progress,
            )
    finally:
        ledger.close()


def _refuse_distant_folder(plan: JobPlan, place: Place) -> None:
    """A job runs elsewhere: a folder of this machine is not there."""
    if plan.sweep is not None and deployment.id and place.uri.startswith("file:"):
        logger().warning(
            "the job keeps its results in %s: that has to be a folder it shares with this machine",
            place.uri,
        )
