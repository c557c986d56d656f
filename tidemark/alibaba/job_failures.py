"""Why a job failed: a class, the line that shows it, and what to do."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tidemark.alibaba.dlc_answers import Job, Pod
from tidemark.alibaba.dlc_status import JobStatus
from tidemark.alibaba.explanations import advice_for
from tidemark.alibaba.job_evidence import JobEvidence
from tidemark.alibaba.job_signs import Sign, Weight, sign_in
from tidemark.waiting.failure import Failure, FailureClass
from tidemark.waiting.observation import Event
from tidemark.waiting.policy import Decision

__all__ = ["classify"]

_STRETCH: Final = 30
_STRETCHES: Final = 5
_MOST_PODS: Final = 16
_LONGEST: Final = 600
_STARTED: Final = re.compile(r"\bstarted container\b", re.IGNORECASE)
_READ: Final = (
    "Read the last lines of the log and the events; `tidemark explain` knows many of them"
)
_STARTING: Final = frozenset(
    {
        FailureClass.NETWORK,
        FailureClass.IMAGE,
        FailureClass.STORAGE,
        FailureClass.PERMISSION,
        FailureClass.CONFIGURATION,
        FailureClass.STOCK,
        FailureClass.QUOTA,
        FailureClass.EVICTED,
    }
)
# The image's address in the plan is what is wrong: the registry has no such image.
_WRONG_ADDRESS: Final = frozenset({"manifest unknown", "pull access denied"})
_FIND_ADDRESS: Final = (
    "Correct the image in the plan: `tidemark pai images` has the official ones of the region "
    "(ListImages); a private one needs registry"
)
_MACHINES: Final = frozenset({FailureClass.STOCK, FailureClass.QUOTA})


@dataclass(frozen=True, slots=True)
class _Source:
    """Lines of one origin, the last at the end."""

    where: str
    lines: Sequence[str]
    is_log: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """A sign, the line it is in, and how far that is from the end of its source."""

    sign: Sign
    line: str
    where: str
    distance: int


def classify(job: Job, evidence: JobEvidence, decision: Decision | None) -> Failure:
    """Why a job failed, from what it left behind.

    `decision` is given for a job that was stopped from here: what ran out says what it is about,
    and the evidence says more. Of a job that ended by itself, the signs that are known (those of
    `tidemark explain`) are looked for in ReasonCode and ReasonMessage, in the events of its pods,
    and in their logs, and one is chosen so:

    1. What was overcome is left out: events before the last start of a container, and the logs of
       pods that were replaced by one that wrote anything.
    2. What is closest to the end wins: events and logs are taken thirty lines at a time from their
       ends, all together, and the first such stretch that holds a sign decides.
    3. In it, what names the end itself (killed for memory, command not found, a running time that
       is over) comes before causes, causes before symptoms (a pod that waits for another, an exit
       code), and those before a mere trace of an error.
    4. Where several still fit, the lowest layer wins, since it brings down those above: network,
       image, runtime, resources, configuration, system. Then the line closest to the end.

    Nothing known is `unknown`, with the last lines as evidence.
    """
    if decision is not None and decision.clock:
        return _stopped_here(job, evidence, decision)
    stated = _stated(job)
    if stated is not None:
        return stated
    found = _best(_sources(job, evidence))
    if found is None:
        return _unknown(job, evidence)
    if found.sign.weight is Weight.TRACE and found.sign.entry.kind == "exit code":
        return _exit_only(job, evidence, found)
    return _failure(job, evidence, found)


def _stopped_here(job: Job, evidence: JobEvidence, decision: Decision) -> Failure:
    if decision.clock == "asked":
        return Failure(
            FailureClass.STOPPED,
            decision.why,
            "asked to stop",
            "Run it again if it is still wanted",
        )
    if decision.clock == "image pull":
        sign = sign_in(decision.evidence)
        where = _where_of(evidence, decision.evidence)
        if sign is None:
            return Failure(FailureClass.IMAGE, _cut(decision.evidence), where, _PULL)
        return Failure(sign.kind, _cut(decision.evidence), where, _advice(sign))
    if decision.clock == "queue" or job.status in _QUEUED:
        found = _best(_sources(job, evidence, logs=False), _MACHINES)
        if found is not None:
            return _failure(job, evidence, found)
        kind = FailureClass.QUOTA if job.resource_id else FailureClass.STOCK
        return Failure(kind, decision.why, f"status {job.status}", _machines_advice(job))
    if job.status != JobStatus.RUNNING:
        found = _best(_sources(job, evidence, logs=False), _STARTING)
        if found is not None:
            return _failure(job, evidence, found)
    last = _last_lines(evidence, 1)
    shown = f"{decision.why}; the log ends with: {last}" if last else decision.why
    advice = "Read the log: it shows whether the work still moved. If it did, allow more time"
    if decision.clock == "preparing":
        advice = "Read the events of the pods, and create the job again: it may come to other nodes"
    return Failure(FailureClass.TIMEOUT, _cut(shown), f"deadline ({decision.clock})", advice)


_QUEUED: Final = (JobStatus.CREATING, JobStatus.QUEUING, JobStatus.BIDDING)
_PULL: Final = "Read the events of the pod: they name the registry's reason; correct the image"


def _stated(job: Job) -> Failure | None:
    """What the service itself gives as the reason, where that is more than that it failed."""
    sign = sign_in(f"ReasonCode: {job.reason_code}") if job.reason_code else None
    if sign is None or sign.weight is not Weight.END:
        return None
    line = job.reason_message or job.reason_code
    # The message can be about something smaller than its code: which parameter, which machine.
    closer = sign_in(line)
    if closer is not None and closer.weight <= Weight.CAUSE and closer.kind is not sign.kind:
        sign = closer
    kind, advice = _of_machines(job, sign)
    return Failure(kind, _cut(line), f"ReasonMessage ({job.reason_code})", advice)


def _of_machines(job: Job, sign: Sign) -> tuple[FailureClass, str]:
    """In a quota there is no stock, only what others of the quota have left."""
    if sign.kind is FailureClass.STOCK and job.resource_id:
        return FailureClass.QUOTA, _machines_advice(job)
    return sign.kind, _advice(sign)


def _advice(sign: Sign) -> str:
    return _FIND_ADDRESS if sign.entry.name in _WRONG_ADDRESS else sign.advice


def _machines_advice(job: Job) -> str:
    if job.resource_id:
        return advice_for("QuotaExceeded") or _READ
    return advice_for("ResourceAllocateFailed") or _READ


def _failure(job: Job, evidence: JobEvidence, found: _Found) -> Failure:
    kind, advice = _of_machines(job, found.sign)
    line, where = found.line, found.where
    if found.sign.entry.name == "no restart is left":
        lost = _eviction(evidence)
        if lost is None:
            # A node or the command failed each time: what it was is in the log.
            return _without(job, evidence, found)
        line, where = lost
    return Failure(kind, _cut(line), where, advice)


def _eviction(evidence: JobEvidence) -> tuple[str, str] | None:
    for pod_id, events in evidence.events.items():
        for event in reversed(events):
            sign = sign_in(event.text)
            if sign is not None and sign.kind is FailureClass.EVICTED:
                return event.text, _event_of(pod_id)
    for pod in evidence.job.pods:
        if any(one.evicted for one in (pod, *pod.history_pods)):
            return f"pod {pod.pod_id} was evicted", f"SubStatus of pod {pod.pod_id}"
    return None


def _without(job: Job, evidence: JobEvidence, left_out: _Found) -> Failure:
    sources = [one for one in _sources(job, evidence) if one.where != left_out.where]
    found = _best(sources)
    if found is None or found.sign.entry.name == left_out.sign.entry.name:
        return Failure(
            FailureClass.COMMAND, _cut(left_out.line), left_out.where, "Read the log of the pod "
            "that failed first: it was started again as often as it may be",
        )  # fmt: skip
    return Failure(found.sign.kind, _cut(found.line), found.where, found.sign.advice)


def _exit_only(job: Job, evidence: JobEvidence, found: _Found) -> Failure:
    """Of an exit code that says no more than that the command failed, with the log's last line."""
    evicted = [pod for pod in job.pods if pod.evicted]
    if evicted:
        place = f"SubStatus of pod {evicted[0].pod_id}"
        line = f"pod {evicted[0].pod_id} was evicted"
        return Failure(FailureClass.EVICTED, line, place, advice_for("NoStock") or _READ)
    last = _last_lines(evidence, 1)
    line = found.line if not last or last in found.line else f"{found.line} The log ends: {last}"
    return Failure(found.sign.kind, _cut(line), found.where, found.sign.advice)


