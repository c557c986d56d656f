"""How a pull stands, from the text of events."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemark.waiting.observation import Event
from tidemark.waiting.pull import Pull, pull_state, pulls

BEGIN = datetime(2026, 3, 17, 9, 12, 0, tzinfo=UTC)
IMAGE = "registry.example.com/bench:1"
PULLING = f'Pulling image "{IMAGE}"'
FAILED = f'Failed to pull image "{IMAGE}": rpc error: code = NotFound desc = {IMAGE}: not found'
WAITS = "Error: ImagePullBackOff"
PULLED = "Successfully pulled image."
LAYER = f"{PULLING}: 3 of 9 layers are complete"


def told(*events: tuple[float, str], source: str = "") -> list[Event]:
    return [Event(text, BEGIN + timedelta(seconds=at_s), source) for at_s, text in events]


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (PULLING, "pulling"),
        (LAYER, "pulling"),
        (PULLED, "pulled"),
        (f'Container image "{IMAGE}" already present on machine', "pulled"),
        ("Started container main", "pulled"),
        (FAILED, "failing"),
        (f'Failed to pull image "{IMAGE}": pull access denied, repository does not', "failing"),
        (f'Failed to pull image "{IMAGE}": manifest unknown', "failing"),
        (f'Failed to pull image "{IMAGE}": unauthorized: authentication required', "failing"),
        (f'Back-off pulling image "{IMAGE}"', "failing"),
        ("Error: ErrImagePull", "failing"),
        (WAITS, "failing"),
        ("ImageInspectError: Failed to inspect image", "failing"),
        ('Error: InvalidImageName: couldn\'t parse image reference "A B"', "failing"),
        ("Created pod: dlc1-master-0", "none"),
        ("0/1 nodes are available: waiting for a new node.", "none"),
        ("Job is waiting for resources.", "none"),
    ],
)
def test_one_event_tells_how_the_pull_stands(text: str, state: str) -> None:
    assert pull_state(told((0, text))).state == state


def test_nothing_told_is_no_pull() -> None:
    assert pull_state([]) == Pull()


def test_it_fails_since_the_first_failure_and_shows_the_registrys_reason() -> None:
    pull = pull_state(told((1, PULLING), (3, FAILED), (3, "Error: ErrImagePull"), (15, WAITS)))
    assert (pull.state, pull.since, pull.failing) == ("failing", at(3), True)
    assert pull.evidence is not None
    assert pull.evidence.text == FAILED
    # Times are cut to the second: it is never more than has passed.
    assert pull.failing_for_s == 11


def test_a_later_success_clears_what_failed_before() -> None:
    events = told((1, PULLING), (3, FAILED), (9, FAILED), (60, PULLING), (100, PULLED))
    assert pull_state(events).state == "pulled"
    again = pull_state([*events, *told((200, FAILED))])
    assert (again.state, again.since) == ("failing", at(200))


def test_a_new_try_suspends_the_failure_and_a_short_one_does_not_clear_it() -> None:
    events = told((3, FAILED), (60, PULLING))
    assert pull_state(events).state == "failing"
    assert not pull_state(events).failing
    failed = pull_state([*events, *told((62, FAILED))])
    assert (failed.failing, failed.since) == (True, at(3))


def test_a_try_that_lasts_for_minutes_got_somewhere() -> None:
    failed = pull_state(told((3, FAILED), (60, PULLING), (400, FAILED)))
    assert (failed.failing, failed.since) == (True, at(400))


def test_layers_that_arrive_clear_what_failed_before() -> None:
    assert pull_state(told((3, FAILED), (60, LAYER))).state == "pulling"
    assert pull_state(told((3, FAILED), (60, LAYER), (70, FAILED))).since == at(70)


def test_a_success_of_one_pod_does_not_clear_the_failure_of_another() -> None:
    events = [*told((3, FAILED), source="a"), *told((90, PULLED), source="b")]
    assert {source: pull.state for source, pull in pulls(events).items()} == {
        "a": "failing",
        "b": "pulled",
    }
    assert pull_state(events).state == "failing"


def test_events_without_a_time_follow_what_they_came_after() -> None:
    assert pull_state([Event(FAILED), Event(PULLED)]).state == "pulled"
    assert pull_state([Event(PULLED), Event(FAILED)]).state == "failing"
    late = [*told((50, PULLED)), Event(WAITS), *told((10, FAILED))]
    assert pull_state(late).state == "failing"
    assert pull_state(late).failing_for_s == 0


TEXTS = st.sampled_from([PULLING, LAYER, PULLED, FAILED, WAITS, "Created pod: a", "Killing"])


@given(st.lists(st.tuples(TEXTS, st.sampled_from(["", "a", "b"])), max_size=30), st.randoms())
def test_the_order_in_which_events_come_and_repeats_change_nothing(
    texts: list[tuple[str, str]], chance: random.Random
) -> None:
    events = [
        Event(text, BEGIN + timedelta(seconds=3 * number), source)
        for number, (text, source) in enumerate(texts)
    ]
    mixed = [*events, *chance.sample(events, len(events) // 2)]
    chance.shuffle(mixed)
    assert pulls(mixed) == pulls(events)
    assert pull_state(mixed).state == pull_state(events).state
