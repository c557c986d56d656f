"""A job's life from its script: a pure function, so that the clock may jump by hours.

A life is worked out whole, from creation to its end, each time something new is known (a stop, a
real command's exit); what lies before that moment does not change.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field, replace

from tidemark.simulator.pai.job_script import JobScript, StockOut

__all__ = [
    "STATUSES",
    "TERMINAL",
    "Conditions",
    "Exit",
    "JobLife",
    "Restart",
    "Segment",
    "job_life",
]

# In the order in which a job goes through them (GetJob, 2020-12-03).
STATUSES = (
    "Creating",
    "Queuing",
    "Bidding",
    "EnvPreparing",
    "SanityChecking",
    "Running",
    "Restarting",
    "SucceededReserving",
    "FailedReserving",
    "Stopping",
    "Succeeded",
    "Failed",
    "Stopped",
)
TERMINAL = frozenset(("Succeeded", "Failed", "Stopped"))

_SANITY_CHECK_S = 60.0
_BIDDING_S = 10.0
_EXITS = {
    126: "the command is not executable",
    127: "the command was not found",
    137: "OOMKilled",
    143: "terminated by SIGTERM",
    245: "NCCL timeout",
}


@dataclass(frozen=True, slots=True)
class Conditions:
    """What of a job's request decides over its life. `pull_failure` is the reason it is given
    when its image cannot be pulled."""

    created_s: float
    out_of_stock: bool = False
    bids: bool = False
    checks_sanity: bool = False
    reserved_s: float = 0.0
    limit_s: float = math.inf
    may_restart: bool = True
    most_restarts: int = 10
    pods: int = 1
    pull_failure: str = ""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a command that was really run ended."""

    at_s: float
    code: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A status and the time it lasts, `end_s` infinite when nothing ends it."""

    status: str
    start_s: float
    end_s: float
    reason_code: str = ""
    reason_message: str = ""


@dataclass(frozen=True, slots=True)
class Restart:
    """A pod that was lost at `at_s`; its successor has a node and runs at the times given."""

    at_s: float
    node_s: float
    running_s: float
    pod: int
    evicted: bool


@dataclass(frozen=True, slots=True)
class JobLife:
    """The whole of it. Times are infinite for what does not happen.

    `nodes_s`: nodes are allocated, and billed from then on; `pull_s`: the pull begins;
    `image_s`: the image is there; `running_s`: it first runs; `exit_s`: the command ends;
    `end_s`: the job reaches its last status.
    """

    segments: tuple[Segment, ...]
    nodes_s: float
    pull_s: float
    image_s: float
    running_s: float
    exit_s: float
    exit_code: int | None
    end_s: float
    restarts: tuple[Restart, ...] = ()

    def at(self, now_s: float) -> Segment:
        """The segment of a moment: the first one before it, the last one after it."""
        starts = [segment.start_s for segment in self.segments]
        return self.segments[max(0, bisect_right(starts, now_s) - 1)]

    def until(self, now_s: float) -> list[Segment]:
        """The segments that have begun."""
        return [segment for segment in self.segments if segment.start_s <= now_s]


@dataclass(slots=True)
class _Path:
    """Segments one after the other; nothing follows one that does not end."""

    script: JobScript
    now_s: float
    segments: list[Segment] = field(default_factory=list)

    def add(self, status: str, seconds: float, code: str = "", message: str = "") -> None:
        for detour in self.script.detours:
            if detour.before == status and all(one.status != status for one in self.segments):
                self._append(detour.status, detour.for_s, "", "")
        self._append(status, seconds, code, message)

    def _append(self, status: str, seconds: float, code: str, message: str) -> None:
        end_s = self.now_s + seconds
        if math.isinf(self.now_s) or end_s <= self.now_s:
            return
        self.segments.append(Segment(status, self.now_s, end_s, code, message))
        self.now_s = end_s

    def cut(self, at_s: float) -> None:
        """Forget what comes from `at_s` on."""
        kept = [one for one in self.segments if one.start_s < at_s]
        if kept and kept[-1].end_s > at_s:
            last = kept[-1]
            kept[-1] = Segment(last.status, last.start_s, at_s)
        self.segments = kept
        self.now_s = min(self.now_s, at_s)

    def stop(self, at_s: float, code: str, message: str) -> None:
        self.cut(at_s)
        self.add("Stopping", self.script.stopping_s, code, message)
        self.add("Stopped", math.inf, code, message)


def job_life(
    script: JobScript,
    conditions: Conditions,
    *,
    stop_s: float | None = None,
    waits_for_exit: bool = False,
    exited: Exit | None = None,
) -> JobLife:
    """The life of a job.

    stop_s: when it was told to stop. waits_for_exit: a real command decides when and how the
    running ends, `exited` is its end once that is known.
    """
    path = _Path(script, conditions.created_s)
    times = _Times()
    if _prepare(path, script, conditions, times):
        _run(path, script, conditions, times, exited, waits_for_exit)
    last = path.segments[-1] if path.segments else None
    if stop_s is not None and (
        last is None or last.status not in TERMINAL or last.start_s > stop_s
    ):
        path.stop(stop_s, "JobStoppedByUser", "Job is stopped by user.")
        times.forget_from(stop_s)
    last = path.segments[-1]
    return JobLife(
        segments=tuple(path.segments),
        nodes_s=times.nodes_s,
        pull_s=times.pull_s,
        image_s=times.image_s,
        running_s=times.running_s,
        exit_s=times.exit_s,
        exit_code=times.exit_code,
        end_s=last.start_s if last.status in TERMINAL else math.inf,
        restarts=tuple(times.restarts),
    )


@dataclass(slots=True)
class _Times:
    nodes_s: float = math.inf
    pull_s: float = math.inf
    image_s: float = math.inf
    running_s: float = math.inf
    exit_s: float = math.inf
    exit_code: int | None = None
    restarts: list[Restart] = field(default_factory=list)

    def forget_from(self, at_s: float) -> None:
        for name in ("nodes_s", "pull_s", "image_s", "running_s", "exit_s"):
            if getattr(self, name) >= at_s:
                setattr(self, name, math.inf)
        if math.isinf(self.exit_s):
            self.exit_code = None
        self.restarts = [
            replace(
                one,
                node_s=one.node_s if one.node_s < at_s else math.inf,
                running_s=one.running_s if one.running_s < at_s else math.inf,
            )
            for one in self.restarts
            if one.at_s < at_s
        ]


def _prepare(path: _Path, script: JobScript, conditions: Conditions, times: _Times) -> bool:
    """Up to the moment before the job runs; False if it fails or waits for ever."""
    path.add("Creating", script.creating_s)
    stock = script.stock_out or (StockOut() if conditions.out_of_stock else None)
    if stock is not None and stock.fails_after_s is not None:
        path.add("Queuing", stock.fails_after_s)
        path.add("Failed", math.inf, "ResourceAllocateFailed", "No stock of the requested spec.")
        return False
    waiting_s = math.inf if stock and stock.recovers_after_s is None else 0.0
    if stock and stock.recovers_after_s is not None:
        waiting_s = stock.recovers_after_s
    path.add("Queuing", max(script.queuing_s, waiting_s))
    bidding_s = script.bidding_s
    if bidding_s is None:
        bidding_s = _BIDDING_S if conditions.bids else 0.0
    path.add("Bidding", bidding_s)
    if math.isinf(path.now_s):
        return False
    # A detour before EnvPreparing has no node yet.
    pull = script.image_pull
    pulling_s = pull.pull_s
    if pull.fails_after_s is not None:
        pulling_s = math.inf
        if pull.recovers_after_s is not None:
            pulling_s = pull.recovers_after_s + pull.pull_s
        if pull.gives_up_after_s is not None:
            pulling_s = pull.gives_up_after_s
    path.add("EnvPreparing", script.node_s + pulling_s)
    preparing = [one for one in path.segments if one.status == "EnvPreparing"]
    times.nodes_s = preparing[-1].start_s if preparing else path.now_s
    if math.isinf(times.nodes_s):
        return False
    times.pull_s = times.nodes_s + script.node_s
    if pull.gives_up_after_s is not None:
        path.add("Failed", math.inf, "JobFailed", conditions.pull_failure)
        return False
    times.image_s = times.pull_s + pulling_s
    checking_s = script.sanity_check_s
    if checking_s is None:
        checking_s = _SANITY_CHECK_S if conditions.checks_sanity else 0.0
    path.add("SanityChecking", checking_s)
    return not math.isinf(path.now_s)


def _run(
    path: _Path,
    script: JobScript,
    conditions: Conditions,
    times: _Times,
    exited: Exit | None,
    waits_for_exit: bool,
) -> None:
    before = len(path.segments)
    lasts_s = math.inf if waits_for_exit else script.running_s
    exit_code, message = script.exit_code, ""
    for number, interruption in enumerate(script.interruptions, start=1):
        if interruption.after_s >= lasts_s or math.isinf(path.now_s):
            break
        path.add("Running", interruption.after_s)
        pod = interruption.pod % conditions.pods
        evicted = interruption.kind == "eviction"
        if not conditions.may_restart or number > conditions.most_restarts:
            lasts_s, exit_code = 0.0, 143 if evicted else 1
            message = (
                "No restart is left." if conditions.may_restart else "Restarts are not allowed."
            )
            break
        lost_s = path.now_s
        node_s = lost_s + interruption.new_node_s if evicted else lost_s
        path.add("Restarting", node_s - lost_s + interruption.start_s)
        times.restarts.append(Restart(lost_s, node_s, path.now_s, pod, evicted))
    path.add("Running", lasts_s)
    running = [one.start_s for one in path.segments[before:] if one.status == "Running"]
    times.running_s = running[0] if running else path.now_s
    limit_s = times.running_s + conditions.limit_s
    if exited is not None and exited.at_s < path.now_s:
        path.cut(exited.at_s)
        times.forget_from(exited.at_s)
        exit_code = exited.code
    if path.now_s > limit_s:
        minutes = round(conditions.limit_s / 60)
        path.stop(
            limit_s,
            "JobMaxRunningTimeExceeded",
            f"Job is stopped because it ran for more than {minutes} minutes.",
        )
        times.forget_from(limit_s)
        return
    if math.isinf(path.now_s):
        return
    times.exit_s, times.exit_code = path.now_s, exit_code
    code, said = ("JobSucceeded", "Job is succeeded.")
    if exit_code:
        reason = _EXITS.get(exit_code, "error")
        code, said = "JobFailed", f"The command exited with code {exit_code}: {reason}. {message}"
    outcome = "Failed" if exit_code else "Succeeded"
    reserving_s = conditions.reserved_s if script.reserving_s is None else script.reserving_s
    path.add(f"{outcome}Reserving", reserving_s, code, said.strip())
    path.add(outcome, math.inf, code, said.strip())
