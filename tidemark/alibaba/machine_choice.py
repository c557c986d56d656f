"""Choosing the machine for a job among those on offer, with what speaks for it and against others.

Pure: specs come from ListEcsSpecs (PAI-DLC 2020-12-03), prices from whoever asked for them. Whether
a machine has a GPU is what its AcceleratorType says: names do not tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tidemark.alibaba.dlc_answers import EcsSpec
from tidemark.errors import PlanError, RefusedError
from tidemark.money.amounts import sum_text
from tidemark.money.price import Price
from tidemark.plan.job_machine import JobMachine
from tidemark.plan.job_work import Work
from tidemark.plan.problems import did_you_mean

__all__ = ["Choice", "Offer", "candidates", "machine_text", "rank", "table_rows"]

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Offer:
    """A machine, its price, and whether it is what is needed; `why_not` says what it lacks.

    `per_gpu_hour` is the price of one of its GPUs for an hour. `available` is None where the
    service does not say.
    """

    spec: EcsSpec
    price: Price
    per_gpu_hour: Decimal | None
    available: bool | None
    fits: bool
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The machine that was chosen, why, and what else there is, best first."""

    offer: Offer
    why: tuple[str, ...]
    alternatives: tuple[Offer, ...]

    @property
    def spec(self) -> EcsSpec:
        """The machine."""
        return self.offer.spec


@dataclass(frozen=True, slots=True)
class _Needs:
    """What is needed, of the plan's own fields and of its kind of work."""

    gpu: bool
    gpu_type: str | None
    gpu_count: float
    gpu_memory_gib: float
    cpu_count: float
    memory_gib: float

    def lacks(self, spec: EcsSpec) -> str:
        """What a machine lacks, in words; "" if nothing."""
        if self.gpu and not spec.is_gpu:
            return "has no GPU"
        if not self.gpu and spec.is_gpu:
            return "has a GPU, which is not needed"
        if self.gpu_type is not None and not _is_of_type(spec, self.gpu_type):
            return f"has a GPU of type {spec.gpu_type or 'unknown'}, not {self.gpu_type}"
        for name, wanted, found in (
            ("GPUs", self.gpu_count, spec.gpu),
            ("GiB of memory for each GPU", self.gpu_memory_gib, spec.gpu_memory),
            ("vCPU", self.cpu_count, spec.cpu),
            ("GiB of memory", self.memory_gib, spec.memory_gib),
        ):
            if wanted and (found is None or found < wanted):
                has = "an unknown number of" if found is None else f"{found:g}"
                return f"has {has} {name}, not {wanted:g}"
        return ""


def rank(specs: Sequence[EcsSpec], prices: Mapping[str, Price], needs: JobMachine) -> Choice:
    """The machine to take for `needs`: the named one, the usual one of a kind of work, or the
    cheapest that has all that is needed.

    Takes only what is in stock and, unless it is named, has a price within the bound. Raises
    PlanError for an instance type or a GPU type that there is not, with the nearest that there are;
    RefusedError for one that is out of stock or too dear, and where nothing fits, with what is
    nearest. Both name the field.
    """
    wanted = _wanted(needs, specs)
    offers = _offers(specs, prices, needs, wanted)
    _check_currency(offers, needs)
    fitting = sorted((one for one in offers if one.fits), key=_by_price)
    others = sorted(
        (one for one in offers if not one.fits),
        key=lambda one: (bool(wanted.lacks(one.spec)), *_by_price(one)),
    )
    if needs.spec is not None:
        return _named(needs.spec, fitting, others)
    if not fitting:
        raise _nothing_fits(others, specs, wanted)
    work = needs.kind_of_work
    usual = next(
        (one for one in fitting if work and one.spec.instance_type == work.usual_spec), None
    )
    chosen = usual or fitting[0]
    alternatives = [one for one in (*fitting, *others) if one is not chosen]
    not_priced = sum(
        spec.instance_type not in prices and _available(spec, needs) is not False
        for spec in candidates(specs, needs, len(specs))
    )
    why = _reasons(chosen, needs, work, offers, not_priced)
    return Choice(chosen, why, tuple(alternatives))


