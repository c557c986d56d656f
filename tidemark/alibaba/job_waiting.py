"""Waiting for a job: the loop that looks, keeps what is found, and stops what should not go on.

What to do is decided in `tidemark.waiting.policy`; here it is done.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.dlc_status import JobStatus, Phase
from tidemark.alibaba.errors import AccessError, AlibabaError, NotFoundError
from tidemark.alibaba.job_evidence import JobEvidence, collect, waiting_events
from tidemark.alibaba.job_failures import classify
from tidemark.alibaba.job_logs import LogStream
from tidemark.alibaba.job_stopping import stop_and_see
from tidemark.clock import Clock
from tidemark.waiting.failure import Failure
from tidemark.waiting.observation import Event, Observation, Stage
from tidemark.waiting.policy import Action, Decision, Patience, WaitState, deadline, decide

__all__ = ["JobEnd", "JobFailedError", "observed", "stage_of", "wait_for_job"]

LOG = logging.getLogger("tidemark.alibaba")

Keep = Callable[[JobEvidence], Awaitable[None]]
Tell = Callable[[Job, Decision], Awaitable[None]]
Said = Callable[[str, str], None]
AskedToStop = Callable[[], Awaitable[str | None]]
Clean = Callable[[str], str]

_STAGES: Final = {
    Phase.ACTIVE: Stage.RUNNING,
    Phase.CLOSING: Stage.CLOSING,
    Phase.RESERVING: Stage.HOLDING,
    Phase.TERMINAL: Stage.ENDED,
    Phase.UNKNOWN: Stage.UNKNOWN,
}
# A job that starts again has pods that need a node and an image, like one that starts.
_PREPARING: Final = (JobStatus.ENV_PREPARING, JobStatus.SANITY_CHECKING, JobStatus.RESTARTING)
_NOT_STARTED: Final = ("", "Pending", "Unknown")
# Events of more pods than this are asked for of the job as a whole, with one call.
_MOST_PODS: Final = 10
_SHOWN: Final = 5
# A service says now and then of a job that runs that it is not there, or not to be seen.
_REFUSALS: Final = 3
_REFUSED_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How the waiting ended: the job as it was last seen, the last decision, and for a failure its
    class and all that was found. `failure` is None for a job whose command succeeded."""

    job: Job
    failure: Failure | None
    evidence: JobEvidence | None
    decision: Decision


class JobFailedError(AlibabaError):
    """A job that failed, was stopped, or could not be waited for any longer: class, evidence and
    what to do."""

    def __init__(self, job: Job, failure: Failure, evidence: JobEvidence | None) -> None:
        super().__init__(
            f"{job.status or 'not over'}, {failure.kind.value}: {failure.evidence} "
            f"({failure.where})",
            f"job {job.job_id}",
            failure.advice,
        )
        self.job = job
        self.failure = failure
        self.evidence = evidence


def stage_of(status: str) -> Stage:
    """Where a job of this status stands."""
    if status in _PREPARING:
        return Stage.PREPARING
    job = Job.model_validate({"job_id": "", "status": status})
    return _STAGES.get(job.phase, Stage.QUEUEING)


def observed(job: Job, events: tuple[Event, ...], at_s: float) -> Observation:
    """What a look at a job has shown."""
    pods = [pod.sub_status for pod in job.pods if pod.sub_status not in ("", "Normal")]
    said = (job.sub_status, job.reason_code, job.reason_message, *pods)
    return Observation(
        at_s,
        job.status,
        stage_of(job.status),
        events,
        " ".join(dict.fromkeys(each for each in said if each)),
        job.restarts[0] if job.restarts else None,
        any(pod.evicted for pod in job.pods),
    )


async def wait_for_job(
    dlc: Dlc,
    job_id: str,
    *,
    clock: Clock,
    patience: Patience | None = None,
    interval_s: float = 30.0,
    keep: Keep | None = None,
    tell: Tell | None = None,
    said: Said | None = None,
    asked_to_stop: AskedToStop | None = None,
    clean: Clean = str,
    job: Job | None = None,
) -> JobEnd:
    """Wait until a job has ended, or stop it when one of the clocks of `patience` runs out.

    It is looked at every `interval_s` seconds, sooner where a clock runs out sooner. Before a stop,
    and when it has ended by itself, its logs and events are read and given to `keep`; a `keep` that
    fails hinders no stop, and what was read is in the JobEnd all the same.

    `tell` is called at each look, `said` with pod id and line as the log grows. `asked_to_stop` is
    asked at each look; a reason ends the job by the clock "asked". What they raise ends the
    waiting, and the job goes on. `clean` takes secrets out of what is logged here.

    A job that fails raises nothing. Errors of the service that pass are waited out within the
    deadline, and statuses that are not known too. That a job is not there or may not be seen is
    believed when at least three looks in two minutes say so, and at once of a job that was never
    seen; `job` is one that the caller has seen. Raises AlibabaError then, and for what
    does not pass, and JobRunsOn for a job that could not be seen to stop.
    """
    waiting = _Waiting(
        dlc,
        job_id,
        clock,
        patience or Patience(),
        interval_s,
        keep,
        tell,
        said,
        asked_to_stop,
        clean,
        job,
    )
    return await waiting.wait()


