"""Which calls are understood, and what a scenario does to them."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tidemark.simulator.clock import VirtualClock

JOBS = ("GET", "/api/v1/jobs", "ListJobs")


@pytest.mark.parametrize(
    ("method", "path", "action", "version"),
    [
        ("GET", "/api/v1/jobs", "GetJobs", "2020-12-03"),
        ("GET", "/api/v1/jobs", "ListJobs", "2021-02-04"),
        ("PUT", "/api/v1/jobs", "ListJobs", "2020-12-03"),
        ("GET", "/api/v1/jobs/", "ListJobs", "2020-12-03"),
        ("GET", "/api/v1/jobs/dlc1/stop", "StopJob", "2020-12-03"),
        ("GET", "/api/v1/nothing", "ListJobs", "2020-12-03"),
        ("POST", "/", "DescribePrices", "2014-05-26"),
    ],
)
async def test_a_wrong_action_method_or_version_is_no_api(
    start: Any, method: str, path: str, action: str, version: str
) -> None:
    answer = await start().call(method, path, action, version=version)
    assert answer.status_code == 404
    assert answer.json()["Code"] == "InvalidAction.NotFound"


async def test_errors_say_what_the_service_says(start: Any) -> None:
    answer = await start().call("GET", "/api/v1/jobs/dlc404", "GetJob")
    assert answer.status_code == 404
    document = answer.json()
    assert set(document) == {"Code", "Message", "RequestId", "HostId", "Recommend"}
    assert document["HostId"] == "pai-dlc.cn-hangzhou.simulator"
    assert answer.headers["content-type"].startswith("application/json")


async def test_regions_are_worlds_apart(start: Any) -> None:
    pai = start()
    shanghai = "pai-dlc-vpc.cn-shanghai.simulator"
    await pai.create(DisplayName="here", host="127.0.0.1:8080")
    job_id = await pai.create(DisplayName="there", host=shanghai)
    assert await pai.names() == ["here"]
    assert await pai.names(host=shanghai) == ["there"]
    assert (await pai.call("GET", f"/api/v1/jobs/{job_id}", "GetJob")).status_code == 404
    assert (await pai.get(job_id, host=shanghai))["DisplayName"] == "there"


async def test_an_endless_body_is_refused(start: Any) -> None:
    answer = await start().call("POST", "/api/v1/jobs", "CreateJob", body=b"x" * (17 * 2**20))
    assert answer.status_code == 413


async def test_throttling_with_hints(start: Any) -> None:
    pai = start("""
        calls:
          - when: {action: ListJobs, nth: 1}
            then: {throttle: {retry_after_ms: 700}}
          - when: {action: ListJobs, nth: 2}
            then: {throttle: {status: 429, code: Throttling.Api, retry_after_s: 2}}
    """)
    answer = await pai.call(*JOBS)
    assert (answer.status_code, answer.json()["Code"]) == (400, "Throttling.User")
    assert answer.headers["x-acs-retry-after"] == "700"
    assert "retry-after" not in answer.headers
    answer = await pai.call(*JOBS)
    assert (answer.status_code, answer.json()["Code"]) == (429, "Throttling.Api")
    assert answer.headers["retry-after"] == "2"
    assert "x-acs-retry-after" not in answer.headers
    assert (await pai.call(*JOBS)).status_code == 200


async def test_an_error_or_a_gateway_s_page_does_nothing(start: Any) -> None:
    pai = start("""
        calls:
          - when: {method: POST, nth: 1}
            then: {error: {status: 503, code: ServiceUnavailable, message: Later.}}
          - when: {method: POST, nth: 2}
            then: {html: 502}
    """)
    answer = await pai.call("POST", "/api/v1/jobs", "CreateJob", body=pai.job())
    assert (answer.status_code, answer.json()["Code"]) == (503, "ServiceUnavailable")
    assert answer.json()["Message"] == "Later."
    answer = await pai.call("POST", "/api/v1/jobs", "CreateJob", body=pai.job())
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "text/html"
    assert await pai.names() == []
    await pai.create()
    assert await pai.names() == ["bench-1"]


async def test_a_lost_answer_leaves_the_job_a_lost_request_does_not(start: Any) -> None:
    pai = start("""
        calls:
          - when: {action: CreateJob, nth: 1}
            then: {lost: answer}
          - when: {action: CreateJob, nth: 2}
            then: {lost: request}
    """)
    with pytest.raises(httpx.ReadError):
        await pai.create(DisplayName="answer-lost")
    with pytest.raises(httpx.ConnectError):
        await pai.create(DisplayName="request-lost")
    assert await pai.names() == ["answer-lost"]
    seen = [call for call in pai.simulator.requests() if call["action"] == "CreateJob"]
    assert [(call["lost"], call["reached"]) for call in seen] == [(True, True), (True, False)]


async def test_a_lost_request_spends_no_nonce(start: Any) -> None:
    pai = start("calls: [{when: {nth: 1}, then: {lost: request}}]")
    with pytest.raises(httpx.ConnectError):
        await pai.call(*JOBS, nonce="once")
    assert (await pai.call(*JOBS, nonce="once")).status_code == 200


async def test_a_slow_answer_comes_late_and_its_effect_does_not(start: Any) -> None:
    clock = VirtualClock(jump=True)
    pai = start("calls: [{when: {action: CreateJob}, then: {slow_s: 3}}]", clock=clock)
    began_s = clock.time()
    job_id = await pai.create()
    assert clock.time() - began_s == 3
    assert (await pai.get(job_id))["GmtCreateTime"] == "2026-01-01T00:00:00Z"


async def test_an_answer_later_than_the_client_waits_is_a_timeout(start: Any) -> None:
    clock = VirtualClock(jump=True)
    pai = start("calls: [{when: {action: CreateJob}, then: {slow_s: 60}}]", clock=clock)
    pai.http.timeout = httpx.Timeout(10)
    began_s = clock.time()
    with pytest.raises(httpx.ReadTimeout):
        await pai.create()
    assert clock.time() - began_s == 10
    assert await pai.names() == ["bench-1"]


async def test_a_slow_answer_holds_up_nobody_else(start: Any) -> None:
    pai = start("calls: [{when: {action: CreateJob}, then: {slow_s: 3}}]")
    creating = asyncio.create_task(pai.create())
    for _ in range(100):
        await asyncio.sleep(0)
    assert await pai.names() == ["bench-1"]
    assert not creating.done()
    pai.clock.advance(3)
    assert await creating


async def outcomes(pai: Any, count: int) -> str:
    """Calls in a row: `.` for one that is answered, `x` for one that is not."""
    answers = [await pai.call(*JOBS) for _ in range(count)]
    return "".join("." if answer.status_code == 200 else "x" for answer in answers)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{action: ListJobs, nth: 2}", ".x......"),
        ("{every: 3}", "..x..x.."),
        ("{every: 3, count: 1}", "..x....."),
        ("{count: 2}", "xx......"),
        ("{action: 'List*', method: GET, count: 1}", "x......."),
        ("{action: CreateJob}", "........"),
        ("{method: POST}", "........"),
    ],
)
async def test_rules_say_which_calls(start: Any, when: str, expected: str) -> None:
    rule = f"{{when: {when}, then: {{error: {{status: 500, code: InternalError}}}}}}"
    assert await outcomes(start(f"calls: [{rule}]"), 8) == expected


async def test_the_first_rule_that_applies_is_used(start: Any) -> None:
    pai = start("""
        calls:
          - when: {nth: 2}
            then: {html: 504}
          - then: {html: 503}
    """)
    assert [(await pai.call(*JOBS)).status_code for _ in range(3)] == [503, 504, 503]


async def test_chance_is_repeated_by_its_seed(start: Any) -> None:
    rule = "calls: [{when: {probability: 0.5}, then: {html: 502}}]"
    first = await outcomes(start(f"seed: 1\n{rule}"), 40)
    assert first == await outcomes(start(f"seed: 1\n{rule}"), 40)
    assert first != await outcomes(start(f"seed: 2\n{rule}"), 40)
    assert 10 < first.count("x") < 30


async def test_rules_for_prices_and_for_tasks(start: Any) -> None:
    pai = start("""
        prices:
          - {instance_type: "ecs.c6.*", code: PriceNotFound}
        tasks:
          - {task: "t-*", fail: CreateFailed, message: No agent., detours: [[Waiting, 3]]}
    """)
    price = {"RegionId": "cn-hangzhou", "InstanceType": "ecs.c6.large"}
    ecs = {"version": "2014-05-26", "host": "ecs.cn-hangzhou.simulator"}
    answer = await pai.call("POST", "/", "DescribePrice", query=price, **ecs)
    assert (answer.status_code, answer.json()["Code"]) == (400, "PriceNotFound")
    price["InstanceType"] = "ecs.g6.large"
    assert (await pai.call("POST", "/", "DescribePrice", query=price, **ecs)).status_code == 200
    eas = {"version": "2021-07-01", "host": "pai-eas.cn-hangzhou.simulator"}
    task = {
        "base": {"name": "t-1"},
        "service": {"serviceUrl": "http://service.example.com"},
        "data": {"content": "eA=="},
    }
    tasks = "/api/v2/benchmark-tasks"
    await pai.ok("POST", tasks, "CreateBenchmarkTask", body=task, **eas)
    pai.clock.advance(60)
    path = f"{tasks}/cn-hangzhou/t-1"
    found = await pai.ok("GET", path, "DescribeBenchmarkTask", **eas)
    assert found["Status"] == "CreateFailed"
