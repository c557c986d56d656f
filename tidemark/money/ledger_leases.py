"""Leases in the ledger; each function works within a transaction.

A lease changes hands only here, and each time its fence is raised: whoever still has an older one
learns so before changing anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from tidemark.errors import LedgerError, NotTheOwner, RefusedError
from tidemark.money.amounts import rounded
from tidemark.money.ledger_records import Lease
from tidemark.money.ledger_runs import the_run
from tidemark.money.ledger_schema import LEASES, RESERVATIONS

__all__ = [
    "check",
    "count_leases",
    "created",
    "intend",
    "leases_of",
    "release",
    "renew",
    "seize",
]


def intend(connection: Connection, lease: Lease, now: datetime) -> tuple[Lease, bool]:
    """Note a resource before it is made, or take over one that is noted; and whether it was.

    It can be taken over by its owner, and by another when it has expired or was released.
    """
    _check_sums(connection, lease)
    price = lease.price_per_hour
    if price is not None:
        price = rounded(price, f"lease {lease.lease_id}: price_per_hour")
    found = _find(connection, lease.lease_id)
    if found is None:
        given = {each.name: getattr(lease, each.name) for each in fields(lease)}
        given |= {"fence": 1, "state": "intended", "released_at": None, "resource_id": None}
        given |= {"billable_s": 0.0, "metered": None, "metered_at": None}
        given["price_per_hour"] = price
        connection.execute(insert(LEASES).values(given))
        return _the_lease(connection, lease.lease_id), False
    if (found.run_id, found.attempt) != (lease.run_id, lease.attempt):
        raise LedgerError(
            f"is noted for attempt {found.attempt} of run {found.run_id}",
            f"lease {lease.lease_id}", "Give each attempt a name of its own",
        )  # fmt: skip
    lives = found.state != "released" and found.expires_at > now
    if lives and found.owner != lease.owner:
        raise NotTheOwner(
            f"belongs to {found.owner} until {_time(found.expires_at)}",
            f"lease {lease.lease_id}",
            "Leave it to them, or come again when it has expired",
        )
    taken = {
        "owner": lease.owner,
        "fence": found.fence + 1,
        "state": "intended" if found.resource_id is None else "created",
        "renewed_at": lease.renewed_at,
        "expires_at": lease.expires_at,
        # What is there was approved up to then; gone on with, it has no more time than that.
        "not_after": lease.not_after if found.resource_id is None else found.not_after,
        "released_at": None,
    }
    if found.resource_id is None:
        # Nothing was made at the price of that time.
        taken |= {"price_per_hour": price, "currency": lease.currency}
    return _change(connection, lease.lease_id, taken), True


def created(connection: Connection, lease: Lease, resource_id: str) -> Lease:
    """Note the id that the service gave. Raises NotTheOwner."""
    found = _owned(connection, lease)
    values: dict[str, Any] = {"resource_id": resource_id}
    if found.state == "intended":
        values["state"] = "created"
    if found.resource_id not in (None, resource_id):
        # The other may still be there: what looks for it by its tags finds its id here too.
        values["note"] = _joined(found.note, f"before that, it was {found.resource_id}")
    return _change(connection, lease.lease_id, values)


def renew(connection: Connection, lease: Lease, expires_at: datetime, now: datetime) -> Lease:
    """Keep a lease for longer, at most until the service ends the resource. Raises NotTheOwner."""
    found = _owned(connection, lease)
    _check_unreleased(found)
    until = min(expires_at, found.not_after)
    return _change(connection, lease.lease_id, {"renewed_at": now, "expires_at": until})


def check(connection: Connection, lease: Lease, now: datetime) -> None:
    """See that a lease is still its owner's to create under. Raises NotTheOwner."""
    found = _owned(connection, lease)
    _check_unreleased(found)
    if found.expires_at <= now:
        raise NotTheOwner(
            f"expired at {_time(found.expires_at)}", f"lease {lease.lease_id}",
            "Renew it first: the reaper may be about to take it",
        )  # fmt: skip


