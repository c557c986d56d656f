"""What a job leaves to tell why it went as it did: its document, events and logs, of every pod."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from tidemark.alibaba import dlc_answers
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job, Pod
from tidemark.alibaba.errors import AlibabaError, NotFoundError
from tidemark.clock import Clock, SystemClock
from tidemark.waiting.observation import Event

__all__ = ["JobEvidence", "collect", "incarnations", "waiting_events"]

LOG = logging.getLogger("tidemark.alibaba")

MAX_LINES: Final = 2000
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class JobEvidence:
    """What was found of a job.

    `events` are by pod id, those of the job as a whole under "". `logs` are by pod id; what a pod
    that was replaced printed is under `<pod id>@<pod uid>`. `missing` says what could not be read,
    and why.
    """

    job: Job
    events: Mapping[str, tuple[Event, ...]] = field(default_factory=dict)
    logs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def text(self) -> str:
        """All of it for people: the job, events in the order of their times, then the logs."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        job = self.job
        yield f"job {job.job_id} ({job.display_name or 'without a name'}): {job.status}"
        for label, said in (
            ("sub-status", job.sub_status),
            ("reason", job.reason_code),
            ("message", job.reason_message),
            ("restarts", job.restart_times),
        ):
            if said:
                yield f"{label}: {said}"
        for period in job.status_history:
            since = period.start_time.isoformat() if period.start_time else "?"
            yield f"was {period.status} from {since} {period.reason_message}".rstrip()
        for pod_id, events in self.events.items():
            yield ""
            yield f"events of {'pod ' + pod_id if pod_id else 'the job'}:"
            yield from (_event_line(event) for event in events)
        for pod_id, lines in self.logs.items():
            yield ""
            yield f"log of {pod_id}:"
            yield from lines
        if self.missing:
            yield ""
            yield "could not be read:"
            yield from self.missing

    def document(self) -> dict[str, Any]:
        """All of it as JSON values; the job as GetJob has it, with secrets masked."""
        return {
            "job": self.job.wire,
            "events": {
                pod_id: [
                    {"at": event.at.isoformat() if event.at else None, "text": event.text}
                    for event in events
                ]
                for pod_id, events in self.events.items()
            },
            "logs": {pod_id: list(lines) for pod_id, lines in self.logs.items()},
            "missing": list(self.missing),
        }


async def collect(
    dlc: Dlc,
    job_id: str,
    *,
    job: Job | None = None,
    clock: Clock | None = None,
    within_s: float = 120.0,
    clean: Callable[[str], str] = str,
) -> JobEvidence:
    """Read everything of a job that can be read: of every pod, also of those that were replaced.

    Never raises for what cannot be read: `missing` tells of it. `job` stands in for GetJob when
    that fails. After `within_s` seconds nothing more is asked for, since a job that waits to be
    stopped is billed meanwhile. The service keeps the last 2,000 lines and events of a pod, of
    seven days. `clean` takes secrets out of what is logged here.
    """
    reader = _Reader(clock or SystemClock(), within_s, clean)
    seen = await reader.read("the job", partial(dlc.get_job, job_id))
    found = seen or job or Job.of({"JobId": job_id}, "GetJob")
    if seen is None and job is not None and job.pods == ():
        reader.missing.append("pods: the job could not be read, so none is known")
    events: dict[str, tuple[Event, ...]] = {}
    logs: dict[str, tuple[str, ...]] = {}
    said = await reader.read("events of the job", partial(dlc.get_job_events, job_id))
    if said is not None:
        events[""] = waiting_events(said)
    for key, pod in incarnations(found.pods):
        if pod.pod_id not in events:
            ask = partial(dlc.get_pod_events, job_id, pod.pod_id)
            told = await reader.read(f"events of {pod.pod_id}", ask)
            if told is not None:
                events[pod.pod_id] = waiting_events(told, pod.pod_id)
        uid = pod.pod_uid or None
        ask_log = partial(dlc.get_pod_logs, job_id, pod.pod_id, pod_uid=uid, max_lines=MAX_LINES)
        printed = await reader.read(f"log of {key}", ask_log)
        if printed is not None:
            logs[key] = printed.logs
    return JobEvidence(found, events, logs, tuple(reader.missing))


@dataclass(slots=True)
class _Reader:
    """Asks one thing after the other, and notes what was not to be had."""

    clock: Clock
    within_s: float
    clean: Callable[[str], str]
    missing: list[str] = field(default_factory=list)
    begun_s: float = 0.0

    def __post_init__(self) -> None:
        self.begun_s = self.clock.monotonic()

    async def read(self, what: str, ask: Callable[[], Awaitable[_T]]) -> _T | None:
        if self.clock.monotonic() - self.begun_s >= self.within_s:
            self.missing.append(f"{what}: not asked for, {self.within_s:.0f} s had passed")
            return None
        try:
            return await ask()
        except NotFoundError:
            self.missing.append(f"{what}: the service has none")
        except AlibabaError as error:
            LOG.warning("%s could not be read: %s", what, self.clean(str(error)))
            self.missing.append(f"{what}: {error.what}")
        return None


def incarnations(pods: Sequence[Pod]) -> Iterator[tuple[str, Pod]]:
    """Every pod with the key of its log, those that it replaced before it.

    A pod that was replaced is asked for by its uid: by its id alone its successor would answer.
    """
    for pod in pods:
        for old in pod.history_pods:
            pod_id = old.pod_id or pod.pod_id
            if old.pod_uid:
                yield f"{pod_id}@{old.pod_uid}", old.model_copy(update={"pod_id": pod_id})
            elif pod_id != pod.pod_id:
                yield pod_id, old
        yield pod.pod_id, pod


def waiting_events(found: Sequence[dlc_answers.Event], pod_id: str = "") -> tuple[Event, ...]:
    """Events as decisions about waiting take them."""
    return tuple(Event(event.text, event.at, pod_id) for event in found)


def _event_line(event: Event) -> str:
    at = f"{event.at:%Y-%m-%d %H:%M:%S} " if event.at else ""
    return f"{at}{event.text}"