def candidates(specs: Sequence[EcsSpec], needs: JobMachine, most: int) -> list[EcsSpec]:
    """The machines whose prices a choice needs, at most `most`: what is named or usual, then what
    has all that is needed, in stock first and the smallest first, since they tend to be cheapest.

    Raises as `rank` does for what is not on offer at all.
    """
    named = _of_name(needs.spec, specs) if needs.spec is not None else None
    wanted = _wanted(needs, specs)
    usual = needs.kind_of_work.usual_spec if needs.kind_of_work else None
    fitting = [spec for spec in specs if spec is not named and not wanted.lacks(spec)]
    fitting.sort(
        key=lambda spec: (
            spec.instance_type != usual, _available(spec, needs) is False, *_size(spec)
        )
    )  # fmt: skip
    return [*([named] if named else []), *fitting][:most]


def table_rows(choice: Choice) -> list[dict[str, Any]]:
    """The choice and its alternatives as rows of a table, the chosen one first."""
    rows = []
    for offer in (choice.offer, *choice.alternatives):
        spec, price = offer.spec, offer.price
        rows.append(
            {
                "choice": "chosen" if offer is choice.offer else "",
                "spec": spec.instance_type,
                "vCPU": _plain(spec.cpu),
                "memory GiB": _plain(spec.memory_gib),
                "GPUs": _gpus(spec) or "-",
                "price per hour": _money(price.per_hour, price),
                "price per GPU and hour": _share(offer.per_gpu_hour, price) if spec.gpu else "-",
                "in stock": {True: "yes", False: "no", None: "not known"}[offer.available],
                "note": offer.why_not or (price.reason or ""),
            }
        )
    return rows


def machine_text(spec: EcsSpec) -> str:
    """A machine in words: ecs.gn7i-c8g1.2xlarge (8 vCPU, 30 GiB, 1 × NVIDIA A10 24 GiB)."""
    parts = [
        *([f"{spec.cpu:g} vCPU"] if spec.cpu is not None else []),
        *([f"{spec.memory_gib:g} GiB"] if spec.memory_gib is not None else []),
        *([_gpus(spec)] if spec.is_gpu else []),
    ]
    return f"{spec.instance_type} ({', '.join(parts)})" if parts else spec.instance_type


def _wanted(needs: JobMachine, specs: Sequence[EcsSpec]) -> _Needs:
    """What a machine has to have. Raises PlanError for what is not on offer at all."""
    if needs.spec is not None:
        return _as_much_as(_of_name(needs.spec, specs))
    _check_gpu_type(needs, specs)
    return _needs_of(needs)


def _offers(
    specs: Sequence[EcsSpec], prices: Mapping[str, Price], needs: JobMachine, wanted: _Needs
) -> list[Offer]:
    """Every machine that has a price, or was asked for one."""
    found = []
    for spec in specs:
        price = prices.get(spec.instance_type)
        if price is None:
            continue
        available = _available(spec, needs)
        is_named = spec.instance_type == needs.spec
        why_not = "" if is_named else wanted.lacks(spec)
        why_not = why_not or _stock_trouble(available, needs) or _price_trouble(price, needs)
        each = None
        if price.per_hour is not None and spec.gpu:
            each = price.per_hour / Decimal(str(spec.gpu))
        found.append(Offer(spec, price, each, available, not why_not, why_not))
    return found


def _needs_of(needs: JobMachine) -> _Needs:
    work = needs.kind_of_work
    gpu = needs.gpu
    if gpu is None:
        gpu = needs.needs_gpu_itself or (work is not None and work.gpu.needed)
    # What a kind of work needs of GPUs is no need of a machine without one, nor the reverse.
    of_work = work if work is not None and work.gpu.needed == gpu else None
    return _Needs(
        gpu=gpu,
        gpu_type=needs.gpu_type,
        gpu_count=needs.gpu_count or (of_work and of_work.gpu_count) or (1 if gpu else 0),
        gpu_memory_gib=needs.gpu_memory_gib or (of_work and of_work.gpu_memory_gib) or 0,
        cpu_count=needs.cpu_count or (of_work and of_work.cpu_count) or 0,
        memory_gib=needs.memory_gib or (of_work and of_work.memory_gib) or 0,
    )


