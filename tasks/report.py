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

from tasks.room import Room
from tidemark.history.report import five_lines, markdown
from tidemark.results.context import RunOutcome
from tidemark.results.rows import run_row
from tidemark.results.store import StoredAttempt

__all__ = ["SweepOutcome", "conclude", "finish_run"]

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


def conclude(cells: Sequence[dict[str, Any]], planned: int) -> tuple[str, int]:
    """(outcome, exit status) of a run from the rows of its cells' last attempts."""
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
    room: Room, kept: Sequence[StoredAttempt], started_at: datetime
) -> SweepOutcome:
    """Write the run's row and, last, its manifest; say in five lines what came of it."""
    last: dict[tuple[str, int], dict[str, Any]] = {}
    for stored in kept:
        last[stored.row["cell_id"], stored.row["repeat_idx"]] = stored.row
    cells = tuple(last.values())
    outcome, exit_status = conclude(cells, len(room.cells))
    row = run_row(
        room.context,
        RunOutcome(
            outcome=outcome,
            exit_status=exit_status,
            started_at=started_at,
            finished_at=datetime.now(UTC),
            cells_planned=len(room.cells),
        ),
        cells,
    )
    run_part = await asyncio.to_thread(room.store.put_run, row)
    await asyncio.to_thread(
        room.store.put_manifest,
        room.context.run_id,
        run_part=run_part,
        cell_parts=[stored.cell_part for stored in kept],
    )
    lines = five_lines(row, cells)
    await acreate_markdown_artifact(markdown(row, cells), key="sweep-report", description=lines[0])
    return SweepOutcome(
        run_id=room.context.run_id,
        outcome=outcome,
        exit_status=exit_status,
        store=room.store.uri,
        five_lines=lines,
        run=row,
        cells=cells,
    )
