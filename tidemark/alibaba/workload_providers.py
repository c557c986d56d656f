"""Who can tell about workloads: DLC, the queues of quotas, and the workload API by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

from tidemark.alibaba.channel import Channel
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.endpoints import Product
from tidemark.alibaba.errors import NotFoundError
from tidemark.alibaba.operations import Operation
from tidemark.alibaba.paging import page_of
from tidemark.alibaba.paistudio import PaiStudio
from tidemark.alibaba.workload_info import WorkloadInfo, WorkloadQuery
from tidemark.alibaba.workload_mapping import job_document, queue_document, status_of
from tidemark.errors import ConfigError
from tidemark.plan.problems import did_you_mean

__all__ = [
    "DlcWorkloads",
    "DocumentWorkloads",
    "PaiStudioWorkloads",
    "ProviderName",
    "WorkloadProvider",
    "provider_named",
]

ProviderName = Literal["dlc", "paistudio", "document"]

GET_WORKLOAD_INFO = Operation(Product.WORKLOAD, "GetWorkloadInfo", "GET", "/workloads/{WorkloadId}")
LIST_WORKLOADS = Operation(Product.WORKLOAD, "ListWorkloads", "GET", "/workloads")


class WorkloadProvider(Protocol):
    """Tells about workloads. Both questions raise AlibabaError."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def untold(self) -> frozenset[str]:
        """The fields of a workload that it never tells, by which nothing can be found."""
        ...

    async def get(self, workload_id: str) -> WorkloadInfo | None:
        """The workload of this id, None if there is none."""
        ...

    async def find(self, query: WorkloadQuery) -> list[WorkloadInfo]:
        """At least all workloads that are asked about; there may be others among them."""
        ...


class DlcWorkloads:
    """DLC jobs as workloads (GetJob, ListJobs; PAI-DLC 2020-12-03), those of the last year.

    The service lists one workspace at a time; without `workspace_id`, the caller's own jobs of all
    workspaces are found.
    """

    name = "dlc"
    untold: frozenset[str] = frozenset()

    def __init__(self, channel: Channel) -> None:
        self._dlc = Dlc(channel)

    async def get(self, workload_id: str) -> WorkloadInfo | None:
        """The job of this id."""
        try:
            job = await self._dlc.get_job(workload_id)
        except NotFoundError as error:
            if error.code.startswith("InvalidAction"):
                raise
            return None
        return WorkloadInfo.of(job_document(job), "GetJob")

    async def find(self, query: WorkloadQuery) -> list[WorkloadInfo]:
        """Jobs, by workspace, name, type and quota where they are asked about."""
        jobs = await self._dlc.all_jobs(
            workspace_id=query.workspace_id,
            display_name=query.workload_name,
            job_type=query.workload_type,
        )
        return [WorkloadInfo.of(job_document(job), "ListJobs") for job in jobs]


class PaiStudioWorkloads:
    """What stands or stood in the queues of quotas (ListQuotaWorkloads; PaiStudio 2022-01-12).

    `quota_ids` are the quotas to look in, by default all of the region. Jobs of the public pool
    are in no quota.
    """

    name = "paistudio"
    untold = frozenset(("tenant_id",))

    def __init__(self, channel: Channel, quota_ids: Sequence[str] = ()) -> None:
        self._studio = PaiStudio(channel)
        self._quota_ids = tuple(quota_ids)

    async def get(self, workload_id: str) -> WorkloadInfo | None:
        """The workload of this id, in whichever queue it is."""
        found = await self.find(WorkloadQuery(workload_id=workload_id))
        return next((one for one in found if one.workload_id == workload_id), None)

    async def find(self, query: WorkloadQuery) -> list[WorkloadInfo]:
        """Workloads of all the quotas, also those that are over."""
        found = []
        for quota_id, quota_name in (await self._quotas()).items():
            queue = await self._studio.list_quota_workloads(
                quota_id,
                workload_ids=_one(query.workload_id),
                workload_names=_one(query.workload_name),
                workload_type=query.workload_type,
                workspace_ids=_one(query.workspace_id),
                user_ids=_one(query.user_id),
                with_history=True,
            )
            found += [
                WorkloadInfo.of(queue_document(info, quota_name), "ListQuotaWorkloads")
                for info in queue
            ]
        return found

    async def _quotas(self) -> dict[str, str]:
        """The quotas to look in, and their names where they are known."""
        if self._quota_ids:
            return dict.fromkeys(self._quota_ids, "")
        # Without a type the service lists those of ECS alone.
        kinds: tuple[Literal["ECS", "Lingjun"], ...] = ("ECS", "Lingjun")
        listed = [await self._studio.list_quotas(resource_type=kind) for kind in kinds]
        return {quota.quota_id: quota.quota_name for quotas in listed for quota in quotas}


class DocumentWorkloads:
    """The workload API by itself (PAI Workload 2024-01-01), at `GET /workloads`.

    No service is published at its address: give one as the account's endpoint for `workload`. It
    is signed by the older ROA signature with an RFC 1123 `Date`, the `Accept` line, all `x-acs-*`
    headers and the whole path. A signature over an ISO time and the bare id, as in the curl recipe
    that circulates for this API, lacks all four, and no server of this scheme accepts it.
    """

    name = "document"
    untold: frozenset[str] = frozenset()

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def get(self, workload_id: str) -> WorkloadInfo | None:
        """The workload of this id (GetWorkloadInfo)."""
        try:
            document = await self._channel.call(
                GET_WORKLOAD_INFO, parts={"WorkloadId": workload_id}
            )
        except NotFoundError as error:
            if error.code.startswith("InvalidAction"):
                raise
            return None
        return _told(document, "GetWorkloadInfo")

    async def find(self, query: WorkloadQuery) -> list[WorkloadInfo]:
        """Workloads, by all that is asked about (ListWorkloads)."""
        asked: Mapping[str, Any] = query.body()
        document = await self._channel.call(LIST_WORKLOADS, query=asked)
        found = page_of(document, "Workloads")
        if not found and document.get("WorkloadId"):
            found = [document]
        return [_told(each, "ListWorkloads") for each in found]


def provider_named(
    name: ProviderName, channel: Channel, quota_ids: Sequence[str] = ()
) -> WorkloadProvider:
    """The provider of this name; `quota_ids` are for `paistudio`. Raises ConfigError."""
    if name == "dlc":
        return DlcWorkloads(channel)
    if name == "paistudio":
        return PaiStudioWorkloads(channel, quota_ids)
    if name == "document":
        return DocumentWorkloads(channel)
    remedy = did_you_mean(name, get_args(ProviderName))
    raise ConfigError("is nobody who tells about workloads", "provider", remedy)


def _told(document: dict[str, object], action: str) -> WorkloadInfo:
    status = str(document.get("WorkloadStatus") or "")
    known = {**document, "WorkloadStatus": status_of(status), "SourceStatus": status}
    return WorkloadInfo.of(known, action)


def _one(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)
