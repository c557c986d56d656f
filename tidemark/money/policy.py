"""A spending policy: what may be started without asking anybody, and up to which sums.

Pure: what is spent is told to it. Sums in different currencies are refused, never converted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from tidemark.money.amounts import LEDGER_PLACES, amount_text, sum_text
from tidemark.money.price import is_currency
from tidemark.money.quote import Quote
from tidemark.plan.base import Name, PlanModel
from tidemark.plan.problems import Problem, did_you_mean, refusal, refusals

__all__ = [
    "Answer",
    "Cap",
    "Scope",
    "SpendingRules",
    "Spent",
    "cap_text",
    "caps_of",
    "judge",
    "month_of",
    "night_of",
]

Scope = Literal["run", "night", "month", "person"]

_NOON = timedelta(hours=12)
_PLAIN = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")


def _number(value: Any) -> Any:
    known = isinstance(value, int | float | str | Decimal) and not isinstance(value, bool)
    try:
        amount = Decimal(str(value) if known else "none")
    except ArithmeticError:
        raise refusal("is not a number", "Write an amount of money, such as 20") from None
    if known and isinstance(value, str) and not _PLAIN.fullmatch(value.strip()):
        raise refusal("is not a number", "Write an amount of money in plain digits, such as 20")
    if amount.is_finite() and abs(amount) <= 10**9 and amount != round(amount, LEDGER_PLACES):
        raise refusal(
            f"has more than {LEDGER_PLACES} digits after the point", "Round it to fewer digits"
        )
    return amount


Amount = Annotated[
    Decimal,
    BeforeValidator(_number),
    Field(gt=0, le=10**9),
    # A form asks for a number, and not whether it is to be a number or text.
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 10**9}),
]


class SpendingRules(PlanModel):
    """What may be started without asking, in one currency. All rules hold at once."""

    form_order: ClassVar = ("currency", "per_run", "per_night", "per_month", "per_person")

    currency: str = Field(
        default="CNY",
        title="Currency",
        description="Code of the currency that the sums are in. Quotes in another are refused.",
        examples=["CNY"],
    )
    per_run: Amount | None = Field(
        default=None, title="Per run",
        description="What one run may cost at most.", examples=[10],
    )  # fmt: skip
    per_night: Amount | None = Field(
        default=None, title="Per night",
        description="What all runs from one noon to the next may cost.", examples=[50],
    )  # fmt: skip
    per_month: Amount | None = Field(
        default=None, title="Per month",
        description="What all runs of a calendar month may cost.", examples=[600],
    )  # fmt: skip
    per_person: Amount | None = Field(
        default=None, title="Per person",
        description="What one person's runs of a calendar month may cost; runs without a name "
        "count together.", examples=[200],
    )  # fmt: skip
    allowed_specs: tuple[Name, ...] = Field(
        default=(), title="Allowed specs",
        description="Instance types, or ids of quotas, with * for any text. Empty: all of them.",
        examples=[["ecs.gn6i-*", "ecs.c6.large"]],
    )  # fmt: skip
    quiet_hours: tuple[str, ...] = Field(
        default=(), title="Quiet hours",
        description="Times of the day at which nothing is started automatically.",
        examples=[["22:00-06:00"]],
    )  # fmt: skip
    timezone: str = Field(
        default="Asia/Shanghai", title="Time zone",
        description="Name of the zone of the quiet hours, nights and months.",
        examples=["Asia/Shanghai"],
    )  # fmt: skip
    allow_unpriced: bool = Field(
        default=False, title="Allow unpriced quotas",
        description="Whether a share of a quota, which costs the same anyway and has no price, "
        "may be used.", examples=[True],
    )  # fmt: skip

    @classmethod
    def usual_timezone(cls) -> str:
        """Where nights are counted unless somebody says otherwise."""
        return str(cls.model_fields["timezone"].default)

    @field_validator("currency")
    @classmethod
    def _is_currency(cls, value: str) -> str:
        if not is_currency(value):
            raise refusal("is no code of a currency", "Write three capital letters, such as CNY")
        return value

    @field_validator("quiet_hours")
    @classmethod
    def _are_hours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            found = _HOURS.fullmatch(each)
            if not found or (found[3] == "24" and found[4] != "00"):
                raise refusal("is no span of the day", "Write from-to, such as 22:00-06:00")
            if _span(each)[0] == _span(each)[1]:
                raise refusal(
                    "ends when it begins", "Write 00:00-24:00 for the whole day, or leave it out"
                )
        return value

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        if value not in _zones():
            near = did_you_mean(value, _zones())
            remedy = near if near.startswith("Did") else "Write a name such as Asia/Shanghai"
            raise refusal("is no time zone", remedy)
        return value

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.per_run is None and self.per_night is None and self.per_month is None:
            raise refusals(
                "SpendingRules",
                [Problem(("per_run",), "has no limit, nor has a night or a month", "Set one")],
            )
        return self


@dataclass(frozen=True, slots=True)
class Spent:
    """What other runs took in a night, a month, and of a person's share of the month: reserved,
    or spent where that is known, in the rules' currency."""

    night: Decimal
    month: Decimal
    person: Decimal


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a policy allows a quote, by which of its rules, and why in words."""

    allowed: bool
    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit to what the runs of a scope may take together. `key` is the run's id, the night, the
    month, or the person, whose runs of the month of the run in question count; "" is nobody.
    `name` says what set it."""

    scope: Scope
    key: str
    limit: Decimal
    currency: str
    name: str


