"""Quotas with their queues, spot prices, and workload documents."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
from products_cloud import REGION, Cloud

from tidemark.alibaba.signing import roa_sha1_authorization
from tidemark.simulator.pai.quotas import QUOTAS, Quota

QUOTA = QUOTAS[0].quota_id
QUEUE = f"/api/v1/quotas/{QUOTA}/workloads"
FIELDS = {
    "WorkloadId",
    "WorkloadName",
    "WorkloadType",
    "WorkloadStatus",
    "WorkloadCreatedTime",
    "WorkspaceId",
    "WorkspaceName",
    "UserId",
    "TenantId",
    "UserName",
    "Priority",
    "IsScheduled",
    "QueueMetas",
}


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def create_job(cloud: Cloud, *, quota: str | None = QUOTA, **changes: Any) -> str:
    spec: dict[str, Any] = {"Type": "Worker", "Image": "registry.example.com/b:1", "PodCount": 1}
    if quota:
        spec["ResourceConfig"] = {"CPU": "4", "Memory": "16Gi", "GPU": "1"}
    else:
        spec["EcsSpec"] = "ecs.c6.large"
    body = {
        "DisplayName": "bench",
        "JobType": "PyTorchJob",
        "UserCommand": "echo",
        "JobSpecs": [spec],
        "WorkspaceId": "268",
        "ResourceId": quota,
        **changes,
    }
    return str(cloud.ask("CreateJob", "POST", "/api/v1/jobs", body)["JobId"])


def queue(cloud: Cloud, **query: object) -> list[dict[str, Any]]:
    answer = cloud.ask("ListQuotaWorkloads", "GET", QUEUE, **{"PageSize": 100, **query})
    found: list[dict[str, Any]] = answer["Workloads"]
    assert answer["TotalCount"] == len(found)
    return found


def names(cloud: Cloud, **query: object) -> list[str]:
    return [one["WorkloadName"] for one in queue(cloud, **query)]


class TestQueue:
    def test_others_are_in_it_from_the_start(self, cloud: Cloud) -> None:
        found = {one["WorkloadName"]: one for one in queue(cloud)}
        assert {one["Status"] for one in found.values()} == {"Enqueued", "Dequeued"}
        assert found["distillation"]["WorkloadStatus"] == "PreAllocation"
        assert found["pretraining"]["Position"] == 0
        assert [found[name]["Position"] for name in ("finetune", "evaluation")] == [1, 2]
        assert found["finetune"]["GmtDequeuedTime"] == ""
        assert found["finetune"]["Resource"]["GPU"] == "4"

    def test_what_is_over_is_told_when_asked_for(self, cloud: Cloud) -> None:
        assert "ablation" not in names(cloud)
        assert "ablation" in names(cloud, WithHistoricalData="True")

    def test_a_job_of_the_quota_waits_in_it_and_leaves_it(self, cloud: Cloud) -> None:
        job_id = create_job(cloud)
        create_job(cloud, quota=None)
        [waiting] = queue(cloud, WorkloadIds=job_id)
        assert (waiting["Status"], waiting["Position"]) == ("Enqueued", 3)
        assert len(queue(cloud)) == 5
        while queue(cloud, WorkloadIds=job_id)[0]["Status"] == "Enqueued":
            cloud.clock.advance(5)
        [left] = queue(cloud, WorkloadIds=job_id)
        assert (left["Position"], left["WorkloadStatus"]) == (0, "PreAllocation")
        assert left["GmtDequeuedTime"] > left["GmtEnqueuedTime"]
        cloud.clock.advance(30 * 86_400)
        assert queue(cloud, WorkloadIds=job_id) == []
        [over] = queue(cloud, WorkloadIds=job_id, WithHistoricalData="true")
        assert (over["WorkloadStatus"], over["Status"]) == ("Succeeded", "Dequeued")
        cloud.ask("DeleteJob", "DELETE", f"/api/v1/jobs/{job_id}")
        assert queue(cloud, WorkloadIds=job_id, WithHistoricalData="true") == []

    def test_a_higher_priority_is_further_in_front(self, cloud: Cloud) -> None:
        job_id = create_job(cloud, Priority=9)
        [waiting] = queue(cloud, WorkloadIds=job_id)
        assert (waiting["Position"], waiting["Priority"]) == (1, 9)

    def test_in_strict_order_priority_does_not_count(self) -> None:
        quota = Quota(QUOTA, "strict", "ecs.g6.xlarge", 2, "PaiStrategyStrictFIFO")
        cloud = Cloud(quotas=(quota,))
        job_id = create_job(cloud, Priority=9)
        assert queue(cloud, WorkloadIds=job_id)[0]["Position"] == 3

    def test_a_job_stopped_while_it_waits_has_left(self, cloud: Cloud) -> None:
        job_id = create_job(cloud)
        cloud.ask("StopJob", "POST", f"/api/v1/jobs/{job_id}/stop")
        cloud.clock.advance(600)
        assert queue(cloud, WorkloadIds=job_id) == []
        [over] = queue(cloud, WorkloadIds=job_id, WithHistoricalData="true")
        assert (over["Status"], over["Position"]) == ("Dequeued", 0)

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"Status": "Enqueued"}, ["finetune", "evaluation"]),
            ({"Status": "Dequeued"}, ["pretraining", "distillation"]),
            ({"WorkloadStatuses": "Running,PreAllocation"}, ["pretraining", "distillation"]),
            ({"WorkloadNames": "finetune"}, ["finetune"]),
            ({"WorkloadType": "dsw"}, []),
            ({"WorkspaceIds": "268,1", "Priority": 5}, ["finetune"]),
            ({"UserIds": "1"}, []),
            ({"ShowOwn": "true"}, []),
            ({"Position": 2}, ["evaluation"]),
            ({"BeforeWorkloadId": "dlc5seeded000005"}, ["finetune"]),
            ({"NodeName": "team-quota-node-1"}, ["pretraining"]),
            ({"UseOversoldResource": "true"}, []),
            ({"SubQuotaIds": "quotaother"}, []),
            ({"WorkloadCreatedTimeRange.StartTime": "2025-12-31T22:45:00Z"}, ["evaluation"]),
            ({"WorkloadCreatedTimeRange": '{"EndTime":"2025-12-31T00:00:00Z"}'}, ["pretraining"]),
            ({"GmtDequeuedTimeRange.EndTime": "2026-01-01T00:00:00Z", "Status": "Enqueued"}, []),
            (
                {"SortBy": "Priority", "Order": "desc", "Status": "Enqueued"},
                ["finetune", "evaluation"],
            ),
        ],
    )
    def test_filters(self, cloud: Cloud, query: dict[str, Any], found: list[str]) -> None:
        assert names(cloud, **query) == found

    def test_pages_of_ten(self, cloud: Cloud) -> None:
        for _ in range(8):
            create_job(cloud)
        first = cloud.ask("ListQuotaWorkloads", "GET", QUEUE)
        assert (len(first["Workloads"]), first["TotalCount"]) == (10, 12)

    @pytest.mark.parametrize(
        "query",
        [
            {"WorkloadCreatedTimeRange": "today"},
            {"WorkloadCreatedTimeRange.StartTime": "today"},
            {"SortBy": "Colour"},
            {"Position": "first"},
        ],
    )
    def test_queries_that_make_no_sense(self, cloud: Cloud, query: dict[str, str]) -> None:
        refused = cloud.refusal("ListQuotaWorkloads", "GET", QUEUE, **query)
        assert refused == (400, "InvalidParameter")


class TestQuota:
    def test_quotas_are_listed(self, cloud: Cloud) -> None:
        path = "/api/v1/quotas/"
        answer = cloud.ask("ListQuotas", "GET", path)
        assert [one["QuotaId"] for one in answer["Quotas"]] == [QUOTA]
        for query in (
            {"ResourceType": "Lingjun"},
            {"QuotaName": "x"},
            {"QuotaIds": "x,y"},
            {"Statuses": "Creating"},
            {"WorkspaceIds": "1"},
            {"ParentQuotaId": QUOTA},
            {"region": "cn-shanghai"},
        ):
            assert cloud.ask("ListQuotas", "GET", path, **query)["TotalCount"] == 0
        assert cloud.ask("ListQuotas", "GET", path, QuotaName="TEAM")["TotalCount"] == 1

    def test_a_quota_tells_what_is_in_use(self, cloud: Cloud) -> None:
        before = cloud.ask("GetQuota", "GET", f"/api/v1/quotas/{QUOTA}")["QuotaDetails"]
        assert before["ActualMinQuota"]["GPU"] == "8"
        assert before["AllocatedQuota"]["GPU"] == "5"
        job_id = create_job(cloud)
        while queue(cloud, WorkloadIds=job_id)[0]["Status"] == "Enqueued":
            cloud.clock.advance(5)
        after = cloud.ask("GetQuota", "GET", f"/api/v1/quotas/{QUOTA}")["QuotaDetails"]
        assert after["AllocatedQuota"]["GPU"] == "6"

    def test_quotas_that_are_not_there(self, cloud: Cloud) -> None:
        refused = cloud.refusal("GetQuota", "GET", "/api/v1/quotas/quotanone")
        assert refused == (404, "Quota.NotFound")

    def test_a_diagnosis_says_what_is_missing(self, cloud: Cloud) -> None:
        def diagnosis(workload_id: str) -> dict[str, Any]:
            path = f"{QUEUE}/{workload_id}/diagnosis"
            document = cloud.ask("GetQuotaWorkloadDiagnosis", "GET", path)["Diagnosis"]
            assert document["WorkloadId"] == workload_id
            limit: dict[str, Any] = document["ResourceDiagnosis"]["SelfQuotaLimit"]
            return limit

        waiting = diagnosis("dlc4seeded000004")
        assert (waiting["Status"], waiting["ExceedResources"]) == (
            "Exceeded",
            ["CPU", "GPU", "Memory"],
        )
        assert (waiting["Used"]["GPU"], waiting["Limit"]["GPU"]) == ("5", "8")
        assert diagnosis("dlc2seeded000002")["Status"] == "Normal"

    def test_what_is_over_or_unknown_has_no_diagnosis(self, cloud: Cloud) -> None:
        for workload_id, refused in (
            ("dlc1seeded000001", (400, "InvalidWorkload.Status")),
            ("dlcnone", (404, "Workload.NotFound")),
        ):
            path = f"{QUEUE}/{workload_id}/diagnosis"
            assert cloud.refusal("GetQuotaWorkloadDiagnosis", "GET", path) == refused


class TestSpotPrices:
    PATH = "/api/v1/spots/ecs.c6.large/pricehistory"

    def test_an_hourly_history_of_seven_days(self, cloud: Cloud) -> None:
        answer = cloud.ask("GetSpotPriceHistory", "GET", self.PATH)
        prices = answer["SpotPriceHistory"]
        assert len(prices) == answer["TotalCount"] == 7 * 24 + 1
        stamps = [one["Timestamp"] for one in prices]
        assert stamps == sorted(stamps)
        assert {one["ZoneId"] for one in prices} == {f"{REGION}-h"}
        assert all(0.2 < one["SpotDiscount"] < 0.3 for one in prices)
        assert len({one["SpotDiscount"] for one in prices}) > 1
        cloud.clock.advance(3600)
        later = cloud.ask("GetSpotPriceHistory", "GET", self.PATH)["SpotPriceHistory"]
        assert later[:-1] == prices[1:]

    def test_a_range_and_an_order(self, cloud: Cloud) -> None:
        times = {"StartTime": "2025-12-31T10:00:00Z", "EndTime": "2025-12-31T12:30:00Z"}
        answer = cloud.ask("GetSpotPriceHistory", "GET", self.PATH, Order="desc", **times)
        hours = [one["Timestamp"][11:13] for one in answer["SpotPriceHistory"]]
        assert hours == ["12", "11", "10"]

    def test_lingjun_s_history_comes_in_pages(self, cloud: Cloud) -> None:
        path = "/api/v1/spots/ml.gu7xf.c96m1600.8-gu108/pricehistory"
        answer = cloud.ask("GetSpotPriceHistory", "GET", path)
        assert (len(answer["SpotPriceHistory"]), answer["TotalCount"]) == (10, 169)

    def test_machines_without_spot_have_none_and_others_do_not_exist(self, cloud: Cloud) -> None:
        path = "/api/v1/spots/ecs.c7.2xlarge/pricehistory"
        assert cloud.ask("GetSpotPriceHistory", "GET", path)["SpotPriceHistory"] == []
        path = "/api/v1/spots/ecs.none/pricehistory"
        assert cloud.refusal("GetSpotPriceHistory", "GET", path)[0] == 404
        refused = cloud.refusal(
            "GetSpotPriceHistory", "GET", self.PATH, StartTime="2025-12-01T00:00:00Z"
        )
        assert refused == (400, "InvalidParameter")


class TestDocuments:
    def one(self, cloud: Cloud, workload_id: str) -> dict[str, Any]:
        return cloud.ask("GetWorkloadInfo", "GET", f"/workloads/{workload_id}")

    def listed(self, cloud: Cloud, **query: object) -> list[str]:
        answer = cloud.ask("ListWorkloads", "GET", "/workloads", **query)
        assert list(answer) == ["Workloads"]
        return [one["WorkloadName"] for one in answer["Workloads"]]

    def test_one_workload(self, cloud: Cloud) -> None:
        known = self.one(cloud, "wl-1234567890abcdef")
        assert set(known) == FIELDS
        assert known["IsScheduled"] == "false"
        assert known["QueueMetas"] == [{"QueueId": "q-xyz789", "QueueName": "gpu-queue"}]
        refused = cloud.refusal("GetWorkloadInfo", "GET", "/workloads/wl-none")
        assert refused == (404, "Workload.NotFound")

    def test_queues_are_a_list_or_null_or_missing(self, cloud: Cloud) -> None:
        answer = cloud.ask("ListWorkloads", "GET", "/workloads")["Workloads"]
        queues = [one.get("QueueMetas", "missing") for one in answer]
        assert queues[1:] == [None, [], "missing"]
        assert {one["WorkloadStatus"] for one in answer} == {
            "Pending",
            "Running",
            "Succeeded",
            "Failed",
        }

    def test_a_job_is_a_workload(self, cloud: Cloud) -> None:
        job_id, public = create_job(cloud), create_job(cloud, quota=None)
        waiting = self.one(cloud, job_id)
        assert set(waiting) == FIELDS
        assert (waiting["WorkloadStatus"], waiting["IsScheduled"]) == ("Pending", "false")
        assert waiting["QueueMetas"] == [{"QueueId": QUOTA, "QueueName": QUOTA}]
        assert self.one(cloud, public)["QueueMetas"] is None
        cloud.clock.advance(120)
        running = self.one(cloud, job_id)
        assert (running["WorkloadStatus"], running["IsScheduled"]) == ("Running", "true")
        cloud.clock.advance(30 * 86_400)
        assert self.one(cloud, job_id)["WorkloadStatus"] == "Succeeded"
        cloud.ask("DeleteJob", "DELETE", f"/api/v1/jobs/{job_id}")
        assert cloud.refusal("GetWorkloadInfo", "GET", f"/workloads/{job_id}")[0] == 404

    def test_a_stopped_job_has_failed(self, cloud: Cloud) -> None:
        job_id = create_job(cloud)
        cloud.ask("StopJob", "POST", f"/api/v1/jobs/{job_id}/stop")
        cloud.clock.advance(600)
        assert self.one(cloud, job_id)["WorkloadStatus"] == "Failed"

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({"WorkloadId": "wl-1234567890abcdef"}, ["image-classification-training"]),
            (
                {"WorkloadName": "nightly-evaluation", "WorkspaceId": "ws-abcdef123456"},
                ["nightly-evaluation"],
            ),
            ({"WorkloadName": "nightly-evaluation", "WorkspaceId": "ws-other"}, []),
            ({"WorkloadStatus": "Failed"}, ["tokenizer-build"]),
            ({"IsScheduled": "true"}, ["embedding-refresh", "tokenizer-build"]),
            ({"Priority": 10}, ["image-classification-training"]),
            ({"UserName": "bob@example.com"}, []),
            ({"QueueMetas": "q-xyz789"}, ["image-classification-training"]),
            ({"region": "cn-beijing"}, []),
        ],
    )
    def test_filters(self, cloud: Cloud, query: dict[str, Any], found: list[str]) -> None:
        assert self.listed(cloud, **query) == found

    @pytest.mark.parametrize(
        "query", [{"WorkloadStatus": "Queued"}, {"IsScheduled": "True"}, {"Priority": "high"}]
    )
    def test_queries_that_make_no_sense(self, cloud: Cloud, query: dict[str, str]) -> None:
        refused = cloud.refusal("ListWorkloads", "GET", "/workloads", **query)
        assert refused == (400, "InvalidParameter")

    async def test_the_older_signature_without_an_action_is_taken(
        self, start: Callable[..., Any]
    ) -> None:
        pai = start()
        path = "/workloads/wl-1234567890abcdef"
        headers = {
            "accept": "application/json",
            "date": formatdate(pai.clock.time(), usegmt=True),
            "x-acs-signature-method": "HMAC-SHA1",
            "x-acs-signature-version": "1.0",
            "x-acs-signature-nonce": "once",
        }
        headers["authorization"] = roa_sha1_authorization(
            "LTAIsimulator",
            "simulator-secret",
            method="GET",
            raw_path=path,
            raw_query="",
            headers=headers,
        )
        url = f"http://pai-workload.cn-hangzhou.simulator{path}"
        answer = await pai.http.get(url, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["WorkloadName"] == "image-classification-training"
        unsigned = {name: value for name, value in headers.items() if name != "authorization"}
        assert (await pai.http.get(url, headers=unsigned)).status_code == 400
