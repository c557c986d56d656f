"""ECS prices: what they are made of, and what has none."""

from __future__ import annotations

from typing import Any

import pytest
from products_cloud import REGION, Cloud

from tidemark.simulator.pai.ecs import PriceScript
from tidemark.simulator.pai.world import World


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def price(cloud: Cloud, **query: object) -> dict[str, Any]:
    query = {"RegionId": REGION, "InstanceType": "ecs.c6.large", **query}
    answer = cloud.ask("DescribePrice", "POST", "/", **query)
    document: dict[str, Any] = answer["PriceInfo"]["Price"]
    return document


def lines(priced: dict[str, Any]) -> dict[str, float]:
    return {one["Resource"]: one["TradePrice"] for one in priced["DetailInfos"]["DetailInfo"]}


def refusal(cloud: Cloud, **query: object) -> tuple[int, str]:
    asked = {"RegionId": REGION, "InstanceType": "ecs.c6.large", **query}
    asked = {name: value for name, value in asked.items() if value is not None}
    return cloud.refusal("DescribePrice", "POST", "/", **asked)


class TestPrice:
    def test_the_total_is_more_than_the_machine(self, cloud: Cloud) -> None:
        priced = price(cloud)
        assert lines(priced)["instanceType"] == 0.39
        assert priced["TradePrice"] == pytest.approx(sum(lines(priced).values()))
        assert priced["TradePrice"] > 0.39
        assert priced["Currency"] == "CNY"

    def test_get_answers_as_post_does(self, cloud: Cloud) -> None:
        query = {"RegionId": REGION, "InstanceType": "ecs.c6.large"}
        answer = cloud.ask("DescribePrice", "GET", "/", **query)
        assert answer["PriceInfo"]["Price"] == price(cloud)

    def test_periods_and_amounts_multiply(self, cloud: Cloud) -> None:
        hour = price(cloud)["TradePrice"]
        assert price(cloud, Period=24)["TradePrice"] == pytest.approx(24 * hour)
        assert price(cloud, Amount=3)["TradePrice"] == pytest.approx(3 * hour)
        week = price(cloud, PriceUnit="Week", Period=2, Amount=2)
        assert week["TradePrice"] == pytest.approx(4 * 168 * hour)

    def test_disks_are_lines_of_their_own(self, cloud: Cloud) -> None:
        small = {"SystemDisk.Category": "cloud_essd", "SystemDisk.Size": 40}
        disks = {"DataDisk.1.Category": "cloud_essd", "DataDisk.1.Size": 100, "DataDisk.2.Size": 20}
        priced = price(cloud, **small, **disks)
        names = [one["Resource"] for one in priced["DetailInfos"]["DetailInfo"]]
        assert names == ["instanceType", "systemDisk", "dataDisk", "dataDisk"]
        larger = price(cloud, **small, **{**disks, "DataDisk.1.Size": 200})
        assert larger["TradePrice"] == pytest.approx(priced["TradePrice"] + 0.21)
        quicker = price(cloud, **small, **{"SystemDisk.PerformanceLevel": "PL3"})
        assert lines(quicker)["systemDisk"] == pytest.approx(4 * 40 * 0.0021)
        only = cloud.ask(
            "DescribePrice", "POST", "/", RegionId=REGION, ResourceType="disk", **disks
        )
        assert "instanceType" not in lines(only["PriceInfo"]["Price"])

    @pytest.mark.parametrize("strategy", ["SpotAsPriceGo", "SpotWithPriceLimit"])
    def test_spot_machines_are_cheaper_and_their_disks_are_not(
        self, cloud: Cloud, strategy: str
    ) -> None:
        full, spot = price(cloud), price(cloud, SpotStrategy=strategy)
        assert lines(spot)["instanceType"] == pytest.approx(0.39 * 0.25)
        assert lines(spot)["systemDisk"] == lines(full)["systemDisk"]
        assert spot["OriginalPrice"] == pytest.approx(full["TradePrice"])
        assert spot["DiscountPrice"] == pytest.approx(full["TradePrice"] - spot["TradePrice"])
        assert price(cloud, SpotStrategy="NoSpot") == full

    def test_the_currency_is_the_world_s(self) -> None:
        assert price(Cloud(World(currency="USD")))["Currency"] == "USD"


class TestRefusals:
    @pytest.mark.parametrize(
        ("query", "refused"),
        [
            ({"RegionId": None}, (400, "MissingParameter")),
            ({"RegionId": "mars-1"}, (400, "RegionUnauthorized")),
            ({"InstanceType": None}, (404, "InvalidInstanceType.Missing")),
            ({"InstanceType": "ecs.none"}, (400, "InvalidInstanceType.ValueNotSupported")),
            (
                {"InstanceType": "ml.gu7i.c32m188.1-gu30"},
                (400, "InvalidInstanceType.ValueNotSupported"),
            ),
            (
                {"InstanceType": "ml.gu7xf.c96m1600.8-gu108"},
                (400, "InvalidInstanceType.ValueNotSupported"),
            ),
            ({"InstanceType": "ecs.ebmgn7i.32xlarge"}, (400, "PriceNotFound")),
            (
                {"InstanceType": "ecs.c7.2xlarge", "SpotStrategy": "SpotAsPriceGo"},
                (400, "PriceNotFound"),
            ),
            ({"SpotStrategy": "Cheapest"}, (400, "InvalidSpotStrategy")),
            ({"PriceUnit": "Minute"}, (400, "InvalidPriceUnit.ValueNotSupported")),
            ({"Period": "0"}, (400, "InvalidParameter")),
            ({"Amount": "1001"}, (400, "InvalidParameter")),
            ({"ResourceType": "ddh"}, (400, "InvalidResourceType.ValueNotSupported")),
            ({"ResourceType": "disk"}, (400, "MissingParameter")),
            (
                {"SystemDisk.Category": "floppy"},
                (400, "InvalidSystemDiskCategory.ValueNotSupported"),
            ),
            ({"DataDisk.1.Category": "tape"}, (400, "InvalidDiskCategory.ValueNotSupported")),
            ({"SystemDisk.Size": "big"}, (400, "InvalidDiskSize.ValueNotSupported")),
            (
                {"SystemDisk.PerformanceLevel": "PL9"},
                (400, "InvalidPerformanceLevel.Malformed"),
            ),
        ],
    )
    def test_what_has_no_price_or_makes_no_sense(
        self, cloud: Cloud, query: dict[str, Any], refused: tuple[int, str]
    ) -> None:
        assert refusal(cloud, **query) == refused

    def test_some_machines_can_refuse_some_disks(self, cloud: Cloud) -> None:
        code = "InvalidSystemDiskCategory.ValueNotSupported"
        cloud.prices.script(
            PriceScript(instance_type="ecs.c6.*", code=code, categories=("cloud_essd",))
        )
        assert refusal(cloud, **{"SystemDisk.Category": "cloud_essd"}) == (400, code)
        assert price(cloud, **{"SystemDisk.Category": "cloud_efficiency"})["TradePrice"] > 0
        other = {"InstanceType": "ecs.g6.large", "SystemDisk.Category": "cloud_essd"}
        assert price(cloud, **other)["TradePrice"] > 0

    def test_any_refusal_can_be_scripted(self, cloud: Cloud) -> None:
        cloud.prices.script(PriceScript(instance_type="*", code="InstanceType.Offline", status=403))
        assert refusal(cloud) == (403, "InstanceType.Offline")
