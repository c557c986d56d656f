"""A saved job, against the simulated services: triggered, watched, paid for, and given up."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from blocks import DlcJob
from blocks.dlc_job_run import DlcJobNotComplete, DlcJobRun
from tidemark.alibaba.leased_jobs import RunCancelled
from tidemark.config import load_config
from tidemark.errors import NotTheOwner, RefusedError, SecretError
from tidemark.money.ledger import Ledger
from tidemark.money.opening import open_ledger
from tidemark.simulator.clock import ScaledClock
from tidemark.simulator.pai.app import PaiSimulator
from tidemark.simulator.pai.scenario import scenario_from_text
from tidemark.waiting.failure import FailureClass

SPEED = 300.0
CANARY = "canary-5f6e7d8c9b0a"
WITHOUT_END = "jobs: [{then: {running_s: 100000}}]"
PLAN: dict[str, Any] = {
    "name": "echo",
    "command": "echo tide",
    "machine": {"spec": "ecs.c6.large"},
    "image": f"registry.example.com/bench@sha256:{'ab' * 32}",
    "expected_s": 300,
    "limits": {"poll_interval_s": 10},
}


@dataclass
class Place:
    """A simulated account, a clock that runs fast, and a home with a ledger."""

    simulator: PaiSimulator
    clock: ScaledClock
    home: Path

    @property
    def environ(self) -> dict[str, str]:
        return {
            "TIDEMARK_HOME": str(self.home),
            "TIDEMARK_STORE": str(self.home / "configured"),
            "TIDEMARK_PAI_ENDPOINT": "http://pai.simulator",
            "ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAIsimulator",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "simulator-secret",
        }

    def job(self, **more: Any) -> DlcJob:
        given = {
            "plan": {**PLAN, **more.pop("plan", {})},
            "policy": {"currency": "CNY", "per_run": 20},
            "workspace": {"workspace_id": "268"},
            "result_store": {"uri": str(self.home / "results")},
        }
        return DlcJob.model_validate({**given, **more})

    def trigger(self, job: DlcJob | None = None) -> DlcJobRun:
        return (job or self.job()).trigger(
            environ=self.environ, clock=self.clock, transport=self.simulator.transport()
        )

    async def atrigger(self, job: DlcJob | None = None) -> DlcJobRun:
        return await (job or self.job()).atrigger(
            environ=self.environ, clock=self.clock, transport=self.simulator.transport()
        )

    def play(self, text: str) -> None:
        self.simulator.play(scenario_from_text(text, "test"))

    def ledger(self) -> Ledger:
        return open_ledger(load_config(self.environ, self.home), self.clock, create=False)

    def calls(self, action: str) -> list[dict[str, Any]]:
        return [seen for seen in self.simulator.requests() if seen["action"] == action]

    def statuses(self) -> list[str]:
        state = self.simulator.state()
        return [
            [one for one in job["segments"] if one["start_s"] <= state["now_s"]][-1]["status"]
            for job in state["jobs"].values()
        ]

    def bill(self) -> Decimal:
        return Decimal(self.simulator.bill()["total"])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    clock = ScaledClock(SPEED)
    return Place(PaiSimulator(clock=clock, signature_clock=clock), clock, tmp_path)


def nothing_is_held(place: Place) -> bool:
    ledger = place.ledger()
    try:
        runs = ledger.runs()
        open_ones = [run for run in runs if ledger.reservation(run.run_id).open]
        return not ledger.leases(unreleased=True) and not open_ones
    finally:
        ledger.close()


def test_a_job_is_quoted_judged_run_metered_and_released(place: Place) -> None:
    run = place.trigger()
    assert place.statuses() != []
    run.wait_for_completion()
    result = run.fetch_result()
    assert (result.outcome, result.status, result.failure) == ("complete", "Succeeded", None)
    assert (result.run_id, result.job_id) == (run.run_id, run.job_id)
    assert result.cost is not None
    assert result.cost >= place.bill() > 0
    assert result.currency == "CNY"
    assert result.left == ()
    assert nothing_is_held(place)
    ledger = place.ledger()
    noted = ledger.run(run.run_id)
    assert (noted.state, noted.outcome, noted.exit_status) == ("finished", "complete", 0)
    [quote] = ledger.quotes(run.run_id)
    approval = ledger.approval(quote.quote_id)
    assert approval is not None
    assert (approval.channel, approval.decision, approval.rule) == (
        "policy given",
        "approve",
        "per_run",
    )
    assert approval.up_to == quote.bound
    ledger.close()
    [created] = place.calls("CreateJob")
    assert created["body"]["WorkspaceId"] == "268"


async def test_it_can_be_waited_for_in_an_event_loop(place: Place) -> None:
    run = await place.atrigger()
    with pytest.raises(RefusedError, match="is not over"):
        run.fetch_result()
    await run.await_for_completion()
    assert (await run.afetch_result()).outcome == "complete"
    with pytest.raises(RefusedError, match="hold up all that runs"):
        place.trigger()


def test_several_jobs_are_watched_whoever_is_waited_for_first(place: Place) -> None:
    """The second one's image cannot be pulled: it is stopped while the first is waited for."""
    place.play(
        "jobs: [{when: {nth: 1}, then: {running_s: 1000}},"
        " {then: {image_pull: {fails_after_s: 5}}}]"
    )
    first, second = place.trigger(), place.trigger()
    first.wait_for_completion()
    assert sorted(place.statuses()) == ["Stopped", "Succeeded"]
    with pytest.raises(DlcJobNotComplete) as caught:
        second.wait_for_completion()
    assert caught.value.result.failure is not None
    assert caught.value.result.failure.kind is FailureClass.IMAGE
    assert nothing_is_held(place)


