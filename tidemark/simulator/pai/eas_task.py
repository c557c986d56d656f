"""One benchmark task: what has been decided about it, and what follows from that at a moment.

A task goes from Creating over Starting and Running to Stopped. Stopped ones are kept for 48
hours, failed ones for ten minutes; then they are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from tidemark.simulator.pai.eas_deployed import ServiceTruth
from tidemark.simulator.pai.eas_reports import Stretch, raw_report
from tidemark.simulator.pai.eas_settings import TaskSettings
from tidemark.simulator.pai.job_script import strict_model
from tidemark.simulator.pai.phases import at, cut
from tidemark.simulator.pai.wire import refuse

__all__ = ["FAILED", "GONE", "Task", "TaskPhase", "TaskScript"]

FAILED = ("CreateFailed", "UpdateFailed", "Terminated", "Error")
GONE = "Gone"  # no status of the service's: there is nothing left to describe
_KEPT_S = 48 * 3600.0
_FAILED_KEPT_S = 600.0
_UNDER_LOAD = ("Running", "Updating")

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Detour = Annotated[tuple[str, Seconds], Field(strict=False)]
Failure = Literal["CreateFailed", "UpdateFailed", "Terminated", "Error", "DeleteFailed"]


class TaskScript(BaseModel):
    """How the tasks that match go through their lives; times in seconds.

    `task` and `service` are patterns such as `benchmark-*`. `fail` is the status a task ends in:
    CreateFailed after it was created, UpdateFailed and DeleteFailed when that is asked for, Error
    and Terminated after `fail_after_s` of Running. `message` says why. `stays` names the status
    that is never left of itself; `detours` are statuses, and how long each, before Running.
    """

    model_config = strict_model

    task: str = "*"
    service: str = "*"
    creating_s: Seconds = 2.0
    starting_s: Seconds = 20.0
    updating_s: Seconds = 5.0
    stopping_s: Seconds = 5.0
    deleting_s: Seconds = 3.0
    fail: Failure | None = None
    fail_after_s: Seconds = 0.0
    message: str = ""
    stays: str | None = None
    detours: tuple[Detour, ...] = Field(default=(), strict=False)

    def matches(self, task: str, service: str) -> bool:
        """Whether a task of this name, for this service, is meant."""
        return fnmatchcase(task, self.task) and fnmatchcase(service, self.service)


@dataclass(frozen=True, slots=True)
class TaskPhase:
    """A status from a moment on, with how many agents there are and how many are wanted."""

    status: str
    since_s: float
    message: str
    desired: int
    available: int = 0


@dataclass(slots=True)
class Task:
    """A task and its phases so far and to come.

    `truth` is how its service answers; `authorized` is false when it was given a wrong token.
    `loads` and the times belong to the last run, None before the first.
    """

    name: str
    task_id: str
    region: str
    created_s: float
    settings: TaskSettings = field(repr=False)
    truth: ServiceTruth
    authorized: bool
    script: TaskScript
    phases: list[TaskPhase] = field(default_factory=list)
    loads: list[Stretch] = field(default_factory=list)
    run_start_s: float | None = None
    run: int = 0

    def at(self, now_s: float) -> TaskPhase:
        """The phase of this moment."""
        return at(self.phases, now_s)

    def create(self, now_s: float) -> None:
        """Begin its life."""
        self._go(now_s, "Creating")
        created_s = now_s + self.script.creating_s
        if self.script.fail == "CreateFailed":
            self._end(created_s, "CreateFailed")
        else:
            self._run(created_s)
        self._hold(now_s)

    def start(self, now_s: float) -> None:
        """Run once more. Refuses a task that is not stopped."""
        self._must(now_s, "Stopped")
        self._cut(now_s)
        self._run(now_s)
        self._hold(now_s)

    def stop(self, now_s: float) -> None:
        """Stop before its time. Refuses a task that has ended or is being stopped."""
        self._must(now_s, "Creating", "Starting", "Running", "Updating", *self._detours)
        self._cut(now_s)
        self._go(now_s, "Stopping")
        self._end(now_s + self.script.stopping_s, "Stopped")
        self._hold(now_s)

    def update(self, now_s: float, changes: Mapping[str, Any]) -> None:
        """Take other settings, in the middle of a run or for the next. Refuses other moments."""
        status = self._must(now_s, "Running", "Stopped")
        settings = self.settings.updated(changes)
        done_s = now_s + self.script.updating_s
        before = self.settings
        self.settings = settings
        self._cut(now_s)
        self._go(now_s, "Updating", available=before.agents if status == "Running" else 0)
        if self.script.fail == "UpdateFailed":
            self._end(done_s, "UpdateFailed")
        elif status == "Stopped":
            self._end(done_s, "Stopped")
        else:
            self._go_on(done_s)
        self._hold(now_s)

    def delete(self, now_s: float) -> None:
        """Take it away; possible at any moment but while that is happening."""
        if self.at(now_s).status == "Deleting":
            refuse(400, "InvalidTask.Status", f"Benchmark task [{self.name}] is Deleting.")
        self._cut(now_s)
        self._go(now_s, "Deleting")
        deleted_s = now_s + self.script.deleting_s
        self._go(deleted_s, "DeleteFailed" if self.script.fail == "DeleteFailed" else GONE)
        self._hold(now_s)

    def report(self, now_s: float) -> dict[str, Any] | None:
        """`Data` of the last run's report so far, None before its first second is over."""
        if self.run_start_s is None or now_s < self.run_start_s:
            return None
        seed = f"{self.region}/{self.name}/{self.run}"
        until_s = min(now_s, self._load_ends_s(now_s))
        return raw_report(seed, self.truth, self.loads, until_s=until_s)

    def agent_seconds(self, now_s: float) -> float:
        """How long agents have put load on the service, added up over all of them."""
        begun = cut(self.phases, now_s)
        ends = [phase.since_s for phase in begun[1:]] + [now_s]
        return sum(
            (end_s - phase.since_s) * phase.available
            for phase, end_s in zip(begun, ends, strict=True)
            if phase.status in _UNDER_LOAD
        )

    @property
    def _detours(self) -> tuple[str, ...]:
        return tuple(status for status, _ in self.script.detours)

    def _must(self, now_s: float, *statuses: str) -> str:
        status = self.at(now_s).status
        if status not in statuses:
            refuse(400, "InvalidTask.Status", f"Benchmark task [{self.name}] is {status}.")
        return status

    def _cut(self, now_s: float) -> None:
        self.phases = cut(self.phases, now_s)
        if self.run_start_s is not None and self.run_start_s > now_s:
            self.run_start_s, self.loads = None, []  # it does not come to that

    def _go(self, since_s: float, status: str, message: str = "", available: int = 0) -> None:
        message = message or f"Benchmark task [{self.name}] is {status}"
        desired = self.settings.agents
        self.phases.append(TaskPhase(status, since_s, message, desired, available))

    def _run(self, since_s: float) -> None:
        # Agents come up one after the other; of many, a few steps are told.
        agents = self.settings.agents
        for number in range(0, agents, max(1, agents // 10)):
            message = f"[Agent {number}/{agents}] Succeed to start benchmark master"
            ready_s = since_s + self.script.starting_s * number / agents
            self._go(ready_s, "Starting", message, number)
        since_s += self.script.starting_s
        for status, for_s in self.script.detours:
            self._go(since_s, status, available=agents)
            since_s += for_s
        self.run += 1
        self.run_start_s = since_s
        self.loads = []
        self._go_on(since_s)

    def _go_on(self, since_s: float) -> None:
        """Running from a moment on, under the loads of the present settings."""
        start_s = since_s if self.run_start_s is None else self.run_start_s
        agents = self.settings.agents
        plan, for_s = self.settings.plan(self.truth, start_s, authorized=self.authorized)
        now = Stretch(since_s, at(plan, since_s).load)
        later = [stretch for stretch in plan if stretch.since_s > since_s]
        self.loads = [*cut(self.loads, since_s), now, *later]
        self._go(since_s, "Running", f"[Agent {agents}/{agents}] Benchmark is running", agents)
        end_s = max(since_s, start_s + for_s)
        if self.script.fail in ("Error", "Terminated"):
            self._end(
                min(end_s, max(since_s, start_s + self.script.fail_after_s)), self.script.fail
            )
        else:
            self._end(end_s, "Stopped")

    def _end(self, since_s: float, status: str) -> None:
        self._go(since_s, status, self.script.message if status in FAILED else "")
        self._go(since_s + (_FAILED_KEPT_S if status in FAILED else _KEPT_S), GONE)

    def _hold(self, now_s: float) -> None:
        """Drop what would follow the status that is never left, of what is to come."""
        phases = self.phases
        for number, phase in enumerate(phases[:-1]):
            if phase.since_s < now_s or phase.status != self.script.stays:
                continue
            if phases[number + 1].status != phase.status:
                self.phases = phases[: number + 1]
                return

    def _load_ends_s(self, now_s: float) -> float:
        """When the last run's load ended; infinite while it goes on."""
        start_s = self.run_start_s or 0.0
        for phase in cut(self.phases, now_s):
            if phase.since_s >= start_s and phase.status not in _UNDER_LOAD:
                return phase.since_s
        return float("inf")
