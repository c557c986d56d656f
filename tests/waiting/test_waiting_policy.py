"""When to wait on, to look closer, and to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemark.waiting.observation import Event, Observation, Stage
from tidemark.waiting.policy import (
    Action,
    Decision,
    Patience,
    WaitState,
    deadline,
    decide,
)
from tidemark.waiting.pull import is_failure

BEGIN = datetime(2026, 3, 17, 9, 0, 0, tzinfo=UTC)
IMAGE = "registry.example.com/bench:1"
PULLING = f'Pulling image "{IMAGE}"'
FAILED = f'Failed to pull image "{IMAGE}": {IMAGE}: not found'
PULLED = "Successfully pulled image."
INTERVAL_S = 30.0
STAGES = {
    "Creating": Stage.QUEUEING,
    "Queuing": Stage.QUEUEING,
    "Bidding": Stage.QUEUEING,
    "EnvPreparing": Stage.PREPARING,
    "SanityChecking": Stage.PREPARING,
    "Restarting": Stage.PREPARING,
    "Running": Stage.RUNNING,
    "Stopping": Stage.CLOSING,
    "SucceededReserving": Stage.HOLDING,
    "FailedReserving": Stage.HOLDING,
    "Succeeded": Stage.ENDED,
    "Failed": Stage.ENDED,
    "Stopped": Stage.ENDED,
    "Pondering": Stage.UNKNOWN,
    "": Stage.UNKNOWN,
}


def event(at_s: float, text: str, source: str = "") -> Event:
    return Event(text, BEGIN + timedelta(seconds=math.floor(at_s)), source)


def seen(at_s: float, status: str, *events: Event, reason: str = "") -> Observation:
    return Observation(at_s, status, STAGES[status], events, reason)


def decided(
    looks: list[Observation], patience: Patience | None = None, interval_s: float = INTERVAL_S
) -> list[Decision]:
    """The decisions of looks one after the other, up to the first stop."""
    state = WaitState.begin(0.0)
    found = []
    for look in looks:
        state, decision = decide(state, look, patience or Patience(), interval_s)
        found.append(decision)
        if decision.action in (Action.STOP, Action.DONE):
            break
    return found


def looks(status: str, until_s: float, *events: Event) -> list[Observation]:
    """A look each thirty seconds, with the events that have happened by then."""
    return [
        seen(
            at_s,
            status,
            *(one for one in events if one.at and one.at <= BEGIN + timedelta(seconds=at_s)),
        )
        for at_s in range(0, int(until_s) + 1, 30)
    ]


def test_an_ended_thing_is_done_whatever_else() -> None:
    (decision,) = decided([seen(99999.0, "Failed", event(1, FAILED))])
    assert decision.action is Action.DONE
    assert "Failed" in decision.why


def test_a_pull_that_fails_from_the_start_is_stopped_after_the_patience_for_it() -> None:
    *before, last = decided(looks("EnvPreparing", 900, event(5, FAILED), event(15, FAILED)))
    assert (last.action, last.clock) == (Action.STOP, "image pull")
    assert last.evidence == FAILED
    assert 300 <= 30 * len(before) <= 330 + 5
    assert all(one.action is not Action.STOP for one in before)


def test_the_next_clock_is_told_so_that_a_look_can_come_in_time() -> None:
    *_, last = decided(looks("EnvPreparing", 60, event(5, FAILED)))
    assert last.due_in_s == pytest.approx(300 - 30)
    (queued,) = decided([seen(0.0, "Queuing")])
    assert queued.due_in_s == 1800.0
    (preparing,) = decided([seen(0.0, "EnvPreparing")])
    assert preparing.due_in_s == 3600.0
    (running,) = decided([seen(0.0, "Running")])
    assert running.due_in_s == 7200.0


def test_a_pull_that_fails_and_comes_right_is_not_stopped() -> None:
    events = [event(5, FAILED), event(100, FAILED), event(290, PULLING), event(900, PULLED)]
    found = decided(looks("EnvPreparing", 1800, *events))
    assert all(one.action in (Action.WAIT, Action.DIAGNOSE) for one in found)


def test_a_failure_after_a_success_has_the_whole_patience_again() -> None:
    events = [event(5, FAILED), event(200, PULLED), event(220, FAILED)]
    *before, last = decided(looks("EnvPreparing", 1800, *events))
    assert last.clock == "image pull"
    assert 30 * len(before) >= 220 + 300


def test_a_success_between_two_looks_gives_the_whole_patience_again() -> None:
    first = [event(0, FAILED), event(280, PULLED), event(285, FAILED)]
    found = decided(looks("EnvPreparing", 570, *first))
    assert all(one.action is not Action.STOP for one in found)


def test_forty_minutes_of_pulling_are_waited_out() -> None:
    layers = [event(60 * n, f"{PULLING}: {n} of 40 layers are complete") for n in range(1, 40)]
    for events in ([event(5, PULLING)], [event(5, PULLING), *layers]):
        found = decided([*looks("EnvPreparing", 2400, *events), seen(2430.0, "Running", *events)])
        assert all(one.action in (Action.WAIT, Action.DIAGNOSE) for one in found)


def test_who_comes_late_to_a_pull_that_fails_does_not_wait_all_over() -> None:
    events = [event(at_s, FAILED) for at_s in (0, 20, 60, 140, 290)]
    *before, last = decided([seen(at_s, "EnvPreparing", *events) for at_s in (0.0, 12.0)])
    assert len(before) == 1
    assert (last.action, last.clock) == (Action.STOP, "image pull")


def test_what_a_status_says_counts_like_an_event() -> None:
    given = [seen(30.0 * n, "EnvPreparing", reason="worker-0: ImagePullBackOff") for n in range(12)]
    assert decided(given)[-1].clock == "image pull"


def test_what_runs_is_not_stopped_for_an_image() -> None:
    found = decided(looks("Running", 3600, event(5, FAILED)))
    assert all(one.action in (Action.WAIT, Action.DIAGNOSE) for one in found)


def test_a_queue_has_its_own_clock_and_begins_anew_after_another_stage() -> None:
    assert decided(looks("Queuing", 3600))[-1].clock == "queue"
    assert len(decided(looks("Queuing", 3600))) == 61
    moved = [
        *looks("Queuing", 1770),
        seen(1790.0, "EnvPreparing"),
        *(seen(1800.0 + 30 * n, "Queuing") for n in range(60)),
    ]
    assert decided(moved)[-1].action is not Action.STOP


def test_preparing_is_stopped_only_when_nothing_has_happened_for_long() -> None:
    patience = Patience(preparing_s=600.0)
    still = decided(looks("EnvPreparing", 900, event(5, PULLING)), patience)
    assert still[-1].clock == "preparing"
    moving = [event(at_s, f"{PULLING}: {at_s} of 9000 layers") for at_s in range(5, 5400, 500)]
    found = decided(looks("EnvPreparing", 5400, *moving), patience)
    assert all(one.action is not Action.STOP for one in found)


def test_the_same_failure_again_and_again_is_no_progress() -> None:
    again = [event(at_s, "MountVolume.SetUp failed: timeout") for at_s in range(5, 1500, 100)]
    patience = Patience(preparing_s=600.0)
    assert decided(looks("EnvPreparing", 1500, *again), patience)[-1].clock == "preparing"


def test_a_pull_that_fails_in_other_words_each_time_is_no_progress() -> None:
    again = [event(at_s, f"{FAILED} (try {at_s})") for at_s in range(5, 1500, 100)]
    patience = Patience(preparing_s=600.0, image_pull_failing_s=7000.0)
    assert decided(looks("EnvPreparing", 1500, *again), patience)[-1].clock == "preparing"


def test_a_status_that_nobody_knows_is_waited_on_within_the_deadline() -> None:
    patience = Patience(total_s=7200.0)
    found = decided(looks("Pondering", 9000, event(5, FAILED)), patience)
    assert (found[-1].action, found[-1].clock) == (Action.STOP, "total")
    assert len(found) == 7200 / 30 + 1


def test_a_stall_is_looked_into_once_and_again_after_a_change() -> None:
    given = looks("EnvPreparing", 600, event(300, PULLING))
    actions = [one.action for one in decided(given)]
    assert [n for n, action in enumerate(actions) if action is Action.DIAGNOSE] == [4, 14]


def test_a_clock_that_goes_back_does_no_harm() -> None:
    found = decided([seen(at_s, "Queuing") for at_s in (100.0, 50.0, 0.0, 1700.0)])
    assert all(one.action is not Action.STOP for one in found)
    back = [seen(1000.0, "EnvPreparing"), seen(0.0, "Queuing"), seen(2750.0, "Queuing")]
    assert all(one.action is not Action.STOP for one in decided(back))


def test_where_nothing_can_be_seen_only_the_whole_is_bounded() -> None:
    state = WaitState.begin(10.0)
    assert deadline(state, 7000.0, Patience()).due_in_s == 210.0
    assert deadline(state, 7210.0, Patience()).due_in_s == 0.0
    assert deadline(state, 7210.0, Patience()).action is Action.STOP


# Any history: the truth is kept beside what is shown of it, and each stop is judged by the truth.

KINDS = {
    "failed": FAILED,
    "waits": f'Back-off pulling image "{IMAGE}"',
    "pulled": PULLED,
    "pulling": PULLING,
    "layer": f"{PULLING}: 2 of 9 layers are complete",
    "other": "MountVolume.SetUp failed: timeout",
}


@dataclass(frozen=True)
class Step:
    """Time that passes, then a status, events that happen, and how many are told of only later."""

    seconds: float
    status: str | None
    happens: tuple[tuple[str, str], ...]
    late: int


STEPS = st.builds(
    Step,
    seconds=st.floats(0.0, 700.0),
    status=st.none() | st.sampled_from(sorted(STAGES)),
    happens=st.lists(
        st.tuples(st.sampled_from(["", "pod-0", "pod-1"]), st.sampled_from(sorted(KINDS))),
        max_size=3,
    ).map(tuple),
    late=st.integers(0, 2),
)
PATIENCES = st.builds(
    Patience,
    queueing_s=st.sampled_from([120.0, 1800.0]),
    preparing_s=st.sampled_from([200.0, 3600.0]),
    image_pull_failing_s=st.sampled_from([60.0, 300.0]),
    total_s=st.sampled_from([600.0, 7200.0]),
)


@dataclass
class Truth:
    """What has really happened, by the second at which it did."""

    happened: list[tuple[float, Event]] = field(default_factory=list)
    held: list[Event] = field(default_factory=list)
    shown: list[Event] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)
    stage_since_s: float = 0.0
    stage: Stage | None = None
    moved_s: float = 0.0
    status: str = ""

    def happen(self, now_s: float, step: Step) -> None:
        for number, (source, kind) in enumerate(step.happens):
            text = KINDS[kind] if kind != "layer" else f"{KINDS[kind]} {now_s} {number}"
            at_s = max(self.last.get(source, -1.0) + 1.0, math.floor(now_s))
            if at_s > now_s:
                continue  # events of one part are at least a second apart
            self.last[source] = at_s
            told = event(at_s, text, source)
            self.happened.append((at_s, told))
            self.held.append(told)
        while len(self.held) > step.late:
            told = self.held.pop(0)
            if told.text not in {one.text for one in self.shown} and not is_failure(told.text):
                self.moved_s = now_s
            self.shown.append(told)

    def look(self, now_s: float, status: str) -> None:
        stage = STAGES[status]
        if stage is not self.stage:
            self.stage, self.stage_since_s = stage, now_s
        if status != self.status:
            self.status, self.moved_s = status, now_s

    def failing_for_s(self, now_s: float) -> float:
        """How long the pull of some part has failed, by what was told: without a success since."""
        longest = 0.0
        for source in {one.source for one in self.shown}:
            since = None
            known = [one for one in self.shown if one.source == source]
            for one in sorted(known, key=lambda one: one.at or BEGIN):
                if one.text == PULLED:
                    since = None
                elif is_failure(one.text) and since is None and one.at:
                    since = (one.at - BEGIN).total_seconds()
            if since is not None:
                longest = max(longest, now_s - since)
        return longest


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=40), PATIENCES, st.sampled_from([1.0, 30.0, 300.0]))
def test_in_any_history_nothing_is_stopped_before_its_time_and_everything_in_time(
    steps: list[Step], patience: Patience, interval_s: float
) -> None:
    state, again = WaitState.begin(0.0), WaitState.begin(0.0)
    truth, now_s, status = Truth(), 0.0, "Creating"
    failing_seen_s: float | None = None
    for step in steps:
        now_s += step.seconds
        status = status if step.status is None else step.status
        truth.happen(now_s, step)
        truth.look(now_s, status)
        look = Observation(now_s, status, STAGES[status], tuple(truth.shown))
        state, decision = decide(state, look, patience, interval_s)
        again, same = decide(again, look, patience, interval_s)
        # It rests on what was given, and on nothing else.
        assert (again, same) == (state, decision)
        if STAGES[status] is Stage.ENDED:
            assert decision.action is Action.DONE
            return
        queued_s = now_s - truth.stage_since_s if truth.stage is Stage.QUEUEING else 0.0
        still_s = now_s - max(truth.moved_s, truth.stage_since_s)
        failing_s = truth.failing_for_s(now_s)
        if decision.action is Action.STOP:
            longest_s = {
                "total": (now_s, patience.total_s),
                "queue": (queued_s, patience.queueing_s),
                "preparing": (still_s, patience.preparing_s),
                "image pull": (failing_s, patience.image_pull_failing_s),
            }
            passed_s, allowed_s = longest_s[decision.clock]
            assert passed_s >= allowed_s - 1e-6, (decision, passed_s)
            return
        assert now_s < patience.total_s
        assert queued_s < patience.queueing_s
        assert decision.due_in_s > 0
        # Failing without a new try since it was first seen so: stopped in time.
        quiet = {one.text for one in truth.shown} <= {FAILED, KINDS["waits"], KINDS["other"]}
        failing = quiet and failing_s > 0 and STAGES[status] in (Stage.QUEUEING, Stage.PREPARING)
        failing_seen_s = (failing_seen_s or now_s) if quiet and failing_s > 0 else None
        if failing and failing_seen_s is not None:
            assert now_s - failing_seen_s < patience.image_pull_failing_s


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.builds(
            Observation,
            at_s=st.floats(-1e6, 1e6),
            status=st.text(max_size=12),
            stage=st.sampled_from(Stage),
            events=st.lists(
                st.builds(
                    Event,
                    text=st.sampled_from(sorted(KINDS.values())) | st.text(max_size=60),
                    at=st.none() | st.datetimes(timezones=st.just(UTC)),
                    source=st.sampled_from(["", "a"]),
                ),
                max_size=6,
            ).map(tuple),
            reason=st.sampled_from(["", "ImagePullBackOff"]) | st.text(max_size=20),
            restarts=st.none() | st.integers(0, 9),
            evicted=st.booleans(),
        ),
        max_size=12,
    )
)
def test_no_observation_is_too_odd_to_be_decided_on(observations: list[Observation]) -> None:
    for decision in decided(observations):
        assert decision.action in Action