def test_a_job_that_fails_is_told_with_its_cost_and_its_logs_are_kept(place: Place) -> None:
    place.play("jobs: [{then: {logs: ['one', 'two'], exit_code: 127}}]")
    run = place.trigger()
    with pytest.raises(DlcJobNotComplete, match="127") as caught:
        run.wait_for_completion()
    result = run.fetch_result()
    assert caught.value.result == result
    assert result.outcome == "failed"
    assert result.cost is not None
    assert result.cost >= place.bill() > 0
    assert result.evidence is not None
    kept = gzip.decompress((place.home / "results" / result.evidence).read_bytes())
    assert "two" in json.dumps(json.loads(kept))
    assert nothing_is_held(place)


def test_what_the_policy_refuses_is_not_created(place: Place) -> None:
    job = place.job(policy={"currency": "CNY", "per_run": "0.0001"})
    with pytest.raises(RefusedError, match="the policy given does not allow it: per_run"):
        place.trigger(job)
    assert place.calls("CreateJob") == []
    ledger = place.ledger()
    [noted] = ledger.runs()
    [quote] = ledger.quotes(noted.run_id)
    answer = ledger.approval(quote.quote_id)
    assert answer is not None
    assert (noted.state, answer.decision, answer.channel) == ("rejected", "reject", "policy given")
    ledger.close()


def test_what_would_pass_the_plans_cap_is_not_created(place: Place) -> None:
    job = place.job(plan={"cap": {"amount": 0.0001, "currency": "CNY"}})
    with pytest.raises(RefusedError, match=r"the cap is 0\.0001 CNY"):
        place.trigger(job)
    assert place.calls("CreateJob") == []
    assert nothing_is_held(place)
    ledger = place.ledger()
    assert ledger.runs()[0].state == "failed"
    ledger.close()


def test_what_other_jobs_have_reserved_counts(place: Place) -> None:
    place.play(WITHOUT_END)
    job = place.job(policy={"currency": "CNY", "per_night": 1})
    first = place.trigger(job)
    with pytest.raises(RefusedError, match="per_night"):
        place.trigger(job)
    first.cancel()
    assert len(place.calls("CreateJob")) == 1
    place.play("{}")
    place.trigger(job).wait_for_completion()  # what was not spent is free again


