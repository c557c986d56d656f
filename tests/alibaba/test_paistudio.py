"""Quotas and their queues, what holds a workload back, and what spot machines have cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cloud import ADDRESS, LEAVE, cloud, request

from tidemark.alibaba.account import Account
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.errors import InvalidRequestError, NotFoundError
from tidemark.alibaba.paistudio import PaiStudio, TimeRange
from tidemark.simulator.clock import VirtualClock

QUOTA = "quota1h2x3a4m5p6l"


async def test_quotas_are_listed_and_found() -> None:
    here = cloud()
    studio = PaiStudio(here.account)
    (quota,) = await studio.list_quotas()
    assert (quota.quota_id, quota.quota_name, quota.resource_type) == (QUOTA, "team-quota", "ECS")
    assert here.calls("ListQuotas")[0]["path"] == "/api/v1/quotas/"
    assert quota.quota_details is None
    assert (await studio.get_quota(QUOTA)).quota_details is not None
    (verbose,) = await studio.list_quotas(quota_ids=[QUOTA], verbose=True)
    assert verbose.quota_details is not None
    assert await studio.list_quotas(quota_ids=["quota-other"]) == []
    assert await studio.list_quotas(resource_type="Lingjun") == []
    assert len(await studio.list_quotas(quota_name="TEAM", workspace_ids=["268"])) == 1
    with pytest.raises(NotFoundError):
        await studio.get_quota("quota-other")


async def test_a_queue_has_positions_and_history() -> None:
    studio = PaiStudio(cloud().account)
    queue = await studio.list_quota_workloads(QUOTA)
    waiting = [each for each in queue if each.status == "Enqueued"]
    assert sorted(each.position or 0 for each in waiting) == [1, 2]
    first = next(each for each in waiting if each.position == 1)
    assert first.workload_name == "finetune"
    assert first.priority == 5
    assert first.resource is not None
    assert first.reason
    assert first.gmt_created_time is not None
    assert first.gmt_dequeued_time is None
    everything = await studio.list_quota_workloads(QUOTA, with_history=True)
    assert {each.workload_name for each in everything} - {each.workload_name for each in queue} == {
        "ablation"
    }


async def test_a_queue_is_filtered() -> None:
    here = cloud()
    studio = PaiStudio(here.account)
    now = datetime.fromtimestamp(here.clock.time(), UTC)

    async def names(**filters: object) -> set[str]:
        found = await studio.list_quota_workloads(QUOTA, **filters)  # type: ignore[arg-type]
        return {each.workload_name for each in found}

    assert await names(workload_ids=["dlc4seeded000004", "dlc5seeded000005"]) == {
        "finetune",
        "evaluation",
    }
    assert await names(workload_names=["finetune"]) == {"finetune"}
    assert await names(status="Enqueued") == {"finetune", "evaluation"}
    assert await names(workload_statuses=["PreAllocation", "Running"]) == {
        "distillation",
        "pretraining",
    }
    assert await names(before_workload_id="dlc5seeded000005") == {"finetune"}
    assert await names(user_ids=["nobody"]) == set()
    assert await names(workspace_ids=["268"], workload_type="dlc", show_own=False) == {
        "finetune",
        "evaluation",
        "distillation",
        "pretraining",
    }
    lately = TimeRange(since=now - timedelta(hours=1, minutes=45))
    assert await names(created=lately) == {"finetune", "evaluation"}
    assert await names(enqueued=TimeRange(until=now - timedelta(hours=3))) == {"pretraining"}
    assert await names(dequeued=TimeRange(now - timedelta(hours=1), now)) == {"distillation"}
    assert here.calls("ListQuotaWorkloads")[-1]["query"]["GmtDequeuedTimeRange.EndTime"] == (
        "2026-01-01T00:00:00Z"
    )


async def test_a_long_queue_is_read_to_its_end() -> None:
    here = cloud()
    for number in range(104):
        share = {"image": "i", "resources": {"cpu": "64", "gpu": "2"}}
        job = request(f"bench-{number}", resource_id=QUOTA, job_specs=[share], workspace_id="268")
        await here.dlc.create_job(job, authorization=LEAVE)
    queue = await PaiStudio(here.account).list_quota_workloads(QUOTA)
    assert len([each for each in queue if each.workload_name.startswith("bench-")]) == 104


async def test_what_holds_a_workload_back_is_told() -> None:
    studio = PaiStudio(cloud().account)
    waiting = await studio.diagnose_quota_workload(QUOTA, "dlc4seeded000004")
    assert waiting.exceeded == {"SelfQuotaLimit": ("CPU", "GPU", "Memory")}
    running = await studio.diagnose_quota_workload(QUOTA, "dlc2seeded000002")
    assert running.exceeded == {}
    with pytest.raises(InvalidRequestError):
        await studio.diagnose_quota_workload(QUOTA, "dlc1seeded000001")
    with pytest.raises(NotFoundError):
        await studio.diagnose_quota_workload(QUOTA, "dlcother")


async def test_a_diagnosis_without_a_wrapper_or_without_limits_is_read() -> None:
    documents = [
        {"WorkloadId": "w", "ResourceDiagnosis": {"UserLimit": {"ExceedResources": ["GPU"]}}},
        {"WorkloadId": "w"},
    ]

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=documents.pop(0))

    account = Account(
        StaticCredentials.of("LTAIexample", "example-secret"),
        "cn-hangzhou",
        endpoints=ADDRESS,
        transport=httpx.MockTransport(answer),
        clock=VirtualClock(jump=True),
    )
    studio = PaiStudio(account)
    assert (await studio.diagnose_quota_workload("q", "w")).exceeded == {"UserLimit": ("GPU",)}
    assert (await studio.diagnose_quota_workload("q", "w")).exceeded == {}


async def test_spot_prices_of_a_span_come_oldest_first() -> None:
    here = cloud()
    studio = PaiStudio(here.account)
    now = datetime.fromtimestamp(here.clock.time(), UTC)
    prices = await studio.get_spot_price_history(
        "ecs.c6.large", since=now - timedelta(hours=5), until=now
    )
    times = [price.timestamp for price in prices]
    assert len(times) == 6
    assert times == sorted(times)  # type: ignore[type-var]
    assert all(0 < (price.spot_discount or 0) <= 1 and price.zone_id for price in prices)
    # A whole week, by the hour, in pages.
    assert len(await studio.get_spot_price_history("ml.gu7xf.c96m1600.8-gu108")) > 100
    assert await studio.get_spot_price_history("ecs.c7.2xlarge") == []
    with pytest.raises(NotFoundError):
        await studio.get_spot_price_history("ecs.no-such")
