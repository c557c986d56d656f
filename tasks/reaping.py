"""The steps of the reaper: where to look, one pass over a region, and what it came to."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from prefect import get_client, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import ObjectNotFound

from blocks import PaiWorkspace
from tasks.job_room import CLOCK, TRANSPORT
from tasks.log import logger
from tasks.showing import showing
from tidemark.alibaba.reap_text import report_lines
from tidemark.alibaba.reaping import ReapReport, reap
from tidemark.clock import Clock, SystemClock
from tidemark.config import load_config
from tidemark.errors import LedgerError, TidemarkError
from tidemark.history.report import escape_markdown
from tidemark.money.opening import open_ledger

__all__ = [
    "ReapOutcome",
    "end_cancelled_runs",
    "reap_region",
    "regions_to_look_at",
    "report_reaped",
]


@dataclass(frozen=True)
class ReapOutcome:
    """What a pass came to: ids of jobs that were stopped, what was left and why, and the money
    that they would have gone on to cost, by currency. `exit_status` is 1 if something is left
    that should not be, 2 if nothing was looked at."""

    stopped: tuple[str, ...]
    left: tuple[str, ...]
    saved: Mapping[str, Decimal]
    exit_status: int


def _clock() -> Clock:
    return CLOCK.get() or SystemClock()


@task(name="where to look", cache_policy=NO_CACHE)
async def regions_to_look_at(
    workspace: PaiWorkspace | None, regions: Sequence[str]
) -> tuple[str, ...]:
    """The regions given, else those of open leases and the configured one."""
    if regions:
        return tuple(dict.fromkeys(regions))
    config = load_config(os.environ, Path.cwd())
    own = (workspace.region if workspace else None) or config.region
    try:
        ledger = await asyncio.to_thread(open_ledger, config, _clock(), create=False)
    except LedgerError:
        return (own,)  # where the pass says what is wrong with it
    try:
        open_ones = await asyncio.to_thread(ledger.leases, unreleased=True)
    finally:
        ledger.close()
    return tuple(dict.fromkeys([own, *(lease.region for lease in open_ones)]))


@task(name="reap", task_run_name="reap {region}", cache_policy=NO_CACHE)
async def reap_region(
    workspace: PaiWorkspace | None, region: str, dry_run: bool
) -> tuple[str, ReapReport | TidemarkError]:
    """One pass over a region; an error is an answer too."""
    config = load_config(os.environ, Path.cwd())
    clock = _clock()
    try:
        ledger = await asyncio.to_thread(
            open_ledger, config, clock, create=False, update_tables=not dry_run
        )
    except LedgerError as error:
        return region, error
    try:
        there = (workspace or PaiWorkspace()).model_copy(update={"region": region})
        account = there.account(config, clock=clock, transport=TRANSPORT.get())
        async with account:
            owner = f"reaper {socket.gethostname()}/{os.getpid()}"
            report = await reap(ledger, account, clock=clock, dry_run=dry_run, owner=owner)
        return region, report
    except TidemarkError as error:
        return region, error
    finally:
        ledger.close()


@task(name="end what Prefect ended", cache_policy=NO_CACHE)
async def end_cancelled_runs(dry_run: bool) -> tuple[str, ...]:
    """End the runs that wait for an approval and were ended in Prefect meanwhile: no hook runs for
    a run that holds no process. Returns their ids."""
    config = load_config(os.environ, Path.cwd())
    try:
        ledger = await asyncio.to_thread(open_ledger, config, _clock(), create=False)
    except LedgerError:
        return ()
    ended = []
    try:
        async with get_client() as client:
            for run in await asyncio.to_thread(ledger.runs, states=("waiting",)):
                if run.flow_run_id is None:
                    continue
                try:
                    found = await client.read_flow_run(UUID(run.flow_run_id))
                except (ObjectNotFound, ValueError):
                    continue  # of another server, or none
                if found.state is None or not found.state.is_final():
                    continue
                ended.append(run.run_id)
                if not dry_run:
                    why = f"ended in Prefect: {found.state.name}"
                    await asyncio.to_thread(
                        ledger.say,
                        run.run_id,
                        state="cancelled",
                        line=why,
                        outcome="cancelled",
                        exit_status=1,
                    )
                    await asyncio.to_thread(ledger.settle, run.run_id)
    except LedgerError as error:
        logger().warning("runs that Prefect ended are not ended in the ledger: %s", error)
    finally:
        ledger.close()
    return tuple(ended)


@task(name="report", cache_policy=NO_CACHE)
async def report_reaped(
    reports: Sequence[tuple[str, ReapReport | TidemarkError]],
    ended: Sequence[str],
    dry_run: bool,
) -> ReapOutcome:
    """Say what was stopped and left, in the log and as an artifact."""
    stopped, left = [], []
    lines = [f"run {run_id} was ended in Prefect while it waited" for run_id in ended]
    saved: dict[str, Decimal] = {}
    refused = failed = False
    for region, report in reports:
        if isinstance(report, TidemarkError):
            refused = True
            lines.append(f"{region}: nothing was looked at. {report}")
            continue
        lines += [f"{region}: {line}" for line in report_lines(report)]
        stopped += [job_id for one in report.reaped for job_id in one.stopped]
        left += [f"{one.job_id or one.name}: {one.why}" for one in report.left]
        failed |= report.failed
        refused |= report.refused is not None
        for currency, amount in report.saved.items():
            saved[currency] = saved.get(currency, Decimal(0)) + amount
    for line in lines:
        logger().info("%s", line)
    title = "The reaper would have done" if dry_run else "The reaper has done"
    shown = "\n".join(f"- {escape_markdown(line)}" for line in lines)
    async with showing("what was done"):
        await acreate_markdown_artifact(f"## {title}\n\n{shown}\n", key="reaper")
    status = 2 if refused else 1 if failed else 0
    return ReapOutcome(tuple(stopped), tuple(left), saved, status)
