"""PaiStudio: quotas, the queues before them, and what spot machines have cost (2022-01-12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tidemark.alibaba.channel import Channel
from tidemark.alibaba.endpoints import Product
from tidemark.alibaba.operations import Operation, Parameter
from tidemark.alibaba.paging import all_items
from tidemark.alibaba.paistudio_answers import QueueInfo, Quota, SpotPrice, WorkloadDiagnosis

__all__ = ["PaiStudio", "TimeRange"]

# The service has the list of quotas behind a slash, and answers to nothing without it.
_QUOTAS = "/api/v1/quotas/"
_QUOTA = "/api/v1/quotas/{QuotaId}"
LIST_QUOTAS = Operation(Product.PAISTUDIO, "ListQuotas", "GET", _QUOTAS)
GET_QUOTA = Operation(Product.PAISTUDIO, "GetQuota", "GET", _QUOTA)
LIST_WORKLOADS = Operation(Product.PAISTUDIO, "ListQuotaWorkloads", "GET", f"{_QUOTA}/workloads")
DIAGNOSE_WORKLOAD = Operation(
    Product.PAISTUDIO,
    "GetQuotaWorkloadDiagnosis",
    "GET",
    f"{_QUOTA}/workloads/{{WorkloadId}}/diagnosis",
)
SPOT_PRICES = Operation(
    Product.PAISTUDIO,
    "GetSpotPriceHistory",
    "GET",
    "/api/v1/spots/{InstanceType}/pricehistory",
)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From one moment to another; either end may be open."""

    since: datetime | None = None
    until: datetime | None = None


class PaiStudio:
    """Quotas of one account in one region. Every method raises AlibabaError."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def list_quotas(
        self,
        *,
        quota_ids: Sequence[str] = (),
        quota_name: str | None = None,
        resource_type: Literal["ECS", "Lingjun"] | None = None,
        statuses: Sequence[str] = (),
        workspace_ids: Sequence[str] = (),
        verbose: bool = False,
    ) -> list[Quota]:
        """Quotas of all pages (ListQuotas); `quota_name` is looked for in their names.

        `verbose` ones say how much is in use.
        """
        found = await all_items(
            self._channel,
            LIST_QUOTAS,
            items="Quotas",
            key="QuotaId",
            query={
                "QuotaIds": list(quota_ids) or None,
                "QuotaName": quota_name,
                "ResourceType": resource_type,
                "Statuses": list(statuses) or None,
                "WorkspaceIds": list(workspace_ids) or None,
                "Verbose": verbose,
            },
        )
        return [Quota.of(each, "ListQuotas") for each in found]

    async def get_quota(self, quota_id: str) -> Quota:
        """A quota, with how much of it is in use (GetQuota). Raises NotFoundError."""
        document = await self._channel.call(
            GET_QUOTA, parts={"QuotaId": quota_id}, query={"Verbose": True}
        )
        return Quota.of(document, "GetQuota")

    async def list_quota_workloads(
        self,
        quota_id: str,
        *,
        workload_ids: Sequence[str] = (),
        workload_names: Sequence[str] = (),
        workload_type: str | None = None,
        workload_statuses: Sequence[str] = (),
        status: Literal["Enqueued", "Dequeued"] | None = None,
        workspace_ids: Sequence[str] = (),
        user_ids: Sequence[str] = (),
        sub_quota_ids: Sequence[str] = (),
        before_workload_id: str | None = None,
        show_own: bool | None = None,
        with_history: bool = False,
        created: TimeRange | None = None,
        enqueued: TimeRange | None = None,
        dequeued: TimeRange | None = None,
    ) -> list[QueueInfo]:
        """The queue of a quota, of all pages (ListQuotaWorkloads).

        `with_history` adds workloads that are over. `before_workload_id` leaves those that stand
        before that one. Raises NotFoundError for a quota that is not there.
        """
        query: dict[str, Parameter] = {
            "WorkloadIds": list(workload_ids) or None,
            "WorkloadNames": list(workload_names) or None,
            "WorkloadType": workload_type,
            "WorkloadStatuses": list(workload_statuses) or None,
            "Status": status,
            "WorkspaceIds": list(workspace_ids) or None,
            "UserIds": list(user_ids) or None,
            "SubQuotaIds": list(sub_quota_ids) or None,
            "BeforeWorkloadId": before_workload_id,
            "ShowOwn": show_own,
            "WithHistoricalData": with_history or None,
        }
        ranges = {
            "WorkloadCreatedTimeRange": created,
            "GmtEnqueuedTimeRange": enqueued,
            "GmtDequeuedTimeRange": dequeued,
        }
        for name, span in ranges.items():
            if span is not None:
                query[f"{name}.StartTime"] = span.since
                query[f"{name}.EndTime"] = span.until
        found = await all_items(
            self._channel,
            LIST_WORKLOADS,
            items="Workloads",
            key="WorkloadId",
            parts={"QuotaId": quota_id},
            query=query,
        )
        return [QueueInfo.of(each, "ListQuotaWorkloads") for each in found]

    async def diagnose_quota_workload(self, quota_id: str, workload_id: str) -> WorkloadDiagnosis:
        """What a workload of a queue waits for (GetQuotaWorkloadDiagnosis).

        Raises NotFoundError or InvalidRequestError for one that is over.
        """
        document = await self._channel.call(
            DIAGNOSE_WORKLOAD, parts={"QuotaId": quota_id, "WorkloadId": workload_id}
        )
        return WorkloadDiagnosis.of(document, "GetQuotaWorkloadDiagnosis")

    async def get_spot_price_history(
        self,
        instance_type: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[SpotPrice]:
        """What a spot machine has cost, of all pages, oldest first (GetSpotPriceHistory)."""
        found = await all_items(
            self._channel,
            SPOT_PRICES,
            items="SpotPriceHistory",
            key=("InstanceType", "ZoneId", "Timestamp"),
            parts={"InstanceType": instance_type},
            query={"StartTime": since, "EndTime": until},
        )
        prices = [SpotPrice.of(each, "GetSpotPriceHistory") for each in found]
        dated = [price for price in prices if price.timestamp is not None]
        return sorted(dated, key=lambda price: (str(price.timestamp), price.zone_id))
