"""ECS 2014-05-26: what the official SDK gets from the simulated DescribePrice."""

from __future__ import annotations

import pytest
from alibabacloud_ecs20140526 import models
from alibabacloud_tea_openapi.exceptions import ClientException
from contract_cloud import REGION, Cloud
from official import Official
from understood import understood

from tidemark.alibaba import ecs


def asked(instance_type: str = "ecs.c6.large", **more: object) -> models.DescribePriceRequest:
    given = {
        "region_id": REGION,
        "resource_type": "instance",
        "instance_type": instance_type,
        "price_unit": "Hour",
        "period": 1,
        "system_disk": models.DescribePriceRequestSystemDisk(category="cloud_essd", size=120),
    }
    return models.DescribePriceRequest(**{**given, **more})


@pytest.mark.drives(ecs.DESCRIBE_PRICE)
def test_a_machine_and_its_disks_have_a_price(cloud: Cloud, sdk: Official) -> None:
    disk = models.DescribePriceRequestDataDisk(
        category="cloud_essd", size=40, performance_level="PL0"
    )
    body = understood(cloud, sdk.ecs.describe_price(asked(amount=2, data_disk=[disk, disk])))
    price = body.price_info.price
    assert price.currency == "CNY"
    parts = {one.resource: one.trade_price for one in price.detail_infos.detail_info}
    assert parts["instanceType"] == pytest.approx(0.78)
    assert price.trade_price == pytest.approx(
        sum(one.trade_price for one in price.detail_infos.detail_info)
    )
    assert [one.resource for one in price.detail_infos.detail_info].count("dataDisk") == 2


def test_a_spot_machine_costs_less(cloud: Cloud, sdk: Official) -> None:
    full, spot = (
        understood(cloud, sdk.ecs.describe_price(asked(spot_strategy=strategy))).price_info.price
        for strategy in ("NoSpot", "SpotAsPriceGo")
    )
    assert spot.trade_price < full.trade_price
    assert spot.original_price == full.original_price


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (asked("ecs.ebmgn7i.32xlarge"), "PriceNotFound"),
        (asked("ml.gu7i.c32m188.1-gu30"), "InvalidInstanceType.ValueNotSupported"),
        (asked(region_id="mars-1"), "RegionUnauthorized"),
        (
            asked(system_disk=models.DescribePriceRequestSystemDisk(category="cloud_潮")),
            "InvalidSystemDiskCategory.ValueNotSupported",
        ),
    ],
)
def test_what_has_no_price_is_said_by_a_code(
    sdk: Official, request_: models.DescribePriceRequest, code: str
) -> None:
    with pytest.raises(ClientException) as refused:
        sdk.ecs.describe_price(request_)
    assert (refused.value.status_code, refused.value.code) == (400, code)
    assert refused.value.request_id
