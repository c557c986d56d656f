"""The cells of a run in the order a person reads them: per scenario, level by level."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tidemark.history.measured import Row, is_trusted, measured
from tidemark.history.quantities import plain

__all__ = ["Axis", "Level", "Series", "axis_of", "latest", "place", "plan_of", "series_of"]

Axis = Literal["concurrency", "batch_size"]
THROUGHPUTS = ("output_tput_tok_s", "input_tput_tok_s", "request_rate_rps")


@dataclass(frozen=True, slots=True)
class Level:
    """The attempts at one load, one per repeat, by repeat."""

    concurrency: int
    batch_size: int
    attempts: tuple[Row, ...]

    @property
    def trusted(self) -> tuple[Row, ...]:
        """The attempts whose verdict is valid."""
        return tuple(row for row in self.attempts if is_trusted(row))

    def position(self, axis: Axis) -> int:
        """Where it lies on an axis."""
        return self.concurrency if axis == "concurrency" else self.batch_size


@dataclass(frozen=True, slots=True)
class Series:
    """One scenario over rising load. `batch_size` is set where a run varies both."""

    scenario: str
    axis: Axis
    levels: tuple[Level, ...]
    batch_size: int | None = None

    @property
    def name(self) -> str:
        """What it is called in a report."""
        if self.batch_size is None:
            return self.scenario
        return f"{self.scenario}, batch size {self.batch_size}"

    @property
    def throughput(self) -> str:
        """The metric its throughput is told by: output tokens, else input tokens, else requests."""
        rows = [row for level in self.levels for row in level.attempts]
        for metric in THROUGHPUTS:
            if any(measured(row, metric).value is not None for row in rows):
                return metric
        return THROUGHPUTS[0]


def latest(cells: Iterable[Row]) -> tuple[Row, ...]:
    """The last try at each cell and repeat, by scenario, batch size, concurrency and repeat.

    Scenarios stay in the order in which they were measured.
    """
    found: dict[tuple[object, ...], Row] = {}
    for row in cells:
        key = (_scenario(row), _level(row), row.get("cell_id"), row.get("repeat_idx") or 0)
        if key not in found or _try(row) >= _try(found[key]):
            found[key] = row
    first_seen: dict[str, int] = {}
    for row in sorted(found.values(), key=lambda row: row.get("order_idx") or 0):
        first_seen.setdefault(_scenario(row), len(first_seen))

    def order(row: Row) -> tuple[int, int, int, int]:
        concurrency, batch_size = _level(row)
        repeat = row.get("repeat_idx") or 0
        return first_seen[_scenario(row)], batch_size, concurrency, repeat

    return tuple(sorted(found.values(), key=order))


def axis_of(rows: Sequence[Row]) -> Axis:
    """What was raised: the batch size where that alone varies, else the concurrency."""
    levels = {_level(row) for row in rows}
    same_concurrency = len({concurrency for concurrency, _ in levels}) == 1
    return "batch_size" if same_concurrency and len(levels) > 1 else "concurrency"


def series_of(cells: Iterable[Row]) -> tuple[Series, ...]:
    """A series for each scenario (and batch size, where a run varies it beside concurrency)."""
    rows = latest(cells)
    axis = axis_of(rows)
    split = axis == "concurrency" and len({_level(row)[1] for row in rows}) > 1
    members: dict[tuple[str, int | None], dict[tuple[int, int], list[Row]]] = {}
    for row in rows:
        level = _level(row)
        levels = members.setdefault((_scenario(row), level[1] if split else None), {})
        levels.setdefault(level, []).append(row)
    return tuple(
        Series(
            scenario=scenario,
            axis=axis,
            levels=tuple(
                Level(concurrency, batch, tuple(attempts))
                for (concurrency, batch), attempts in levels.items()
            ),
            batch_size=batch_size,
        )
        for (scenario, batch_size), levels in members.items()
    )


def place(row: Row, axis: Axis = "concurrency") -> str:
    """Where a cell lies, in words: "D(100,100) at concurrency 8"."""
    concurrency, batch_size = _level(row)
    if axis == "batch_size":
        return f"{_scenario(row)} at batch size {batch_size}"
    batch = f", batch size {batch_size}" if batch_size > 1 else ""
    return f"{_scenario(row)} at concurrency {concurrency}{batch}"


def plan_of(run: Row) -> dict[str, Any]:
    """The plan of a run's cells, of a job that of the sweep in it; empty where it carries none or
    it can't be read."""
    try:
        plan = json.loads(run.get("plan_json") or "{}")
    except ValueError:
        return {}
    if isinstance(plan, dict) and isinstance(plan.get("sweep"), dict):
        return dict(plan["sweep"])
    return plan if isinstance(plan, dict) else {}


def _scenario(row: Row) -> str:
    return plain(row.get("scenario") or "no scenario", 120)


def _level(row: Row) -> tuple[int, int]:
    return int(row.get("concurrency") or 1), int(row.get("batch_size") or 1)


def _try(row: Row) -> tuple[int, str]:
    return int(row.get("try_idx") or 0), str(row.get("created_at") or "")
