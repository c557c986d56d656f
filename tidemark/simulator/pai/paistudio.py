"""PaiStudio (2022-01-12): quotas, the queues before them, and what spot machines have cost."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tidemark.clock import Clock
from tidemark.simulator.pai.json_text import json_value
from tidemark.simulator.pai.phases import instant, parse_instant
from tidemark.simulator.pai.quotas import QUOTAS, Quota, seeded_workloads
from tidemark.simulator.pai.wire import Call, Route, Service, WireError, refuse
from tidemark.simulator.pai.workloads import Jobs, Workload, job_workload
from tidemark.simulator.pai.world import MachineSpec, World

__all__ = ["PaiStudio"]

_VERSION = "2022-01-12"
_HOUR_S = 3600.0
_WEEK_S = 7 * 86_400.0
# Parameters of ListQuotaWorkloads that hold one text or several, and the field they look at.
_FILTERS = {
    "WorkspaceIds": "WorkspaceId",
    "WorkloadType": "WorkloadType",
    "WorkloadIds": "WorkloadId",
    "WorkloadNames": "WorkloadName",
    "WorkloadStatuses": "WorkloadStatus",
    "Status": "Status",
    "UserIds": "UserId",
    "SubQuotaIds": "QuotaId",
}
_RANGES = {
    "WorkloadCreatedTimeRange": "GmtCreatedTime",
    "GmtEnqueuedTimeRange": "GmtEnqueuedTime",
    "GmtDequeuedTimeRange": "GmtDequeuedTime",
    "GmtPositionModifiedTimeRange": "GmtPositionModifiedTime",
}
_SORTED_BY = (*_RANGES.values(), "Position", "Priority", "WorkloadName", "WorkloadStatus")


class PaiStudio(Service):
    """Quotas of the default region. DLC jobs that name one stand in its queue."""

    def __init__(
        self, world: World, clock: Clock, dlc: Jobs, quotas: tuple[Quota, ...] = QUOTAS
    ) -> None:
        self._world = world
        self._dlc = dlc
        self._quotas = {quota.quota_id: quota for quota in quotas}
        self._began_s = clock.time()
        self._seeded = seeded_workloads(quotas[0], self._began_s, world) if quotas else ()

    def routes(self) -> list[Route]:
        """The operations on quotas, queues and spot prices."""

        def route(action: str, path: str, handler: Any) -> Route:
            return Route("PaiStudio", _VERSION, action, "GET", path, handler)

        quota = "/api/v1/quotas/{QuotaId}"
        return [
            route("ListQuotas", "/api/v1/quotas/", self.list_quotas),
            route("GetQuota", quota, self.get_quota),
            route("ListQuotaWorkloads", f"{quota}/workloads", self.list_workloads),
            route(
                "GetQuotaWorkloadDiagnosis",
                f"{quota}/workloads/{{WorkloadId}}/diagnosis",
                self.diagnosis,
            ),
            route(
                "GetSpotPriceHistory", "/api/v1/spots/{InstanceType}/pricehistory", self.spot_prices
            ),
        ]

    def state(self) -> dict[str, Any]:
        """The quotas' ids and names."""
        return {"quotas": {quota_id: quota.name for quota_id, quota in self._quotas.items()}}

    def list_quotas(self, call: Call) -> dict[str, Any]:
        """ListQuotas: by id, part of the name, status, workspace; of ECS unless told otherwise."""
        if call.query.get("ParentQuotaId", "") or call.region != self._world.default_region:
            return {"Quotas": [], "TotalCount": 0}  # there are no quotas below another
        kind = call.query.get("ResourceType", "") or "ECS"
        ids, statuses = _several(call, "QuotaIds"), _several(call, "Statuses")
        workspaces = _several(call, "WorkspaceIds")
        found = []
        for quota in self._quotas.values():
            document = self._document(quota, call.now_s, verbose=call.flag("Verbose", False))
            there = {one["WorkspaceId"] for one in document["Workspaces"]}
            if (
                quota.resource_type == kind
                and (not ids or quota.quota_id in ids)
                and (not statuses or document["Status"] in statuses)
                and (not workspaces or there & workspaces)
                and call.query.get("QuotaName", "").lower() in quota.name.lower()
            ):
                found.append(document)
        _sort(found, call, ("GmtCreatedTime", "GmtModifiedTime", "QuotaName", "Status"))
        _, _, page = call.page(found, size=10)
        return {"Quotas": page, "TotalCount": len(found)}

    def get_quota(self, call: Call) -> dict[str, Any]:
        """GetQuota: what it has, and what of it is in use."""
        return self._document(self._quota(call), call.now_s, verbose=True)

    def list_workloads(self, call: Call) -> dict[str, Any]:
        """ListQuotaWorkloads: the queue of a quota; with WithHistoricalData also what is over."""
        quota = self._quota(call)
        history = call.flag("WithHistoricalData", False)
        queue = self._queue(quota, call.now_s)
        found = [
            self._info(quota, one, position)
            for one, position in queue
            if history or one.ended_s is None
        ]
        before = call.query.get("BeforeWorkloadId", "")
        if before:
            place = next((one["Position"] for one in found if one["WorkloadId"] == before), 0)
            found = [one for one in found if 0 < one["Position"] < place]
        for parameter, name in _FILTERS.items():
            wanted = _several(call, parameter)
            if wanted:
                found = [one for one in found if one[name] in wanted]
        if call.flag("ShowOwn", False):
            own = call.account_id or self._world.account_id
            found = [one for one in found if one["UserId"] == own]
        if call.flag("UseOversoldResource", False):
            found = []  # nothing here runs on borrowed machines
        for name in ("NodeName", "InstanceId"):
            wanted = _several(call, name)
            nodes = {one.workload_id: one.node for one, _ in queue}
            if wanted:
                found = [one for one in found if nodes[one["WorkloadId"]] in wanted]
        for name in ("Position", "Priority"):
            if call.query.get(name, ""):
                found = [one for one in found if one[name] == call.number(name, 0)]
        for parameter, name in _RANGES.items():
            since, until = _range(call.query, parameter)
            if since is not None:
                found = [one for one in found if one[name] and instant(since) <= one[name]]
            if until is not None:
                found = [one for one in found if one[name] and one[name] <= instant(until)]
        if call.query.get("SortBy", ""):
            _sort(found, call, _SORTED_BY)
        _, _, page = call.page(found, size=10)
        return {"Workloads": page, "TotalCount": len(found)}

    def diagnosis(self, call: Call) -> dict[str, Any]:
        """GetQuotaWorkloadDiagnosis: what a workload of the queue waits for. Refuses one that is
        over."""
        quota, workload_id = self._quota(call), call.path["WorkloadId"]
        queue = self._queue(quota, call.now_s)
        known = next((one for one, _ in queue if one.workload_id == workload_id), None)
        if known is None:
            raise WireError(404, "Workload.NotFound", f"Workload {workload_id} is not found.")
        if known.ended_s is not None:
            refuse(400, "InvalidWorkload.Status", f"Workload {workload_id} is over.")
        used = _used(queue)
        limit = self._amounts(quota)
        wanted = {"CPU": known.cpu, "GPU": known.gpu, "Memory": known.memory_gib}
        exceeded = [
            name
            for name, amount in wanted.items()
            if known.dequeued_s is None and used[name] + amount > limit[name]
        ]
        free = {"Status": "Normal", "ExceedResources": [], "Used": {}, "Limit": {}}
        own = {
            "Status": "Exceeded" if exceeded else "Normal",
            "ExceedResources": exceeded,
            "Used": _texts(used),
            "Limit": _texts(limit),
        }
        return {
            "Diagnosis": {
                "WorkloadId": workload_id,
                "QuotaId": quota.quota_id,
                "QueueStrategy": quota.strategy,
                "ResourceDiagnosis": {
                    "SelfQuotaLimit": own,
                    "AncestorQuotaLimit": free,
                    "UserLimit": free,
                    "QueueStrategyLimit": free,
                },
                "SchedulingDiagnosis": {
                    "Status": "Waiting" if known.dequeued_s is None else "Normal",
                    "Message": known.reason,
                },
            }
        }

    def spot_prices(self, call: Call) -> dict[str, Any]:
        """GetSpotPriceHistory: the hourly discount of a machine, of up to seven days."""
        name = call.path["InstanceType"]
        spec = self._world.spec(name)
        if spec is None:
            refuse(404, "InvalidInstanceType.NotFound", f"Instance type {name} is not found.")
        end, start = call.query.get("EndTime", ""), call.query.get("StartTime", "")
        end_s = parse_instant(end, "EndTime") if end else call.now_s
        start_s = parse_instant(start, "StartTime") if start else end_s - _WEEK_S
        if not end_s - _WEEK_S <= start_s <= end_s:
            refuse(400, "InvalidParameter", "StartTime must lie up to seven days before EndTime.")
        prices = _history(spec, call.region, start_s, min(end_s, call.now_s))
        if call.query.get("Order", "").lower() == "desc":
            prices.reverse()
        # Paging is for Lingjun; of other machines all is answered at once.
        paged = spec.resource_type == "Lingjun"
        page = call.page(prices, size=10)[2] if paged else prices
        return {"SpotPriceHistory": page, "TotalCount": len(prices)}

    def _quota(self, call: Call) -> Quota:
        quota = self._quotas.get(call.path["QuotaId"])
        if quota is None or call.region != self._world.default_region:
            raise WireError(404, "Quota.NotFound", f"Quota {call.path['QuotaId']} is not found.")
        return quota

    def _queue(self, quota: Quota, now_s: float) -> list[tuple[Workload, int]]:
        """All workloads there are or were, with their positions: 0 for those out of the queue."""
        known = [one for one in self._seeded if one.quota_id == quota.quota_id]
        known += [
            replace(job_workload(job, now_s, self._world), quota_id=quota.quota_id)
            for job in self._dlc.jobs
            if job.deleted_s is None
            and job.request.resource_id == quota.quota_id
            and job.region == self._world.default_region
        ]
        waiting = [one for one in known if one.dequeued_s is None]
        waiting.sort(key=lambda one: (-one.priority, one.created_s))
        if quota.strategy == "PaiStrategyStrictFIFO":
            waiting.sort(key=lambda one: one.created_s)
        ranks = {one.workload_id: number for number, one in enumerate(waiting, 1)}
        return [(one, ranks.get(one.workload_id, 0)) for one in known]

    def _info(self, quota: Quota, one: Workload, position: int) -> dict[str, Any]:
        left_s = one.dequeued_s
        return {
            "WorkloadId": one.workload_id,
            "WorkloadName": one.name,
            "Name": one.name,
            "WorkloadType": one.kind,
            "WorkloadStatus": one.status,
            "Status": "Enqueued" if left_s is None else "Dequeued",
            "Position": position,
            "Priority": one.priority,
            "QueueStrategy": quota.strategy,
            "QuotaId": quota.quota_id,
            "Code": "Waiting" if position else "",
            "CodeType": "Queue" if position else "",
            "Reason": one.reason,
            "Resource": {
                "CPU": f"{one.cpu:g}",
                "GPU": f"{one.gpu:g}",
                "GPUType": one.gpu_type,
                "Memory": f"{one.memory_gib:g}Gi",
            },
            "GmtCreatedTime": instant(one.created_s),
            "GmtEnqueuedTime": instant(one.created_s),
            "GmtDequeuedTime": "" if left_s is None else instant(left_s),
            "GmtPositionModifiedTime": instant(one.created_s if left_s is None else left_s),
            "UserId": one.user_id,
            "UserName": one.user_name,
            "UseOversoldResource": False,
            "WorkspaceId": one.workspace_id,
            "WorkspaceName": one.workspace_name,
        }

    def _amounts(self, quota: Quota) -> dict[str, float]:
        spec = self._world.spec(quota.machine)
        if spec is None:
            return {"CPU": 0.0, "GPU": 0.0, "Memory": 0.0}
        each = {"CPU": spec.cpu, "GPU": spec.gpu, "Memory": spec.memory_gib}
        return {name: float(amount * quota.nodes) for name, amount in each.items()}

    def _document(self, quota: Quota, now_s: float, *, verbose: bool) -> dict[str, Any]:
        spec = self._world.spec(quota.machine)
        created = instant(self._began_s - 30 * 86_400)
        workspace = self._world.default_workspace_id
        document = {
            "QuotaId": quota.quota_id,
            "QuotaName": quota.name,
            "Description": "",
            "ResourceType": quota.resource_type,
            "Status": "Running",
            "QueueStrategy": quota.strategy,
            "AllocateStrategy": "ByNodeSpecs",
            "GPUType": spec.gpu_type if spec else "",
            "CreatorId": self._world.account_id,
            "ParentQuotaId": "",
            "SubQuotas": [],
            "Labels": [],
            "Min": {"NodeSpecs": [{"Type": quota.machine, "Count": quota.nodes}]},
            "Workspaces": [{"WorkspaceId": workspace, "WorkspaceName": "default_workspace"}],
            "GmtCreatedTime": created,
            "GmtModifiedTime": created,
        }
        if verbose:
            total = _texts(self._amounts(quota))
            used = _texts(_used(self._queue(quota, now_s)))
            document["QuotaDetails"] = {
                "DesiredMinQuota": total,
                "ActualMinQuota": total,
                "AllocatableQuota": total,
                "AllocatedQuota": used,
                "UsedQuota": used,
            }
        return document


