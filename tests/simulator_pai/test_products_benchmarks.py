"""Benchmark tasks: their operations, their lives, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from products_cloud import BODY, REGION, TASKS, Cloud, body
from pydantic import ValidationError

from tidemark.simulator.pai.eas_task import TaskScript
from tidemark.simulator.pai.wire import WireError

STATUSES = ["Creating", "Starting", "Running", "Stopped", "gone"]


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def control(cloud: Cloud, verb: str, name: str, changes: object = None) -> dict[str, Any]:
    path = f"{TASKS}/{REGION}/{name}"
    method, path = {
        "Start": ("PUT", f"{path}/start"),
        "Stop": ("PUT", f"{path}/stop"),
        "Update": ("PUT", path),
        "Delete": ("DELETE", path),
    }[verb]
    return cloud.ask(f"{verb}BenchmarkTask", method, path, changes)


class TestLife:
    def test_a_task_is_created_runs_for_its_duration_and_stops_by_itself(
        self, cloud: Cloud
    ) -> None:
        name = cloud.create_task()
        seen = [cloud.task(name)]
        for seconds in (5, 25, 60):
            cloud.clock.advance(seconds)
            seen.append(cloud.task(name))
        assert [one["Status"] for one in seen] == STATUSES[:4]
        assert [one["AvailableAgent"] for one in seen] == [0, 0, 1, 0]
        assert seen[1]["Message"] == "[Agent 0/1] Succeed to start benchmark master"
        assert (seen[2]["Reason"], seen[2]["DesiredAgent"]) == ("RUNNING", 1)

    def test_a_stopped_task_is_kept_for_48_hours(self, cloud: Cloud) -> None:
        name = cloud.create_task()
        cloud.clock.advance(82 + 48 * 3600 - 1)
        assert cloud.status(name) == "Stopped"
        assert cloud.report(name)["Count"] > 0
        cloud.clock.advance(2)
        assert cloud.status(name) == "gone"
        assert cloud.ask("ListBenchmarkTask", "GET", TASKS)["Tasks"] == []

    def test_a_duration_of_20_minutes_is_the_default(self, cloud: Cloud) -> None:
        name = cloud.create_task(body(base={"duration": None}))
        cloud.clock.advance(22 + 1199)
        assert cloud.status(name) == "Running"
        cloud.clock.advance(2)
        assert cloud.status(name) == "Stopped"

    def test_manual_tasks_run_for_the_optional_duration(self, cloud: Cloud) -> None:
        name = cloud.create_task(body(optional={"mode": "manual", "duration": 10}))
        cloud.clock.advance(22 + 11)
        assert cloud.status(name) == "Stopped"

    def test_agents_come_up_one_after_the_other(self, cloud: Cloud) -> None:
        name = cloud.create_task(body(base={"agentCount": 4}))
        cloud.clock.advance(2 + 11)
        assert cloud.task(name)["Message"] == "[Agent 2/4] Succeed to start benchmark master"
        assert (cloud.task(name)["AvailableAgent"], cloud.task(name)["DesiredAgent"]) == (2, 4)

    def test_stop_ends_the_load_and_the_report_stays(self, cloud: Cloud) -> None:
        name = cloud.create_task()
        cloud.clock.advance(22 + 10)
        assert control(cloud, "Stop", name)["Message"].endswith("is Stopping")
        assert cloud.status(name) == "Stopping"
        cloud.clock.advance(6)
        assert cloud.status(name) == "Stopped"
        assert len(cloud.report(name)["QPSList"]) == 10

    def test_a_task_stopped_before_it_ran_never_has_a_report(self, cloud: Cloud) -> None:
        name = cloud.create_task()
        control(cloud, "Stop", name)
        cloud.clock.advance(3600)
        assert cloud.status(name) == "Stopped"
        assert report_refusal(cloud, name) == (404, "BenchmarkTaskReport.NotFound")

    def test_a_stopped_task_can_be_started_again(self, cloud: Cloud) -> None:
        name = cloud.create_task()
        cloud.clock.advance(200)
        first = cloud.report(name)
        assert control(cloud, "Start", name)["Message"].endswith("is Starting")
        assert cloud.status(name) == "Starting"
        cloud.clock.advance(20 + 30)
        assert len(cloud.report(name)["QPSList"]) == 30
        cloud.clock.advance(40)
        second = cloud.report(name)
        assert second["TimestampList"][0] > first["TimestampList"][-1]
        assert second["RTList"] != first["RTList"]
        assert cloud.status(name) == "Stopped"

    def test_an_update_changes_the_load_of_a_running_task(self, cloud: Cloud) -> None:
        name = cloud.create_task()
        cloud.clock.advance(22 + 20)
        assert control(cloud, "Update", name, {"base": {"qps": 80}})["Message"].endswith("Updating")
        assert cloud.status(name) == "Updating"
        cloud.clock.advance(5)
        assert cloud.status(name) == "Running"
        cloud.clock.advance(35.5)
        assert cloud.status(name) == "Stopped"
        rates = cloud.report(name)["QPSList"]
        assert len(rates) == 60
        assert max(rates[:25]) <= 50 < min(rates[25:])

    def test_an_update_changes_agents_and_duration(self, cloud: Cloud) -> None:
        name = cloud.create_task()
        cloud.clock.advance(30)
        control(cloud, "Update", name, {"base": {"agentCount": 3, "duration": 120}})
        cloud.clock.advance(60)
        assert (cloud.task(name)["Status"], cloud.task(name)["AvailableAgent"]) == ("Running", 3)
        cloud.clock.advance(60)
        assert cloud.status(name) == "Stopped"

    def test_an_update_of_a_stopped_task_counts_for_the_next_run(self, cloud: Cloud) -> None:
        name = cloud.create_task()
        cloud.clock.advance(200)
        control(cloud, "Update", name, {"base": {"duration": 5}})
        cloud.clock.advance(10)
        assert len(cloud.report(name)["QPSList"]) == 60
        control(cloud, "Start", name)
        cloud.clock.advance(30)
        assert len(cloud.report(name)["QPSList"]) == 5

    def test_a_deleted_task_is_gone_and_its_name_free(self, cloud: Cloud) -> None:
        name = cloud.create_task(body(base={"name": "mine"}))
        assert control(cloud, "Delete", name)["Message"].endswith("is Deleting")
        assert cloud.status(name) == "Deleting"
        cloud.clock.advance(4)
        assert cloud.status(name) == "gone"
        assert cloud.create_task(body(base={"name": "mine"})) == "mine"

    def test_agent_seconds_are_those_under_load(self, cloud: Cloud) -> None:
        cloud.create_task(body(base={"agentCount": 3}))
        cloud.clock.advance(3600)
        assert cloud.benchmarks.state()["benchmark_tasks"][0]["agent_seconds"] == 180
        assert cloud.bill.lines(cloud.clock.time()) == []

    @pytest.mark.parametrize("maximum", ["maxRt", "maxRT"])
    def test_a_task_in_mode_auto_grows_until_the_service_is_too_slow(
        self, cloud: Cloud, maximum: str
    ) -> None:
        settings = {maximum: 20, "adjustInterval": 10, "minQPS": 1000, "qpsGrowthDelta": 300}
        name = cloud.create_task(
            body(base={"qps": 9000, "duration": 100, "concurrency": 100}, optional=settings)
        )
        cloud.clock.advance(200)
        rates = cloud.report(name)["QPSList"]
        assert rates[5] < 1010
        assert rates[15] > 1200
        assert 1500 < rates[-1] < 1650
        assert 1800 < max(rates) < 2000

    def test_a_task_that_is_to_stop_at_errors_ends_early(self, cloud: Cloud) -> None:
        settings = {"faultAction": "stop", "adjustInterval": 10}
        name = cloud.create_task(body(service={"requestToken": "wrong"}, optional=settings))
        cloud.clock.advance(22 + 11)
        assert cloud.status(name) == "Stopped"

    def test_mode_scan_goes_on_where_auto_would_step_back(self, cloud: Cloud) -> None:
        settings = {"mode": "scan", "maxRT": 1, "adjustInterval": 10, "minQPS": 10}
        name = cloud.create_task(body(base={"qps": 110}, optional=settings))
        cloud.clock.advance(200)
        assert cloud.report(name)["QPSList"][-1] > 100


class TestScripts:
    @pytest.mark.parametrize(
        ("status", "lasts_s"), [("CreateFailed", 2), ("Error", 32), ("Terminated", 32)]
    )
    def test_failed_tasks_are_kept_for_ten_minutes_only(
        self, cloud: Cloud, status: Any, lasts_s: float
    ) -> None:
        message = "benchmark master is lost"
        cloud.benchmarks.script(
            TaskScript(service="test_*", fail=status, fail_after_s=10, message=message)
        )
        name = cloud.create_task()
        cloud.clock.advance(lasts_s)
        assert (cloud.task(name)["Status"], cloud.task(name)["Message"]) == (status, message)
        cloud.clock.advance(599)
        assert cloud.status(name) == status
        cloud.clock.advance(2)
        assert cloud.status(name) == "gone"

    def test_the_report_of_a_task_that_broke_off_ends_there(self, cloud: Cloud) -> None:
        cloud.benchmarks.script(TaskScript(fail="Error", fail_after_s=10))
        name = cloud.create_task()
        cloud.clock.advance(100)
        assert len(cloud.report(name)["QPSList"]) == 10

    def test_updates_and_deletions_can_fail(self, cloud: Cloud) -> None:
        cloud.benchmarks.script(
            TaskScript(task="up", fail="UpdateFailed"), TaskScript(task="down", fail="DeleteFailed")
        )
        for name in ("up", "down"):
            cloud.create_task(body(base={"name": name}))
        cloud.clock.advance(30)
        control(cloud, "Update", "up", {"base": {"qps": 1}})
        control(cloud, "Delete", "down")
        cloud.clock.advance(6)
        assert (cloud.status("up"), cloud.status("down")) == ("UpdateFailed", "DeleteFailed")

    def test_a_status_can_last_for_ever_and_still_be_stopped(self, cloud: Cloud) -> None:
        cloud.benchmarks.script(TaskScript(stays="Starting"))
        name = cloud.create_task()
        cloud.clock.advance(7 * 24 * 3600)
        assert cloud.status(name) == "Starting"
        control(cloud, "Stop", name)
        cloud.clock.advance(6)
        assert cloud.status(name) == "Stopped"

    def test_running_can_last_for_ever_and_still_be_stopped(self, cloud: Cloud) -> None:
        cloud.benchmarks.script(TaskScript(stays="Running"))
        name = cloud.create_task()
        cloud.clock.advance(500)
        assert cloud.status(name) == "Running"
        control(cloud, "Stop", name)
        cloud.clock.advance(6)
        assert cloud.status(name) == "Stopped"

    def test_unknown_statuses_come_before_running(self, cloud: Cloud) -> None:
        cloud.benchmarks.script(TaskScript(detours=(("Warming", 30),)))
        name = cloud.create_task()
        cloud.clock.advance(40)
        assert cloud.status(name) == "Warming"
        cloud.clock.advance(15)
        assert cloud.status(name) == "Running"

    def test_a_script_can_be_read_from_a_file(self) -> None:
        read = TaskScript.model_validate({"task": "b-*", "detours": [["Warming", 30]]})
        assert read.detours == (("Warming", 30.0),)
        for wrong in ({"creating": 3}, {"fail": "Exploded"}, {"starting_s": -1}):
            with pytest.raises(ValidationError):
                TaskScript.model_validate(wrong)

    def test_a_script_is_for_the_tasks_it_names(self, cloud: Cloud) -> None:
        cloud.benchmarks.script(TaskScript(task="benchmark-qwen*", fail="CreateFailed"))
        name = cloud.create_task()
        cloud.clock.advance(5)
        assert cloud.status(name) == "Starting"


class TestCreate:
    def test_the_name_derives_from_the_service(self, cloud: Cloud) -> None:
        answer = cloud.ask("CreateBenchmarkTask", "POST", TASKS, BODY)
        stem, _, digits = answer["TaskName"].rpartition("-")
        assert stem == "benchmark-test_service"
        assert len(digits) == 4
        assert int(digits, 16) >= 0
        assert answer["Region"] == REGION
        assert answer["Message"] == f"Benchmark task [{answer['TaskName']}] is Creating"

    def test_two_tasks_without_names_get_different_ones(self, cloud: Cloud) -> None:
        assert cloud.create_task() != cloud.create_task()

    def test_a_name_in_use_is_refused_in_its_region_only(self, cloud: Cloud) -> None:
        named = body(base={"name": "mine"}, service={"serviceName": None, "serviceUrl": "http://x"})
        cloud.create_task(named)
        code = (400, "InvalidParameter.TaskAlreadyExists")
        assert cloud.refusal("CreateBenchmarkTask", "POST", TASKS, named) == code
        assert cloud.create_task(named, region="cn-shanghai") == "mine"

    def test_the_body_may_be_a_text_that_holds_json(self, cloud: Cloud) -> None:
        assert cloud.create_task(json.dumps(BODY))

    def test_unknown_fields_are_let_through(self, cloud: Cloud) -> None:
        more = body(base={"llm": {"dataset": "ShareGPT"}}, optional={"somethingNew": [1]})
        assert cloud.create_task({**more, "future": True})

    @pytest.mark.parametrize(
        "wrong",
        [
            b"",
            b"not json",
            b"[]",
            {**BODY, "base": "60"},
            body(service={"serviceName": None}),
            body(service={"serviceName": None, "serviceUrl": "ftp://x"}),
            body(data={"path": None}),
            body(data={"path": "/tmp/requests.bin"}),
            body(data={"path": None, "content": "not base64!"}),
            body(base={"name": "a b"}),
            body(base={"duration": 0}),
            body(base={"duration": "60"}),
            body(base={"qps": True}),
            body(base={"concurrency": 1.5}),
            body(http={"timeout": -1}),
            body(optional={"mode": "quick"}),
            body(optional={"faultAction": "ignore"}),
            body(optional={"faultTolerate": 2}),
            body(optional={"mode": "manual", "duration": 1201}),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, cloud: Cloud, wrong: object) -> None:
        refused = cloud.refusal("CreateBenchmarkTask", "POST", TASKS, wrong)
        assert refused == (400, "InvalidParameter")

    def test_the_service_must_be_there_and_running(self, cloud: Cloud) -> None:
        elsewhere = {"region": "cn-shanghai"}
        refused = cloud.refusal("CreateBenchmarkTask", "POST", TASKS, BODY, **elsewhere)
        assert refused == (404, "InvalidService.NotFound")
        cloud.ask("StopService", "PUT", f"/api/v2/services/{REGION}/test_service/stop")
        refused = cloud.refusal("CreateBenchmarkTask", "POST", TASKS, BODY)
        assert refused == (400, "InvalidService.Status")

    def test_a_service_of_eas_may_be_named_by_its_address(self, cloud: Cloud) -> None:
        host = f"http://1234567890123456.{REGION}.pai-eas.aliyuncs.com"
        url = f"{host}/api/predict/test_service"
        name = cloud.create_task(body(service={"serviceName": None, "serviceUrl": url}))
        cloud.clock.advance(90)
        assert cloud.report(name)["AvgRT"] == pytest.approx(8, rel=0.1)
        gone = {"serviceName": None, "serviceUrl": f"{host}/api/predict/nothing"}
        refused = cloud.refusal("CreateBenchmarkTask", "POST", TASKS, body(service=gone))
        assert refused == (404, "InvalidService.NotFound")

    def test_the_token_is_told_by_describe_and_by_nothing_else(self, cloud: Cloud) -> None:
        name = cloud.create_task()
        assert cloud.task(name)["Token"] == "test_token"
        others = [cloud.benchmarks.state(), cloud.ask("ListBenchmarkTask", "GET", TASKS)]
        assert "test_token" not in json.dumps(others)
        assert "test_token" not in repr(cloud.benchmarks._tasks)


class TestList:
    def test_tasks_are_listed_newest_first_and_by_page(self, cloud: Cloud) -> None:
        names = []
        for _ in range(5):
            names.append(cloud.create_task())
            cloud.clock.advance(1)
        page = cloud.ask("ListBenchmarkTask", "GET", TASKS, PageNumber="2", PageSize="2")
        assert [one["TaskName"] for one in page["Tasks"]] == [names[2], names[1]]
        assert (page["PageNumber"], page["PageSize"], page["TotalCount"]) == (2, 2, 5)
        turned = cloud.ask("ListBenchmarkTask", "GET", TASKS, Order="asc")
        assert [one["TaskName"] for one in turned["Tasks"]] == names

    def test_filters_look_at_tasks_and_services(self, cloud: Cloud) -> None:
        cloud.create_task()
        llm = cloud.create_task(
            body(base={"name": "llm"}, service={"serviceName": "qwen3_8b_chat"})
        )
        cloud.clock.advance(10)

        def names(**query: str) -> list[str]:
            answer = cloud.ask("ListBenchmarkTask", "GET", TASKS, **query)
            return [one["TaskName"] for one in answer["Tasks"]]

        assert names(Filter="qwen") == [llm]
        assert names(Filter="ll") == [llm]
        assert names(ServiceName="qwen3_8b_chat") == [llm]
        assert names(ServiceName="qwen3") == []
        assert len(names(Status="Starting")) == 2
        assert names(Status="Running") == []
        assert names(region="cn-shanghai") == []


class TestRefusals:
    def test_tasks_that_are_not_there(self, cloud: Cloud) -> None:
        name = cloud.create_task()
        for path in (f"{TASKS}/{REGION}/nothing", f"{TASKS}/cn-shanghai/{name}"):
            refused = cloud.refusal("DescribeBenchmarkTask", "GET", path)
            assert refused == (404, "BenchmarkTask.NotFound")

    @pytest.mark.parametrize("verb", ["Start", "Stop", "Update"])
    def test_what_a_status_does_not_allow(self, cloud: Cloud, verb: str) -> None:
        name = cloud.create_task()
        cloud.clock.advance({"Start": 30, "Stop": 200, "Update": 3}[verb])
        with pytest.raises(WireError) as refused:
            control(cloud, verb, name, {"base": {"qps": 1}})
        assert (refused.value.status, refused.value.code) == (400, "InvalidTask.Status")

    def test_what_is_being_deleted_is_not_deleted_again(self, cloud: Cloud) -> None:
        name = cloud.create_task()
        control(cloud, "Delete", name)
        with pytest.raises(WireError, match="is Deleting"):
            control(cloud, "Delete", name)

    @pytest.mark.parametrize(
        "changes",
        [
            {"service": {"serviceName": "qwen3_8b_chat"}},
            {"base": {"name": "other"}},
            {"base": 5},
            {"base": {"qps": 0}},
        ],
    )
    def test_updates_of_what_cannot_be_changed(self, cloud: Cloud, changes: object) -> None:
        name = cloud.create_task()
        cloud.clock.advance(30)
        with pytest.raises(WireError) as refused:
            control(cloud, "Update", name, changes)
        assert (refused.value.status, refused.value.code) == (400, "InvalidParameter")

    def test_a_task_is_not_started_when_its_service_has_gone(self, cloud: Cloud) -> None:
        name = cloud.create_task()
        cloud.clock.advance(200)
        cloud.ask("DeleteService", "DELETE", f"/api/v2/services/{REGION}/test_service")
        cloud.clock.advance(10)
        with pytest.raises(WireError) as refused:
            control(cloud, "Start", name)
        assert refused.value.status == 404


def report_refusal(cloud: Cloud, name: str, **query: str) -> tuple[int, str]:
    path = f"{TASKS}/{REGION}/{name}/report"
    return cloud.refusal("DescribeBenchmarkTaskReport", "GET", path, **query)


_VERBS = st.sampled_from(["Start", "Stop", "Update", "Delete"])
_STEPS = st.lists(st.tuples(st.floats(0, 5000), _VERBS), max_size=6)
# From a status, what can come next without anything being asked for.
_BY_ITSELF = {
    "Creating": {"Starting"},
    "Starting": {"Running"},
    "Running": {"Stopped"},
    "Updating": {"Running", "Stopped"},
    "Stopping": {"Stopped"},
    "Stopped": {"gone"},
    "Deleting": {"gone"},
    "gone": set(),
}


@settings(deadline=None, max_examples=60)
@given(steps=_STEPS, duration=st.integers(1, 3000), agents=st.integers(1, 30))
def test_whatever_is_done_a_task_moves_along_its_life_and_ends(
    steps: list[tuple[float, str]], duration: int, agents: int
) -> None:
    cloud = Cloud()
    name = cloud.create_task(body(base={"duration": duration, "agentCount": agents}))
    for wait_s, verb in steps:
        before = cloud.status(name)
        cloud.clock.advance(wait_s)
        after, reachable = cloud.status(name), {before}
        for _ in _BY_ITSELF:
            reachable |= {there for one in reachable for there in _BY_ITSELF[one]}
        assert after in reachable
        try:
            control(cloud, verb, name, {"base": {"qps": 5}} if verb == "Update" else None)
        except WireError:
            assert cloud.status(name) == after
            continue
        asked = {"Start": "Starting", "Stop": "Stopping", "Update": "Updating"}
        assert cloud.status(name) == asked.get(verb, "Deleting")
        described = cloud.task(name)
        assert 0 <= described["AvailableAgent"] <= described["DesiredAgent"] == agents
    cloud.clock.advance(49 * 3600 + 3000)
    assert cloud.status(name) == "gone"
    spent = cloud.benchmarks.state()["benchmark_tasks"][0]["agent_seconds"]
    assert 0 <= spent <= (1 + len(steps)) * (duration + 5) * agents
