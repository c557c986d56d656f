"""ECS: our requests, flat as RPC operations have them, are those of the official SDK."""

from __future__ import annotations

from typing import Any

import pytest
from alibabacloud_ecs20140526 import models
from alike import AWKWARD, Both, Pair, assert_alike
from contract_cloud import REGION

from tidemark.alibaba import ecs
from tidemark.alibaba.ecs import DataDisk, Ecs

SystemDisk = models.DescribePriceRequestSystemDisk
Disk = models.DescribePriceRequestDataDisk


def _priced(case: str, official: dict[str, Any], ours: dict[str, Any]) -> Pair:
    request = {
        "region_id": REGION,
        "resource_type": "instance",
        "instance_type": "ecs.c6.large",
        "price_unit": "Hour",
        "period": 1,
        "amount": 1,
        "system_disk": SystemDisk(category="cloud_essd", size=120),
    }
    return Pair(
        ecs.DESCRIBE_PRICE,
        case,
        lambda sdk: sdk.ecs.describe_price(models.DescribePriceRequest(**{**request, **official})),
        lambda account: Ecs(account).describe_price(**{"instance_type": "ecs.c6.large", **ours}),
    )


PAIRS = [
    _priced("a machine", {}, {}),
    _priced(
        "several of them, for months, as spot machines",
        {"price_unit": "Month", "period": 3, "amount": 20, "spot_strategy": "SpotAsPriceGo"},
        {"price_unit": "Month", "periods": 3, "amount": 20, "spot_strategy": "SpotAsPriceGo"},
    ),
    _priced(
        "many disks",
        {
            "system_disk": SystemDisk(category="cloud_essd", size=40, performance_level="PL0"),
            "data_disk": [
                *(Disk(category="cloud_auto", size=size) for size in range(1, 12)),
                Disk(category="cloud_essd", size=100, performance_level="PL2"),
            ],
        },
        {
            "system_disk_size_gib": 40,
            "system_disk_performance_level": "PL0",
            "data_disks": [
                *(DataDisk(size, "cloud_auto") for size in range(1, 12)),
                DataDisk(100, "cloud_essd", "PL2"),
            ],
        },
    ),
    *(
        _priced(
            text,
            {"instance_type": f"ecs.{text}", "zone_id": text},
            {"instance_type": f"ecs.{text}", "zone_id": text},
        )
        for text in AWKWARD
    ),
]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_requests_are_alike(pair: Pair, both: Both) -> None:
    await assert_alike(pair, both)
