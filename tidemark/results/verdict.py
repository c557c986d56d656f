"""Whether a cell can be trusted: conservation laws, each with the numbers it was judged by.

A cell is `invalid` when what was measured is not what was asked (the client could not offer the
load, rows are missing, the server hung), `inconclusive` when there is too little to say, and
else `valid`. Errors that the server answered with are a result: such a cell stays valid, is
flagged `error_rate_high`, and feeds no baseline. This is about the cell; each metric has its own
validity from the client floor.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tidemark.results import laws
from tidemark.results.claims import claims
from tidemark.results.columns import Columns, columns_of
from tidemark.results.floor import FLOOR_RULES
from tidemark.results.laws import CellLike, Level, PlanLike, Reason
from tidemark.results.metrics import STREAMED_TASKS, USAGE_MISSING_BOUND, CellMetrics
from tidemark.results.requests import CellRaw
from tidemark.results.statistics import ADMISSION, BATCHES, CONFIDENCE, QUANTILE_METHOD

__all__ = [
    "RULES",
    "RULES_VERSION",
    "Reason",
    "Verdict",
    "judge",
    "verification_hash",
]

RULES_VERSION = "1"

RULES: dict[str, object] = {
    "rules_version": RULES_VERSION,
    **laws.BOUNDS,
    "usage_missing_bound": USAGE_MISSING_BOUND,
    "admission": ADMISSION,
    "batches": BATCHES,
    "confidence": CONFIDENCE,
    "quantile_method": QUANTILE_METHOD,
    "floor": FLOOR_RULES,
}

Validity = Literal["valid", "invalid", "inconclusive"]
SEVERITY: tuple[Level, ...] = ("invalid", "inconclusive", "warning", "note")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a cell is worth, most weighty reason first.

    `needs_attention` makes the run partial: the cell is invalid, or the server failed more
    requests than the plan allows. `feeds_baseline` is true only of valid cells within that
    bound. An inconclusive cell does neither.
    """

    validity: Validity
    reasons: tuple[Reason, ...]
    needs_attention: bool
    feeds_baseline: bool
    rules_version: str = RULES_VERSION

    def __str__(self) -> str:
        deciding = [reason.code for reason in self.reasons if reason.level == self.validity]
        return f"{self.validity}({', '.join(deciding)})" if deciding else self.validity


def verification_hash() -> str:
    """SHA-256 of the rules with all their bounds: two equal hashes judged alike."""
    canonical = json.dumps(RULES, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def judge(raw: CellRaw, metrics: CellMetrics, cell: CellLike, plan: PlanLike) -> Verdict:
    """The verdict on one attempt.

    `metrics` come from `summarise`, best after `apply_floor`: with a floor the achieved
    concurrency is judged without the client's own part. Pure and total: never raises on what an
    engine may hand over.
    """
    table = columns_of(raw.rows, plan.token_counts)
    reasons = list(_findings(raw, metrics, cell, plan, table))
    reasons.sort(key=lambda reason: SEVERITY.index(reason.level))
    found = {reason.level for reason in reasons}
    validity: Validity = "valid"
    if "invalid" in found:
        validity = "invalid"
    elif "inconclusive" in found:
        validity = "inconclusive"
    too_many_errors = any(reason.code == "error_rate_high" for reason in reasons)
    return Verdict(
        validity=validity,
        reasons=tuple(reasons),
        needs_attention=validity == "invalid" or too_many_errors,
        feeds_baseline=validity == "valid" and not too_many_errors,
    )


def _findings(
    raw: CellRaw, metrics: CellMetrics, cell: CellLike, plan: PlanLike, table: Columns
) -> Iterator[Reason]:
    if raw.failure is not None:
        yield laws.engine_failure(raw.failure)
    stall_s = plan.limits.stall_timeout_s
    hung = laws.hung_share(table, stall_s)
    if hung > laws.HUNG_TIME_BOUND:
        yield laws.server_hung(raw, table, hung, stall_s)
    if metrics.attempted == 0:
        if raw.failure is None and hung <= laws.HUNG_TIME_BOUND:
            yield laws.no_requests(raw, metrics)
        return
    yield from laws.sums(raw, metrics, table)
    if cell.task in STREAMED_TASKS and metrics.usage_missing:
        yield laws.usage_missing(metrics)
    yield from laws.errors(raw, metrics, plan.max_error_rate)
    yield from laws.enough(metrics, cell.concurrency)
    if metrics.window is not None:
        yield from laws.little(table, metrics.window)
        yield from laws.cut_off(metrics, table, metrics.window)
    yield from laws.client(raw, metrics, cell.concurrency)
    yield from laws.overrun(raw, plan.limits)
    yield from claims(raw, metrics, table)
    yield from laws.bound_metrics(metrics)
