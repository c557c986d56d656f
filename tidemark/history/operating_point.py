"""Where to run a service: the best load under the SLO, or without one the knee.

With an SLO: the level with the highest throughput at which the share of requests that met every
bound (`goodput_ratio`) is at least the attainment asked for, in every trusted repeat.

Without: the knee of throughput against latency, taken as the level with the greatest *power*,
throughput divided by the median end-to-end latency (L. Kleinrock, "Power and deterministic rules
of thumb for probabilistic problems in computer communications", ICC 1979). Up to that level a
step of load gains a greater part of throughput than it costs in latency, beyond it a smaller one.
Unlike the distance from a chord, it doesn't move when levels are added at either end, and it
needs no special case for one level, two, a flat curve or a steady one. Levels whose power is
within 5 % of the greatest are as good as equal: of these the one with the highest throughput.

Only levels with a trusted cell count, and only metrics that the client did not bound.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tidemark.history.measured import Measured, Row, measured
from tidemark.history.quantities import percent, seconds
from tidemark.history.series import Level, Series, plan_of

__all__ = [
    "Basis",
    "Objective",
    "OperatingPoint",
    "error_bound",
    "knee",
    "objective_of",
    "operating_point",
]

AS_GOOD_AS_EQUAL: Final = 0.95
DEFAULT_ERROR_BOUND: Final = 0.01
SAMPLES_BEYOND: Final = 10

Basis = Literal["slo", "knee"]


@dataclass(frozen=True, slots=True)
class Objective:
    """Bounds in seconds, each optional, and the share of requests that must keep all of them."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None
    attainment: float = 0.99

    @property
    def text(self) -> str:
        """ "TTFT ≤ 500 ms and TPOT ≤ 50.0 ms for 99 % of requests"."""
        named = (("TTFT", self.ttft_s), ("TPOT", self.tpot_s), ("E2E", self.e2e_s))
        bounds = [f"{name} ≤ {seconds(bound)}" for name, bound in named if bound is not None]
        return f"{' and '.join(bounds)} for {percent(self.attainment)} of requests"

    @property
    def requests_needed(self) -> int | None:
        """Requests of a cell before its attainment is shown: ten beyond it. None: never."""
        if self.attainment >= 1:
            return None
        return math.ceil(round(SAMPLES_BEYOND / (1 - self.attainment), 6))


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The answer for one series, or why there is none.

    `row` is the measured attempt that stands for the level (of several repeats the one with the
    middle throughput); None when no level qualifies, and then `nearest` is the trusted attempt
    that came nearest to the SLO, if any. `proven` is false when goodput's interval, or its band,
    reaches below the attainment. `first` and `last` say that it lies at an end of what was tried,
    where the true optimum may lie beyond; `highest_trusted` that no level above it can be trusted.
    """

    series: Series
    basis: Basis
    level: Level | None = None
    row: Row | None = None
    nearest: Row | None = None
    proven: bool = True
    first: bool = False
    last: bool = False
    highest_trusted: bool = False
    why_none: str | None = None

    @property
    def throughput(self) -> Measured | None:
        """The throughput at the point."""
        return None if self.row is None else measured(self.row, self.series.throughput)


def objective_of(run: Row, cells: Sequence[Row]) -> Objective | None:
    """The SLO of a run, from its plan or else from its cells; None where there is none."""
    found: Any = plan_of(run).get("slo")
    if not found:
        written = next((row["slo_json"] for row in cells if row.get("slo_json")), None)
        try:
            found = json.loads(written) if written else None
        except ValueError:
            found = None
    if not isinstance(found, dict):
        return None
    bounds = {name: found[name] for name in ("ttft_s", "tpot_s", "e2e_s") if found.get(name)}
    return Objective(**bounds, attainment=found.get("attainment", 0.99)) if bounds else None


def error_bound(run: Row) -> float:
    """The greatest share of failed requests the plan puts up with."""
    bound = plan_of(run).get("max_error_rate")
    return float(bound) if isinstance(bound, int | float) else DEFAULT_ERROR_BOUND


def operating_point(
    series: Series, objective: Objective | None, max_error_rate: float = DEFAULT_ERROR_BOUND
) -> OperatingPoint:
    """The best level of one series under the objective, or its knee without one."""
    if objective is not None:
        return _under_slo(series, objective)
    return _at_knee(series, max_error_rate)


def knee(points: Sequence[tuple[float, float]]) -> int | None:
    """The index of the knee among (latency, throughput) pairs of positive numbers.

    None without points. Latency in any unit, throughput in any.
    """
    if not points:
        return None
    powers = [throughput / latency for latency, throughput in points]
    enough = AS_GOOD_AS_EQUAL * max(powers)
    candidates = [index for index, power in enumerate(powers) if power >= enough]
    return max(candidates, key=lambda index: points[index][1])


def _under_slo(series: Series, objective: Objective) -> OperatingPoint:
    candidates: list[tuple[float, Level, Row]] = []
    misses: list[tuple[float, Row]] = []
    known = False
    for level in series.levels:
        rows = _with_throughput(series, level)
        ratios = [
            (ratio.value, row)
            for row in rows
            if (ratio := measured(row, "goodput_ratio")).usable and ratio.value is not None
        ]
        if not ratios:
            continue
        known = True
        worst, worst_row = min(ratios, key=lambda pair: pair[0])
        if worst >= objective.attainment:
            middle = _middle(series, [row for _, row in ratios])
            candidates.append((_throughput(series, middle), level, middle))
        else:
            misses.append((worst, worst_row))
    if candidates:
        _, level, row = max(candidates, key=lambda candidate: candidate[0])
        proven = all(_is_proven(attempt, objective) for attempt in level.trusted)
        return _point(series, "slo", level, row, proven)
    nearest = max(misses, key=lambda miss: miss[0])[1] if misses else None
    why = "no cell that can be trusted meets it"
    if not known:
        why = "no cell that can be trusted tells how many requests met it"
    return OperatingPoint(series, "slo", nearest=nearest, why_none=why)


def _at_knee(series: Series, max_error_rate: float) -> OperatingPoint:
    points: list[tuple[float, float]] = []
    places: list[tuple[Level, Row]] = []
    for level in series.levels:
        rows = [
            row
            for row in _with_throughput(series, level)
            if _positive(measured(row, "e2e_s")) and _error_rate(row) <= max_error_rate
        ]
        if rows:
            row = _middle(series, rows)
            points.append((measured(row, "e2e_s").value or math.inf, _throughput(series, row)))
            places.append((level, row))
    found = knee(points)
    if found is None:
        why = "no cell that can be trusted has both throughput and end-to-end latency"
        return OperatingPoint(series, "knee", why_none=why)
    level, row = places[found]
    return _point(series, "knee", level, row, proven=True)


def _point(series: Series, basis: Basis, level: Level, row: Row, proven: bool) -> OperatingPoint:
    above = series.levels[series.levels.index(level) + 1 :]
    return OperatingPoint(
        series=series,
        basis=basis,
        level=level,
        row=row,
        proven=proven,
        first=level is series.levels[0],
        last=level is series.levels[-1],
        highest_trusted=not any(_with_throughput(series, other) for other in above),
    )


def _with_throughput(series: Series, level: Level) -> list[Row]:
    return [row for row in level.trusted if _positive(measured(row, series.throughput))]


def _throughput(series: Series, row: Row) -> float:
    return measured(row, series.throughput).value or 0.0


def _middle(series: Series, rows: list[Row]) -> Row:
    """A really measured repeat, never an average; of an even number the lower middle one."""
    ordered = sorted(rows, key=lambda row: _throughput(series, row))
    return ordered[(len(ordered) - 1) // 2]


def _positive(found: Measured) -> bool:
    return found.usable and found.value is not None and found.value > 0


def _error_rate(row: Row) -> float:
    return measured(row, "error_rate").value or 0.0


def _is_proven(row: Row, objective: Objective) -> bool:
    ratio = measured(row, "goodput_ratio")
    if ratio.standing == "band" and (ratio.lo or 0.0) < objective.attainment:
        return False
    return ratio.interval is not None and ratio.interval[0] >= objective.attainment
