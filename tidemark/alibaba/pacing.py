"""A limit on calls per second, kept on this side, so that many watchers share one account."""

from __future__ import annotations

import asyncio

from tidemark.clock import Clock
from tidemark.errors import ConfigError

__all__ = ["Pace"]

_EXACT_S = 1e-6  # a wait that is shorter may not move a clock at all


class Pace:
    """Lets calls through at most `calls_per_s` a second, in the order they came.

    A call after a pause goes at once, and up to `burst` of them; over any span of `t` seconds no
    more than `burst + calls_per_s * t` calls are let through.
    """

    def __init__(self, calls_per_s: float, clock: Clock, burst: int = 1) -> None:
        if not (0 < calls_per_s < float("inf")) or burst < 1:
            raise ConfigError(
                "calls per second must be above 0",
                f"calls_per_s: {calls_per_s}, burst: {burst}",
                "Give a number of calls",
            )
        self.calls_per_s = calls_per_s
        self._clock = clock
        self._interval_s = 1.0 / calls_per_s
        self._tolerance_s = (burst - 1) * self._interval_s
        self._queue = asyncio.Lock()  # lets in who came first
        self._next_s = clock.monotonic()
        self._held_until_s = self._next_s

    async def turn(self) -> None:
        """Return when the next call may be sent. Who gives up waiting takes no turn away."""
        async with self._queue:
            while True:
                now_s = self._clock.monotonic()
                start_s = max(self._next_s - self._tolerance_s, self._held_until_s)
                wait_s = start_s - now_s
                if wait_s < _EXACT_S:
                    break
                await self._clock.sleep(wait_s)
            self._next_s = max(self._next_s, now_s) + self._interval_s

    def hold(self, seconds: float) -> None:
        """Let nothing through for so long: the service asked everybody of this account to wait."""
        self._held_until_s = max(self._held_until_s, self._clock.monotonic() + seconds)
