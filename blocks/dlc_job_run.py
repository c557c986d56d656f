"""A job that was triggered: watched by a thread of its own, waited for by whoever wants to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import ParamSpec, Self, TypeVar

from prefect.blocks.abstract import JobRun

from blocks.dlc_job_steps import DlcJobResult, JobOrder, JobSteps
from tidemark.alibaba.errors import AlibabaError
from tidemark.errors import RefusedError
from tidemark.waiting.failure import Failure

__all__ = ["DlcJobNotComplete", "DlcJobRun"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class DlcJobNotComplete(AlibabaError):
    """A job that failed or was stopped: its result, with class, evidence and cost."""

    def __init__(self, result: DlcJobResult, failure: Failure) -> None:
        super().__init__(
            f"{result.status}, {failure.kind.value}: {failure.evidence} ({failure.where})",
            f"job {result.job_id}",
            failure.advice,
        )
        self.result = result


class DlcJobRun(JobRun[DlcJobResult]):
    """One run of a saved job.

    A thread renews its lease, follows its log and stops it where it hangs, from the moment it was
    triggered on, whether somebody waits or not: several may be triggered first and waited for
    later. The process does not end before its jobs have.
    """

    def __init__(self, order: JobOrder) -> None:
        self._order = order
        self._begun: Future[tuple[str, str]] = Future()
        self._done: Future[DlcJobResult] = Future()
        for future in (self._begun, self._done):
            future.set_running_or_notify_cancel()  # who stops waiting does not end it for others
        self._steps: JobSteps | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._given_up: str | None = None
        self._lock = threading.Lock()

    @property
    def run_id(self) -> str:
        """The id of the run in the ledger."""
        return self._begun.result()[0]

    @property
    def job_id(self) -> str:
        """The id of the job at the service."""
        return self._begun.result()[1]

    def __repr__(self) -> str:
        begun = self._begun.done() and self._begun.exception() is None
        return f"DlcJobRun({', '.join(self._begun.result()) if begun else 'not begun'})"

    def begin(self) -> Self:
        """Return when the job is there. Raises TidemarkError where it cannot be created."""
        self._start()
        self._wait(self._begun)
        return self

    async def abegin(self) -> Self:
        """As `begin`, for code that runs in an event loop."""
        self._start()
        await self._await(self._begun)
        return self

    def wait_for_completion(self) -> None:  # type: ignore[override]
        """Return when the job has ended and all it held is released.

        Raises DlcJobNotComplete for a job that failed or was stopped, and TidemarkError where it
        could not be watched. Whoever is interrupted while waiting stops the job.
        """
        _check(self._wait(self._done))

    async def await_for_completion(self) -> None:
        """As `wait_for_completion`, for code that runs in an event loop."""
        _check(await self._await(self._done))

    def fetch_result(self) -> DlcJobResult:  # type: ignore[override]
        """What became of the job, also of one that failed.

        Raises RefusedError while it is not over, and TidemarkError where it could not be watched.
        """
        if not self._done.done():
            raise RefusedError(
                "is not over", f"job {self.job_id}", "Call wait_for_completion() first"
            )
        return self._done.result()

    async def afetch_result(self) -> DlcJobResult:
        """As `fetch_result`, for code that runs in an event loop."""
        return self.fetch_result()

    def cancel(self, why: str = "cancelled") -> DlcJobResult:
        """Stop the job, and return when it has stopped and all it held is released.

        A job that is over is left as it is.
        """
        self._give_up(why)
        return self._done.result()

    async def acancel(self, why: str = "cancelled") -> DlcJobResult:
        """As `cancel`, for code that runs in an event loop."""
        self._give_up(why)
        return await asyncio.shield(asyncio.wrap_future(self._done))

    def _start(self) -> None:
        context = copy_context()
        # Not a daemon: a process that ended now would leave the job to be paid for.
        threading.Thread(
            target=context.run, args=(self._carry_out,), name="dlc-job", daemon=False
        ).start()

    def _carry_out(self) -> None:
        try:
            result = asyncio.run(self._in_loop())
        except BaseException as error:
            told = _told(error, self._given_up)
            self._done.set_exception(told)
            if not self._begun.done():
                self._begun.set_exception(told)
        else:
            self._done.set_result(result)

    async def _in_loop(self) -> DlcJobResult:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(_InThisThread())
        steps = JobSteps(self._order)
        with self._lock:
            self._steps, self._loop = steps, loop
            given_up = self._given_up
        if given_up is not None:
            raise asyncio.CancelledError(given_up)
        return await steps.carry_out(lambda *ids: self._begun.set_result(ids))

    def _give_up(self, why: str) -> None:
        with self._lock:
            self._given_up = self._given_up or why
            steps, loop = self._steps, self._loop
        if steps is not None and loop is not None:
            with suppress(RuntimeError):  # the loop is closed: it is over
                loop.call_soon_threadsafe(steps.stop, why)

    def _wait(self, future: Future[_T]) -> _T:
        try:
            return future.result()
        except BaseException as error:
            self._leave(error)
            raise

    async def _await(self, future: Future[_T]) -> _T:
        try:
            return await asyncio.shield(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            self._give_up("whoever waited for it was cancelled")
            with suppress(Exception):
                await asyncio.shield(asyncio.wrap_future(self._done))
            raise

    def _leave(self, error: BaseException) -> None:
        """Of what interrupts the waiting, not of what the job came to."""
        if not self._done.done():
            self._give_up(f"whoever waited for it was interrupted ({type(error).__name__})")
            self._done.exception()


class _InThisThread(ThreadPoolExecutor):
    """Does at once what it is given. Once the main thread has ended no other executor takes
    anything any more, and the job still has to be watched; nothing else waits in its loop."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        future: Future[_T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


def _check(result: DlcJobResult) -> None:
    if result.failure is not None:
        raise DlcJobNotComplete(result, result.failure)


def _told(error: BaseException, given_up: str | None) -> BaseException:
    """The error as others get it: a cancellation in this loop is none in theirs."""
    if isinstance(error, asyncio.CancelledError):
        what = f"was given up before its job was there ({given_up or 'cancelled'})"
        return RefusedError(what, "the run", "Trigger it again")
    return error
