"""One workload, whoever told of it, and the questions that can be asked about workloads.

Fields and their names are those of GetWorkloadInfo (PAI Workload 2024-01-01).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from tidemark.alibaba.answers import Answer, Instant, Listed, Request, Text
from tidemark.alibaba.operations import JsonObject
from tidemark.alibaba.workload_mapping import WorkloadStatus

__all__ = ["QueueMeta", "WorkloadInfo", "WorkloadQuery"]


def _flag(value: object) -> object:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(str(value).strip().casefold())


def _whole(value: object) -> object:
    try:
        return None if value is None or isinstance(value, bool) else int(str(value))
    except ValueError:
        return None


Flag = Annotated[bool | None, BeforeValidator(_flag)]
"""A truth value, also one sent as text; None for anything else."""

_Name = Annotated[str, Field(min_length=1)]


class QueueMeta(Answer):
    """A queue that a workload stands in, or stood in."""

    queue_id: Text = ""
    queue_name: Text = ""


class WorkloadInfo(Answer):
    """A workload.

    `workload_status` is one of `WorkloadStatus`, or the provider's own word where this version
    does not know it. `source_status` is always the provider's own word, `reason` what it said
    about it.
    """

    workload_id: Text = ""
    workload_name: Text = ""
    workload_type: Text = ""
    workload_status: Text = ""
    workload_created_time: Instant = None
    workspace_id: Text = ""
    workspace_name: Text = ""
    user_id: Text = ""
    tenant_id: Text = ""
    user_name: Text = ""
    priority: Annotated[int | None, BeforeValidator(_whole)] = None
    is_scheduled: Flag = None
    queue_metas: Listed[QueueMeta] = ()
    reason: Text = ""
    source_status: Text = ""

    @property
    def is_known(self) -> bool:
        """Whether its status is one of the four documented ones."""
        return self.workload_status in list(WorkloadStatus)

    @property
    def has_ended(self) -> bool:
        """Whether it succeeded or failed."""
        return self.workload_status in (WorkloadStatus.SUCCEEDED, WorkloadStatus.FAILED)

    def document(self) -> JsonObject:
        """Its thirteen documented fields as the service writes them, for output."""
        created = self.workload_created_time
        at = "" if created is None else created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        scheduled = {True: "true", False: "false", None: ""}[self.is_scheduled]
        return {
            "WorkloadId": self.workload_id,
            "WorkloadName": self.workload_name,
            "WorkloadType": self.workload_type,
            "WorkloadStatus": self.workload_status,
            "WorkloadCreatedTime": at,
            "WorkspaceId": self.workspace_id,
            "WorkspaceName": self.workspace_name,
            "UserId": self.user_id,
            "TenantId": self.tenant_id,
            "UserName": self.user_name,
            "Priority": self.priority,
            "IsScheduled": scheduled,
            "QueueMetas": [
                {"QueueId": queue.queue_id, "QueueName": queue.queue_name}
                for queue in self.queue_metas
            ],
        }


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _queue_names(value: Any) -> Any:
    """Queues as texts: ids or names, or the objects that answers have."""
    if not isinstance(value, list | tuple):
        return value
    return [
        each.get("QueueId") or each.get("QueueName") if isinstance(each, Mapping) else each
        for each in value
    ]


class WorkloadQuery(Request):
    """What is asked about workloads: all that is given has to fit.

    `queue_metas` are ids or names of queues, of which one has to fit.
    """

    workload_id: _Name | None = Field(default=None, examples=["dlc1example"])
    workload_name: _Name | None = None
    workload_type: _Name | None = None
    workspace_id: _Name | None = None
    workspace_name: _Name | None = None
    workload_created_time: Annotated[datetime, AfterValidator(_aware)] | None = Field(
        default=None, examples=["2026-01-02T03:04:05Z"]
    )
    workload_status: Literal["Pending", "Running", "Succeeded", "Failed"] | None = None
    user_id: _Name | None = None
    tenant_id: _Name | None = None
    user_name: _Name | None = None
    priority: int | None = None
    is_scheduled: bool | None = None
    queue_metas: Annotated[tuple[_Name, ...], BeforeValidator(_queue_names)] | None = None

    @property
    def given(self) -> frozenset[str]:
        """The names of the fields that are asked about."""
        return frozenset(
            name for name in type(self).model_fields if getattr(self, name) not in (None, ())
        )

    def fits(self, info: WorkloadInfo) -> bool:
        """Whether a workload is what is asked about."""
        return not self.differences(info)

    def differences(self, info: WorkloadInfo) -> list[str]:
        """The fields in which a workload is not what is asked about."""
        return sorted(name for name in self.given if not self._fits_in(name, info))

    def _fits_in(self, name: str, info: WorkloadInfo) -> bool:
        wanted, found = getattr(self, name), getattr(info, name)
        if name == "queue_metas":
            return any(
                queue.queue_id in wanted or queue.queue_name in wanted for queue in info.queue_metas
            )
        return bool(found == wanted)
