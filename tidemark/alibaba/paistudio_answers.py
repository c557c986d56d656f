"""What PaiStudio answers about quotas, their queues and spot prices (PaiStudio 2022-01-12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field

from tidemark.alibaba.answers import Answer, Instant, Listed, Number, Text
from tidemark.alibaba.operations import JsonObject

__all__ = [
    "LimitDiagnosis",
    "QueueInfo",
    "Quota",
    "ResourceDiagnosis",
    "SpotPrice",
    "WorkloadDiagnosis",
]


class QueueInfo(Answer):
    """A workload in the queue of a quota, or out of it (ListQuotaWorkloads).

    `status` is Enqueued or Dequeued, `workload_status` what the workload itself does; `position`
    counts from 1 and is 0 outside the queue.
    """

    workload_id: Text = ""
    workload_name: Text = ""
    workload_type: Text = ""
    workload_status: Text = ""
    status: Text = ""
    position: Number = None
    priority: Number = None
    queue_strategy: Text = ""
    quota_id: Text = ""
    code: Text = ""
    code_type: Text = ""
    reason: Text = ""
    resource: JsonObject | None = None
    gmt_created_time: Instant = None
    gmt_enqueued_time: Instant = None
    gmt_dequeued_time: Instant = None
    gmt_position_modified_time: Instant = None
    user_id: Text = ""
    user_name: Text = ""
    use_oversold_resource: bool | None = None
    workspace_id: Text = ""
    workspace_name: Text = ""


class Quota(Answer):
    """Machines that are paid for as a whole, and shared by queueing (GetQuota, ListQuotas)."""

    quota_id: Text = ""
    quota_name: Text = ""
    description: Text = ""
    resource_type: Text = ""
    status: Text = ""
    queue_strategy: Text = ""
    parent_quota_id: Text = ""
    minimum: JsonObject | None = Field(None, alias="Min")
    quota_details: JsonObject | None = None
    workspaces: Listed[JsonObject] = ()
    gmt_created_time: Instant = None
    gmt_modified_time: Instant = None


class SpotPrice(Answer):
    """The price of a spot machine at a moment, as a share of the ordinary one."""

    instance_type: Text = ""
    spot_discount: Number = None
    timestamp: Instant = None
    zone_id: Text = ""


class LimitDiagnosis(Answer):
    """One limit, and by which resources it is exceeded: amounts are text with units."""

    status: Text = ""
    exceed_resources: Listed[str] = ()
    used: JsonObject | None = None
    limit: JsonObject | None = None


class ResourceDiagnosis(Answer):
    """Every limit that can hold a workload back."""

    self_quota_limit: LimitDiagnosis | None = None
    ancestor_quota_limit: LimitDiagnosis | None = None
    user_limit: LimitDiagnosis | None = None
    queue_strategy_limit: LimitDiagnosis | None = None


class WorkloadDiagnosis(Answer):
    """What a workload of a queue waits for (GetQuotaWorkloadDiagnosis)."""

    workload_id: Text = ""
    quota_id: Text = ""
    queue_strategy: Text = ""
    resource_diagnosis: ResourceDiagnosis | None = None
    scheduling_diagnosis: JsonObject | None = None

    @classmethod
    def of(cls, document: JsonObject, action: str) -> Self:
        """The model of an answer, with or without a `Diagnosis` around it."""
        inner = document.get("Diagnosis")
        return super().of(dict(inner) if isinstance(inner, Mapping) else document, action)

    @property
    def exceeded(self) -> dict[str, tuple[str, ...]]:
        """The limits that are exceeded, by name, and the resources that exceed them."""
        found = self.resource_diagnosis
        if found is None:
            return {}
        limits = {
            "SelfQuotaLimit": found.self_quota_limit,
            "AncestorQuotaLimit": found.ancestor_quota_limit,
            "UserLimit": found.user_limit,
            "QueueStrategyLimit": found.queue_strategy_limit,
        }
        return {
            name: limit.exceed_resources
            for name, limit in limits.items()
            if limit is not None and limit.exceed_resources
        }
