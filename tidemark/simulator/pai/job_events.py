"""What happens to a job and its pods, as GetJobEvents and GetPodEvents (2020-12-03) tell it.

An event is one line of text, `2026-01-01 00:00:07 Created pod: …`, in UTC.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from tidemark.simulator.pai.job import Incarnation, Job, Pod
from tidemark.simulator.pai.pull_errors import back_off_times, pull_failure

__all__ = ["Event", "events", "output"]

_CAUSES = {137: "OOMKilled", 143: "Terminated", 0: "Completed"}


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `pod_id` and `pod_uid` are empty for one of the job as a whole."""

    at_s: float
    message: str
    pod_id: str = ""
    pod_uid: str = ""

    def line(self) -> str:
        """The event as the service writes it."""
        return f"{datetime.fromtimestamp(self.at_s, UTC):%Y-%m-%d %H:%M:%S} {self.message}"


def events(job: Job, now_s: float) -> list[Event]:
    """All events up to now, in order."""
    found = [*_job_events(job)]
    for pod in job.pods():
        for one in pod.incarnations:
            found += _pod_events(job, pod, one, now_s)
    return sorted((one for one in found if one.at_s <= now_s), key=lambda one: one.at_s)


def _job_events(job: Job) -> Iterator[Event]:
    yield Event(job.created_s, f"Job {job.job_id} is created.")
    for segment in job.life.segments:
        if segment.status == "Queuing":
            yield Event(segment.start_s, "Job is waiting for resources.")
        elif segment.status == "Bidding":
            yield Event(segment.start_s, "Job is bidding for spot resources.")
        elif segment.status == "Restarting":
            yield Event(segment.start_s, "Job is restarting.")
        elif segment.status in ("Stopping", "Succeeded", "Failed", "Stopped"):
            message = f"Job status changed to {segment.status}. {segment.reason_message}"
            yield Event(segment.start_s, message.strip())


def _pod_events(job: Job, pod: Pod, one: Incarnation, now_s: float) -> list[Event]:
    said: list[tuple[float, str]] = [(one.created_s, f"Created pod: {pod.pod_id}")]
    if one.created_s < one.node_s:
        said.append((one.created_s, "0/1 nodes are available: waiting for a new node."))
    first = one.created_s == job.life.nodes_s
    # The node is paid for while it boots; what is pulled there is pulled after that.
    pull_s = job.life.pull_s if first else one.node_s
    said.append((pull_s, f"Successfully assigned {pod.pod_id} to {node_name(job, one)}"))
    said.append((pull_s, f'Pulling image "{pod.role.image}"'))
    if first:
        said += _pull_events(job, pod.role.image, min(one.end_s, now_s))
    if math.isfinite(one.started_s):
        said.append((one.started_s, "Successfully pulled image."))
        said.append((one.started_s, "Created container main"))
        said.append((one.started_s, "Started container main"))
    # What would have come after its end did not happen.
    said = [(at_s, text) for at_s, text in said if at_s < one.end_s]
    if one.fate == "evicted":
        said.append((one.end_s, f"Pod {pod.pod_id} was evicted: the spot instance is reclaimed."))
    elif one.fate:
        said.append((one.end_s, f"Pod {pod.pod_id} failed: the node reported an error."))
    elif job.life.exit_code is not None and math.isfinite(job.life.exit_s):
        code = job.life.exit_code
        cause = _CAUSES.get(code, "Error")
        said.append((job.life.exit_s, f"Container main terminated: {cause}, exit code {code}"))
    return [Event(at_s, text, pod.pod_id, one.uid) for at_s, text in said if math.isfinite(at_s)]


def _pull_events(job: Job, image: str, until_s: float) -> Iterator[tuple[float, str]]:
    pull, begin_s = job.script.image_pull, job.life.pull_s
    if math.isinf(begin_s):
        return
    if pull.fails_after_s is not None:
        ends = [begin_s + end for end in (pull.recovers_after_s, pull.gives_up_after_s) if end]
        failures_end_s = min([*ends, until_s])
        for number, at_s in enumerate(back_off_times(begin_s + pull.fails_after_s, failures_end_s)):
            if number:
                yield at_s, f'Back-off pulling image "{image}"'
                yield at_s, "Error: ImagePullBackOff"
            yield at_s, pull_failure(image, pull.error)
            yield at_s, "Error: ErrImagePull"
        if pull.recovers_after_s is not None:
            begin_s += pull.recovers_after_s
            yield begin_s, f'Pulling image "{image}"'
    if pull.layers and math.isfinite(pull.pull_s):
        for layer in range(1, pull.layers + 1):
            at_s = begin_s + pull.pull_s * layer / (pull.layers + 1)
            yield at_s, f'Pulling image "{image}": {layer} of {pull.layers} layers are complete'


def node_name(job: Job, one: Incarnation) -> str:
    """The node an incarnation runs on."""
    return f"{job.region}.{one.address}"


def output(job: Job, pod: Pod, one: Incarnation) -> list[tuple[float, str]]:
    """What an incarnation of a pod wrote, line by line with its time. One pod runs the command;
    the others wait for it."""
    started_s = one.started_s
    if math.isinf(started_s) or started_s >= one.end_s:
        return []
    leader = job.leader()
    if pod.pod_id != leader.pod_id:
        return [(started_s, f"waiting for {leader.pod_id}")]
    if job.waits_for_exit:
        return [line for line in job.output if one.started_s <= line[0] <= one.end_s]
    lines = [(started_s, text) for text in job.script.logs or ("command started",)]
    if not one.fate and job.life.exit_code is not None and job.life.exit_s <= one.end_s:
        code = job.life.exit_code
        said = "command finished" if code == 0 else f"command exited with code {code}"
        lines.append((job.life.exit_s, said))
    return lines
