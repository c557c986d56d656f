"""A job from its plan to its row, against the simulated cloud: real flow, ledger and store."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.schemas.objects import State

from blocks import PaiWorkspace, SpendingPolicy
from flows.dlc_benchmark import dlc_benchmark
from flows.reaper import reaper
from tasks.approval import ASK, Reply
from tasks.job_results import JobOutcome
from tasks.job_room import CLOCK, TRANSPORT, JobRoom
from tasks.progress import OBSERVER, ProgressReport
from tasks.stop import STOP, Stop
from tidemark.config import load_config
from tidemark.errors import CapReached, LedgerError, PlanError, RefusedError, TidemarkError
from tidemark.money.ledger import Ledger
from tidemark.money.opening import open_ledger
from tidemark.money.quote import Quote
from tidemark.plan.job import JobPlan
from tidemark.results.store import open_store
from tidemark.results.verify import verify
from tidemark.simulator.clock import ScaledClock
from tidemark.simulator.pai.app import PaiSimulator
from tidemark.simulator.pai.scenario import scenario_from_text

SPEED = 60.0
IMAGE = "registry.example.com/bench:1"
SECRET = "canary-secret-5f6e7d8c9b0a"


@dataclass
class Place:
    """A simulated account, a clock that runs fast, and a home with a ledger."""

    simulator: PaiSimulator
    clock: ScaledClock
    home: Path

    @property
    def store(self) -> str:
        return str(self.home / "results")

    def ledger(self) -> Ledger:
        environ = {"TIDEMARK_HOME": str(self.home)}
        return open_ledger(load_config(environ, self.home), self.clock, create=False)

    def calls(self, action: str) -> list[dict[str, Any]]:
        return [seen for seen in self.simulator.requests() if seen["action"] == action]

    def jobs(self) -> dict[str, str]:
        state = self.simulator.state()
        return {
            job_id: [one for one in job["segments"] if one["start_s"] <= state["now_s"]][-1][
                "status"
            ]
            for job_id, job in state["jobs"].items()
        }

    def bill(self) -> Decimal:
        return Decimal(self.simulator.bill()["total"])

    def play(self, text: str) -> None:
        self.simulator.play(scenario_from_text(text, "test"))

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = open_store(self.store).runs().to_pylist()
        return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    clock = ScaledClock(SPEED)
    simulator = PaiSimulator(
        clock=clock,
        signature_clock=clock,
        scenario=scenario_from_text("jobs: [{then: {running_s: 60}}]", "test"),
    )
    for name, value in {
        "TIDEMARK_HOME": str(tmp_path),
        "TIDEMARK_PAI_ENDPOINT": "http://pai.simulator",
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAIsimulator",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "simulator-secret",
    }.items():
        monkeypatch.setenv(name, value)
    tokens = CLOCK.set(clock), TRANSPORT.set(simulator.transport())
    try:
        yield Place(simulator, clock, tmp_path)
    finally:
        CLOCK.reset(tokens[0])
        TRANSPORT.reset(tokens[1])


def plan(**more: Any) -> JobPlan:
    given = {
        "name": "echo",
        "command": "echo tide",
        "machine": {"spec": "ecs.c6.large"},
        "image": IMAGE,
        "expected_s": 300,
        "limits": {"poll_interval_s": 10},
    }
    return JobPlan.model_validate({**given, **more})


def policy(**more: Any) -> SpendingPolicy:
    return SpendingPolicy.model_validate({"currency": "CNY", "per_run": 20, **more})


def run(place: Place, plan_: JobPlan, **more: Any) -> Any:
    given = {"workspace": PaiWorkspace(workspace_id="268"), "store": place.store, **more}
    return asyncio.run(dlc_benchmark(plan_, **given))


def answering(*replies: str, before: Callable[[], None] = lambda: None) -> Any:
    """A person at the terminal, who answers one quote after the other."""
    asked: list[tuple[Quote, str]] = []
    left = list(replies)

    async def ask(_room: JobRoom, quote: Quote, why: str) -> Reply:
        asked.append((quote, why))
        before()
        word = left.pop(0)
        return Reply("reject" if word == "reject" else "approve", "alice", "terminal", "because")

    ask.asked = asked  # type: ignore[attr-defined]
    return ask


@pytest.fixture
def asks() -> Iterator[Callable[[Any], Any]]:
    tokens = []

    def use(ask: Callable[..., Awaitable[Reply]]) -> Any:
        tokens.append(ASK.set(ask))
        return ask

    yield use
    for token in reversed(tokens):
        ASK.reset(token)


def test_a_job_is_quoted_approved_run_metered_and_released(place: Place) -> None:
    outcome = run(place, plan(), policy=policy())
    assert isinstance(outcome, JobOutcome)
    assert (outcome.outcome, outcome.exit_status) == ("complete", 0)
    assert set(place.jobs().values()) == {"Succeeded"}
    [row] = place.rows()
    assert row["approved_by"].startswith("policy")
    assert row["quoted"] is not None
    assert place.bill() <= row["metered"] <= row["reserved"]
    assert row["currency"] == "CNY"
    assert "metered of" in outcome.five_lines[2]
    ledger = place.ledger()
    assert ledger.leases(unreleased=True) == []
    assert ledger.run(outcome.run_id).state == "finished"
    [created] = place.calls("CreateJob")
    body = created["body"]
    assert body["JobMaxRunningTimeMinutes"] >= 1
    assert body["DisplayName"] == ledger.leases()[0].lease_id


def test_what_a_job_writes_is_in_the_store_with_its_events(place: Place) -> None:
    place.play("jobs: [{then: {running_s: 60, logs: ['one', 'two'], exit_code: 127}}]")
    outcome = run(place, plan(), policy=policy())
    assert (outcome.outcome, outcome.exit_status) == ("failed", 1)
    folder = place.home / "results/jobs" / outcome.run_id
    kept = [
        json.loads(gzip.decompress(path.read_bytes())) for path in folder.glob("evidence-*.json.gz")
    ]
    text = json.dumps(kept)
    assert "two" in text
    assert "exit code 127" in text
    notes = " ".join(place.rows()[0]["notes"])
    assert "command" in notes
    assert outcome.five_lines[0].startswith("Verdict: failed")
    assert "nothing: the job has ended" not in outcome.five_lines[4]
    assert place.rows()[0]["metered"] >= place.bill() > 0
    assert verify(lambda: open_store(place.store), {}, jobs=1).findings == ()


def test_an_image_that_cannot_be_pulled_is_stopped_after_its_evidence_was_kept(
    place: Place,
) -> None:
    place.play("jobs: [{then: {image_pull: {fails_after_s: 5}}}]")
    outcome = run(place, plan(limits={"poll_interval_s": 30}), policy=policy())
    assert outcome.exit_status == 1
    assert set(place.jobs().values()) == {"Stopped"}
    assert "image" in " ".join(place.rows()[0]["notes"])
    actions = [seen["action"] for seen in place.simulator.requests()]
    assert "GetPodLogs" in actions[: actions.index("StopJob")]
    assert place.rows()[0]["metered"] >= place.bill()


def test_a_person_who_rejects_ends_the_run_as_cancelled_and_nothing_is_created(
    place: Place, asks: Callable[[Any], Any]
) -> None:
    asks(answering("reject"))
    state = asyncio.run(
        dlc_benchmark(plan(), store=place.store, return_state=True)  # type: ignore[call-overload]
    )
    assert isinstance(state, State)
    assert state.is_cancelled()
    assert "alice" in str(state.message)
    assert "because" in str(state.message)
    assert place.calls("CreateJob") == []
    assert place.ledger().runs()[0].state == "rejected"


def test_a_run_that_is_cancelled_while_it_is_approved_ends_so_without_a_job(
    place: Place, asks: Callable[[Any], Any]
) -> None:
    def cancel() -> None:
        ledger = place.ledger()
        ledger.ask_to_cancel(ledger.runs()[0].run_id, "Mei")

    asks(answering("approve", before=cancel))
    state = asyncio.run(
        dlc_benchmark(plan(), store=place.store, return_state=True)  # type: ignore[call-overload]
    )
    assert state.is_cancelled()
    assert "asked to stop by Mei before its job was created" in state.message
    assert place.calls("CreateJob") == []
    ledger = place.ledger()
    [ended] = ledger.runs()
    assert (ended.state, ended.outcome, ended.exit_status) == ("cancelled", "cancelled", 1)
    assert ledger.leases(unreleased=True) == []
    assert not ledger.reservation(ended.run_id).open


def test_an_expired_quote_is_asked_again_with_a_fresh_price(
    place: Place, asks: Callable[[Any], Any]
) -> None:
    waits = iter([timedelta(days=2), timedelta(0)])
    ask = asks(
        answering(
            "approve", "approve", before=lambda: place.clock.advance(next(waits).total_seconds())
        )
    )
    outcome = run(place, plan())
    assert outcome.exit_status == 0
    first, second = [quote for quote, _ in ask.asked]
    assert first.quote_id != second.quote_id
    assert second.quoted_at > first.expires_at
    assert len(place.calls("CreateJob")) == 1


def test_a_policy_that_refuses_is_told_to_the_person_who_is_asked(
    place: Place, asks: Callable[[Any], Any]
) -> None:
    ask = asks(answering("reject"))
    asyncio.run(
        dlc_benchmark(  # type: ignore[call-overload]
            plan(), store=place.store, policy=policy(per_run="0.01"), return_state=True
        )
    )
    [(_, why)] = ask.asked
    assert "per_run" in why


def test_nobody_to_ask_is_refused_before_anything_is_billed(place: Place) -> None:
    with pytest.raises(RefusedError, match="nobody can be asked"):
        run(place, plan())
    assert place.calls("CreateJob") == []


def test_a_cap_of_the_plan_that_is_too_low_is_refused(
    place: Place, asks: Callable[[Any], Any]
) -> None:
    asks(answering("approve"))
    with pytest.raises((CapReached, TidemarkError)) as refused:
        run(place, plan(cap={"amount": 0.01, "currency": "CNY"}))
    assert "cap" in str(refused.value)
    assert place.calls("CreateJob") == []


def test_a_sweep_whose_results_would_end_with_the_job_is_refused_before_anybody_is_asked(
    place: Place, asks: Callable[[Any], Any]
) -> None:
    ask = asks(answering("approve"))
    sweep = {
        "endpoint": {"url": "http://service.example.com:8000", "model": "m"},
        "tokenizer": "org/model",
        "concurrency": [1],
    }
    with pytest.raises(PlanError, match="folder"):
        run(place, plan(command=None, sweep=sweep, expected_s=60))
    assert ask.asked == []
    assert place.calls("CreateJob") == []


def test_a_dry_run_quotes_and_starts_nothing(place: Place) -> None:
    preview = run(place, plan(), dry_run=True)
    assert preview.quote.bound > 0
    assert "ecs.c6.large" in preview.markdown
    assert place.calls("CreateJob") == []


def test_a_run_that_is_asked_to_stop_stops_its_job(place: Place) -> None:
    stop = Stop()

    def watching(report: ProgressReport) -> None:
        if "Running" in report.line:
            stop.ask("Ctrl-C")

    tokens = STOP.set(stop), OBSERVER.set(watching)
    place.play("jobs: [{then: {running_s: 100000}}]")
    try:
        outcome = run(place, plan(), policy=policy())
    finally:
        STOP.reset(tokens[0])
        OBSERVER.reset(tokens[1])
    assert (outcome.outcome, outcome.exit_status) == ("cancelled", 3)
    assert set(place.jobs().values()) == {"Stopped"}


def test_a_run_that_is_asked_to_stop_before_it_has_a_job_creates_none(
    place: Place, asks: Callable[[Any], Any]
) -> None:
    stop = Stop()
    token = STOP.set(stop)
    asks(answering("approve", before=lambda: stop.ask("Ctrl-C")))
    try:
        state = asyncio.run(
            dlc_benchmark(plan(), store=place.store, return_state=True)  # type: ignore[call-overload]
        )
    finally:
        STOP.reset(token)
    assert state.is_cancelled()
    assert place.calls("CreateJob") == []
    assert place.ledger().runs()[0].state == "cancelled"
    assert place.ledger().leases(unreleased=True) == []


def test_a_prefect_server_that_shows_nothing_is_no_reason_to_stop_a_job(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object, **__: object) -> None:
        request = httpx.Request("POST", "http://127.0.0.1:4200/api/artifacts/")
        raise httpx.HTTPStatusError(
            "500", request=request, response=httpx.Response(500, request=request)
        )

    monkeypatch.setattr("tasks.progress.acreate_progress_artifact", refused)
    monkeypatch.setattr("tasks.job_evidence.acreate_markdown_artifact", refused)
    monkeypatch.setattr("tasks.job_results.acreate_markdown_artifact", refused)
    outcome = run(place, plan(), policy=policy())
    assert (outcome.outcome, outcome.exit_status) == ("complete", 0)
    assert set(place.jobs().values()) == {"Succeeded"}
    assert place.ledger().run(outcome.run_id).outcome == "complete"


def test_what_a_command_wrote_is_kept_when_it_succeeded_too(place: Place) -> None:
    place.play("jobs: [{then: {running_s: 60, logs: ['tide: 42']}}]")
    outcome = run(place, plan(), policy=policy())
    [kept] = (place.home / "results/jobs" / outcome.run_id).glob("evidence-*.json.gz")
    assert "tide: 42" in gzip.decompress(kept.read_bytes()).decode()


def test_who_was_asked_may_allow_more_than_a_run_may_take_unasked(
    place: Place, asks: Callable[[Any], Any]
) -> None:
    ask = asks(answering("approve"))
    outcome = run(place, plan(), policy=policy(per_run="0.01"))
    assert outcome.exit_status == 0
    assert len(ask.asked) == 1
    assert place.rows()[0]["reserved"] > Decimal("0.01")


def test_no_run_begins_in_a_copy_of_the_ledger(place: Place) -> None:
    run(place, plan(), policy=policy())
    ledger = place.home / "ledger.db"
    shutil.copyfile(ledger, place.home / "copy.db")
    (place.home / "copy.db").replace(ledger)
    with pytest.raises(LedgerError, match=r"is a copy.*tidemark reap --moved"):
        run(place, plan(), policy=policy())
    assert len(place.calls("CreateJob")) == 1


def test_the_reaper_has_nothing_to_do_after_a_run(place: Place) -> None:
    run(place, plan(), policy=policy())
    done = asyncio.run(reaper())
    assert (done.stopped, done.left, done.exit_status) == ((), (), 0)


def test_a_run_that_was_ended_in_prefect_while_it_waited_ends_in_the_ledger(
    place: Place, asks: Callable[[Any], Any]
) -> None:
    async def leaves(_room: JobRoom, _quote: Quote, _why: str) -> Reply:
        raise asyncio.CancelledError  # as when its process is told to end

    asks(leaves)
    with suppress(asyncio.CancelledError):
        asyncio.run(dlc_benchmark(plan(), store=place.store))
    ledger = place.ledger()
    [left] = ledger.runs()
    assert left.ended or asyncio.run(reaper()).exit_status in (0, 2)
    assert ledger.run(left.run_id).ended