@dataclass(slots=True)
class _Waiting:
    dlc: Dlc
    job_id: str
    clock: Clock
    patience: Patience
    interval_s: float
    keep: Keep | None
    tell: Tell | None
    said: Said | None
    asked_to_stop: AskedToStop | None
    clean: Clean
    job: Job | None
    events: dict[str, tuple[Event, ...]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    log: LogStream | None = None
    refused_since_s: float | None = None
    refusals: int = 0

    async def wait(self) -> JobEnd:
        state = WaitState.begin(self.clock.monotonic())
        self.log = LogStream(self.dlc, self.job_id, clock=self.clock, clean=self.clean)
        while True:
            state, decision = await self._look(state)
            asked = await self.asked_to_stop() if self.asked_to_stop is not None else None
            if asked and decision.action is not Action.DONE:
                decision = Decision(Action.STOP, "asked", asked, decision.evidence)
            if self.job is not None:
                await self._say(self.job, decision)
            if decision.action is Action.DONE:
                end = await self._ended(decision)
                if end is not None:
                    return end
            if decision.action is Action.STOP:
                return await self._stop(decision)
            if decision.action is Action.DIAGNOSE:
                await self._diagnose(decision)
            await self.clock.sleep(min(self.interval_s, max(decision.due_in_s, 0.001)))

    async def _look(self, state: WaitState) -> tuple[WaitState, Decision]:
        try:
            job = await self.dlc.get_job(self.job_id)
        except AlibabaError as error:
            if not error.retryable and self._believed(error):
                if isinstance(error, NotFoundError):
                    raise self._gone() from error
                raise
            self._log(logging.WARNING, f"{self.job_id} could not be looked at: {error}")
            late = deadline(state, self.clock.monotonic(), self.patience)
            if late.due_in_s <= 0:
                return state, late
            why = f"the service does not answer: {error.what}"
            return state, Decision(Action.WAIT, "", why, "", late.due_in_s)
        self.job, self.refused_since_s, self.refusals = job, None, 0
        stage = stage_of(job.status)
        if stage is Stage.UNKNOWN and job.status not in self.told:
            self.told.add(job.status)
            self._log(
                logging.WARNING,
                f"{self.job_id} has the status {job.status}, which is not known here",
            )
        if stage in (Stage.QUEUEING, Stage.PREPARING, Stage.UNKNOWN):
            await self._read_events(job)
        events = tuple(event for each in self.events.values() for event in each)
        return decide(
            state, observed(job, events, self.clock.monotonic()), self.patience, self.interval_s
        )

    def _believed(self, error: AlibabaError) -> bool:
        """Whether an error that does not pass is the last word."""
        if self.job is None or not isinstance(error, NotFoundError | AccessError):
            return True
        now_s = self.clock.monotonic()
        if self.refused_since_s is None:
            self.refused_since_s = now_s
        self.refusals += 1
        return self.refusals >= _REFUSALS and now_s - self.refused_since_s >= _REFUSED_S

    async def _read_events(self, job: Job) -> None:
        """The events of pods that do not run yet, or of the job where there are none or very many.
        What cannot be read is as it was."""
        pods = [pod.pod_id for pod in job.pods if pod.pod_id and pod.status in _NOT_STARTED]
        some = 0 < len(pods) <= _MOST_PODS
        told = {pod_id: await self._events_of(pod_id) for pod_id in (pods if some else [""])}
        if some and all(events is None for events in told.values()):
            told = {"": await self._events_of("")}
        for pod_id, events in told.items():
            if events is not None:
                self.events[pod_id] = events
        for pod in job.pods:
            if pod.status not in _NOT_STARTED:
                self.events.pop(pod.pod_id, None)

    async def _events_of(self, pod_id: str) -> tuple[Event, ...] | None:
        try:
            if pod_id:
                found = await self.dlc.get_pod_events(self.job_id, pod_id)
            else:
                found = await self.dlc.get_job_events(self.job_id)
        except AlibabaError as error:
            if error.what not in self.told:
                self.told.add(error.what)
                self._log(
                    logging.WARNING, f"events of {pod_id or self.job_id} cannot be read: {error}"
                )
            return None
        return waiting_events(found, pod_id)

    async def _say(self, job: Job, decision: Decision) -> None:
        if self.tell is not None:
            await self.tell(job, decision)
        if self.said is None or self.log is None or not job.pods:
            return
        for pod_id, line in await self.log.new_lines(job):
            self.said(pod_id, line)

    async def _diagnose(self, decision: Decision) -> None:
        """Tell what is known, for whoever watches: that a command runs on is the least of it."""
        level = logging.INFO if self.job and self.job.phase is Phase.ACTIVE else logging.WARNING
        evidence = await self._collected()
        self._log(level, f"{self.job_id}: {decision.why}")
        for pod_id, events in evidence.events.items():
            if pod_id or len(evidence.events) == 1:
                for event in events[-_SHOWN:]:
                    self._log(level, f"{pod_id or self.job_id}: event: {event.text}")
        if self.said is not None:
            return  # the log is told there line by line, and without secrets
        for pod_id, lines in evidence.logs.items():
            for line in lines[-_SHOWN:]:
                self._log(level, f"{pod_id}: log: {line}")

    async def _ended(self, decision: Decision) -> JobEnd | None:
        """What the end is, once it is seen twice; None where it runs on after all."""
        assert self.job is not None
        evidence = await self._kept()
        if not evidence.job.is_terminal:
            text = f"{self.job_id} was said to be {self.job.status}, and is {evidence.job.status}"
            self._log(logging.WARNING, text)
            return None
        if self.job.status == JobStatus.SUCCEEDED:
            return JobEnd(self.job, None, evidence, decision)
        return JobEnd(self.job, classify(self.job, evidence, None), evidence, decision)

    async def _stop(self, decision: Decision) -> JobEnd:
        self._log(logging.WARNING, f"stopping {self.job_id}: {decision.why}")
        evidence = await self._kept()
        ended = await stop_and_see(self.dlc, self.job_id, clock=self.clock)
        self.job = ended
        if self.said is not None and self.log is not None:
            with suppress(AlibabaError):
                for pod_id, line in await self.log.new_lines(ended):
                    self.said(pod_id, line)
        if _was(JobStatus.SUCCEEDED, JobStatus.SUCCEEDED_RESERVING, ended, evidence.job):
            return JobEnd(ended, None, evidence, decision)
        if _was(JobStatus.FAILED, JobStatus.FAILED_RESERVING, ended, evidence.job):
            # It came to an end of its own before the stop reached it.
            own = ended if ended.status == JobStatus.FAILED else evidence.job
            return JobEnd(ended, classify(own, evidence, None), evidence, decision)
        return JobEnd(ended, classify(evidence.job, evidence, decision), evidence, decision)

    async def _collected(self) -> JobEvidence:
        return await collect(
            self.dlc, self.job_id, job=self.job, clock=self.clock, clean=self.clean
        )

    async def _kept(self) -> JobEvidence:
        evidence = await self._collected()
        if self.keep is not None:
            try:
                await self.keep(evidence)
            except Exception as error:
                # The job is billed until it is stopped, whatever else fails.
                text = f"{type(error).__name__}: {error}"
                self._log(logging.ERROR, f"evidence of {self.job_id} could not be kept: {text}")
        return evidence

    def _log(self, level: int, text: str) -> None:
        """Log what comes from outside: on one line, and without the caller's secrets."""
        clean = self.clean(text)
        LOG.log(level, "%s", "".join(each if each.isprintable() else " " for each in clean))

    def _gone(self) -> AlibabaError:
        if self.job is None:
            return AlibabaError(
                "there is no such job", self.job_id, "Compare the id, the account and the region"
            )
        return AlibabaError(
            f"was deleted while it was waited for; it was {self.job.status} before",
            self.job_id,
            "Create a new job if it was not meant",
        )


def _was(end: JobStatus, held: JobStatus, *seen: Job) -> bool:
    """Whether the command ended so, also where the machines were held on and then given back."""
    return any(
        status in (end, held)
        for job in seen
        for status in (job.status, *(period.status for period in job.status_history))
    )
