"""What a job has cost so far, from the service's own times.

The service says when a job changed and when its pods came and went, in whole seconds. Machines are
paid for from the moment they are prepared to the moment the job lets go of them, which is after it
has been stopped, and after its outcome is known where machines are kept (`SucceededReserving`,
`FailedReserving`). Where the service does not say when a machine came, it counts from the earliest
moment it can have come, and where it says no time at all, from when we were about to create the
job: never less than the bill, and at most `margin_s` more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from tidemark.alibaba.dlc_answers import Job, Pod, StatusPeriod
from tidemark.alibaba.dlc_status import JobStatus
from tidemark.money.amounts import cost_of

__all__ = ["Metered", "metered", "workers_of"]

# A job in one of these has no machine yet. One that nobody knows may have.
_WITHOUT_MACHINES = frozenset(
    (JobStatus.CREATING, JobStatus.QUEUING, JobStatus.BIDDING, "Waiting", "SubmitFailed")
)
_ENDS = frozenset((JobStatus.STOPPING, JobStatus.STOPPED, JobStatus.FAILED))
_SECOND = timedelta(seconds=1)
# How far clocks may be apart; a time beyond is none.
_AHEAD = timedelta(days=2)
_BEFORE = timedelta(minutes=1)

_Timed = TypeVar("_Timed", Job, Pod, StatusPeriod)


@dataclass(frozen=True, slots=True)
class Metered:
    """What a job has cost: `billable_s` machine-seconds of all its workers together.

    `since` is the first billed second and `until` the last, both None while nothing is billed.
    `margin_s` is how many of the machine-seconds may not be billed after all. `amount` is in the
    currency of the price, rounded up to a millionth, None without a price. `over` says whether
    the job has ended, so that it costs no more.
    """

    billable_s: float
    margin_s: float
    since: datetime | None
    until: datetime | None
    amount: Decimal | None
    over: bool


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A machine's time, with how much of it may not be billed."""

    since: datetime
    until: datetime
    unsure_s: float = 0.0

    @property
    def seconds(self) -> float:
        return max(0.0, (self.until - self.since).total_seconds())


def metered(
    job: Job,
    *,
    price_per_hour: Decimal | None,
    workers: int,
    now: datetime,
    intended_at: datetime | None = None,
) -> Metered:
    """What `job` has cost up to its end, or up to `now` (UTC) while it goes on.

    `job` is an answer of GetJob: lists may leave pods and histories out, and then everything from
    its creation on counts. `price_per_hour` is of one machine, `workers` how many there are.
    `intended_at` is before the call that created it, and counts where the service says no time of
    the job. Times that cannot be, of days to come or before the creation, count as not said: a job
    that ended at none that can be is billed up to `now`.
    """
    # By our clock, which may be ahead of the service's.
    intended_at = intended_at - _BEFORE if intended_at else None
    job = _believed(job, now, intended_at)
    until = _until(job, now)
    stretches = [one for one in _stretches(job, workers, until, intended_at) if one.seconds > 0]
    amount = None
    if price_per_hour is not None:
        costs = (cost_of(price_per_hour, one.seconds) for one in stretches)
        amount = sum(costs, Decimal(0))
    return Metered(
        billable_s=sum(one.seconds for one in stretches),
        margin_s=sum(min(one.seconds, one.unsure_s) for one in stretches),
        since=min((one.since for one in stretches), default=None),
        until=max((one.until for one in stretches), default=None),
        amount=amount,
        over=job.is_terminal,
    )


def workers_of(job: Job) -> int:
    """How many machines a job has: its request's pods, or else those that are seen; at least 1."""
    specs = job.wire.get("JobSpecs")
    counts = [one.get("PodCount", 1) for one in specs if isinstance(one, dict)] if isinstance(
        specs, list
    ) else []  # fmt: skip
    asked = sum(count for count in counts if isinstance(count, int) and count > 0)
    return max(1, asked, len(job.pods))


