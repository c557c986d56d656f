"""What a job's machine is, what it costs, and the quote that follows: read, then reckoned.

`look_up` asks the services (ListEcsSpecs, DescribePrice, ListImages) and creates nothing;
`quote_job` is pure. What a quote assumes is in the constants here, and told in its notes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tidemark.alibaba.channel import Channel
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import EcsSpec
from tidemark.alibaba.ecs import Ecs, SpotStrategy
from tidemark.alibaba.errors import AlibabaError
from tidemark.alibaba.image_digest import image_digest
from tidemark.alibaba.images import ImageUri, resolve_image
from tidemark.alibaba.machine_choice import Choice, candidates, machine_text, rank
from tidemark.clock import Clock
from tidemark.errors import CapReached, PlanError, RefusedError
from tidemark.money.price import Price
from tidemark.money.quote import Mode, Quote
from tidemark.plan.estimate import estimate
from tidemark.plan.job import JobPlan, job_warnings
from tidemark.plan.job_machine import JobMachine, QuotaPart

__all__ = [
    "ENGINE_INSTALL_S",
    "IMAGE_PULL_S",
    "LIBRARIES_S",
    "SWEEP_MACHINE",
    "LookUp",
    "QuoteSettings",
    "look_up",
    "needs_of",
    "quote_job",
]

IMAGE_PULL_S = 180.0
"""From the first billed machine to the container's start: an official image of some gigabytes."""

LIBRARIES_S = 60.0
"""Installing Python packages before the command."""

ENGINE_INSTALL_S = 180.0
"""Installing the load engine, about a gigabyte, before a sweep."""

SWEEP_MACHINE = JobMachine(work="data-processing")
"""What a sweep runs on where its plan does not say: sending load takes processors, no GPU."""

_MOST_PRICED = 8
_PRICES_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """What the services said about a plan's machine and image at one moment.

    `choice` and `spec` are None for a quota, which has no `price` of its own. Of a spot machine
    `price` is what it costs now, and `ordinary` what it would cost if it were not one.
    `image_digest` is None where the registry did not say it, with the reason in `notes`.
    """

    region: str
    mode: Mode
    choice: Choice | None
    spec: EcsSpec | None
    machine_text: str
    image: str
    image_digest: str | None
    price: Price
    ordinary: Price | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteSettings:
    """What a quote takes from how this installation works, in seconds.

    `valid_s`: how long a price that was read holds. `stop_s`: from asking a job to stop until it
    is seen stopped. `lease_ttl_s` and `reaper_interval_s`: how long a job outlives who watches it.
    """

    valid_s: float = 900.0
    stop_s: float = 60.0
    lease_ttl_s: float = 300.0
    reaper_interval_s: float = 600.0


def needs_of(plan: JobPlan) -> JobMachine:
    """What machine a plan asks for; where it says nothing, what its sweep or command needs."""
    if not plan.machine.is_open:
        return plan.machine
    usual = SWEEP_MACHINE if plan.sweep is not None else JobMachine(work="script")
    said = plan.machine.model_dump(include={"max_price_per_hour", "spot"})
    return JobMachine.model_validate({**usual.model_dump(), **said})


async def look_up(channel: Channel, plan: JobPlan, *, clock: Clock) -> LookUp:
    """The machine, image and price for a plan. Creates nothing, and is never billed.

    Raises PlanError and RefusedError for a machine that there is not, is out of stock or too dear,
    each with its field, ConfigError where there is no image, and AlibabaError. A price that ECS
    does not give is None with the reason.
    """
    if plan.machine.quota is not None:
        return await _quota(channel, plan, plan.machine.quota, clock)
    needs = needs_of(plan)
    specs = await Dlc(channel).list_ecs_specs()
    asked = candidates(specs, needs, _MOST_PRICED)
    strategy: SpotStrategy | None = "SpotAsPriceGo" if needs.spot else None
    prices = await _prices(channel, asked, strategy, clock)
    choice = rank(specs, prices, needs)
    spec = choice.spec
    if needs.spot and spec.resource_type == "Lingjun" and plan.vpc is None:
        raise PlanError(
            f"is missing, and a spot machine of Lingjun ({spec.instance_type}) needs one", "vpc",
            "Give the network, vSwitch and security group, or leave machine.spot out",
        )  # fmt: skip
    ordinary = None
    if needs.spot is not None:
        ordinary = (await _prices(channel, [spec], None, clock))[spec.instance_type]
    image, digest, notes = await _image(channel, plan, gpu=spec.is_gpu)
    if spec.is_available is None:
        notes = (*notes, f"whether {spec.instance_type} is in stock is not known")
    return LookUp(
        region=channel.region,
        mode="spot" if needs.spot else "public",
        choice=choice,
        spec=spec,
        machine_text=machine_text(spec),
        image=image,
        image_digest=digest,
        price=choice.offer.price,
        ordinary=ordinary,
        notes=notes,
    )


