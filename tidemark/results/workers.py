"""Work shared out over processes of this machine, which end with whoever started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

from tidemark.errors import TidemarkError

__all__ = ["in_processes"]

Task = TypeVar("Task")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Task], Result], tasks: Sequence[Task], processes: int
) -> Iterator[Result]:
    """What `work` makes of each task, in the order in which they are done.

    `work` is pickled once for each process and may keep what it needs there; it goes over a pipe,
    as the tasks do, and nothing of them is seen from outside. When the caller stops asking, is
    interrupted or dies, the processes end. Raises what `work` raises, and TidemarkError when a
    process was ended from outside.
    """
    # Spawned, not forked: threads of the caller may hold locks that a copy would wait for.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(work,))
    try:
        for future in as_completed([pool.submit(_do, task) for task in tasks]):
            yield future.result()
    except BrokenProcessPool as error:
        what = "a process that did the work was ended from outside"
        remedy = "If memory ran out, use fewer: --jobs 1"
        raise TidemarkError(what, None, remedy) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_WORK: list[Callable[..., Any]] = []
"""The work of this process, once it is one of those that share it."""


def _do(task: Any) -> Any:
    return _WORK[0](task)


def _begin(work: Callable[..., Any]) -> None:
    _WORK[:] = [work]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller hears it too, and ends the work
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
