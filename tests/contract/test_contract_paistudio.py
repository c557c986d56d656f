"""PaiStudio 2022-01-12: what the official SDK gets from the simulated service."""

from __future__ import annotations

import pytest
from alibabacloud_paistudio20220112 import models
from alibabacloud_tea_openapi.exceptions import ClientException
from contract_cloud import Cloud
from official import Official
from understood import understood

from tidemark.alibaba import paistudio

QUOTA = "quota1h2x3a4m5p6l"


@pytest.mark.drives(paistudio.LIST_QUOTAS, paistudio.GET_QUOTA)
def test_quotas_are_described(cloud: Cloud, sdk: Official) -> None:
    request = models.ListQuotasRequest(quota_name="TEAM", verbose=True, page_size=10)
    page = understood(cloud, sdk.paistudio.list_quotas(request))
    assert page.total_count == 1
    assert page.quotas[0].quota_id == QUOTA
    quota = understood(cloud, sdk.paistudio.get_quota(QUOTA, models.GetQuotaRequest(verbose=True)))
    assert quota.queue_strategy == "PaiStrategyIntelligent"
    assert quota.min.node_specs[0].type == "ecs.gn7i-c32g1.16xlarge"
    assert quota.quota_details.used_quota.gpu
    with pytest.raises(ClientException) as missing:
        sdk.paistudio.get_quota("quota-none", models.GetQuotaRequest())
    assert missing.value.code == "Quota.NotFound"


@pytest.mark.drives(paistudio.LIST_WORKLOADS)
def test_a_queue_is_listed(cloud: Cloud, sdk: Official) -> None:
    waiting = models.ListQuotaWorkloadsRequest(
        status="Enqueued", workload_type="dlc", sort_by="Position", order="asc", page_size=100
    )
    page = understood(cloud, sdk.paistudio.list_quota_workloads(QUOTA, waiting))
    assert [one.position for one in page.workloads] == [1, 2]
    first = page.workloads[0]
    assert (first.workload_name, first.priority, first.quota_id) == ("finetune", 5, QUOTA)
    assert (first.resource.cpu, first.resource.memory) == ("128", "752Gi")
    assert first.use_oversold_resource is False


def test_a_range_of_times_filters_a_queue(cloud: Cloud, sdk: Official) -> None:
    recent = models.TimeRangeFilter(start_time="2025-12-31T22:45:00Z")
    request = models.ListQuotaWorkloadsRequest(
        workload_created_time_range=recent, with_historical_data=True, show_own=False
    )
    page = understood(cloud, sdk.paistudio.list_quota_workloads(QUOTA, request))
    assert {one.workload_name for one in page.workloads} == {"evaluation"}


@pytest.mark.drives(paistudio.SPOT_PRICES)
def test_spot_prices_have_a_history(cloud: Cloud, sdk: Official) -> None:
    request = models.GetSpotPriceHistoryRequest(
        start_time="2025-12-31T12:00:00Z", end_time="2026-01-01T00:00:00Z", order="desc"
    )
    page = understood(
        cloud, sdk.paistudio.get_spot_price_history("ecs.gn7i-c32g1.8xlarge", request)
    )
    assert page.total_count == len(page.spot_price_history) == 13
    assert page.spot_price_history[0].timestamp == "2026-01-01T00:00:00Z"
    assert all(0.1 <= one.spot_discount <= 1 for one in page.spot_price_history)
