"""The reaper: stops what this installation started, and nobody looks after any more."""

from __future__ import annotations

from prefect import flow

from blocks import PaiWorkspace
from flows.sweep import Texts
from tasks.reaping import (
    ReapOutcome,
    end_cancelled_runs,
    reap_region,
    regions_to_look_at,
    report_reaped,
)

__all__ = ["reaper"]


@flow(name="reaper", retries=0)
async def reaper(
    workspace: PaiWorkspace | None = None, regions: Texts = (), dry_run: bool = False
) -> ReapOutcome:
    """Stop jobs whose lease has expired, and see that they have stopped. Only those that carry
    this installation's id, and none while the ledger cannot be asked or is not this installation's.

    Args:
        workspace: A saved workspace with its credentials. None: as configured where the run is.
        regions: Regions to look at. Left empty: those of open leases, and the configured one.
        dry_run: Say what would be stopped, and stop nothing.
    """
    # 1. Where something of ours may be.
    look_at = await regions_to_look_at(workspace, tuple(regions or ()))

    # 2. One region after the other: what fails in one is no reason to leave the others.
    reports = [await reap_region(workspace, region, dry_run) for region in look_at]

    # 3. Runs that waited for an answer, and that somebody ended in Prefect.
    ended = await end_cancelled_runs(dry_run)

    # 4. What was stopped, what was left and why, and what it saved.
    return await report_reaped(reports, ended, dry_run)
