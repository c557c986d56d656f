"""Prices of machines: with and without their disks, in any currency, or with a reason for none."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import httpx
import pytest
from cloud import ADDRESS, Cloud, cloud

from tidemark.alibaba import sync
from tidemark.alibaba.account import Account
from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.ecs import DataDisk, Ecs, describe_price
from tidemark.alibaba.ecs_price import InstancePrice
from tidemark.alibaba.errors import InvalidRequestError, ServiceError
from tidemark.errors import ConfigError
from tidemark.simulator.clock import VirtualClock
from tidemark.simulator.pai.ecs import EcsPrices, PriceScript
from tidemark.simulator.pai.world import World

KEY = StaticCredentials.of("LTAIsimulator", "simulator-secret")


def script(here: Cloud, *scripts: PriceScript) -> None:
    for service in here.simulator.services:
        if isinstance(service, EcsPrices):
            service.script(*scripts)


async def answered(document: dict[str, Any]) -> InstancePrice:
    """The price that is made of an answer."""
    text = httpx.Response(200, json=document)
    account = Account(
        KEY,
        "cn-hangzhou",
        endpoints=ADDRESS,
        transport=httpx.MockTransport(lambda _: text),
        clock=VirtualClock(jump=True),
    )
    return await Ecs(account).describe_price("ecs.c6.large")


def told(**price: Any) -> dict[str, Any]:
    return {"PriceInfo": {"Price": price}, "RequestId": "r-1"}


async def test_a_price_has_the_machine_apart_from_its_disk() -> None:
    here = cloud()
    price = await Ecs(here.account).describe_price("ecs.c6.large")
    assert price.price == Decimal("0.642")
    assert price.currency == "CNY"
    assert price.instance_price_per_hour == Decimal("0.39")
    assert price.disk_price_per_hour == Decimal("0.252")
    assert price.instance_price_per_hour + price.disk_price_per_hour == price.price
    assert price.original_price == price.price
    assert price.discount_price == 0
    assert price.system_disk_category == "cloud_essd"
    assert price.reason is None
    assert price.request_id
    (call,) = here.calls("DescribePrice")
    assert call["query"] == {
        "RegionId": "cn-hangzhou",
        "ResourceType": "instance",
        "InstanceType": "ecs.c6.large",
        "PriceUnit": "Hour",
        "Period": "1",
        "Amount": "1",
        "SystemDisk.Category": "cloud_essd",
        "SystemDisk.Size": "120",
    }


async def test_several_machines_for_several_hours_cost_the_same_each_hour() -> None:
    ecs = Ecs(cloud().account)
    one = await ecs.describe_price("ecs.c6.large")
    many = await ecs.describe_price("ecs.c6.large", periods=3, amount=4)
    assert one.price is not None
    assert many.price == one.price * 12
    assert many.instance_price_per_hour == one.instance_price_per_hour
    assert many.disk_price_per_hour == one.disk_price_per_hour


async def test_a_price_by_the_week_is_no_price_by_the_hour() -> None:
    week = await Ecs(cloud().account).describe_price("ecs.c6.large", price_unit="Week")
    assert week.price is not None
    assert week.instance_price is not None
    assert week.instance_price_per_hour is None
    assert week.disk_price_per_hour is None


async def test_spot_machines_and_more_disks_are_priced() -> None:
    ecs = Ecs(cloud().account)
    full = await ecs.describe_price("ecs.c6.large")
    spot = await ecs.describe_price("ecs.c6.large", spot_strategy="SpotAsPriceGo")
    assert spot.instance_price_per_hour < full.instance_price_per_hour  # type: ignore[operator]
    disks = await ecs.describe_price(
        "ecs.c6.large", data_disks=[DataDisk(40), DataDisk(40, performance_level="PL2")]
    )
    assert disks.instance_price == full.instance_price
    assert disks.disk_price > full.disk_price  # type: ignore[operator]


async def test_any_currency_is_told_as_it_is() -> None:
    price = await Ecs(cloud(world=World(currency="USD")).account).describe_price("ecs.c6.large")
    assert price.currency == "USD"


@pytest.mark.parametrize(
    ("instance_type", "reason", "asked"),
    [
        ("ecs.ebmgn7i.32xlarge", "ECS has no price for it in this region", 1),
        ("ecs.no-such.large", "ECS does not offer this type in this region", 1),
        ("ml.gu7i.c32m188.1-gu30", "only PAI rents this type out", 0),
        ("lingjun.example", "only PAI rents this type out", 0),
    ],
)
async def test_no_price_has_a_reason_and_is_never_zero(
    instance_type: str, reason: str, asked: int
) -> None:
    here = cloud()
    price = await Ecs(here.account).describe_price(instance_type)
    assert price.price is None
    assert price.instance_price_per_hour is None
    assert price.disk_price_per_hour is None
    assert price.currency is None
    assert price.reason is not None
    assert price.reason.startswith(reason)
    assert bool(price.request_id) == bool(asked)
    assert len(here.calls("DescribePrice")) == asked


async def test_a_type_that_the_account_may_not_use_has_no_price() -> None:
    here = cloud()
    script(
        here, PriceScript(instance_type="ecs.c6.*", code="InvalidInstanceType.ValueUnauthorized")
    )
    price = await Ecs(here.account).describe_price("ecs.c6.large")
    assert price.reason == "ECS does not offer this type to this account"


@pytest.mark.parametrize(
    "code",
    [
        "InvalidSystemDiskCategory.ValueNotSupported",
        "InvalidDiskCategory.NotSupported",
        "InvalidInstanceType.NotSupportDiskCategory",
    ],
)
async def test_other_disks_are_tried_where_some_are_refused(code: str) -> None:
    here = cloud()
    script(here, PriceScript(instance_type="ecs.gn6*", code=code, categories=("cloud_essd",)))
    price = await Ecs(here.account).describe_price(
        "ecs.gn6i-c4g1.xlarge",
        system_disk_performance_level="PL1",
        data_disks=[DataDisk(40, performance_level="PL1")],
    )
    assert price.system_disk_category == "cloud_efficiency"
    assert price.instance_price_per_hour == Decimal("11.63")
    first, second = here.calls("DescribePrice")
    assert first["query"]["SystemDisk.PerformanceLevel"] == "PL1"
    assert "SystemDisk.PerformanceLevel" not in second["query"]
    assert second["query"]["DataDisk.1.Category"] == "cloud_efficiency"


async def test_every_category_is_tried_once() -> None:
    here = cloud()
    script(here, PriceScript(instance_type="*", code="InvalidSystemDiskCategory.ValueNotSupported"))
    price = await Ecs(here.account).describe_price(
        "ecs.c6.large", system_disk_category="cloud_auto"
    )
    assert price.price is None
    assert price.reason is not None
    assert "none of the disks tried" in price.reason
    tried = [call["query"]["SystemDisk.Category"] for call in here.calls("DescribePrice")]
    assert tried == ["cloud_auto", "cloud_essd", "cloud_efficiency"]


async def test_what_is_no_question_of_price_is_an_error() -> None:
    here = cloud()
    script(here, PriceScript(instance_type="*", code="InstanceType.Offline", status=403))
    with pytest.raises(ServiceError, match=r"InstanceType\.Offline"):
        await Ecs(here.account).describe_price("ecs.c6.large")
    other = cloud()
    script(other, PriceScript(instance_type="*", code="InvalidParameter"))
    with pytest.raises(InvalidRequestError):
        await Ecs(other.account).describe_price("ecs.c6.large")


async def test_throttling_is_waited_out_though_its_status_is_400() -> None:
    here = cloud("calls: [{when: {nth: 1}, then: {throttle: {status: 400}}}]")
    assert (await Ecs(here.account).describe_price("ecs.c6.large")).price is not None
    assert len(here.calls("DescribePrice")) == 2


@pytest.mark.parametrize(
    "price",
    [
        {},
        {"Currency": "CNY"},
        {"Currency": "CNY", "TradePrice": None},
        {"Currency": "CNY", "TradePrice": 0},
        {"Currency": "CNY", "TradePrice": 0.0},
        {"Currency": "CNY", "TradePrice": -1},
        {"Currency": "CNY", "TradePrice": "n/a"},
        {"Currency": "CNY", "TradePrice": True},
        {"TradePrice": 1.5},
        {"Currency": "", "TradePrice": 1.5},
    ],
)
async def test_an_answer_without_an_amount_or_a_currency_is_no_price(price: dict[str, Any]) -> None:
    found = await answered(told(**price))
    assert found.price is None
    assert found.currency is None
    assert found.reason
    assert found.request_id == "r-1"
    assert found.wire == {}


async def test_answers_of_another_shape_are_no_price() -> None:
    for document in ({}, {"PriceInfo": None}, {"PriceInfo": {"Price": []}}):
        assert (await answered(document)).reason == "ECS answered without a price"


async def test_amounts_keep_their_digits_and_missing_lines_leave_the_total() -> None:
    price = await answered(told(Currency="EUR", TradePrice=0.1, OriginalPrice="0.30"))
    assert price.price == Decimal("0.1")
    assert price.original_price == Decimal("0.30")
    assert price.instance_price is None
    assert price.instance_price_per_hour == Decimal("0.1")
    assert price.disk_price_per_hour is None
    lines = {"DetailInfo": [{"Resource": "instanceType", "TradePrice": 0}]}
    price = await answered(told(Currency="EUR", TradePrice=0.1, DetailInfos=lines))
    assert price.instance_price_per_hour == Decimal("0.1")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"instance_type": " "}, "instance_type: is empty"),
        ({"price_unit": "hour"}, "Did you mean Hour"),
        ({"periods": 0}, "periods: is not a whole number"),
        ({"amount": True}, "amount: is not a whole number"),
        ({"system_disk_size_gib": 0}, "size_gib: is not a whole number"),
    ],
)
async def test_impossible_questions_are_refused_before_they_are_sent(
    asked: dict[str, Any], said: str
) -> None:
    here = cloud()
    with pytest.raises(ConfigError, match=said):
        await Ecs(here.account).describe_price(**{"instance_type": "ecs.c6.large", **asked})
    assert here.simulator.requests() == []


@pytest.fixture
def scripts() -> Any:
    """The functions for scripts, pointed at a simulated cloud."""
    here = cloud()
    sync.use(
        source=KEY,
        region="cn-hangzhou",
        endpoints=ADDRESS,
        transport=here.simulator.transport(),
        clock=here.clock,
        settings=ChannelSettings(calls_per_s=10_000),
    )
    yield here
    sync.use()


def test_a_script_gets_the_answer_as_it_came(scripts: Cloud) -> None:
    result: Any = describe_price(
        instance_type="ecs.c6.large",
        price_unit="Hour",
        instance_charge_type="PostPaid",
        system_disk_category="cloud_essd",
        system_disk_size=120,
    )
    assert result["PriceInfo"]["Price"]["TradePrice"] * 2 == pytest.approx(1.284)
    assert result["PriceInfo"]["Price"]["Currency"] == "CNY"
    assert result["RequestId"]
    (call,) = scripts.calls("DescribePrice")
    assert "PostPaid" not in call["query"].values()
    assert threading.current_thread() is threading.main_thread()


def test_a_script_is_told_why_there_is_no_price(scripts: Cloud) -> None:  # noqa: ARG001
    result: Any = describe_price("ml.gu7i.c32m188.1-gu30")
    assert result["PriceInfo"]["Price"]["TradePrice"] is None
    assert result["Reason"].startswith("only PAI rents this type out")
    with pytest.raises(TypeError):
        result["PriceInfo"]["Price"]["TradePrice"] * 2
