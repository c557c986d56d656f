"""DLC: jobs in containers, their specs, logs, events and metrics (PAI-DLC 2020-12-03)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from tidemark.alibaba.channel import Channel
from tidemark.alibaba.dlc_answers import EcsSpec, Event, Job, JobMetrics, JobPage, PodLogs
from tidemark.alibaba.dlc_requests import CreateJob
from tidemark.alibaba.dlc_status import JobStatus, Phase, phase_of
from tidemark.alibaba.endpoints import Product
from tidemark.alibaba.errors import InvalidRequestError, NoAnswerError, NotFoundError
from tidemark.alibaba.operations import JsonObject, Operation, Parameter
from tidemark.alibaba.paging import all_items
from tidemark.authorization import Authorization
from tidemark.errors import ConfigError, SecretError
from tidemark.plan.problems import did_you_mean

__all__ = ["METRIC_TYPES", "Dlc", "JobQuery", "MetricType"]

MetricType = Literal[
    "GpuCoreUsage",
    "GpuMemoryUsage",
    "CpuCoreUsage",
    "MemoryUsage",
    "NetworkInputRate",
    "NetworkOutputRate",
    "DiskReadRate",
    "DiskWriteRate",
]
METRIC_TYPES: tuple[MetricType, ...] = MetricType.__args__  # type: ignore[attr-defined]

_JOBS = "/api/v1/jobs"
_JOB = f"{_JOBS}/{{JobId}}"
LIST_ECS_SPECS = Operation(Product.DLC, "ListEcsSpecs", "GET", "/api/v1/ecsspecs")
CREATE_JOB = Operation(Product.DLC, "CreateJob", "POST", _JOBS, "creates")
GET_JOB = Operation(Product.DLC, "GetJob", "GET", _JOB)
LIST_JOBS = Operation(Product.DLC, "ListJobs", "GET", _JOBS)
STOP_JOB = Operation(Product.DLC, "StopJob", "POST", f"{_JOB}/stop", "changes")
DELETE_JOB = Operation(Product.DLC, "DeleteJob", "DELETE", _JOB, "changes")
GET_POD_LOGS = Operation(Product.DLC, "GetPodLogs", "GET", f"{_JOB}/pods/{{PodId}}/logs")
GET_POD_EVENTS = Operation(Product.DLC, "GetPodEvents", "GET", f"{_JOB}/pods/{{PodId}}/events")
GET_JOB_EVENTS = Operation(Product.DLC, "GetJobEvents", "GET", f"{_JOB}/events")
GET_JOB_METRICS = Operation(Product.DLC, "GetJobMetrics", "GET", f"{_JOB}/metrics")

# ListJobs looks seven days back unless it is told otherwise; jobs are kept longer.
_FAR_BACK = timedelta(days=365)
_PAGE_SIZE = 100


class JobQuery:
    """Names of ListJobs' filters, in this package's spelling, and in the service's."""

    NAMES: Mapping[str, str] = {
        "workspace_id": "WorkspaceId",
        "display_name": "DisplayName",
        "status": "Status",
        "job_ids": "JobIds",
        "job_type": "JobType",
        "resource_id": "ResourceId",
        "payment_type": "PaymentType",
        "tags": "Tags",
        "show_own": "ShowOwn",
        "from_all_workspaces": "FromAllWorkspaces",
        "sort_by": "SortBy",
        "order": "Order",
    }


