"""Stopping and deleting what is left over of this tool's jobs."""

from __future__ import annotations

from tidemark.alibaba.channel import Channel
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.dlc_status import JobStatus
from tidemark.errors import ConfigError
from tidemark.plan.problems import did_you_mean

__all__ = ["TAG", "clean_up", "left_over"]

TAG = "tidemark"
"""The tag that every job of this tool carries."""

# Jobs whose outcome is known may still hold machines; who cleans up the outcome means them too.
_ALSO = {"Failed": ("FailedReserving",), "Succeeded": ("SucceededReserving",)}


async def left_over(
    channel: Channel, *, status: str, workspace_id: str | None, everyones: bool
) -> list[Job]:
    """The jobs of a status, oldest first: this user's of this tool by their tag, or everyone's.

    Raises ConfigError for a status that does not exist.
    """
    if status not in list(JobStatus):
        raise ConfigError(
            "is no status of a job", f"status: {status}", did_you_mean(status, JobStatus)
        )
    dlc = Dlc(channel)
    found: list[Job] = []
    for each in (status, *_ALSO.get(status, ())):
        # Colleagues in the same workspace may use this tool too.
        own = None if everyones else True
        for job in await dlc.all_jobs(status=each, workspace_id=workspace_id, show_own=own):
            if job.status != each:
                continue  # it has moved on since
            # A list may come without settings, where the tags are.
            full = job if job.settings is not None or everyones else await dlc.get_job(job.job_id)
            if everyones or TAG in full.tags:
                found.append(full)
    return sorted(found, key=Job.age_key)


async def clean_up(
    channel: Channel, *, status: str, delete: bool, workspace_id: str | None, everyones: bool
) -> list[str]:
    """Stop what still holds machines, delete what has ended if asked to; the ids of either.

    A job that was asked to stop here is deleted another time, when it has stopped.
    """
    dlc = Dlc(channel)
    touched = []
    for job in await left_over(
        channel, status=status, workspace_id=workspace_id, everyones=everyones
    ):
        if not job.is_terminal:
            await dlc.stop_job(job.job_id)
        elif delete:
            await dlc.delete_job(job.job_id)
        else:
            continue
        touched.append(job.job_id)
    return touched
