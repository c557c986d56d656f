"""What the simulated cloud has to give: machines, their stock and prices, regions, an account."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

__all__ = ["MachineSpec", "World"]


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """A machine that jobs run on, as ListEcsSpecs (2020-12-03) describes it.

    `gpu_memory_gib` is per GPU. `spot_discount` is the price of a spot machine as a share of the
    full one, None where there is no spot. `price_per_hour` is in the world's currency, None where
    ECS quotes none: `ml.*`, Lingjun, and bare metal.
    """

    instance_type: str
    accelerator_type: Literal["CPU", "GPU"]
    cpu: int
    memory_gib: int
    gpu: int = 0
    gpu_type: str = ""
    gpu_memory_gib: int = 0
    resource_type: Literal["ECS", "Lingjun"] = "ECS"
    is_available: bool = True
    payment_types: tuple[str, ...] = ("PostPaid",)
    spot_stock_status: Literal["WithStock", "NoStock"] = "NoStock"
    spot_discount: float | None = None
    price_per_hour: Decimal | None = None


def _cpu(
    name: str,
    cpu: int,
    memory_gib: int,
    price: str,
    *,
    spot: float | None = None,
    stock: bool = True,
) -> MachineSpec:
    return MachineSpec(
        name,
        "CPU",
        cpu,
        memory_gib,
        is_available=stock,
        payment_types=("PostPaid",) if spot is None else ("PostPaid", "Spot"),
        spot_stock_status="NoStock" if spot is None else "WithStock",
        spot_discount=spot,
        price_per_hour=Decimal(price),
    )


def _gpu(
    name: str,
    cpu: int,
    memory_gib: int,
    gpus: str,
    price: str | None,
    *,
    spot: float | None = None,
    spot_stock: bool = True,
    stock: bool = True,
    lingjun: bool = False,
) -> MachineSpec:
    """`gpus` reads `4 × NVIDIA A10, 24`: how many, which, and the memory of each in GiB."""
    count, _, rest = gpus.partition(" × ")
    kind, _, memory = rest.partition(", ")
    return MachineSpec(
        name,
        "GPU",
        cpu,
        memory_gib,
        gpu=int(count),
        gpu_type=kind,
        gpu_memory_gib=int(memory),
        resource_type="Lingjun" if lingjun else "ECS",
        is_available=stock,
        payment_types=("PostPaid",) if spot is None else ("PostPaid", "Spot"),
        spot_stock_status="WithStock" if spot is not None and spot_stock else "NoStock",
        spot_discount=spot,
        price_per_hour=None if price is None else Decimal(price),
    )


_SPECS = (
    _cpu("ecs.c6.large", 2, 4, "0.39", spot=0.25),
    _cpu("ecs.c6.xlarge", 4, 8, "0.78", spot=0.25),
    _cpu("ecs.c7.2xlarge", 8, 16, "1.67"),
    _cpu("ecs.g6.large", 2, 8, "0.5", spot=0.3),
    _cpu("ecs.g6.xlarge", 4, 16, "1"),
    _cpu("ecs.g6.2xlarge", 8, 32, "2"),
    _cpu("ecs.g6.4xlarge", 16, 64, "4", stock=False),
    _cpu("ecs.g7.8xlarge", 32, 128, "8.6"),
    _cpu("ecs.r6.xlarge", 4, 32, "1.32"),
    _cpu("ecs.r7.4xlarge", 16, 128, "5.7"),
    _gpu("ecs.gn6i-c4g1.xlarge", 4, 15, "1 × NVIDIA T4, 16", "11.63", spot=0.3),
    _gpu("ecs.gn6i-c8g1.2xlarge", 8, 31, "1 × NVIDIA T4, 16", "14", stock=False),
    _gpu("ecs.gn6i-c24g1.12xlarge", 48, 186, "2 × NVIDIA T4, 16", "35.93"),
    _gpu("ecs.gn6v-c8g1.2xlarge", 8, 32, "1 × NVIDIA V100, 16", "26.46", spot=0.2),
    _gpu("ecs.gn6v-c8g1.8xlarge", 32, 128, "4 × NVIDIA V100, 16", "105.84", stock=False),
    _gpu("ecs.gn6e-c12g1.3xlarge", 12, 92, "1 × NVIDIA V100, 32", "20.2"),
    _gpu("ecs.gn7i-c8g1.2xlarge", 8, 30, "1 × NVIDIA A10, 24", "10.33", spot=0.4),
    _gpu("ecs.gn7i-c32g1.8xlarge", 32, 188, "1 × NVIDIA A10, 24", "15.93", spot=0.35),
    _gpu("ecs.gn7i-c32g1.16xlarge", 64, 376, "2 × NVIDIA A10, 24", "31.87"),
    _gpu("ecs.ebmgn7i.32xlarge", 128, 768, "4 × NVIDIA A10, 24", None),
    _gpu("ecs.gn7e-c16g1.4xlarge", 16, 125, "1 × NVIDIA A100, 80", "34.74", spot=0.5),
    _gpu("ecs.ebmgn7e.32xlarge", 128, 1024, "8 × NVIDIA A100, 80", None, stock=False),
    _gpu("ml.gu7i.c32m188.1-gu30", 32, 188, "1 × GU30, 24", None, spot=0.4, spot_stock=False),
    _gpu("ml.gu7xf.c96m1600.8-gu108", 96, 1600, "8 × GU108, 96", None, spot=0.6, lingjun=True),
)

# The regions in which jobs can run.
_REGIONS = (
    "ap-northeast-1",
    "ap-southeast-1",
    "ap-southeast-3",
    "ap-southeast-5",
    "ap-southeast-7",
    "cn-beijing",
    "cn-guangzhou",
    "cn-hangzhou",
    "cn-hongkong",
    "cn-shanghai",
    "cn-shanghai-finance-1",
    "cn-shenzhen",
    "cn-wulanchabu",
    "eu-central-1",
    "me-east-1",
    "us-east-1",
    "us-southeast-1",
    "us-west-1",
)


@dataclass(frozen=True, slots=True)
class World:
    """The machines, the regions and the account that exist; the same machines in every region."""

    specs: tuple[MachineSpec, ...] = _SPECS
    regions: tuple[str, ...] = _REGIONS
    default_region: str = "cn-hangzhou"
    account_id: str = "1234567890123456"
    currency: str = "CNY"
    default_workspace_id: str = "268"
    _by_name: dict[str, MachineSpec] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {spec.instance_type: spec for spec in self.specs})

    def spec(self, instance_type: str) -> MachineSpec | None:
        """The machine of this name, None if there is none."""
        return self._by_name.get(instance_type)
