"""What the round already has, so that nothing finished is measured again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.cells import Measured
from tasks.log import logger
from tasks.room import Room
from tidemark.plan.cells import Cell
from tidemark.results.rounds import look_up
from tidemark.results.store import StoredAttempt

__all__ = ["Resumed", "resume_round"]


@dataclass(frozen=True)
class Resumed:
    """Cells that are results already, cells only to be judged, and cells still to be measured."""

    reused: tuple[StoredAttempt, ...]
    unjudged: tuple[Measured, ...]
    to_measure: tuple[Cell, ...]


@task(name="look up the round", cache_policy=NO_CACHE)
async def resume_round(room: Room) -> Resumed:
    """Look for the plan's cells in the store: in this round, or in any with `reuse_valid`."""
    found = await asyncio.to_thread(
        look_up, room.store, room.cells, room.context.round, any_round=room.reuse_valid
    )
    to_measure = tuple(
        cell for cell in room.cells if (cell.cell_id, cell.repeat_idx) not in found.measured
    )
    if found.reusable or found.unjudged:
        logger().info(
            "round %s: %d cells are taken over, %d were measured and are now judged, %d are left",
            room.context.round,
            len(found.reusable),
            len(found.unjudged),
            len(to_measure),
        )
    return Resumed(
        reused=tuple(room.store.stored(row) for row in found.reusable.values()),
        unjudged=tuple(Measured.of(room, evidence) for evidence in found.unjudged),
        to_measure=to_measure,
    )
