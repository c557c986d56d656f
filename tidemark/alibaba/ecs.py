"""ECS: what machines cost (DescribePrice, ECS 2014-05-26).

PAI's public pool bills by the same instance types, so that this is the price to quote for it. What
only PAI rents out (`ml.…`, Lingjun) has no price here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from tidemark.alibaba.channel import Channel
from tidemark.alibaba.ecs_price import InstancePrice, PriceUnit, price_of
from tidemark.alibaba.endpoints import Product
from tidemark.alibaba.errors import ServiceError
from tidemark.alibaba.operations import JsonObject, Operation, Parameter
from tidemark.alibaba.sync import run
from tidemark.errors import ConfigError
from tidemark.plan.problems import did_you_mean

__all__ = ["DataDisk", "Ecs", "InstancePrice", "PriceUnit", "SpotStrategy", "describe_price"]

DESCRIBE_PRICE = Operation(Product.ECS, "DescribePrice", "POST")

SpotStrategy = Literal["NoSpot", "SpotWithPriceLimit", "SpotAsPriceGo"]

# Tried in turn where a machine takes no disk of the category that was asked for.
_CATEGORIES = ("cloud_essd", "cloud_efficiency", "cloud_auto")
_DISK_REFUSALS = (
    "InvalidSystemDiskCategory",
    "InvalidDiskCategory",
    "InvalidInstanceType.NotSupportDiskCategory",
)
_NO_PRICE = {
    "PriceNotFound": "ECS has no price for it in this region",
    "InvalidInstanceType.ValueNotSupported": "ECS does not offer this type in this region",
    "InvalidInstanceType.ValueUnauthorized": "ECS does not offer this type to this account",
}


@dataclass(frozen=True, slots=True)
class DataDisk:
    """A disk beside the system disk, of `size_gib`."""

    size_gib: int
    category: str = "cloud_essd"
    performance_level: str | None = None


class Ecs:
    """Prices for one account in one region. Every method raises AlibabaError."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def describe_price(
        self,
        instance_type: str,
        *,
        price_unit: PriceUnit = "Hour",
        periods: int = 1,
        amount: int = 1,
        system_disk_category: str = "cloud_essd",
        system_disk_size_gib: int = 120,
        system_disk_performance_level: str | None = None,
        data_disks: Sequence[DataDisk] = (),
        spot_strategy: SpotStrategy | None = None,
        zone_id: str | None = None,
    ) -> InstancePrice:
        """What a machine costs, with its disks (DescribePrice); by the hour is pay-as-you-go.

        Where ECS has no price, the answer has none and a `reason`. Where the machine takes no
        disks of this category, others are tried, and the answer says which were priced. Raises
        ConfigError for an empty instance type, an unknown unit, and numbers below 1.
        """
        _check(
            instance_type, price_unit, periods=periods, amount=amount, size_gib=system_disk_size_gib
        )
        region = self._channel.region
        asked = InstancePrice(instance_type, region, price_unit, periods, amount)
        if not instance_type.startswith("ecs."):
            reason = "only PAI rents this type out: ECS has no price for it"
            return replace(asked, reason=reason)
        refused: ServiceError | None = None
        for tried in dict.fromkeys((system_disk_category, *_CATEGORIES)):
            # Another category has other levels.
            as_asked = tried == system_disk_category
            disks = [
                {
                    "Category": disk.category if as_asked else tried,
                    "Size": disk.size_gib,
                    "PerformanceLevel": disk.performance_level if as_asked else None,
                }
                for disk in data_disks
            ]
            query: Mapping[str, Parameter] = {
                "RegionId": region,
                "ResourceType": "instance",
                "InstanceType": instance_type,
                "PriceUnit": price_unit,
                "Period": periods,
                "Amount": amount,
                "SystemDisk": {
                    "Category": tried,
                    "Size": system_disk_size_gib,
                    "PerformanceLevel": system_disk_performance_level if as_asked else None,
                },
                "DataDisk": disks,
                "SpotStrategy": spot_strategy,
                "ZoneId": zone_id,
            }
            try:
                document = await self._channel.call(DESCRIBE_PRICE, query=query)
            except ServiceError as error:
                if error.code in _NO_PRICE:
                    reason = _NO_PRICE[error.code]
                    return replace(asked, reason=reason, request_id=error.request_id)
                if not error.code.startswith(_DISK_REFUSALS):
                    raise
                refused = error
                continue
            return price_of(document, asked, tried)
        assert refused is not None
        reason = f"ECS prices it with none of the disks tried ({refused.code})"
        return replace(asked, reason=reason, request_id=refused.request_id)


def describe_price(
    instance_type: str,
    price_unit: PriceUnit = "Hour",
    instance_charge_type: str = "PostPaid",  # noqa: ARG001  # see below
    system_disk_category: str = "cloud_essd",
    system_disk_size: int = 120,
    region: str | None = None,
) -> JsonObject:
    """What a machine costs, for scripts: `result["PriceInfo"]["Price"]["TradePrice"]`.

    The answer of DescribePrice (ECS 2014-05-26) as it came, amounts as numbers in
    `result["PriceInfo"]["Price"]["Currency"]`; `TradePrice` includes a system disk of
    `system_disk_size` GiB. Where there is no price, `TradePrice` and `Currency` are None, and
    `result["Reason"]` says why. `instance_charge_type` is accepted for older scripts and never
    sent: the service has no such parameter, and by the hour means pay-as-you-go. The region is
    the configured one by default.
    """

    async def ask(channel: Channel) -> InstancePrice:
        return await Ecs(channel).describe_price(
            instance_type,
            price_unit=price_unit,
            system_disk_category=system_disk_category,
            system_disk_size_gib=system_disk_size,
        )

    price = run(ask, region)
    if price.price is not None:
        return price.wire
    nothing = {"Price": {"TradePrice": None, "Currency": None}}
    return {"PriceInfo": nothing, "Reason": price.reason, "RequestId": price.request_id}


def _check(instance_type: str, price_unit: str, **numbers: int) -> None:
    if not instance_type.strip():
        raise ConfigError("is empty", "instance_type", "Give one, such as ecs.c6.large")
    if price_unit not in get_args(PriceUnit):
        remedy = did_you_mean(price_unit, get_args(PriceUnit))
        raise ConfigError("is no unit of prices", "price_unit", remedy)
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ConfigError("is not a whole number from 1 on", name, "Give 1 or more")