def _unknown(job: Job, evidence: JobEvidence) -> Failure:
    lines = _last_lines(evidence, 3)
    if job.reason_message:
        line = f"{job.reason_message} {f'The log ends: {lines}' if lines else ''}".strip()
        return Failure(FailureClass.UNKNOWN, _cut(line), "ReasonMessage", _READ)
    if lines:
        return Failure(FailureClass.UNKNOWN, _cut(lines), "end of the log", _READ)
    events = [event.text for each in evidence.events.values() for event in each]
    line = events[-1] if events else f"{job.status}, and nothing else is known"
    return Failure(FailureClass.UNKNOWN, _cut(line), "events" if events else "status", _READ)


def _best(
    sources: Sequence[_Source], kinds: Collection[FailureClass] | None = None
) -> _Found | None:
    for stretch in range(_STRETCHES):
        first = stretch * _STRETCH
        found = [
            each
            for source in sources
            for each in _signs(source, first, first + _STRETCH)
            if kinds is None or each.sign.kind in kinds
        ]
        if found:
            return min(found, key=_order)
    return None


def _order(found: _Found) -> tuple[int, int, bool, int]:
    # A number, and what the service makes of it, say less than the words that were written.
    retold = found.sign.entry.kind == "exit code" or found.where == "ReasonMessage"
    return found.sign.weight, found.sign.layer, retold, found.distance


