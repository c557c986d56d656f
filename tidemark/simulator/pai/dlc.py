"""PAI-DLC 2020-12-03: jobs, their pods' logs and events, and the machines they run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tidemark.simulator.pai.bill import Bill
from tidemark.simulator.pai.job import Incarnation, Job, Pod, new_job_id
from tidemark.simulator.pai.job_events import Event, events, output
from tidemark.simulator.pai.job_life import TERMINAL
from tidemark.simulator.pai.job_listing import listed
from tidemark.simulator.pai.job_metrics import METRIC_TYPES, pod_metrics, step_s
from tidemark.simulator.pai.job_request import job_request
from tidemark.simulator.pai.job_script import JobScript
from tidemark.simulator.pai.job_views import job_item, job_view
from tidemark.simulator.pai.phases import parse_instant
from tidemark.simulator.pai.wire import Call, Handler, Route, Service, WireError, refuse
from tidemark.simulator.pai.world import MachineSpec, World

__all__ = ["DlcService"]

VERSION = "2020-12-03"
_WEEK_S = 7 * 86400.0
_MOST_LINES = 2000
_DRIVER = "535.161.08"
# In which a job's nodes are not decided on yet.
_WAITING = ("Creating", "Queuing", "EnvPreparing")


class DlcService(Service):
    """All jobs of all regions.

    `script` gives each new job its life, by its name. `runs_commands`: a real command decides
    how a job ends. `sorts_specs`: ListEcsSpecs takes `SortBy` CPU and GPU, which the service
    documents and refuses.
    """

    def __init__(
        self,
        world: World,
        bill: Bill,
        script: Callable[[str], JobScript],
        *,
        runs_commands: bool = False,
        sorts_specs: bool = False,
    ) -> None:
        self._world = world
        self._script = script
        self._runs_commands = runs_commands
        self._sorts_specs = sorts_specs
        self._jobs: dict[str, Job] = {}
        bill.add_provider(self._bill_lines)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs that were ever created, also deleted ones, the oldest first."""
        return tuple(self._jobs.values())

    def routes(self) -> list[Route]:
        """The operations of jobs and machines."""
        jobs, job = "/api/v1/jobs", "/api/v1/jobs/{JobId}"
        return [
            _route("CreateJob", "POST", jobs, self.create),
            _route("ListJobs", "GET", jobs, self.list_jobs),
            _route("GetJob", "GET", job, self.get),
            _route("UpdateJob", "PUT", job, self.update),
            _route("DeleteJob", "DELETE", job, self.delete),
            _route("StopJob", "POST", f"{job}/stop", self.stop),
            _route("GetJobEvents", "GET", f"{job}/events", self.job_events),
            _route("GetJobMetrics", "GET", f"{job}/metrics", self.metrics),
            _route("GetPodLogs", "GET", f"{job}/pods/{{PodId}}/logs", self.pod_logs),
            _route("GetPodEvents", "GET", f"{job}/pods/{{PodId}}/events", self.pod_events),
            _route("ListEcsSpecs", "GET", "/api/v1/ecsspecs", self.specs),
        ]

    def state(self) -> dict[str, Any]:
        """The jobs by id: name, region, status history."""
        return {
            "jobs": {
                job.job_id: {
                    "name": job.request.name,
                    "region": job.region,
                    "workspace_id": job.request.workspace_id,
                    "deleted": job.deleted_s is not None,
                    "segments": [
                        {"status": one.status, "start_s": one.start_s} for one in job.life.segments
                    ],
                }
                for job in self._jobs.values()
            }
        }

    def create(self, call: Call) -> dict[str, Any]:
        """CreateJob. There is no client token: two calls make two jobs."""
        request = job_request(call.document(), self._world)
        job = Job(
            job_id=new_job_id(),
            region=call.region,
            account_id=call.account_id or self._world.account_id,
            request=request,
            script=self._script(request.name),
            created_s=call.now_s,
            waits_for_exit=self._runs_commands,
        )
        self._jobs[job.job_id] = job
        return {"JobId": job.job_id}

    def get(self, call: Call) -> dict[str, Any]:
        """GetJob."""
        return job_view(self._job(call), call.now_s, detail=call.flag("NeedDetail", True))

    def list_jobs(self, call: Call) -> dict[str, Any]:
        """ListJobs."""
        found = listed(self._visible(call), call, self._world.default_workspace_id)
        _, _, page = call.page(found, size=10)
        return {"Jobs": [job_item(job, call.now_s) for job in page], "TotalCount": len(found)}

    def update(self, call: Call) -> dict[str, Any]:
        """UpdateJob. What comes too late or is not for such a job is accepted and changes nothing:
        Priority but of a quota job that waits, UserCommand and JobSpecs of any job."""
        job, body = self._job(call), call.document()
        accessibility = body.get("Accessibility")
        if accessibility not in (None, "", "PUBLIC", "PRIVATE"):
            refuse(400, "InvalidParameter", "The parameter Accessibility is not valid.")
        if accessibility == "PRIVATE" and job.document.get("Accessibility") == "PUBLIC":
            refuse(400, "InvalidParameter", "A public job cannot be made private.")
        if accessibility:
            job.changes["Accessibility"] = accessibility
        if isinstance(body.get("Description"), str):
            job.changes["Description"] = body["Description"]
        priority = body.get("Priority")
        if priority is not None:
            if isinstance(priority, bool) or priority not in range(1, 10):
                refuse(400, "InvalidParameter", "The parameter Priority must be from 1 to 9.")
            if job.request.resource_id and job.status(call.now_s) in _WAITING:
                job.changes["Priority"] = priority
        return {"JobId": job.job_id}

    def stop(self, call: Call) -> dict[str, Any]:
        """StopJob. The job is Stopping first. A job that has ended refuses it."""
        job = self._job(call)
        status = job.status(call.now_s)
        if status in TERMINAL:
            refuse(400, "BadRequest", f"Job {job.job_id} is {status} and cannot be stopped.")
        if status != "Stopping":
            job.stop(call.now_s)
        return {"JobId": job.job_id}

    def delete(self, call: Call) -> dict[str, Any]:
        """DeleteJob, once it has ended."""
        job = self._job(call)
        status = job.status(call.now_s)
        if status not in TERMINAL:
            refuse(400, "BadRequest", f"Job {job.job_id} is {status}; stop it before deleting it.")
        job.deleted_s = call.now_s
        return {"JobId": job.job_id}

    def pod_logs(self, call: Call) -> dict[str, Any]:
        """GetPodLogs: the last MaxLines of the time asked for."""
        job, pod, one = self._incarnation(call)
        start_s, end_s = _window(call, _WEEK_S)
        lines = [text for at_s, text in output(job, pod, one) if start_s <= at_s < end_s]
        most = call.number("MaxLines", _MOST_LINES, least=1)
        return {
            "JobId": job.job_id,
            "PodId": pod.pod_id,
            "PodUid": one.uid,
            "Logs": lines[-most:],
            "Containers": "main",
            "ContainerInfo": {"MainContainer": "main", "SidecarContainers": []},
        }

    def pod_events(self, call: Call) -> dict[str, Any]:
        """GetPodEvents."""
        job, pod, one = self._incarnation(call)
        wanted = call.query.get("PodUid")
        lines = _lines(
            call,
            (
                event
                for event in events(job, call.now_s)
                if event.pod_id == pod.pod_id and (not wanted or event.pod_uid == wanted)
            ),
        )
        return {"JobId": job.job_id, "PodId": pod.pod_id, "PodUid": one.uid, "Events": lines}

    def job_events(self, call: Call) -> dict[str, Any]:
        """GetJobEvents: those of the job and of all its pods."""
        job = self._job(call)
        return {"JobId": job.job_id, "Events": _lines(call, iter(events(job, call.now_s)))}

    def metrics(self, call: Call) -> dict[str, Any]:
        """GetJobMetrics."""
        job = self._job(call)
        metric = call.query.get("MetricType", "")
        if not metric:
            refuse(400, "MissingParameter", "The parameter MetricType is required.")
        if metric not in METRIC_TYPES:
            refuse(400, "InvalidParameter", "The specified parameter MetricType is not valid.")
        start_s, end_s = _window(call, 3600.0)
        every_s = step_s(call.query.get("TimeStep") or "5m")
        points = pod_metrics(
            job, metric, start_s=start_s, end_s=min(end_s, call.now_s), every_s=every_s
        )
        return {"JobId": job.job_id, "PodMetrics": points}

    def specs(self, call: Call) -> dict[str, Any]:
        """ListEcsSpecs: ten a page unless PageSize says otherwise."""
        found = list(self._world.specs)
        for name, field in (
            ("AcceleratorType", "accelerator_type"),
            ("ResourceType", "resource_type"),
        ):
            if call.query.get(name):
                found = [one for one in found if getattr(one, field) == call.query[name]]
        if call.query.get("InstanceTypes"):
            names = set(call.query["InstanceTypes"].split(","))
            found = [one for one in found if one.instance_type in names]
        found = self._sorted_specs(found, call)
        _, _, page = call.page(found, size=10)
        return {"EcsSpecs": [_spec(one) for one in page], "TotalCount": len(found)}

    def _sorted_specs(self, specs: list[MachineSpec], call: Call) -> list[MachineSpec]:
        by = call.query.get("SortBy")
        if not by or by == "GmtCreateTime":
            return specs
        keys = {"Memory": "memory_gib"}
        if self._sorts_specs:
            keys |= {"CPU": "cpu", "GPU": "gpu"}
        if by not in keys:
            refuse(400, "InvalidParameter", "The specified parameter SortBy is not valid.")
        descending = (call.query.get("Order") or "desc").lower() != "asc"
        return sorted(specs, key=lambda one: getattr(one, keys[by]), reverse=descending)

    def _visible(self, call: Call) -> Iterator[Job]:
        account_id = call.account_id or self._world.account_id
        for job in self._jobs.values():
            if (job.region, job.account_id, job.deleted_s) == (call.region, account_id, None):
                yield job

    def _job(self, call: Call) -> Job:
        job_id = call.path["JobId"]
        for job in self._visible(call):
            if job.job_id == job_id:
                return job
        raise WireError(404, "NotFound", f"The specified job {job_id} is not found.")

    def _incarnation(self, call: Call) -> tuple[Job, Pod, Incarnation]:
        """The pod that the path names, in the incarnation of PodUid, else in its latest."""
        job = self._job(call)
        uid = call.query.get("PodUid")
        for pod in job.pods():
            created = [one for one in pod.at(call.now_s) if not uid or one.uid == uid]
            if pod.pod_id == call.path["PodId"] and created:
                return job, pod, created[-1]
        raise WireError(404, "NotFound", f"The specified pod {call.path['PodId']} is not found.")

    def _bill_lines(self, now_s: float) -> Iterator[Any]:
        for job in self._jobs.values():
            yield from job.bill_lines(now_s)


