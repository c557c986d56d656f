"""The words of DLC jobs and of quotas' queues, in the four words for workloads.

Sources: PAI-DLC 2020-12-03 (GetJob), PaiStudio 2022-01-12 (ListQuotaWorkloads), and PAI Workload
2024-01-01 (GetWorkloadInfo), whose four they are put into.
"""

from __future__ import annotations

import logging
from enum import StrEnum

from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.dlc_status import Phase
from tidemark.alibaba.operations import JsonObject
from tidemark.alibaba.paistudio_answers import QueueInfo

__all__ = ["STATUSES", "WorkloadStatus", "job_document", "queue_document", "status_of"]

LOG = logging.getLogger("tidemark.alibaba")


class WorkloadStatus(StrEnum):
    """The documented statuses of a workload."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


STATUSES = {
    **dict.fromkeys(
        ("Creating", "Queuing", "Bidding", "EnvPreparing", "SanityChecking", "Waiting"),
        WorkloadStatus.PENDING,
    ),
    # What is being stopped holds its machines, and has not ended.
    **dict.fromkeys(("Running", "Restarting", "Stopping"), WorkloadStatus.RUNNING),
    # Machines are still held, but the outcome stands.
    **dict.fromkeys(("Succeeded", "SucceededReserving"), WorkloadStatus.SUCCEEDED),
    **dict.fromkeys(("Failed", "FailedReserving", "SubmitFailed"), WorkloadStatus.FAILED),
    # There is no word for it; `reason` says that it was stopped.
    **dict.fromkeys(("Stopped", "Deleted"), WorkloadStatus.FAILED),
    # Of queues: in it, called out of it while its machines are made ready, out of it.
    **dict.fromkeys(("Pending", "Enqueued", "PreAllocation"), WorkloadStatus.PENDING),
    "Dequeued": WorkloadStatus.RUNNING,
}
"""Every status that DLC, queues and workloads have, and what it is among the four."""

_HAS_MACHINES = ("EnvPreparing", "SanityChecking")
_WITHOUT_A_WORD = ("Stopped", "Deleted", "SubmitFailed")


def status_of(status: str) -> str:
    """The one of the four for a status; the status itself where this version does not know it."""
    if status and status not in STATUSES:
        LOG.warning("a workload has the status %.100r, which is not known", status)
    return STATUSES.get(status, status)


def job_document(job: Job) -> JsonObject:
    """A DLC job with the names of a workload's fields. Its queue is its quota."""
    quota = job.resource_id
    said = job.reason_message or job.reason_code
    if job.status in _WITHOUT_A_WORD:
        said = f"{job.status}: {said}" if said else job.status
    return {
        "WorkloadId": job.job_id,
        "WorkloadName": job.display_name,
        "WorkloadType": job.job_type,
        "WorkloadStatus": status_of(job.status),
        "WorkloadCreatedTime": job.gmt_create_time,
        "WorkspaceId": job.workspace_id,
        "WorkspaceName": job.workspace_name,
        "UserId": job.user_id,
        "TenantId": job.tenant_id,
        "UserName": job.username,
        "Priority": None if job.priority is None else int(job.priority),
        "IsScheduled": _job_is_scheduled(job),
        "QueueMetas": [{"QueueId": quota, "QueueName": quota}] if quota else [],
        "Reason": said,
        "SourceStatus": job.status,
    }


def queue_document(info: QueueInfo, quota_name: str = "") -> JsonObject:
    """A workload of a quota's queue with the names of a workload's fields.

    Its own status counts, and its place in the queue where it has none.
    """
    status = info.workload_status or info.status
    quota = info.quota_id
    said = info.reason or info.code
    if status in _WITHOUT_A_WORD:
        said = f"{status}: {said}" if said else status
    scheduled = {"Enqueued": False, "Dequeued": True}.get(info.status)
    return {
        "WorkloadId": info.workload_id,
        "WorkloadName": info.workload_name,
        "WorkloadType": info.workload_type,
        "WorkloadStatus": status_of(status),
        "WorkloadCreatedTime": info.gmt_created_time,
        "WorkspaceId": info.workspace_id,
        "WorkspaceName": info.workspace_name,
        "UserId": info.user_id,
        "UserName": info.user_name,
        "Priority": None if info.priority is None else int(info.priority),
        "IsScheduled": scheduled,
        "QueueMetas": [{"QueueId": quota, "QueueName": quota_name or quota}] if quota else [],
        "Reason": said,
        "SourceStatus": status,
    }


def _job_is_scheduled(job: Job) -> bool | None:
    """Whether it was given machines; None where the answer does not tell."""
    if job.gmt_running_time is not None or job.phase in (Phase.ACTIVE, Phase.RESERVING):
        return True
    if job.phase is Phase.PENDING:
        return job.status in _HAS_MACHINES
    return None
