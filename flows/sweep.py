"""A concurrency sweep: every cell of a plan, measured, proved, kept and reported."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow
from prefect.runtime import flow_run

from tasks.cells import called_off, measure_cell, open_session
from tasks.floors import measure_floors
from tasks.preflight import preflight
from tasks.progress import RunProgress, expected_steps
from tasks.prove import prove_cells
from tasks.report import SweepOutcome, finish_run
from tasks.room import open_room
from tidemark.errors import TidemarkError
from tidemark.plan.sweep import SweepPlan

__all__ = ["sweep"]


def _run_name() -> str:
    plan = flow_run.parameters["plan"]
    endpoint = plan["endpoint"] if isinstance(plan, dict) else plan.endpoint.model_dump()
    return f"sweep {endpoint.get('model') or 'of a service'}"


@flow(name="sweep", flow_run_name=_run_name, retries=0)
async def sweep(
    plan: SweepPlan,
    store: str | None = None,
    round: str | None = None,
    only: list[str] | None = None,
) -> SweepOutcome:
    """Measure every cell of a plan, keep the results, and report.

    Args:
        plan: What to measure.
        store: Where results are kept: a path, file:// or s3://. Left out: as configured.
        round: Name of the occasion of measuring. Left out: a new one.
        only: Beginnings of cell ids: measure only these cells. Left out: all.
    """
    started_at = datetime.now(UTC)

    # 1. Resolve all that the plan names; refuse what cannot work.
    room = open_room(plan, store=store, round=round, only=only)

    with room.workspace():
        # 2. One look at engine, tokenizer, store and service, before any load.
        probe = await preflight(room)

        # 3. Measure cell after cell; each is kept the moment it is there.
        expected = {scenario: probe.service_time_s(scenario) for scenario in plan.scenarios}
        progress = RunProgress(expected_steps(plan, room.cells, expected))
        attempts, broken = [], None
        try:
            async with open_session(room, progress, expected) as session:
                for cell in room.cells:
                    if called_off():
                        break
                    attempts += await measure_cell(room, session, cell, progress)
        except TidemarkError as error:
            broken = error  # the cells before it are results all the same

        # 4. What the client machine itself adds at these loads.
        floors = await measure_floors(room, attempts, progress)

        # 5. Judge, and keep the rows.
        kept = await prove_cells(room, attempts, floors)

        # 6. The run's row, its manifest, and five lines.
        outcome = await finish_run(room, kept, started_at)
        if broken is not None:
            raise broken
        return outcome
