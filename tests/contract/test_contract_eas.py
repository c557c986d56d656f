"""EAS 2021-07-01: what the official SDK gets from the simulated service."""

from __future__ import annotations

import json
from typing import Any

import pytest
from alibabacloud_eas20210701 import models
from alibabacloud_tea_openapi.exceptions import ClientException
from contract_cloud import REGION, Cloud
from official import Official
from understood import understood

from tidemark.alibaba import eas

BODY: dict[str, Any] = {
    "base": {"name": "bench_1", "duration": 120, "qps": 50},
    "service": {"serviceName": "test_service", "requestToken": "test_token"},
    "data": {"content": "aGVsbG8="},
    "optional": {"mode": "manual", "concurrency": 4, "agentCount": 1, "duration": 120},
}


def create(sdk: Official, body: Any = BODY) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    return sdk.eas.create_benchmark_task(models.CreateBenchmarkTaskRequest(body=text))


@pytest.mark.drives(eas.CREATE_TASK, eas.DESCRIBE_TASK)
def test_a_stress_test_lives_before_the_sdk(cloud: Cloud, sdk: Official) -> None:
    made = understood(cloud, create(sdk))
    assert (made.task_name, made.region) == ("bench_1", REGION)
    assert made.message == "Benchmark task [bench_1] is Creating"
    statuses: list[str] = []
    for _ in range(60):
        task = understood(cloud, sdk.eas.describe_benchmark_task(REGION, "bench_1"))
        statuses += [task.status] if task.status not in statuses[-1:] else []
        cloud.clock.advance(5)
    assert statuses == ["Creating", "Starting", "Running", "Stopped"]
    assert (task.task_name, task.service_name) == ("bench_1", "test_service")
    assert task.task_id.startswith("eas-b-")
    assert (task.desired_agent, task.available_agent) == (1, 0)
    assert task.endpoint
    cloud.clock.advance(48 * 3600)
    with pytest.raises(ClientException) as gone:
        sdk.eas.describe_benchmark_task(REGION, "bench_1")
    assert gone.value.status_code == 404


def test_a_body_comes_as_the_text_it_was_given(cloud: Cloud, sdk: Official) -> None:
    understood(cloud, create(sdk, json.dumps(BODY, indent=2)))
    assert cloud.requests[-1].body.startswith(b'{\n  "base"')
    with pytest.raises(ClientException) as wrong:
        create(sdk, "no JSON")
    assert (wrong.value.status_code, wrong.value.code) == (400, "InvalidParameter")


@pytest.mark.drives(eas.DESCRIBE_REPORT)
def test_a_report_comes_as_figures_and_as_a_page(cloud: Cloud, sdk: Official) -> None:
    create(sdk)
    cloud.clock.advance(300)

    def report(kind: str) -> Any:
        request = models.DescribeBenchmarkTaskReportRequest(report_type=kind)
        return understood(cloud, sdk.eas.describe_benchmark_task_report(REGION, "bench_1", request))

    figures = report("RAW").data
    assert figures["Count"] == sum(figures["StatusCode"].values()) > 0
    assert len(figures["QPSList"]) == len(figures["TimestampList"]) == len(figures["RTList"])
    assert figures["RTList"][0]["TP10"] <= figures["RTList"][0]["TP99"]
    for kind in ("Report", "report"):
        assert report(kind).report_url.startswith("http")


@pytest.mark.drives(eas.UPDATE_TASK, eas.STOP_TASK, eas.START_TASK, eas.DELETE_TASK)
def test_a_stress_test_is_changed_stopped_started_and_deleted(cloud: Cloud, sdk: Official) -> None:
    create(sdk)
    cloud.clock.advance(60)
    change = models.UpdateBenchmarkTaskRequest(body=json.dumps({"base": {"qps": 200}}))
    steps = (
        ("Updating", lambda: sdk.eas.update_benchmark_task(REGION, "bench_1", change)),
        ("Stopping", lambda: sdk.eas.stop_benchmark_task(REGION, "bench_1")),
        ("Starting", lambda: sdk.eas.start_benchmark_task(REGION, "bench_1")),
        ("Deleting", lambda: sdk.eas.delete_benchmark_task(REGION, "bench_1")),
    )
    for doing, step in steps:
        body = understood(cloud, step())
        assert body.message == f"Benchmark task [bench_1] is {doing}"
        assert sdk.eas.describe_benchmark_task(REGION, "bench_1").body.status == doing
        cloud.clock.advance(15)
    with pytest.raises(ClientException) as gone:
        sdk.eas.stop_benchmark_task(REGION, "bench_1")
    assert gone.value.status_code == 404


@pytest.mark.drives(eas.LIST_TASKS)
def test_stress_tests_are_listed_in_pages(cloud: Cloud, sdk: Official) -> None:
    for number in range(3):
        create(sdk, {**BODY, "base": {"name": f"bench_{number}"}})
    request = models.ListBenchmarkTaskRequest(
        filter="bench", service_name="test_service", page_number="2", page_size="2"
    )
    page = understood(cloud, sdk.eas.list_benchmark_task(request))
    assert page.total_count == 3
    assert [task.task_name for task in page.tasks] == ["bench_0"]
    assert page.tasks[0].region == REGION
    assert page.tasks[0].create_time.endswith("Z")


@pytest.mark.drives(eas.DESCRIBE_SERVICE, eas.DESCRIBE_ENDPOINTS, eas.DESCRIBE_EVENTS)
def test_a_service_is_described(cloud: Cloud, sdk: Official) -> None:
    service = understood(cloud, sdk.eas.describe_service(REGION, "test_service"))
    assert (service.service_name, service.status) == ("test_service", "Running")
    assert (service.running_instance, service.total_instance) == (2, 2)
    assert service.access_token == "test_token"
    assert service.internet_endpoint.endswith("/api/predict/test_service")
    assert json.loads(service.service_config)["name"] == "test_service"
    found = understood(cloud, sdk.eas.describe_service_endpoints(REGION, "test_service"))
    assert found.access_token == "test_token"
    assert found.endpoints[0].internet_endpoints == [service.internet_endpoint]
    # Its beginning is more than the seven days ago that events are kept for.
    request = models.DescribeServiceEventRequest(
        start_time="2025-12-01T00:00:00Z", page_num="1", page_size="10"
    )
    events = understood(cloud, sdk.eas.describe_service_event(REGION, "test_service", request))
    assert events.total_count == len(events.events) >= 1
    assert events.events[0].reason == "Running"
    with pytest.raises(ClientException) as missing:
        sdk.eas.describe_service(REGION, "none")
    assert missing.value.code == "InvalidService.NotFound"


@pytest.mark.drives(eas.LIST_SERVICES)
def test_services_are_listed_by_labels(cloud: Cloud, sdk: Official) -> None:
    request = models.ListServicesRequest(
        label={"model": "Qwen3-8B"}, service_status="Running", page_number=1, page_size=5
    )
    page = understood(cloud, sdk.eas.list_services(request))
    assert [one.service_name for one in page.services] == ["qwen3_8b_chat"]
    assert {one.label_key: one.label_value for one in page.services[0].labels} == {
        "model": "Qwen3-8B",
        "framework": "vllm",
    }
    assert sdk.eas.list_services(models.ListServicesRequest(filter="chat")).body.total_count == 1
    other = models.ListServicesRequest(label={"model": "潮, 1=2"})
    assert sdk.eas.list_services(other).body.total_count == 0
