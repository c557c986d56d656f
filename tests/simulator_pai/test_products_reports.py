"""Reports of benchmark tasks: sums agree, and the numbers follow from the load."""

from __future__ import annotations

import base64
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from products_cloud import BODY, REGION, TASKS, Cloud, body

from tidemark.simulator.pai.eas_deployed import DeployedService, ServiceTruth
from tidemark.simulator.pai.eas_reports import Load, Stretch, raw_report

PERCENTILES = ("TP10", "TP50", "TP90", "TP99", "TP100")


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def finished(cloud: Cloud, changed: dict[str, Any]) -> dict[str, Any]:
    """The report of a task once it has run."""
    name = cloud.create_task(changed)
    cloud.clock.advance(2000)
    return cloud.report(name)


def check(data: dict[str, Any]) -> None:
    """What holds for every report."""
    lists = [data[name] for name in ("TimestampList", "QPSList", "RTList", "TrafficList")]
    assert len({len(one) for one in lists}) == 1
    assert data["Count"] == sum(data["StatusCode"].values()) == sum(data["QPSList"])
    assert data["QPS"] == pytest.approx(data["Count"] / len(data["QPSList"]), abs=1e-3)
    assert data["TotalSend"] == sum(one["Send"] for one in data["TrafficList"])
    assert data["TotalReceive"] == sum(one["Receive"] for one in data["TrafficList"])
    starts = data["TimestampList"]
    assert starts == list(range(starts[0], starts[0] + len(starts)))
    for row, rate in zip(data["RTList"], data["QPSList"], strict=True):
        times = [row[name] for name in PERCENTILES]
        assert times == sorted(times)
        if rate:
            assert data["MinRT"] <= times[0] <= row["AVG"] + 1e-9 or times[0] == times[-1]
            assert row["AVG"] <= times[-1] <= data["MaxRT"]
    assert data["MinRT"] <= data["AvgRT"] <= data["MaxRT"]
    marks = [one["Latency"] for one in data["RTDistribution"]]
    assert marks == sorted(marks)
    if data["Count"]:
        assert data["MinRT"] <= marks[0] <= marks[-1] <= data["MaxRT"]
        assert sum(one["Count"] for one in data["RTHistogram"]) == data["Count"]
        assert math.isclose(sum(one["Frequency"] for one in data["RTHistogram"]), 1)
        assert data["RTHistogram"][-1]["Mark"] == data["MaxRT"]
        assert all(one["Count"] >= 0 for one in data["RTHistogram"])


@settings(deadline=None, max_examples=80)
@given(
    concurrency=st.integers(1, 2000),
    qps=st.integers(1, 5000),
    timeout_ms=st.integers(1, 60_000),
    service_time_ms=st.floats(0.5, 30_000),
    slots=st.integers(1, 64),
    queue_limit=st.integers(0, 500),
    error_share=st.floats(0, 1),
    authorized=st.booleans(),
    seconds=st.floats(1, 90),
)
def test_whatever_the_load_sums_agree_and_percentiles_are_in_order(
    concurrency: int,
    qps: int,
    timeout_ms: int,
    service_time_ms: float,
    slots: int,
    queue_limit: int,
    error_share: float,
    authorized: bool,
    seconds: float,
) -> None:
    truth = ServiceTruth(service_time_ms, slots, queue_limit, 10, 20, error_share)
    load = Load(concurrency, qps, timeout_ms, 10, authorized)
    data = raw_report("task", truth, [Stretch(1000.25, load)], until_s=1000.25 + seconds)
    assert data is not None
    check(data)
    assert max(data["QPSList"]) <= qps
    busy = data["Count"] * data["AvgRT"] / 1000 / len(data["QPSList"])
    # Half a request more, since requests are whole.
    slack = data["MaxRT"] / 1000 / len(data["QPSList"])
    assert busy <= concurrency * 1.01 + slack


@settings(deadline=None, max_examples=20)
@given(first=st.integers(1, 50), more=st.integers(0, 50))
def test_what_was_reported_stays_as_it_was(first: int, more: int) -> None:
    cloud = Cloud()
    name = cloud.create_task(body(base={"duration": 100}))
    cloud.clock.advance(22 + first)
    early = cloud.report(name)
    cloud.clock.advance(more)
    late = cloud.report(name)
    for series in ("TimestampList", "QPSList", "RTList", "TrafficList"):
        assert late[series][:first] == early[series]


