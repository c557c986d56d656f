"""The price of a machine: what it costs by the hour, who said so and when; or why nobody did."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tidemark.errors import RefusedError

__all__ = ["Price", "is_currency"]


def is_currency(text: str) -> bool:
    """Whether it has the form of a currency's code (ISO 4217): `CNY`."""
    return re.fullmatch(r"[A-Z]{3}", text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one machine costs for an hour.

    `per_hour` is above 0 and in `currency`, or None where it is not known, with the `reason`; no
    price is never 0. `source` names who was asked for it, `read_at` is when.
    """

    per_hour: Decimal | None
    currency: str | None
    source: str
    read_at: datetime
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.read_at.tzinfo is None:
            raise RefusedError("has no time zone", "price: read_at", "Give an instant of UTC")
        if self.per_hour is None:
            if not self.reason:
                raise RefusedError(
                    "has neither a price nor a reason", "price", "Say why there is no price"
                )
            return
        if not self.per_hour.is_finite() or self.per_hour <= 0:
            raise RefusedError(
                "is not above 0", "price: per_hour",
                "Leave out a price that is not known, and give the reason",
            )  # fmt: skip
        if self.currency is None or not is_currency(self.currency):
            raise RefusedError(
                "has no currency", "price: currency", "Name it by its code, such as CNY"
            )