def _signs(source: _Source, first: int, last: int) -> Iterator[_Found]:
    for distance, line in enumerate(reversed(source.lines[-last or None :])):
        if distance >= first and (sign := sign_in(line, is_log=source.is_log)) is not None:
            yield _Found(sign, line, source.where, distance)


def _sources(job: Job, evidence: JobEvidence, *, logs: bool = True) -> list[_Source]:
    found = []
    if job.reason_message:
        found.append(_Source("ReasonMessage", (job.reason_message,)))
    said = tuple(each for each in (job.sub_status, *_odd(job.pods)) if each)
    if said:
        found.append(_Source("SubStatus", said))
    known = {event.text for pod_id, each in evidence.events.items() if pod_id for event in each}
    pods = [pod.pod_id for pod in _worst_first(evidence.job.pods)]
    for pod_id in [*pods, *(each for each in evidence.events if each not in pods)]:
        events = _not_overcome(evidence.events.get(pod_id, ()))
        lines = tuple(each.text for each in events if pod_id or each.text not in known)
        if lines:
            found.append(_Source(_event_of(pod_id), lines))
    if logs:
        found += _logs(evidence, pods)
    return found


def _logs(evidence: JobEvidence, pods: Sequence[str]) -> Iterator[_Source]:
    for pod_id in pods or list(evidence.logs):
        written = {
            key: [line for line in lines if line.strip()]
            for key, lines in evidence.logs.items()
            if key == pod_id or key.startswith(f"{pod_id}@")
        }
        # The pod that lives now comes last; one that was replaced speaks where it is silent.
        for key in sorted(written, key=lambda key: key != pod_id):
            if written[key]:
                yield _Source(f"log of {key}", written[key], is_log=True)
                break


def _odd(pods: Sequence[Pod]) -> Iterator[str]:
    yield from (pod.sub_status for pod in pods if pod.sub_status not in ("", "Normal"))


def _worst_first(pods: Sequence[Pod]) -> list[Pod]:
    failed = sorted(pods, key=lambda pod: pod.status not in ("Failed", "Unknown"))
    return failed[:_MOST_PODS]


def _not_overcome(events: Sequence[Event]) -> Sequence[Event]:
    for place in range(len(events) - 1, -1, -1):
        if _STARTED.search(events[place].text):
            return events[place:]
    return events


def _where_of(evidence: JobEvidence, text: str) -> str:
    """Where a text was found, the events of a pod before those of the job."""
    for pod_id in sorted(evidence.events, key=lambda pod_id: pod_id == ""):
        if any(event.text == text for event in evidence.events[pod_id]):
            return _event_of(pod_id)
    return "ReasonMessage" if text and text in evidence.job.reason_message else "status"


def _event_of(pod_id: str) -> str:
    return f"event of pod {pod_id}" if pod_id else "event of the job"


def _last_lines(evidence: JobEvidence, count: int) -> str:
    """The last lines of the log that says most: of a pod that failed, else of the first."""
    for pod in _worst_first(evidence.job.pods):
        lines = [line.strip() for line in evidence.logs.get(pod.pod_id, ()) if line.strip()]
        if lines:
            return " / ".join(lines[-count:])
    return ""


def _cut(line: str) -> str:
    text = " ".join(line.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
