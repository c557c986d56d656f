"""What a run says while it runs: one line and a fraction, in Prefect, log and terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from tasks.log import logger
from tasks.showing import showing
from tidemark.plan.cells import Cell
from tidemark.plan.estimate import estimate
from tidemark.plan.sweep import SweepPlan

__all__ = ["OBSERVER", "ProgressReport", "RunProgress", "cell_step", "expected_steps"]

ARTIFACT_INTERVAL_S = 5.0


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """A moment of a run. `fraction` is 0 to 1; `left_s` is None while nothing is known."""

    line: str
    fraction: float
    left_s: float | None


OBSERVER: ContextVar[Callable[[ProgressReport], None] | None] = ContextVar(
    "tidemark_progress_observer", default=None
)
"""Who else is told, besides Prefect: the terminal sets it before it starts the flow."""


class RunProgress:
    """Progress of one run, weighted by how long each step is expected to take.

    `expected_s` maps the name of a step to its expected seconds, once it is known; steps are
    finished one by one.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, artifact: str = "sweep-progress"
    ) -> None:
        self.expected_s: dict[str, float] = {}
        self.clock = clock
        self.started = clock()
        self._done: dict[str, float] = {}
        self._current: tuple[str, float] = ("", 0.0)
        self._line = ""
        self._key = artifact
        self._artifact: UUID | None = None
        self._last_sent = float("-inf")

    def report(self) -> ProgressReport:
        """Where the run is now."""
        total = sum(self.expected_s.values()) or 1.0
        step, part = self._current
        done = sum(self.expected_s.get(name, 0.0) for name in self._done)
        done += part * self.expected_s.get(step, 0.0) if step not in self._done else 0.0
        # A run that takes everything over has nothing to do, and is then done.
        fraction = min(1.0, done / total) if self.expected_s else float(bool(self._done))
        # What the finished steps really took corrects what is expected of the others.
        planned = sum(self.expected_s.get(name, 0.0) for name in self._done)
        factor = sum(self._done.values()) / planned if planned > 0 else 1.0
        left_s = (total - done) * factor if total > 1.0 else None
        return ProgressReport(self._line, fraction, left_s)

    def step(self, name: str, line: str) -> None:
        """Begin a step, or say something new in the same one: the line is logged and shown."""
        self._line = line
        if name != self._current[0]:
            self._current, self._began = (name, 0.0), self.clock()
        logger().info(line)
        self._tell()

    def follow(self, name: str, line: str) -> None:
        """Like `step`, of steps that come one after the other: another name ends the one before."""
        before = self._current[0]
        if before and before != name and before not in self._done:
            self.finish(before)
        self.step(name, line)

    def part(self, name: str, share: float) -> None:
        """Say how much of the current step is done, 0 to 1; of another step it is not heard."""
        step, before = self._current
        if name == step:
            self._current = (step, max(before, min(1.0, share)))
            self._tell()

    def finish(self, name: str) -> None:
        """End a step."""
        self._done[name] = self.clock() - self._began
        self._tell()

    def _tell(self) -> None:
        observer = OBSERVER.get()
        if observer is not None:
            observer(self.report())

    async def publish(self, *, force: bool = False) -> None:
        """Bring Prefect's progress artifact up to date, at most every few seconds."""
        now = self.clock()
        if not force and now - self._last_sent < ARTIFACT_INTERVAL_S:
            return
        self._last_sent = now
        report = self.report()
        percent = round(100.0 * report.fraction, 1)
        async with showing("the progress"):
            if self._artifact is None:
                self._artifact = await acreate_progress_artifact(
                    percent, key=self._key, description=report.line
                )
            else:
                await aupdate_progress_artifact(self._artifact, percent, description=report.line)


def cell_step(cell: Cell) -> str:
    """The name of the step that measures a cell."""
    return f"{cell.cell_id}{cell.repeat_idx}"


def expected_steps(
    plan: SweepPlan, cells: Sequence[Cell], service_time_s: Mapping[str, float]
) -> dict[str, float]:
    """How long each step should take, in seconds, for the bar and the time left."""
    steps = {}
    for scenario, seconds in service_time_s.items():
        for one in estimate(plan, max(seconds, 1e-3), engine_overhead_s=0.0).cells:
            if one.cell in cells and one.cell.scenario == scenario:
                steps[cell_step(one.cell)] = one.load_s
    steps["floors"] = 0.25 * sum(steps.values())
    return steps
