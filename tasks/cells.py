"""Measuring one cell, and keeping what was measured the moment it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from tasks.log import logger
from tasks.preflight import preflight
from tasks.progress import RunProgress, cell_step, expected_steps
from tasks.room import Room
from tidemark.engines.process import EngineSession, Progress, Standby
from tidemark.engines.protocol import RawAttempt
from tidemark.plan.cells import Cell
from tidemark.results.client_floor import Floor
from tidemark.results.context import AttemptContext, RunContext
from tidemark.results.layout import attempt_id
from tidemark.results.metrics import CellMetrics
from tidemark.results.proof import measured_metrics, proved_row
from tidemark.results.record import Evidence, record_of
from tidemark.results.requests import CellRaw
from tidemark.results.store import Attempt

__all__ = ["STANDBY", "Measured", "cell_line", "measure_cell", "measure_cells", "open_session"]

TRIES = 2
STANDBY: ContextVar[Standby | None] = ContextVar("tidemark_standby", default=None)
"""An engine that was started ahead of the flow, if there is one."""


@dataclass(frozen=True)
class Measured:
    """A cell that was measured and whose raw output is kept; its verdict is still to come.

    `run` is the run that measured it: another than this one where that one did not live to judge.
    `floor` is the client floor that one had begun to judge it under.
    """

    run: RunContext
    context: AttemptContext
    raw: CellRaw
    metrics: CellMetrics
    evidence_sha256: str
    floor: Floor | None = None

    @classmethod
    def of(cls, room: Room, evidence: Evidence) -> Measured:
        """What an earlier run of the round measured, read from what it kept."""
        raw = room.engine.read(evidence.files, evidence.engine_context)
        metrics = measured_metrics(evidence.run, raw)
        return cls(evidence.run, evidence.attempt, raw, metrics, evidence.sha256, evidence.floor)

    @property
    def key(self) -> str:
        """Tells this attempt from every other of the run, as the names of its parts do."""
        return f"{self.context.cell.cell_id}-{self.context.attempt_id}"

    def row(self, floor: Floor | None = None) -> dict[str, Any]:
        """The row of the attempt, under its client floor if one is known."""
        return proved_row(self.run, self.context, self.raw, self.metrics, floor)

    def __repr__(self) -> str:
        return f"Measured({self.context.cell.scenario}, {self.context.attempt_id})"


def cell_line(room: Room, cell: Cell) -> str:
    """The status anyone can read: `Running iteration 2/6: concurrency=5`."""
    level = (
        f"batch_size={cell.batch_size}"
        if len(room.plan.batch_sizes) > 1
        else f"concurrency={cell.concurrency}"
    )
    place = room.cells.index(cell) + 1
    return f"Running iteration {place}/{len(room.cells)}: {level} ({cell.scenario})"


def open_session(
    room: Room, cells: Sequence[Cell], progress: RunProgress, expected_e2e_s: dict[str, float]
) -> EngineSession:
    """The engine, ready to be asked for these cells in their order."""

    def on_progress(moment: Progress) -> None:
        if moment.cell is not None and moment.requests:
            progress.part(cell_step(moment.cell), moment.finished / moment.requests)

    return EngineSession(
        room.engine,
        room.plan,
        cells,
        directory=room.directory,
        secrets=room.secrets,
        seed=room.seed,
        expected_e2e_s=expected_e2e_s,
        standby=STANDBY.get(),
        on_progress=on_progress,
    )


async def measure_cells(
    room: Room, cells: Sequence[Cell], progress: RunProgress
) -> AsyncIterator[Measured]:
    """Measure cells one after another, after one look at the service; all attempts, as they come.

    Ends early when the run is asked to stop.
    """
    if not cells or room.stop.asked:
        return
    probe = await preflight(room)
    expected = {scenario: probe.service_time_s(scenario) for scenario in room.plan.scenarios}
    progress.expected_s = expected_steps(room.plan, cells, expected)
    async with open_session(room, cells, progress, expected) as session:
        for cell in cells:
            if room.stop.asked:
                return
            for measured in await measure_cell(room, session, cell, progress):
                yield measured


@task(
    name="measure cell",
    task_run_name="{cell.scenario} concurrency={cell.concurrency} repeat={cell.repeat_idx}",
    cache_policy=NO_CACHE,
)
async def measure_cell(
    room: Room, session: EngineSession, cell: Cell, progress: RunProgress
) -> list[Measured]:
    """Measure one cell; keep its raw output and its requests before anything is said about it.

    A cell during which the run is called off leaves nothing.
    Each try is an attempt with a row of its own. Only an engine that never began is tried again:
    what a service or a client did under load is a result, and is not repeated until it pleases.
    """
    progress.step(cell_step(cell), cell_line(room, cell))
    attempts: list[Measured] = []
    for number in range(TRIES):
        created_at = datetime.now(UTC)
        watching = asyncio.create_task(_publish(progress))
        try:
            attempt = await room.stop.unless_asked(session.measure(cell))
        finally:
            watching.cancel()
        if attempt is None:
            return attempts
        measured = await asyncio.to_thread(_keep, room, attempt, number, created_at)
        attempts.append(measured)
        failure = measured.raw.failure
        if failure is None:
            break
        logger().warning("%s: %s. %s", failure.error_class, failure.evidence, failure.advice)
        if failure.error_class != "engine_start":
            break
    progress.finish(cell_step(cell))
    await progress.publish(force=True)
    return attempts


async def _publish(progress: RunProgress) -> None:
    while True:
        await progress.publish()
        await asyncio.sleep(1.0)


def _keep(room: Room, attempt: RawAttempt, number: int, created_at: datetime) -> Measured:
    """Redact, then read: rows come from what is kept, so they can be rebuilt from it."""
    files = {name: room.redactor.data(content) for name, content in attempt.files.items()}
    engine_context = {name: room.redactor.tree(value) for name, value in attempt.context.items()}
    finished_at = datetime.now(UTC)
    raw = room.engine.read(files, engine_context)
    cell = attempt.cell
    context = AttemptContext(
        cell=cell,
        attempt_id=attempt_id(room.context.run_id, cell.repeat_idx, number),
        created_at=created_at,
        started_at=finished_at - timedelta(seconds=raw.wall_s) if raw.wall_s else None,
        finished_at=finished_at,
        try_idx=number,
        task_run_id=task_run.id,
        reproduce=(
            f"tidemark sweep run:{room.context.run_id} --store {room.store.uri} "
            f"--cell {cell.cell_id[:12]}"
        ),
        resources={"seed": attempt.context.get("run_seed")},
    )
    metrics = measured_metrics(room.context, raw)
    room.check_owner()
    kept = room.store.put_evidence(
        Attempt(
            row=proved_row(room.context, context, raw, metrics),
            requests=raw.rows,
            raw_files=files,
            raw_context=engine_context,
            record=record_of(room.context, context),
        )
    )
    return Measured(room.context, context, raw, metrics, kept)
