"""Finding the machine for a job, and what it costs: nothing is created."""

from __future__ import annotations

import asyncio

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE

from tasks.job_room import JobRoom
from tidemark.alibaba.job_steps import Offer
from tidemark.alibaba.machine_choice import table_rows
from tidemark.alibaba.workspaces import workspace_choice
from tidemark.errors import RefusedError
from tidemark.money.quote import Quote
from tidemark.money.quote_text import quote_markdown

__all__ = ["check_job_store", "quote_run", "shown"]


@task(name="check the store", cache_policy=NO_CACHE)
async def check_job_store(room: JobRoom) -> None:
    """See that results can be kept, before anything is asked or paid. Raises StoreError."""
    await asyncio.to_thread(room.store.probe)
    await asyncio.to_thread(room.store.send)


@task(name="quote", cache_policy=NO_CACHE)
async def quote_run(room: JobRoom) -> Offer:
    """Rank the machines or check the one named, price it, and show the quote.

    Raises AlibabaError, and ConfigError, PlanError or RefusedError for what cannot be run as
    planned, before anybody is asked.
    """
    await room.say("quoting", "Looking for a machine and its price")
    offer = await room.desk.quote(room.plan, room.run)
    # What would be refused when the job is created is refused before anybody is asked.
    workspace_id = room.workspace.workspace_id or await workspace_choice(room.account).existing()
    if workspace_id is None:
        raise RefusedError(
            "the account has no workspace there",
            f"region {room.account.region}",
            "Create one in PAI's console, or name the region of yours",
        )
    room.desk.request(room.plan, room.run, offer, room.where(workspace_id))
    if offer.found.choice is not None:
        await acreate_table_artifact(
            table_rows(offer.found.choice),
            key="machine-choice",
            description="\n".join(offer.found.choice.why),
        )
    await acreate_markdown_artifact(shown(room, offer.quote), key="quote")
    return offer


def shown(room: JobRoom, quote: Quote, before: str = "") -> str:
    """A quote as Markdown, for whoever decides; `before` stands above it."""
    sweep = room.plan.sweep
    served = (sweep.endpoint.model if sweep is not None else None) or "a service"
    what = room.plan.command or f"a sweep of {served}"
    text = quote_markdown(
        quote,
        plan_name=room.plan.name or room.run.run_id,
        job_type=room.plan.job_type,
        command_or_sweep=what,
    )
    return f"**{before}**\n\n{text}" if before else text
