"""EAS (2021-07-01): the inference services of a region, and what a benchmark of one would find.

A service's status is a function of its phases and the time: nothing happens between two calls.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidemark.simulator.pai.bill import BillLine
from tidemark.simulator.pai.eas_deployed import (
    SERVICES,
    DeployedService,
    image,
    instances,
    machine,
    metadata,
)
from tidemark.simulator.pai.json_text import json_value
from tidemark.simulator.pai.phases import Phase, at, cut, instant, parse_instant
from tidemark.simulator.pai.wire import Call, Route, Service, WireError, refuse
from tidemark.simulator.pai.world import MachineSpec, World

__all__ = ["EasServices"]

VERSION = "2021-07-01"
_ROOT = "/api/v2/services"
_ONE = f"{_ROOT}/{{ClusterId}}/{{ServiceName}}"
_NAME = re.compile(r"[a-z][a-z0-9_-]{2,62}\Z")
_CREATING_S, _STARTING_S, _STOPPING_S, _DELETING_S = 20.0, 60.0, 10.0, 5.0
_WEEK_S = 604_800.0
# Parameters of ListServices that are compared with a field of the service.
_FILTERS = {
    "ServiceName": "ServiceName",
    "ServiceStatus": "Status",
    "ServiceUid": "ServiceUid",
    "WorkspaceId": "WorkspaceId",
    "QuotaId": "QuotaId",
    "GroupName": "ServiceGroup",
    "ResourceName": "Resource",
    "Role": "Role",
    "Gateway": "Gateway",
    "ParentServiceUid": "ParentServiceUid",
    "ResourceType": "ResourceType",
    "ServiceType": "ServiceType",
}


@dataclass(slots=True)
class _Known:
    deployed: DeployedService
    region: str
    created_s: float
    phases: list[Phase]
    workspace_id: str
    labels: Mapping[str, str]

    @property
    def number(self) -> str:
        seed = f"{self.region}/{self.deployed.name}/{self.created_s}"
        return hashlib.sha256(seed.encode()).hexdigest()[:16]


class EasServices(Service):
    """Services of every region; those given are there, and running, from the start.

    With `wrapped`, DescribeService answers below a key `Service`, as some descriptions have it.
    """

    def __init__(
        self,
        world: World,
        now_s: float,
        services: tuple[DeployedService, ...] = SERVICES,
        *,
        wrapped: bool = False,
    ) -> None:
        self._world = world
        self._wrapped = wrapped
        self._begun_s = now_s
        self._services: dict[tuple[str, str], _Known] = {}
        self._past: list[_Known] = []
        for number, deployed in enumerate(services):
            since_s = now_s - _WEEK_S / (number + 2)
            self._add(deployed, deployed.region or world.default_region, since_s, deployed.labels)
            known = self._services[deployed.region or world.default_region, deployed.name]
            known.phases = [Phase("Running", since_s, _message(deployed.name, "Running"))]

    def routes(self) -> list[Route]:
        """The operations on services, machines and regions."""

        def route(action: str, method: str, path: str, handler: Any) -> Route:
            return Route("Eas", VERSION, action, method, path, handler)

        return [
            route("ListServices", "GET", _ROOT, self.list_services),
            route("CreateService", "POST", _ROOT, self.create_service),
            route("DescribeService", "GET", _ONE, self.describe_service),
            route("DeleteService", "DELETE", _ONE, self.delete_service),
            route("StartService", "PUT", f"{_ONE}/start", self.start_service),
            route("StopService", "PUT", f"{_ONE}/stop", self.stop_service),
            route("DescribeServiceEndpoints", "GET", f"{_ONE}/endpoints", self.endpoints),
            route("DescribeServiceEvent", "GET", f"{_ONE}/events", self.events),
            route("DescribeMachineSpec", "GET", "/api/v2/public/instance_types", self.machines),
            route("DescribeRegions", "GET", "/api/v2/regions", self.regions),
        ]

    def state(self) -> dict[str, Any]:
        """The services' names and phases by region."""
        state: dict[str, dict[str, Any]] = {}
        for (region, name), known in self._services.items():
            phases = [{"status": one.status, "since": instant(one.since_s)} for one in known.phases]
            state.setdefault(region, {})[name] = phases
        return {"services": state}

    def running(self, region: str, name: str, now_s: float) -> DeployedService:
        """A service that answers requests at this moment. Refuses one that is not there or not
        running, as CreateBenchmarkTask does."""
        known = self._known(region, name, now_s)
        status = at(known.phases, now_s).status
        if status != "Running":
            refuse(400, "InvalidService.Status", f"Service [{name}] is {status}, not Running.")
        return known.deployed

    def bill_lines(self, now_s: float) -> Iterator[BillLine]:
        """The instances held by services that were created or started here.

        What ran from the start is somebody's already, and not on this bill.
        """
        for known in (*self._past, *self._services.values()):
            config = known.deployed.config
            spec = self._world.spec(machine(config))
            for start_s, end_s in _held(known.phases, now_s):
                if start_s < self._begun_s:
                    continue
                for number in range(instances(config)):
                    yield BillLine(
                        product="eas",
                        region=known.region,
                        resource=f"eas-m-{known.number}",
                        name=known.deployed.name,
                        part=f"{known.deployed.name}-{number}",
                        machine=machine(config),
                        start_s=start_s,
                        end_s=min(end_s, now_s),
                        price_per_hour=spec.price_per_hour if spec else None,
                        goes_on=end_s > now_s,
                    )

    def list_services(self, call: Call) -> dict[str, Any]:
        """ListServices: newest first, filtered by what the query names."""
        found = []
        for (region, _), known in self._services.items():
            if region == call.region and not _gone(known, call.now_s):
                found.append(self._document(known, call.now_s))
        found = [one for one in found if call.query.get("Filter", "") in one["ServiceName"]]
        for parameter, name in _FILTERS.items():
            wanted = call.query.get(parameter, "")
            if wanted:
                found = [one for one in found if str(one.get(name, "")) == wanted]
        labels = _labels(call.query.get("Label", ""), "Label")
        for key, value in labels.items():
            pair = {"LabelKey": key, "LabelValue": value}
            found = [one for one in found if pair in one["Labels"]]
        order = call.query.get("Order", "") or "desc"
        if order not in ("asc", "desc"):
            refuse(400, "InvalidParameter", "The specified parameter Order is not valid.")
        by = call.query.get("Sort", "") or "CreateTime"
        found.sort(key=lambda one: str(one.get(by, "")), reverse=order == "desc")
        number, size, page = call.page(found, size=100)
        return {
            "Services": [_answered(one) for one in page],
            "PageNumber": number,
            "PageSize": size,
            "TotalCount": len(found),
        }

    def create_service(self, call: Call) -> dict[str, Any]:
        """CreateService: by name, in the region of the host. Creating, Waiting, then Running."""
        config = call.document()
        name = config.get("name")
        if not isinstance(name, str) or not _NAME.match(name):
            refuse(400, "InvalidParameter", "The service name is missing or not valid.")
        former = self._services.get((call.region, name))
        if former is not None and not _gone(former, call.now_s):
            refuse(400, "InvalidParameter", f"Service [{name}] already exists.")
        wanted = machine(config)
        if wanted and self._world.spec(wanted) is None:
            refuse(400, "InvalidParameter", f"The instance type {wanted} is not supported.")
        if instances(config) < 1:
            refuse(400, "InvalidParameter", "metadata.instance must be at least 1.")
        labels = _labels(call.query.get("Labels", ""), "Labels")
        token = hashlib.sha256(f"fake/{call.region}/{name}".encode()).hexdigest()[:32]
        deployed = DeployedService(config=config, token=f"fake-{token}")
        if former is not None:
            self._past.append(former)
        self._add(deployed, call.region, call.now_s, labels, call.query.get("WorkspaceId", ""))
        document = self._document(self._services[call.region, name], call.now_s)
        names = ("ServiceId", "ServiceName", "Region", "InternetEndpoint", "IntranetEndpoint")
        return {"Status": "Creating", **{key: document[key] for key in names}}

    def describe_service(self, call: Call) -> dict[str, Any]:
        """DescribeService: the service with its configuration and access token."""
        document = _answered(self._document(self._called(call), call.now_s))
        return {"Service": document} if self._wrapped else document

    def start_service(self, call: Call) -> dict[str, Any]:
        """StartService: of a stopped one."""
        known = self._called(call, "Stopped")
        return self._go(known, call.now_s, ("Starting", 0.0), ("Running", _STARTING_S))

    def stop_service(self, call: Call) -> dict[str, Any]:
        """StopService: of one that is running or coming up."""
        known = self._called(call, "Running", "Creating", "Waiting", "Starting")
        return self._go(known, call.now_s, ("Stopping", 0.0), ("Stopped", _STOPPING_S))

    def delete_service(self, call: Call) -> dict[str, Any]:
        """DeleteService: the name is free again when it is gone."""
        known = self._called(call)
        return self._go(known, call.now_s, ("Deleting", 0.0), ("Deleted", _DELETING_S))

    def endpoints(self, call: Call) -> dict[str, Any]:
        """DescribeServiceEndpoints: where the service answers, and with which token."""
        known = self._called(call)
        document = self._document(known, call.now_s)
        one = {
            "EndpointType": "DefaultGateway",
            "InternetEndpoints": [document["InternetEndpoint"]],
            "IntranetEndpoints": [document["IntranetEndpoint"]],
            "PathType": "Service",
            "Port": 80,
            "BackendId": "default",
        }
        return {"AccessToken": known.deployed.token, "Endpoints": [one], "Message": "success"}

    def events(self, call: Call) -> dict[str, Any]:
        """DescribeServiceEvent: a change of status is an event; of the last seven days."""
        known = self._called(call)
        since, until = call.query.get("StartTime", ""), call.query.get("EndTime", "")
        since_s = parse_instant(since, "StartTime") if since else call.now_s - _WEEK_S
        until_s = parse_instant(until, "EndTime") if until else call.now_s
        events = [
            {
                "Type": "Normal",
                "Reason": phase.status,
                "Message": json.dumps({"Message": phase.message}),
                "Time": instant(phase.since_s),
            }
            for phase in reversed(cut(known.phases, call.now_s))
            if since_s <= phase.since_s <= until_s
        ]
        kind = call.query.get("EventType", "")
        events = [event for event in events if kind in ("", event["Type"])]
        number = call.number("PageNum", 1, least=1)
        size = call.number("PageSize", 100, least=1)
        return {
            "Events": events[(number - 1) * size : number * size],
            "PageNum": number,
            "TotalCount": len(events),
            "TotalPageNum": -(-len(events) // size),
        }

    def machines(self, call: Call) -> dict[str, Any]:
        """DescribeMachineSpec: what services can be deployed on."""
        names = [name for name in call.query.get("InstanceTypes", "").split(",") if name]
        specs = [one for one in self._world.specs if not names or one.instance_type in names]
        memories: dict[int, set[int]] = {}
        for spec in specs:
            if spec.accelerator_type == "CPU":
                memories.setdefault(spec.cpu, set()).add(spec.memory_gib)
        types = [{"CPU": cpu, "Memory": sorted(memories[cpu])} for cpu in sorted(memories)]
        return {"InstanceMetas": [_meta(spec) for spec in specs], "Types": types}

    def regions(self, call: Call) -> dict[str, Any]:  # noqa: ARG002
        """DescribeRegions."""
        names = self._world.regions
        return {"Regions": [{"RegionId": name, "RegionName": name} for name in names]}

    def _add(
        self,
        deployed: DeployedService,
        region: str,
        now_s: float,
        labels: Mapping[str, str],
        workspace_id: str = "",
    ) -> None:
        given = metadata(deployed.config).get("workspace_id")
        name = deployed.name
        phases = [
            Phase("Creating", now_s, _message(name, "Creating")),
            Phase("Waiting", now_s + _CREATING_S, _message(name, "Waiting")),
            Phase("Running", now_s + _CREATING_S + _STARTING_S, _message(name, "Running")),
        ]
        workspace = workspace_id or str(given or self._world.default_workspace_id)
        self._services[region, name] = _Known(deployed, region, now_s, phases, workspace, labels)

    def _known(self, region: str, name: str, now_s: float) -> _Known:
        known = self._services.get((region, name))
        if known is None or _gone(known, now_s):
            refuse(404, "InvalidService.NotFound", f"Service [{name}] is not found in {region}.")
        return known

    def _called(self, call: Call, *statuses: str) -> _Known:
        known = self._known(call.path["ClusterId"], call.path["ServiceName"], call.now_s)
        status = at(known.phases, call.now_s).status
        if statuses and status not in statuses:
            name = known.deployed.name
            raise WireError(400, "InvalidService.Status", f"Service [{name}] is {status}.")
        return known

    def _go(self, known: _Known, now_s: float, *steps: tuple[str, float]) -> dict[str, Any]:
        name = known.deployed.name
        known.phases = cut(known.phases, now_s) + [
            Phase(status, now_s + after_s, _message(name, status)) for status, after_s in steps
        ]
        return {"Message": _message(name, steps[0][0])}

    def _document(self, known: _Known, now_s: float) -> dict[str, Any]:
        config, phase = known.deployed.config, at(known.phases, now_s)
        wants = metadata(config)
        held = instances(config) if phase.status in ("Running", "Waiting", "Starting") else 0
        running = held if phase.status == "Running" else 0
        path = f"{known.region}.pai-eas.aliyuncs.com/api/predict/{known.deployed.name}"
        account = self._world.account_id
        return {
            "ServiceName": known.deployed.name,
            "ServiceId": f"eas-m-{known.number}",
            "ServiceUid": known.number,
            "ServiceType": "Standard",
            "Status": phase.status,
            "Reason": phase.status.upper(),
            "Message": phase.message,
            "Region": known.region,
            "AccessToken": known.deployed.token,
            "InternetEndpoint": f"http://{account}.{path}",
            "IntranetEndpoint": f"http://{account}.vpc.{path}",
            "RunningInstance": running,
            "PendingInstance": held - running,
            "TotalInstance": held,
            "Cpu": _count(wants.get("cpu")),
            "Gpu": _count(wants.get("gpu")),
            "Memory": _count(wants.get("memory")),
            "Image": image(config),
            "Resource": str(wants.get("resource") or "eas-r-public"),
            "ResourceType": "PublicResource",
            "QuotaId": str(wants.get("quota_id") or ""),
            "Role": "Standard",
            "ServiceConfig": json.dumps(config),
            "ServiceGroup": str(wants.get("group") or known.deployed.name),
            "Labels": [
                {"LabelKey": key, "LabelValue": value} for key, value in known.labels.items()
            ],
            "CreateTime": instant(known.created_s),
            "UpdateTime": instant(phase.since_s),
            "CurrentVersion": 1,
            "LatestVersion": 1,
            "Weight": 100,
            "TrafficState": "standalone",
            "WorkspaceId": known.workspace_id,
            "CallerUid": account,
            "ParentUid": account,
            "Namespace": f"{known.deployed.name}-{account}",
            "Source": "OpenAPI",
            "SafetyLock": "none",
            "ExtraData": "{}",
        }


def _answered(document: dict[str, Any]) -> dict[str, Any]:
    """A service as it is answered: two of the fields it is found by are no part of it."""
    hidden = ("ServiceType", "ResourceType")
    return {name: value for name, value in document.items() if name not in hidden}


def _gone(known: _Known, now_s: float) -> bool:
    return at(known.phases, now_s).status == "Deleted"


def _message(name: str, status: str) -> str:
    return f"Service [{name}] is {status}"


def _held(phases: Sequence[Phase], now_s: float) -> list[tuple[float, float]]:
    """From when to when instances are held: from their allocation until they are given back."""
    held: list[tuple[float, float]] = []
    since_s: float | None = None
    for phase in cut(phases, now_s):
        holds = phase.status in ("Waiting", "Starting", "Running", "Stopping")
        holds |= phase.status == "Deleting" and since_s is not None
        if holds and since_s is None:
            since_s = phase.since_s
        elif not holds and since_s is not None:
            held.append((since_s, phase.since_s))
            since_s = None
    return held if since_s is None else [*held, (since_s, math.inf)]


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | float) and value >= 0 else 0


def _labels(text: str, name: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        labels = json_value(text)
    except ValueError:
        labels = None
    if not isinstance(labels, dict):
        refuse(400, "InvalidParameter", f"The specified parameter {name} is not a JSON object.")
    return {str(key): str(value) for key, value in labels.items()}


def _meta(spec: MachineSpec) -> dict[str, Any]:
    bare = spec.instance_type.startswith("ecs.ebm")
    meta = {
        "InstanceType": spec.instance_type,
        "CPU": spec.cpu,
        "Memory": float(spec.memory_gib),
        "IsAvailable": spec.is_available,
        "StockStatus": "WithStock" if spec.is_available else "NoStock",
        "Vendor": "Lingjun" if spec.resource_type == "Lingjun" else "BareMetal" if bare else "ECS",
    }
    if spec.gpu:
        meta |= {
            "GPU": spec.gpu_type,
            "GPUAmount": spec.gpu,
            "GPUMemory": float(spec.gpu_memory_gib),
        }
    if spec.spot_discount is not None:
        # An hour's protection from being taken back costs a little.
        meta["SpotDiscount"] = round(min(1.0, spec.spot_discount + 0.05), 4)
        meta["NonProtectSpotDiscount"] = spec.spot_discount
    return meta
