"""Every point at which a flow's process meets the world: recorded, and made to fail.

A point is a call to the cloud, a transaction of the ledger, an operation on the store's files or a
call to Prefect: its kind, its name, and which one of that name it is. They are told by what the
process does, at the doors through which it reaches the world, and not by a list.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import json
import os
import re
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
from dlc_clock import DrillClock

from tidemark.results.failures import explained
from tidemark.results.files import LocalFiles

__all__ = ["FAULTS", "Fault", "Injector", "Point"]

# Long enough that a signal to the process is seen before its thread goes on.
_SIGNAL_S = 0.05
_HANG_S = 0.1
_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PATIENCE_S = 15.0


class Fault(StrEnum):
    """What happens at a point.

    killed before: SIGKILL instead of the effect. killed after: SIGKILL as soon as it is there.
    killed, hook: the same, and Prefect's hook for crashes runs in another process. exception: an
    error and no effect. lost answer: the effect, and an error. timeout: nothing for as long as the
    caller waits; then the error, and in the cloud the effect after all. cancelled: Prefect cancels
    the run, and its hook runs in another process.
    """

    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"
    KILLED_HOOK = "killed, hook"
    EXCEPTION = "exception"
    LOST = "lost answer"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


FAULTS = tuple(Fault)


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """The `nth` (from 1) of its name and kind: cloud, ledger, store or Prefect."""

    kind: str
    name: str
    nth: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}/{self.nth}"

    @classmethod
    def of(cls, text: str) -> Point:
        """A point as it was written. Raises ValueError for another text."""
        kind, _, rest = text.partition("/")
        name, _, nth = rest.rpartition("/")
        return cls(kind, name, int(nth))


class Injector:
    """Stands at the doors of this process: counts what goes through them, and lets one thing fail.

    `reached` is a file that is made at the point, before anything happens there.
    """

    def __init__(
        self, clock: DrillClock, point: Point | None, fault: Fault | None, reached: Path
    ) -> None:
        self.clock = clock
        self.points: list[Point] = []
        self.active = False
        self._wanted = (point, fault)
        self._reached = reached
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._inside = threading.local()

    def install(self, prefect_port: int) -> None:
        """Stand at the ledger's, the store's and Prefect's door: all that this process opens."""
        self._at_sqlite()
        self._at_files()
        self._at_prefect(prefect_port)

    def transport(self) -> httpx.AsyncBaseTransport:
        """The cloud's door."""
        return _CloudDoor(self)

    def reach(self, kind: str, name: str) -> Fault | None:
        """Something is about to be done: what shall happen to it."""
        if not self.active:
            return None
        with self._lock:
            self._counts[kind, name] += 1
            point = Point(kind, name, self._counts[kind, name])
            self.points.append(point)
        if point != self._wanted[0]:
            return None
        self._reached.write_text(json.dumps({"at_s": self.clock.time()}), "utf-8")
        return self._wanted[1]

    # -- what happens -------------------------------------------------------------------------

    def before(self, fault: Fault | None) -> None:
        """Die, or be told to end, before the effect."""
        if fault is Fault.KILLED_BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        if fault is Fault.CANCELLED:
            self.cancel()

    def after(self, fault: Fault | None) -> None:
        """Die when the effect is there."""
        if fault in (Fault.KILLED_AFTER, Fault.KILLED_HOOK):
            os.kill(os.getpid(), signal.SIGKILL)

    def cancel(self) -> None:
        """What a runner does to a flow's process when somebody cancels the run."""
        from prefect._internal import control_listener

        control_listener._set_intent("cancel")
        os.kill(os.getpid(), signal.SIGTERM)

    def blocking(
        self,
        kind: str,
        name: str,
        effect: Callable[[], Any],
        error: Callable[[Fault], BaseException],
    ) -> Any:
        """Do something in a thread, or what is to happen instead. `error` makes the exception."""
        fault = self.reach(kind, name)
        self.before(fault)
        if fault is Fault.CANCELLED:
            time.sleep(_SIGNAL_S)
        if fault is Fault.TIMEOUT:
            time.sleep(_HANG_S)
            self.clock.advance(_PATIENCE_S)
        if fault in (Fault.EXCEPTION, Fault.TIMEOUT):
            raise error(fault)
        done = effect()
        self.after(fault)
        if fault is Fault.LOST:
            raise error(fault)
        return done

    # -- the doors ----------------------------------------------------------------------------

    def _at_sqlite(self) -> None:
        injector, connect = self, sqlite3.connect

        class Connection(sqlite3.Connection):
            """A connection to the ledger: its transactions are points."""

            def commit(self) -> None:
                """Keep what was done."""
                commit = super().commit
                if not self.in_transaction:
                    commit()
                    return
                injector.blocking("ledger", _ledger_method(), commit, _sqlite_error)

        def door(database: Any, *args: Any, **kwargs: Any) -> sqlite3.Connection:
            if "ledger.db" in str(database):
                kwargs["factory"] = Connection
            return connect(database, *args, **kwargs)

        sqlite3.connect = door  # type: ignore[assignment]

    def _at_files(self) -> None:
        for name in ("create", "replace", "read", "list", "sizes", "remove"):
            setattr(LocalFiles, name, self._file_door(name, getattr(LocalFiles, name)))

    def _file_door(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(operation)
        def door(files: LocalFiles, path: str = "", *args: Any) -> Any:
            if getattr(self._inside, "store", False) or "outbox" in files.root:
                return operation(files, path, *args)
            self._inside.store = True
            try:
                with explained(f"{files.root}/{path}"):
                    return self.blocking(
                        "store",
                        f"{name} {path.partition('/')[0] or 'all'}",
                        lambda: operation(files, path, *args),
                        _file_error,
                    )
            finally:
                self._inside.store = False

        return door

    def _at_prefect(self, port: int) -> None:
        send, injector = httpx.AsyncHTTPTransport.handle_async_request, self

        async def door(
            transport: httpx.AsyncHTTPTransport, request: httpx.Request
        ) -> httpx.Response:
            ours = threading.current_thread() is threading.main_thread()
            if request.url.port != port or not ours:
                return await send(transport, request)
            path = _IDS.sub("{id}", request.url.path.removeprefix("/api"))
            fault = injector.reach("Prefect", f"{request.method} {path.strip('/')}")
            injector.before(fault)
            with injector.clock.busy():
                if fault is Fault.EXCEPTION:
                    return httpx.Response(500, json={"exception_message": "x"}, request=request)
                if fault is Fault.TIMEOUT:
                    await asyncio.sleep(_HANG_S)
                    raise httpx.ReadTimeout("no answer in time", request=request)
                response = await send(transport, request)
            injector.after(fault)
            if fault is Fault.LOST:
                raise httpx.ReadError("the connection broke", request=request)
            return response

        httpx.AsyncHTTPTransport.handle_async_request = door  # type: ignore[method-assign]


class _CloudDoor(httpx.AsyncBaseTransport):
    """Carries calls to the cloud, over the network."""

    def __init__(self, injector: Injector) -> None:
        self._injector = injector
        self._road = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one call."""
        injector = self._injector
        fault = injector.reach("cloud", request.headers.get("x-acs-action", request.url.path))
        injector.before(fault)
        if fault is Fault.EXCEPTION:
            raise httpx.ConnectError("no connection", request=request)
        if fault is Fault.TIMEOUT:
            # It comes late, and is carried out when nobody waits for its answer any more.
            patience_s = (request.extensions.get("timeout") or {}).get("read") or 60.0
            await injector.clock.sleep(patience_s)
        with injector.clock.busy():
            response = await self._road.handle_async_request(request)
            await response.aread()
        injector.after(fault)
        if fault is Fault.TIMEOUT:
            raise httpx.ReadTimeout("no answer in time", request=request)
        if fault is Fault.LOST:
            raise httpx.ReadError("the connection broke", request=request)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._road.aclose()


def _ledger_method() -> str:
    """The method of the ledger whose transaction ends here."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.endswith("tidemark/money/ledger.py"):
            name = frame.f_code.co_name
            if name not in ("_writing",):
                return name
        frame = frame.f_back  # type: ignore[assignment]
    return "open"


def _sqlite_error(fault: Fault) -> sqlite3.OperationalError:
    busy = fault is Fault.TIMEOUT
    error = sqlite3.OperationalError("database is locked" if busy else "disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY if busy else sqlite3.SQLITE_IOERR
    return error


def _file_error(fault: Fault) -> OSError:
    number = errno.ETIMEDOUT if fault is Fault.TIMEOUT else errno.EIO
    return OSError(number, os.strerror(number))
