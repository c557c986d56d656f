"""Workloads: what waits for or holds a share of a quota, and the workload API (2024-01-01).

`GET /workloads/{WorkloadId}` and `GET /workloads` answer documents of thirteen fields, in which
`IsScheduled` is a text and `QueueMetas` a list, null, or missing. They take the older ROA
signature.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from tidemark.clock import Clock
from tidemark.simulator.pai.job import Job
from tidemark.simulator.pai.phases import instant
from tidemark.simulator.pai.wire import Call, Route, Service, WireError, refuse
from tidemark.simulator.pai.world import World

__all__ = ["Jobs", "Workload", "WorkloadDocuments", "job_workload"]

_VERSION = "2024-01-01"
_STATUSES = ("Pending", "Running", "Succeeded", "Failed")
_WAITING = ("Creating", "Queuing", "Bidding")
_PREPARING = ("EnvPreparing", "SanityChecking")
_ENDED = {"Succeeded": "Succeeded", "Failed": "Failed", "Stopped": "Failed"}
# As the documents' parameters are called, each compared with the field of that name.
_TEXTS = (
    "WorkloadId",
    "WorkloadName",
    "WorkloadType",
    "WorkspaceId",
    "WorkspaceName",
    "WorkloadCreatedTime",
    "WorkloadStatus",
    "UserId",
    "TenantId",
    "UserName",
    "IsScheduled",
)


class Jobs(Protocol):
    """The jobs that are workloads: what is needed of DLC."""

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs of all regions, also deleted ones, the oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload in the queue of a quota. Times are in seconds since 1970-01-01 UTC.

    `status` is what it is doing, `PreAllocation` while nodes are being prepared. It is enqueued
    until `dequeued_s`, and over from `ended_s`; either is None if that has not happened. What is
    stopped while it waits is dequeued by that.
    """

    workload_id: str
    name: str
    status: str
    quota_id: str
    created_s: float
    user_id: str
    user_name: str
    workspace_id: str
    workspace_name: str
    kind: str = "dlc"
    dequeued_s: float | None = None
    ended_s: float | None = None
    priority: int = 1
    cpu: float = 0.0
    gpu: float = 0.0
    gpu_type: str = ""
    memory_gib: float = 0.0
    node: str = ""
    reason: str = ""


def job_workload(job: Job, now_s: float, world: World) -> Workload:
    """A DLC job as a workload, as it is at a moment."""
    begun = job.life.until(now_s)
    status = job.status(now_s)
    left_s = next((one.start_s for one in begun if one.status not in _WAITING), None)
    ended_s = begun[-1].start_s if status in _ENDED else None
    machine = job.request.roles[0].machine
    return Workload(
        workload_id=job.job_id,
        name=job.request.name,
        status="PreAllocation" if status in _PREPARING else status,
        quota_id=job.request.resource_id,
        created_s=job.created_s,
        user_id=job.account_id,
        user_name="simulator",
        workspace_id=job.request.workspace_id or world.default_workspace_id,
        workspace_name="default_workspace",
        dequeued_s=left_s,
        ended_s=ended_s,
        priority=int(job.document.get("Priority") or 1),
        cpu=sum(role.cpu * role.pods for role in job.request.roles),
        gpu=sum(role.gpu * role.pods for role in job.request.roles),
        gpu_type=machine.gpu_type if machine else "",
        memory_gib=sum(role.memory_gib * role.pods for role in job.request.roles),
        reason=begun[-1].reason_message if begun else "",
    )


