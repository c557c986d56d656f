"""Stress tests and services: from creation to report, what is kept for how long, what is hidden."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cloud import LEAVE, Cloud, cloud

from tidemark.alibaba.account import Account
from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.dlc_status import Phase
from tidemark.alibaba.eas import Eas
from tidemark.alibaba.eas_answers import (
    FAILED_TASK_KEPT_S,
    STOPPED_TASK_KEPT_S,
    CreatedTask,
    TaskStatus,
    task_phase_of,
)
from tidemark.alibaba.eas_report import TIMED_OUT_STATUS, BenchmarkReport, RawReport
from tidemark.alibaba.eas_requests import BenchmarkBody, BenchmarkUpdate
from tidemark.alibaba.errors import (
    InvalidRequestError,
    NoAnswerError,
    NotFoundError,
    ServiceError,
)
from tidemark.errors import ConfigError, RefusedError
from tidemark.simulator.clock import VirtualClock
from tidemark.simulator.pai.eas_benchmarks import EasBenchmarks
from tidemark.simulator.pai.eas_task import TaskScript

CANARY = "canary-token-9f2c77d1"
SIGNATURE = "canary-signature-51ab"
LENT = {"env:SERVICE_TOKEN": "test_token"}


def body(name: str = "tidemark-1", **sections: Any) -> BenchmarkBody:
    return BenchmarkBody.read(
        {
            "base": {"name": name, "duration": 60},
            "service": {"serviceName": "test_service", "requestToken": "env:SERVICE_TOKEN"},
            "data": {"path": "oss://example-bucket/data.bin"},
            **sections,
        }
    )


async def create(here: Cloud, name: str = "tidemark-1", **sections: Any) -> CreatedTask:
    return await Eas(here.account).create_benchmark_task(
        body(name, **sections), authorization=LEAVE, lend=LENT
    )


def script(here: Cloud, **life: Any) -> None:
    for service in here.simulator.services:
        if isinstance(service, EasBenchmarks):
            service.script(TaskScript(**life))


def answering(answer: httpx.Response) -> Eas:
    """A client of a service that always answers the same."""
    account = Account(
        StaticCredentials.of("LTAIexample", "example-secret"),
        "cn-hangzhou",
        endpoints="http://pai.simulator",
        transport=httpx.MockTransport(lambda _: answer),
        clock=VirtualClock(jump=True),
        settings=ChannelSettings(calls_per_s=10_000),
    )
    return Eas(account)


async def test_a_test_runs_from_creation_to_its_report() -> None:
    here = cloud()
    eas = Eas(here.account)
    created = await create(here)
    assert created.task_name == "tidemark-1"
    assert created.region == "cn-hangzhou"
    assert "Creating" in created.message
    assert created.request_id
    seen = []
    while True:
        task = await eas.describe_benchmark_task("tidemark-1")
        seen.append(task.phase)
        if task.is_terminal:
            break
        await here.clock.sleep(10)
    assert list(dict.fromkeys(seen)) == [Phase.PENDING, Phase.ACTIVE, Phase.TERMINAL]
    assert task.status == "Stopped"
    assert not task.failed
    report = (await eas.get_report("tidemark-1")).data
    assert report is not None
    assert report.count == sum(report.status_code.values()) > 0
    assert len(report.timestamp_list) == len(report.qps_list) == len(report.rt_list)
    assert report.rt_list[0].tp50_ms <= report.rt_list[0].tp99_ms  # type: ignore[operator]
    assert report.traffic_list[0].send_bytes > 0  # type: ignore[operator]
    assert report.min_rt_ms <= report.avg_rt_ms <= report.max_rt_ms  # type: ignore[operator]
    assert report.latency_ms(50) <= report.latency_ms(99)  # type: ignore[operator]
    assert report.latency_ms(12.34) is None
    assert sum(each.count or 0 for each in report.rt_histogram) == report.count


async def test_reports_are_asked_for_in_any_case() -> None:
    here = cloud()
    await create(here)
    await here.clock.sleep(200)
    eas = Eas(here.account)
    for text in ("RAW", "raw", "Raw"):
        report = await eas.get_report("tidemark-1", text)
        assert report.data is not None
        assert report.report_url == ""
    for text in ("Report", "report", "REPORT"):
        report = await eas.get_report("tidemark-1", text)
        assert report.data is None
        assert report.report_url.startswith("http://eas-benchmark.oss-cn-hangzhou")
        assert report.report_url not in repr(report)
    assert {call["query"]["ReportType"] for call in here.calls("DescribeBenchmarkTaskReport")} == {
        "RAW",
        "Report",
    }
    with pytest.raises(ConfigError, match=r"Did you mean Report\?"):
        await eas.get_report("tidemark-1", "reports")


async def test_a_report_before_anything_was_measured_is_not_found() -> None:
    here = cloud()
    await create(here)
    with pytest.raises(NotFoundError, match=r"48 hours after they end"):
        await Eas(here.account).get_report("tidemark-1")


def test_figures_may_come_as_text_and_with_holes() -> None:
    data = {
        "QPSList": [1, 2.5, None],
        "RTList": [{"AVG": "3.5", "TP99": 9}],
        "StatusCode": {"200": 90, "450": 4, TIMED_OUT_STATUS: 6},
        "Count": "100",
        "MinRT": None,
        "RTDistribution": [{"Latency": 5, "Percentage": 50}, {"Latency": 9, "Percentage": 99}],
        "NewField": [1],
    }
    for given in (data, json.dumps(data)):
        report = BenchmarkReport.of({"Data": given, "RequestId": "r"}, "Report").data
        assert report is not None
        assert report.qps_list == (1.0, 2.5, None)
        assert report.rt_list[0].avg_ms == 3.5
        assert report.rt_list[0].tp50_ms is None
        assert report.failed_count == 10
        assert report.count == 100.0
        assert report.min_rt_ms is None
        assert report.latency_ms(99) == 9
        assert report.model_extra == {"NewField": [1]}
    for nothing in (None, "", {}, []):
        assert BenchmarkReport.of({"Data": nothing}, "Report").data is None
    assert RawReport.of({"StatusCode": None}, "Report").failed_count == 0
    for broken in ("{", "5", [1], {"StatusCode": 5}):
        with pytest.raises(NoAnswerError):
            BenchmarkReport.of({"Data": broken}, "Report")


async def test_what_has_ended_is_kept_for_two_days_and_then_the_advice_says_so() -> None:
    here = cloud()
    eas = Eas(here.account)
    await create(here)
    await here.clock.sleep(100)
    assert (await eas.describe_benchmark_task("tidemark-1")).is_terminal
    await here.clock.sleep(STOPPED_TASK_KEPT_S - 200)
    assert (await eas.get_report("tidemark-1")).data is not None
    await here.clock.sleep(300)
    for ask in (eas.describe_benchmark_task, eas.get_report, eas.stop_benchmark_task):
        with pytest.raises(NotFoundError) as caught:
            await ask("tidemark-1")
        assert "kept for 48 hours after they end, and for 10 minutes after they fail" in str(
            caught.value
        )


async def test_what_has_failed_says_why_for_ten_minutes() -> None:
    here = cloud()
    script(here, fail="Error", fail_after_s=5, message="the service refused every request")
    eas = Eas(here.account)
    await create(here)
    await here.clock.sleep(60)
    task = await eas.describe_benchmark_task("tidemark-1")
    assert (task.status, task.failed, task.is_terminal) == ("Error", True, True)
    assert task.message == "the service refused every request"
    await here.clock.sleep(FAILED_TASK_KEPT_S)
    with pytest.raises(NotFoundError):
        await eas.describe_benchmark_task("tidemark-1")


def test_every_documented_status_has_a_phase_and_others_are_unknown() -> None:
    for status in TaskStatus:
        assert task_phase_of(status) is not Phase.UNKNOWN
    terminal = {status for status in TaskStatus if task_phase_of(status) is Phase.TERMINAL}
    assert terminal == {
        "Stopped",
        "Error",
        "CreateFailed",
        "UpdateFailed",
        "DeleteFailed",
        "Terminated",
    }
    assert task_phase_of("Hibernating") is Phase.UNKNOWN
    assert task_phase_of("") is Phase.UNKNOWN


async def test_an_unknown_status_is_told_as_it_is() -> None:
    here = cloud()
    script(here, detours=(("Calibrating", 1000.0),))
    await create(here)
    await here.clock.sleep(30)
    task = await Eas(here.account).describe_benchmark_task("tidemark-1")
    assert (task.status, task.phase) == ("Calibrating", Phase.UNKNOWN)
    assert not task.is_terminal
    assert not task.failed


async def test_stopping_what_is_stopped_or_stopping_succeeds() -> None:
    here = cloud()
    eas = Eas(here.account)
    await create(here)
    await here.clock.sleep(30)
    assert (await eas.stop_benchmark_task("tidemark-1")).status == "Stopping"
    assert (await eas.stop_benchmark_task("tidemark-1")).status == "Stopping"
    await here.clock.sleep(10)
    assert (await eas.stop_benchmark_task("tidemark-1")).status == "Stopped"


async def test_a_refusal_to_stop_what_runs_is_an_error() -> None:
    here = cloud(
        "calls: [{when: {action: StopBenchmarkTask}, "
        "then: {error: {status: 400, code: InvalidParameter}}}]"
    )
    await create(here)
    with pytest.raises(InvalidRequestError):
        await Eas(here.account).stop_benchmark_task("tidemark-1")


async def test_tests_are_changed_started_again_and_deleted() -> None:
    here = cloud()
    eas = Eas(here.account)
    await create(here)
    await here.clock.sleep(30)
    changes = BenchmarkUpdate.read({"base": {"qps": 200}})
    await eas.update_benchmark_task("tidemark-1", changes, authorization=LEAVE)
    assert (await eas.describe_benchmark_task("tidemark-1")).status == "Updating"
    await here.clock.sleep(100)
    await eas.start_benchmark_task("tidemark-1", authorization=LEAVE)
    assert (await eas.describe_benchmark_task("tidemark-1")).status == "Starting"
    await eas.delete_benchmark_task("tidemark-1")
    await here.clock.sleep(10)
    await eas.delete_benchmark_task("tidemark-1")
    assert await eas.list_benchmark_tasks() == []


async def test_a_call_that_does_not_exist_is_not_taken_for_a_deleted_test() -> None:
    here = cloud(
        "calls: [{when: {action: DeleteBenchmarkTask}, "
        "then: {error: {status: 404, code: InvalidAction.NotFound}}}]"
    )
    with pytest.raises(NotFoundError) as caught:
        await Eas(here.account).delete_benchmark_task("tidemark-1")
    assert "48 hours" not in str(caught.value)


async def test_all_pages_of_tests_are_listed() -> None:
    here = cloud()
    eas = Eas(here.account)
    for number in range(103):
        await create(here, f"tidemark-{number}")
    await create(here, "other", service={"serviceName": "qwen3_8b_chat"})
    assert len(await eas.list_benchmark_tasks()) == 104
    assert len(await eas.list_benchmark_tasks(text="tidemark")) == 103
    (other,) = await eas.list_benchmark_tasks(service_name="qwen3_8b_chat")
    assert (other.task_name, other.region) == ("other", "cn-hangzhou")
    assert other.create_time == datetime.fromtimestamp(here.clock.time() // 1, UTC)


@pytest.mark.parametrize("leave", [None, True, "yes"])
async def test_what_puts_load_on_a_service_needs_leave(leave: Any) -> None:
    here = cloud()
    eas = Eas(here.account)
    changes = BenchmarkUpdate.read({"base": {"qps": 200}})
    with pytest.raises(RefusedError):
        await eas.create_benchmark_task(body(), authorization=leave, lend=LENT)
    with pytest.raises(RefusedError):
        await eas.start_benchmark_task("tidemark-1", authorization=leave)
    with pytest.raises(RefusedError):
        await eas.update_benchmark_task("tidemark-1", changes, authorization=leave)
    assert here.simulator.requests() == []


async def test_a_lost_answer_is_not_sent_again() -> None:
    here = cloud("calls: [{when: {action: CreateBenchmarkTask}, then: {lost: answer}}]")
    with pytest.raises(NoAnswerError) as caught:
        await create(here)
    assert caught.value.effect_unknown
    assert len(here.calls("CreateBenchmarkTask")) == 1
    assert [each.task_name for each in await Eas(here.account).list_benchmark_tasks()] == [
        "tidemark-1"
    ]


async def test_an_answer_without_a_name_is_no_answer() -> None:
    for document in ({"Region": "cn-hangzhou"}, {"TaskName": ""}):
        eas = answering(httpx.Response(200, json=document))
        with pytest.raises(NoAnswerError) as caught:
            await eas.create_benchmark_task(body(), authorization=LEAVE, lend=LENT)
        assert caught.value.effect_unknown


async def test_a_refused_body_carries_the_reason_of_the_service() -> None:
    here = cloud()
    with pytest.raises(ServiceError, match="no_such"):
        await create(here, service={"serviceName": "no_such", "requestToken": "env:SERVICE_TOKEN"})


async def test_a_service_is_described_with_and_without_a_wrapper() -> None:
    here = cloud()
    plain = await Eas(here.account).describe_service("qwen3_8b_chat")
    assert plain.is_running
    assert plain.labels == {"model": "Qwen3-8B", "framework": "vllm"}
    assert plain.memory_mib == 30_000
    assert plain.config["containers"][0]["port"] == 8000
    wrapped = answering(httpx.Response(200, json={"Service": plain.wire, "RequestId": "r"}))
    assert await wrapped.describe_service("qwen3_8b_chat") == plain
    with pytest.raises(NotFoundError):
        await Eas(here.account).describe_service("no_such")


async def test_services_of_all_pages_are_listed_and_filtered() -> None:
    here = cloud()
    eas = Eas(here.account)
    assert {each.service_name for each in await eas.list_services()} == {
        "qwen3_8b_chat",
        "test_service",
    }
    (found,) = await eas.list_services(labels={"team": "ranking"})
    assert found.service_name == "test_service"
    assert await eas.list_services(service_status="Stopped") == []
    assert len(await eas.list_services(text="chat", workspace_id="268")) == 1
    many = [{"ServiceName": f"s{number}", "Region": "cn-hangzhou"} for number in range(250)]

    def page(request: httpx.Request) -> httpx.Response:
        # Smaller pages than were asked for.
        number = int(request.url.params["PageNumber"])
        services = many[(number - 1) * 50 : number * 50]
        return httpx.Response(200, json={"Services": services, "TotalCount": "250"})

    account = Account(
        StaticCredentials.of("LTAIexample", "example-secret"),
        "cn-hangzhou",
        endpoints="http://pai.simulator",
        transport=httpx.MockTransport(page),
        clock=VirtualClock(jump=True),
    )
    assert len(await Eas(account).list_services()) == 250


async def test_events_of_a_service_come_with_their_times() -> None:
    here = cloud()
    eas = Eas(here.account)
    now = datetime.fromtimestamp(here.clock.time(), UTC)
    (event,) = await eas.describe_service_events("test_service", since=now - timedelta(days=30))
    assert event.reason == "Running"
    assert event.time is not None
    assert await eas.describe_service_events("test_service", since=now - timedelta(hours=1)) == []
    assert here.calls("DescribeServiceEvent")[-1]["query"]["StartTime"] == "2025-12-31T23:00:00Z"


async def test_the_token_of_a_service_is_given_to_who_asks_and_shown_to_nobody() -> None:
    here = cloud()
    endpoints = await Eas(here.account).describe_service_endpoints("test_service")
    assert endpoints.access_token is not None
    assert endpoints.access_token.get_secret_value() == "test_token"
    assert endpoints.endpoints[0].internet_endpoints[0].startswith("http://")
    for shown in (repr(endpoints), str(endpoints.wire), endpoints.model_dump_json()):
        assert "test_token" not in shown
    without = answering(httpx.Response(200, json={"Endpoints": None}))
    assert (await without.describe_service_endpoints("s")).access_token is None


async def test_secrets_are_in_no_answer_error_log_or_record(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    here = cloud()
    eas = Eas(here.account)
    signed = f"https://b.example/data.zip?Expires=9&Signature={SIGNATURE}"
    asked = body(data={"path": signed})
    created = await eas.create_benchmark_task(
        asked, authorization=LEAVE, lend={"env:SERVICE_TOKEN": CANARY}
    )
    task = await eas.describe_benchmark_task("tidemark-1")
    assert task.model_extra is not None
    assert task.model_extra["Token"] == "***"
    told = [repr(asked), repr(created), repr(task), str(task.wire), caplog.text]
    assert json.dumps(here.simulator.requests()).count("CreateBenchmarkTask") == 1
    told.append(json.dumps(here.simulator.state()))
    # A service that repeats what it was sent.
    echo = {"Code": "InvalidParameter", "Message": f"bad: {CANARY} {SIGNATURE}"}
    with pytest.raises(ServiceError) as caught:
        await answering(httpx.Response(400, json=echo)).create_benchmark_task(
            asked, authorization=LEAVE, lend={"env:SERVICE_TOKEN": CANARY}
        )
    told += [str(caught.value), repr(caught.value), caught.value.message]
    config = {"name": "s", "metadata": {"token": CANARY}, "containers": [
        {"env": [{"name": "HF_TOKEN", "value": CANARY}]}
    ]}  # fmt: skip
    document = {"ServiceName": "s", "AccessToken": CANARY, "ServiceConfig": json.dumps(config)}
    service = await answering(httpx.Response(200, json=document)).describe_service("s")
    told += [repr(service), str(service.wire), str(service.config), service.service_config]
    document = {"ServiceName": "s", "ServiceConfig": f"not JSON {CANARY}"}
    service = await answering(httpx.Response(200, json=document)).describe_service("s")
    told += [repr(service), str(service.wire)]
    for text in told:
        assert CANARY not in text
        assert SIGNATURE not in text
    for seen in here.simulator.requests():
        assert CANARY not in json.dumps({**seen, "body": _without_data(seen["body"])})


def _without_data(sent: Any) -> Any:
    return {k: v for k, v in sent.items() if k != "data"} if isinstance(sent, dict) else sent
