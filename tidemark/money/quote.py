"""A quote: what a run is expected to cost, what it can cost at most, and until when that holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any, Literal

from tidemark.errors import LedgerError, RefusedError
from tidemark.money.amounts import cost_of
from tidemark.money.price import Price

__all__ = ["MODES", "Mode", "Quote"]

Mode = Literal["public", "spot", "quota"]
"""Machines of the public pool, machines that may be taken back, a share of a quota."""

MODES: tuple[Mode, ...] = ("public", "spot", "quota")

_DURATIONS = ("expected_s", "bound_s", "poll_s", "unwatched_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What `workers` machines cost for the run of a plan. Durations are seconds.

    `quote_id` is another at each asking. `spec` is an instance type, or the id of a quota, and
    `machine` says it in words. `expected_s` is from the first billed machine, which pulls the
    image, to the end; `bound_s` the longest that it can be billed while we watch. On top of that
    may come `poll_s`, until its end is seen and it has stopped, and `unwatched_s` where this
    machine dies: until the lease has expired and the reaper has come. `spot_limit` is the most that
    a spot machine may cost, as a share of the ordinary price; `price` counts it. `details` are JSON
    values that whoever made the quote needs again to carry it out.
    """

    quote_id: str
    run_id: str
    plan_hash: str
    mode: Mode
    spec: str
    machine: str
    workers: int
    price: Price
    expected_s: float
    bound_s: float
    poll_s: float
    unwatched_s: float
    quoted_at: datetime
    expires_at: datetime
    spot_limit: Decimal | None = None
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        where = f"quote {self.quote_id}"
        if self.mode not in MODES:
            raise RefusedError(
                f"{self.mode} is no mode", where, f"Choose one of {', '.join(MODES)}"
            )
        if self.workers < 1:
            raise RefusedError("is for no machine", where, "Give one worker or more")
        for name in _DURATIONS:
            seconds = getattr(self, name)
            if not isfinite(seconds) or seconds < 0:
                raise RefusedError(f"{name} is no duration", where, "Give seconds, 0 or more")
        if self.bound_s < self.expected_s or self.bound_s <= 0:
            raise RefusedError(
                "is expected to last longer than it may", where,
                "Raise the limits of the plan, or lower what it is expected to take",
            )  # fmt: skip
        if self.quoted_at.tzinfo is None or self.expires_at.tzinfo is None:
            raise RefusedError("has times without a zone", where, "Give instants of UTC")

    @property
    def currency(self) -> str | None:
        """The currency of its amounts; None where there is no price."""
        return self.price.currency if self.price.per_hour is not None else None

    @property
    def per_hour(self) -> Decimal | None:
        """All machines for an hour."""
        return self._cost(3600.0)

    @property
    def expected(self) -> Decimal | None:
        """What it is expected to cost; rounded up to 0.000001 like all amounts here."""
        return self._cost(self.expected_s)

    @property
    def bound(self) -> Decimal | None:
        """What it can cost at most while we watch."""
        return self._cost(self.bound_s)

    @property
    def overshoot(self) -> Decimal | None:
        """What can come on top of the bound until its end is seen and it has stopped."""
        return self._cost(self.poll_s)

    @property
    def unwatched(self) -> Decimal | None:
        """What can come on top of the bound where this machine dies."""
        return self._cost(self.unwatched_s)

    def _cost(self, seconds: float) -> Decimal | None:
        if self.price.per_hour is None:
            return None
        return cost_of(self.price.per_hour, seconds, machines=self.workers)

    def expired(self, now: datetime) -> bool:
        """Whether it holds no more."""
        return now > self.expires_at

    def document(self) -> dict[str, Any]:
        """It as JSON values, exact: amounts are text. `from_document` reads it back."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        price = {each.name: getattr(self.price, each.name) for each in fields(self.price)}
        parts = {"price": _json(price), "notes": list(self.notes), "details": dict(self.details)}
        return _json({**found, **parts})

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Quote:
        """The quote of a `document()`. Raises LedgerError for what is none."""
        try:
            price = dict(document["price"])
            if price["per_hour"] is not None:
                price["per_hour"] = Decimal(price["per_hour"])
            price["read_at"] = datetime.fromisoformat(price["read_at"])
            limit = document.get("spot_limit")
            given = {**document, "price": Price(**price), "notes": tuple(document["notes"])}
            given["spot_limit"] = None if limit is None else Decimal(limit)
            for name in ("quoted_at", "expires_at"):
                given[name] = datetime.fromisoformat(given[name])
            return cls(**given)
        except (KeyError, TypeError, ValueError, InvalidOperation, RefusedError) as error:
            raise LedgerError(
                f"is no quote ({error})", "a quote's document", "Ask for a new quote"
            ) from error


def _json(values: dict[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Decimal):
            written[name] = str(value)
        elif isinstance(value, datetime):
            written[name] = value.isoformat()
        else:
            written[name] = value
    return written