class WorkloadDocuments(Service):
    """A few workloads of the default region, and all DLC jobs."""

    def __init__(self, world: World, clock: Clock, dlc: Jobs) -> None:
        self._world = world
        self._clock = clock
        self._dlc = dlc
        self._began_s = clock.time()

    def routes(self) -> list[Route]:
        """One workload, and the list."""
        return [
            Route(
                "PaiWorkload",
                _VERSION,
                "GetWorkloadInfo",
                "GET",
                "/workloads/{WorkloadId}",
                self.get,
                legacy=True,
            ),
            Route(
                "PaiWorkload",
                _VERSION,
                "ListWorkloads",
                "GET",
                "/workloads",
                self.list_workloads,
                legacy=True,
            ),
        ]

    def get(self, call: Call) -> dict[str, Any]:
        """GetWorkloadInfo: by id."""
        for document in self._documents(call.region, call.now_s):
            if document["WorkloadId"] == call.path["WorkloadId"]:
                return document
        workload_id = call.path["WorkloadId"]
        raise WireError(404, "Workload.NotFound", f"Workload {workload_id} is not found.")

    def list_workloads(self, call: Call) -> dict[str, Any]:
        """ListWorkloads: those whose fields are what the query says; without one, all."""
        status, scheduled = call.query.get("WorkloadStatus", ""), call.query.get("IsScheduled", "")
        if status and status not in _STATUSES:
            refuse(400, "InvalidParameter", "The specified parameter WorkloadStatus is not valid.")
        if scheduled and scheduled not in ("true", "false"):
            refuse(400, "InvalidParameter", "The specified parameter IsScheduled is not valid.")
        found = self._documents(call.region, call.now_s)
        for name in _TEXTS:
            wanted = call.query.get(name, "")
            if wanted:
                found = [one for one in found if one[name] == wanted]
        if call.query.get("Priority", ""):
            priority = call.number("Priority", 0)
            found = [one for one in found if one["Priority"] == priority]
        queues = {one for one in call.query.get("QueueMetas", "").split(",") if one}
        if queues:
            found = [one for one in found if queues & _names(one.get("QueueMetas"))]
        return {"Workloads": found}

    def _documents(self, region: str, now_s: float) -> list[dict[str, Any]]:
        here = region == self._world.default_region
        documents = _seeded(self._began_s) if here else []
        for job in self._dlc.jobs:
            if job.region == region and job.deleted_s is None:
                documents.append(self._of_job(job, now_s))
        return documents

    def _of_job(self, job: Job, now_s: float) -> dict[str, Any]:
        workload = job_workload(job, now_s, self._world)
        waits = workload.dequeued_s is None
        status = _ENDED.get(workload.status, "Pending" if waits else "Running")
        quota = workload.quota_id
        return {
            "WorkloadId": workload.workload_id,
            "WorkloadName": workload.name,
            "WorkloadType": "TrainingJob",
            "WorkloadStatus": status,
            "WorkloadCreatedTime": instant(workload.created_s),
            "WorkspaceId": workload.workspace_id,
            "WorkspaceName": workload.workspace_name,
            "UserId": workload.user_id,
            "TenantId": f"t-{workload.user_id[-10:]}",
            "UserName": workload.user_name,
            "Priority": workload.priority,
            "IsScheduled": "false" if waits else "true",
            # A job of the public pool stands in no queue.
            "QueueMetas": [{"QueueId": quota, "QueueName": quota}] if quota else None,
        }


def _seeded(began_s: float) -> list[dict[str, Any]]:
    queue = {"QueueId": "q-xyz789", "QueueName": "gpu-queue"}
    documents = [
        _document(1, "image-classification-training", "Running", began_s - 7_200, 10, "false"),
        _document(2, "nightly-evaluation", "Pending", began_s - 600, 5, "false"),
        _document(3, "embedding-refresh", "Succeeded", began_s - 86_400, 1, "true"),
        _document(4, "tokenizer-build", "Failed", began_s - 172_800, 1, "true"),
    ]
    documents[0]["QueueMetas"] = [queue]
    documents[1]["QueueMetas"] = None
    documents[2]["QueueMetas"] = []
    return documents


def _document(
    number: int, name: str, status: str, created_s: float, priority: int, scheduled: str
) -> dict[str, Any]:
    return {
        "WorkloadId": f"wl-{0x1234567890ABCDEF + number - 1:016x}",
        "WorkloadName": name,
        "WorkloadType": "TrainingJob",
        "WorkloadStatus": status,
        "WorkloadCreatedTime": instant(created_s),
        "WorkspaceId": "ws-abcdef123456",
        "WorkspaceName": "vision-workspace",
        "UserId": "1234567890123456",
        "TenantId": "t-9876543210",
        "UserName": "alice@example.com",
        "Priority": priority,
        "IsScheduled": scheduled,
    }


def _names(queues: Iterable[dict[str, str]] | None) -> set[str]:
    return {name for queue in queues or () for name in queue.values()}
