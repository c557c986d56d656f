"""`tidemark approve` for a run that is suspended in Prefect: it is resumed with the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.input import aread_flow_run_input, keyset_from_base_key
from prefect.settings import PREFECT_API_URL
from prefect.states import Running, Suspended

from tasks.approval import CostDecision
from tidemark.cli import resuming
from tidemark.cli.resuming import _resume
from tidemark.clock import SystemClock
from tidemark.money.approval import Approval


@flow(name="waits for approval")
async def waits() -> None:
    """Is never run: only its state is looked at."""


@dataclass
class Suspension:
    """A flow run that is suspended, with or without its form."""

    client: PrefectClient
    flow_run_id: UUID
    keys: dict[str, str]

    async def save_form(self) -> None:
        await CostDecision.asave(self.keys, self.flow_run_id)  # type: ignore[arg-type]

    async def answer(self) -> dict[str, str]:
        found = await aread_flow_run_input(self.keys["response"], flow_run_id=self.flow_run_id)
        return dict(found or {})

    async def state(self) -> str:
        state = (await self.client.read_flow_run(self.flow_run_id)).state
        assert state is not None
        return state.name or ""


@pytest.fixture
async def suspended(prefect_server: Path) -> AsyncIterator[Suspension]:
    assert prefect_server
    async with get_client() as client:
        # Only what has a deployment can be begun again by another process.
        flow_id = await client.create_flow(waits)
        deployment_id = await client.create_deployment(
            flow_id, "waits", entrypoint="waits.py:waits"
        )
        run = await client.create_flow_run_from_deployment(deployment_id)
        await client.set_flow_run_state(run.id, Running(), force=True)
        state = Suspended(timeout_seconds=86400, pause_key="q1")
        keys = keyset_from_base_key("q1")
        state.state_details.run_input_keyset = keys  # type: ignore[assignment]
        await client.set_flow_run_state(run.id, state, force=True)
        yield Suspension(client, run.id, keys)  # type: ignore[arg-type]


def answer(decision: str = "approve") -> Approval:
    return Approval(
        approval_id="a", run_id="r", quote_id="q1", plan_hash="a" * 64,
        decision=decision,  # type: ignore[arg-type]
        up_to=None, currency=None, by="bob", channel="tidemark approve",
        decided_at=datetime.now(UTC), reason="too dear" if decision == "reject" else "",
    )  # fmt: skip


@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_a_suspended_run_goes_on_with_the_answer(
    suspended: Suspension, decision: str
) -> None:
    await suspended.save_form()
    done = await _resume(str(suspended.flow_run_id), answer(decision), SystemClock())
    assert done.how == "resumed", done
    assert await suspended.state() == "Resuming"
    told = await suspended.answer()
    assert (told["decision"], told["answered_by"]) == (decision, "bob")


async def test_an_answer_that_is_quicker_than_the_form_waits_for_it(suspended: Suspension) -> None:
    class FormComesLater(SystemClock):
        async def sleep(self, seconds: float) -> None:
            assert seconds == resuming._BETWEEN_S
            await suspended.save_form()

    done = await _resume(str(suspended.flow_run_id), answer(), FormComesLater())
    assert done.how == "resumed", done


async def test_a_run_that_is_not_suspended_waits_elsewhere(suspended: Suspension) -> None:
    await suspended.client.set_flow_run_state(suspended.flow_run_id, Running(), force=True)
    done = await _resume(str(suspended.flow_run_id), answer(), SystemClock())
    assert (done.how, "Running" in done.why) == ("elsewhere", True)


async def test_a_run_that_this_prefect_does_not_know(prefect_server: Path) -> None:
    assert PREFECT_API_URL.value()
    unknown = "11111111-1111-4111-8111-111111111111"
    done = await asyncio.wait_for(_resume(unknown, answer(), SystemClock()), 60)
    assert done.how == "elsewhere"
    assert "does not know" in done.why
    assert prefect_server
