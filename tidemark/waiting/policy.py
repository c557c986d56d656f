"""Whether to wait on, to look closer, or to stop: from what was seen and when, and nothing else.

Each phase has a clock of its own, since each fails in its own way: machines that never come, an
environment in which nothing happens any more, an image that cannot be pulled. A clock for the whole
bounds them all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from tidemark.waiting.observation import Event, Observation, Stage
from tidemark.waiting.pull import Pull, is_failure, pulls

__all__ = ["Action", "Decision", "Patience", "WaitState", "deadline", "decide"]

# More different texts of events than this are not told apart: each then counts as news.
_MOST_TEXTS: Final = 20_000
_REASON: Final = "reason"
_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds.

    `queueing_s`: for machines. `preparing_s`: for an environment in which nothing happens; each new
    event starts it again. `image_pull_failing_s`: for an image whose pull fails, until a pull
    succeeds. `total_s`: for the whole, from the first look on. `stalled_intervals`: after how many
    intervals without any change to look closer; nothing is stopped for that.
    """

    queueing_s: float = 1800.0
    preparing_s: float = 3600.0
    image_pull_failing_s: float = 300.0
    stalled_intervals: int = 4
    total_s: float = 7200.0


class Action(StrEnum):
    """What to do: `diagnose` is to fetch events and logs for whoever watches, and to wait on."""

    WAIT = "wait"
    DIAGNOSE = "diagnose"
    STOP = "stop"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why.

    `clock` is the one that decided: "image pull", "queue", "preparing", "total", "stall", empty for
    none. `evidence` is the text it rests on. `due_in_s`: until when the next clock would run out if
    nothing changes, so that nobody need come later than that.
    """

    action: Action
    clock: str = ""
    why: str = ""
    evidence: str = ""
    due_in_s: float = math.inf


@dataclass(frozen=True, slots=True)
class _Failing:
    """A pull that fails: of which part, since which event, and since when on the caller's clock."""

    source: str
    since: datetime | None
    since_s: float


@dataclass(frozen=True, slots=True)
class WaitState:
    """What is remembered from one look to the next. Begin with `WaitState.begin`."""

    begun_s: float
    looked_s: float
    stage: Stage | None = None
    stage_since_s: float = 0.0
    shown: tuple[object, ...] = ()
    unchanged_since_s: float = 0.0
    diagnosed: bool = False
    progress_s: float = 0.0
    texts: frozenset[str] = frozenset()
    failing: tuple[_Failing, ...] = ()

    @classmethod
    def begin(cls, at_s: float) -> WaitState:
        """The state before the first look, at `at_s` on the caller's monotonic clock."""
        return cls(at_s, at_s, None, at_s, (), at_s, False, at_s)


def decide(
    state: WaitState, seen: Observation, patience: Patience, interval_s: float
) -> tuple[WaitState, Decision]:
    """What to do after a look, and the state for the next. Pure, and never raises.

    Stages and what can end them: queueing ("queue", "image pull"), preparing ("preparing", "image
    pull"), and any that has not ended ("total"). What runs is not stopped for an image: it has one.
    Of clocks that run out together the one that says most decides, and "total" last. `interval_s`
    is how often the caller looks.
    """
    now_s = max(seen.at_s, state.looked_s)
    found = _pulls_of(seen)
    state = _remember(state, seen, found, now_s)
    if seen.stage is Stage.ENDED:
        return state, Decision(Action.DONE, "", f"it has ended: {seen.status}", seen.reason)
    clocks = [*_clocks(state, seen, found, patience, now_s)]
    for clock in clocks:
        if clock.due_in_s <= 0:
            return state, clock
    due_in_s = min(clock.due_in_s for clock in clocks)
    stalled_s = now_s - state.unchanged_since_s
    if not state.diagnosed and stalled_s >= patience.stalled_intervals * interval_s:
        why = f"{seen.status} for {_spoken(stalled_s)} without any change"
        return replace(state, diagnosed=True), Decision(
            Action.DIAGNOSE, "stall", why, _latest(seen), due_in_s
        )
    return state, Decision(Action.WAIT, "", _waiting(seen, found), _latest(seen), due_in_s)


def deadline(state: WaitState, at_s: float, patience: Patience) -> Decision:
    """The stop of the clock for the whole, the only one to be asked where nothing could be seen.

    It is due when `due_in_s` is 0 or less.
    """
    passed_s = at_s - state.begun_s
    why = f"not over after {_spoken(passed_s)}"
    return Decision(Action.STOP, "total", why, "", patience.total_s - passed_s)


