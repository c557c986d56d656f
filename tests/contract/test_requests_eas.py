"""EAS: our requests are those of the official SDK."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from alibabacloud_eas20210701 import models
from alike import AWKWARD, LEAVE, Both, Pair, assert_alike
from contract_cloud import REGION

from tidemark.alibaba import eas
from tidemark.alibaba.eas import Eas
from tidemark.alibaba.eas_requests import BenchmarkBody, BenchmarkUpdate
from tidemark.alibaba.operations import Operation

BODY: dict[str, Any] = {
    "base": {"name": "bench_1", "duration": 600, "qps": 100, "concurrency": 4, "agentCount": 2},
    "service": {"serviceName": "test_service", "requestToken": "env:EXAMPLE_TOKEN"},
    "data": {"path": "https://example.com/a%20b/潮.zip?x=1&y=", "dataType": "binary"},
    "http": {"headers": ['X-Note:潮 "quoted"'], "timeout": 30000},
    "optional": {"mode": "auto", "maxRT": 100, "faultTolerate": 0.01, "unknown": {"deep": [1, {}]}},
}
SENT = {**BODY, "service": {**BODY["service"], "requestToken": "example token"}}
CHANGE = {"base": {"qps": 200}, "optional": {"concurrency": 4, "agentCount": 2}}


def _pair(
    operation: Operation,
    case: str,
    by_sdk: Callable[[Any], object],
    by_us: Callable[[Eas], Any],
) -> Pair:
    return Pair(operation, case, lambda sdk: by_sdk(sdk.eas), lambda account: by_us(Eas(account)))


def _of_names(name: str) -> list[Pair]:
    """Every operation on one stress test or service, of a name that has to be encoded."""
    report = models.DescribeBenchmarkTaskReportRequest(report_type="RAW")
    update = models.UpdateBenchmarkTaskRequest(body=json.dumps(CHANGE))
    events = models.DescribeServiceEventRequest(
        start_time="2026-01-02T03:04:05Z",
        event_type="Normal",
        instance_name=name,
        page_num="1",
        page_size="100",
    )
    return [
        _pair(
            eas.DESCRIBE_TASK,
            name,
            lambda sdk: sdk.describe_benchmark_task(REGION, name),
            lambda client: client.describe_benchmark_task(name),
        ),
        _pair(
            eas.DESCRIBE_REPORT,
            name,
            lambda sdk: sdk.describe_benchmark_task_report(REGION, name, report),
            lambda client: client.get_report(name, "raw"),
        ),
        _pair(
            eas.UPDATE_TASK,
            name,
            lambda sdk: sdk.update_benchmark_task(REGION, name, update),
            lambda client: client.update_benchmark_task(
                name, BenchmarkUpdate.read(CHANGE), authorization=LEAVE
            ),
        ),
        _pair(
            eas.START_TASK,
            name,
            lambda sdk: sdk.start_benchmark_task(REGION, name),
            lambda client: client.start_benchmark_task(name, authorization=LEAVE),
        ),
        _pair(
            eas.STOP_TASK,
            name,
            lambda sdk: sdk.stop_benchmark_task("cn-shanghai", name),
            lambda client: client.stop_benchmark_task(name, cluster_id="cn-shanghai"),
        ),
        _pair(
            eas.DELETE_TASK,
            name,
            lambda sdk: sdk.delete_benchmark_task(REGION, name),
            lambda client: client.delete_benchmark_task(name),
        ),
        _pair(
            eas.DESCRIBE_SERVICE,
            name,
            lambda sdk: sdk.describe_service(REGION, name),
            lambda client: client.describe_service(name),
        ),
        _pair(
            eas.DESCRIBE_ENDPOINTS,
            name,
            lambda sdk: sdk.describe_service_endpoints(REGION, name),
            lambda client: client.describe_service_endpoints(name),
        ),
        _pair(
            eas.DESCRIBE_EVENTS,
            name,
            lambda sdk: sdk.describe_service_event(REGION, name, events),
            lambda client: client.describe_service_events(
                name,
                since=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
                event_type="Normal",
                instance_name=name,
            ),
        ),
        _pair(
            eas.LIST_TASKS,
            name,
            lambda sdk: sdk.list_benchmark_task(
                models.ListBenchmarkTaskRequest(
                    filter=name, service_name="", page_number="1", page_size="100"
                )
            ),
            lambda client: client.list_benchmark_tasks(text=name, service_name=""),
        ),
        _pair(
            eas.LIST_SERVICES,
            name,
            lambda sdk: sdk.list_services(
                models.ListServicesRequest(
                    filter=name,
                    label={"model": name, name: ""},
                    group_name=name,
                    service_status="Running",
                    page_number=1,
                    page_size=100,
                )
            ),
            lambda client: client.list_services(
                text=name,
                labels={"model": name, name: ""},
                group_name=name,
                service_status="Running",
            ),
        ),
    ]


CREATED = _pair(
    eas.CREATE_TASK,
    "all sections",
    lambda sdk: sdk.create_benchmark_task(
        models.CreateBenchmarkTaskRequest(body=json.dumps(SENT, ensure_ascii=False))
    ),
    lambda client: client.create_benchmark_task(
        BenchmarkBody.read(BODY),
        authorization=LEAVE,
        lend={"env:EXAMPLE_TOKEN": "example token"},
    ),
)
PAIRS = [CREATED, *(pair for text in AWKWARD for pair in _of_names(text))]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_requests_are_alike(pair: Pair, both: Both) -> None:
    await assert_alike(pair, both)
