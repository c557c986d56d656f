"""A sum of money in a plan: exact, in one currency."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from tidemark.plan.base import PlanModel
from tidemark.plan.problems import refusal

__all__ = ["Amount", "Sum"]

_MOST = Decimal(1_000_000_000)
# With ten digits before them, no more than a JSON number carries exactly.
_DIGITS_AFTER_POINT = 4
_REMEDY = f"Write a number above 0 and up to {_MOST}, such as 12.5"


def _amount(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise refusal("is not a number", f"{_REMEDY}, without quotes or currency")
    # By way of its text: 0.1 means a tenth, and not what is nearest to it in binary.
    amount = Decimal(str(value))
    if not amount.is_finite():
        raise refusal("is not a finite number", _REMEDY)
    if not 0 < amount <= _MOST:
        raise refusal(f"must be above 0 and at most {_MOST}", _REMEDY)
    exponent = amount.normalize().as_tuple().exponent
    if isinstance(exponent, int) and exponent < -_DIGITS_AFTER_POINT:
        raise refusal(f"has more than {_DIGITS_AFTER_POINT} digits after the point", "Round it up")
    # One spelling of one amount, so that 12.50 and 12.5 are the same plan.
    return Decimal(format(amount.normalize(), "f"))


Amount = Annotated[
    Decimal,
    BeforeValidator(_amount),
    PlainSerializer(float, return_type=float, when_used="json"),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": int(_MOST)}),
]
"""An amount above 0 with up to four digits after the point: a number in JSON, exact here."""


class Sum(PlanModel):
    """An amount of money and its currency. Sums in different currencies are never compared."""

    amount: Amount = Field(
        title="Amount",
        description="How much, above 0, with at most 4 digits after the point.",
        examples=[20, 12.5],
    )
    currency: str = Field(
        default="CNY",
        title="Currency",
        description="Code of three capital letters, as the account is billed. Nothing is ever "
        "converted: prices in another currency are refused.",
        examples=["CNY", "USD"],
        pattern=r"^[A-Z]{3}$",
    )

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"
