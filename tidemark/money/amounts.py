"""Amounts of money: exact, and rounded against whoever would like to spend more."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil, isfinite

from tidemark.errors import RefusedError

__all__ = ["COST_PLACES", "LEDGER_PLACES", "amount_text", "cost_of", "rounded", "sum_text"]

COST_PLACES = 6
"""Digits after the point of a cost that is told to people."""

LEDGER_PLACES = 8
"""Digits after the point of an amount in the ledger."""

_MOST = Decimal(10) ** 10


def rounded(
    amount: Decimal, where: str, *, places: int = LEDGER_PLACES, up: bool = True
) -> Decimal:
    """`amount` with so many digits after the point: never less than it was, or with `up=False`
    never more.

    Raises RefusedError, which names `where`, for what is no amount: not a number, negative, or
    above ten thousand million.
    """
    if not amount.is_finite() or amount < 0 or amount > _MOST:
        raise RefusedError(
            "is no amount of money", where, f"Give a number from 0 to {amount_text(_MOST)}"
        )
    exact = Fraction(amount) * 10**places
    whole = ceil(exact) if up else exact.numerator // exact.denominator
    return Decimal(whole).scaleb(-places)


def cost_of(per_hour: Decimal, seconds: float, *, machines: int = 1) -> Decimal:
    """What `machines` cost for so many seconds, each at `per_hour`; rounded up to 0.000001."""
    if not isfinite(seconds) or seconds < 0:
        raise RefusedError("is no duration", "seconds", "Give seconds, 0 or more")
    exact = Fraction(per_hour) * machines * Fraction(seconds) / 3600
    return Decimal(ceil(exact * 10**COST_PLACES)).scaleb(-COST_PLACES)


def amount_text(amount: Decimal) -> str:
    """All digits of an amount: `20`, `12.40`, `0.005667`."""
    whole, _, rest = f"{amount:f}".partition(".")
    rest = rest.rstrip("0")
    return f"{whole}.{rest.ljust(2, '0')}" if rest else whole


def sum_text(amount: Decimal, currency: str) -> str:
    """An amount with its currency: `12.40 CNY`."""
    return f"{amount_text(amount)} {currency}"
