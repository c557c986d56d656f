"""The end of a job's run: its cells, its use of the machine, its row, its manifest, its report."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.job_room import JobRoom
from tasks.job_usage import keep_usage
from tasks.log import logger
from tasks.report import FAILED, FINE, PARTIAL, conclude, send_all
from tasks.room import harness
from tasks.showing import showing
from tidemark.alibaba.job_steps import Offer
from tidemark.alibaba.job_waiting import JobEnd
from tidemark.alibaba.leased_jobs import Released
from tidemark.errors import AlreadyThere
from tidemark.history.report import TO_MEND, five_lines, markdown
from tidemark.money.approval import ApprovedPlan
from tidemark.plan.cells import cells as cells_of
from tidemark.results.context import JobContext, RunOutcome
from tidemark.results.layout import run_path
from tidemark.results.rows import run_row
from tidemark.results.store import with_reuse
from tidemark.results.tables import Row

__all__ = ["JobOutcome", "finish_job"]


@dataclass(frozen=True)
class JobOutcome:
    """What a job's run came to: `outcome` in a word, its exit status, its rows, its five lines."""

    run_id: str
    outcome: str
    exit_status: int
    store: str
    job_id: str | None
    five_lines: tuple[str, ...]
    run: dict[str, Any]
    cells: tuple[dict[str, Any], ...] = ()


@task(name="collect the results", cache_policy=NO_CACHE)
async def finish_job(
    room: JobRoom,
    offer: Offer,
    approved: ApprovedPlan,
    end: JobEnd,
    released: Released,
) -> JobOutcome:
    """Read what the job left in the store, write the run's row and, last, its manifest; say in
    five lines what came of it."""
    await room.say("collecting", "Collecting the results")
    cells = await asyncio.to_thread(_cells, room)
    await keep_usage(room, end.job, cells)
    outcome, exit_status = _concluded(room, end, cells)
    quote, run = offer.quote, room.run
    metered = released.amount
    context = JobContext(
        run_id=run.run_id,
        plan=room.plan,
        plan_hash=room.plan_hash,
        created_at=run.created_at,
        harness=harness(),
        trigger=run.trigger,
        trigger_ref=run.trigger_ref,
        requested_by=run.requested_by,
        approved_by=" via ".join(dict.fromkeys((approved.approval.by, approved.approval.channel))),
        approved_at=approved.approval.decided_at,
        flow_run_id=run.flow_run_id,
        reproduce=f"tidemark dlc run run:{run.run_id} --store {room.place.uri}",
        resources={
            "currency": quote.currency,
            "unit_price_per_hour": quote.per_hour,
            "price_source": quote.price.source,
            "price_at": quote.price.read_at,
            "quoted": quote.expected,
            "reserved": quote.bound,
            "metered": metered,
        },
    )
    row = run_row(
        context,
        RunOutcome(
            outcome=outcome,
            exit_status=exit_status,
            started_at=end.job.gmt_create_time or run.created_at,
            # Both by the service's clock, which need not be this machine's.
            finished_at=end.job.gmt_finish_time or room.now(),
            cells_planned=len(cells_of(room.plan.sweep)) if room.plan.sweep is not None else 0,
            notes=tuple(_notes(room, offer, end, released)),
        ),
        cells,
    )
    row = await asyncio.to_thread(_keep, room, row, cells)
    cells = with_reuse(row, cells)
    if not await asyncio.to_thread(send_all, room.store):
        exit_status = PARTIAL
    lines = five_lines(row, cells)
    async with showing("the report"):
        await acreate_markdown_artifact(
            markdown(row, cells), key="dlc-benchmark-report", description=lines[0]
        )
    return JobOutcome(
        run_id=run.run_id,
        outcome=outcome,
        exit_status=exit_status,
        store=room.place.uri,
        job_id=end.job.job_id,
        five_lines=lines,
        run=row,
        cells=tuple(cells),
    )


def _keep(room: JobRoom, row: Row, cells: Sequence[Row]) -> Row:
    """Write the run's row and its manifest; of a run that was cut short in between, the row that
    is there stands."""
    run = room.run
    try:
        run_part = room.store.put_run(row)
    except AlreadyThere:
        run_part = run_path(run.run_id, run.created_at.astimezone(UTC).date())
        row = room.store.run_row(run_part)
    with suppress(AlreadyThere):
        room.store.put_manifest(
            run.run_id,
            run_part=run_part,
            cell_parts=sorted({room.store.stored(cell).cell_part for cell in cells}),
            contents={"round": run.run_id, "plan_hash": room.plan_hash},
        )
    return row


def _cells(room: JobRoom) -> list[Row]:
    """The last attempts at the cells of the sweep that ran in the job."""
    if room.plan.sweep is None:
        return []
    wanted = {cell.cell_id for cell in cells_of(room.plan.sweep)}
    latest: dict[tuple[str, int], Row] = {}
    for row in room.store.find_cells(wanted, round=room.run.run_id):  # oldest first
        latest[row["cell_id"], row["repeat_idx"]] = row
    return sorted(latest.values(), key=lambda row: row["order_idx"])


def _concluded(room: JobRoom, end: JobEnd, cells: Sequence[Row]) -> tuple[str, int]:
    if room.stop.asked or end.decision.clock == "asked":
        return "cancelled", PARTIAL
    if room.plan.sweep is not None and cells:
        return conclude(cells, len(cells_of(room.plan.sweep)), stopped=end.failure is not None)
    return ("failed", FAILED) if end.failure is not None or room.plan.sweep else ("complete", FINE)


def _notes(room: JobRoom, offer: Offer, end: JobEnd, released: Released) -> list[str]:
    job, quote = end.job, offer.quote
    how = f"the job ended {job.status}"
    notes = [f"{how}: {job.job_id} in {room.account.region}, {quote.machine} × {quote.workers}"]
    if end.failure is not None:
        failure = end.failure
        notes.append(f"{failure.kind.value}: {failure.evidence} ({failure.where})")
        notes.append(f"{TO_MEND}{failure.advice}")
    if released.billable_s:
        notes.append(f"{released.billable_s:.0f} machine-seconds are metered")
    if quote.price.per_hour is None:
        notes.append(f"not priced: {quote.price.reason}")
    notes += [f"not released: {text}" for text in released.left]
    for note in notes:
        logger().info("%s", note)
    return [room.redactor.text(note) for note in notes]
