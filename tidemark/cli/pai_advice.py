"""What a job's state and its events mean, and which command comes next: known offline."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemark.alibaba.dlc import Dlc
    from tidemark.alibaba.dlc_answers import Event, Job
    from tidemark.alibaba.explanations import Explanation

__all__ = [
    "Problem",
    "look_for_problem",
    "may_have_problem",
    "meaning_of",
    "problem_in",
    "with_commands",
]

# The commands that do what a sentence advises, by the operation or the thing that it names.
_BY_OPERATION = (
    (r"GetPodEvents|GetJobEvents", "pai events {id}"),
    (r"GetPodLogs", "pai logs {id}"),
    (r"ListEcsSpecs", "pai specs --available"),
    (r"ListImages", "pai images"),
    (r"ListServices|DescribeService", "eas services"),
    (r"ListWorkspaces", "pai workspaces"),
    (r"DescribePrice", "pai price SPEC"),
    (r"DescribeBenchmarkTaskReport", "eas benchmark report NAME"),
)
_OF_JOBS = (
    (r"[Ss]top (?:the job|it)", "pai stop {id}"),
    (r"logs?", "pai logs {id}"),
    (r"events?", "pai events {id}"),
    (r"ReasonCode|ReasonMessage", "pai job {id}"),
    (r"other(?: instance)? type|another instance type", "pai specs --available"),
)

# Of these kinds every entry is a failure but for the names below; of pods' events only some are.
_FAILURES = ("image pull failure", "end of container", "log line", "exit code", "waiting reason")
_NO_FAILURES = ("Completed", "exit code 0", "ContainerCreating")
_FAILED_EVENTS = (
    "Failed to pull image",
    "FailedMount",
    "FailedCreatePodSandBox",
    "spot instance reclaimed",
    "spot price above the limit",
)
_WEIGHTS = (*_FAILURES, "pod event", "stock and spot")
# What a container could not have come to before, had it not been overcome.
_OVERCOME = re.compile(r"\b(?:successfully pulled image|started container)\b", re.IGNORECASE)
_OF_STARTS = ("image pull failure", "waiting reason", "pod event")
_MOST_TEXTS = 200


@dataclass(frozen=True, slots=True)
class Problem:
    """An event that tells of a failure, what it means, and what to do about it.

    `at` is None where the event has no time; `name` is what the failure is called.
    """

    name: str
    text: str
    means: str
    do: str
    at: datetime | None = None


def with_commands(sentence: str, *, job_id: str = "", of_job: bool = True) -> str:
    """A sentence of advice, followed by the commands that do what it names.

    `job_id` is `ID` where none is meant. A sentence that is not `of_job` says nothing of jobs
    unless it names an operation.
    """
    found = [
        f"tidemark {command.format(id=job_id or 'ID')}"
        for pattern, command in (*_BY_OPERATION, *(_OF_JOBS if of_job else ()))
        if re.search(rf"\b(?:{pattern})\b", sentence)
    ]
    new = [command for command in dict.fromkeys(found) if command not in sentence]
    return f"{sentence} ({', '.join(new)})" if new else sentence


def may_have_problem(job: Job) -> bool:
    """Whether a job's events are worth a look: it failed, or has not come to run."""
    from tidemark.alibaba.dlc_status import Phase

    if job.status in ("Failed", "FailedReserving", "SubmitFailed") or job.phase is Phase.PENDING:
        return True
    return job.gmt_running_time is None and not job.status.startswith("Succeeded")


async def look_for_problem(dlc: Dlc, job: Job) -> Problem | None:
    """What keeps a job from running, or made it fail, by its events. Raises AlibabaError."""
    if not may_have_problem(job):
        return None
    return problem_in(await dlc.get_job_events(job.job_id), job.job_id)


def problem_in(events: Sequence[Event], job_id: str = "") -> Problem | None:
    """The failure that events end in: of those not overcome the one that says most, then the last.

    An image that could be pulled in the end, or a container that started, leaves none of before.
    """
    started = max(
        (place for place, event in enumerate(events) if _OVERCOME.search(event.text)), default=-1
    )
    found: tuple[int, Event, Explanation] | None = None
    # The same text comes again and again while something is retried; the last of it tells.
    latest = {event.text: (place, event) for place, event in enumerate(events)}
    recent = sorted(latest.values(), key=lambda each: each[0], reverse=True)[:_MOST_TEXTS]
    for place, event in recent:
        entry = _failure(event.text)
        if entry is None or (entry.kind in _OF_STARTS and place < started):
            continue
        weight = _WEIGHTS.index(entry.kind)
        if found is None or weight < found[0]:
            found = (weight, event, entry)
    if found is None:
        return None
    _, event, entry = found
    do = with_commands(entry.remedies[0], job_id=job_id)
    return Problem(entry.name, event.text, f"{entry.name}: {entry.meaning}", do, event.at)


def _failure(text: str) -> Explanation | None:
    """The failure that a text tells of; None where it tells of none that is known."""
    from tidemark.alibaba.explanations import explain

    for entry in explain(text) if text else ():
        if entry.name in _FAILED_EVENTS or (
            entry.kind in _FAILURES and entry.name not in _NO_FAILURES
        ):
            return entry
    return None


def meaning_of(job: Job, problem: Problem | None = None) -> dict[str, Any]:
    """What a job's problem, reason, status and sub-status mean, as far as that is known offline:
    `means` and `do` as sentences, the most telling first, and `billed`."""
    from tidemark.alibaba.explanations import explain

    words = (
        ("DLC reason code", job.reason_code),
        ("DLC job status", job.status),
        ("DLC job sub-status", job.sub_status),
    )
    entries = [
        entry
        for kind, word in words
        for entry in (explain(f"{kind} {word}")[:1] if word else ())
        if entry.kind == kind
    ]
    billed = [entry.billed for entry in entries if entry.kind == "DLC job status"]
    good = job.status.startswith("Succeeded")
    told = None if good or not job.reason_message else _failure(job.reason_message)
    if told is not None:
        entries.insert(0, told)
    # A good end is said in the same words of reason and status.
    meanings = {entry.meaning: f"{entry.name}: {entry.meaning}" for entry in entries}
    advice = with_commands(entries[0].remedies[0], job_id=job.job_id) if entries else ""
    if problem is None:
        return {
            "means": list(meanings.values()),
            "do": [advice] if advice else [],
            "billed": next(iter(billed), None),
        }
    return {
        "means": _once((problem.means, *meanings.values())),
        # An event knows more than the reason, the reason more than the status.
        "do": [problem.do],
        "billed": next(iter(billed), None),
    }


def _once(sentences: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(sentences))