def _as_much_as(spec: EcsSpec) -> _Needs:
    """The needs of whoever named a machine: what may stand in for it has no less."""
    return _Needs(
        gpu=spec.is_gpu,
        gpu_type=None,
        gpu_count=spec.gpu or 0,
        gpu_memory_gib=spec.gpu_memory or 0,
        cpu_count=0 if spec.is_gpu else spec.cpu or 0,
        memory_gib=0 if spec.is_gpu else spec.memory_gib or 0,
    )


def _available(spec: EcsSpec, needs: JobMachine) -> bool | None:
    if needs.spot is None:
        return spec.is_available
    if spec.payment_types and "Spot" not in spec.payment_types:
        return False
    return {"WithStock": True, "NoStock": False}.get(spec.spot_stock_status)


def _stock_trouble(available: bool | None, needs: JobMachine) -> str:
    if available is not False:
        return ""
    return "is not to be had as a spot machine" if needs.spot else "is out of stock"


def _price_trouble(price: Price, needs: JobMachine) -> str:
    most = needs.max_price_per_hour
    if price.per_hour is None:
        # Whoever names a machine sees a quote without a price, and why there is none.
        return "" if needs.spec is not None and most is None else f"has no price: {price.reason}"
    if most is not None and price.per_hour > most.amount:
        return f"costs {_money(price.per_hour, price)} an hour, more than {most}"
    return ""


def _check_currency(offers: Sequence[Offer], needs: JobMachine) -> None:
    most = needs.max_price_per_hour
    if most is None:
        return
    others = {one.price.currency for one in offers if one.price.per_hour is not None}
    if others - {most.currency}:
        named = ", ".join(sorted(str(one) for one in others - {most.currency}))
        raise PlanError(
            f"is in {most.currency}, and prices are in {named}: nothing is converted",
            "machine.max_price_per_hour.currency", f"Give the limit in {named}",
        )  # fmt: skip


def _of_name(name: str, specs: Sequence[EcsSpec]) -> EcsSpec:
    for spec in specs:
        if spec.instance_type == name:
            return spec
    known = [spec.instance_type for spec in specs]
    remedy = did_you_mean(name, known)
    if not remedy.startswith("Did"):
        remedy = "See what there is: tidemark pai specs"
    raise PlanError(f"{name} is not offered by DLC in this region", "machine.spec", remedy)


def _check_gpu_type(needs: JobMachine, specs: Sequence[EcsSpec]) -> None:
    if needs.gpu_type is None or any(_is_of_type(spec, needs.gpu_type) for spec in specs):
        return
    known = sorted({spec.gpu_type for spec in specs if spec.is_gpu and spec.gpu_type})
    # "V100S" is nearer to "V100" than to "NVIDIA V100".
    bare = {" ".join(_type_words(one)).upper(): one for one in known}
    near = did_you_mean(needs.gpu_type, bare)
    if near.startswith("Did"):
        meant = near.removeprefix("Did you mean ").removesuffix("?")
        near = f"Did you mean {bare[meant]}?"
    else:
        near = f"There are: {', '.join(known)}"
    raise PlanError(
        f"no machine on offer has a GPU of type {needs.gpu_type}", "machine.gpu_type", near
    )


def _is_of_type(spec: EcsSpec, wanted: str) -> bool:
    """Whether a machine's GPU is of a type: each word of it is one of the machine's, so that an
    A10 is no A100. A size in the name, as in A100-80G, is that of its memory."""
    words = _type_words(wanted)
    own = _type_words(spec.gpu_type)
    if spec.gpu_memory:
        own |= {f"{spec.gpu_memory:g}{unit}" for unit in ("g", "gb", "gib")}
    return spec.is_gpu and bool(words) and words <= own