class TestNumbers:
    def test_the_same_task_always_reports_the_same(self) -> None:
        named = body(base={"name": "mine"})
        assert finished(Cloud(), named) == finished(Cloud(), named)
        other = finished(Cloud(), body(base={"name": "other"}))
        assert finished(Cloud(), named)["RTList"] != other["RTList"]

    def test_below_saturation_the_service_is_as_quick_as_it_is(self, cloud: Cloud) -> None:
        data = finished(cloud, BODY)
        check(data)
        assert data["AvgRT"] == pytest.approx(8, rel=0.03)
        assert data["QPS"] == pytest.approx(50, rel=0.03)
        assert data["StatusCode"] == {"200": data["Count"]}

    def test_a_saturated_service_serves_no_more_and_takes_longer(self, cloud: Cloud) -> None:
        manual = {"mode": "manual", "duration": 60, "concurrency": 64}
        changed = body(
            base={"qps": 9000}, optional=manual, service={"serviceName": "qwen3_8b_chat"}
        )
        changed["service"]["requestToken"] = "fake-token-of-qwen3-8b-chat"
        data = finished(cloud, changed)
        # 32 at once, two seconds each: 16 a second, and 64 in the system make it four seconds.
        assert data["QPS"] == pytest.approx(16, rel=0.05)
        assert data["AvgRT"] == pytest.approx(4000, rel=0.05)

    def test_more_agents_bring_more_connections(self, cloud: Cloud) -> None:
        alone = {"mode": "manual", "duration": 30, "concurrency": 1}
        one = finished(cloud, body(base={"qps": 9000}, optional=alone))
        four = finished(cloud, body(base={"qps": 9000}, optional={**alone, "agentCount": 4}))
        assert four["QPS"] == pytest.approx(4 * one["QPS"], rel=0.05)

    def test_requests_that_take_too_long_are_given_up_as_512(self, cloud: Cloud) -> None:
        slow = {"serviceName": "qwen3_8b_chat", "requestToken": None}
        data = finished(cloud, body(service=slow, http={"timeout": 2500}))
        check(data)
        assert set(data["StatusCode"]) == {"200", "512"}
        assert data["MaxRT"] == 2500

    def test_a_full_queue_refuses_with_450(self, cloud: Cloud) -> None:
        many = {"mode": "manual", "duration": 60, "concurrency": 1000}
        llm = {"serviceName": "qwen3_8b_chat", "requestToken": None}
        data = finished(cloud, body(service=llm, optional=many, http={"timeout": 600_000}))
        check(data)
        assert set(data["StatusCode"]) == {"200", "450"}
        assert data["StatusCode"]["450"] == pytest.approx(data["Count"] * 0.768, rel=0.01)

    def test_a_wrong_token_is_refused_with_401_by_the_service(self, cloud: Cloud) -> None:
        data = finished(cloud, body(service={"requestToken": "wrong"}))
        assert data["StatusCode"] == {"401": data["Count"]}

    def test_without_a_token_the_service_s_own_is_used(self, cloud: Cloud) -> None:
        data = finished(cloud, body(service={"requestToken": None}))
        assert data["StatusCode"] == {"200": data["Count"]}

    def test_a_service_that_fails_says_500(self) -> None:
        truth = ServiceTruth(error_share=0.25)
        bad = DeployedService(config={"name": "bad"}, token="fake-token", truth=truth)
        service = {"serviceName": "bad", "requestToken": None}
        tolerant = {"faultTolerate": 1}
        data = finished(Cloud(deployed=(bad,)), body(service=service, optional=tolerant))
        assert data["StatusCode"]["500"] == pytest.approx(data["Count"] / 4, abs=1)

    def test_the_traffic_is_that_of_the_request_given(self, cloud: Cloud) -> None:
        content = base64.b64encode(b"x" * 100).decode()
        data = finished(cloud, body(data={"path": None, "content": content}))
        assert data["TotalSend"] == 100 * data["Count"]
        assert data["TotalReceive"] == 300 * data["Count"]


class TestAnswer:
    def test_there_is_none_before_the_first_second_under_load(self, cloud: Cloud) -> None:
        name = cloud.create_task()
        path = f"{TASKS}/{REGION}/{name}/report"
        cloud.clock.advance(22.5)
        refused = cloud.refusal("DescribeBenchmarkTaskReport", "GET", path)
        assert refused == (404, "BenchmarkTaskReport.NotFound")
        cloud.clock.advance(1)
        assert len(cloud.report(name)["QPSList"]) == 1

    @pytest.mark.parametrize("kind", ["Report", "report", "REPORT"])
    def test_a_formatted_report_is_an_address(self, cloud: Cloud, kind: str) -> None:
        name = cloud.create_task()
        cloud.clock.advance(100)
        path = f"{TASKS}/{REGION}/{name}/report"
        answer = cloud.ask("DescribeBenchmarkTaskReport", "GET", path, ReportType=kind)
        assert answer["ReportUrl"].startswith("http://eas-benchmark.oss-cn-hangzhou.aliyuncs.com/")
        assert name in answer["ReportUrl"]
        assert "Data" not in answer

    def test_types_are_raw_or_report(self, cloud: Cloud) -> None:
        name = cloud.create_task()
        cloud.clock.advance(100)
        path = f"{TASKS}/{REGION}/{name}/report"
        assert "Data" in cloud.ask("DescribeBenchmarkTaskReport", "GET", path, ReportType="raw")
        assert "Data" in cloud.ask("DescribeBenchmarkTaskReport", "GET", path)
        refused = cloud.refusal("DescribeBenchmarkTaskReport", "GET", path, ReportType="PDF")
        assert refused == (400, "InvalidParameter")