async def _quota(channel: Channel, plan: JobPlan, quota: QuotaPart, clock: Clock) -> LookUp:
    image, digest, notes = await _image(channel, plan, gpu=quota.gpu > 0)
    gpus = f", {quota.gpu} × {quota.gpu_type or 'GPU'}" if quota.gpu else ""
    price = Price(
        per_hour=None,
        currency=None,
        source=f"quota {quota.resource_id}",
        read_at=_now(clock),
        reason="a quota is paid for as a whole, and a job in it has no price of its own",
    )
    return LookUp(
        region=channel.region,
        mode="quota",
        choice=None,
        spec=None,
        machine_text=f"{quota.cpu} vCPU, {quota.memory_gib:g} GiB{gpus} of {quota.resource_id}",
        image=image,
        image_digest=digest,
        price=price,
        notes=notes,
    )


async def _image(
    channel: Channel, plan: JobPlan, *, gpu: bool
) -> tuple[str, str | None, tuple[str, ...]]:
    """The image to run, its digest, and why that is not known."""
    if plan.image is None:
        uri = await resolve_image(channel, plan.job_type, "GPU" if gpu else "CPU")
    else:
        found = await image_digest(plan.image, channel.http)
        uri = ImageUri.of(plan.image, found.digest, found.reason)
    notes = () if uri.digest else (f"the image's digest is not known: {uri.digest_reason}",)
    return str(uri), uri.digest, notes


async def _prices(
    channel: Channel, specs: Sequence[EcsSpec], strategy: SpotStrategy | None, clock: Clock
) -> dict[str, Price]:
    """The price of each machine for an hour, asked for a few at a time."""
    ecs, turns = Ecs(channel), asyncio.Semaphore(_PRICES_AT_ONCE)

    async def price_of(spec: EcsSpec) -> Price:
        async with turns:
            return await _price(ecs, channel.region, spec, strategy, clock)

    found = await asyncio.gather(*map(price_of, specs))
    return {spec.instance_type: price for spec, price in zip(specs, found, strict=True)}


async def _price(
    ecs: Ecs, region: str, spec: EcsSpec, strategy: SpotStrategy | None, clock: Clock
) -> Price:
    spoken = f"ECS DescribePrice (2014-05-26), {region}"
    try:
        said = await ecs.describe_price(spec.instance_type, spot_strategy=strategy)
        share = spec.non_protect_spot_discount
        if strategy and said.instance_price_per_hour is None and share:
            # ECS has no spot price of its own for it, and DLC says its share of the ordinary one.
            said = await ecs.describe_price(spec.instance_type)
            spoken = f"{spoken}, times NonProtectSpotDiscount {share:g} of DLC ListEcsSpecs"
            factor = Decimal(str(share))
        else:
            factor = Decimal(1)
            spoken += f" with SpotStrategy {strategy}" if strategy else ""
    except AlibabaError as error:
        return _no_price(spoken, f"ECS did not say it ({error.what})", clock)
    per_hour = said.instance_price_per_hour
    if per_hour is None:
        return _no_price(spoken, said.reason or "ECS answered without a price", clock)
    try:
        return Price(
            per_hour=per_hour * factor,
            currency=said.currency,
            source=spoken,
            read_at=_now(clock),
        )
    except RefusedError as error:
        return _no_price(spoken, f"ECS answered with a price that {error.what}", clock)


def _no_price(source: str, reason: str, clock: Clock) -> Price:
    return Price(per_hour=None, currency=None, source=source, read_at=_now(clock), reason=reason)


def _now(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.time(), UTC)


def quote_job(
    plan: JobPlan,
    found: LookUp,
    *,
    run_id: str,
    number: int,
    plan_hash: str,
    now: datetime,
    settings: QuoteSettings | None = None,
) -> Quote:
    """The quote for a plan whose machine was looked up: the `number`th for this run.

    `expected_s` begins with the first billed machine: pulling the image, installing, running.
    `bound_s` is the total time of the limits, with the service's own limit in whole minutes; a spot
    machine counts at the most that its limit lets it cost. Raises PlanError for a cap in another
    currency, and CapReached for one below the bound or that no price can be held against.
    """
    settings = settings or QuoteSettings()
    price, notes = _price_to_count(plan, found)
    # The service counts whole minutes, and rounds up.
    bound_s = max(plan.limits.total_s, 60.0 * plan.limits.running_minutes)
    expected_s, assumed = _expected(plan)
    quote = Quote(
        quote_id=f"{run_id}-q{number}",
        run_id=run_id,
        plan_hash=plan_hash,
        mode=found.mode,
        spec=_spec_name(plan, found),
        machine=found.machine_text,
        workers=plan.workers,
        price=price,
        expected_s=min(expected_s, bound_s),
        bound_s=bound_s,
        poll_s=plan.limits.poll_interval_s + settings.stop_s,
        unwatched_s=settings.lease_ttl_s + settings.reaper_interval_s + settings.stop_s,
        quoted_at=now,
        expires_at=min(price.read_at, now) + timedelta(seconds=settings.valid_s),
        notes=(*notes, *assumed, *found.notes, *job_warnings(plan)),
    )
    _check_cap(plan, quote)
    return quote


