"""Answering a quote from elsewhere: which runs wait for it, and saying yes or no to one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from tidemark.cli.asking import UpTo, check_price, forget_typed, is_yes
from tidemark.cli.ledgers import ended_as, named_run, opened_ledger, user
from tidemark.cli.printing import console, long_table, moment, print_document, say
from tidemark.cli.quotes import print_quote
from tidemark.cli.resuming import Resumed, resume
from tidemark.errors import ForeignLedger, LedgerAway, LedgerError, RefusedError
from tidemark.money.amounts import sum_text

if TYPE_CHECKING:
    from tidemark.money.approval import Approval
    from tidemark.money.ledger import Ledger, LedgerRun
    from tidemark.money.quote import Quote

__all__ = ["answer_run", "reject_waiting", "show_waiting"]

FINE, FAILED, PARTIAL = 0, 1, 3
_WAITING = "waiting"

Decision = Literal["approve", "reject"]


def answer_run(
    wanted: str | None,
    decision: Decision,
    *,
    by: str | None,
    reason: str = "",
    up_to: str | None = None,
    yes: bool = False,
    wait_s: float,
) -> int:
    """Note the answer to the quote of a run that waits, and let the run hear of it.

    A yes is asked for at the terminal, unless `yes` says it or the most that the quote can cost
    is within the sum `up_to`. Returns the exit status: 0 once the run goes on, 1 where whoever was
    asked said no, so that nothing is noted, 3 where the answer is noted and the run has not heard
    of it, or asks again since its quote had expired. Raises RefusedError where a yes is wanted and
    nobody can be asked, or for a quote beyond `up_to`.
    """
    limit = None if up_to is None else UpTo.of(up_to, "--up-to")
    with opened_ledger() as ledger:
        run = _named(ledger, wanted) if wanted is not None else _the_waiting(ledger)
        quote = _open_quote(ledger, run)
        earlier = ledger.approval(quote.quote_id)
        if earlier is None:
            print_quote(quote)
            say("")
            if decision == "approve" and not _is_meant(run, quote, limit, yes=yes):
                say("Nothing is noted, and the run waits on.")
                say(f"To end it: tidemark reject {run.run_id} --reason WHY")
                return FAILED
            if _open_quote(ledger, ledger.run(run.run_id)).quote_id != quote.quote_id:
                raise RefusedError(
                    "was quoted anew meanwhile",
                    f"run {run.run_id}",
                    "Read the new quote: once more",
                )
            answer = _answer(run, quote, decision, by or user(), "tidemark " + decision, reason)
            kept = _keep(ledger, answer)
        elif earlier.decision == decision:
            # Noted before, and the run has not gone on: it may not have been told.
            say(f"{_told(earlier)}; telling the run again")
            kept = earlier
        else:
            raise _answered(run, earlier)
        return _let_it_hear(ledger, run, quote, kept, wait_s)


def _is_meant(run: LedgerRun, quote: Quote, limit: UpTo | None, *, yes: bool) -> bool:
    """Whether the yes is to this quote, which was shown: by a sum, by option, or by an answer."""
    check_price(quote)
    if limit is not None:
        trouble = limit.why_not(quote)
        if trouble:
            raise RefusedError(
                f"is not approved: {trouble}", f"quote {quote.quote_id}",
                f"Name another sum, or end it: tidemark reject {run.run_id} --reason WHY",
            )  # fmt: skip
        return True
    if yes:
        return True
    if not (os.isatty(0) and os.isatty(1)):
        raise RefusedError(
            "is not approved, for there is no terminal to ask at", f"quote {quote.quote_id}",
            f"Say yes by an option: {_command(run, quote)}",
        )  # fmt: skip
    forget_typed()
    try:
        return is_yes(input("Approve? [y/N] "))
    except EOFError:
        say("")
        return False


def _command(run: LedgerRun, quote: Quote) -> str:
    """The command that says yes to a quote without a question, and to none that costs more."""
    if quote.bound is None or quote.currency is None:
        return f"tidemark approve {run.run_id} --yes"
    most = sum_text(quote.bound, quote.currency).replace(" ", "")
    return f"tidemark approve {run.run_id} --up-to {most}"


def answer_of(ledger: Ledger, run: LedgerRun) -> Approval | None:
    """The answer to the newest quote of a run, which it may not have heard yet."""
    quote = ledger.last_quote(run.run_id)
    return ledger.approval(quote.quote_id) if quote is not None else None


def unheard_lines(run: LedgerRun, answer: Approval) -> list[str]:
    """What is told of a run that waits, and has its answer."""
    option = "" if answer.decision == "approve" else " --reason WHY"
    return [
        f"{_told(answer)}; the run has not heard of it yet",
        f"to tell it again, where Prefect can be reached: tidemark {answer.decision} "
        f"{run.run_id}{option}",
    ]


def reject_waiting(ledger: Ledger, run: LedgerRun, *, channel: str, reason: str) -> Resumed:
    """End a run that waits for an answer, by saying no. Raises RefusedError if it has one."""
    quote = _open_quote(ledger, run)
    earlier = ledger.approval(quote.quote_id)
    if earlier is not None and earlier.decision == "approve":
        raise _answered(run, earlier)
    answer = earlier or _keep(ledger, _answer(run, quote, "reject", user(), channel, reason))
    return resume(run, answer)


def _the_waiting(ledger: Ledger) -> LedgerRun:
    waiting = ledger.runs(states=(_WAITING,))
    if not waiting:
        raise RefusedError(
            "no run waits for approval", f"ledger {ledger.place}", "See what runs: tidemark runs"
        )
    if len(waiting) > 1:
        ids = ", ".join(run.run_id for run in waiting)
        raise RefusedError("several runs wait for approval", "RUN", f"Name one of {ids}")
    return waiting[0]


def _named(ledger: Ledger, wanted: str) -> LedgerRun:
    """The run that waits and whose id, or flow run's id, begins so; else the one other that does.

    Raises RefusedError for several that wait, and for none, with the nearest of them.
    """
    waiting = ledger.runs(states=(_WAITING,), limit=1000)
    named = [run for run in waiting if _begins(run, wanted)]
    if not wanted.strip():
        return named_run(ledger, wanted)
    if len(named) == 1:
        return named[0]
    if named:
        ids = ", ".join(run.run_id for run in named)
        raise RefusedError(f"several runs that wait begin with {wanted}", "RUN", f"Name one: {ids}")
    try:
        return ledger.run(wanted)
    except (LedgerAway, ForeignLedger):
        raise
    except LedgerError:  # none, or several that are over
        from tidemark.plan.problems import did_you_mean

        remedy = "None waits just now: tidemark runs"
        if waiting:
            remedy = did_you_mean(wanted, [run.run_id for run in waiting])
        what = f"no run that waits for approval begins with {wanted}"
        raise RefusedError(what, f"ledger {ledger.place}", remedy) from None


def _begins(run: LedgerRun, wanted: str) -> bool:
    return run.run_id.startswith(wanted) or (run.flow_run_id or "").startswith(wanted)


def _open_quote(ledger: Ledger, run: LedgerRun) -> Quote:
    """The quote that a run waits with. Raises RefusedError, by what it does instead."""
    where = f"run {run.run_id}"
    quote = ledger.last_quote(run.run_id)
    if run.state == _WAITING and quote is not None:
        return quote
    answer = None if quote is None else ledger.approval(quote.quote_id)
    if run.ended:
        told = "" if answer is None else f" ({_told(answer)})"
        raise RefusedError(
            f"is over: {ended_as(run)}{told}",
            where,
            f"See what came of it: tidemark status {run.run_id}",
        )
    if answer is not None:
        raise _answered(run, answer)
    raise RefusedError(
        f"does not wait for approval: it is {run.state} ({run.line})", where,
        f"See what it does: tidemark status {run.run_id}",
    )  # fmt: skip


def _answered(run: LedgerRun, answer: Approval) -> RefusedError:
    remedy = f"To end it all the same: tidemark cancel {run.run_id}"
    if answer.decision == "reject":
        remedy = "Start a new run: this one ends"
    return RefusedError(f"has its answer: {_told(answer)}", f"run {run.run_id}", remedy)


def _told(answer: Approval) -> str:
    word = "approved" if answer.decision == "approve" else "rejected"
    why = f", {answer.reason}" if answer.reason else ""
    return f"{word} by {answer.by} ({answer.channel}) {moment(answer.decided_at)}{why}"


def _answer(
    run: LedgerRun, quote: Quote, decision: Decision, by: str, channel: str, reason: str
) -> Approval:
    from tidemark.money.approval import Approval, approve

    now = datetime.now(UTC)
    answer = Approval(
        approval_id=f"{quote.quote_id}-answer",
        run_id=run.run_id,
        quote_id=quote.quote_id,
        plan_hash=quote.plan_hash,
        decision=decision,
        up_to=quote.bound,
        currency=quote.currency,
        by=by,
        channel=channel,
        decided_at=now,
        reason=reason,
    )
    if decision == "approve" and not quote.expired(now):
        approve(quote, answer, plan_hash=run.plan_hash, now=lambda: now)  # refused here, if at all
    return answer


def _keep(ledger: Ledger, answer: Approval) -> Approval:
    kept = ledger.keep_approval(answer)
    if (kept.by, kept.channel, kept.decided_at) != (answer.by, answer.channel, answer.decided_at):
        raise _answered(ledger.run(answer.run_id), kept)
    return kept


def _let_it_hear(
    ledger: Ledger, run: LedgerRun, quote: Quote, answer: Approval, wait_s: float
) -> int:
    resumed = resume(run, answer)
    after = _seen_to_go_on(ledger, run, quote, wait_s)
    expired = answer.decision == "approve" and quote.expired(answer.decided_at)
    if expired:
        say(f"the quote held until {moment(quote.expires_at)} only: a yes to it starts nothing")
        say(f"the run reads the price again, and asks again: tidemark approve {run.run_id}")
        return PARTIAL
    say(_told(answer))
    if after is not None:
        say(f"run {after.run_id} {'ended' if after.ended else 'goes on'}: {after.line}")
        return FINE
    for line in _not_seen(run, resumed, wait_s):
        say(line)
    return FINE if resumed.how == "resumed" else PARTIAL


def _seen_to_go_on(
    ledger: Ledger,
    run: LedgerRun,
    quote: Quote,
    wait_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> LedgerRun | None:
    """The run once it does something else than waiting with this quote; None if it does not."""
    begin = clock()
    while True:
        after = ledger.run(run.run_id)
        latest = ledger.last_quote(run.run_id)
        if after.state != _WAITING or (latest is not None and latest.quote_id != quote.quote_id):
            return after
        if clock() - begin >= wait_s:
            return None
        sleep(0.5)


def _not_seen(run: LedgerRun, resumed: Resumed, wait_s: float) -> list[str]:
    follow = f"follow it: tidemark status {run.run_id}"
    if resumed.how == "resumed":
        return [f"Prefect has resumed run {run.run_id}; it goes on when a worker takes it", follow]
    noted = f"the answer is noted; the run has not taken it up within {wait_s:.0f} s"
    if resumed.how == "elsewhere":
        beside = f" ({resumed.why})" if resumed.why else ""
        return [
            f"{noted}{beside}",
            "if it waits at a terminal it does in a moment; one that was closed there never will",
            follow,
        ]
    return [
        f"{noted}: {resumed.why}",
        "a run that is suspended there finds the answer as soon as it is resumed, which the same",
        "command does once Prefect can be reached; one at a terminal finds it by itself",
        follow,
    ]


def show_waiting(*, as_json: bool) -> None:
    """Print the runs that wait for an answer, the longest waiting first, and how to give it."""
    with opened_ledger() as ledger:
        waiting = [
            (run, ledger.last_quote(run.run_id))
            for run in sorted(ledger.runs(states=(_WAITING,)), key=lambda run: run.updated_at)
        ]
        answers = {run.run_id: answer_of(ledger, run) for run, _ in waiting}
    if as_json:
        print_document([_waiting_document(run, quote) for run, quote in waiting])
        return
    if not waiting:
        say("no run waits for approval", err=True)
        return
    rows = [
        (
            run.run_id,
            moment(run.updated_at),
            run.requested_by or "-",
            _most(quote),
            "-" if quote is None else moment(quote.expires_at),
        )
        for run, quote in waiting
    ]
    headings = ("run", "since", "asked by", "at most", "price holds until")
    console().print(long_table(headings, rows, folded=("asked by",), right=("at most",)))
    for run, _ in waiting:
        answer = answers[run.run_id]
        for line in unheard_lines(run, answer) if answer else [f"tidemark approve {run.run_id}"]:
            say(line)
    if not all(answers.values()):
        say("or: tidemark reject RUN --reason WHY")


def _most(quote: Quote | None) -> str:
    if quote is None or quote.bound is None or quote.currency is None:
        return "not priced"
    return sum_text(quote.bound, quote.currency)


def _waiting_document(run: LedgerRun, quote: Quote | None) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "flow_run_id": run.flow_run_id,
        "name": run.name,
        "since": run.updated_at,
        "asked_by": run.requested_by,
        "bound": None if quote is None else quote.bound,
        "currency": None if quote is None else quote.currency,
        "expires_at": None if quote is None else quote.expires_at,
        "quote_id": None if quote is None else quote.quote_id,
        "plan_hash": run.plan_hash,
        "approve": None if quote is None else _command(run, quote),
    }
