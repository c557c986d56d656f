"""EAS services, and the gateway in front of benchmark tasks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from products_cloud import BODY, REGION, Cloud

SERVICES = "/api/v2/services"
ONE = f"{SERVICES}/{REGION}/test_service"
GATEWAY = "/api/eas/2021-07-01"
KEY = {"authorization": "Bearer sk-simulator"}
MINE = {
    "name": "mine",
    "metadata": {"instance": 2, "cpu": 2, "memory": 4000},
    "cloud": {"computing": {"instance_type": "ecs.c6.large"}},
}


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


class TestServices:
    def test_two_services_run_from_the_start_one_of_them_an_llm(self, cloud: Cloud) -> None:
        answer = cloud.ask("ListServices", "GET", SERVICES)
        names = [one["ServiceName"] for one in answer["Services"]]
        assert sorted(names) == ["qwen3_8b_chat", "test_service"]
        assert {one["Status"] for one in answer["Services"]} == {"Running"}
        llm = cloud.ask("DescribeService", "GET", f"{SERVICES}/{REGION}/qwen3_8b_chat")
        assert "vllm serve" in json.loads(llm["ServiceConfig"])["containers"][0]["script"]
        assert {"LabelKey": "model", "LabelValue": "Qwen3-8B"} in llm["Labels"]
        assert "fake" in llm["AccessToken"]
        assert (llm["RunningInstance"], llm["PendingInstance"], llm["Gpu"]) == (1, 0, 1)

    def test_each_region_has_its_own(self, cloud: Cloud) -> None:
        answer = cloud.ask("ListServices", "GET", SERVICES, region="cn-shanghai")
        assert (answer["Services"], answer["TotalCount"]) == ([], 0)
        elsewhere = f"{SERVICES}/cn-shanghai/test_service"
        refused = cloud.refusal("DescribeService", "GET", elsewhere)
        assert refused == (404, "InvalidService.NotFound")

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"Filter": "qwen"}, {"qwen3_8b_chat"}),
            ({"ServiceName": "test_service"}, {"test_service"}),
            ({"ServiceName": "test"}, set()),
            ({"Label": '{"team":"ranking"}'}, {"test_service"}),
            ({"Label": '{"team":"ranking","model":"Qwen3-8B"}'}, set()),
            ({"ServiceStatus": "Stopped"}, set()),
            ({"WorkspaceId": "268"}, {"qwen3_8b_chat", "test_service"}),
            ({"WorkspaceId": "1"}, set()),
        ],
    )
    def test_filters(self, cloud: Cloud, query: dict[str, str], found: set[str]) -> None:
        answer = cloud.ask("ListServices", "GET", SERVICES, **query)
        assert {one["ServiceName"] for one in answer["Services"]} == found

    def test_pages_and_order(self, cloud: Cloud) -> None:
        first = cloud.ask("ListServices", "GET", SERVICES, PageSize=1)
        second = cloud.ask("ListServices", "GET", SERVICES, PageSize=1, PageNumber=2)
        assert [first["TotalCount"], len(first["Services"]), second["PageNumber"]] == [2, 1, 2]
        oldest = cloud.ask("ListServices", "GET", SERVICES, Order="asc", PageSize=1)
        assert oldest["Services"] == second["Services"] != first["Services"]

    @pytest.mark.parametrize("query", [{"Order": "up"}, {"Label": "team=ranking"}, {"Label": "[]"}])
    def test_queries_that_make_no_sense(self, cloud: Cloud, query: dict[str, str]) -> None:
        refused = cloud.refusal("ListServices", "GET", SERVICES, **query)
        assert refused == (400, "InvalidParameter")

    def test_endpoints_and_token(self, cloud: Cloud) -> None:
        answer = cloud.ask("DescribeServiceEndpoints", "GET", f"{ONE}/endpoints")
        assert answer["AccessToken"] == "test_token"
        addresses = answer["Endpoints"][0]["InternetEndpoints"]
        assert addresses[0].endswith("pai-eas.aliyuncs.com/api/predict/test_service")

    def test_describe_can_wrap_the_service(self) -> None:
        cloud = Cloud(wrapped=True)
        answer = cloud.ask("DescribeService", "GET", ONE)
        assert list(answer) == ["Service"]
        assert answer["Service"]["ServiceName"] == "test_service"

    def test_no_state_tells_a_token(self, cloud: Cloud) -> None:
        cloud.ask("CreateService", "POST", SERVICES, MINE)
        told = json.dumps([service.state() for service in cloud.services])
        token = cloud.ask("DescribeService", "GET", f"{SERVICES}/{REGION}/mine")["AccessToken"]
        assert token not in told
        assert "test_token" not in told


class TestLife:
    def status(self, cloud: Cloud, name: str = "mine") -> str:
        return str(cloud.ask("DescribeService", "GET", f"{SERVICES}/{REGION}/{name}")["Status"])

    def test_a_service_comes_up_is_stopped_started_and_deleted(self, cloud: Cloud) -> None:
        one = f"{SERVICES}/{REGION}/mine"
        answer = cloud.ask("CreateService", "POST", SERVICES, MINE, Labels='{"a":"b"}')
        assert (answer["Status"], answer["ServiceName"]) == ("Creating", "mine")
        seen = [self.status(cloud)]
        for seconds in (25, 60):
            cloud.clock.advance(seconds)
            seen.append(self.status(cloud))
        assert seen == ["Creating", "Waiting", "Running"]
        cloud.ask("StopService", "PUT", f"{one}/stop")
        assert self.status(cloud) == "Stopping"
        cloud.clock.advance(11)
        assert self.status(cloud) == "Stopped"
        cloud.ask("StartService", "PUT", f"{one}/start")
        cloud.clock.advance(61)
        assert self.status(cloud) == "Running"
        cloud.ask("DeleteService", "DELETE", one)
        assert self.status(cloud) == "Deleting"
        cloud.clock.advance(6)
        refused = cloud.refusal("DescribeService", "GET", one)
        assert refused == (404, "InvalidService.NotFound")

    def test_events_tell_the_changes(self, cloud: Cloud) -> None:
        cloud.ask("CreateService", "POST", SERVICES, MINE)
        cloud.clock.advance(100)
        path = f"{SERVICES}/{REGION}/mine/events"
        answer = cloud.ask("DescribeServiceEvent", "GET", path)
        assert [one["Reason"] for one in answer["Events"]] == ["Running", "Waiting", "Creating"]
        page = cloud.ask("DescribeServiceEvent", "GET", path, PageSize=2, PageNum=2)
        assert [one["Reason"] for one in page["Events"]] == ["Creating"]
        assert (page["TotalCount"], page["TotalPageNum"]) == (3, 2)
        late = cloud.ask("DescribeServiceEvent", "GET", path, StartTime="2026-01-01T00:00:10Z")
        assert late["TotalCount"] == 2
        warnings = cloud.ask("DescribeServiceEvent", "GET", path, EventType="Warning")
        assert warnings["Events"] == []
        refused = cloud.refusal("DescribeServiceEvent", "GET", path, StartTime="yesterday")
        assert refused == (400, "InvalidParameter")

    def test_only_what_was_started_here_is_on_the_bill(self, cloud: Cloud) -> None:
        cloud.clock.advance(3600)
        assert cloud.bill.lines(cloud.clock.time()) == []
        cloud.ask("CreateService", "POST", SERVICES, MINE)
        cloud.clock.advance(20 + 3600)
        one = f"{SERVICES}/{REGION}/mine"
        cloud.ask("StopService", "PUT", f"{one}/stop")
        cloud.clock.advance(7200)
        lines = cloud.bill.lines(cloud.clock.time())
        assert [float(line.seconds) for line in lines] == [3610, 3610]
        assert [line.machine for line in lines] == ["ecs.c6.large"] * 2
        assert not any(line.goes_on for line in lines)

    def test_a_bill_is_kept_when_the_name_is_used_again(self, cloud: Cloud) -> None:
        one = f"{SERVICES}/{REGION}/mine"
        for _ in range(2):
            cloud.ask("CreateService", "POST", SERVICES, MINE)
            cloud.clock.advance(20 + 100)
            cloud.ask("DeleteService", "DELETE", one)
            cloud.clock.advance(100)
        lines = cloud.bill.lines(cloud.clock.time())
        assert [float(line.seconds) for line in lines] == [105] * 4
        assert len({line.resource for line in lines}) == 2

    @pytest.mark.parametrize(
        "config",
        [
            {},
            {"name": "Not Allowed"},
            {"name": "test_service"},
            {"name": "mine", "metadata": {"instance": 0}},
            {"name": "mine", "cloud.computing.instance_type": "ecs.none"},
        ],
    )
    def test_configurations_that_are_refused(self, cloud: Cloud, config: dict[str, Any]) -> None:
        refused = cloud.refusal("CreateService", "POST", SERVICES, config)
        assert refused == (400, "InvalidParameter")

    def test_odd_configurations_break_nothing(self, cloud: Cloud) -> None:
        odd = {"name": "odd", "metadata": {"cpu": "two"}, "containers": "none", "cloud": 5}
        cloud.ask("CreateService", "POST", SERVICES, odd)
        described = cloud.ask("DescribeService", "GET", f"{SERVICES}/{REGION}/odd")
        assert (described["Cpu"], described["Image"]) == (0, "")

    def test_what_a_status_does_not_allow(self, cloud: Cloud) -> None:
        refused = cloud.refusal("StartService", "PUT", f"{ONE}/start")
        assert refused == (400, "InvalidService.Status")


class TestMachines:
    def test_machines_with_their_stock(self, cloud: Cloud) -> None:
        path = "/api/v2/public/instance_types"
        answer = cloud.ask("DescribeMachineSpec", "GET", path)
        machines = {one["InstanceType"]: one for one in answer["InstanceMetas"]}
        assert len(machines) == len(cloud.world.specs)
        assert machines["ecs.gn7i-c8g1.2xlarge"]["GPUAmount"] == 1
        assert "GPU" not in machines["ecs.c6.large"]
        assert {one["Vendor"] for one in machines.values()} == {"ECS", "BareMetal", "Lingjun"}
        assert {one["StockStatus"] for one in machines.values()} == {"WithStock", "NoStock"}
        some = cloud.ask("DescribeMachineSpec", "GET", path, InstanceTypes="ecs.c6.large,ecs.none")
        assert [one["InstanceType"] for one in some["InstanceMetas"]] == ["ecs.c6.large"]
        assert {"CPU": 2, "Memory": [4, 8]} in answer["Types"]

    def test_regions(self, cloud: Cloud) -> None:
        answer = cloud.ask("DescribeRegions", "GET", "/api/v2/regions")
        assert [one["RegionId"] for one in answer["Regions"]] == list(cloud.world.regions)


class TestGateway:
    async def test_tasks_are_created_and_reported_with_a_key(
        self, start: Callable[..., Any]
    ) -> None:
        pai = start()
        for host in ("http://api.aliyun.simulator", "http://api.alibabacloud.simulator"):
            url = f"{host}{GATEWAY}/CreateBenchmarkTask"
            created = (await pai.http.post(url, json=BODY, headers=KEY)).json()
            assert created["Region"] == REGION
            query = {"ClusterId": REGION, "TaskName": created["TaskName"], "ReportType": "report"}
            report = f"{host}{GATEWAY}/DescribeBenchmarkTaskReport"
            early = await pai.http.get(report, params=query, headers=KEY)
            assert early.status_code == 404
            pai.clock.advance(100)
            answer = (await pai.http.get(report, params=query, headers=KEY)).json()
            assert answer["ReportUrl"].startswith("http")
            raw = await pai.http.get(report, params={**query, "ReportType": "RAW"}, headers=KEY)
            assert raw.json()["Data"]["Count"] > 0

    async def test_all_eight_operations_go_through_it(self, start: Callable[..., Any]) -> None:
        pai = start()
        root = f"http://api.aliyun.simulator{GATEWAY}"
        created = await pai.http.post(f"{root}/CreateBenchmarkTask", json=BODY, headers=KEY)
        query = {"ClusterId": REGION, "TaskName": created.json()["TaskName"]}
        pai.clock.advance(30)

        async def ask(action: str, method: str = "POST", body: object = None) -> dict[str, Any]:
            answer = await pai.http.request(
                method, f"{root}/{action}", params=query, headers=KEY, json=body
            )
            assert answer.status_code == 200, answer.text
            document: dict[str, Any] = answer.json()
            return document

        assert (await ask("DescribeBenchmarkTask", "GET"))["Status"] == "Running"
        assert (await ask("ListBenchmarkTask", "GET"))["TotalCount"] == 1
        await ask("UpdateBenchmarkTask", body={"base": {"qps": 10}})
        pai.clock.advance(6)
        await ask("StopBenchmarkTask")
        pai.clock.advance(6)
        await ask("StartBenchmarkTask")
        await ask("DeleteBenchmarkTask")
        pai.clock.advance(6)
        gone = await pai.http.get(f"{root}/DescribeBenchmarkTask", params=query, headers=KEY)
        assert (gone.status_code, gone.json()["Code"]) == (404, "BenchmarkTask.NotFound")

    @pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer $DASHSCOPE_API_KEY"}])
    async def test_other_keys_are_refused(
        self, start: Callable[..., Any], headers: dict[str, str]
    ) -> None:
        pai = start()
        url = f"http://api.aliyun.simulator{GATEWAY}/CreateBenchmarkTask"
        answer = await pai.http.post(url, json=BODY, headers=headers)
        assert answer.status_code == 403

    async def test_a_missing_parameter_and_a_wrong_body(self, start: Callable[..., Any]) -> None:
        pai = start()
        root = f"http://api.aliyun.simulator{GATEWAY}"
        query = {"ClusterId": REGION}
        answer = await pai.http.get(
            f"{root}/DescribeBenchmarkTaskReport", params=query, headers=KEY
        )
        assert (answer.status_code, answer.json()["Code"]) == (400, "MissingParameter")
        answer = await pai.http.post(f"{root}/CreateBenchmarkTask", content=b"x", headers=KEY)
        assert (answer.status_code, answer.json()["Code"]) == (400, "InvalidParameter")

    async def test_a_hundred_calls_a_second_are_the_limit(self, start: Callable[..., Any]) -> None:
        pai = start()
        url = f"http://api.aliyun.simulator{GATEWAY}/ListBenchmarkTask"
        statuses = [(await pai.http.get(url, headers=KEY)).status_code for _ in range(100)]
        assert set(statuses) == {200}
        answer = await pai.http.get(url, headers=KEY)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        pai.clock.advance(1)
        assert (await pai.http.get(url, headers=KEY)).status_code == 200
