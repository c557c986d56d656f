"""What a run leaves behind when its command is ended at once, and how it is given back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tidemark.cli.ledgers import ledger_if_any
from tidemark.cli.printing import moment
from tidemark.errors import TidemarkError
from tidemark.money.amounts import sum_text

if TYPE_CHECKING:
    from tidemark.money.ledger import Lease

__all__ = ["held_lines", "left_behind"]


def left_behind(beginning: str) -> list[str]:
    """Sentences about what of a run is still billed, by when it is ended, and what to do now."""
    try:
        with ledger_if_any() as ledger:
            if ledger is None:
                return ["what is still billed is not known; look: tidemark reap --dry-run"]
            run = ledger.run(beginning)
            leases = ledger.leases(run_id=run.run_id, unreleased=True)
    except TidemarkError as error:
        return [f"what is still billed is not known: {error}"]
    if not leases:
        return [f"nothing of run {run.run_id} is billed"]
    return [f"run {run.run_id} is not watched any more", *held_lines(leases)]


def held_lines(leases: Sequence[Lease]) -> list[str]:
    """Sentences about what leases hold that nobody watches, and how it is ended."""
    lines, now = [], datetime.now(UTC)
    for lease in leases:
        if lease.resource_id is None:
            lines.append(f"{lease.lease_id} may have been created in {lease.region} just now")
        else:
            price = ""
            if lease.price_per_hour is not None and lease.currency is not None:
                price = f", {sum_text(lease.price_per_hour, lease.currency)} an hour"
            lines.append(
                f"job {lease.resource_id} in {lease.region} is still billed{price}, unless it has "
                "ended by itself"
            )
            lines.append(
                f"stop it now: tidemark pai stop {lease.resource_id} --region {lease.region}"
            )
        over = lease.expires_at < now
        lines.append(
            f"its lease {'ended' if over else 'ends'} {moment(lease.expires_at)}; "
            f"{'by now' if over else 'from then on'} `tidemark reap` stops it, "
            f"and the service itself by {moment(lease.not_after)}"
        )
    return lines
