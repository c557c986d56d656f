"""Runs of jobs seen from outside, by what the ledger has of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tidemark.cli.approvals import answer_of, reject_waiting, unheard_lines
from tidemark.cli.ledgers import LIVE, ended_as, ledger_if_any, opened_ledger, user
from tidemark.cli.left_behind import held_lines
from tidemark.cli.printing import moment, print_document, say, span
from tidemark.errors import LedgerError
from tidemark.money.amounts import sum_text

if TYPE_CHECKING:
    from tidemark.money.approval import Approval
    from tidemark.money.ledger import Lease, Ledger, LedgerRun

__all__ = [
    "LiveJobRun",
    "cancel_job_run",
    "find_job_run",
    "job_run_document",
    "live_job_runs",
    "show_job_run",
]

_SILENT = timedelta(minutes=15)
_MISSED = 2.5  # so many times a lease could have been renewed, and was not


@dataclass(frozen=True, slots=True)
class LiveJobRun:
    """The run of a job that is not over, the leases it holds, and when that was looked up."""

    run: LedgerRun
    held: Sequence[Lease]
    now: datetime

    @property
    def attended(self) -> bool:
        """Whether somebody looks after it, by its leases, or else by what it said last."""
        if self.held:
            from tidemark.alibaba.leased_jobs import LeaseTimes

            late = timedelta(seconds=_MISSED * LeaseTimes().renew_every_s)
            on_time = [lease for lease in self.held if self.now - lease.renewed_at < late]
            return any(lease.expires_at >= self.now for lease in on_time)
        # One that waits may do so for days; what else was said long ago was said by who is gone.
        return self.run.state == "waiting" or self.now - self.run.updated_at < _SILENT

    @property
    def is_leased(self) -> bool:
        """Whether a lease of it has not run out, so that the reaper leaves it alone."""
        return any(lease.expires_at >= self.now for lease in self.held)

    @property
    def since(self) -> datetime:
        """When somebody was last seen to look after it."""
        return max((lease.renewed_at for lease in self.held), default=self.run.updated_at)

    def line(self) -> str:
        """It in a line."""
        state, what = self.run.state, self.run.line
        if not self.attended:
            state, what = "gone", f"not watched since {moment(self.since)}; {what}"
        return f"{self.run.run_id}  {state:<12} {what}  {self.run.name or ''}".rstrip()


def live_job_runs() -> list[LiveJobRun]:
    """The runs of jobs that are not over, the newest last; none where there is no ledger."""
    with ledger_if_any() as ledger:
        if ledger is None:
            return []
        runs = ledger.runs(states=LIVE)[::-1]
        leases = ledger.leases(unreleased=True)
    now = datetime.now(UTC)
    return [
        LiveJobRun(run, [lease for lease in leases if lease.run_id == run.run_id], now)
        for run in runs
    ]


def find_job_run(wanted: str) -> LedgerRun | None:
    """The run of a job whose id, or flow run's id, begins so; None where there is none such."""
    with ledger_if_any() as ledger:
        if ledger is None or not wanted.strip():
            return None
        try:
            return ledger.run(wanted)
        except LedgerError:
            return None  # or several: those of the store may be meant


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
        answer = answer_of(ledger, run)
    now = datetime.now(UTC)
    live = LiveJobRun(run, [lease for lease in leases if lease.state != "released"], now)
    lost = not run.ended and not live.attended
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
    say(f"{run.run_id}  {'gone' if lost else ended_as(run)}")
    say(f"{run.line} ({span((now - run.updated_at).total_seconds())} ago)")
    for lease in leases:
        if not lost or lease.state == "released":
            say(_job(lease))
    if quote is not None and quote.bound is not None and quote.currency is not None:
        spent = f"; metered {sum_text(taken.metered, taken.currency)}" if taken.currency else ""
        say(f"at most {sum_text(quote.bound, quote.currency)}{spent}")
    for line in _lost(live) if lost else _next(run, answer):
        say(line)
    return status


def _job(lease: Lease) -> str:
    name = f"job {lease.resource_id}" if lease.resource_id else "a job that is not created yet"
    if lease.state == "released":
        return f"{name} in {lease.region}, given back {moment(lease.released_at)}"
    renewed = f"its lease renewed {moment(lease.renewed_at)} until {moment(lease.expires_at)}"
    return f"{name} in {lease.region}, {renewed}"


def _lost(live: LiveJobRun) -> list[str]:
    said = f"not watched since {moment(live.since)}"
    if not live.held:
        return [f"{said}; it holds nothing that is billed"]
    return [said, *held_lines(live.held)]


def _next(run: LedgerRun, answer: Approval | None) -> list[str]:
    if run.state == "waiting" and answer is not None:
        return unheard_lines(run, answer)
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

    One that waits for an answer is rejected. Raises RefusedError for one that is over.
    """
    with opened_ledger() as ledger:
        run = ledger.run(wanted)
        ledger.ask_to_cancel(run.run_id, f"{user()} (tidemark cancel)")
        # One that was approved, and has not heard so, ends before it creates anything.
        earlier = answer_of(ledger, run)
        if run.state == "waiting" and (earlier is None or earlier.decision == "reject"):
            told = reject_waiting(
                ledger, run, channel="tidemark cancel", reason="the run was cancelled"
            )
            if told.how == "failed":
                say(told.why, err=True)
        say(f"{run.run_id} is asked to end; it hears that at its next look")
        ended = _seen_to_end(ledger, run, wait_s, clock, sleep)
        if ended is not None:
            say(f"it has ended: {ended_as(ended)}; {ended.line}")
            return 0
        after, held = ledger.run(run.run_id), ledger.leases(run_id=run.run_id, unreleased=True)
    say(f"it had not ended after {wait_s:.0f} s: see tidemark status {run.run_id}")
    live = LiveJobRun(after, held, datetime.now(UTC))
    for line in [] if live.attended else _lost(live):
        say(line)
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
