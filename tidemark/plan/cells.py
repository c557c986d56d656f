"""Cells: one scenario at one level of load, in the order they are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tidemark.errors import PlanError
from tidemark.plan.canonical import sha256_hex
from tidemark.plan.identity import identity, identity_known

if TYPE_CHECKING:
    from tidemark.plan.sweep import SweepPlan

__all__ = ["Cell", "cell_identity", "cells", "chosen", "identity_known"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One measurement to make. Repeats share `cell_id`, which is 64 hexadecimal digits.

    `order_idx` counts all cells of the plan from 0, `repeat_idx` the passes over it.
    """

    cell_id: str
    scenario: str
    task: str
    concurrency: int
    batch_size: int = 1
    repeat_idx: int
    order_idx: int


def cells(plan: SweepPlan) -> tuple[Cell, ...]:
    """All cells of a plan in the order of measuring.

    Scenarios as listed, within each the concurrency levels (or batch sizes) as listed.
    Repeats are interleaved: the whole sweep, then the whole sweep again, so that a slow
    drift of the service meets all cells alike.
    """
    once = [
        (scenario, concurrency, batch_size, _cell_id(plan, scenario, concurrency, batch_size))
        for scenario in plan.scenarios
        for concurrency in plan.concurrency
        for batch_size in plan.batch_sizes
    ]
    return tuple(
        Cell(
            cell_id=cell_id,
            scenario=scenario,
            task=plan.task,
            concurrency=concurrency,
            batch_size=batch_size,
            repeat_idx=repeat_idx,
            order_idx=repeat_idx * len(once) + position,
        )
        for repeat_idx in range(plan.repeats)
        for position, (scenario, concurrency, batch_size, cell_id) in enumerate(once)
    )


def chosen(plan: SweepPlan, only: Sequence[str] | None = None) -> tuple[Cell, ...]:
    """The cells whose id begins as one of `only` says; all of them without it. Raises PlanError."""
    every = cells(plan)
    if not only:
        return every
    for beginning in only:
        if not any(cell.cell_id.startswith(beginning) for cell in every):
            known = ", ".join(dict.fromkeys(cell.cell_id[:12] for cell in every))
            raise PlanError("no cell of the plan begins so", beginning, f"There are: {known}")
    return tuple(cell for cell in every if cell.cell_id.startswith(tuple(only)))


def cell_identity(plan: SweepPlan, cell: Cell) -> dict[str, Any]:
    """What `cell.cell_id` is the SHA-256 of, in canonical JSON: all that could change it."""
    return identity(plan, cell.scenario, cell.concurrency, cell.batch_size)


def _cell_id(plan: SweepPlan, scenario: str, concurrency: int, batch_size: int) -> str:
    return sha256_hex(identity(plan, scenario, concurrency, batch_size))