class Dlc:
    """Jobs of one account in one region.

    Every method raises AlibabaError. What creates needs an authorization; what reads does not.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def list_ecs_specs(
        self,
        *,
        accelerator_type: Literal["CPU", "GPU"] | None = None,
        resource_type: Literal["ECS", "Lingjun"] | None = None,
        instance_types: Sequence[str] = (),
    ) -> list[EcsSpec]:
        """The instance types on offer, of all pages, in the service's order (ListEcsSpecs).

        Filters are applied here too. The service's own sorting refuses documented values, so it
        is never asked for: sort the list.
        """
        if accelerator_type is not None:
            _check_word("accelerator_type", accelerator_type, ("CPU", "GPU"))
        if resource_type is not None:
            _check_word("resource_type", resource_type, ("ECS", "Lingjun"))
        found = await all_items(
            self._channel,
            LIST_ECS_SPECS,
            items="EcsSpecs",
            key="InstanceType",
            query={
                "AcceleratorType": accelerator_type,
                "ResourceType": resource_type,
                "InstanceTypes": list(instance_types) or None,
            },
            page_size=_PAGE_SIZE,
        )
        specs = [EcsSpec.of(each, "ListEcsSpecs") for each in found]
        return [
            spec
            for spec in specs
            if (accelerator_type is None or spec.accelerator_type.upper() == accelerator_type)
            and (not instance_types or spec.instance_type in instance_types)
        ]

    async def create_job(
        self,
        request: CreateJob,
        *,
        authorization: Authorization,
        lend: Mapping[str, str] | None = None,
    ) -> str:
        """Create a job and return its id (CreateJob). It may be billed from now on.

        Nothing protects a second call from creating a second job: use
        `tidemark.alibaba.adoption.adopt_or_create`. `lend` has the secrets behind the references
        in the request. An error whose `effect_unknown` is set may have left a job.
        """
        body, secrets = _with_secrets(request, lend or {})
        document = await self._channel.call(
            CREATE_JOB, body=body, authorization=authorization, secrets=secrets
        )
        job_id = document.get("JobId")
        if not isinstance(job_id, str) or not job_id:
            raise NoAnswerError("CreateJob was answered without a JobId", "CreateJob", sent=True)
        return job_id

    async def get_job(self, job_id: str, *, need_detail: bool = True) -> Job:
        """A job (GetJob). Raises NotFoundError for one that is not there."""
        document = await self._channel.call(
            GET_JOB, parts={"JobId": job_id}, query={"NeedDetail": need_detail}
        )
        return Job.of(document, "GetJob")

    async def list_jobs(
        self,
        *,
        page_number: int = 1,
        page_size: int = 10,
        since: datetime | None = None,
        until: datetime | None = None,
        **filters: Parameter,
    ) -> JobPage:
        """One page of jobs (ListJobs); `filters` are those of `JobQuery`.

        Without `since` the service shows seven days. `display_name` finds names that contain it,
        in any case.
        """
        query = self._job_query(filters, since, until)
        document = await self._channel.call(
            LIST_JOBS, query={**query, "PageNumber": page_number, "PageSize": page_size}
        )
        return JobPage.of(document, "ListJobs")

    async def all_jobs(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        **filters: Parameter,
    ) -> list[Job]:
        """The jobs of all pages; without `since`, of the last year rather than of seven days.

        Without `workspace_id` the caller's own jobs of all workspaces: the service would show
        the default workspace only.
        """
        return await self._all_jobs(filters, since, until)

    async def jobs_by_id(
        self, job_ids: Iterable[str], *, workspace_id: str | None = None
    ) -> dict[str, Job]:
        """The jobs of these ids by id, with one call for each hundred of them.

        Looks where `all_jobs` does. What is not there is missing, and what was created a moment
        ago may be.
        """
        ids = list(dict.fromkeys(job_ids))
        found: dict[str, Job] = {}
        for start in range(0, len(ids), _PAGE_SIZE):
            some = ids[start : start + _PAGE_SIZE]
            filters: dict[str, Parameter] = {"job_ids": some, "workspace_id": workspace_id or None}
            jobs = await self._all_jobs(filters, None, None, wanted=len(some))
            found |= {job.job_id: job for job in jobs}
        return found

    async def _all_jobs(
        self,
        filters: Mapping[str, Parameter],
        since: datetime | None,
        until: datetime | None,
        wanted: int | None = None,
    ) -> list[Job]:
        since = since or self._now() - _FAR_BACK
        if not filters.get("workspace_id"):
            filters = {**filters, "from_all_workspaces": True, "show_own": True}
        found = await all_items(
            self._channel,
            LIST_JOBS,
            items="Jobs",
            key="JobId",
            query=self._job_query(filters, since, until),
            page_size=_PAGE_SIZE,
            wanted=wanted,
        )
        return [Job.of(each, "ListJobs") for each in found]

    async def find_jobs(
        self,
        *,
        display_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        workspace_id: str | None = None,
        since: datetime | None = None,
    ) -> list[Job]:
        """Jobs of exactly this name and with all these tags, oldest first.

        The service's search is fuzzy and looks seven days back; this one is exact, and a year.
        """
        jobs = await self.all_jobs(
            since=since,
            display_name=display_name,
            tags=dict(tags) if tags else None,
            workspace_id=workspace_id,
        )
        # A list may come without settings: then the service's own filter is believed.
        exact = [
            job
            for job in jobs
            if (display_name is None or job.display_name == display_name)
            and (not tags or job.settings is None or tags.items() <= job.tags.items())
        ]
        return sorted(exact, key=Job.age_key)

    async def stop_job(self, job_id: str) -> Job:
        """Ask a job to stop, and return it as it is then (StopJob, GetJob).

        A job that has ended already is no error: it is as it was wanted. Stopping takes a while:
        see that it has stopped.
        """
        try:
            await self._channel.call(STOP_JOB, parts={"JobId": job_id})
        except InvalidRequestError:
            job = await self.get_job(job_id)
            if not job.is_terminal:
                raise
            return job
        return await self.get_job(job_id)

    async def delete_job(self, job_id: str) -> None:
        """Delete a job that has ended (DeleteJob). One that is not there is no error."""
        try:
            await self._channel.call(DELETE_JOB, parts={"JobId": job_id})
        except NotFoundError as error:
            if error.code.startswith("InvalidAction"):
                raise

    async def get_pod_logs(
        self,
        job_id: str,
        pod_id: str,
        *,
        max_lines: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        pod_uid: str | None = None,
    ) -> PodLogs:
        """What a pod printed (GetPodLogs): 2,000 lines of seven days unless told otherwise."""
        document = await self._channel.call(
            GET_POD_LOGS,
            parts={"JobId": job_id, "PodId": pod_id},
            query={
                "MaxLines": max_lines,
                "StartTime": _moment(since),
                "EndTime": _moment(until),
                "PodUid": pod_uid,
            },
        )
        return PodLogs.of(document, "GetPodLogs")

    async def get_pod_events(
        self,
        job_id: str,
        pod_id: str,
        *,
        max_events: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Event]:
        """What happened to a pod, image pulls among it (GetPodEvents)."""
        document = await self._channel.call(
            GET_POD_EVENTS,
            parts={"JobId": job_id, "PodId": pod_id},
            query={
                "MaxEventsNum": max_events,
                "StartTime": _moment(since),
                "EndTime": _moment(until),
            },
        )
        return _events(document)

    async def get_job_events(
        self,
        job_id: str,
        *,
        max_events: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Event]:
        """What happened to a job and all its pods (GetJobEvents)."""
        document = await self._channel.call(
            GET_JOB_EVENTS,
            parts={"JobId": job_id},
            query={
                "MaxEventsNum": max_events,
                "StartTime": _moment(since),
                "EndTime": _moment(until),
            },
        )
        return _events(document)

    async def get_job_metrics(
        self,
        job_id: str,
        metric_type: MetricType,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        time_step: str | None = None,
    ) -> JobMetrics:
        """One metric of every pod (GetJobMetrics): the last hour in steps of "5m" by default."""
        _check_word("metric_type", metric_type, METRIC_TYPES)
        document = await self._channel.call(
            GET_JOB_METRICS,
            parts={"JobId": job_id},
            query={
                "MetricType": metric_type,
                "StartTime": _moment(since),
                "EndTime": _moment(until),
                "TimeStep": time_step,
            },
        )
        return JobMetrics.of(document, "GetJobMetrics")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._channel.time_s(), UTC)

    def _job_query(
        self,
        filters: Mapping[str, Parameter],
        since: datetime | None,
        until: datetime | None,
    ) -> dict[str, Parameter]:
        for name in filters:
            _check_word("filter", name, JobQuery.NAMES)
        status = filters.get("status")
        if isinstance(status, str) and phase_of(status) is Phase.UNKNOWN:
            # One that this version does not know is asked for; one that is misspelled is not.
            near = did_you_mean(status, JobStatus)
            if near.startswith("Did"):
                raise ConfigError("is no status of a job", f"status: {status}", near)
        named = {JobQuery.NAMES[name]: value for name, value in filters.items()}
        return {**named, "StartTime": _moment(since), "EndTime": _moment(until)}


def _check_word(where: str, word: str, known: Iterable[str]) -> None:
    words = list(known)
    if word not in words:
        what = f"is none of {', '.join(words)}"
        raise ConfigError(what, f"{where}: {word}", did_you_mean(word, words))


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _events(document: JsonObject) -> list[Event]:
    found = document.get("Events")
    return [Event.parse(str(each)) for each in found] if isinstance(found, list) else []


def _with_secrets(request: CreateJob, lent: Mapping[str, str]) -> tuple[JsonObject, list[str]]:
    """The body with the secrets that it refers to, and those secrets."""
    body = request.body()
    secrets = []
    specs = body["JobSpecs"]
    assert isinstance(specs, list)
    for spec in specs:
        config = spec.get("ImageConfig")
        if isinstance(config, dict):
            reference = str(config["Password"])
            if reference not in lent:
                raise SecretError(
                    "is needed for the registry and was not lent",
                    reference,
                    "Resolve the request's registry_secrets and pass them as `lend`",
                )
            config["Password"] = lent[reference]
            secrets.append(lent[reference])
    return body, secrets