def seize(
    connection: Connection, lease_id: str, *, owner: str, now: datetime, until: datetime
) -> Lease | None:
    """Take over a lease that has expired and was not released; None where it has not, or was."""
    found = _the_lease(connection, lease_id)
    if found.state == "released" or found.expires_at > now:
        return None
    taken = {
        "owner": owner,
        "fence": found.fence + 1,
        "renewed_at": now,
        "expires_at": until,
    }
    return _change(connection, lease_id, taken)


def release(connection: Connection, lease: Lease, note: str, now: datetime) -> Lease:
    """Note that the resource is no more; again changes nothing. Raises NotTheOwner."""
    found = _owned(connection, lease)
    if found.state == "released":
        return found
    values = {"state": "released", "released_at": now, "note": _joined(found.note, note)}
    return _change(connection, lease.lease_id, values)


def leases_of(connection: Connection, run_id: str | None, unreleased: bool) -> list[Lease]:
    """Leases of a run or of all, in the order in which they were noted."""
    asked = select(LEASES).order_by(LEASES.c.intended_at, LEASES.c.lease_id)
    if run_id is not None:
        asked = asked.where(LEASES.c.run_id == run_id)
    if unreleased:
        asked = asked.where(LEASES.c.state != "released")
    return [_lease(row) for row in connection.execute(asked).mappings()]


def count_leases(connection: Connection) -> int:
    """How many leases were ever noted."""
    return connection.execute(select(func.count()).select_from(LEASES)).scalar_one()


def _check_sums(connection: Connection, lease: Lease) -> None:
    the_run(connection, lease.run_id)
    if lease.price_per_hour is not None and lease.currency is None:
        raise LedgerError(
            "has a price and no currency", f"lease {lease.lease_id}", "Name the currency"
        )
    if lease.currency is None:
        return
    reserved = select(RESERVATIONS.c.currency).where(RESERVATIONS.c.run_id == lease.run_id)
    beside = select(LEASES.c.currency).where(
        LEASES.c.run_id == lease.run_id,
        LEASES.c.lease_id != lease.lease_id,
        LEASES.c.currency.is_not(None),
    )
    others = set(connection.execute(reserved.union(beside)).scalars()) - {lease.currency}
    if others:
        raise RefusedError(
            f"is in {lease.currency}, and its run's sums are in {', '.join(sorted(others))}",
            f"lease {lease.lease_id}", "Begin a new run: sums are never converted",
        )  # fmt: skip


def _owned(connection: Connection, lease: Lease) -> Lease:
    found = _the_lease(connection, lease.lease_id)
    if (found.owner, found.fence) != (lease.owner, lease.fence):
        raise NotTheOwner(
            f"was taken over by {found.owner}, who has it until {_time(found.expires_at)}",
            f"lease {lease.lease_id}",
            "Stop: it is theirs to go on with and to end",
        )
    return found


def _check_unreleased(lease: Lease) -> None:
    if lease.state == "released":
        raise NotTheOwner("was released", f"lease {lease.lease_id}", "Note a new attempt to go on")


def _find(connection: Connection, lease_id: str) -> Lease | None:
    asked = select(LEASES).where(LEASES.c.lease_id == lease_id)
    row = connection.execute(asked).mappings().one_or_none()
    return None if row is None else _lease(row)


def _the_lease(connection: Connection, lease_id: str) -> Lease:
    found = _find(connection, lease_id)
    if found is None:
        raise LedgerError(
            f"no lease {lease_id} is noted", "ledger", "Note a resource before it is made"
        )
    return found


def _change(connection: Connection, lease_id: str, values: Mapping[str, Any]) -> Lease:
    connection.execute(update(LEASES).where(LEASES.c.lease_id == lease_id).values(dict(values)))
    return _the_lease(connection, lease_id)


def _lease(row: Mapping[Any, Any]) -> Lease:
    return Lease(**row)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _time(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")
