"""From measured cells to rows that say how far they can be trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.cells import Measured
from tasks.log import logger
from tasks.room import Room
from tidemark.errors import AlreadyThere
from tidemark.results.client_floor import Floor
from tidemark.results.store import StoredAttempt

__all__ = ["prove_cells"]


@task(name="judge and keep the cells", cache_policy=NO_CACHE)
async def prove_cells(
    room: Room, attempts: Sequence[Measured], floors: Mapping[str, Floor]
) -> list[StoredAttempt]:
    """Judge every attempt under its client floor, and write its row; the row makes it a result."""
    kept = []
    room.check_owner()
    for measured in attempts:
        row = measured.row(floors.get(measured.key))
        try:
            stored = await asyncio.to_thread(
                room.store.put_verdict, row, measured.raw.rows, measured.evidence_sha256
            )
        except AlreadyThere as error:
            logger().warning("not judged: %s", error)  # the others are results all the same
        else:
            kept.append(stored)
    return kept
