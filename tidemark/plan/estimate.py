"""How long a plan takes at most, known before anything is started."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemark.errors import PlanError
from tidemark.plan.cells import Cell, cells

if TYPE_CHECKING:
    from tidemark.plan.sweep import SweepPlan

__all__ = ["ENGINE_OVERHEAD_S", "CellEstimate", "Estimate", "estimate"]

# genai-bench 0.0.5 takes about 4 s to start, 1 s to notice the end of a cell and 2 s to
# wind up; ten leaves room for a busy machine.
ENGINE_OVERHEAD_S = 10.0


@dataclass(frozen=True, slots=True)
class CellEstimate:
    """The most one cell takes: seconds of load, and seconds with start and end around it."""

    cell: Cell
    load_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """The most a plan takes, in seconds: the warm-up, each cell, and all together."""

    warmup_s: float
    cells: tuple[CellEstimate, ...]
    total_s: float


def estimate(
    plan: SweepPlan,
    service_time_s: float | None = None,
    engine_overhead_s: float = ENGINE_OVERHEAD_S,
) -> Estimate:
    """Upper bounds of the time a plan takes, in seconds.

    A cell's load ends after `limits.max_time_s`, or after its requests if the time of one
    request, `service_time_s`, is known: each of c users then needs ceil(requests / c) of
    them, and the users start spread over one more. `limits.drain_s` and
    `engine_overhead_s` are added to each cell. The bound holds as far as the service time
    holds. Raises PlanError for a time that is not positive and finite.
    """
    if service_time_s is not None and not (math.isfinite(service_time_s) and service_time_s > 0):
        raise PlanError(
            "the time of one request must be a positive number of seconds",
            "service_time_s",
            "Give what one request takes, or leave it out",
        )
    around_s = plan.limits.drain_s + engine_overhead_s

    def load_s(requests: int, concurrency: int) -> float:
        if service_time_s is None:
            return plan.limits.max_time_s
        rounds = math.ceil(requests / concurrency) + 1
        return min(plan.limits.max_time_s, rounds * service_time_s)

    warmup_s = 0.0
    if plan.warmup is not None:
        warmup_s = load_s(*plan.warmup.load(max(plan.concurrency))) + around_s
    estimates = []
    for cell in cells(plan):
        seconds = load_s(plan.limits.requests_at(cell.concurrency), cell.concurrency)
        estimates.append(CellEstimate(cell, seconds, seconds + around_s))
    total_s = math.fsum([warmup_s, *(each.total_s for each in estimates)])
    return Estimate(warmup_s, tuple(estimates), total_s)
