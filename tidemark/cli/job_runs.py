"""Runs of jobs seen from outside, by what the ledger has of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tidemark.cli.approvals import reject_waiting
from tidemark.cli.ledgers import LIVE, ledger_if_any, opened_ledger, user
from tidemark.cli.printing import moment, print_document, say, span
from tidemark.errors import LedgerError
from tidemark.money.amounts import sum_text

if TYPE_CHECKING:
    from tidemark.money.ledger import Lease, Ledger, LedgerRun

__all__ = [
    "cancel_job_run",
    "find_job_run",
    "job_run_document",
    "job_run_line",
    "live_job_runs",
    "show_job_run",
]

_SILENT = timedelta(minutes=15)


def live_job_runs() -> list[tuple[LedgerRun, bool]]:
    """The runs of jobs that are not over, the newest last, and whether somebody looks after each;
    none where there is no ledger."""
    now = datetime.now(UTC)
    with ledger_if_any() as ledger:
        if ledger is None:
            return []
        runs = ledger.runs(states=LIVE)[::-1]
        held = {lease.run_id for lease in ledger.leases(unreleased=True) if lease.expires_at >= now}
    return [(run, _is_attended(run, held, now)) for run in runs]


def _is_attended(run: LedgerRun, held: Collection[str], now: datetime) -> bool:
    # One that waits may do so for days; what else was said long ago was said by who is gone.
    return run.state == "waiting" or run.run_id in held or now - run.updated_at < _SILENT


def find_job_run(wanted: str) -> LedgerRun | None:
    """The run of a job whose id, or flow run's id, begins so; None where there is none such."""
    with ledger_if_any() as ledger:
        if ledger is None or not wanted.strip():
            return None
        try:
            return ledger.run(wanted)
        except LedgerError:
            return None  # or several: those of the store may be meant


def job_run_line(run: LedgerRun, *, attended: bool) -> str:
    """A run in a line."""
    state = run.state if attended else "gone"
    return f"{run.run_id}  {state:<12} {run.line}  {run.name or ''}".rstrip()


def job_run_document(run: LedgerRun) -> dict[str, Any]:
    """What is told of a run in a list."""
    names = (
        "run_id", "kind", "state", "line", "name", "plan_hash", "flow_run_id", "requested_by",
        "trigger", "created_at", "updated_at", "outcome", "exit_status", "cancel_asked",
    )  # fmt: skip
    return {name: getattr(run, name) for name in names}


def show_job_run(wanted: str, *, as_json: bool) -> int:
    """Say what the run of a job does or came to. Returns its exit status; 0 while it is underway,
    and 1 when nobody seems to look after it any more."""
    with opened_ledger() as ledger:
        run = ledger.run(wanted)
        leases = ledger.leases(run_id=run.run_id)
        quote, taken = ledger.last_quote(run.run_id), ledger.reservation(run.run_id)
    held = [lease for lease in leases if lease.state != "released"]
    now = datetime.now(UTC)
    attended = {lease.run_id for lease in held if lease.expires_at >= now}
    lost = not run.ended and not _is_attended(run, attended, now)
    status = int(lost) if not run.ended else (1 if run.exit_status is None else run.exit_status)
    if as_json:
        print_document(
            {
                **job_run_document(run),
                "quoted": None if quote is None else quote.expected,
                "bound": None if quote is None else quote.bound,
                "metered": taken.metered,
                "currency": taken.currency,
                "jobs": [lease.resource_id for lease in leases if lease.resource_id],
                "unattended": lost,
            }
        )
        return status
    say(f"{run.run_id}  {run.state}")
    say(f"{run.line} ({span((now - run.updated_at).total_seconds())} ago)")
    for lease in leases:
        say(_job(lease))
    if quote is not None and quote.bound is not None and quote.currency is not None:
        spent = f"; metered {sum_text(taken.metered, taken.currency)}" if taken.currency else ""
        say(f"at most {sum_text(quote.bound, quote.currency)}{spent}")
    for line in _next(run, lost=lost):
        say(line)
    return status


def _job(lease: Lease) -> str:
    name = f"job {lease.resource_id}" if lease.resource_id else "a job that is not created yet"
    if lease.state == "released":
        return f"{name} in {lease.region}, given back {moment(lease.released_at)}"
    return f"{name} in {lease.region}, watched until {moment(lease.expires_at)} at least"


def _next(run: LedgerRun, *, lost: bool) -> list[str]:
    if lost:
        return ["nobody looks after it any more: tidemark reap stops what it left"]
    if run.state == "waiting":
        return [f"tidemark approve {run.run_id}", f"tidemark reject {run.run_id} --reason WHY"]
    asked = [f"asked to end by {run.cancel_asked}"] if run.cancel_asked and not run.ended else []
    return [*asked, f"all that is noted of it: tidemark ledger --run {run.run_id}"]


def cancel_job_run(
    wanted: str,
    *,
    wait_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Ask the run of a job to end, and wait until it has; 1 when it had not within `wait_s`.

    One that waits for approval is rejected. Raises RefusedError for one that is over.
    """
    with opened_ledger() as ledger:
        run = ledger.run(wanted)
        ledger.ask_to_cancel(run.run_id, f"{user()} (tidemark cancel)")
        if run.state == "waiting":
            told = reject_waiting(
                ledger, run, channel="tidemark cancel", reason="the run was cancelled"
            )
            if told.how == "failed":
                say(told.why, err=True)
        say(f"{run.run_id} is asked to end; it hears that at its next look")
        ended = _seen_to_end(ledger, run, wait_s, clock, sleep)
        if ended is not None:
            say(f"it has ended: {ended.state}; {ended.line}")
            return 0
        held = ledger.leases(run_id=run.run_id, unreleased=True)
    say(f"it had not ended after {wait_s:.0f} s: see tidemark status {run.run_id}")
    if any(lease.expires_at < datetime.now(UTC) for lease in held):
        say("nobody looks after it any more: tidemark reap stops what it left")
    return 1


def _seen_to_end(
    ledger: Ledger,
    run: LedgerRun,
    wait_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> LedgerRun | None:
    begin = clock()
    while True:
        after = ledger.run(run.run_id)
        if after.ended:
            return after
        if clock() - begin >= wait_s:
            return None
        sleep(1.0)
