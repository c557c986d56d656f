"""Bringing an answer to a flow run that is suspended in Prefect."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from tidemark.cli.prefect_server import API_URL, server_is_configured, start_prefect
from tidemark.clock import Clock, SystemClock

if TYPE_CHECKING:
    from tidemark.money.approval import Approval
    from tidemark.money.ledger import LedgerRun

__all__ = ["Resumed", "resume"]

# Prefect says that a run is suspended before it has the form that the answer has to fit.
_NO_FORM_YET = "schema not found"
_TRIES = 20
_BETWEEN_S = 0.5


@dataclass(frozen=True, slots=True)
class Resumed:
    """What came of it. `how`: the run was resumed; it is not suspended in Prefect, and so waits
    where it was started; or Prefect could not be asked, or would not do it. `why` in words."""

    how: Literal["resumed", "elsewhere", "failed"]
    why: str = ""


def resume(run: LedgerRun, answer: Approval, clock: Clock | None = None) -> Resumed:
    """Resume the flow run of `run` with an answer, if it is suspended. Never raises."""
    if run.flow_run_id is None:
        return Resumed("elsewhere")
    if not server_is_configured(os.environ, Path.cwd()):
        return Resumed("failed", f"Prefect is not configured here (set {API_URL})")
    start_prefect()
    return asyncio.run(_resume(run.flow_run_id, answer, clock or SystemClock()))


async def _resume(flow_run_id: str, answer: Approval, clock: Clock) -> Resumed:
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.client.schemas import SetStateStatus
    from prefect.exceptions import ObjectNotFound, PrefectException

    from tasks.approval import CostDecision

    decision = CostDecision(
        decision=answer.decision, reason=answer.reason[:1000], answered_by=answer.by[:200]
    )
    try:
        async with get_client() as client:
            for _ in range(_TRIES):
                found = await client.read_flow_run(UUID(flow_run_id))
                if found.state is None or not found.state.is_paused():
                    name = found.state.name if found.state is not None else "without a state"
                    return Resumed("elsewhere", f"in Prefect it is {name}")
                said = await client.resume_flow_run(
                    found.id, run_input=decision.model_dump(mode="json")
                )
                if said.status is SetStateStatus.ACCEPT:
                    return Resumed("resumed")
                reason = str(getattr(said.details, "reason", None) or said.status)
                if _NO_FORM_YET not in reason:
                    return Resumed("failed", f"Prefect would not resume it: {reason}")
                await clock.sleep(_BETWEEN_S)
    except ObjectNotFound:
        return Resumed("elsewhere", "the Prefect that is configured here does not know its run")
    except (httpx.HTTPError, PrefectException, RuntimeError, ValueError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Resumed("failed", f"Prefect cannot be reached ({words})")
    return Resumed("failed", "Prefect has no form for the answer yet")
