"""What the services say about a plan's machine, its price and its image, at one moment.

Asks only (ListEcsSpecs, PAI-DLC 2020-12-03; DescribePrice, ECS 2014-05-26; ListImages, AIWorkSpace
2021-02-04): nothing is created, and nothing is billed.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from tidemark.alibaba.channel import Channel
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import EcsSpec
from tidemark.alibaba.ecs import Ecs, SpotStrategy
from tidemark.alibaba.errors import AlibabaError
from tidemark.alibaba.image_digest import image_digest
from tidemark.alibaba.images import ImageUri, resolve_image
from tidemark.alibaba.machine_choice import Choice, Offer, candidates, machine_text, rank
from tidemark.clock import Clock
from tidemark.errors import LedgerError, PlanError, RefusedError
from tidemark.money.price import Price
from tidemark.money.quote import Mode
from tidemark.plan.job import JobPlan
from tidemark.plan.job_machine import JobMachine, QuotaPart

__all__ = ["SWEEP_MACHINE", "LookUp", "look_up", "needs_of"]

SWEEP_MACHINE = JobMachine(work="data-processing")
"""What a sweep runs on where its plan does not say: sending load takes processors, no GPU."""

_SCRIPT_MACHINE = JobMachine(work="script")

_MOST_PRICED = 8
_PRICES_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """A plan's machine, price and image.

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

    def document(self) -> dict[str, Any]:
        """It as JSON values, exact: amounts are text. `from_document` reads it back."""
        choice = None
        if self.choice is not None:
            offers = (self.choice.offer, *self.choice.alternatives)
            choice = {"offers": [_offer_document(one) for one in offers], "why": [*self.choice.why]}
        return {
            "region": self.region,
            "mode": self.mode,
            "choice": choice,
            "machine_text": self.machine_text,
            "image": self.image,
            "image_digest": self.image_digest,
            "price": _price_document(self.price),
            "ordinary": None if self.ordinary is None else _price_document(self.ordinary),
            "notes": [*self.notes],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> LookUp:
        """What `document` made JSON values of. Raises LedgerError for anything else."""
        try:
            choice = None
            if document["choice"] is not None:
                first, *others = map(_offer_of, document["choice"]["offers"])
                choice = Choice(first, tuple(document["choice"]["why"]), tuple(others))
            ordinary = document["ordinary"]
            return cls(
                region=document["region"],
                mode=document["mode"],
                choice=choice,
                spec=choice.spec if choice is not None else None,
                machine_text=document["machine_text"],
                image=document["image"],
                image_digest=document["image_digest"],
                price=_price_of(document["price"]),
                ordinary=None if ordinary is None else _price_of(ordinary),
                notes=tuple(document["notes"]),
            )
        except (
            AlibabaError, AttributeError, InvalidOperation, KeyError, RefusedError, TypeError,
            ValueError,
        ) as error:  # fmt: skip
            raise LedgerError(
                f"does not say which machine was found ({type(error).__name__}: {error})",
                "a quote's details", "Ask for a new quote",
            ) from error  # fmt: skip


def needs_of(plan: JobPlan) -> JobMachine:
    """What machine a plan asks for; where it says nothing, what its sweep or command needs."""
    if not plan.machine.is_open:
        return plan.machine
    usual = SWEEP_MACHINE if plan.sweep is not None else _SCRIPT_MACHINE
    said = plan.machine.model_dump(include={"max_price_per_hour", "spot"})
    return JobMachine.model_validate({**usual.model_dump(), **said})


async def look_up(channel: Channel, plan: JobPlan, *, clock: Clock) -> LookUp:
    """The machine, image and price for a plan.

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
    if choice.offer.available is None:
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
    source = f"ECS DescribePrice (2014-05-26), {region}"
    factor = Decimal(1)
    try:
        said = await ecs.describe_price(spec.instance_type, spot_strategy=strategy)
        share = spec.non_protect_spot_discount
        if strategy and said.instance_price_per_hour is None and share:
            # ECS has no spot price of its own for it, and DLC says its share of the ordinary one.
            said = await ecs.describe_price(spec.instance_type)
            source = f"{source}, times NonProtectSpotDiscount {share:g} of DLC ListEcsSpecs"
            factor = Decimal(str(share))
        elif strategy:
            source = f"{source}, with SpotStrategy {strategy}"
    except AlibabaError as error:
        return _no_price(source, f"ECS did not say it ({error.what})", clock)
    per_hour = said.instance_price_per_hour
    if per_hour is None:
        return _no_price(source, said.reason or "ECS answered without a price", clock)
    try:
        return Price(
            per_hour=per_hour * factor, currency=said.currency, source=source, read_at=_now(clock)
        )
    except RefusedError as error:
        return _no_price(source, f"ECS answered with a price that {error.what}", clock)


def _no_price(source: str, reason: str, clock: Clock) -> Price:
    return Price(per_hour=None, currency=None, source=source, read_at=_now(clock), reason=reason)


def _now(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.time(), UTC)


def _offer_document(offer: Offer) -> dict[str, Any]:
    return {
        "spec": copy.deepcopy(offer.spec.wire),
        "price": _price_document(offer.price),
        "per_gpu_hour": None if offer.per_gpu_hour is None else str(offer.per_gpu_hour),
        "available": offer.available,
        "fits": offer.fits,
        "why_not": offer.why_not,
    }


def _offer_of(document: Mapping[str, Any]) -> Offer:
    per_gpu_hour = document["per_gpu_hour"]
    return Offer(
        spec=EcsSpec.of(copy.deepcopy(document["spec"]), "ListEcsSpecs"),
        price=_price_of(document["price"]),
        per_gpu_hour=None if per_gpu_hour is None else Decimal(per_gpu_hour),
        available=document["available"],
        fits=document["fits"],
        why_not=document["why_not"],
    )


def _price_document(price: Price) -> dict[str, Any]:
    return {
        "per_hour": None if price.per_hour is None else str(price.per_hour),
        "currency": price.currency,
        "source": price.source,
        "read_at": price.read_at.isoformat(),
        "reason": price.reason,
    }


def _price_of(document: Mapping[str, Any]) -> Price:
    per_hour = document["per_hour"]
    return Price(
        per_hour=None if per_hour is None else Decimal(per_hour),
        currency=document["currency"],
        source=document["source"],
        read_at=datetime.fromisoformat(document["read_at"]),
        reason=document["reason"],
    )
