"""The gate: who says yes to a quote. A policy first, then a person if one can be asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from prefect.flow_runs import asuspend_flow_run
from prefect.input import RunInput
from prefect.runtime import deployment
from pydantic import Field

from tasks.job_quote import quote_run, shown
from tasks.job_room import JobRoom, automatic
from tasks.log import logger
from tidemark.alibaba.job_steps import Offer
from tidemark.errors import RefusedError
from tidemark.money.amounts import sum_text
from tidemark.money.approval import Approval, ApprovedPlan, approve
from tidemark.money.quote import Quote

__all__ = ["ASK", "CostDecision", "Reply", "confirm"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What somebody answers to a quote: yes or no, who, and by which channel."""

    decision: Literal["approve", "reject"]
    by: str
    channel: str
    reason: str = ""


ASK: ContextVar[Callable[[JobRoom, Quote, str], Awaitable[Reply]] | None] = ContextVar(
    "tidemark_ask", default=None
)
"""Asks whoever sits at the terminal that started the run; told why a policy did not answer."""


class CostDecision(RunInput):
    """The form of a run that waits for approval."""

    decision: Literal["approve", "reject"] = Field(
        title="Decision",
        description="Approve to start the job up to the sum above, reject to end the run.",
    )
    reason: str = Field(
        default="",
        title="Reason",
        description="Why, as it is recorded; asked for when you reject.",
        max_length=1000,
    )
    answered_by: str = Field(
        default="",
        title="Your name",
        description="Who answers, as it is recorded: Prefect itself knows no identities.",
        max_length=200,
    )


async def confirm(room: JobRoom, offer: Offer) -> tuple[Offer, ApprovedPlan | Approval]:
    """The offer that was answered, and the leave to create what it quotes, or the rejection.

    A quote that has expired before the answer came is asked again, with fresh prices. Raises
    RefusedError where nobody can be asked, and for an answer that does not fit.
    """
    # A run that was suspended has its answer with Prefect, whenever it came.
    asked = room.run.state == "waiting"
    while True:
        quote = offer.quote
        answer = await room.ask(room.ledger.approval, quote.quote_id)
        if answer is None and (asked or not quote.expired(room.now())):
            answer = await _answer(room, quote, asked=asked)
        if answer is not None and answer.decision == "reject":
            return offer, answer
        if answer is not None and await _holds(room, quote, answer):
            leave = approve(quote, answer, plan_hash=room.plan_hash, now=room.now)
            who = dict.fromkeys((answer.by, answer.channel))
            logger().info("approved by %s", ", ".join(who))
            return offer, leave
        logger().info("the quote held until %s: asking again", quote.expires_at)
        offer = await quote_run(room)
        asked = False


async def _holds(room: JobRoom, quote: Quote, answer: Approval) -> bool:
    """Whether a yes came in time, and is still in time for a job that is yet to be created: a run
    that is gone on with days after its approval pays today's price."""
    if quote.expired(answer.decided_at):
        return False
    if not quote.expired(room.now()):
        return True
    return bool(await room.ask(room.ledger.leases, run_id=quote.run_id))


async def _answer(room: JobRoom, quote: Quote, *, asked: bool) -> Approval:
    why = ""
    # What a person was asked is answered by nobody else: the policy may be another one by now.
    if room.rules is not None and not asked:
        told = await room.desk.ask_policy(room.run, quote, room.rules)
        if told.allowed or automatic(room.run):
            reply = Reply(
                "approve" if told.allowed else "reject",
                by=f"policy {room.policy_name}",
                channel=f"policy {room.policy_name}",
                reason=told.why,
            )
            return await keep_reply(room, quote, reply, rule=told.rule)
        why = f"The policy {room.policy_name} does not allow it: {told.why}"
    if automatic(room.run):
        raise RefusedError(
            f"a run that a {room.run.trigger} started waits for nobody, and no policy answers",
            f"run {room.run.run_id}",
            "Give the deployment a SpendingPolicy block as its policy",
        )
    ask = ASK.get()
    if ask is not None or deployment.id:
        line = "Waiting for approval"
        if quote.bound is not None and quote.currency is not None:
            line += f" of up to {sum_text(quote.bound, quote.currency)}"
        if why:
            line += f". {why}"
        await room.say("waiting", line)
    if ask is not None:
        reply = await ask(room, quote, why)
        # Somebody may have answered elsewhere meanwhile: the first answer stands.
        return await keep_reply(room, quote, reply)
    if not deployment.id:
        raise RefusedError(
            "nobody can be asked to approve the quote",
            f"run {room.run.run_id}",
            "Start it by `tidemark dlc run`, from a deployment, or give a SpendingPolicy",
        )
    # Nothing is held from here on: the process ends, and another one begins with the answer.
    decision = await asuspend_flow_run(
        wait_for_input=CostDecision.with_initial_data(description=shown(room, quote, why)),
        key=quote.quote_id,
        timeout=None,
    )
    answered = await room.ask(room.ledger.approval, quote.quote_id)
    if answered is not None:  # by `tidemark approve`, which says who
        return answered
    assert decision is not None
    by = decision.answered_by.strip() or "somebody who can reach Prefect"
    return await keep_reply(
        room, quote, Reply(decision.decision, by, "Prefect", decision.reason.strip())
    )


async def keep_reply(
    room: JobRoom, quote: Quote, reply: Reply, *, rule: str | None = None
) -> Approval:
    """Note an answer in the ledger. The first answer to a quote stands, and is returned."""
    return await room.desk.note_answer(
        quote,
        reply.decision,
        by=reply.by,
        channel=reply.channel,
        rule=rule,
        reason=reply.reason,
    )
