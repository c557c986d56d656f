"""ECS prices: DescribePrice (2014-05-26), an RPC operation at `/`.

A price is that of the machine, its system disk and its data disks, each a line of
`DetailInfos.DetailInfo`; `TradePrice` is their sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import BaseModel, Field

from tidemark.simulator.pai.job_script import strict_model
from tidemark.simulator.pai.wire import Call, Route, Service, WireError, refuse
from tidemark.simulator.pai.world import MachineSpec, World

__all__ = ["EcsPrices", "PriceScript"]

_VERSION = "2014-05-26"
_HOURS = {"Hour": 1, "Day": 24, "Week": 168, "Month": 720, "Year": 8760}
# Per GiB and hour.
_DISKS = {
    "cloud": Decimal("0.0004"),
    "cloud_efficiency": Decimal("0.00049"),
    "cloud_ssd": Decimal("0.0014"),
    "cloud_auto": Decimal("0.00105"),
    "cloud_essd": Decimal("0.0021"),
    "cloud_essd_entry": Decimal("0.00077"),
}
_LEVELS = {"PL0": Decimal("0.5"), "PL1": Decimal(1), "PL2": Decimal(2), "PL3": Decimal(4)}
_SPOT = ("SpotWithPriceLimit", "SpotAsPriceGo")
_SYSTEM_DISK = ("cloud_efficiency", 40)


class PriceScript(BaseModel):
    """How asking for the price of some machines goes wrong.

    `instance_type` is a pattern such as `ecs.gn6*`. With `categories`, only requests whose disks
    are of one of them are refused. `status`, `code` and `message` are the answer; `code` is one of
    DescribePrice's, such as `PriceNotFound`, `InstanceType.Offline`,
    `InvalidSystemDiskCategory.ValueNotSupported` or `InvalidInstanceType.NotSupportDiskCategory`.
    """

    model_config = strict_model

    instance_type: str
    code: Annotated[str, Field(min_length=1)]
    status: Annotated[int, Field(ge=400, le=599)] = 400
    message: str = "The specified parameter is not supported."
    categories: tuple[str, ...] = Field(default=(), strict=False)

    def refusal(self, instance_type: str, categories: tuple[str, ...]) -> WireError | None:
        """The answer, None where this machine with these disks is not meant."""
        if not fnmatchcase(instance_type, self.instance_type):
            return None
        if self.categories and not set(self.categories) & set(categories):
            return None
        return WireError(self.status, self.code, self.message)


@dataclass(frozen=True, slots=True)
class _Disk:
    resource: str  # as the line is named: systemDisk, dataDisk
    category: str
    size_gib: int
    level: str

    def per_hour(self) -> Decimal:
        factor = _LEVELS[self.level] if self.category == "cloud_essd" else Decimal(1)
        return _DISKS[self.category] * factor * self.size_gib


class EcsPrices(Service):
    """What machines and disks cost, in the world's currency."""

    def __init__(self, world: World, scripts: tuple[PriceScript, ...] = ()) -> None:
        self._world = world
        self._scripts = tuple(scripts)
        self._asked = 0

    def routes(self) -> list[Route]:
        """DescribePrice by POST and by GET."""
        return [
            Route("Ecs", _VERSION, "DescribePrice", method, "/", self.describe_price)
            for method in ("POST", "GET")
        ]

    def state(self) -> dict[str, Any]:
        """How often prices were asked for."""
        return {"prices_asked": self._asked}

    def script(self, *scripts: PriceScript) -> None:
        """Let some requests be refused from now on, in place of what was scripted; the first
        script that matches decides."""
        self._scripts = scripts

    def describe_price(self, call: Call) -> dict[str, Any]:
        """DescribePrice: the price of an instance with its disks, or of disks alone.

        Refuses with PriceNotFound what has no price, with
        InvalidInstanceType.ValueNotSupported what ECS does not sell.
        """
        self._asked += 1
        region = _needed(call, "RegionId")
        if region not in self._world.regions:
            refuse(400, "RegionUnauthorized", f"There is no authority to use region {region}.")
        kind = call.query.get("ResourceType", "") or "instance"
        if kind not in ("instance", "disk"):
            refuse(400, "InvalidResourceType.ValueNotSupported", f"{kind} is not supported.")
        unit = call.query.get("PriceUnit", "") or "Hour"
        if unit not in _HOURS:
            refuse(400, "InvalidPriceUnit.ValueNotSupported", f"{unit} is not supported.")
        units = call.number("Period", 1, least=1) * call.number("Amount", 1, least=1, most=1000)
        hours = _HOURS[unit] * units

        disks = _disks(call.query, system=kind == "instance")
        lines = []
        if kind == "instance":
            spec = self._spec(call.query.get("InstanceType", ""), disks)
            lines.append(_instance_line(spec, call.query.get("SpotStrategy", ""), hours))
        lines += [_line(disk.resource, disk.per_hour() * hours) for disk in disks]
        total = {
            name: float(sum(Decimal(str(line[name])) for line in lines))
            for name in ("OriginalPrice", "DiscountPrice", "TradePrice")
        }
        price = {"Currency": self._world.currency, **total, "ReservedInstanceHourPrice": 0.0}
        free = {"OriginalPrice": 0.0, "DiscountPrice": 0.0, "TradePrice": 0.0}
        return {
            "PriceInfo": {
                "Price": {**price, "DetailInfos": {"DetailInfo": lines}},
                "RelatedPrice": {
                    "MarketplaceImagePrice": {"Currency": self._world.currency, **free}
                },
                "Rules": {"Rule": []},
            }
        }

    def _spec(self, name: str, disks: list[_Disk]) -> MachineSpec:
        if not name:
            refuse(
                404, "InvalidInstanceType.Missing", "The parameter InstanceType must be specified."
            )
        categories = tuple(disk.category for disk in disks)
        for script in self._scripts:
            refusal = script.refusal(name, categories)
            if refusal:
                raise refusal
        spec = self._world.spec(name)
        # Machines that only PAI rents out are no instance types of ECS.
        if spec is None or not name.startswith("ecs.") or spec.resource_type != "ECS":
            refuse(
                400,
                "InvalidInstanceType.ValueNotSupported",
                "The specified InstanceType is not supported.",
            )
        if spec.price_per_hour is None:
            refuse(400, "PriceNotFound", "The price of your queried resource is not found.")
        return spec


