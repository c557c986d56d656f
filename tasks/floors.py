"""The client floor of each cell: what this machine itself adds at its load."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.cells import Measured
from tasks.log import logger
from tasks.progress import RunProgress
from tasks.room import Room
from tidemark.engines.calibration import FloorLoad, FloorStore, measure_floor
from tidemark.errors import TidemarkError
from tidemark.results.client_floor import Floor

__all__ = ["measure_floors"]

STEP = "floors"
SETTLED = ("valid", None)


@task(name="measure the client floor", cache_policy=NO_CACHE)
async def measure_floors(
    room: Room, attempts: Sequence[Measured], progress: RunProgress
) -> dict[str, Floor]:
    """The floor for each attempt, by its key; attempts without an answer have none.

    A floor of a higher concurrency and rate is an upper bound for lower ones. So the highest
    level is measured first, and a lower one only where that bound would leave a metric in doubt.
    A floor that cannot be measured is left out, and the rows say that it is unknown; so is one
    that is not known yet when the run is called off.
    """
    known = FloorStore(room.config.floors, room.context.harness.client_spec or "", room.engine)
    floors: dict[str, Floor] = {}
    progress.step(STEP, "Measuring what this client machine itself adds")
    for scenario, group in _by_scenario(attempts):
        bound: Floor | None = None
        ordered = sorted(group, key=lambda measured: -_load_of(measured))
        for number, measured in enumerate(ordered):
            if measured.floor is not None:
                floors[measured.key] = measured.floor
                continue
            if bound is not None and _settled(measured, bound):
                floors[measured.key] = bound
                continue
            load = _floor_load(room, measured)
            if load is None:
                continue
            floor = known.find(load, str(room.plan.tokenizer))
            if floor is None and room.stop.asked:
                continue
            if floor is None:
                progress.step(
                    STEP,
                    f"Measuring what this client machine itself adds: "
                    f"{scenario} at concurrency={load.concurrency}",
                )
                await progress.publish(force=True)
                try:
                    floor = await room.stop.unless_asked(
                        measure_floor(
                            room.engine,
                            room.plan,
                            load,
                            machine=known.machine,
                            engine_name=known.engine,
                            directory=room.directory / f"floor-{len(floors)}-{number}",
                            on_progress=partial(_part, progress, number, len(ordered)),
                        )
                    )
                except TidemarkError as error:
                    logger().warning("the client floor is not known: %s", error)
                    continue
                if floor is None:
                    continue
                known.keep(load, str(room.plan.tokenizer), floor)
            floors[measured.key] = bound = floor
    progress.finish(STEP)
    await progress.publish(force=True)
    return floors


def _part(progress: RunProgress, number: int, of: int, share: float) -> None:
    progress.part(STEP, (number + share) / of)


def _by_scenario(attempts: Iterable[Measured]) -> list[tuple[str, list[Measured]]]:
    groups: dict[str, list[Measured]] = {}
    for measured in attempts:
        if measured.metrics.ok:
            groups.setdefault(measured.context.cell.scenario, []).append(measured)
    return list(groups.items())


def _load_of(measured: Measured) -> int:
    cell = measured.context.cell
    return cell.concurrency * cell.batch_size


def _settled(measured: Measured, bound: Floor) -> bool:
    """Whether a floor of a heavier load already shows every metric of this cell to stand."""
    rate = measured.metrics.value("request_rate_rps")
    if rate is None or bound.request_rate_rps is None or rate > bound.request_rate_rps:
        return False
    return all(stat["validity"] in SETTLED for stat in measured.row(bound)["metrics"])


def _floor_load(room: Room, measured: Measured) -> FloorLoad | None:
    metrics = measured.metrics
    e2e = metrics.value("e2e_s", "p50")
    if e2e is None:
        return None
    ttft = metrics.value("ttft_s", "p50")
    tokens = metrics.output_tokens / metrics.ok if metrics.output_tokens and metrics.ok else None
    return FloorLoad.of(
        room.plan,
        measured.context.cell,
        ttft_s=e2e if ttft is None else ttft,
        tpot_s=metrics.value("tpot_s", "p50"),
        output_tokens=tokens,
    )
