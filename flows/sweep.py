"""A concurrency sweep: every cell of a plan, measured, proved, kept and reported."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled
from pydantic import WithJsonSchema

from blocks import InferenceEndpoint, ResultStore
from tasks.cells import Measured, measure_cells
from tasks.floors import measure_floors
from tasks.look_ahead import look_ahead
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

# A form asks of `str | None` which of the two it is to be; of text it asks the text.
Text = Annotated[str | None, WithJsonSchema({"type": "string"})]
Texts = Annotated[
    Sequence[str] | None, WithJsonSchema({"type": "array", "items": {"type": "string"}})
]


def _run_name() -> str:
    given = flow_run.parameters
    planned = _part(given["plan"], "endpoint")
    model = _part(given.get("endpoint"), "model") or _part(planned, "model")
    return f"{'dry run' if given.get('dry_run') else 'sweep'} {model or 'of a service'}"


def _part(whole: Any, name: str) -> Any:
    """A parameter is a model, or the mapping it is made of."""
    return whole.get(name) if isinstance(whole, Mapping) else getattr(whole, name, None)


@flow(name="sweep", flow_run_name=_run_name, retries=0)
async def sweep(
    plan: SweepPlan,
    endpoint: InferenceEndpoint | None = None,
    store: Text = "",
    result_store: ResultStore | None = None,
    round: Text = "",
    reuse_valid: bool = False,
    only: Texts = (),
    dry_run: bool = False,
) -> SweepOutcome | State:
    """Measure every cell of a plan, keep the results, and report.

    Args:
        plan: What to measure.
        endpoint: A saved endpoint to measure, over the one in the plan. None: the plan's.
        store: Where results are kept: a folder, or a URI such as s3://bucket/path, oss://, az://,
            gs://, oci://, github:// or pvc://. Left empty: as configured where the run is.
        result_store: A saved store to keep results in, instead of a location in store.
        round: Name of the occasion of measuring. Finished valid cells of the same round are not
            measured again. Left empty: a new one.
        reuse_valid: Take over valid cells of other rounds too. Needs a plan that says what is
            behind the endpoint.
        only: Beginnings of cell ids, as a dry run shows them: measure only these cells. Left
            empty: all.
        dry_run: Check everything, show the cells and how long they take, and start nothing.
    """
    started_at = datetime.now(UTC)
    if dry_run:
        return await look_ahead(
            plan,
            endpoint=endpoint,
            store=store,
            result_store=result_store,
            round=round,
            only=only,
            reuse_valid=reuse_valid,
        )

    # 1. Resolve all that the plan names; refuse what cannot work.
    room = open_room(
        plan,
        endpoint=endpoint,
        store=store,
        result_store=result_store,
        round=round,
        only=only,
        reuse_valid=reuse_valid,
    )
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

            # 5. What the client machine itself adds at these loads, as far as there is time.
            try:
                floors = await measure_floors(room, measured, progress)
            except asyncio.CancelledError as error:
                room.stop.ask("the flow run was cancelled")
                floors = await measure_floors(room, measured, progress)
                broken = error

            # 6. Judge, and keep the rows.
            kept = await prove_cells(room, measured, floors)

            # 7. The run's row, its manifest, and five lines.
            outcome = await finish_run(room, resumed.reused, kept, started_at)
            if broken is not None:
                raise broken
            # Prefect's own word for a run that someone ended; a command wants the outcome.
            return Cancelled(message=room.stop.reason) if room.ended_by_others else outcome
