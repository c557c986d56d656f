"""Choosing a machine: what is needed, what it costs, what speaks against the others."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemark.alibaba.dlc_answers import EcsSpec
from tidemark.alibaba.machine_choice import candidates, machine_text, rank, table_rows
from tidemark.errors import PlanError, RefusedError, TidemarkError
from tidemark.money.price import Price
from tidemark.plan.job import JobMachine

READ_AT = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)


def spec(name: str, chip: str = "CPU", cpu: float = 4, memory: float = 8, **more: Any) -> EcsSpec:
    wire = {"InstanceType": name, "AcceleratorType": chip, "Cpu": cpu, "Memory": memory}
    return EcsSpec.of({"IsAvailable": True, "PaymentTypes": ["PostPaid"], **wire, **more}, "test")


def gpu(name: str, kind: str, count: int = 1, memory: float = 24, **more: Any) -> EcsSpec:
    return spec(name, "GPU", 8, 30, Gpu=count, GpuType=kind, GpuMemory=memory, **more)


SPECS = [
    gpu("ecs.gn7i-c8g1.2xlarge", "NVIDIA A10"),
    gpu("ecs.gn7e-c16g1.4xlarge", "NVIDIA A100", memory=80),
    gpu("ecs.gn6i-c4g1.xlarge", "NVIDIA T4", memory=16),
    gpu("ecs.gn6i-c24g1.12xlarge", "NVIDIA T4", count=2, memory=16),
    spec("ecs.g6.xlarge", memory=16),
    spec("ecs.c6.xlarge"),
    spec("ecs.c6.large", cpu=2, memory=4),
    # Its name says GPU, and its accelerator type does not; and the reverse.
    spec("ecs.gn-of-processors.large", cpu=2, memory=4),
    gpu("ml.plain", "GU30"),
]
PRICES = {
    "ecs.gn7i-c8g1.2xlarge": "10.33",
    "ecs.gn7e-c16g1.4xlarge": "34.74",
    "ecs.gn6i-c4g1.xlarge": "11.63",
    "ecs.gn6i-c24g1.12xlarge": "35.93",
    "ecs.g6.xlarge": "1",
    "ecs.c6.xlarge": "0.78",
    "ecs.c6.large": "0.39",
    "ecs.gn-of-processors.large": "0.5",
    "ml.plain": None,
}


def price(amount: str | None, currency: str = "CNY") -> Price:
    return Price(
        per_hour=None if amount is None else Decimal(amount),
        currency=None if amount is None else currency,
        source="test",
        read_at=READ_AT,
        reason="only PAI rents it out" if amount is None else None,
    )


def prices(**changes: str | None) -> dict[str, Price]:
    return {name: price(amount) for name, amount in {**PRICES, **changes}.items()}


def changed(name: str, **wire: Any) -> list[EcsSpec]:
    """All machines, one of them described otherwise."""
    return [
        EcsSpec.of({**one.wire, **wire}, "test") if one.instance_type == name else one
        for one in SPECS
    ]


def needs(**given: Any) -> JobMachine:
    return JobMachine.model_validate(given)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ({}, "ecs.c6.large"),
        ({"work": "script"}, "ecs.c6.large"),
        ({"work": "data-processing"}, "ecs.c6.xlarge"),
        ({"work": "small-model"}, "ecs.gn6i-c4g1.xlarge"),
        ({"work": "large-model-fine-tuning"}, "ecs.gn7i-c8g1.2xlarge"),
        ({"memory_gib": 10}, "ecs.g6.xlarge"),
        ({"gpu": True}, "ecs.gn7i-c8g1.2xlarge"),
        ({"gpu_type": "A10"}, "ecs.gn7i-c8g1.2xlarge"),
        ({"gpu_type": "a100"}, "ecs.gn7e-c16g1.4xlarge"),
        ({"gpu_type": "A100-80G"}, "ecs.gn7e-c16g1.4xlarge"),
        ({"gpu_type": "NVIDIA T4", "gpu_count": 2}, "ecs.gn6i-c24g1.12xlarge"),
        ({"gpu_memory_gib": 40}, "ecs.gn7e-c16g1.4xlarge"),
        ({"work": "small-model", "gpu": False}, "ecs.c6.large"),
        ({"work": "script", "gpu": True}, "ecs.gn7i-c8g1.2xlarge"),
        ({"spec": "ecs.gn7e-c16g1.4xlarge"}, "ecs.gn7e-c16g1.4xlarge"),
        ({"spec": "ml.plain"}, "ml.plain"),
        ({"work": "small-model", "max_price_per_hour": {"amount": 11}}, "ecs.gn7i-c8g1.2xlarge"),
    ],
)
def test_the_machine_is_the_one_that_is_named_or_usual_or_cheapest(
    wanted: dict[str, Any], chosen: str
) -> None:
    assert rank(SPECS, prices(), needs(**wanted)).spec.instance_type == chosen


def test_a_choice_says_why_and_what_else_there_is() -> None:
    choice = rank(SPECS, prices(), needs(work="small-model"))
    assert choice.why[0].startswith("inference or fine-tuning of a small model: it computes on")
    assert "1 × GPU with 16 GiB" in choice.why[0]
    assert choice.why[1] == "it is the usual machine for that"
    assert "ecs.gn7i-c8g1.2xlarge (10.33 CNY an hour)" in choice.why[2]
    names = [one.spec.instance_type for one in choice.alternatives]
    assert names[:3] == [
        "ecs.gn7i-c8g1.2xlarge", "ecs.gn7e-c16g1.4xlarge", "ecs.gn6i-c24g1.12xlarge",
    ]  # fmt: skip
    # What has all but a price is nearer than what has no GPU.
    assert names[3] == "ml.plain"
    assert len(names) == len(SPECS) - 1
    lacking = {one.spec.instance_type: one.why_not for one in choice.alternatives if not one.fits}
    assert lacking["ml.plain"] == "has no price: only PAI rents it out"
    assert lacking["ecs.c6.large"] == "has no GPU"
    per_gpu = {one.spec.instance_type: one.per_gpu_hour for one in choice.alternatives}
    assert per_gpu["ecs.gn6i-c24g1.12xlarge"] == Decimal("17.965")
    assert per_gpu["ecs.c6.large"] is None


def test_a_usual_machine_that_cannot_be_had_is_told_with_the_reason() -> None:
    gone = changed("ecs.gn6i-c4g1.xlarge", IsAvailable=False)
    choice = rank(gone, prices(), needs(work="small-model"))
    assert choice.spec.instance_type == "ecs.gn7i-c8g1.2xlarge"
    assert "the usual machine for that, ecs.gn6i-c4g1.xlarge, is out of stock" in choice.why
    fewer = [one for one in SPECS if one.instance_type != "ecs.gn6i-c4g1.xlarge"]
    choice = rank(fewer, prices(), needs(work="small-model"))
    assert "the usual machine for that, ecs.gn6i-c4g1.xlarge, is not on offer here" in choice.why


def test_what_was_not_priced_is_told() -> None:
    some = {name: one for name, one in prices().items() if name != "ecs.g6.xlarge"}
    choice = rank(SPECS, some, needs(cpu_count=4))
    assert choice.spec.instance_type == "ecs.c6.xlarge"
    assert "1 more were not priced" in choice.why[-1]
    assert "not priced" not in rank(SPECS, prices(), needs(cpu_count=4)).why[-1]


@pytest.mark.parametrize(
    ("wanted", "where", "what", "remedy"),
    [
        ({"spec": "ecs.gn7i-c8g1.2xlarg"}, "machine.spec", "not offered", "ecs.gn7i-c8g1.2xlarge?"),
        ({"spec": "zzz"}, "machine.spec", "zzz is not offered", "tidemark pai specs"),
        ({"gpu_type": "A1O"}, "machine.gpu_type", "type A1O", "Did you mean NVIDIA A10?"),
        (
            {"gpu_type": "A100-40G"},
            "machine.gpu_type",
            "type A100-40G",
            "Did you mean NVIDIA A100?",
        ),
        ({"gpu_type": "H800-X"}, "machine.gpu_type", "type H800-X", "There are: GU30, NVIDIA A10"),
        (
            {"max_price_per_hour": {"amount": 3, "currency": "USD"}},
            "machine.max_price_per_hour.currency",
            "is in USD, and prices are in CNY: nothing is converted",
            "in CNY",
        ),
    ],
)
def test_what_there_is_not_is_refused_with_what_is_nearest(
    wanted: dict[str, Any], where: str, what: str, remedy: str
) -> None:
    with pytest.raises(PlanError) as caught:
        rank(SPECS, prices(), needs(**wanted))
    assert caught.value.where == where
    assert what in caught.value.what
    assert remedy in (caught.value.remedy or "")


def test_a_machine_that_is_out_of_stock_is_refused_with_what_may_stand_in_for_it() -> None:
    gone = changed("ecs.gn7i-c8g1.2xlarge", IsAvailable=False)
    with pytest.raises(RefusedError) as caught:
        rank(gone, prices(), needs(spec="ecs.gn7i-c8g1.2xlarge"))
    assert caught.value.where == "machine.spec"
    assert caught.value.what == "ecs.gn7i-c8g1.2xlarge is out of stock"
    assert "In its place: ecs.gn7e-c16g1.4xlarge (34.74 CNY an hour)" in (caught.value.remedy or "")
    assert "T4" not in (caught.value.remedy or "")


def test_a_named_machine_that_is_too_dear_is_refused() -> None:
    bound = {"amount": 12, "currency": "CNY"}
    with pytest.raises(RefusedError, match=r"costs 34.74 CNY an hour, more than 12 CNY") as caught:
        rank(SPECS, prices(), needs(spec="ecs.gn7e-c16g1.4xlarge", max_price_per_hour=bound))
    assert caught.value.where == "machine.spec"
    with pytest.raises(RefusedError, match="has no price: only PAI rents it out"):
        rank(SPECS, prices(), needs(spec="ml.plain", max_price_per_hour=bound))


def test_where_nothing_fits_the_nearest_is_told() -> None:
    with pytest.raises(RefusedError) as caught:
        rank(SPECS, prices(), needs(gpu_type="GU30"))
    assert caught.value.where == "machine"
    assert "ml.plain has no price: only PAI rents it out" in caught.value.what
    with pytest.raises(
        RefusedError, match=r"no machine .* fits: ecs.gn6i-c24g1.12xlarge has 2 GPUs"
    ):
        rank(SPECS, {}, needs(gpu_count=16))
    with pytest.raises(RefusedError, match="DLC offers no machine of this kind here"):
        rank([], {}, needs(gpu=True))


def test_a_spot_machine_is_chosen_by_its_own_stock() -> None:
    spots = [
        EcsSpec.of(
            {**one.wire, "PaymentTypes": ["PostPaid", "Spot"], "SpotStockStatus": "NoStock"}, "test"
        )
        for one in SPECS
    ]
    with pytest.raises(RefusedError, match="not to be had as a spot machine"):
        rank(spots, prices(), needs(spec="ecs.c6.large", spot={}))
    of_one = [
        EcsSpec.of({**one.wire, "SpotStockStatus": "WithStock", "IsAvailable": False}, "test")
        if one.instance_type == "ecs.g6.xlarge"
        else one
        for one in spots
    ]
    assert rank(of_one, prices(), needs(spot={})).spec.instance_type == "ecs.g6.xlarge"
    with pytest.raises(RefusedError, match="not to be had as a spot machine"):
        rank(SPECS, prices(), needs(spec="ecs.c6.large", spot={}))


def test_stock_that_is_not_known_does_not_exclude() -> None:
    unknown = changed("ecs.c6.large", IsAvailable=None)
    choice = rank(unknown, prices(), needs())
    assert choice.spec.instance_type == "ecs.c6.large"
    assert table_rows(choice)[0]["in stock"] == "not known"


def test_few_machines_are_priced_and_the_named_or_usual_one_is_among_them() -> None:
    names = [one.instance_type for one in candidates(SPECS, needs(work="small-model"), 2)]
    assert names == ["ecs.gn6i-c4g1.xlarge", "ecs.gn6i-c24g1.12xlarge"] or len(names) == 2
    assert names[0] == "ecs.gn6i-c4g1.xlarge"
    named = candidates(SPECS, needs(spec="ecs.gn7e-c16g1.4xlarge"), 3)
    assert named[0].instance_type == "ecs.gn7e-c16g1.4xlarge"
    gone = changed("ecs.c6.large", IsAvailable=False)
    some = candidates(gone, needs(), 2)
    assert "ecs.c6.large" not in [one.instance_type for one in some]
    assert "ecs.c6.large" in [one.instance_type for one in candidates(gone, needs(), 99)]


def test_a_choice_is_rows_for_a_table() -> None:
    rows = table_rows(rank(SPECS, prices(), needs(work="small-model")))
    assert rows[0] == {
        "choice": "chosen",
        "spec": "ecs.gn6i-c4g1.xlarge",
        "vCPU": "8",
        "memory GiB": "30",
        "GPUs": "1 × NVIDIA T4 16 GiB",
        "price per hour": "11.63 CNY",
        "price per GPU and hour": "11.63 CNY",
        "in stock": "yes",
        "note": "",
    }
    of_name = {row["spec"]: row for row in rows}
    assert of_name["ml.plain"]["price per hour"] == "not known"
    assert of_name["ml.plain"]["note"] == "has no price: only PAI rents it out"
    assert of_name["ecs.c6.large"]["GPUs"] == "-"
    assert [row["choice"] for row in rows[1:]] == [""] * (len(rows) - 1)


def test_a_machine_is_said_in_words() -> None:
    assert machine_text(SPECS[0]) == "ecs.gn7i-c8g1.2xlarge (8 vCPU, 30 GiB, 1 × NVIDIA A10 24 GiB)"
    assert machine_text(SPECS[6]) == "ecs.c6.large (2 vCPU, 4 GiB)"
    assert machine_text(EcsSpec.of({"InstanceType": "ecs.x"}, "test")) == "ecs.x"


_amounts = st.none() | st.decimals("0.01", "99", places=2).map(str)
_machines = st.builds(
    lambda chip, cpu, memory, count, size, stock: spec(
        "ecs.m", chip, cpu, memory, Gpu=count, GpuMemory=size, GpuType="X", IsAvailable=stock
    ),
    st.sampled_from(["CPU", "GPU", "", "PPU"]),
    st.integers(1, 64),
    st.integers(1, 512),
    st.integers(0, 8),
    st.integers(0, 96),
    st.sampled_from([True, False, None]),
)
_wanted = st.fixed_dictionaries(
    {},
    optional={
        "work": st.sampled_from(["any", "script", "small-model", "large-model-pre-training"]),
        "gpu": st.booleans(),
        "cpu_count": st.integers(1, 64),
        "memory_gib": st.integers(1, 512),
        "max_price_per_hour": st.fixed_dictionaries({"amount": st.integers(1, 99)}),
    },
)


@settings(deadline=None)
@given(st.lists(st.tuples(_machines, _amounts), max_size=8), _wanted)
def test_what_is_chosen_always_has_what_is_needed_and_nothing_cheaper_was_left(
    offered: list[tuple[EcsSpec, str | None]], wanted: dict[str, Any]
) -> None:
    specs = [
        EcsSpec.of({**one.wire, "InstanceType": f"ecs.m{number}"}, "test")
        for number, (one, _) in enumerate(offered)
    ]
    of_name = {
        one.instance_type: price(amount) for one, (_, amount) in zip(specs, offered, strict=True)
    }
    asked = needs(**wanted)
    try:
        choice = rank(specs, of_name, asked)
    except TidemarkError as error:
        assert error.where in ("machine", "machine.max_price_per_hour.currency")  # noqa: PT017
        return
    chosen = choice.offer
    assert chosen.fits
    assert chosen.price.per_hour is not None
    assert chosen.available is not False
    if asked.gpu is not None:
        assert chosen.spec.is_gpu == asked.gpu
    assert (chosen.spec.cpu or 0) >= (asked.cpu_count or 0)
    assert (chosen.spec.memory_gib or 0) >= (asked.memory_gib or 0)
    if asked.max_price_per_hour is not None:
        assert chosen.price.per_hour <= asked.max_price_per_hour.amount
    cheapest = min(
        one.price.per_hour
        for one in (chosen, *choice.alternatives)
        if one.fits and one.price.per_hour
    )
    assert chosen.price.per_hour == cheapest
    assert all(one.why_not for one in choice.alternatives if not one.fits)
    assert len(choice.alternatives) == len(specs) - 1
