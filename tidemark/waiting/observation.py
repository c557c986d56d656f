"""What one look at a thing that starts or runs has shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

__all__ = ["Event", "Observation", "Stage"]


class Stage(StrEnum):
    """Where it stands, whatever its service calls that.

    `holding`: the outcome is known while machines are still held. `unknown`: a word of the service
    that this version does not know, waited on within the deadline.
    """

    QUEUEING = "queueing"
    PREPARING = "preparing"
    RUNNING = "running"
    CLOSING = "closing"
    HOLDING = "holding"
    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: its text, when (UTC, to the second; None where nothing says), and
    which part it happened to, empty where that is not told."""

    text: str
    at: datetime | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one look has shown.

    `at_s` is seconds on the caller's monotonic clock. `status` is the service's own word, `reason`
    whatever else it says of it. `events` are all that are known so far, in any order, repeated or
    with gaps. `restarts` is how often it was started again, None where that is not told.
    """

    at_s: float
    status: str
    stage: Stage
    events: tuple[Event, ...] = ()
    reason: str = ""
    restarts: int | None = None
    evicted: bool = False