def test_a_job_that_cannot_be_created_holds_nothing(place: Place) -> None:
    place.play(
        "calls: [{when: {action: CreateJob}, then: {error: {status: 403, code: Forbidden}}}]"
    )
    with pytest.raises(Exception, match="Forbidden"):
        place.trigger()
    assert nothing_is_held(place)


def test_a_job_that_is_cancelled_is_stopped_and_paid_for(place: Place) -> None:
    place.play(WITHOUT_END)
    run = place.trigger()
    result = run.cancel("not needed any more")
    assert place.statuses() == ["Stopped"]
    assert (result.outcome, result.status) == ("cancelled", "Stopped")
    assert result.failure is not None
    assert result.failure.evidence == "not needed any more"
    with pytest.raises(DlcJobNotComplete, match="not needed any more"):
        run.wait_for_completion()
    assert run.cancel() == result
    assert nothing_is_held(place)
    ledger = place.ledger()
    assert ledger.run(run.run_id).state == "cancelled"
    ledger.close()


async def test_a_task_that_is_cancelled_while_it_waits_stops_the_job(place: Place) -> None:
    place.play(WITHOUT_END)
    run = await place.atrigger()
    waiting = asyncio.create_task(run.await_for_completion())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert place.statuses() == ["Stopped"]
    assert nothing_is_held(place)


class Interrupts(logging.Handler):
    """Ctrl-C as soon as something is said in the log."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def emit(self, record: logging.LogRecord) -> None:
        if self.text in record.getMessage():
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_while_it_is_waited_for_stops_the_job(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.play("jobs: [{then: {node_s: 100, running_s: 100000}}]")
    log = logging.getLogger("prefect.DlcJob")
    caplog.set_level(logging.INFO, log.name)
    handler = Interrupts(": Running")
    log.addHandler(handler)
    # What ran before in this process may have left another handler, or the log switched off.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    log.disabled = False
    try:
        run = place.trigger()
        with pytest.raises(KeyboardInterrupt):
            run.wait_for_completion()
    finally:
        log.removeHandler(handler)
        signal.signal(signal.SIGINT, before)
    assert place.statuses() == ["Stopped"]
    assert nothing_is_held(place)


def test_a_person_can_cancel_it_by_the_ledger(place: Place) -> None:
    place.play(WITHOUT_END)
    run = place.trigger()
    ledger = place.ledger()
    ledger.ask_to_cancel(run.run_id, "alice")
    ledger.close()
    with pytest.raises(DlcJobNotComplete, match="alice"):
        run.wait_for_completion()
    assert run.fetch_result().outcome == "cancelled"
    assert nothing_is_held(place)


def test_one_that_is_to_end_before_its_job_is_there_creates_none(place: Place) -> None:
    class Cancelling(httpx.AsyncBaseTransport):
        """Somebody cancels the run while its machine is looked up."""

        inner = place.simulator.transport()

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            ledger = place.ledger()
            ledger.ask_to_cancel(ledger.runs()[0].run_id, "alice")
            ledger.close()
            return await self.inner.handle_async_request(request)

    with pytest.raises(RunCancelled, match="asked to stop by alice"):
        place.job().trigger(environ=place.environ, clock=place.clock, transport=Cancelling())
    assert place.calls("CreateJob") == []
    ledger = place.ledger()
    [run] = ledger.runs()
    ledger.close()
    assert (run.state, run.outcome) == ("cancelled", "cancelled")
    assert nothing_is_held(place)


def test_a_job_that_another_process_took_over_is_left_to_it(place: Place) -> None:
    place.play(WITHOUT_END)
    run = place.trigger()
    ledger = place.ledger()
    [lease] = ledger.leases(unreleased=True)
    later = lease.expires_at + timedelta(hours=1)
    assert ledger.seize(lease.lease_id, owner="another", now=later, until=later) is not None
    with pytest.raises(NotTheOwner):
        run.wait_for_completion()
    assert place.calls("StopJob") == []
    assert [one.owner for one in ledger.leases(unreleased=True)] == ["another"]
    ledger.close()


def test_a_password_is_lent_to_the_job_and_written_nowhere(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    place.play(f"jobs: [{{then: {{logs: ['password {CANARY}'], exit_code: 1}}}}]")
    registry = {"username": "robot", "password": "env:REGISTRY_PASSWORD"}
    job = place.job(plan={"registry": registry})
    with pytest.raises(SecretError, match="REGISTRY_PASSWORD is not set"):
        place.trigger(job)
    run = job.trigger(
        environ={**place.environ, "REGISTRY_PASSWORD": CANARY},
        clock=place.clock,
        transport=place.simulator.transport(),
    )
    with pytest.raises(DlcJobNotComplete) as caught:
        run.wait_for_completion()
    assert len(place.calls("CreateJob")) == 1
    said = "\n".join(each.getMessage() for each in caplog.records if each.name == "prefect.DlcJob")
    shown = [said, repr(run), repr(run.fetch_result()), str(caught.value), repr(job)]
    written = [path.read_bytes() for path in place.home.rglob("*") if path.is_file()]
    unpacked = [gzip.decompress(data) for data in written if data[:2] == b"\x1f\x8b"]
    assert unpacked != []
    assert "| password [REDACTED]" in said
    assert not any(CANARY in text for text in shown)
    assert not any(CANARY.encode() in data for data in [*written, *unpacked])


def test_without_a_store_evidence_goes_to_the_configured_one(place: Place) -> None:
    place.play("jobs: [{then: {exit_code: 1}}]")
    run = place.trigger(place.job(result_store=None, workspace=None))
    with pytest.raises(DlcJobNotComplete):
        run.wait_for_completion()
    evidence = run.fetch_result().evidence
    assert evidence is not None
    assert (place.home / "configured" / evidence).exists()


def test_a_process_ends_after_the_jobs_that_it_triggered(place: Place) -> None:
    """Nobody waits in it, and its job is watched and released all the same."""
    code = f"""
