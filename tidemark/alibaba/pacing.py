"""A limit on calls per second, kept on this side, so that many watchers share one account."""

from __future__ import annotations

from tidemark.clock import Clock
from tidemark.errors import ConfigError

__all__ = ["Pace"]


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
        self._next_s = clock.monotonic()
        self._held_until_s = self._next_s

    async def turn(self) -> None:
        """Return when the next call may be sent."""
        while True:
            now = self._clock.monotonic()
            start = max(now, self._next_s - self._tolerance_s, self._held_until_s)
            # Taken before waiting, so that who comes later stands behind.
            self._next_s = max(self._next_s, start) + self._interval_s
            if start > now:
                await self._clock.sleep(start - now)
            if self._clock.monotonic() >= self._held_until_s:
                return

    def hold(self, seconds: float) -> None:
        """Let nothing through for so long: the service asked everybody of this account to wait."""
        self._held_until_s = max(self._held_until_s, self._clock.monotonic() + seconds)
