"""Measuring one cell, and keeping what was measured the moment it is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from tasks.log import logger
from tasks.progress import RunProgress, cell_step
from tasks.room import Room
from tidemark.engines.process import EngineSession, Progress, Standby
from tidemark.engines.protocol import RawAttempt
from tidemark.plan.cells import Cell
from tidemark.results.client_floor import Floor
from tidemark.results.context import AttemptContext
from tidemark.results.floor import apply_floor
from tidemark.results.layout import attempt_id
from tidemark.results.metrics import CellMetrics, summarise
from tidemark.results.requests import CellRaw
from tidemark.results.rows import cell_row
from tidemark.results.store import Attempt
from tidemark.results.verdict import judge

__all__ = [
    "CALLED_OFF",
    "STANDBY",
    "Measured",
    "attempt_of",
    "called_off",
    "cell_line",
    "measure_cell",
    "open_session",
    "unless_called_off",
]

T = TypeVar("T")
TRIES = 2
STANDBY: ContextVar[Standby | None] = ContextVar("tidemark_standby", default=None)
"""An engine that was started ahead of the flow, if there is one."""
CALLED_OFF: ContextVar[Callable[[], bool]] = ContextVar("tidemark_called_off", default=bool)
"""Whether the run is to end now, with the cells it has; the terminal sets it."""
STOP_POLL_S = 0.1


@dataclass(frozen=True)
class Measured:
    """A cell that was measured and whose raw output is kept; its verdict is still to come."""

    context: AttemptContext
    raw: CellRaw
    metrics: CellMetrics
    files: dict[str, bytes]
    engine_context: dict[str, Any]

    @property
    def key(self) -> str:
        """Tells this attempt from every other of the run, as the names of its parts do."""
        return f"{self.context.cell.cell_id}-{self.context.attempt_id}"

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
    room: Room, progress: RunProgress, expected_e2e_s: dict[str, float]
) -> EngineSession:
    """The engine, ready to be asked for the cells of the run in their order."""

    def on_progress(moment: Progress) -> None:
        if moment.cell is not None and moment.requests:
            progress.part(cell_step(moment.cell), moment.finished / moment.requests)

    return EngineSession(
        room.engine,
        room.plan,
        room.cells,
        directory=room.directory,
        secrets=room.secrets,
        seed=room.seed,
        expected_e2e_s=expected_e2e_s,
        standby=STANDBY.get(),
        on_progress=on_progress,
    )


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
            attempt = await unless_called_off(session.measure(cell))
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


def called_off() -> bool:
    """Whether the run is to end now, with the cells it has."""
    return CALLED_OFF.get()()


async def unless_called_off(measuring: Coroutine[Any, Any, T]) -> T | None:
    """What is measured, or None when the run was called off meanwhile."""
    work = asyncio.create_task(measuring)
    while not work.done():
        if called_off():
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
            return None
        await asyncio.wait([work], timeout=STOP_POLL_S)
    return await work


async def _publish(progress: RunProgress) -> None:
    while True:
        await progress.publish()
        await asyncio.sleep(1.0)


def _keep(room: Room, attempt: RawAttempt, number: int, created_at: datetime) -> Measured:
    """Redact, then read: rows come from what is kept, so they can be rebuilt from it."""
    files = {name: room.redactor.data(content) for name, content in attempt.files.items()}
    finished_at = datetime.now(UTC)
    raw = room.engine.read(files, attempt.context)
    metrics = summarise(
        raw, task=room.plan.task, slo=room.plan.slo, token_counts=room.plan.token_counts
    )
    cell = attempt.cell
    command = (
        f"tidemark sweep run:{room.context.run_id} --store {room.store.uri} "
        f"--cell {cell.cell_id[:12]}"
    )
    context = AttemptContext(
        cell=cell,
        attempt_id=attempt_id(room.context.run_id, cell.repeat_idx, number),
        created_at=created_at,
        started_at=finished_at - timedelta(seconds=raw.wall_s) if raw.wall_s else None,
        finished_at=finished_at,
        try_idx=number,
        task_run_id=task_run.id,
        reproduce=command,
        resources={"seed": attempt.context.get("run_seed")},
    )
    measured = Measured(context, raw, metrics, files, dict(attempt.context))
    room.store.put_evidence(attempt_of(room, measured))
    return measured


def attempt_of(room: Room, measured: Measured, floor: Floor | None = None) -> Attempt:
    """What the store keeps of a measured cell, under the client floor if it is known."""
    metrics, context = measured.metrics, measured.context
    metrics = apply_floor(metrics, floor, concurrency=context.cell.concurrency, raw=measured.raw)
    if floor is not None:
        context = replace(context, floor=json.loads(floor.to_json()))
    verdict = judge(measured.raw, metrics, context.cell, room.plan)
    return Attempt(
        row=cell_row(room.context, context, measured.raw, metrics, verdict),
        requests=measured.raw.rows,
        raw_files=measured.files,
        raw_context=measured.engine_context,
    )
