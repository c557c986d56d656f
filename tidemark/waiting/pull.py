"""How the pull of an image stands, from the text of events alone: no status tells it.

Words are those of the kubelet and of container runtimes, as PAI-DLC passes them on (GetPodEvents,
GetJobEvents 2020-12-03).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from tidemark.waiting.observation import Event

__all__ = ["Pull", "PullState", "is_failure", "pull_state", "pulls"]

PullState = Literal["none", "pulling", "failing", "pulled"]

_FAILED: Final = re.compile(
    r"\bErrImagePull\b|\bImagePullBackOff\b|\bImageInspectError\b|\bInvalidImageName\b"
    r"|\bErrImageNeverPull\b|\bRegistryUnavailable\b"
    r"|\bfailed to pull (?:and unpack )?image\b|\berror pulling image\b"
    r"|\bback-?off pulling image\b|\bmanifest unknown\b|\bpull access denied\b"
    r"|\bcouldn't parse image (?:name|reference)\b|\bfailed to apply default image tag\b",
    re.IGNORECASE,
)
_BACKED_OFF: Final = re.compile(r"\bback-?off pulling image\b|\bImagePullBackOff\b", re.IGNORECASE)
# What follows a pull shows that it came to its end too, if the event of that is lost.
_PULLED: Final = re.compile(
    r"\bsuccessfully pulled image\b|\balready present on machine\b"
    r"|\b(?:created|started) container\b",
    re.IGNORECASE,
)
_PULLING: Final = re.compile(r"\bpulling (?:image|from|fs layer)\b", re.IGNORECASE)
_ARRIVING: Final = re.compile(
    r"\b(?:pulling|pulled|downloading|download complete|extracting|pull complete|unpacking)\b"
    r"[^\n]{0,300}?(?:\b\d+ of \d+ layers?\b|\b\d+/\d+ layers?\b|\b\d{1,3}(?:\.\d+)?\s?%"
    r"|\b\d+(?:\.\d+)?\s?[KMG]i?B\b)",
    re.IGNORECASE,
)
# A retry that took longer than this got somewhere before it broke off; one that is refused, or
# that nobody answers, ends sooner.
_SHORT_RETRY_S: Final = 150.0
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pull:
    """How the pull stands.

    `since`: the event with which this state began; of failures, the first without a success after
    it. `failing_for_s`: from that to the latest failure by the events' own times, so that it is
    never more than has passed. `retrying`: it failed, and is being tried again just now.
    `evidence`: the event that says most, None where there is none.
    """

    state: PullState = "none"
    since: datetime | None = None
    failing_for_s: float = 0.0
    retrying: bool = False
    evidence: Event | None = None

    @property
    def failing(self) -> bool:
        """Whether it has failed and is not being tried again just now."""
        return self.state == "failing" and not self.retrying


def is_failure(text: str) -> bool:
    """Whether a text says that an image could not be pulled."""
    return _FAILED.search(text) is not None


def pull_state(events: Iterable[Event]) -> Pull:
    """How the pull stands, of the part where it stands worst: it fails, it fails and is being tried
    again, it is under way, it is done."""
    return max(pulls(events).values(), key=_weight, default=Pull())


def pulls(events: Iterable[Event]) -> dict[str, Pull]:
    """How the pull of each part that events name (`Event.source`) stands after these events.

    They may come in any order and with repeats: they are put in the order of their times; those of
    one second stay as they came, and those without a time follow what they came after.

    A success clears every failure before it. A new try suspends a failure and does not clear it,
    unless its layers arrive or it lasted for minutes: what then breaks off begins anew.
    """
    sources: dict[str, list[Event]] = {}
    for event in events:
        sources.setdefault(event.source, []).append(event)
    return {source: _of_one(_in_order(each)) for source, each in sources.items()}


def _weight(pull: Pull) -> tuple[int, float]:
    if pull.state == "failing":
        return (3 if pull.retrying else 4), pull.failing_for_s
    return {"none": 0, "pulled": 1, "pulling": 2}[pull.state], 0.0


def _in_order(events: list[Event]) -> list[Event]:
    keyed, latest = [], _LONG_AGO
    for event in events:
        latest = event.at or latest
        keyed.append((latest, event))
    return [event for _, event in sorted(keyed, key=lambda pair: pair[0])]


@dataclass(slots=True)
class _Progress:
    """What is known while events are gone through."""

    state: PullState = "none"
    since: datetime | None = None
    retrying: bool = False
    retry_at: datetime | None = None
    last_failure: datetime | None = None
    evidence: Event | None = None

    def begin(self, state: PullState, event: Event) -> None:
        self.state, self.since, self.evidence = state, event.at, event
        self.retrying, self.retry_at = False, None


def _of_one(events: list[Event]) -> Pull:
    now = _Progress()
    for event in events:
        if is_failure(event.text):
            _failed(now, event)
        elif _PULLED.search(event.text):
            now.begin("pulled", event)
        elif _ARRIVING.search(event.text):
            now.begin("pulling", event)
        elif _PULLING.search(event.text):
            _pulling(now, event)
    spent_s = 0.0
    if now.state == "failing" and now.since and now.last_failure:
        # Each of the two times may be off by the second to which it is cut.
        spent_s = max(0.0, (now.last_failure - now.since).total_seconds() - 1)
    return Pull(now.state, now.since, spent_s, now.retrying, now.evidence)


def _failed(now: _Progress, event: Event) -> None:
    long_retry = (
        now.retrying
        and now.retry_at is not None
        and event.at is not None
        and (event.at - now.retry_at).total_seconds() > _SHORT_RETRY_S
    )
    if now.state != "failing" or long_retry:
        now.begin("failing", event)
    now.retrying, now.retry_at = False, None
    now.last_failure = event.at or now.last_failure
    if now.evidence is None or _says(event) >= _says(now.evidence):
        now.evidence = event


def _pulling(now: _Progress, event: Event) -> None:
    if now.state == "failing":
        if not now.retrying:
            now.retrying, now.retry_at = True, event.at
    elif now.state != "pulling":
        now.begin("pulling", event)


def _says(event: Event) -> int:
    """How much an event tells: the registry's reason, that a pull failed, that it waits."""
    if re.search(r"\bfailed to (?:pull|apply)\b|\bcouldn't parse\b", event.text, re.IGNORECASE):
        return 2
    return 0 if _BACKED_OFF.search(event.text) else 1