import atexit
from blocks import DlcJob
from tidemark.simulator.clock import ScaledClock
from tidemark.simulator.pai.app import PaiSimulator

clock = ScaledClock({SPEED})
simulator = PaiSimulator(clock=clock, signature_clock=clock)
job = DlcJob.model_validate({place.job().model_dump(mode="json")!r})
run = job.trigger(environ={place.environ!r}, clock=clock, transport=simulator.transport())
atexit.register(lambda: print(run.fetch_result().outcome, run.fetch_result().status))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == "complete Succeeded", done.stderr
    assert nothing_is_held(place)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"plan": None}, "plan\n  is not a mapping"),
        ({"plan": {**PLAN, "comand": "x"}}, "plan.comand\n  no such field. Did you mean command?"),
        ({"plan": {"machine": {"spec": "ecs.c6.large"}}}, "plan.command\n  is missing"),
        ({"polcy": {}}, "polcy\n  no such field. Did you mean policy?"),
        ({"policy": {"currency": "CNY", "per_nigth": 1}}, "Did you mean per_night?"),
        ({"workspace": {"workspace": "268"}}, "Did you mean workspace_id?"),
        (
            {"workspace": {"credentials": {"access_key_id": "x"}}},
            "workspace.credentials.access_key",
        ),
        ({"result_store": {"uri": "s4://bucket"}}, "result_store.uri"),
    ],
)
def test_what_cannot_work_is_refused_at_its_field(changes: dict[str, Any], says: str) -> None:
    given = {"plan": PLAN, "policy": {"currency": "CNY", "per_run": 1}}
    with pytest.raises(ValidationError) as caught:
        DlcJob.model_validate({**given, **changes})
    assert says in str(caught.value)


def test_a_job_has_a_policy() -> None:
    with pytest.raises(ValidationError, match=r"policy\n  is missing. Add it"):
        DlcJob.model_validate({"plan": PLAN})
