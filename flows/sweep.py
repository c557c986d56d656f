"""A concurrency sweep: every cell of a plan, measured, proved, kept and reported."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from prefect import flow
from prefect.runtime import flow_run

from tasks.cells import Measured, measure_cells
from tasks.floors import measure_floors
from tasks.ownership import own_round
from tasks.preflight import check_store
from tasks.progress import RunProgress
from tasks.prove import prove_cells
from tasks.report import SweepOutcome, finish_run
from tasks.resume import resume_round
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
    reuse_valid: bool = False,
    only: list[str] | None = None,
) -> SweepOutcome:
    """Measure every cell of a plan, keep the results, and report.

    Args:
        plan: What to measure.
        store: Where results are kept: a path, file:// or s3://. Left out: as configured.
        round: Name of the occasion of measuring. Finished valid cells of the same round are not
            measured again. Left out: a new one.
        reuse_valid: Take over valid cells of other rounds too. Needs a plan that says what is
            behind the endpoint.
        only: Beginnings of cell ids: measure only these cells. Left out: all.
    """
    started_at = datetime.now(UTC)

    # 1. Resolve all that the plan names; refuse what cannot work.
    room = open_room(plan, store=store, round=round, only=only, reuse_valid=reuse_valid)
    progress = RunProgress()

    with room.workspace():
        # 2. See that results can be kept, and own the round while it is worked on.
        await check_store(room)
        async with own_round(room, progress) as room:
            # 3. What the round already has is not measured again.
            resumed = await resume_round(room)
            measured: list[Measured] = list(resumed.unjudged)
            broken: BaseException | None = None

            # 4. One look at the service, then cell after cell; each is kept once it is there.
            try:
                async for attempt in measure_cells(room, resumed.to_measure, progress):
                    measured.append(attempt)  # noqa: PERF401 (an error must not lose them)
            except TidemarkError as error:
                if not measured:
                    raise
                broken = error  # the cells before it are results all the same
            except asyncio.CancelledError as error:
                room.stop.ask("the flow run was cancelled")
                broken = error

            # 5. What the client machine itself adds at these loads.
            floors = await measure_floors(room, measured, progress)

            # 6. Judge, and keep the rows.
            kept = await prove_cells(room, measured, floors)

            # 7. The run's row, its manifest, and five lines.
            outcome = await finish_run(room, resumed.reused, kept, started_at)
            if broken is not None:
                raise broken
            return outcome
