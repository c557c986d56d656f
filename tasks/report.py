"""The end of a run: its row, its manifest, its report."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.log import logger
from tasks.room import Room
from tasks.showing import showing
from tidemark.errors import StoreError
from tidemark.history.report import five_lines, markdown
from tidemark.results.context import RunOutcome
from tidemark.results.rows import run_row
from tidemark.results.store import Store, StoredAttempt, with_reuse

__all__ = ["SweepOutcome", "conclude", "finish_run", "send_all"]

FINE, FAILED, PARTIAL, INCONCLUSIVE = 0, 1, 3, 4


@dataclass(frozen=True)
class SweepOutcome:
    """What a sweep came to: `outcome` in a word, its exit status, its rows, its five lines."""

    run_id: str
    outcome: str
    exit_status: int
    store: str
    five_lines: tuple[str, ...]
    run: dict[str, Any]
    cells: tuple[dict[str, Any], ...]


def conclude(
    cells: Sequence[dict[str, Any]], planned: int, *, stopped: bool = False
) -> tuple[str, int]:
    """(outcome, exit status) of a run from the rows of its cells' last attempts.

    `stopped` says that the run was ended before it had all of them.
    """
    if stopped and len(cells) < planned:
        return "cancelled", PARTIAL
    good = [row for row in cells if row["validity"] == "valid" and not row["needs_attention"]]
    bad = [row for row in cells if row["validity"] == "invalid" or row["needs_attention"]]
    if not good and (bad or not cells):
        return "failed", FAILED
    if bad or len(cells) < planned:
        return "partial", PARTIAL
    if any(row["validity"] == "inconclusive" for row in cells):
        return "inconclusive", INCONCLUSIVE
    return "complete", FINE


@task(name="report", cache_policy=NO_CACHE)
async def finish_run(
    room: Room,
    reused: Sequence[StoredAttempt],
    kept: Sequence[StoredAttempt],
    started_at: datetime,
) -> SweepOutcome:
    """Write the run's row and, last, its manifest; say in five lines what came of it."""
    parts: dict[tuple[str, int], StoredAttempt] = {}
    for stored in (*reused, *kept):
        parts[stored.row["cell_id"], stored.row["repeat_idx"]] = stored
    cells = sorted((stored.row for stored in parts.values()), key=lambda row: row["order_idx"])
    outcome, exit_status = conclude(cells, len(room.cells), stopped=room.stop.asked)
    row = run_row(
        room.context,
        RunOutcome(
            outcome=outcome,
            exit_status=exit_status,
            started_at=started_at,
            finished_at=datetime.now(UTC),
            cells_planned=len(room.cells),
            notes=(f"ended early: {room.stop.reason}",) if room.stop.asked else (),
        ),
        cells,
    )
    room.check_owner()
    run_part = await asyncio.to_thread(room.store.put_run, row)
    await asyncio.to_thread(
        room.store.put_manifest,
        room.context.run_id,
        run_part=run_part,
        cell_parts=sorted({stored.cell_part for stored in (*reused, *kept)}),
        contents={"round": room.context.round, "plan_hash": room.context.plan_hash},
    )
    cells = with_reuse(row, cells)
    if not await asyncio.to_thread(send_all, room.store):
        exit_status = PARTIAL
    lines = five_lines(row, cells)
    async with showing("the report"):
        await acreate_markdown_artifact(
            markdown(row, cells), key="sweep-report", description=lines[0]
        )
    return SweepOutcome(
        run_id=room.context.run_id,
        outcome=outcome,
        exit_status=exit_status,
        store=room.store.uri,
        five_lines=lines,
        run=row,
        cells=tuple(cells),
    )


def send_all(store: Store) -> bool:
    """Send what waits for the store; whether it has everything now."""
    try:
        store.send()
    except StoreError as error:
        logger().warning("results wait on this machine: %s", error)
    return store.waiting().files == 0
