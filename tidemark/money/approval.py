"""An approval: a yes or a no to one quote, and the leave to create that a yes gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from tidemark.authorization import Authorization, Creation
from tidemark.errors import RefusedError
from tidemark.money.amounts import sum_text
from tidemark.money.quote import Quote

__all__ = ["PLAN_TAG", "RUN_TAG", "Approval", "ApprovedPlan", "approve"]

RUN_TAG = "tidemark-run"
"""The tag of a job that names its run."""

PLAN_TAG = "tidemark-plan"
"""The tag of a job that names the hash of its plan."""

_WHERE = "approval"

# Who decides and who creates may be different machines, whose clocks differ.
_CLOCKS_DIFFER = timedelta(minutes=10)

# Each makes a job run on other or more machines than those of its specs.
_OTHER_MACHINES = ("AutoScalingSpec", "ElasticSpotSpecs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A yes or a no, as it is recorded.

    `up_to` is the sum that it covers, in `currency`: None only for a quota, which costs the same
    anyway. `by` is who said so, as claimed; `channel` is where: "Prefect", "tidemark approve",
    "terminal", or "policy NAME", of which `rule` then says the rule.
    """

    approval_id: str
    run_id: str
    quote_id: str
    plan_hash: str
    decision: Literal["approve", "reject"]
    up_to: Decimal | None
    currency: str | None
    by: str
    channel: str
    decided_at: datetime
    rule: str | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if self.decision not in ("approve", "reject"):
            raise RefusedError("is neither approve nor reject", _WHERE, "Write one of them")
        if self.decided_at.tzinfo is None:
            raise RefusedError("has a time without a zone", _WHERE, "Give an instant of UTC")


@dataclass(frozen=True, slots=True)
class ApprovedPlan(Authorization):
    """Leave to create what was quoted and approved, for one plan and within its limits.

    None can be made of an approval that does not cover the quote: see `approve`.
    """

    plan_hash: str
    quote: Quote
    approval: Approval
    now: Callable[[], datetime] = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_decision(self)

    def permit(self, creation: Creation) -> None:
        """Return if this is the quoted job. Raises RefusedError with the first difference."""
        _check_decision(self)  # what was carried here from another process, too
        if creation.action != "CreateJob":
            raise RefusedError(
                f"{creation.action} is not covered: the quote is for a job of DLC", _WHERE,
                "Get a quote for it approved",
            )  # fmt: skip
        body = creation.body
        _check_machines(self.quote, body)
        _check_duration(self.quote, body)
        _check_tags(self, body)


def approve(
    quote: Quote, approval: Approval, *, plan_hash: str, now: Callable[[], datetime]
) -> ApprovedPlan:
    """The leave that an approval gives to run the plan of `plan_hash` as quoted.

    Raises RefusedError where the approval is none, or is for another plan or quote, came when the
    quote held no more, or does not cover its bound; and for a quote without a price, unless it is
    for a quota.
    """
    return ApprovedPlan(plan_hash, quote, approval, now)


def _check_decision(plan: ApprovedPlan) -> None:
    quote, approval = plan.quote, plan.approval
    if plan.plan_hash not in (quote.plan_hash, approval.plan_hash):
        raise _refused("is for another plan: this one was changed since", "Ask for a new quote")
    if approval.plan_hash != plan.plan_hash:
        raise _refused(
            f"is for another plan, {approval.plan_hash[:12]}, and this is {plan.plan_hash[:12]}",
            "A changed plan needs a new approval",
        )
    if quote.plan_hash != plan.plan_hash:
        raise _refused(
            f"is of a quote for another plan, {quote.plan_hash[:12]}",
            "Ask for a quote for the plan as it is now",
        )
    if (approval.quote_id, approval.run_id) != (quote.quote_id, quote.run_id):
        raise _refused(
            f"is for quote {approval.quote_id}, and this is quote {quote.quote_id}",
            "Each quote needs its own approval",
        )
    if approval.decision != "approve":
        reason = f": {approval.reason}" if approval.reason else ", without a reason"
        raise _refused(
            f"{approval.by} said no ({approval.channel}){reason}",
            "Change what was objected to, and ask for a new quote",
        )
    if quote.expired(approval.decided_at):
        raise _refused(
            f"came at {_time(approval.decided_at)}, and the quote held until "
            f"{_time(quote.expires_at)}",
            "Ask for a new quote: prices may have changed",
        )
    if approval.decided_at < quote.quoted_at - _CLOCKS_DIFFER:
        raise _refused(
            f"was given at {_time(approval.decided_at)}, before there was a quote",
            "Set the clocks of the machines involved",
        )
    if approval.decided_at > plan.now() + _CLOCKS_DIFFER:
        raise _refused(
            f"was given at {_time(approval.decided_at)}, which is not yet",
            "Set the clocks of the machines involved",
        )
    _check_sum(quote, approval)


def _check_sum(quote: Quote, approval: Approval) -> None:
    bound, currency = quote.bound, quote.currency
    if bound is None or currency is None:
        if quote.mode != "quota":
            raise _refused(
                f"covers no sum: there is no price ({quote.price.reason}), and what has none "
                "can't be approved silently",
                "Ask for a new quote when the price can be read",
            )
        return
    if approval.up_to is None or approval.currency is None:
        raise _refused(
            f"names no sum, and up to {sum_text(bound, currency)} may be spent",
            "Approve up to a sum",
        )
    if approval.currency != currency:
        raise _refused(
            f"is in {approval.currency}, and the quote in {currency}; sums are never converted",
            f"Approve up to a sum in {currency}",
        )
    if not approval.up_to.is_finite() or approval.up_to < bound:
        raise _refused(
            f"covers {sum_text(approval.up_to, currency)}, and the run may cost "
            f"{sum_text(bound, currency)}",
            f"Approve up to {sum_text(bound, currency)}, or lower the limits of the plan",
        )