def _type_words(name: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", name.casefold())) - {"nvidia", "tesla"}


def _named(name: str, fitting: Sequence[Offer], others: Sequence[Offer]) -> Choice:
    offer = next((one for one in (*fitting, *others) if one.spec.instance_type == name), None)
    if offer is None:
        raise PlanError("no price was asked for it", f"machine.spec: {name}", "Ask for its price")
    like_it = [one for one in fitting if one is not offer]
    if offer.fits:
        return Choice(offer, ("named by the plan",), (*like_it, *others))
    beside = _listed(like_it)
    if offer.available is False:
        remedy = f"In its place: {beside}; or try again later" if beside else "Try again later"
    else:
        remedy = "Raise machine.max_price_per_hour" + (f", or take {beside}" if beside else "")
    raise RefusedError(f"{name} {offer.why_not}", "machine.spec", remedy)


def _nothing_fits(
    others: Sequence[Offer], specs: Sequence[EcsSpec], wanted: _Needs
) -> RefusedError:
    nearest = [
        f"{one.spec.instance_type} {one.why_not}" for one in others if not wanted.lacks(one.spec)
    ]
    if not nearest:
        alike = [spec for spec in specs if spec.is_gpu == wanted.gpu]
        largest = sorted(alike, key=_size, reverse=True)
        nearest = [f"{spec.instance_type} {wanted.lacks(spec)}" for spec in largest]
    said = "; ".join(nearest[:_SHOWN]) or "DLC offers no machine of this kind here"
    return RefusedError(
        f"no machine that can be quoted fits: {said}",
        "machine",
        "Ask for less, raise machine.max_price_per_hour, or name an instance type in machine.spec",
    )


def _reasons(
    chosen: Offer, needs: JobMachine, work: Work | None, offers: Sequence[Offer], not_priced: int
) -> tuple[str, ...]:
    found = []
    if work is not None and needs.gpu is False and work.gpu.needed:
        found.append(f"{work.words}: {work.gpu.why}; the plan wants none all the same (gpu: false)")
        work = None
    elif work is not None:
        found.append(f"{work.words}: {work.gpu.why}; it needs {work.needs}")
    elif not _needs_of(needs).gpu:
        found.append("nothing that the plan asks for needs a GPU")
    if work is not None and chosen.spec.instance_type == work.usual_spec:
        found.append("it is the usual machine for that")
        cheaper = [one for one in offers if one.fits and _by_price(one) < _by_price(chosen)]
        if cheaper:
            found.append(f"cheaper, with what is needed: {_listed(sorted(cheaper, key=_by_price))}")
        return tuple(found)
    if work is not None:
        usual = next((one for one in offers if one.spec.instance_type == work.usual_spec), None)
        why_not = usual.why_not if usual else "is not on offer here"
        found.append(f"the usual machine for that, {work.usual_spec}, {why_not}")
    cheapest = "it is the cheapest that has all that is needed"
    if not_priced:
        cheapest += f", among the smallest {len(offers)}: {not_priced} more were not priced"
    found.append(cheapest)
    return tuple(found)


def _by_price(offer: Offer) -> tuple[Any, ...]:
    """Sorts offers by price, those without one last; then by size."""
    price = offer.price.per_hour
    return price is None, price or Decimal(0), *_size(offer.spec)


def _size(spec: EcsSpec) -> tuple[Any, ...]:
    numbers = (spec.gpu, spec.gpu_memory, spec.cpu, spec.memory_gib)
    return *(number or 0 for number in numbers), spec.instance_type


def _listed(offers: Sequence[Offer]) -> str:
    return ", ".join(
        f"{one.spec.instance_type} ({_money(one.price.per_hour, one.price)} an hour)"
        for one in offers[:_SHOWN]
    )


def _gpus(spec: EcsSpec) -> str:
    if not spec.is_gpu:
        return ""
    memory = f" {spec.gpu_memory:g} GiB" if spec.gpu_memory else ""
    return f"{_plain(spec.gpu)} × {spec.gpu_type or 'GPU'}{memory}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _money(amount: Decimal | None, price: Price) -> str:
    if amount is None:
        return "not known"
    return sum_text(amount, price.currency or "")


def _share(amount: Decimal | None, price: Price) -> str:
    # A quotient has no last digit.
    return _money(None if amount is None else amount.quantize(Decimal("0.0001")), price)
