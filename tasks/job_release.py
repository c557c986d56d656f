"""Giving back what a run holds, however it ended: one way, which may be taken again."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from prefect import Flow, State, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun

from blocks import PaiWorkspace
from tasks.job_room import CLOCK, OWNERS, TRANSPORT, JobRoom
from tasks.log import logger
from tidemark.alibaba.lease_closing import PATIENCE_S, ask_ledger
from tidemark.alibaba.leased_jobs import Released, release
from tidemark.clock import SystemClock
from tidemark.config import load_config
from tidemark.errors import LedgerAway, LedgerError, TidemarkError
from tidemark.money.opening import open_ledger

__all__ = ["release_after", "release_run"]


@task(name="release", cache_policy=NO_CACHE)
async def release_run(room: JobRoom, why: str) -> Released:
    """See that no job of the run is left, settle what it cost, and give its leases back."""
    return await room.desk.finish(room.run.run_id, why=why)


async def release_after(_flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Prefect's hook for runs that are over. It may run in a process of its own, after a
    cancellation or a crash, and finds what the run holds in the ledger."""
    config = load_config(os.environ, Path.cwd())
    clock = CLOCK.get() or SystemClock()
    try:
        ledger = await asyncio.to_thread(open_ledger, config, clock, create=False)
    except LedgerError as error:
        logger().warning("nothing is released: %s", error)
        return
    mine = OWNERS.get(str(flow_run.id))
    try:
        try:
            run = await ask_ledger(clock, PATIENCE_S, ledger.run, str(flow_run.id))
        except LedgerAway:
            raise
        except LedgerError:
            logger().info("nothing is released: this run ended before it was begun")
            return
        left = await ask_ledger(
            clock, PATIENCE_S, ledger.leases, run_id=run.run_id, unreleased=True
        )
        unreleased, theirs = "", False
        if left:
            block = run.plan.get("workspace_block")
            workspace = await PaiWorkspace.aload(block) if block else PaiWorkspace()
            if not block:
                there = {name: run.plan.get(name) for name in ("region", "endpoint")}
                workspace = workspace.model_copy(update=there)
            account = workspace.account(config, clock=clock, transport=TRANSPORT.get())
            async with account:
                released = await release(
                    ledger,
                    account,
                    run.run_id,
                    clock=clock,
                    why=f"the run is {state.name}",
                    # In another process there is none: what was cancelled or has crashed is over.
                    owner=mine,
                )
            for job_id in released.stopped:
                logger().info("job %s was stopped", job_id)
            for text in released.left:
                logger().error("not released, and left to the reaper: %s", text)
            now = await ask_ledger(clock, PATIENCE_S, ledger.leases, run_id=run.run_id)
            # Another process goes on with the run: how it ends is for that one to say.
            theirs = mine is not None and any(
                lease.state != "released" and lease.owner != mine for lease in now
            )
            unreleased = f"; not released: {'; '.join(released.left)}" if released.left else ""
        else:
            await ask_ledger(clock, PATIENCE_S, ledger.settle, run.run_id)
        if not run.ended and not theirs:
            ended = "cancelled" if state.is_cancelled() else "failed"
            line = f"{state.message or state.name or ended}{unreleased}"
            await ask_ledger(clock, PATIENCE_S, ledger.say, run.run_id, state=ended, line=line)
    except TidemarkError as error:
        # The reaper comes by; a hook that fails is not told to anybody otherwise.
        logger().error("what the run holds could not be released: %s", error)
    finally:
        ledger.close()
