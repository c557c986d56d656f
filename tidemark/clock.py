"""Time as an argument: what reads the time or waits gets a clock, and tests give it theirs."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Reads the time and waits for it to pass."""

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC: for what is told to others."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, never set back: for how long something takes."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed."""
        ...


class SystemClock:
    """The clock of this machine."""

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment, never set back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed."""
        await asyncio.sleep(seconds)
