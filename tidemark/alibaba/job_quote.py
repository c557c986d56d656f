"""The quote for a job: what its machine costs, times how long it may hold it. Pure.

What a quote assumes is in the constants here, and told in its notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from tidemark.alibaba.job_look_up import LookUp, look_up
from tidemark.errors import CapReached, PlanError
from tidemark.money.amounts import sum_text
from tidemark.money.price import Price
from tidemark.money.quote import Quote
from tidemark.plan.estimate import estimate
from tidemark.plan.job import JobPlan, job_warnings

__all__ = [
    "ENGINE_INSTALL_S",
    "IMAGE_PULL_S",
    "LIBRARIES_S",
    "LookUp",
    "QuoteSettings",
    "look_up",
    "quote_job",
]

IMAGE_PULL_S = 180.0
"""From the first billed machine to the container's start: an official image of some gigabytes."""

LIBRARIES_S = 60.0
"""Installing Python packages before the command."""

ENGINE_INSTALL_S = 180.0
"""Installing the load engine, about a gigabyte, before a sweep."""


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
    if plan.expected_s is not None and expected_s > bound_s:
        assumed += (f"together that is longer than the limits allow, {bound_s:g} s",)
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
        spot_limit=_spot_limit(plan, found),
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


def _spot_limit(plan: JobPlan, found: LookUp) -> Decimal | None:
    spot = plan.machine.spot
    return Decimal(str(spot.discount_limit)) if spot and found.mode == "spot" else None


def _price_to_count(plan: JobPlan, found: LookUp) -> tuple[Price, tuple[str, ...]]:
    """The price that bounds are reckoned with: of a spot machine the most that it may come to."""
    share = _spot_limit(plan, found)
    if share is None:
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
    counted = Price(
        per_hour=ordinary.per_hour * share,
        currency=ordinary.currency,
        source=f"{ordinary.source}, times the spot limit {share}",
        read_at=min(ordinary.read_at, found.price.read_at),
    )
    if found.price.per_hour is None:
        return counted, (f"what a spot machine costs now is not known: {found.price.reason}",)
    now = sum_text(found.price.per_hour, found.price.currency or "")
    note = (
        f"a spot machine costs {now} an hour now ({found.price.source}); counted is the most that "
        "the limit allows"
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
            f"the job may cost {sum_text(quote.bound, cap.currency)} in the time that its limits "
            f"allow, {quote.bound_s:g} s, and the cap is {cap}",
            "cap.amount", "Lower limits.total_s, choose a cheaper machine, or raise the cap",
        )  # fmt: skip
