"""Clocks for the world offline: one that jumps, and one that runs faster than the machine's.

`VirtualClock` stands still until it is advanced, or, with `jump=True`, until whoever runs in its
event loop only waits: it then jumps to the next moment that somebody waits for, so that an hour of
waiting costs no time. Nothing in such a loop may wait for a socket: a wait for one looks like
waiting for nothing. `ScaledClock` runs `speed` times as fast as this machine's.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import ClassVar
from weakref import WeakKeyDictionary, ref

__all__ = ["LATEST_S", "ScaledClock", "VirtualClock"]

NEW_YEAR_2026_S = 1_767_225_600.0
LATEST_S = 253_370_764_800.0
"""9999-01-01: no clock is advanced further, as moments soon after can no longer be written."""


class VirtualClock:
    """A clock that moves only when it is told to, or when all who use it wait."""

    def __init__(self, start_s: float = NEW_YEAR_2026_S, *, jump: bool = False) -> None:
        self._now = start_s
        self._start = start_s
        self._jump = jump
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return self._now - self._start

    def advance(self, seconds: float) -> None:
        """Move on, and wake whoever waited for a moment that has come. Raises ValueError for
        what is less than 0, and beyond the year 9998."""
        _check_advance(self._now, seconds)
        self._now += seconds
        self._wake()

    async def sleep(self, seconds: float) -> None:
        """Return when this clock has moved on by `seconds`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        if self._jump:
            _Jumps.of(loop).add(self)
        await future

    def _wake(self) -> None:
        while self._sleepers and (self._sleepers[0][2].done() or self._sleepers[0][0] <= self._now):
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)

    def _jump_on(self) -> bool:
        """Go to the next moment that somebody waits for; whether there was one."""
        self._wake()
        if self._sleepers:
            self._now = max(self._now, self._sleepers[0][0])
            self._wake()
        return bool(self._sleepers)


class _Jumps:
    """The clocks of one event loop that jump as soon as nothing there is about to run.

    One for all of them: each by itself would take the others' looking for something that runs.
    """

    _of: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, _Jumps]] = WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = ref(loop)
        self._clocks: set[VirtualClock] = set()

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Jumps:
        """The one of a loop."""
        return cls._of.setdefault(loop, cls(loop))

    def add(self, clock: VirtualClock) -> None:
        """Somebody waits for this clock."""
        loop = self._loop()
        if not self._clocks and loop is not None:
            loop.call_soon(self._look)
        self._clocks.add(clock)

    def _look(self) -> None:
        loop = self._loop()
        if loop is None:
            return
        # What is about to run is not published by asyncio; an idle loop has nothing there.
        if not loop._ready:  # type: ignore[attr-defined]
            self._clocks = {clock for clock in self._clocks if clock._jump_on()}
        if self._clocks:
            loop.call_soon(self._look)


class ScaledClock:
    """A clock that runs `speed` times as fast as this machine's, from `start_s` on.

    The speed may be changed at any moment; time goes on from where it was, up to the year 9998,
    at whose end `time` stands still.
    """

    def __init__(self, speed: float, start_s: float | None = None) -> None:
        self._speed = _above_zero(speed)
        self._start = time.time() if start_s is None else start_s
        self._passed = 0.0  # on this clock, up to the moment `_since` of this machine's
        self._since = time.monotonic()
        self._sleepers: set[asyncio.Future[None]] = set()

    @property
    def speed(self) -> float:
        """How many of its seconds pass in one of this machine's."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._change(_above_zero(speed), 0.0)

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return min(self._start + self.monotonic(), LATEST_S)

    def monotonic(self) -> float:
        """Seconds of this clock since it was made."""
        return self._passed + (time.monotonic() - self._since) * self._speed

    def advance(self, seconds: float) -> None:
        """Skip so many seconds, and wake whoever waited for a moment that has come. Raises
        ValueError for what is less than 0, and beyond the year 9998."""
        _check_advance(self.time(), seconds)
        self._change(self._speed, seconds)

    async def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed on this clock."""
        until = self.monotonic() + seconds
        await asyncio.sleep(0)
        while (left := until - self.monotonic()) > 0:
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._sleepers.add(changed)
            try:
                await asyncio.wait((changed,), timeout=left / self._speed)
            finally:
                self._sleepers.discard(changed)

    def _change(self, speed: float, skipped: float) -> None:
        now = time.monotonic()
        self._passed += (now - self._since) * self._speed + skipped
        self._since, self._speed = now, speed
        # Each works out anew how long it has to wait.
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)


def _check_advance(now_s: float, seconds: float) -> None:
    if seconds < 0:
        raise ValueError("a clock is not set back")
    if not now_s + seconds <= LATEST_S:
        raise ValueError("a clock does not go beyond the year 9998")


def _above_zero(speed: float) -> float:
    if not speed > 0:
        raise ValueError("speed must be above 0")
    return speed
