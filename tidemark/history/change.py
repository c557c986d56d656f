"""What changed against a baseline: the percent, and whether it is more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tidemark.history.measured import Row, is_trusted, measured

__all__ = ["COMPARED", "Change", "Direction", "changes"]

Direction = Literal["better", "worse", "within noise"]

COMPARED: Final[tuple[tuple[str, bool], ...]] = (
    ("ttft_s", False),
    ("tpot_s", False),
    ("e2e_s", False),
    ("output_tput_tok_s", True),
    ("request_rate_rps", True),
)
"""Metrics that are compared, and whether more of them is better."""


@dataclass(frozen=True, slots=True)
class Change:
    """One metric of one cell against its baseline; `ratio` is new / old - 1.

    `direction` is "within noise" when the two 95 % intervals overlap, and also when either has
    none: a difference that can't be told from noise is not called one.
    """

    row: Row
    metric: str
    ratio: float
    direction: Direction
    has_intervals: bool

    @property
    def percent_text(self) -> str:
        """ "+12 %", "−3.4 %"."""
        size = abs(self.ratio) * 100
        shown = f"{size:.0f}" if size >= 10 else f"{size:.1f}"
        return f"{'+' if self.ratio >= 0 else '−'}{shown} %"


def changes(cells: Sequence[Row], baseline: Mapping[str, Row]) -> tuple[Change, ...]:
    """Every comparison that can be made: both cells trusted, the metric usable in both."""
    found = []
    for row in cells:
        old_row = baseline.get(str(row.get("cell_id")))
        if old_row is None or not is_trusted(row) or not is_trusted(old_row):
            continue
        for metric, more_is_better in COMPARED:
            new, old = measured(row, metric), measured(old_row, metric)
            if not new.usable or not old.usable or not new.value or not old.value:
                continue
            ratio = new.value / old.value - 1
            direction: Direction = "within noise"
            if new.interval and old.interval:
                apart = new.interval[0] > old.interval[1] or new.interval[1] < old.interval[0]
                if apart:
                    direction = "better" if (ratio > 0) == more_is_better else "worse"
            known = bool(new.interval and old.interval)
            found.append(Change(row, metric, ratio, direction, known))
    return tuple(found)