def _instance_line(spec: MachineSpec, strategy: str, hours: int) -> dict[str, Any]:
    if strategy not in ("", "NoSpot", *_SPOT):
        refuse(400, "InvalidSpotStrategy", "The specified SpotStrategy is not valid.")
    share = 1.0
    if strategy in _SPOT:
        if spec.spot_discount is None:
            refuse(400, "PriceNotFound", "The price of your queried resource is not found.")
        share = spec.spot_discount
    return _line("instanceType", (spec.price_per_hour or Decimal(0)) * hours, Decimal(str(share)))


def _line(resource: str, original: Decimal, share: Decimal = Decimal(1)) -> dict[str, Any]:
    original = round(original, 6)
    trade = round(original * share, 6)
    return {
        "Resource": resource,
        "OriginalPrice": float(original),
        "DiscountPrice": float(original - trade),
        "TradePrice": float(trade),
        "SubRules": {"Rule": []},
    }


def _disks(query: Mapping[str, str], *, system: bool) -> list[_Disk]:
    disks = []
    if system:
        category, size_gib = _SYSTEM_DISK
        disks.append(_disk(query, "SystemDisk", "systemDisk", category, size_gib))
    number = 1
    while any(name.startswith(f"DataDisk.{number}.") for name in query):
        disks.append(_disk(query, f"DataDisk.{number}", "dataDisk", "cloud_efficiency", 20))
        number += 1
    if not disks:
        refuse(400, "MissingParameter", "The parameter DataDisk.1.Size must be specified.")
    return disks


def _disk(
    query: Mapping[str, str], prefix: str, resource: str, category: str, size_gib: int
) -> _Disk:
    category = query.get(f"{prefix}.Category", "") or category
    if category not in _DISKS:
        code = "InvalidSystemDiskCategory" if resource == "systemDisk" else "InvalidDiskCategory"
        refuse(400, f"{code}.ValueNotSupported", f"The disk category {category} is not supported.")
    level = query.get(f"{prefix}.PerformanceLevel", "") or "PL1"
    if level not in _LEVELS:
        refuse(400, "InvalidPerformanceLevel.Malformed", f"{prefix}.PerformanceLevel is not valid.")
    text = query.get(f"{prefix}.Size", "") or str(size_gib)
    if not text.isdecimal() or not 1 <= int(text) <= 65_536:
        refuse(400, "InvalidDiskSize.ValueNotSupported", f"{prefix}.Size is not valid.")
    return _Disk(resource, category, int(text), level)


def _needed(call: Call, name: str) -> str:
    value = call.query.get(name, "")
    if not value:
        refuse(400, "MissingParameter", f"The input parameter {name} is mandatory.")
    return value