def _route(action: str, method: str, path: str, handler: Handler) -> Route:
    return Route("pai-dlc", VERSION, action, method, path, handler)


def _window(call: Call, before_s: float) -> tuple[float, float]:
    """StartTime and EndTime, the latter with its whole second, or from `before_s` ago to now."""
    start, end = call.query.get("StartTime"), call.query.get("EndTime")
    return (
        parse_instant(start, "StartTime") if start else call.now_s - before_s,
        min(call.now_s, parse_instant(end, "EndTime")) + 1 if end else call.now_s + 1,
    )


def _lines(call: Call, found: Iterator[Event]) -> list[str]:
    start_s, end_s = _window(call, _WEEK_S)
    lines = [event.line() for event in found if start_s <= event.at_s < end_s]
    return lines[-call.number("MaxEventsNum", _MOST_LINES, least=1) :]


def _spec(machine: MachineSpec) -> dict[str, Any]:
    view: dict[str, Any] = {
        "InstanceType": machine.instance_type,
        "AcceleratorType": machine.accelerator_type,
        "ResourceType": machine.resource_type,
        "Cpu": machine.cpu,
        "Memory": machine.memory_gib,
        "Gpu": machine.gpu,
        "IsAvailable": machine.is_available,
        "PaymentTypes": [*machine.payment_types],
        "SpotStockStatus": machine.spot_stock_status,
    }
    if machine.gpu:
        view |= {
            "GpuType": machine.gpu_type,
            "GpuMemory": machine.gpu_memory_gib,
            "DefaultGPUDriver": _DRIVER,
            "SupportedGPUDrivers": [_DRIVER],
        }
    if machine.spot_discount is not None:
        view["NonProtectSpotDiscount"] = machine.spot_discount
    return view
