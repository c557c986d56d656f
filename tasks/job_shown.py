"""How a job's run ends, said in the ledger and to whoever started it."""

from __future__ import annotations

from dataclasses import dataclass

from prefect.client.schemas.objects import State
from prefect.runtime import deployment
from prefect.states import Cancelled, Failed

from tasks.job_quote import shown
from tasks.job_results import JobOutcome
from tasks.job_room import JobRoom
from tidemark.alibaba.job_steps import Offer
from tidemark.alibaba.job_waiting import JobEnd
from tidemark.alibaba.leased_jobs import RunCancelled
from tidemark.money.approval import Approval
from tidemark.money.quote import Quote

__all__ = ["JobPreview", "called_off", "ended", "rejected", "shown_only"]


@dataclass(frozen=True)
class JobPreview:
    """What a dry run found: the quote, and the machines it was chosen among."""

    run_id: str
    quote: Quote
    offer: Offer
    markdown: str


async def shown_only(room: JobRoom, offer: Offer) -> JobPreview:
    """The quote of a dry run, which ends with it."""
    await _over(room, "finished", "Quoted; nothing was started", "quoted", 0)
    return JobPreview(room.run.run_id, offer.quote, offer, shown(room, offer.quote))


async def rejected(room: JobRoom, answer: Approval) -> str:
    """Say that a run ends because its quote was rejected; answers the sentence."""
    why = f": {answer.reason}" if answer.reason else ""
    line = f"Rejected by {answer.by} ({answer.channel}){why}"
    await _over(room, "rejected", line, "rejected", 1)
    return line


async def called_off(room: JobRoom, cancelled: RunCancelled) -> str:
    """Say that a run ends before there was a job; answers the sentence."""
    await _over(room, "cancelled", cancelled.what, "cancelled", 1)
    return cancelled.what


async def ended(room: JobRoom, outcome: JobOutcome, end: JobEnd) -> JobOutcome | State[JobOutcome]:
    """The outcome of a run that took place; for a deployment, a state that says how it ended."""
    line = outcome.five_lines[0]
    state = "cancelled" if outcome.outcome == "cancelled" else "finished"
    await _over(room, state, line, outcome.outcome, outcome.exit_status)
    if not deployment.id:
        return outcome
    if outcome.outcome == "cancelled":
        return Cancelled(message=end.decision.why)
    if end.failure is not None and not outcome.cells:
        failure = end.failure
        text = f"{failure.kind.value}: {failure.evidence}. {failure.advice}"
        return Failed(message=room.redactor.text(text), data=outcome)
    return outcome


async def _over(room: JobRoom, state: str, line: str, outcome: str, exit_status: int) -> None:
    await room.say(state, line)
    await room.ask(room.ledger.say, room.run.run_id, outcome=outcome, exit_status=exit_status)
    await room.progress.publish(force=True)
