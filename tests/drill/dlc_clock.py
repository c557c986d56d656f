"""One clock for several processes, that passes over the time in which all of them only wait."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import mmap
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

__all__ = ["CountingExecutor", "DrillClock"]

P = ParamSpec("P")
T = TypeVar("T")

_LOOK_S = 0.003
_QUIET_LOOKS = 3
_FIELDS = struct.Struct("=ddd")


class DrillClock:
    """Runs as fast as this machine's clock, and jumps to the next moment that somebody waits for
    as soon as nothing is under way.

    Its state is a file that processes share: one of them at a time runs and lets it jump, while
    others read it, or skip time when that one is dead.
    """

    def __init__(self, path: Path, *, start_s: float | None = None) -> None:
        """Take up the clock of a file; `start_s` (seconds since 1970-01-01 UTC) makes a new one."""
        if start_s is not None:
            path.write_bytes(_FIELDS.pack(start_s, time.monotonic(), 0.0))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _FIELDS.size)
        self._start_s, self._since_s, _ = _FIELDS.unpack(self._shared[:])
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._under_way = 0
        self._ticker: asyncio.Task[None] | None = None

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return self._start_s + self.monotonic()

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return time.monotonic() - self._since_s + self._skipped()

    def advance(self, seconds: float) -> None:
        """Skip so many seconds."""
        with self._lock:
            skipped = struct.pack("=d", self._skipped() + max(0.0, seconds))
            self._shared[16:24] = skipped

    async def sleep(self, seconds: float) -> None:
        """Return when so many seconds have passed."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._sleepers, (self.monotonic() + seconds, next(self._order), future))
        if self._ticker is None or self._ticker.done():
            self._ticker = loop.create_task(self._tick())
        await future

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Something is under way, that whoever waits would wait for in truth."""
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def _skipped(self) -> float:
        skipped: float = struct.unpack("=d", self._shared[16:24])[0]
        return skipped

    async def _tick(self) -> None:
        quiet = 0
        while self._sleepers:
            await asyncio.sleep(_LOOK_S)
            quiet = 0 if self._under_way else quiet + 1
            if quiet >= _QUIET_LOOKS and self._sleepers:
                self.advance(self._sleepers[0][0] - self.monotonic())
                quiet = 0
            while self._sleepers and (
                self._sleepers[0][2].done() or self._sleepers[0][0] <= self.monotonic()
            ):
                future = heapq.heappop(self._sleepers)[2]
                with suppress(asyncio.InvalidStateError):
                    future.set_result(None)


class CountingExecutor(ThreadPoolExecutor):
    """Threads whose work the clock waits for."""

    def __init__(self, clock: DrillClock) -> None:
        super().__init__(max_workers=8)
        self._clock = clock

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run it in a thread."""
        busy = self._clock.busy()
        busy.__enter__()
        future = super().submit(fn, *args, **kwargs)
        future.add_done_callback(lambda _: busy.__exit__(None, None, None))
        return future
