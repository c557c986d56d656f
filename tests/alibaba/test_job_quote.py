"""The quote of a job: what was looked up for it, what it may cost, what was assumed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from cloud import Cloud, cloud

from tidemark.alibaba.job_look_up import LookUp
from tidemark.alibaba.job_quote import (
    ENGINE_INSTALL_S,
    IMAGE_PULL_S,
    LIBRARIES_S,
    QuoteSettings,
    look_up,
    quote_job,
)
from tidemark.errors import CapReached, LedgerError, PlanError, RefusedError
from tidemark.money.approval import Approval, approve
from tidemark.money.quote import Quote
from tidemark.plan.job import JobPlan, plan_hash
from tidemark.simulator.pai.ecs import EcsPrices, PriceScript
from tidemark.simulator.pai.world import World

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
A10 = "ecs.gn7i-c8g1.2xlarge"
SWEEP = {
    "endpoint": {"url": "http://my-service:8080", "model": "llama"},
    "tokenizer": "org/llama@main",
    "scenarios": ["D(100,100)"],
    "concurrency": [1, 4],
}


def job(**given: Any) -> JobPlan:
    usual = {} if "sweep" in given else {"command": "nvidia-smi"}
    return JobPlan.model_validate({**usual, **given})


async def found_in(here: Cloud, **given: Any) -> LookUp:
    return await look_up(here.account, job(**given), clock=here.clock)


def quoted(plan: JobPlan, found: LookUp, now: datetime = NOW, **settings: float) -> Quote:
    return quote_job(
        plan,
        found,
        run_id="r1",
        number=1,
        plan_hash=plan_hash(plan),
        now=now,
        settings=QuoteSettings(**settings),
    )


async def quote_of(here: Cloud, **given: Any) -> Quote:
    plan = job(**given)
    return quoted(plan, await look_up(here.account, plan, clock=here.clock))


def yes_to(quote: Quote) -> Approval:
    return Approval(
        approval_id="a1",
        run_id=quote.run_id,
        quote_id=quote.quote_id,
        plan_hash=quote.plan_hash,
        decision="approve",
        up_to=Decimal(99),
        currency="CNY",
        by="someone",
        channel="terminal",
        decided_at=quote.quoted_at,
    )


def script(here: Cloud, *scripts: PriceScript) -> None:
    for service in here.simulator.services:
        if isinstance(service, EcsPrices):
            service.script(*scripts)


async def test_a_command_gets_the_cheapest_machine_and_its_price() -> None:
    here = cloud()
    found = await found_in(here, machine={"work": "script"})
    assert found.mode == "public"
    assert found.spec is not None
    assert found.spec.instance_type == "ecs.c6.large"
    assert found.machine_text == "ecs.c6.large (2 vCPU, 4 GiB)"
    assert found.price.per_hour == Decimal("0.39")  # the machine alone, not its disk
    assert found.price.currency == "CNY"
    assert found.price.source == "ECS DescribePrice (2014-05-26), cn-hangzhou"
    assert found.image.partition(":")[2].count("cpu")
    assert found.region == "cn-hangzhou"
    assert here.jobs == {}


async def test_nothing_is_created_and_few_prices_are_asked_for() -> None:
    here = cloud()
    await found_in(here, machine={"work": "small-model"})
    assert len(here.calls("ListEcsSpecs")) == 1
    assert 1 < len(here.calls("DescribePrice")) <= 8
    assert not here.calls("CreateJob")
    assert not here.calls("CreateWorkspace")


async def test_a_sweep_gets_processors_where_its_plan_does_not_say() -> None:
    found = await found_in(cloud(), sweep=SWEEP)
    assert found.spec is not None
    assert found.spec.instance_type == "ecs.c6.xlarge"
    capped = await found_in(cloud(), sweep=SWEEP, machine={"max_price_per_hour": {"amount": 0.8}})
    assert capped.spec == found.spec
    with pytest.raises(RefusedError, match=r"costs 0.78 CNY an hour, more than 0.5 CNY"):
        await found_in(cloud(), sweep=SWEEP, machine={"max_price_per_hour": {"amount": 0.5}})


async def test_a_gpu_is_told_by_its_accelerator_type_alone() -> None:
    # No part of this name says so.
    found = await found_in(cloud(), machine={"spec": "ml.gu7i.c32m188.1-gu30"})
    assert "gpu" in found.image.rpartition(":")[2]
    assert found.price.per_hour is None
    assert "only PAI rents this type out" in str(found.price.reason)


@pytest.mark.parametrize(
    ("machine", "kind", "where", "what"),
    [
        ({"spec": "ecs.gn7i-c8g1.2xlarg"}, PlanError, "machine.spec", "not offered"),
        ({"spec": "ecs.g6.4xlarge"}, RefusedError, "machine.spec", "out of stock"),
        ({"gpu_type": "B200X"}, PlanError, "machine.gpu_type", "no machine on offer"),
        (
            {"work": "script", "max_price_per_hour": {"amount": 1, "currency": "USD"}},
            PlanError,
            "machine.max_price_per_hour.currency",
            "nothing is converted",
        ),
        (
            {"spec": "ml.gu7xf.c96m1600.8-gu108", "spot": {}},
            PlanError,
            "vpc",
            "spot machine of Lingjun",
        ),
    ],
)
async def test_what_cannot_be_had_is_refused_at_its_field_before_anything_is_created(
    machine: dict[str, Any], kind: type[Exception], where: str, what: str
) -> None:
    here = cloud()
    with pytest.raises(kind, match=what) as caught:
        await found_in(here, machine=machine)
    assert getattr(caught.value, "where", None) == where
    assert not here.calls("CreateJob")


async def test_a_quote_is_price_times_time_with_all_that_was_assumed() -> None:
    quote = await quote_of(cloud(), machine={"spec": A10}, workers=2, expected_s=420)
    assert quote.quote_id == "r1-q1"
    assert quote.mode == "public"
    assert quote.spec == A10
    assert quote.machine == f"{A10} (8 vCPU, 30 GiB, 1 × NVIDIA A10 24 GiB)"
    assert quote.workers == 2
    assert quote.per_hour == Decimal("20.66")
    assert quote.expected_s == IMAGE_PULL_S + 420
    assert quote.expected == Decimal("3.443334")  # rounded up
    assert quote.bound_s == 7200
    assert quote.bound == Decimal("41.32")
    told = "\n".join(quote.notes)
    assert "the image is assumed to be there after 180 s" in told
    assert "the plan expects 420 s of running" in told
    assert "the image's digest is not known" in told


async def test_a_sweep_is_expected_to_take_what_its_cells_take_at_most() -> None:
    quote = await quote_of(cloud(), sweep=SWEEP)
    assert quote.expected_s == IMAGE_PULL_S + LIBRARIES_S + ENGINE_INSTALL_S + 300
    assert "the sweep is counted with what its cells take at most, 300 s" in quote.notes
    own = await quote_of(cloud(), sweep=SWEEP, image="registry.example.com/bench:1")
    assert own.expected_s == quote.expected_s - LIBRARIES_S


async def test_a_command_without_an_expectation_counts_all_the_time_it_may_run() -> None:
    quote = await quote_of(cloud(), limits={"total_s": 1800})
    assert quote.expected_s == quote.bound_s == 1800
    assert any("expected_s" in note for note in quote.notes)


async def test_more_than_the_limits_allow_is_never_expected() -> None:
    quote = await quote_of(cloud(), limits={"total_s": 600}, expected_s=590)
    assert quote.expected_s == quote.bound_s == 600
    assert "together that is longer than the limits allow, 600 s" in quote.notes
    assert "together" not in "".join((await quote_of(cloud(), expected_s=590)).notes)
    assert "together" not in "".join((await quote_of(cloud())).notes)


@pytest.mark.parametrize(
    ("limits", "bound_s"),
    [
        ({"total_s": 1800}, 1800),
        # The service ends jobs after whole minutes: what that adds is part of the bound.
        ({"total_s": 1801}, 1860),
        ({"total_s": 3600, "running_s": 600}, 3600),
    ],
)
async def test_the_bound_covers_whatever_the_limits_allow(
    limits: dict[str, float], bound_s: float
) -> None:
    quote = await quote_of(cloud(), limits=limits)
    assert quote.bound_s == bound_s
    assert quote.bound_s >= 60 * job(limits=limits).limits.running_minutes


async def test_what_can_come_on_top_follows_from_how_the_installation_works() -> None:
    here = cloud()
    plan = job(limits={"poll_interval_s": 20})
    found = await look_up(here.account, plan, clock=here.clock)
    quote = quoted(plan, found, stop_s=40.0, lease_ttl_s=120.0, reaper_interval_s=300.0)
    assert quote.poll_s == 60
    assert quote.unwatched_s == 460
    assert quote.overshoot == Decimal("0.0065")


async def test_a_quote_holds_from_when_the_price_was_read() -> None:
    here = cloud()
    plan = job()
    found = await look_up(here.account, plan, clock=here.clock)
    later = found.price.read_at + timedelta(seconds=60)
    quote = quoted(plan, found, now=later, valid_s=600.0)
    assert quote.quoted_at == later
    assert quote.expires_at == found.price.read_at + timedelta(seconds=600)


async def test_a_spot_machine_is_counted_at_the_most_that_its_limit_allows() -> None:
    here = cloud()
    plan = job(machine={"spec": A10, "spot": {"discount_limit": 0.6}})
    found = await look_up(here.account, plan, clock=here.clock)
    assert found.mode == "spot"
    assert found.price.per_hour == Decimal("4.132")
    assert "SpotStrategy SpotAsPriceGo" in found.price.source
    assert found.ordinary is not None
    assert found.ordinary.per_hour == Decimal("10.33")
    quote = quoted(plan, found)
    assert (quote.mode, quote.spot_limit) == ("spot", Decimal("0.6"))
    assert quote.price.per_hour == Decimal("6.198")
    assert "times the spot limit 0.6" in quote.price.source
    told = "\n".join(quote.notes)
    assert "a spot machine costs 4.132 CNY an hour now (ECS DescribePrice" in told
    assert "may be taken back at any time" in told
    assert "would wait" not in told
    low = job(machine={"spec": A10, "spot": {"discount_limit": 0.2}})
    assert "so the job would wait" in "\n".join(quoted(low, found).notes)


async def test_a_spot_price_that_ecs_does_not_have_is_the_share_that_dlc_names() -> None:
    rule = (
        "{when: {action: DescribePrice, nth: 1}, then: {error: {status: 400, code: PriceNotFound}}}"
    )
    here = cloud(f"calls: [{rule}]")
    found = await found_in(here, machine={"spec": A10, "spot": {}})
    assert found.price.per_hour == Decimal("4.132")
    assert "times NonProtectSpotDiscount 0.4 of DLC ListEcsSpecs" in found.price.source


async def test_a_share_of_a_quota_has_no_price_and_says_why() -> None:
    quota = {"resource_id": "quota1h2x3a4m5p6l", "cpu": 8, "memory_gib": 32, "gpu": 1}
    quote = await quote_of(cloud(), machine={"quota": quota})
    assert quote.mode == "quota"
    assert quote.spec == "quota1h2x3a4m5p6l"
    assert quote.machine == "8 vCPU, 32 GiB, 1 × GPU of quota1h2x3a4m5p6l"
    assert quote.bound is None
    assert quote.currency is None
    assert "paid for as a whole" in str(quote.price.reason)


async def test_a_price_that_ecs_does_not_give_is_none_with_the_reason() -> None:
    here = cloud()
    script(here, PriceScript(instance_type=A10, status=403, code="Forbidden.RAM", message="No."))
    quote = await quote_of(here, machine={"spec": A10})
    assert quote.bound is None
    assert "ECS did not say it" in str(quote.price.reason)
    with pytest.raises(RefusedError):
        approve(quote, yes_to(quote), plan_hash=quote.plan_hash, now=lambda: NOW)
    with pytest.raises(CapReached, match="no price that could be held against the cap") as caught:
        await quote_of(here, machine={"spec": A10}, cap={"amount": 99})
    assert caught.value.where == "cap"


async def test_one_price_that_fails_leaves_the_others() -> None:
    here = cloud()
    script(here, PriceScript(instance_type="ecs.c6.large", status=403, code="Forbidden.RAM"))
    found = await found_in(here, machine={"work": "script"})
    assert found.spec is not None
    assert found.spec.instance_type == "ecs.g6.large"
    assert found.choice is not None
    assert "has no price: ECS did not say it" in found.choice.why[1]


async def test_a_cap_below_the_bound_is_told_with_both_sums() -> None:
    with pytest.raises(CapReached) as caught:
        await quote_of(cloud(), machine={"spec": A10}, cap={"amount": 5})
    assert caught.value.where == "cap.amount"
    assert "may cost 20.66 CNY" in caught.value.what
    assert "the cap is 5 CNY" in caught.value.what
    enough = await quote_of(cloud(), machine={"spec": A10}, cap={"amount": 20.66})
    assert enough.bound == Decimal("20.66")


async def test_a_cap_in_another_currency_is_refused_never_converted() -> None:
    abroad = cloud(world=World(currency="USD"))
    with pytest.raises(PlanError, match="is in CNY, and the price is in USD") as caught:
        await quote_of(abroad, cap={"amount": 500, "currency": "CNY"})
    assert caught.value.where == "cap.currency"
    assert (await quote_of(abroad, cap={"amount": 500, "currency": "USD"})).currency == "USD"


@pytest.mark.parametrize(
    "given",
    [
        {"machine": {"work": "small-model"}},
        {"machine": {"spec": A10, "spot": {"discount_limit": 0.6}}},
        {"machine": {"quota": {"resource_id": "quota1h2x3a4m5p6l", "cpu": 8, "memory_gib": 32}}},
        {"machine": {"spec": "ml.gu7i.c32m188.1-gu30"}},
    ],
)
async def test_what_was_looked_up_survives_being_kept(given: dict[str, Any]) -> None:
    plan = job(**given)
    here = cloud()
    found = await look_up(here.account, plan, clock=here.clock)
    again = LookUp.from_document(json.loads(json.dumps(found.document())))
    assert again == found
    assert quoted(plan, again) == quoted(plan, found)
    with pytest.raises(LedgerError, match="Ask for a new quote"):
        LookUp.from_document({})
    with pytest.raises(LedgerError, match="Ask for a new quote"):
        LookUp.from_document({**found.document(), "price": {"per_hour": "x"}})


async def test_an_image_of_one_s_own_is_taken_as_it_is() -> None:
    digest = "sha256:" + "ab" * 32
    found = await found_in(cloud(), image=f"registry.example.com/bench@{digest}")
    assert found.image == f"registry.example.com/bench@{digest}"
    assert found.image_digest == digest
    assert found.notes == ()
