"""EAS benchmark tasks (2021-07-01): the eight operations on them."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

from tidemark.clock import Clock
from tidemark.simulator.pai.eas_deployed import DeployedService, ServiceTruth
from tidemark.simulator.pai.eas_services import EasServices
from tidemark.simulator.pai.eas_settings import TaskSettings, read_body, read_settings
from tidemark.simulator.pai.eas_task import GONE, Task, TaskScript
from tidemark.simulator.pai.phases import instant
from tidemark.simulator.pai.wire import Call, Route, Service, refuse
from tidemark.simulator.pai.world import World

__all__ = ["EasBenchmarks"]

_VERSION = "2021-07-01"
_ROOT = "/api/v2/benchmark-tasks"
_ONE = f"{_ROOT}/{{ClusterId}}/{{TaskName}}"


class EasBenchmarks(Service):
    """Benchmark tasks of every region.

    No charge is known for them; how long agents were busy is part of the state.
    """

    def __init__(self, world: World, services: EasServices, clock: Clock) -> None:
        self._world = world
        self._clock = clock
        self._services = services
        self._scripts: tuple[TaskScript, ...] = ()
        self._tasks: list[Task] = []

    def routes(self) -> list[Route]:
        """The eight operations."""

        def route(action: str, method: str, path: str, handler: Any) -> Route:
            return Route("Eas", _VERSION, action, method, path, handler)

        return [
            route("CreateBenchmarkTask", "POST", _ROOT, self.create),
            route("ListBenchmarkTask", "GET", _ROOT, self.list_tasks),
            route("DescribeBenchmarkTask", "GET", _ONE, self.describe),
            route("DescribeBenchmarkTaskReport", "GET", f"{_ONE}/report", self.report),
            route("StartBenchmarkTask", "PUT", f"{_ONE}/start", self.start),
            route("StopBenchmarkTask", "PUT", f"{_ONE}/stop", self.stop),
            route("UpdateBenchmarkTask", "PUT", _ONE, self.update),
            route("DeleteBenchmarkTask", "DELETE", _ONE, self.delete),
        ]

    def state(self) -> dict[str, Any]:
        """All tasks there ever were, with their phases so far and to come."""
        now_s = self._clock.time()
        return {
            "benchmark_tasks": [
                {
                    "name": task.name,
                    "region": task.region,
                    "service": task.settings.service_name or task.settings.service_url,
                    "status": task.at(now_s).status,
                    "agent_seconds": round(task.agent_seconds(now_s), 3),
                    "phases": [
                        {"status": phase.status, "since": instant(phase.since_s)}
                        for phase in task.phases
                    ],
                }
                for task in self._tasks
            ]
        }

    def script(self, *scripts: TaskScript) -> None:
        """Script the tasks that are created from now on, in place of what was scripted; the first
        script that matches counts."""
        self._scripts = scripts

    def create(self, call: Call) -> dict[str, Any]:
        """CreateBenchmarkTask: in the region of the host.

        Refuses a body that is not understood, a service that is not running, a name in use.
        """
        settings = read_settings(read_body(call.body))
        service = self._target(settings, call.region, call.now_s)
        name = settings.name or self._new_name(settings, call)
        if self._find(call.region, name, call.now_s):
            refuse(
                400,
                "InvalidParameter.TaskAlreadyExists",
                f"Benchmark task [{name}] already exists.",
            )
        target = settings.service_name or settings.service_url
        task = Task(
            name=name,
            task_id=f"eas-b-{_digest(call.region, name, call.now_s)[:16]}",
            region=call.region,
            created_s=call.now_s,
            settings=settings,
            truth=service.truth if service else ServiceTruth(),
            authorized=not (service and settings.token and settings.token != service.token),
            script=next((one for one in self._scripts if one.matches(name, target)), TaskScript()),
        )
        task.create(call.now_s)
        self._tasks.append(task)
        message = f"Benchmark task [{name}] is Creating"
        return {"TaskName": name, "Region": call.region, "Message": message}

    def list_tasks(self, call: Call) -> dict[str, Any]:
        """ListBenchmarkTask: newest first; Filter looks in the names of tasks and services."""
        text, service = call.query.get("Filter", ""), call.query.get("ServiceName", "")
        status = call.query.get("Status", "")
        order = call.query.get("Order", "").lower() or "desc"
        if order not in ("asc", "desc"):
            refuse(400, "InvalidParameter", "The specified parameter Order is not valid.")
        tasks = []
        for task in self._tasks if order == "asc" else reversed(self._tasks):
            phase, target = task.at(call.now_s), task.settings.service_name
            if task.region != call.region or phase.status == GONE:
                continue
            if text not in task.name and text not in target:
                continue
            if service not in ("", target) or status not in ("", phase.status):
                continue
            tasks.append(
                {
                    "TaskName": task.name,
                    "TaskId": task.task_id,
                    "ServiceName": target,
                    "Region": task.region,
                    "AvailableAgent": phase.available,
                    "Status": phase.status,
                    "Message": phase.message,
                    "CreateTime": instant(task.created_s),
                    "UpdateTime": instant(phase.since_s),
                }
            )
        number, size, page = call.page(tasks, size=100)
        return {
            "Tasks": page,
            "PageNumber": number,
            "PageSize": size,
            "TotalCount": len(tasks),
        }

    def describe(self, call: Call) -> dict[str, Any]:
        """DescribeBenchmarkTask: what it is doing, and with how many agents."""
        task = self._called(call)
        phase = task.at(call.now_s)
        account = self._world.account_id
        return {
            "TaskName": task.name,
            "TaskId": task.task_id,
            "ServiceName": task.settings.service_name,
            # The real service answers with the token, too.
            "Token": task.settings.token,
            "CallerUid": account,
            "ParentUid": account,
            "DesiredAgent": phase.desired,
            "AvailableAgent": phase.available,
            "Status": phase.status,
            "Reason": phase.status.upper(),
            "Message": phase.message,
            "Endpoint": urlsplit(task.settings.service_url).netloc
            or f"{account}.pai-eas.{task.region}.aliyuncs.com",
        }

    def report(self, call: Call) -> dict[str, Any]:
        """DescribeBenchmarkTaskReport: `Data` for ReportType RAW (the default), else `ReportUrl`.

        Over the last run as far as it has come. Refuses with 404 before its first second is over.
        """
        task = self._called(call)
        kind = (call.query.get("ReportType", "") or "RAW").upper()
        if kind not in ("RAW", "REPORT"):
            refuse(400, "InvalidParameter", "The specified parameter ReportType is not valid.")
        data = task.report(call.now_s)
        if data is None:
            refuse(
                404,
                "BenchmarkTaskReport.NotFound",
                f"The report of benchmark task [{task.name}] is not found.",
            )
        if kind == "RAW":
            return {"Data": data}
        host = f"eas-benchmark.oss-{task.region}.aliyuncs.com"
        return {"ReportUrl": f"http://{host}/summary/{task.name}-{10_000 + task.run}.html"}

    def start(self, call: Call) -> dict[str, Any]:
        """StartBenchmarkTask: run a stopped one again."""
        task = self._called(call)
        self._target(task.settings, task.region, call.now_s)
        task.start(call.now_s)
        return _done(task, "Starting")

    def stop(self, call: Call) -> dict[str, Any]:
        """StopBenchmarkTask: Stopping, then Stopped. Refuses one that has ended."""
        task = self._called(call)
        task.stop(call.now_s)
        return _done(task, "Stopping")

    def update(self, call: Call) -> dict[str, Any]:
        """UpdateBenchmarkTask: other load for one that is running, or for the next run."""
        task = self._called(call)
        task.update(call.now_s, read_body(call.body))
        return _done(task, "Updating")

    def delete(self, call: Call) -> dict[str, Any]:
        """DeleteBenchmarkTask: Deleting, then gone."""
        task = self._called(call)
        task.delete(call.now_s)
        return _done(task, "Deleting")

    def _called(self, call: Call) -> Task:
        region, name = call.path["ClusterId"], call.path["TaskName"]
        task = self._find(region, name, call.now_s)
        if task is None:
            refuse(404, "BenchmarkTask.NotFound", f"Benchmark task [{name}] is not found.")
        return task

    def _find(self, region: str, name: str, now_s: float) -> Task | None:
        for task in reversed(self._tasks):
            if (task.region, task.name) == (region, name) and task.at(now_s).status != GONE:
                return task
        return None

    def _target(self, settings: TaskSettings, region: str, now_s: float) -> DeployedService | None:
        """The service that is to be benchmarked, None for one that is not of EAS."""
        name = settings.service_name
        if not name:
            _, found, name = urlsplit(settings.service_url).path.rpartition("/api/predict/")
            name = name.strip("/")
            host = urlsplit(settings.service_url).hostname or ""
            if not found or not host.endswith(f"{region}.pai-eas.aliyuncs.com"):
                return None
        return self._services.running(region, name, now_s)

    def _new_name(self, settings: TaskSettings, call: Call) -> str:
        host = (urlsplit(settings.service_url).hostname or "").replace(".", "-")
        target = settings.service_name or host
        attempt = len(self._tasks)
        while True:
            name = f"benchmark-{target}-{_digest(call.region, target, attempt)[:4]}"
            if not self._find(call.region, name, call.now_s):
                return name
            attempt += 1


def _done(task: Task, status: str) -> dict[str, Any]:
    return {"Message": f"Benchmark task [{task.name}] is {status}"}


def _digest(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