def _check_machines(quote: Quote, body: Mapping[str, Any]) -> None:
    specs = body.get("JobSpecs")
    if not isinstance(specs, list) or not specs or not all(isinstance(one, dict) for one in specs):
        raise _differs("JobSpecs", "names no machines")
    if body.get("ElasticSpec"):
        raise _differs("ElasticSpec", "lets the job take further machines")
    resource_id = body.get("ResourceId") or None
    if quote.mode == "quota" and resource_id != quote.spec:
        raise _differs("ResourceId", f"is {resource_id}, and the quote is for quota {quote.spec}")
    if quote.mode != "quota" and resource_id:
        raise _differs(
            "ResourceId", f"names quota {resource_id}, and the quote is for {quote.spec}"
        )
    workers = 0
    for number, spec in enumerate(specs):
        _check_spec(quote, spec, f"JobSpecs[{number}]")
        pods = spec.get("PodCount", 1)
        if not isinstance(pods, int) or isinstance(pods, bool) or pods < 1:
            raise _differs(f"JobSpecs[{number}].PodCount", "is no number of machines")
        workers += pods
    if workers > quote.workers:
        raise _differs("JobSpecs", f"ask for {workers} machines, and {quote.workers} were quoted")


def _check_spec(quote: Quote, spec: Mapping[str, Any], where: str) -> None:
    for name in _OTHER_MACHINES:
        if spec.get(name):
            raise _differs(f"{where}.{name}", "lets the job take other machines than were quoted")
    instance_type, share, spot = (spec.get(n) for n in ("EcsSpec", "ResourceConfig", "SpotSpec"))
    if quote.mode == "quota":
        if instance_type:
            raise _differs(f"{where}.EcsSpec", f"is {instance_type}, and a quota was quoted")
        if not share:
            raise _differs(f"{where}.ResourceConfig", "names no share of the quota")
        return
    if instance_type != quote.spec or share:
        found = instance_type or "a share of a quota"
        raise _differs(f"{where}.EcsSpec", f"is {found}, and {quote.spec} was quoted")
    if quote.mode == "spot":
        _check_spot(quote, spot, f"{where}.SpotSpec")
    elif spot:
        raise _differs(f"{where}.SpotSpec", "asks for a machine that may be taken back")


def _check_spot(quote: Quote, spot: object, where: str) -> None:
    if not isinstance(spot, dict) or not spot:
        raise _differs(where, "is missing, and the quote is for a spot price")
    if spot.get("SpotPriceLimit") is not None:
        raise _differs(f"{where}.SpotPriceLimit", "is a sum, and a share of the price was quoted")
    limit = spot.get("SpotDiscountLimit")
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
        raise _differs(f"{where}.SpotDiscountLimit", "is no share of the ordinary price")
    if quote.spot_limit is None:
        raise _differs(f"{where}.SpotDiscountLimit", f"is {limit}, and no limit was quoted")
    # As it was written: a float is seldom exactly what its digits say.
    if Decimal(str(limit)) > quote.spot_limit:
        raise _differs(
            f"{where}.SpotDiscountLimit", f"is {limit}, and {quote.spot_limit} was quoted"
        )


def _check_duration(quote: Quote, body: Mapping[str, Any]) -> None:
    minutes = _minutes(body.get("JobMaxRunningTimeMinutes"))
    if not minutes:
        raise _differs("JobMaxRunningTimeMinutes", "is not set, so that the job has no end")
    settings = body.get("Settings")
    # Machines that are kept after the end are billed on.
    kept = settings.get("JobReservedMinutes") if isinstance(settings, dict) else None
    minutes_kept = _minutes(kept)
    if minutes_kept is None:
        raise _differs("Settings.JobReservedMinutes", "is no number of minutes")
    if (minutes + minutes_kept) * 60 > quote.bound_s:
        also = f" and {minutes_kept} kept" if minutes_kept else ""
        raise _differs(
            "JobMaxRunningTimeMinutes",
            f"lets the job run {minutes} minutes{also}, and {quote.bound_s / 60:g} were quoted",
        )


def _check_tags(plan: ApprovedPlan, body: Mapping[str, Any]) -> None:
    settings = body.get("Settings")
    tags = settings.get("Tags") if isinstance(settings, dict) else None
    expected = {RUN_TAG: plan.quote.run_id, PLAN_TAG: plan.plan_hash}
    for name, value in expected.items():
        found = tags.get(name) if isinstance(tags, dict) else None
        if found != value:
            said = "is missing" if found is None else f"is {found}"
            raise _differs(f"Settings.Tags.{name}", f"{said}, and the approval is for {value}")


def _minutes(value: object) -> int | None:
    """Whole minutes, 0 where none are given, None for what are none."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return value


def _refused(what: str, remedy: str) -> RefusedError:
    return RefusedError(what, _WHERE, remedy)


def _differs(where: str, what: str) -> RefusedError:
    return RefusedError(what, f"CreateJob: {where}", "Ask for a quote for the job as it is now")


def _time(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")
