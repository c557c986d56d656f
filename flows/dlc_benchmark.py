"""A benchmark in a DLC job: found, quoted, approved, started, waited for, kept, and given back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled

from blocks import PaiWorkspace, ResultStore, SpendingPolicy
from flows.sweep import Text
from tasks.approval import confirm
from tasks.job_quote import check_job_store, quote_run
from tasks.job_release import release_after, release_run
from tasks.job_results import JobOutcome, finish_job
from tasks.job_room import open_job_room
from tasks.job_shown import JobPreview, called_off, ended, rejected, shown_only
from tasks.jobs import reserve_money, start_the_job, watch_the_job
from tidemark.alibaba.leased_jobs import RunCancelled
from tidemark.money.approval import Approval
from tidemark.plan.job import JobPlan

__all__ = ["dlc_benchmark"]


def _run_name() -> str:
    given = flow_run.parameters
    plan = given["plan"]
    name = plan.get("name") if isinstance(plan, Mapping) else plan.name
    return f"{'quote' if given.get('dry_run') else 'job'} {name or 'without a name'}"


_HOOKS: Any = [release_after]


@flow(
    name="dlc-benchmark",
    flow_run_name=_run_name,
    retries=0,
    persist_result=True,
    on_completion=_HOOKS,
    on_failure=_HOOKS,
    on_cancellation=_HOOKS,
    on_crashed=_HOOKS,
)
async def dlc_benchmark(
    plan: JobPlan,
    workspace: PaiWorkspace | None = None,
    policy: SpendingPolicy | None = None,
    store: Text = "",
    result_store: ResultStore | None = None,
    dry_run: bool = False,
) -> JobOutcome | JobPreview | State:
    """Run a command, or a sweep, in a PAI-DLC job: nothing is created before its cost is approved.

    Args:
        plan: What to run, on what machine, and up to what sum.
        workspace: A saved workspace with its region and credentials. None: as configured where
            the run is.
        policy: Rules that answer for a person. Runs of schedules and events need one; of others it
            allows what it allows, and a person is asked about the rest.
        store: Where results are kept: a folder, or a URI such as oss://bucket/path. Left empty: as
            configured where the run is. A sweep inside the job writes there itself.
        result_store: A saved store to keep results in, instead of a location in store.
        dry_run: Find the machine, show the quote, and start nothing.
    """
    async with open_job_room(
        plan, workspace=workspace, policy=policy, store=store, result_store=result_store
    ) as room:
        # 1. What kind of machine, and what it costs; a run that is gone on with has its quote.
        offer = await room.desk.kept_offer(room.run.run_id)
        if offer is None:
            if not dry_run:
                await check_job_store(room)
            offer = await quote_run(room)
        if dry_run:
            return await shown_only(room, offer)

        # 2. Somebody says yes, up to a sum: a policy, or a person for whom the run is suspended.
        offer, answer = await confirm(room, offer)
        if isinstance(answer, Approval):
            return Cancelled(message=await rejected(room, answer))

        # 3. The money is set aside before anything that costs some is there.
        await reserve_money(room, offer, answer)

        # 4. One job, created or found to be there.
        try:
            started = await start_the_job(room, offer, answer)
        except RunCancelled as cancelled:
            await release_run(room, cancelled.what)
            return Cancelled(message=await called_off(room, cancelled))

        # 5. Until it has ended; what hangs is looked into, and what will not come right is stopped.
        end = await watch_the_job(room, offer, started)

        # 6. Nothing is left running, and what it cost is known.
        released = await release_run(room, f"the job ended {end.job.status}")

        # 7. Its cells, its use of the machine, its row and five lines.
        outcome = await finish_job(room, offer, answer, end, released)
        return await ended(room, outcome, end)
