"""A thing's life as phases: what it is at a moment follows from what has been decided so far.

Nothing runs between two calls, so that virtual time can jump by hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from tidemark.simulator.pai.wire import refuse

__all__ = ["Phase", "at", "cut", "instant", "parse_instant"]


class _Begun(Protocol):
    @property
    def since_s(self) -> float: ...


P = TypeVar("P", bound=_Begun)


@dataclass(frozen=True, slots=True)
class Phase:
    """A status, and the moment it begins. It ends where the next phase begins."""

    status: str
    since_s: float
    message: str = ""


def at(phases: Sequence[P], now_s: float) -> P:
    """The phase of this moment; the first before all of them."""
    return next((phase for phase in reversed(phases) if phase.since_s <= now_s), phases[0])


def cut(phases: Sequence[P], now_s: float) -> list[P]:
    """What has begun, without what was going to happen."""
    return [phase for phase in phases if phase.since_s <= now_s]


def instant(seconds: float) -> str:
    """A moment as the services write it: `2021-01-12T14:35:01Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_instant(text: str, name: str) -> float:
    """A moment in UTC as seconds since 1970-01-01. Refuses what is none, by parameter name."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        refuse(400, "InvalidParameter", f"The specified parameter {name} is not a valid time.")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
