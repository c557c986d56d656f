"""Stress tests by the gateway: its addresses, its key, its table of errors."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
from cloud import ADDRESS, LEAVE, Cloud, cloud

from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credentials import BearerKey
from tidemark.alibaba.eas import Eas
from tidemark.alibaba.eas_requests import BenchmarkBody, BenchmarkUpdate
from tidemark.alibaba.errors import (
    AccessError,
    CredentialError,
    InvalidRequestError,
    NotFoundError,
    ServerError,
    ThrottledError,
)
from tidemark.alibaba.gateway import Gateway
from tidemark.alibaba.retrying import RetryPolicy
from tidemark.errors import ConfigError, RefusedError
from tidemark.simulator.clock import VirtualClock

CANARY = "sk-canary-0123456789"
BODY = BenchmarkBody.read(
    {
        "base": {"name": "tidemark-1", "duration": 60},
        "service": {"serviceName": "test_service"},
        "data": {"path": "oss://example-bucket/data.bin"},
        "optional": {"maxRt": 100},
    }
)


def gateway(here: Cloud, key: str = "sk-simulator", **more: Any) -> Eas:
    channel = Gateway(
        BearerKey(key),
        "cn-hangzhou",
        endpoint=ADDRESS,
        transport=here.simulator.transport(),
        clock=here.clock,
        **more,
    )
    return Eas(channel)


async def test_a_test_is_created_watched_reported_and_deleted() -> None:
    here = cloud()
    eas = gateway(here)
    created = await eas.create_benchmark_task(BODY, authorization=LEAVE)
    assert (created.task_name, created.region) == ("tidemark-1", "cn-hangzhou")
    await here.clock.sleep(30)
    task = await eas.describe_benchmark_task("tidemark-1", cluster_id=created.region)
    assert task.status == "Running"
    changes = BenchmarkUpdate.read({"base": {"qps": 50}})
    await eas.update_benchmark_task("tidemark-1", changes, authorization=LEAVE)
    await here.clock.sleep(10)
    assert (await eas.stop_benchmark_task("tidemark-1")).status == "Stopping"
    await here.clock.sleep(100)
    report = await eas.get_report("tidemark-1", "RAW")
    assert report.data is not None
    assert report.data.count
    await eas.start_benchmark_task("tidemark-1", authorization=LEAVE)
    (listed,) = await eas.list_benchmark_tasks()
    assert listed.task_name == "tidemark-1"
    await eas.delete_benchmark_task("tidemark-1")


@pytest.mark.parametrize(
    ("region", "host"),
    [("cn-shanghai", "api.aliyun.com"), ("ap-southeast-1", "api.alibabacloud.com")],
)
async def test_requests_are_those_that_are_described(region: str, host: str) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"TaskName": "t", "Region": region})

    leave_elsewhere = httpx.MockTransport(answer)
    channel = Gateway(
        BearerKey(CANARY), region, transport=leave_elsewhere, clock=VirtualClock(jump=True)
    )
    await Eas(channel).get_report("benchmark-1", "report")
    (report,) = seen
    assert report.method == "GET"
    assert str(report.url) == (
        f"https://{host}/api/eas/2021-07-01/DescribeBenchmarkTaskReport"
        f"?ClusterId={region}&TaskName=benchmark-1&ReportType=Report"
    )
    assert report.headers["authorization"] == f"Bearer {CANARY}"
    # Leave to create at the simulator is none for the real gateway.
    with pytest.raises(RefusedError):
        await Eas(channel).create_benchmark_task(BODY, authorization=LEAVE)
    assert len(seen) == 1


async def test_creating_by_the_gateway_posts_the_body() -> None:
    here = cloud()
    await gateway(here).create_benchmark_task(BODY, authorization=LEAVE)
    (call,) = here.simulator.requests()
    assert call["method"] == "POST"
    assert call["path"] == "/api/eas/2021-07-01/CreateBenchmarkTask"
    assert call["query"] == {}
    assert call["body"]["optional"] == {"maxRT": 100}


@pytest.mark.parametrize("key", ["$DASHSCOPE_API_KEY", "${DASHSCOPE_API_KEY}", "", "a b"])
def test_what_is_no_key_is_refused_before_anything_is_sent(key: str) -> None:
    with pytest.raises(CredentialError):
        gateway(cloud(), key)
    with pytest.raises(CredentialError):
        BearerKey.from_environment({"DASHSCOPE_API_KEY": key})


async def test_a_wrong_key_is_an_error_of_access_and_is_not_repeated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    here = cloud()
    eas = gateway(here, CANARY)
    with pytest.raises(AccessError, match="See that the key is valid") as caught:
        await eas.describe_benchmark_task("tidemark-1")
    told = [str(caught.value), repr(caught.value), caplog.text, str(here.simulator.requests())]
    told.append(repr(BearerKey(CANARY)))
    assert not any(CANARY in text for text in told)


@pytest.mark.parametrize(
    ("status", "kind", "calls"),
    [
        (400, InvalidRequestError, 1),
        (403, AccessError, 1),
        (404, NotFoundError, 1),
        (429, ThrottledError, 4),
        (500, ServerError, 4),
        (503, ServerError, 4),
    ],
)
async def test_every_status_of_the_table_has_its_error_and_its_attempts(
    status: int, kind: type[Exception], calls: int
) -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status, json={"message": "It went wrong."})

    channel = Gateway(
        BearerKey(CANARY),
        "cn-hangzhou",
        endpoint=ADDRESS,
        transport=httpx.MockTransport(answer),
        clock=VirtualClock(jump=True),
    )
    with pytest.raises(kind, match="It went wrong"):
        await Eas(channel).get_report("tidemark-1")
    assert len(seen) == calls


async def test_what_changes_something_is_sent_again_only_when_it_was_refused_unseen() -> None:
    for status, calls in ((429, 4), (503, 1)):
        here = cloud(
            f"calls: [{{when: {{action: CreateBenchmarkTask}}, "
            f"then: {{error: {{status: {status}, code: Later}}}}}}]"
        )
        with pytest.raises((ThrottledError, ServerError)):
            await gateway(here).create_benchmark_task(BODY, authorization=LEAVE)
        assert len(here.calls("CreateBenchmarkTask")) == calls


async def test_the_gateway_is_asked_again_when_it_says() -> None:
    here = cloud("""
        calls:
          - when: {action: DescribeBenchmarkTask, nth: 1}
            then: {throttle: {status: 429, retry_after_s: 7}}
    """)
    eas = gateway(here)
    await eas.create_benchmark_task(BODY, authorization=LEAVE)
    begun = here.clock.monotonic()
    await eas.describe_benchmark_task("tidemark-1")
    assert 7 <= here.clock.monotonic() - begun < 8
    assert len(here.calls("DescribeBenchmarkTask")) == 2


async def test_a_hundred_calls_a_second_are_kept_unless_told_otherwise() -> None:
    here = cloud()
    eas = gateway(here)
    await eas.create_benchmark_task(BODY, authorization=LEAVE)
    begun = here.clock.monotonic()
    for _ in range(210):
        await eas.describe_benchmark_task("tidemark-1")
    assert here.clock.monotonic() - begun >= 2.0
    assert all(call["status"] == 200 for call in here.simulator.requests())
    hurried = gateway(
        here, settings=ChannelSettings(calls_per_s=1e6, retry=RetryPolicy(attempts=1))
    )
    await here.clock.sleep(5)
    for _ in range(100):
        await hurried.describe_benchmark_task("tidemark-1")
    with pytest.raises(ThrottledError, match="100 calls per second"):
        await hurried.describe_benchmark_task("tidemark-1")


async def test_the_gateway_knows_stress_tests_only() -> None:
    here = cloud()
    eas = gateway(here)
    with pytest.raises(ConfigError, match="does not know ListServices"):
        await eas.list_services()
    with pytest.raises(ConfigError, match="does not know DescribeServiceEndpoints"):
        await eas.describe_service_endpoints("test_service")
    assert here.simulator.requests() == []


async def test_a_test_that_is_gone_is_told_with_how_long_they_are_kept() -> None:
    with pytest.raises(NotFoundError, match="48 hours"):
        await gateway(cloud()).get_report("tidemark-1")