def _spec_name(plan: JobPlan, found: LookUp) -> str:
    if plan.machine.quota is not None:
        return plan.machine.quota.resource_id
    assert found.spec is not None  # which only a quota has none of
    return found.spec.instance_type


def _expected(plan: JobPlan) -> tuple[float, tuple[str, ...]]:
    """What the job is expected to take in seconds, and what was assumed for it."""
    before_s, notes = IMAGE_PULL_S, [f"the image is assumed to be there after {IMAGE_PULL_S:g} s"]
    if plan.libraries or (plan.sweep is not None and plan.image is None):
        before_s += LIBRARIES_S
        notes.append(f"installing libraries is assumed to take {LIBRARIES_S:g} s")
    if plan.sweep is not None:
        before_s += ENGINE_INSTALL_S
        notes.append(f"installing the load engine is assumed to take {ENGINE_INSTALL_S:g} s")
    limit_s = 60.0 * plan.limits.running_minutes
    if plan.expected_s is not None:
        running_s = plan.expected_s
        notes.append(f"the plan expects {running_s:g} s of running")
    elif plan.sweep is not None:
        running_s = min(estimate(plan.sweep).total_s, limit_s)
        notes.append(f"the sweep is counted with what its cells take at most, {running_s:g} s")
    else:
        running_s = limit_s
        notes.append("the plan does not say what it expects (expected_s): all of it is counted")
    return before_s + running_s, tuple(notes)


def _price_to_count(plan: JobPlan, found: LookUp) -> tuple[Price, tuple[str, ...]]:
    """The price that bounds are reckoned with: of a spot machine the most that it may come to."""
    spot = plan.machine.spot
    if spot is None or found.mode != "spot":
        return found.price, ()
    ordinary = found.ordinary
    if ordinary is None or ordinary.per_hour is None:
        reason = ordinary.reason if ordinary is not None else "it was not asked for"
        why = f"the ordinary price, which the spot limit is a share of, is not known: {reason}"
        source = ordinary.source if ordinary is not None else found.price.source
        missing = Price(
            per_hour=None, currency=None, source=source, read_at=found.price.read_at, reason=why
        )
        return missing, ()
    share = Decimal(str(spot.discount_limit))
    counted = Price(
        per_hour=ordinary.per_hour * share,
        currency=ordinary.currency,
        source=f"{ordinary.source}, times the spot limit {share}",
        read_at=min(ordinary.read_at, found.price.read_at),
    )
    if found.price.per_hour is None:
        return counted, (f"what a spot machine costs now is not known: {found.price.reason}",)
    note = (
        f"a spot machine costs {found.price.per_hour.normalize():f} {found.price.currency} an hour "
        f"now ({found.price.source}); counted is the most that the limit allows"
    )
    if found.price.per_hour > counted.per_hour:  # type: ignore[operator]  # set above
        note += "; it costs more than that now, so the job would wait"
    return counted, (note, "a spot machine may be taken back at any time")


def _check_cap(plan: JobPlan, quote: Quote) -> None:
    cap = plan.cap
    if cap is None:
        return
    if quote.bound is None:
        raise CapReached(
            f"the job has no price that could be held against the cap ({quote.price.reason})",
            "cap", "Choose a machine that has a price, or leave the cap out",
        )  # fmt: skip
    if quote.currency != cap.currency:
        raise PlanError(
            f"is in {cap.currency}, and the price is in {quote.currency}: nothing is converted",
            "cap.currency", f"Give the cap in {quote.currency}",
        )  # fmt: skip
    if quote.bound > cap.amount:
        raise CapReached(
            f"the job may cost {quote.bound} {quote.currency} in the time that its limits allow, "
            f"{quote.bound_s:g} s, and the cap is {cap}",
            "cap.amount", "Lower limits.total_s, choose a cheaper machine, or raise the cap",
        )  # fmt: skip
