"""The bill: every second of every machine that somebody would have to pay for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

__all__ = ["Bill", "BillLine", "LineProvider"]

_SMALLEST = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class BillLine:
    """A stretch of time in which something is paid for, `end_s` the present if it goes on.

    `resource` is what was created (a job's id), `part` what of it this is (a pod's). Times are in
    seconds since 1970-01-01 UTC; `price_per_hour` is None where no price is known.
    """

    product: str
    region: str
    resource: str
    name: str
    part: str
    machine: str
    start_s: float
    end_s: float
    price_per_hour: Decimal | None
    spot: bool = False
    goes_on: bool = False

    @property
    def seconds(self) -> Decimal:
        """How long, to the millisecond."""
        return Decimal(str(round(self.end_s - self.start_s, 3)))

    @property
    def amount(self) -> Decimal | None:
        """What it comes to, None when there is no price."""
        if self.price_per_hour is None:
            return None
        return (self.price_per_hour * self.seconds / 3600).quantize(_SMALLEST)


LineProvider = Callable[[float], Iterable[BillLine]]


class Bill:
    """All lines, those charged once and those that grow while something runs."""

    def __init__(self, currency: str) -> None:
        self.currency = currency
        self._charged: list[BillLine] = []
        self._providers: list[LineProvider] = []

    def charge(self, line: BillLine) -> None:
        """Add a line that is final."""
        self._charged.append(line)

    def add_provider(self, provider: LineProvider) -> None:
        """Ask `provider` for its lines up to a moment (seconds since 1970-01-01 UTC)."""
        self._providers.append(provider)

    def lines(self, now_s: float) -> list[BillLine]:
        """All lines up to now, in order of their start."""
        lines = list(self._charged)
        for provider in self._providers:
            lines += provider(now_s)
        return sorted(lines, key=lambda line: (line.start_s, line.resource, line.part))

    def total(self, now_s: float) -> Decimal:
        """The sum of what has a price."""
        return sum((line.amount or Decimal(0) for line in self.lines(now_s)), Decimal(0))

    def as_document(self, now_s: float) -> dict[str, Any]:
        """The bill as JSON: amounts are texts, so that none is rounded."""
        lines = self.lines(now_s)
        resources: dict[str, list[BillLine]] = {}
        for line in lines:
            resources.setdefault(line.resource, []).append(line)
        return {
            "currency": self.currency,
            "until_s": now_s,
            "total": str(self.total(now_s)),
            "billable_seconds": str(sum((line.seconds for line in lines), Decimal(0))),
            # Seconds for which no price is known, and which the total leaves out.
            "unpriced_seconds": str(
                sum((line.seconds for line in lines if line.amount is None), Decimal(0))
            ),
            "still_billed": sorted({line.resource for line in lines if line.goes_on}),
            "resources": [
                {
                    "product": parts[0].product,
                    "region": parts[0].region,
                    "resource": resource,
                    "name": parts[0].name,
                    "seconds": str(sum((line.seconds for line in parts), Decimal(0))),
                    "amount": _sum(parts),
                    "lines": [_line(line) for line in parts],
                }
                for resource, parts in resources.items()
            ],
        }


def _sum(lines: Iterable[BillLine]) -> str | None:
    amounts = [line.amount for line in lines]
    known = [amount for amount in amounts if amount is not None]
    return str(sum(known, Decimal(0))) if len(known) == len(amounts) else None


def _line(line: BillLine) -> dict[str, Any]:
    return {
        "part": line.part,
        "machine": line.machine,
        "spot": line.spot,
        "start_s": line.start_s,
        "end_s": line.end_s,
        "seconds": str(line.seconds),
        "price_per_hour": None if line.price_per_hour is None else str(line.price_per_hour),
        "amount": None if line.amount is None else str(line.amount),
    }