def _pulls_of(seen: Observation) -> dict[str, Pull]:
    found = pulls(seen.events)
    if is_failure(seen.reason) and not any(pull.state == "failing" for pull in found.values()):
        # What the service says of it now outweighs what events said before.
        found[_REASON] = Pull("failing", evidence=Event(seen.reason))
    return found


def _remember(
    state: WaitState, seen: Observation, found: Mapping[str, Pull], now_s: float
) -> WaitState:
    texts = frozenset(event.text for event in seen.events)
    news = texts - state.texts
    shown = (seen.status, seen.stage, seen.reason, seen.restarts, seen.evicted)
    moved = shown != state.shown
    changed = moved or bool(news)
    progressed = moved or any(not is_failure(text) for text in news)
    return replace(
        state,
        looked_s=now_s,
        stage=seen.stage,
        stage_since_s=state.stage_since_s if seen.stage is state.stage else now_s,
        shown=shown,
        unchanged_since_s=now_s if changed else state.unchanged_since_s,
        diagnosed=state.diagnosed and not changed,
        progress_s=now_s if progressed else state.progress_s,
        texts=state.texts | texts if len(state.texts) < _MOST_TEXTS else state.texts,
        failing=tuple(_failing(state, found, now_s)),
    )


def _failing(state: WaitState, found: Mapping[str, Pull], now_s: float) -> Iterator[_Failing]:
    """What fails, each since it began to: by when it was first seen, or earlier by its events."""
    before = {one.source: one for one in state.failing}
    for source, pull in found.items():
        if pull.state != "failing":
            continue
        since_s = now_s - pull.failing_for_s
        known = before.get(source)
        if known is not None and not _begun_anew(known, pull):
            since_s = min(since_s, known.since_s)
        yield _Failing(source, pull.since, since_s)


def _begun_anew(known: _Failing, pull: Pull) -> bool:
    """Whether it came right and failed again since the last look."""
    return known.since is not None and pull.since is not None and pull.since > known.since


def _clocks(
    state: WaitState,
    seen: Observation,
    found: Mapping[str, Pull],
    patience: Patience,
    now_s: float,
) -> Iterator[Decision]:
    """What each clock that runs would say, with the time until then; what says most comes first."""
    if seen.stage in (Stage.QUEUEING, Stage.PREPARING):
        for one in sorted(state.failing, key=lambda one: one.since_s):
            pull = found[one.source]
            if pull.retrying:
                continue
            failing_s = now_s - one.since_s
            why = f"the image cannot be pulled, for {_spoken(failing_s)} by now"
            text = pull.evidence.text if pull.evidence else ""
            left_s = patience.image_pull_failing_s - failing_s
            yield Decision(Action.STOP, "image pull", why, text, left_s)
    latest = _latest(seen)
    if seen.stage is Stage.QUEUEING:
        queued_s = now_s - state.stage_since_s
        why = f"{seen.status}: no machine for {_spoken(queued_s)}"
        yield Decision(Action.STOP, "queue", why, latest, patience.queueing_s - queued_s)
    if seen.stage is Stage.PREPARING:
        still_s = now_s - max(state.progress_s, state.stage_since_s)
        why = f"{seen.status}: nothing has happened for {_spoken(still_s)}"
        yield Decision(Action.STOP, "preparing", why, latest, patience.preparing_s - still_s)
    yield replace(deadline(state, now_s, patience), evidence=latest)


def _latest(seen: Observation) -> str:
    """The last event by time, else what the service says of it."""
    timed = [event for event in seen.events if event.at is not None]
    if timed:
        return max(timed, key=lambda event: event.at or _NO_TIME).text
    return seen.events[-1].text if seen.events else seen.reason


def _waiting(seen: Observation, found: Mapping[str, Pull]) -> str:
    states = {pull.state for pull in found.values()}
    if seen.stage in (Stage.QUEUEING, Stage.PREPARING) and states & {"failing", "pulling"}:
        failing = "failing" in states
        return f"{seen.status}, the image's pull {'fails' if failing else 'is under way'}"
    return seen.status or "of no status"


def _spoken(seconds: float) -> str:
    """A duration for a sentence: 45 s, 12 min, 2.5 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
