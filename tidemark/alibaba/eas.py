"""EAS: stress tests of inference services, and the services themselves (EAS 2021-07-01).

`Eas` takes an `Account`, or a `tidemark.alibaba.gateway.Gateway` for the stress tests alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from tidemark.alibaba.channel import Channel
from tidemark.alibaba.eas_answers import (
    FAILED_TASK_KEPT_S,
    STOPPED_TASK_KEPT_S,
    BenchmarkTask,
    CreatedTask,
    Service,
    ServiceEndpoints,
    ServiceEvent,
)
from tidemark.alibaba.eas_report import BenchmarkReport
from tidemark.alibaba.eas_requests import BenchmarkBody, BenchmarkUpdate
from tidemark.alibaba.eas_secrets import signatures_in, with_secrets
from tidemark.alibaba.endpoints import Product
from tidemark.alibaba.errors import InvalidRequestError, NotFoundError
from tidemark.alibaba.operations import JsonObject, Operation, Parameter
from tidemark.alibaba.paging import all_items
from tidemark.authorization import Authorization
from tidemark.errors import ConfigError
from tidemark.plan.problems import did_you_mean

__all__ = ["REPORT_TYPES", "Eas"]

REPORT_TYPES = ("RAW", "Report")

_TASKS = "/api/v2/benchmark-tasks"
_TASK = f"{_TASKS}/{{ClusterId}}/{{TaskName}}"
_SERVICES = "/api/v2/services"
_SERVICE = f"{_SERVICES}/{{ClusterId}}/{{ServiceName}}"
# Starting or updating a test puts load on a service that may scale, and so cost, with it.
CREATE_TASK = Operation(Product.EAS, "CreateBenchmarkTask", "POST", _TASKS, "creates")
START_TASK = Operation(Product.EAS, "StartBenchmarkTask", "PUT", f"{_TASK}/start", "creates")
UPDATE_TASK = Operation(Product.EAS, "UpdateBenchmarkTask", "PUT", _TASK, "creates")
STOP_TASK = Operation(Product.EAS, "StopBenchmarkTask", "PUT", f"{_TASK}/stop", "changes")
DELETE_TASK = Operation(Product.EAS, "DeleteBenchmarkTask", "DELETE", _TASK, "changes")
DESCRIBE_TASK = Operation(Product.EAS, "DescribeBenchmarkTask", "GET", _TASK)
DESCRIBE_REPORT = Operation(Product.EAS, "DescribeBenchmarkTaskReport", "GET", f"{_TASK}/report")
LIST_TASKS = Operation(Product.EAS, "ListBenchmarkTask", "GET", _TASKS)
DESCRIBE_SERVICE = Operation(Product.EAS, "DescribeService", "GET", _SERVICE)
LIST_SERVICES = Operation(Product.EAS, "ListServices", "GET", _SERVICES)
DESCRIBE_ENDPOINTS = Operation(
    Product.EAS, "DescribeServiceEndpoints", "GET", f"{_SERVICE}/endpoints"
)
DESCRIBE_EVENTS = Operation(Product.EAS, "DescribeServiceEvent", "GET", f"{_SERVICE}/events")

_PAGE_SIZE = 100
_KEPT = (
    f"Tasks are kept for {STOPPED_TASK_KEPT_S // 3600} hours after they end, and for "
    f"{FAILED_TASK_KEPT_S // 60} minutes after they fail: compare name and region, and fetch "
    "reports at once"
)


class Eas:
    """Stress tests and services of one account in one region.

    Every method raises AlibabaError. What can put load on a service, and so cost, needs an
    authorization. `cluster_id` is a region, by default that of the channel.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def create_benchmark_task(
        self,
        body: BenchmarkBody,
        *,
        authorization: Authorization,
        lend: Mapping[str, str] | None = None,
    ) -> CreatedTask:
        """Create a stress test, which begins by itself (CreateBenchmarkTask).

        The answer comes before the test does: `describe_benchmark_task` says how far it is.
        `lend` has the secrets behind `body.secrets`. An error whose `effect_unknown` is set may
        have left a test: look for `base.name`. Raises SecretError for a secret that was not lent.
        """
        sent, secrets = with_secrets(body.body(), lend or {})
        document = await self._channel.call(
            CREATE_TASK,
            body=sent,
            authorization=authorization,
            secrets=[*secrets, *signatures_in(sent)],
        )
        return CreatedTask.of(document, "CreateBenchmarkTask")

    async def list_benchmark_tasks(
        self, *, text: str | None = None, service_name: str | None = None
    ) -> list[BenchmarkTask]:
        """The tests that are there, of all pages (ListBenchmarkTask).

        `text` is looked for by the service in names of tests and services.
        """
        found = await all_items(
            self._channel,
            LIST_TASKS,
            items="Tasks",
            key=("Region", "TaskName"),
            query={"Filter": text, "ServiceName": service_name},
            page_size=_PAGE_SIZE,
        )
        tasks = [BenchmarkTask.of(each, "ListBenchmarkTask") for each in found]
        return [task for task in tasks if service_name in (None, task.service_name)]

    async def describe_benchmark_task(
        self, task_name: str, *, cluster_id: str | None = None
    ) -> BenchmarkTask:
        """A test (DescribeBenchmarkTask). Raises NotFoundError for one that is not there, also
        when it has not been kept."""
        document = await self._of_task(DESCRIBE_TASK, task_name, cluster_id)
        return BenchmarkTask.of(document, "DescribeBenchmarkTask")

    async def get_report(
        self, task_name: str, report_type: str = "RAW", *, cluster_id: str | None = None
    ) -> BenchmarkReport:
        """The report of a test (DescribeBenchmarkTaskReport), of a part while it runs.

        `report_type` is RAW for figures, Report for the URL of a page, in any case. Raises
        NotFoundError before anything was measured, and when the test has not been kept.
        """
        known = {name.casefold(): name for name in REPORT_TYPES}
        if report_type.casefold() not in known:
            remedy = did_you_mean(report_type, REPORT_TYPES)
            raise ConfigError("is no type of a report", "report_type", remedy)
        query = {"ReportType": known[report_type.casefold()]}
        document = await self._of_task(DESCRIBE_REPORT, task_name, cluster_id, query=query)
        return BenchmarkReport.of(document, "DescribeBenchmarkTaskReport")

    async def start_benchmark_task(
        self, task_name: str, *, authorization: Authorization, cluster_id: str | None = None
    ) -> None:
        """Run a test that has ended once more (StartBenchmarkTask)."""
        await self._of_task(START_TASK, task_name, cluster_id, authorization=authorization)

    async def update_benchmark_task(
        self,
        task_name: str,
        changes: BenchmarkUpdate,
        *,
        authorization: Authorization,
        lend: Mapping[str, str] | None = None,
        cluster_id: str | None = None,
    ) -> None:
        """Change the load of a test, in the middle of a run or for the next one
        (UpdateBenchmarkTask). `lend` has the secrets behind `changes.secrets`."""
        sent, secrets = with_secrets(changes.body(), lend or {})
        await self._of_task(
            UPDATE_TASK,
            task_name,
            cluster_id,
            body=sent,
            authorization=authorization,
            secrets=secrets,
        )

    async def stop_benchmark_task(
        self, task_name: str, *, cluster_id: str | None = None
    ) -> BenchmarkTask:
        """Ask a test to stop, and return it as it is then (StopBenchmarkTask).

        One that has ended already is no error. Stopping takes a while: see that it has stopped.
        """
        try:
            await self._of_task(STOP_TASK, task_name, cluster_id)
        except InvalidRequestError:
            task = await self.describe_benchmark_task(task_name, cluster_id=cluster_id)
            if not task.is_terminal and task.status != "Stopping":
                raise
            return task
        return await self.describe_benchmark_task(task_name, cluster_id=cluster_id)

    async def delete_benchmark_task(self, task_name: str, *, cluster_id: str | None = None) -> None:
        """Delete a test with its report (DeleteBenchmarkTask). One that is not there is no
        error."""
        try:
            await self._of_task(DELETE_TASK, task_name, cluster_id)
        except NotFoundError as error:
            if error.code.startswith("InvalidAction"):
                raise

    async def describe_service(self, service_name: str) -> Service:
        """A service (DescribeService); its access token is masked."""
        document = await self._channel.call(DESCRIBE_SERVICE, parts=self._service(service_name))
        return Service.of(document, "DescribeService")

    async def list_services(
        self,
        *,
        text: str | None = None,
        service_name: str | None = None,
        service_status: str | None = None,
        service_type: str | None = None,
        group_name: str | None = None,
        workspace_id: str | None = None,
        quota_id: str | None = None,
        resource_name: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> list[Service]:
        """The services of the region, of all pages (ListServices).

        `text` is looked for in their names; the other filters are exact, `labels` all have to fit.
        """
        found = await all_items(
            self._channel,
            LIST_SERVICES,
            items="Services",
            key=("Region", "ServiceName"),
            query={
                "Filter": text,
                "ServiceName": service_name,
                "ServiceStatus": service_status,
                "ServiceType": service_type,
                "GroupName": group_name,
                "WorkspaceId": workspace_id,
                "QuotaId": quota_id,
                "ResourceName": resource_name,
                "Label": dict(labels) if labels else None,
            },
            page_size=_PAGE_SIZE,
        )
        services = [Service.of(each, "ListServices") for each in found]
        return [
            service
            for service in services
            if service_name in (None, service.service_name)
            and service_status in (None, service.status)
        ]

    async def describe_service_endpoints(self, service_name: str) -> ServiceEndpoints:
        """Where a service answers, and its access token (DescribeServiceEndpoints)."""
        document = await self._channel.call(DESCRIBE_ENDPOINTS, parts=self._service(service_name))
        return ServiceEndpoints.of(document, "DescribeServiceEndpoints")

    async def describe_service_events(
        self,
        service_name: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        event_type: str | None = None,
        instance_name: str | None = None,
    ) -> list[ServiceEvent]:
        """What happened to a service, of all pages (DescribeServiceEvent)."""
        found = await all_items(
            self._channel,
            DESCRIBE_EVENTS,
            items="Events",
            key=("Time", "Type", "Reason", "Message"),
            parts=self._service(service_name),
            query={
                "StartTime": since,
                "EndTime": until,
                "EventType": event_type,
                "InstanceName": instance_name,
            },
            page_size=_PAGE_SIZE,
            number_name="PageNum",
        )
        return [ServiceEvent.of(each, "DescribeServiceEvent") for each in found]

    def _service(self, name: str) -> dict[str, str]:
        return {"ClusterId": self._channel.region, "ServiceName": name}

    async def _of_task(
        self,
        operation: Operation,
        task_name: str,
        cluster_id: str | None,
        *,
        query: Mapping[str, Parameter] | None = None,
        body: Mapping[str, object] | None = None,
        authorization: Authorization | None = None,
        secrets: Sequence[str] = (),
    ) -> JsonObject:
        parts = {"ClusterId": cluster_id or self._channel.region, "TaskName": task_name}
        try:
            return await self._channel.call(
                operation,
                parts=parts,
                query=query,
                body=body,
                authorization=authorization,
                secrets=secrets,
            )
        except NotFoundError as error:
            if not error.code.startswith("InvalidAction"):
                error.remedy = _KEPT
            raise
