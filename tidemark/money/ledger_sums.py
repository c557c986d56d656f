"""Reservations and metered amounts in the ledger; each function works within a transaction.

What a run takes of a cap is what it reserved, or what it spent where that is more; once it is
settled, what it spent. Only runs in the cap's currency count.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Subquery,
    and_,
    case,
    func,
    insert,
    literal,
    select,
    type_coerce,
    update,
)

from tidemark.errors import CapReached, LedgerError, RefusedError
from tidemark.money.amounts import cost_of, rounded, sum_text
from tidemark.money.ledger_records import LedgerRun, Reservation, ScopeTotal
from tidemark.money.ledger_runs import the_run
from tidemark.money.ledger_schema import LEASES, RESERVATIONS, RUNS, Amount
from tidemark.money.policy import Cap, Scope, Spent, cap_text

__all__ = ["meter", "reservation_of", "reserve", "settle", "spent", "totals"]

_NOTHING = literal(Decimal(0), Amount)


def spent(
    connection: Connection,
    *,
    night: str,
    month: str,
    person: str | None,
    currency: str,
    without_run: str | None,
) -> Spent:
    """What runs took of a night, a month, and of a person's share of it; None is nobody's."""
    others = RUNS.c.run_id != without_run if without_run else literal(True)
    return Spent(
        night=_taken(connection, currency, and_(others, RUNS.c.night == night)),
        month=_taken(connection, currency, and_(others, RUNS.c.month == month)),
        person=_taken(connection, currency, and_(others, _of_person(person, month))),
    )


def reserve(
    connection: Connection,
    run_id: str,
    amount: Decimal,
    currency: str,
    caps: Sequence[Cap],
    now: datetime,
    *,
    night: str | None = None,
    month: str | None = None,
) -> Reservation:
    """Reserve `amount` in all for a run, if no cap is passed. What it has already is returned
    where that is as much. `night` and `month` are those that it counts to from now on."""
    run = the_run(connection, run_id)
    amount = rounded(amount, f"run {run_id}: amount")
    held = reservation_of(connection, run_id)
    if held.currency not in (None, currency):
        raise RefusedError(
            f"has its sums in {held.currency}, and {currency} are asked for", f"run {run_id}",
            "Begin a new run: sums are never converted",
        )  # fmt: skip
    if held.open and amount <= held.amount:
        return held
    told = {name: key for name, key in (("night", night), ("month", month)) if key is not None}
    if told:
        connection.execute(update(RUNS).where(RUNS.c.run_id == run_id).values(told))
        run = the_run(connection, run_id)
    for cap in caps:
        _check_cap(connection, cap, run, max(amount, held.metered), currency)
    values = {"amount": amount, "currency": currency, "is_open": True, "changed_at": now}
    if _row_of(connection, run_id) is None:
        connection.execute(insert(RESERVATIONS).values(run_id=run_id, **values))
    else:
        _change(connection, run_id, values)
    return reservation_of(connection, run_id)


def meter(
    connection: Connection,
    lease_id: str,
    *,
    billable_s: float,
    amount: Decimal | None,
    at: datetime,
) -> None:
    """Note what a lease cost up to now; what was noted is never lowered."""
    asked = select(LEASES).where(LEASES.c.lease_id == lease_id)
    lease = connection.execute(asked).mappings().one_or_none()
    if lease is None:
        raise LedgerError(f"no lease {lease_id} is noted", "ledger", "Note it before it is metered")
    cost_of(Decimal(0), billable_s)  # refuses what is no duration
    if amount is not None:
        if lease["currency"] is None:
            raise LedgerError(
                "is metered, and has no currency", f"lease {lease_id}", "Note it with its price"
            )
        amount = rounded(amount, f"lease {lease_id}: amount")
        amount = max(amount, lease["metered"] or Decimal(0))
    values = {
        "billable_s": max(billable_s, lease["billable_s"]),
        "metered": lease["metered"] if amount is None else amount,
        "metered_at": max(at, lease["metered_at"] or at),
    }
    connection.execute(update(LEASES).where(LEASES.c.lease_id == lease_id).values(values))


def settle(connection: Connection, run_id: str, now: datetime) -> Reservation:
    """Free what a run reserved and did not spend."""
    held = reservation_of(connection, run_id)
    if held.open:
        _change(connection, run_id, {"is_open": False, "changed_at": now})
    return reservation_of(connection, run_id)


def reservation_of(connection: Connection, run_id: str) -> Reservation:
    """What a run reserved and spent; nothing, where it did neither."""
    the_run(connection, run_id)
    asked = (
        select(LEASES.c.currency, func.sum(LEASES.c.metered))
        .where(LEASES.c.run_id == run_id, LEASES.c.metered.is_not(None))
        .group_by(LEASES.c.currency)
    )
    metered: dict[str, Decimal] = {row[0]: row[1] for row in connection.execute(asked)}
    row = _row_of(connection, run_id)
    currency = row.currency if row is not None else next(iter(metered), None)
    if set(metered) - {currency}:
        raise LedgerError(
            f"has sums in {', '.join(sorted({*metered, str(currency)}))}", f"run {run_id}",
            "Sums are never added across currencies: see its leases",
        )  # fmt: skip
    return Reservation(
        run_id=run_id,
        amount=row.amount if row is not None else Decimal(0),
        currency=currency,
        metered=metered.get(currency or "", Decimal(0)),
        open=row.is_open if row is not None else False,
    )


def totals(connection: Connection, limit: int) -> tuple[ScopeTotal, ...]:
    """What the newest nights and months took, and persons in them, by currency."""
    person = func.coalesce(RUNS.c.requested_by, "")
    keys: tuple[tuple[Scope, ColumnElement[str]], ...] = (
        ("night", RUNS.c.night),
        ("month", RUNS.c.month),
        ("person", RUNS.c.month + " " + person),
    )
    currencies = select(RESERVATIONS.c.currency).union(
        select(LEASES.c.currency).where(LEASES.c.metered.is_not(None))
    )
    found = []
    for currency in sorted(connection.execute(currencies).scalars()):
        metered = _metered_by_run(currency)
        amount, spent_ = RESERVATIONS.c.amount, func.coalesce(metered.c.metered, _NOTHING)
        is_open = and_(RESERVATIONS.c.is_open.is_(True), amount > spent_)
        reserved = case((is_open, amount - spent_), else_=_NOTHING)
        for scope, key in keys:
            asked = (
                select(key, _sum(reserved), _sum(spent_), func.count())
                .select_from(_with_sums(currency, metered))
                .where(func.coalesce(amount, metered.c.metered).is_not(None))
                .group_by(key)
                .order_by(key.desc())
                .limit(limit)
            )
            found += [
                ScopeTotal(scope, row[0], currency, *row[1:]) for row in connection.execute(asked)
            ]
    return tuple(found)


def _check_cap(
    connection: Connection, cap: Cap, run: LedgerRun, asked: Decimal, currency: str
) -> None:
    if cap.currency != currency:
        raise RefusedError(
            f"is in {cap.currency}, and {currency} are asked for", cap.name,
            f"Set it in {currency}: sums are never converted",
        )  # fmt: skip
    if cap.scope == "run":
        if asked > cap.limit:
            raise CapReached(
                f"{sum_text(asked, currency)} are asked for, and run {run.run_id} may take "
                f"{sum_text(cap.limit, currency)}", cap.name,
                "Lower the limits of the plan, or get more approved",
            )  # fmt: skip
        return
    scope = {
        "night": RUNS.c.night == cap.key,
        "month": RUNS.c.month == cap.key,
        "person": _of_person(cap.key or None, run.month),
    }[cap.scope]
    taken = _taken(connection, currency, and_(RUNS.c.run_id != run.run_id, scope))
    if taken + asked > cap.limit:
        words = cap_text(cap.name, cap.limit, currency, taken=taken, asked=asked)
        raise CapReached(
            words.removeprefix(f"{cap.name}: "), cap.name,
            "Wait until others have settled, or raise the cap",
        )  # fmt: skip


def _of_person(person: str | None, month: str) -> ColumnElement[bool]:
    who = RUNS.c.requested_by.is_(None) if person is None else RUNS.c.requested_by == person
    return and_(who, RUNS.c.month == month)


def _metered_by_run(currency: str) -> Subquery:
    return (
        select(LEASES.c.run_id, func.sum(LEASES.c.metered).label("metered"))
        .where(LEASES.c.currency == currency, LEASES.c.metered.is_not(None))
        .group_by(LEASES.c.run_id)
        .subquery()
    )


def _with_sums(currency: str, metered: Subquery) -> FromClause:
    return RUNS.outerjoin(
        RESERVATIONS,
        and_(RESERVATIONS.c.run_id == RUNS.c.run_id, RESERVATIONS.c.currency == currency),
    ).outerjoin(metered, metered.c.run_id == RUNS.c.run_id)


def _taken(connection: Connection, currency: str, which: ColumnElement[bool]) -> Decimal:
    metered = _metered_by_run(currency)
    amount, spent_ = RESERVATIONS.c.amount, func.coalesce(metered.c.metered, _NOTHING)
    taken = case((and_(RESERVATIONS.c.is_open.is_(True), amount > spent_), amount), else_=spent_)
    asked = select(_sum(taken)).select_from(_with_sums(currency, metered)).where(which)
    return connection.execute(asked).scalar_one() or Decimal(0)


def _sum(amounts: ColumnElement[Any]) -> ColumnElement[Decimal]:
    # Amounts that were calculated with are plain numbers to the database.
    return type_coerce(func.sum(amounts), Amount)


def _row_of(connection: Connection, run_id: str) -> Row[Any] | None:
    asked = select(RESERVATIONS).where(RESERVATIONS.c.run_id == run_id)
    return connection.execute(asked).one_or_none()


def _change(connection: Connection, run_id: str, values: dict[str, Any]) -> None:
    connection.execute(update(RESERVATIONS).where(RESERVATIONS.c.run_id == run_id).values(values))
