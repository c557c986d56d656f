"""What the ledger says: budgets, open leases and runs; or all that is noted of one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tidemark.cli.job_runs import LiveJobRun
from tidemark.cli.ledgers import ended_as, named_run, opened_ledger
from tidemark.cli.printing import console, long_table, moment, print_document, say, span
from tidemark.cli.quotes import quote_document
from tidemark.money.amounts import sum_text

if TYPE_CHECKING:
    from decimal import Decimal

    from tidemark.money.approval import Approval
    from tidemark.money.ledger import Lease, LedgerRun, LedgerSummary, Reservation
    from tidemark.money.quote import Quote

__all__ = ["show_ledger", "show_noted"]

_RUNS = 12
_SCOPES = ("night", "month", "person")


def show_ledger(*, as_json: bool) -> None:
    """Print what nights, months and persons took, the open leases, and the latest runs."""
    with opened_ledger() as ledger:
        summary = ledger.summary()
        runs = [
            (run, ledger.last_quote(run.run_id), ledger.reservation(run.run_id))
            for run in ledger.runs(limit=_RUNS)
        ]
        place = ledger.place
    if as_json:
        print_document(
            {
                "installation": summary.installation,
                "ledger": place,
                "totals": [asdict(total) for total in summary.totals],
                "open_leases": [asdict(lease) for lease in summary.open_leases],
                "runs": [_run_document(*each) for each in runs],
            }
        )
        return
    say(f"ledger {place}")
    say(f"of installation {summary.installation}")
    _print_totals(summary)
    _print_leases(summary.open_leases)
    _print_runs(runs, summary.open_leases)


def _print_totals(summary: LedgerSummary) -> None:
    rows = [
        (
            total.scope,
            total.key,
            sum_text(total.reserved, total.currency),
            sum_text(total.metered, total.currency),
            total.runs,
        )
        for scope in _SCOPES
        for total in summary.totals
        if total.scope == scope
    ]
    say("")
    if not rows:
        say("nothing was reserved or spent yet")
        return
    headings = ("of a", "which", "reserved", "metered", "runs")
    console().print(
        long_table(headings, rows, folded=("which",), right=("reserved", "metered", "runs"))
    )


def _print_leases(leases: Sequence[Lease]) -> None:
    say("")
    if not leases:
        say("no lease is open: nothing of this installation should be running")
        return
    now = datetime.now(UTC)
    rows = [
        (
            lease.run_id,
            lease.resource_id or "(not created yet)",
            f"{moment(lease.expires_at)}{' (expired)' if lease.expires_at < now else ''}",
        )
        for lease in leases
    ]
    console().print(long_table(("lease of run", "job", "expires"), rows, folded=("job",)))
    if any(lease.expires_at < now for lease in leases):
        say("nobody renews an expired one: tidemark reap")


def _print_runs(
    runs: Sequence[tuple[LedgerRun, Quote | None, Reservation]], leases: Sequence[Lease]
) -> None:
    say("")
    if not runs:
        say("no run is noted yet")
        return
    now = datetime.now(UTC)
    rows = [
        (
            run.run_id,
            _state(run, leases, now),
            _amount(quote.bound if quote else None, quote.currency if quote else None),
            _amount(taken.metered, taken.currency),
            run.name or "-",
        )
        for run, quote, taken in runs
    ]
    headings = ("run", "state", "at most", "metered", "name")
    table = long_table(headings, rows, folded=("name",), right=("at most", "metered"))
    console().print(table)
    say("all that is noted of one: tidemark ledger --run RUN")


def _state(run: LedgerRun, leases: Sequence[Lease], now: datetime) -> str:
    held = [lease for lease in leases if lease.run_id == run.run_id]
    return ended_as(run) if run.ended or LiveJobRun(run, held, now).attended else "gone"


def show_noted(wanted: str, *, as_json: bool) -> None:
    """Print all that is noted of a run, in the order in which it came to pass."""
    with opened_ledger() as ledger:
        run = named_run(ledger, wanted)
        quotes = ledger.quotes(run.run_id)
        answers = {quote.quote_id: ledger.approval(quote.quote_id) for quote in quotes}
        taken = ledger.reservation(run.run_id)
        leases = ledger.leases(run_id=run.run_id)
    if as_json:
        print_document(
            {
                "run": asdict(run),
                "quotes": [quote_document(quote) for quote in quotes],
                "answers": [asdict(answer) for answer in answers.values() if answer is not None],
                "reservation": asdict(taken),
                "leases": [asdict(lease) for lease in leases],
            }
        )
        return
    say(f"{run.run_id}  {ended_as(run)}  {run.name or ''}".rstrip())
    if run.flow_run_id:
        say(f"flow run {run.flow_run_id}")
    say(f"plan {run.plan_hash}")
    say(f"counts to the night {run.night}, the month {run.month}, {run.requested_by or 'nobody'}")
    say("")
    noted = [
        (run.created_at, f"begun by {run.requested_by or 'nobody named'} ({run.trigger})"),
        *(each for quote in quotes for each in _quoted(quote, answers[quote.quote_id])),
        *(each for lease in leases for each in _leased(lease)),
    ]
    for at, text in sorted(noted, key=lambda each: each[0]):
        say(f"{moment(at)}  {text}")
    if taken.currency is not None:
        how = "reserved" if taken.open else "was reserved, and is settled"
        say(f"{sum_text(taken.amount, taken.currency)} {how}; "
            f"{sum_text(taken.metered, taken.currency)} metered")  # fmt: skip
    if run.cancel_asked:
        say(f"asked to end by {run.cancel_asked}")
    say(f"{moment(run.updated_at)}  {ended_as(run)}: {run.line}")


def _quoted(quote: Quote, answer: Approval | None) -> Iterator[tuple[datetime, str]]:
    sums = f"not priced: {quote.price.reason}"
    if quote.bound is not None and quote.currency is not None:
        most = sum_text(quote.bound, quote.currency)
        sums = f"{_amount(quote.expected, quote.currency)} expected, {most} at most"
    yield quote.quoted_at, f"quote {quote.quote_id}: {quote.workers} × {quote.machine}"
    yield quote.quoted_at, f"  {sums}, until {moment(quote.expires_at)}"
    if answer is not None:
        word = "approved" if answer.decision == "approve" else "rejected"
        rule = f", rule {answer.rule}" if answer.rule else ""
        why = f": {answer.reason}" if answer.reason else ""
        yield answer.decided_at, f"{word} by {answer.by} ({answer.channel}{rule}){why}"


def _leased(lease: Lease) -> Iterator[tuple[datetime, str]]:
    yield lease.intended_at, f"lease {lease.lease_id}"
    yield lease.intended_at, f"  {_created(lease)} in {lease.region}"
    if lease.metered_at is not None:
        cost = _amount(lease.metered, lease.currency)
        text = f"metered {span(lease.billable_s)} of machines: {cost}"
        yield lease.metered_at, text
    if lease.released_at is not None:
        note = f": {lease.note}" if lease.note else ""
        yield lease.released_at, f"released {lease.resource_id or lease.lease_id}{note}"
    else:
        until = f"until {moment(lease.expires_at)}"
        yield lease.renewed_at, f"held by {lease.owner} (fence {lease.fence}) {until}"


def _created(lease: Lease) -> str:
    return f"job {lease.resource_id}" if lease.resource_id else "no job yet"


def _amount(amount: Decimal | None, currency: str | None) -> str:
    return "-" if amount is None or currency is None else sum_text(amount, currency)


def _run_document(run: LedgerRun, quote: Quote | None, taken: Reservation) -> dict[str, Any]:
    document = asdict(run)
    del document["plan"]
    return {
        **document,
        "quoted": None if quote is None else quote.expected,
        "bound": None if quote is None else quote.bound,
        "reserved": taken.amount if taken.open else None,
        "metered": taken.metered,
        "currency": taken.currency or (None if quote is None else quote.currency),
    }