def cap_text(name: str, limit: Decimal, currency: str, *, taken: Decimal, asked: Decimal) -> str:
    """A sentence about a cap: what is taken of it, and what is asked for."""
    return (
        f"{name}: {sum_text(taken, currency)} of {sum_text(limit, currency)} are taken by other "
        f"runs, this one may take {amount_text(asked)}"
    )


def judge(
    rules: SpendingRules, quote: Quote, spent: Spent, *, now: datetime, person: str | None
) -> Answer:
    """Whether the run of a quote may start without asking anybody: the first rule that refuses,
    else the one that allows it. `spent` is of the night, month and person of the run."""
    bound = quote.bound
    unpriced = bound is None or quote.currency is None
    if unpriced and not (rules.allow_unpriced and quote.mode == "quota"):
        reason = quote.price.reason
        if quote.mode == "quota":
            return _no("allow_unpriced", f"a quota has no price ({reason}), and none is allowed")
        return _no("allow_unpriced", f"there is no price ({reason}), so that no sum can be kept to")
    if not unpriced and quote.currency != rules.currency:
        why = f"the quote is in {quote.currency}, the policy in {rules.currency}"
        return _no("currency", f"{why}, and sums are never converted")
    if rules.allowed_specs and not _matches(quote.spec, rules.allowed_specs):
        allowed = ", ".join(rules.allowed_specs)
        return _no("allowed_specs", f"{quote.spec} is not among {allowed}")
    quiet = _quiet(rules, now)
    if quiet:
        local = now.astimezone(ZoneInfo(rules.timezone))
        why = f"it is {local:%H:%M} in {rules.timezone}, and nothing is started in {quiet}"
        return _no("quiet_hours", why)
    if bound is None:
        return Answer(
            True, "allow_unpriced", "allow_unpriced: a quota costs the same whether it is used"
        )
    return _judge_sums(rules, bound, spent, person)


def _judge_sums(rules: SpendingRules, bound: Decimal, spent: Spent, person: str | None) -> Answer:
    if rules.per_run is not None and bound > rules.per_run:
        asked, most = sum_text(bound, rules.currency), sum_text(rules.per_run, rules.currency)
        return _no("per_run", f"it may take {asked}, and a run may take {most}")
    sums = (
        ("per_night", rules.per_night, spent.night),
        ("per_month", rules.per_month, spent.month),
        ("per_person", rules.per_person, spent.person),
    )
    within = []
    for name, limit, taken in sums:
        if limit is None:
            continue
        shown = f"{name} ({person or 'nobody named'})" if name == "per_person" else name
        why = cap_text(shown, limit, rules.currency, taken=taken, asked=bound)
        if taken + bound > limit:
            return Answer(False, name, why)
        within.append((name, why))
    if rules.per_run is not None:
        asked = amount_text(bound)
        most = sum_text(rules.per_run, rules.currency)
        within.insert(0, ("per_run", f"per_run: this one may take {asked} of {most}"))
    return Answer(True, within[0][0], "; ".join(why for _, why in within))


def caps_of(
    rules: SpendingRules | None,
    *,
    run_id: str,
    night: str,
    month: str,
    person: str | None,
    plan_cap: tuple[Decimal, str] | None,
    approved: tuple[Decimal, str] | None,
) -> tuple[Cap, ...]:
    """All caps that a run has to keep to: of its approval, its plan, and the policy."""
    caps = []
    if approved:
        caps.append(Cap("run", run_id, *approved, "the approval"))
    if plan_cap:
        caps.append(Cap("run", run_id, *plan_cap, "the plan's cap"))
    if rules:
        keyed: tuple[tuple[Scope, str, Decimal | None], ...] = (
            ("run", run_id, rules.per_run),
            ("night", night, rules.per_night),
            ("month", month, rules.per_month),
            ("person", person or "", rules.per_person),
        )
        for scope, key, limit in keyed:
            if limit is not None:
                caps.append(Cap(scope, key, limit, rules.currency, f"per_{scope}"))
    return tuple(caps)


def night_of(moment: datetime, timezone: str) -> str:
    """The night of a moment, from noon to noon, by the evening's date: `2026-11-22`."""
    return f"{moment.astimezone(ZoneInfo(timezone)).replace(tzinfo=None) - _NOON:%Y-%m-%d}"


def month_of(moment: datetime, timezone: str) -> str:
    """The calendar month of a moment: `2026-11`."""
    return f"{moment.astimezone(ZoneInfo(timezone)):%Y-%m}"


def _no(rule: str, why: str) -> Answer:
    return Answer(False, rule, f"{rule}: {why}")


def _matches(spec: str, patterns: Iterable[str]) -> bool:
    # Only the star has a meaning; how fnmatch looks for it takes no time that grows with each star.
    return any(fnmatchcase(spec, re.sub(r"([?\[\]])", r"[\1]", pattern)) for pattern in patterns)


def _span(text: str) -> tuple[int, int]:
    """Minutes of the day, from and to."""
    hours_minutes = [part.split(":") for part in text.split("-")]
    begin, end = (int(hours) * 60 + int(minutes) for hours, minutes in hours_minutes)
    return begin, end


def _quiet(rules: SpendingRules, now: datetime) -> str | None:
    """The quiet hours that it is in; their end is no part of them."""
    local = now.astimezone(ZoneInfo(rules.timezone))
    minute = local.hour * 60 + local.minute
    for each in rules.quiet_hours:
        begin, end = _span(each)
        over_midnight = begin > end
        if (begin <= minute or minute < end) if over_midnight else begin <= minute < end:
            return each
    return None


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
