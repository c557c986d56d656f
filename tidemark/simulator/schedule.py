"""One timer for all deadlines of a process, precise to well under a millisecond.

A stream of tokens has a deadline every few milliseconds; with hundreds of
streams a timer of the event loop per token is too much work, and event loops
round timers to whole milliseconds. So the deadlines lie in one heap, and one
kernel timer (timerfd on Linux) is set to the earliest.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol

# After so long the schedule gives way to the event loop, so that requests that
# arrive during a burst of tokens are read, and their arrival noted, in time.
WORK_LIMIT_S = 0.001

_CLOCK_MONOTONIC = 1  # the clock of time.monotonic() on Linux
_TFD_NONBLOCK_CLOEXEC = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
_TFD_TIMER_ABSTIME = 1


class Due(Protocol):
    """Something that has a next deadline until it is over."""

    over: bool

    def fire(self, now: float) -> float | None:
        """Do what is due at `now` (monotonic seconds); answer the next deadline, or None."""


class Alarm(Protocol):
    """Calls back once at a point of the monotonic clock."""

    def set(self, when: float) -> None:
        """Ring at `when`; a time that has passed rings at once. Replaces an earlier setting."""

    def clear(self) -> None:
        """Do not ring."""

    def close(self) -> None:
        """Give back what the kernel lent."""


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class KernelAlarm:
    """An alarm of nanosecond resolution: timerfd_create(2), Linux only.

    Raises OSError when the kernel refuses.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._library = ctypes.CDLL(None, use_errno=True)
        self._file = self._library.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._spec = _TimerSpec()
        self._pointer = ctypes.byref(self._spec)
        loop.add_reader(self._file, ring)

    def set(self, when: float) -> None:
        """Setting the timer also clears an expiry that was not read, so none is ever read."""
        seconds = int(when)
        self._spec.value.seconds = seconds
        # All zero would disarm the timer, and a boot clock can stand at zero.
        self._spec.value.nanoseconds = max(1, int((when - seconds) * 1e9))
        self._library.timerfd_settime(self._file, _TFD_TIMER_ABSTIME, self._pointer, None)

    def clear(self) -> None:
        self._spec.value.seconds = 0
        self._spec.value.nanoseconds = 0
        self._library.timerfd_settime(self._file, 0, self._pointer, None)

    def close(self) -> None:
        self._loop.remove_reader(self._file)
        os.close(self._file)


class LoopAlarm:
    """An alarm of the event loop's own resolution (a millisecond), where there is no timerfd."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        self.clear()
        delay_s = max(0.0, when - time.monotonic())
        self._handle = self._loop.call_later(delay_s, self._ring)

    def clear(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def close(self) -> None:
        self.clear()


def kernel_or_loop_alarm(loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> Alarm:
    """The most precise alarm this machine offers."""
    if sys.platform == "linux":
        return KernelAlarm(loop, ring)
    return LoopAlarm(loop, ring)


class Schedule:
    """Fires each item at its deadline, earliest first, never early."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make_alarm: Callable[
            [asyncio.AbstractEventLoop, Callable[[], None]], Alarm
        ] = kernel_or_loop_alarm,
    ) -> None:
        self._heap: list[tuple[float, int, Due]] = []
        self._sequence = 0  # keeps equal deadlines in the order they were added
        self._working = False
        self._alarm = make_alarm(loop, self._work)

    def add(self, deadline: float, item: Due) -> None:
        """Fire `item` at `deadline` (monotonic seconds)."""
        self._sequence += 1
        heapq.heappush(self._heap, (deadline, self._sequence, item))
        if not self._working and self._heap[0][2] is item:
            self._alarm.set(deadline)

    def close(self) -> None:
        """Fire nothing more."""
        self._heap.clear()
        self._alarm.close()

    def _work(self) -> None:
        heap = self._heap
        clock = time.monotonic
        now = clock()
        stop_at = now + WORK_LIMIT_S
        self._working = True
        try:
            while heap and now <= stop_at:
                deadline, _, item = heap[0]
                if deadline > now and not item.over:
                    now = clock()
                    if deadline > now:
                        break
                # Taken off before it fires: firing may add other items.
                heapq.heappop(heap)
                if item.over:
                    continue
                following = item.fire(now)
                if following is not None:
                    self._sequence += 1
                    heapq.heappush(heap, (following, self._sequence, item))
                now = clock()
        finally:
            self._working = False
            if heap:
                self._alarm.set(heap[0][0])
            else:
                self._alarm.clear()
