"""The engine's own aggregates beside its requests: evidence that is compared, never believed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tidemark.results.columns import Columns
from tidemark.results.laws import (
    CLAIM_ERROR_RATE_TOLERANCE,
    CLAIM_TOLERANCE,
    Reason,
)
from tidemark.results.metrics import CellMetrics
from tidemark.results.requests import CellRaw

__all__ = ["claims"]


def claims(raw: CellRaw, metrics: CellMetrics, table: Columns) -> Iterator[Reason]:
    """Where the engine's own aggregates contradict its requests; ours stand either way."""
    unit = {"s": 1.0, "ms": 1e-3}.get(raw.engine_claims_unit, 1.0)
    timed = table.ok & table.timed
    differ = []

    def compare(name: str, ours: float | None, scale: float, tolerance: float) -> None:
        claim = raw.engine_claims.get(name)
        if isinstance(claim, bool) or not isinstance(claim, int | float) or ours is None:
            return
        theirs = claim * scale
        if not abs(theirs - ours) <= tolerance:
            differ.append(f"{name}: engine {theirs:.6g}, rows {ours:.6g}")

    compare("num_completed_requests", float(metrics.ok), 1.0, 0.0)
    compare("num_error_requests", float(metrics.failed), 1.0, 0.0)
    compare("error_rate", metrics.value("error_rate"), 1.0, CLAIM_ERROR_RATE_TOLERANCE)
    for name, column in (
        ("ttft_mean", table.ttft_s),
        ("tpot_mean", table.tpot_s),
        ("e2e_latency_mean", table.e2e_s),
    ):
        known = column[timed & ~np.isnan(column)]
        ours = float(known.mean()) if known.size else None
        compare(name, ours, unit, CLAIM_TOLERANCE * abs(ours or 0.0))
    if differ:
        yield Reason(
            "engine_disagrees",
            "; ".join(differ),
            "Nothing to do: the numbers here are computed from the requests, the engine's own "
            "are kept as evidence",
            "note",
        )