def _used(queue: list[tuple[Workload, int]]) -> dict[str, float]:
    holding = [one for one, _ in queue if one.dequeued_s is not None and one.ended_s is None]
    return {
        "CPU": sum(one.cpu for one in holding),
        "GPU": sum(one.gpu for one in holding),
        "Memory": sum(one.memory_gib for one in holding),
    }


def _texts(amounts: Mapping[str, float]) -> dict[str, str]:
    return {
        name: f"{amount:g}Gi" if name == "Memory" else f"{amount:g}"
        for name, amount in amounts.items()
    }


def _history(spec: MachineSpec, region: str, start_s: float, end_s: float) -> list[dict[str, Any]]:
    if spec.spot_discount is None:
        return []
    prices = []
    first = -(-start_s // _HOUR_S)
    for hour in range(int(first), int(end_s // _HOUR_S) + 1):
        draw = random.Random(f"{spec.instance_type}/{region}/{hour}")
        discount = min(1.0, max(0.1, spec.spot_discount + draw.randint(-3, 3) / 100))
        prices.append(
            {
                "InstanceType": spec.instance_type,
                "SpotDiscount": round(discount, 2),
                "Timestamp": instant(hour * _HOUR_S),
                "ZoneId": f"{region}-h",
            }
        )
    return prices


def _several(call: Call, name: str) -> set[str]:
    return {one for one in call.query.get(name, "").split(",") if one}


def _range(query: Mapping[str, str], name: str) -> tuple[float | None, float | None]:
    """A range of times: flattened (`Name.StartTime`) as one SDK sends it, or as JSON."""
    ends = {end: query.get(f"{name}.{end}", "") for end in ("StartTime", "EndTime")}
    if query.get(name, ""):
        try:
            given = json_value(query[name])
        except ValueError:
            given = None
        if not isinstance(given, dict):
            refuse(400, "InvalidParameter", f"The specified parameter {name} is not valid.")
        ends = {end: str(given.get(end) or "") for end in ends}
    since, until = (parse_instant(text, name) if text else None for text in ends.values())
    return since, until


def _sort(found: list[dict[str, Any]], call: Call, fields: tuple[str, ...]) -> None:
    by = call.query.get("SortBy", "") or fields[0]
    order = call.query.get("Order", "").lower() or "asc"
    if by not in fields or order not in ("asc", "desc"):
        refuse(400, "InvalidParameter", "The specified parameter SortBy or Order is not valid.")
    found.sort(key=lambda one: one[by], reverse=order == "desc")
