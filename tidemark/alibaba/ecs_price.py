"""The price of a machine: what ECS said it costs, or why it gave no price."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Literal

from tidemark.alibaba.operations import JsonObject

__all__ = ["InstancePrice", "PriceUnit", "price_of"]

PriceUnit = Literal["Hour", "Week", "Month", "Year"]

_INSTANCE = "instanceType"


@dataclass(frozen=True, slots=True)
class InstancePrice:
    """What `periods` units of time (`price_unit`) of so many machines (`amount`) cost together.

    `price` is all of it, with the disks, after all discounts (`TradePrice`), in `currency`;
    `instance_price` the machines alone and `disk_price` their disks, None where the answer has no
    lines for them. Where there is no price, all of them are None and `reason` says why: no price
    is never 0. An estimate of what PAI bills for the same type, not a bill. `wire` is the answer as
    it came, empty where there was no price.
    """

    instance_type: str
    region: str
    price_unit: PriceUnit
    periods: int
    amount: int
    price: Decimal | None = None
    currency: str | None = None
    original_price: Decimal | None = None
    discount_price: Decimal | None = None
    instance_price: Decimal | None = None
    disk_price: Decimal | None = None
    system_disk_category: str | None = None
    request_id: str | None = None
    reason: str | None = None
    wire: JsonObject = field(default_factory=dict, repr=False, compare=False)

    @property
    def instance_price_per_hour(self) -> Decimal | None:
        """One machine for an hour, without its disks; with them where the answer has no lines.

        None where there is no price, and where the price is not by the hour.
        """
        total = self.instance_price if self.instance_price is not None else self.price
        return self._each_hour(total)

    @property
    def disk_price_per_hour(self) -> Decimal | None:
        """The disks of one machine for an hour; None where it is not known."""
        return self._each_hour(self.disk_price)

    def _each_hour(self, price: Decimal | None) -> Decimal | None:
        if price is None or self.price_unit != "Hour":
            return None
        return price / (self.periods * self.amount)


def price_of(document: JsonObject, asked: InstancePrice, category: str) -> InstancePrice:
    """`asked` with what DescribePrice (ECS 2014-05-26) answered for it."""
    price = _object(_object(document.get("PriceInfo")).get("Price"))
    lines = _object(price.get("DetailInfos")).get("DetailInfo")
    found = [_object(line) for line in lines] if isinstance(lines, list) else []
    total = _money(price.get("TradePrice"))
    request_id = str(document.get("RequestId") or "") or None
    currency = str(price.get("Currency") or "").strip() or None
    if not total or currency is None:
        reason = "ECS answered without a price" if not total else "ECS named no currency"
        return replace(asked, reason=reason, request_id=request_id)
    return replace(
        asked,
        price=total,
        currency=currency,
        original_price=_money(price.get("OriginalPrice")),
        discount_price=_money(price.get("DiscountPrice")),
        # A machine is never free: a line of 0 says nothing.
        instance_price=_sum(
            [_money(line.get("TradePrice")) for line in found if _is_instance(line)]
        )
        or None,
        disk_price=_sum([_money(line.get("TradePrice")) for line in found if _is_disk(line)]),
        system_disk_category=category,
        request_id=request_id,
        wire=document,
    )


def _object(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _is_instance(line: JsonObject) -> bool:
    return str(line.get("Resource")).casefold() == _INSTANCE.casefold()


def _is_disk(line: JsonObject) -> bool:
    return "disk" in str(line.get("Resource")).casefold()


def _sum(amounts: list[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known and len(known) == len(amounts) else None


def _money(value: object) -> Decimal | None:
    """An amount, with the digits that the answer's text has; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None
