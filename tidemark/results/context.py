"""What a row needs to know besides measurements: who asked for the run, and which try it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidemark.plan.cells import Cell
from tidemark.plan.job import JobPlan
from tidemark.plan.sweep import SweepPlan

__all__ = ["AttemptContext", "Harness", "JobContext", "RunContext", "RunOutcome", "TimelinePoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """What measured: this project, its Python, its machine. None where it is not known."""

    tidemark_version: str
    python_version: str
    git_sha: str | None = None
    git_dirty: bool | None = None
    lockfile_hash: str | None = None
    engine_image_digest: str | None = None
    client_spec: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """One run of a plan: what every row of it shares.

    Instants are aware datetimes. `resources` fills further columns by name, such as `region`,
    `dlc_job_id` or `quoted`, where a run knows them.
    """

    run_id: str
    round: str
    plan: SweepPlan
    plan_hash: str
    created_at: datetime
    harness: Harness
    trigger: str = "manual"
    trigger_ref: str | None = None
    requested_by: str | None = None
    approved_by: str | None = None
    approved_at: datetime | None = None
    flow_run_id: str | None = None
    reproduce: str | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """One run of a job: what its row says besides what its cells do.

    A sweep inside the job is a run of its own, of this one's round, whose cells this one counts.
    """

    run_id: str
    plan: JobPlan
    plan_hash: str
    created_at: datetime
    harness: Harness
    trigger: str = "manual"
    trigger_ref: str | None = None
    requested_by: str | None = None
    approved_by: str | None = None
    approved_at: datetime | None = None
    flow_run_id: str | None = None
    reproduce: str | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)

    @property
    def round(self) -> str:
        """Each job is an occasion of its own."""
        return self.run_id


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptContext:
    """One try at one cell.

    `started_at` is the zero of the cell's clock. `model_name` is what the service calls the
    model, where the plan leaves it open. `reproduce` is the command that runs the same cell
    again. `floor` is the client floor that was applied, as JSON values. `resources` fills
    further columns by name.
    """

    cell: Cell
    attempt_id: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    try_idx: int = 0
    task_run_id: str | None = None
    model_name: str | None = None
    reproduce: str | None = None
    floor: Mapping[str, Any] | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended: complete, partial, failed, cancelled or inconclusive."""

    outcome: str
    exit_status: int
    finished_at: datetime
    started_at: datetime | None = None
    cells_planned: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """One value of a series beside a cell; `at_s` is on the cell's clock."""

    source: str
    series: str
    unit: str
    at_s: float
    value: float | None
    interval_s: float | None = None
