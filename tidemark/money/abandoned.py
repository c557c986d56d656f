"""Runs that nobody works on any more, and what they had set aside."""

from __future__ import annotations

from datetime import datetime, timedelta

from tidemark.money.ledger import Ledger
from tidemark.money.ledger_records import LedgerRun

__all__ = ["ABANDONED_AFTER", "close_abandoned"]

ABANDONED_AFTER = timedelta(hours=1)
"""A run without a lease says something more often than that while somebody works on it."""

# One that waits for an answer may wait for days, and holds nothing.
_AT_WORK = ("quoting", "approved", "starting", "running", "collecting")


def close_abandoned(ledger: Ledger, now: datetime, *, dry_run: bool = False) -> list[LedgerRun]:
    """End the runs that were left without a lease: what they had reserved is free again.

    As when a process was killed between reserving and creating. Runs that hold a lease are the
    reaper's. With `dry_run` nothing is changed. Raises LedgerError.
    """
    closed = []
    for run in ledger.runs(states=_AT_WORK, limit=10_000):
        if now - run.updated_at <= ABANDONED_AFTER:
            continue
        if ledger.leases(run_id=run.run_id, unreleased=True):
            continue
        closed.append(run)
        if not dry_run:
            ledger.settle(run.run_id)
            line = f"Nobody works on it any more; the last was: {run.line}"
            ledger.say(run.run_id, state="failed", line=line, outcome="failed", exit_status=1)
    return closed