def _believed(job: Job, now: datetime, intended_at: datetime | None) -> Job:
    """The job without times that cannot be."""
    latest = now.astimezone(UTC) + _AHEAD
    created = job.gmt_create_time or intended_at

    def cannot_be(moment: datetime) -> bool:
        return moment > latest or (created is not None and moment + _BEFORE < created <= latest)

    def clean(one: _Timed, **inner: object) -> _Timed:
        wrong = {
            name: None
            for name in type(one).model_fields
            if isinstance(moment := getattr(one, name), datetime) and cannot_be(moment)
        }
        return one.model_copy(update={**wrong, **inner})

    def pods(some: tuple[Pod, ...]) -> tuple[Pod, ...]:
        return tuple(clean(pod, history_pods=pods(pod.history_pods)) for pod in some)

    return clean(
        job, pods=pods(job.pods), status_history=tuple(clean(one) for one in job.status_history)
    )


def _until(job: Job, now: datetime) -> datetime:
    """When the machines were let go: times are cut to the second, so the next one."""
    if job.ended_at is not None:
        return max(job.ended_at, _latest(job) or job.ended_at) + _SECOND
    seen = _latest(job)
    # This machine's clock may be behind the service's, which has seen the job at least so late.
    return max(now.astimezone(UTC), seen) if seen else now.astimezone(UTC)


def _latest(job: Job) -> datetime | None:
    moments = [period.start_time for period in job.status_history]
    moments += [period.end_time for period in job.status_history]
    moments += [job.gmt_create_time, job.gmt_submitted_time, job.gmt_running_time]
    for pod in _lives(job.pods):
        moments += [pod.gmt_create_time, pod.gmt_start_time, pod.gmt_finish_time]
    return max((moment for moment in moments if moment), default=None)


def _lives(pods: Iterable[Pod]) -> Iterator[Pod]:
    for pod in pods:
        yield from _lives(pod.history_pods)
        yield pod


def _stretches(
    job: Job, workers: int, until: datetime, intended_at: datetime | None
) -> Iterator[_Stretch]:
    prepared, sure = _prepared(job, intended_at)
    if prepared is None:
        return
    for pod in job.pods:
        yield from _of_pod(pod, prepared, sure, until)
    unsure_s = max(0.0, (until - prepared).total_seconds())
    for _ in range(max(0, workers - len(job.pods))):
        # A machine that the service does not show, or of a job whose pods it shows no more.
        whole = not job.pods and sure
        yield _Stretch(prepared, until, 2.0 if whole else unsure_s)


def _prepared(job: Job, intended_at: datetime | None) -> tuple[datetime | None, bool]:
    """When the first machine can have come, and whether the service says so; None if none has."""
    pods = [pod.gmt_create_time for pod in _lives(job.pods) if pod.gmt_create_time]
    earliest = min(pods, default=job.gmt_submitted_time or job.gmt_create_time or intended_at)
    unknown: datetime | None = None
    for period in job.status_history:
        if period.status in _WITHOUT_MACHINES:
            unknown = None  # who waits for machines had none before
        elif period.status in _ENDS and not job.pods and unknown is None:
            return None, True  # it ended while it waited
        elif period.status in list(JobStatus) and period.start_time:
            return unknown or period.start_time, unknown is None
        else:
            unknown = unknown or period.start_time or earliest
    if unknown is not None:
        return unknown, False
    if job.status in _WITHOUT_MACHINES and not job.pods:
        return None, True
    return earliest, False


def _of_pod(pod: Pod, prepared: datetime, sure: bool, until: datetime) -> Iterator[_Stretch]:
    lives = [*pod.history_pods, pod]
    lives.sort(key=lambda one: one.gmt_create_time or prepared)
    for place, one in enumerate(lives):
        begun = max(prepared, one.gmt_create_time or prepared)
        if place + 1 == len(lives):
            # The machine is held as long as the job, also when its container has ended.
            ended = until
        else:
            follower = lives[place + 1].gmt_create_time
            moments = [moment for moment in (one.gmt_finish_time, follower) if moment]
            # A machine that was taken back is gone; one whose pod failed is kept for the next.
            last = one.gmt_finish_time if one.evicted else max(moments, default=None)
            ended = (last + _SECOND) if last else until
        unsure_s = 2.0
        if not sure and one.gmt_create_time is None:
            unsure_s += max(0.0, (ended - begun).total_seconds())
        if place and lives[place - 1].evicted:
            # Its replacement is billed from when it is there, which nothing says.
            ready = one.gmt_start_time or ended
            unsure_s += max(0.0, (ready - begun).total_seconds())
        yield _Stretch(begun, min(ended, until), unsure_s)
